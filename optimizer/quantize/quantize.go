// Package quantize owns the pass quantize: it finds which values and weights may have fewer bits, measures
// the ranges of values on calibration data, and writes QuantizeLinear and DequantizeLinear pairs around float
// operators, the form that every runtime reads and that engines lower to integer kernels.
//
// It knows no kernel and runs no model itself: a runner comes with the environment. Start reading at Options,
// then at the pass's Apply: select, calibrate, weights, insert, tune.
package quantize

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// quantize
//
//	Before:     y = Conv(x, W, b)
//	After:      xq = Q(x); y' = Conv(DQ(xq), DQ(Wq), DQ(bq)); yq = Q(y'); readers of y read DQ(yq)
//	Conditions: weights are float32 constants; the node is in scope.
//	Formula:    q = clamp(round(x/scale) + zero), ties to even. Weights: symmetric, scale = max|W[o]|/127 for each
//	            output channel, zero 0, range ±127. Values: asymmetric over 256 steps, 0 is exact. Bias: int32
//	            with scale sx*sw[o].
//	            Without integer values (activations none) weights may also be int4 or int3, per channel or per block of the
//	            axis that sums run over, fp8 (E4M3FN, scaled to 448; E5M2, to 57,344), or fp16 and bf16 behind a Cast.
//	Rounding:   nearest; adaround (adaround.go); gptq: with H = XᵀX of the rows X that a layer gets from the quantized layers before it, integers,
//	            scale and zero of each channel that make (w-ŵ)·H·(w-ŵ)ᵀ small, column after column; the bias keeps the mean.
//	Exactness:  scored: only data says how good it is.
//	Paper:      Jacob et al. 2018, arXiv:1712.05877; Nagel et al. 2021, arXiv:2106.08295; Frantar et al. 2023, arXiv:2210.17323.

// Options are the options of quantize.
type Options struct {
	Weights     string   `opt:"weights" enum:"int8 int4 int3 int2 fp16 bf16 fp8 e5m2 mixed nested" help:"type of the weights in the file; fp8: E4M3FN, e5m2: fp8 with more range and two bits; mixed: one for each layer, by what it costs and saves; nested: int8 whose upper halves are int4 weights, chosen at run time, best with rounding gptq"`
	Activations string   `opt:"activations" enum:"int8 uint8 int16 none dynamic" help:"type of the values between layers; ONNX Runtime on x86 is fast with uint8 and joins int8 in part; none: weights only; dynamic: bytes with the scale of each run"`
	Rounding    string   `opt:"rounding" enum:"nearest gptq adaround auto" help:"how a weight chooses between two steps; gptq makes up for the errors of a layer's other weights on calibration data, adaround decides for all weights of a layer together by descent, auto takes for each layer what held-out items favour" paper:"Frantar et al. 2023, arXiv:2210.17323; Nagel et al. 2020, arXiv:2004.10568"`
	Rounds      int      `opt:"rounds" min:"50" max:"20000" help:"steps of the descent of rounding adaround and auto"`
	Minutes     float64  `opt:"minutes" min:"0" max:"1440" help:"time for rounding adaround and auto, after which layers are rounded by gptq; 0: no limit"`
	Calibration string   `opt:"calibration" enum:"minmax percentile mse entropy" help:"how the range of a value is chosen from calibration data" paper:"Nagel et al. 2021, arXiv:2106.08295, section 3.1"`
	Percentile  float64  `opt:"percentile" min:"90" max:"100" unit:"%" help:"share of a value's elements that its range holds" when:"calibration=percentile"`
	Export      string   `opt:"export" enum:"qdq qoperator matmulnbits" help:"how the file spells integer operators; matmulnbits: matrix products by packed weights of 8 and fewer bits, as ONNX Runtime has them"`
	SplitSums   bool     `opt:"split_sums" help:"sums that a convolution computes before it rounds become steps of their own: one rounding and one pass more in this engine; ONNX Runtime then computes these convolutions in integers, too, and both engines give the same bits"`
	PerChannel  bool     `opt:"per_channel" help:"one scale for each output channel instead of one for the whole weight"`
	Block       int      `opt:"block" min:"0" max:"256" help:"weights along the sums that share a scale, a power of two from 16 on; 0: one scale for each output channel" when:"activations=none"`
	ReduceRange string   `opt:"reduce_range" enum:"auto on off" help:"8-bit weights that kernels which add two byte products in 16 bits cannot saturate, as ONNX Runtime on x86 with AVX2 and no VNNI; auto: wider steps in channels with such pairs; on: weights of 7 bits; off: the full range"`
	Asymmetric  bool     `opt:"asymmetric" help:"weights of 4 bits and fewer may have a zero other than 0, which moves their range" when:"activations=none"`
	CorrectBias bool     `opt:"correct_bias" help:"moves biases so that the mean of each layer's output stays, where that brings held-out outputs closer" paper:"Nagel et al. 2019, arXiv:1906.04721, section 4.2"`
	Layers      []string `opt:"layers" help:"types of single layers, as name=type: what weights allows, or float"`
	Budget      string   `opt:"budget" enum:"size time" help:"what mixed holds: the bytes of the weights, or the time that is predicted for the target" when:"weights=mixed"`
	Time        float64  `opt:"time" min:"1" max:"100" unit:"%" help:"predicted time at most, of that of the float model" when:"budget=time"`
	Size        float64  `opt:"size" min:"5" max:"100" unit:"%" help:"bytes of the weights at most, of those of the float weights" when:"budget=size"`
	MaxDrop     float64  `opt:"max_drop" min:"0" max:"100" unit:"%" help:"held-out answers that may differ from the float model's; the layers that cost most stay float until it holds; 100: no bound"`
	Strict      bool     `opt:"strict" help:"refuses a model of which a layer in scope would stay in floats, instead of naming it and going on"`
	Samples     int      `opt:"samples" min:"1" max:"100000" help:"calibration items to run"`
}

// New makes the pass with its defaults.
func New() optimizer.Pass {
	return &pass{o: Options{Weights: "int8", Activations: "uint8", Rounding: "nearest", Rounds: 1000, Minutes: 10, Calibration: "mse", Export: "qdq", ReduceRange: "auto", PerChannel: true, Asymmetric: true, Percentile: 99.99, CorrectBias: true, Budget: "size", Time: 60, Size: 20, MaxDrop: 100, Samples: 128}}
}

type pass struct{ o Options }

// Info describes the pass.
func (p *pass) Info() optimizer.Info {
	return optimizer.Info{Name: "quantize", Title: "Quantize", Exactness: optimizer.Scored, NeedsData: true,
		Promise: "Stores weights in 16 to 2 bits, and computes layers in 8-bit integers, which is faster where the board has kernels for them.",
		Paper:   "Jacob et al. 2018, arXiv:1712.05877", Undo: "the float weights"}
}

// Options is the struct of options.
func (p *pass) Options() any { return &p.o }

// static reports whether values get scales from calibration.
func (o Options) static() bool { return o.Activations != "none" && o.Activations != "dynamic" }

// supported names what the options ask for and the pass does not do.
func (p *pass) supported() error {
	for _, c := range []struct {
		option, value string
		does          []string
	}{
		{"rounding", p.o.Rounding, []string{"nearest", "gptq", "adaround", "auto"}}, {"export", p.o.Export, []string{"qdq", "qoperator", "matmulnbits"}},
		{"activations", p.o.Activations, []string{"int8", "uint8", "int16", "none", "dynamic"}}, {"calibration", p.o.Calibration, []string{"minmax", "percentile", "mse", "entropy"}},
	} {
		if c.option == "calibration" && !p.o.static() || slices.Contains(c.does, c.value) {
			continue
		}
		return fail.New(fail.Unsupported, "%s = %q is not supported", c.option, c.value).At(fail.Where{Option: c.option}).Try("use %s", strings.Join(c.does, " or "))
	}
	if p.o.Export == "matmulnbits" && (p.o.Activations != "none" || !slices.Contains([]string{"int8", "int4", "int3", "int2", "mixed"}, p.o.Weights)) {
		return fail.New(fail.Unsupported, "export = \"matmulnbits\" with activations = %q and weights = %q is not supported", p.o.Activations, p.o.Weights).
			At(fail.Where{Option: "export"}).Try("use activations = \"none\" and weights of int8 or fewer bits")
	}
	if p.o.Weights == "mixed" && p.o.Block > 0 {
		return fail.New(fail.Unsupported, "weights = \"mixed\" in blocks is not supported").At(fail.Where{Option: "block"}).Try("set block to 0")
	}
	if p.o.Weights == "nested" && (p.o.Activations == "dynamic" || p.o.ReduceRange == "on" || p.o.Export == "matmulnbits" || p.o.Block > 0) {
		return fail.New(fail.Unsupported, "weights = \"nested\" with dynamic activations, reduce_range, blocks or export = \"matmulnbits\" is not supported").
			At(fail.Where{Option: "weights"}).Try("leave them at their defaults")
	}
	if p.o.Weights == "nested" && (p.o.Rounding == "adaround" || p.o.Rounding == "auto" || !p.o.PerChannel) {
		return fail.New(fail.Unsupported, "weights = \"nested\" with rounding = %q or one scale for a layer is not supported", p.o.Rounding).
			At(fail.Where{Option: "rounding"}).Try("use rounding = \"gptq\" and per_channel = true")
	}
	if p.o.Activations != "none" && p.o.Weights != "int8" && p.o.Weights != "nested" && (p.o.Weights != "mixed" || !p.o.static()) {
		return fail.New(fail.Unsupported, "weights = %q with activations = %q is not supported", p.o.Weights, p.o.Activations).
			At(fail.Where{Option: "weights"}).Try("use activations = \"none\", or weights = \"int8\" or \"nested\"")
	}
	if err := p.o.layers(); err != nil {
		return err
	}
	b := p.o.Block
	if b == 0 {
		return nil
	}
	if b < 16 || b&(b-1) != 0 {
		return fail.New(fail.Invalid, "block = %d is not supported", b).At(fail.Where{Option: "block"}).Try("use 0, 16, 32, 64, 128 or 256")
	}
	if p.o.Activations != "none" || !precisions[p.o.Weights].scaled {
		return fail.New(fail.Unsupported, "weights = %q with activations = %q have no scales for blocks", p.o.Weights, p.o.Activations).
			At(fail.Where{Option: "block"}).Try("set block to 0, or use activations = \"none\" with integers or fp8")
	}
	return nil
}

// Check predicts which layers become integer layers; it needs no data.
func (p *pass) Check(env *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	if err := p.supported(); err != nil {
		return nil, err
	}
	s, err := selectNodes(env, m, p.o, plan{})
	if err != nil {
		return nil, err
	}
	return s.found, nil
}

// minOpset is where QuantizeLinear and DequantizeLinear got an axis; minIR is what that opset came with.
const minOpset, minIR = 13, 7

// Apply quantizes. fail.Usage without calibration data where values are quantized.
func (p *pass) Apply(ctx context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	if err := p.supported(); err != nil {
		return nil, nil, err
	}
	j, err := newJob(ctx, env, p.o, m)
	if err != nil {
		return nil, nil, err
	}
	if j == nil {
		s, err := selectNodes(env, m, p.o, plan{})
		if err != nil {
			return nil, nil, err
		}
		return m, s.found, nil
	}
	return j.run(ctx)
}

func names(m *model.Model) map[string]bool {
	used := map[string]bool{}
	for _, v := range m.Graph.Inputs {
		used[v.Name] = true
	}
	for _, in := range m.Graph.Inits {
		used[in.Name] = true
	}
	for _, n := range m.Graph.Nodes {
		for _, o := range n.Outputs {
			used[o] = true
		}
	}
	return used
}

// fresh is a name that the graph does not use yet.
func fresh(used map[string]bool, name string) string {
	base := name
	for k := 2; used[name]; k++ {
		name = fmt.Sprintf("%s_%d", base, k)
	}
	used[name] = true
	return name
}
