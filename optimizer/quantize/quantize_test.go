package quantize

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/internal/spec"
	"fettle/model"
	"fettle/model/text"
	"fettle/ops"
	"fettle/optimizer"
)

func TestQuantizeWeights(t *testing.T) {
	for _, c := range []struct {
		name  string
		w     []float32
		shape []int
		axis  int
		per   bool
		q     []int8
		scale []float32
	}{
		{"rows", []float32{1.27, -0.635, 0.254, 0.127}, []int{2, 2}, 0, true, []int8{127, -64, 127, 64}, []float32{0.01, 0.002}},
		{"columns", []float32{1.27, -0.254, 0.635, 0.127}, []int{2, 2}, 1, true, []int8{127, -127, 64, 64}, []float32{0.01, 0.002}},
		{"one scale", []float32{1.27, 0, 0.254, 0.01}, []int{2, 2}, 0, false, []int8{127, 0, 25, 1}, []float32{0.01, 0.01}},
		{"zeros", []float32{0, 0, 2, -2}, []int{2, 2}, 0, true, []int8{0, 0, 127, -127}, []float32{1, 2.0 / 127}},
		{"denormal", []float32{1e-42, 0, 1, 1}, []int{2, 2}, 0, true, []int8{0, 0, 127, 127}, []float32{1, 1.0 / 127}},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, scale := QuantizeWeights(model.Float32s(c.w, c.shape...), c.axis, c.per, nil)
			for i, want := range c.q {
				if got := int8(q.Raw[i]); got != want {
					t.Errorf("element %d is %d, want %d", i, got, want)
				}
			}
			for i, want := range c.scale {
				if math.Abs(float64(scale[i]-want)) > 1e-6*float64(want) {
					t.Errorf("scale %d is %v, want %v", i, scale[i], want)
				}
			}
		})
	}
}

func TestWeightErrorIsHalfAStep(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	w := model.NewTensor(model.Float32, 5, 7, 3)
	for i := range model.Data[float32](w) {
		model.Data[float32](w)[i] = float32(r.NormFloat64() * math.Exp(4*r.NormFloat64()))
	}
	for axis := range 3 {
		q, scale := QuantizeWeights(w, axis, true, nil)
		inner := []int{21, 3, 1}[axis]
		for i, x := range model.Data[float32](w) {
			s := scale[i/inner%w.Shape[axis]]
			if d := math.Abs(float64(x) - float64(s)*float64(int8(q.Raw[i]))); d > 0.5001*float64(s) || int8(q.Raw[i]) == -128 {
				t.Fatalf("axis %d element %d: %v became %d of %v", axis, i, x, int8(q.Raw[i]), s)
			}
		}
	}
}

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		min, max float64
		lo, hi   int
		zero     int
	}{{0, 255, -128, 127, -128}, {-255, 0, -128, 127, 127}, {-1, 1, 0, 255, 127}, {0, 0, -128, 127, -128}, {0, 1e-44, 0, 255, 0}, {-3, 1, -128, 127, 63}} {
		s := asymmetric(c.min, c.max, c.lo, c.hi)
		if s.zero != c.zero || !(s.scale > 0) || s.zero < s.lo || s.zero > s.hi {
			t.Errorf("[%v, %v]: %+v, want zero %d", c.min, c.max, s, c.zero)
		}
	}
}

func TestHistogramGrows(t *testing.T) {
	h := &histogram{}
	for _, v := range [][]float32{{0, 0}, {0.5, -0.25}, {100, -3}, {1e6}} {
		if err := h.add(v); err != nil {
			t.Fatal(err)
		}
	}
	n := int64(0)
	for _, c := range h.count {
		n += c
	}
	if n != 7 || h.n != 7 || h.max != 1e6 || h.min != -3 || h.limit < 1e6 || h.limit > 2.1e6 {
		t.Fatalf("%d counted of %d, [%v, %v], limit %v", n, h.n, h.min, h.max, h.limit)
	}
	if err := h.add([]float32{float32(math.NaN())}); !fail.Is(err, fail.Invalid) {
		t.Fatalf("NaN: %v", err)
	}
}

// TestLeastError: on values with a heavy tail clipping is better than the whole range, and the choice is at least
// as good as the range on the true values, not only on the histogram.
func TestLeastError(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	values := make([]float32, 20000)
	for i := range values {
		values[i] = float32(math.Max(r.NormFloat64(), 0))
	}
	values[7] = 40
	h := &histogram{}
	if err := h.add(values); err != nil {
		t.Fatal(err)
	}
	real := func(s step) (sum float64) {
		for _, v := range values {
			q := math.RoundToEven(float64(v)/float64(s.scale)) + float64(s.zero)
			q = min(max(q, float64(s.lo)), float64(s.hi))
			d := float64(v) - (q-float64(s.zero))*float64(s.scale)
			sum += d * d
		}
		return sum
	}
	all, best := asymmetric(h.min, h.max, -128, 127), h.leastError(-128, 127)
	if real(best) > real(all) || best.scale >= all.scale {
		t.Errorf("error %v with %+v, %v with the whole range", real(best), best, real(all))
	}
}

// TestClippingCalibrations: far outliers widen the whole range, and every calibration but minmax leaves them out.
func TestClippingCalibrations(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	values := make([]float32, 100000)
	for i := range values {
		values[i] = float32(r.NormFloat64())
	}
	values[7], values[8] = 60, -25
	h := &histogram{}
	if err := h.add(values); err != nil {
		t.Fatal(err)
	}
	low, high := h.percentile(99.9)
	if math.Abs(low+3.29) > 0.15 || math.Abs(high-3.29) > 0.15 {
		t.Errorf("99.9 %% lie in [%v, %v], want ±3.29", low, high)
	}
	if low, high = h.percentile(100); low != h.min || high != h.max {
		t.Errorf("100 %% lie in [%v, %v]", low, high)
	}
	all := asymmetric(h.min, h.max, -128, 127)
	s := h.leastDivergence(-128, 127)
	if s.scale > all.scale/2 || s.scale < 6.0/255 {
		t.Errorf("entropy chose %+v of %+v", s, all)
	}
	if h.divergence(s) >= h.divergence(all) {
		t.Error("the choice diverges more than the whole range")
	}
	for _, h := range []*histogram{{}, {limit: 1, max: 0.5, n: 1}} { // nothing but zeros; one value
		if h.limit > 0 {
			h.count[bins*3/4] = 1
		}
		for _, s := range []step{h.leastDivergence(-128, 127), h.leastError(0, 255)} {
			if !(s.scale > 0) || s.zero < s.lo || s.zero > s.hi {
				t.Errorf("%+v", s)
			}
		}
	}
}

// TestSigmoidHasAFixedScale, alone or moved; beside other values in a Concat it has theirs.
func TestSigmoidHasAFixedScale(t *testing.T) {
	m := parse(t, `g (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y, float[1, 4, 4, 4] z)
<float[2, 2, 1, 1] w = random(1)>
{
  a = Conv (x, w)
  b = Sigmoid (a)
  c = MaxPool <kernel_shape = [1, 1]> (b)
  y = Conv (c, w)
  z = Concat <axis = 1> (a, y)
}`)
	out, _ := apply(t, m, nil)
	scale := func(v string) float32 {
		return model.Data[float32](out.Graph.Init(out.Graph.Producer(v).Inputs[1]))[0]
	}
	if scale("b_q") != 1.0/256 || scale("c_q") != 1.0/256 || scale("a_q") == 1.0/256 {
		t.Errorf("scales %v, %v, %v", scale("b_q"), scale("c_q"), scale("a_q"))
	}
}

const net = `g (float[N, 3, 8, 8] x) => (float[N, 5] y)
<float[4, 3, 3, 3] w1 = random(1), float[4] b1 = random(2), float[4, 4, 3, 3] w2 = random(3, -0.3, 0.3), float[4] b2 = random(4),
 float[5, 8] w3 = random(5), float[5] b3 = random(6)>
{
  [conv1] a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
  [relu1] b = Relu (a)
  [conv2] c = Conv <pads = [1, 1, 1, 1]> (b, w2, b2)
  [add] d = Add (c, b)
  [relu2] e = Relu (d)
  [pool] f = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (e)
  [pool2] f2 = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [0, 0, 1, 1]> (e)
  [cat] h = Concat <axis = 1> (f, f2)
  [gap] i = GlobalAveragePool (h)
  [flat] j = Flatten (i)
  [fc] y = Gemm <transB = 1> (j, w3, b3)
}`

// items are random inputs in the form of calibration data.
type items []map[string]*model.Tensor

func (d items) Len() int     { return len(d) }
func (d items) Hash() string { return "random" }
func (d items) Each(_ context.Context, limit int, visit func(int, map[string]*model.Tensor) error) error {
	for i, x := range d[:min(limit, len(d))] {
		if err := visit(i, x); err != nil {
			return err
		}
	}
	return nil
}

func apply(t *testing.T, m *model.Model, options map[string]any, exclude ...string) (*model.Model, []optimizer.Finding) {
	t.Helper()
	p := New()
	if err := spec.Decode(p.Options(), options); err != nil {
		t.Fatal(err)
	}
	in, err := optimizer.RandomInputs(m, 16, 3)
	if err != nil {
		t.Fatal(err)
	}
	env := &optimizer.Env{Data: items(in)}
	if exclude != nil {
		if env.Scope, err = (optimizer.Scope{Exclude: exclude}).Compile(); err != nil {
			t.Fatal(err)
		}
	}
	out, found, err := p.Apply(context.Background(), env, m)
	if err != nil {
		t.Fatal(err)
	}
	return out, found
}

func parse(t *testing.T, s string) *model.Model {
	t.Helper()
	m, err := text.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestShapeOfTheGraph(t *testing.T) {
	m := parse(t, net)
	out, found := apply(t, m, nil)
	want := strings.Fields("QuantizeLinear DequantizeLinear DequantizeLinear DequantizeLinear Conv Relu QuantizeLinear DequantizeLinear " +
		"DequantizeLinear DequantizeLinear Conv QuantizeLinear DequantizeLinear Add Relu QuantizeLinear DequantizeLinear " +
		"MaxPool QuantizeLinear DequantizeLinear MaxPool QuantizeLinear DequantizeLinear Concat QuantizeLinear DequantizeLinear " +
		"GlobalAveragePool QuantizeLinear DequantizeLinear Flatten QuantizeLinear DequantizeLinear DequantizeLinear DequantizeLinear Gemm")
	var got []string
	for _, n := range out.Graph.Nodes {
		got = append(got, n.Op)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("got  %v\nwant %v", got, want)
	}
	if len(found) != 5 || found[0].Gain.Bytes <= 0 || found[3].Label != "pairs of weights" || found[4].Label != "bias correction" {
		t.Fatalf("%+v", found)
	}
	g := out.Graph
	scale := func(node string) string { return g.Producer(node).Inputs[1] }
	if scale("e_q") != scale("f_q") || scale("f_q") != scale("f2_q") || scale("f_q") != scale("h_q") || scale("i_q") != scale("j_q") || scale("e_q") == scale("b_q") {
		t.Error("pools, concat and flatten do not share scales")
	}
	for _, in := range g.Inits {
		if in.Name == "w1" || in.Name == "b1" {
			t.Errorf("the float constant %s is still there", in.Name)
		}
	}
	for _, n := range g.Nodes {
		if len(n.Origin) == 0 {
			t.Errorf("node %s has no origin", n.Label())
		}
	}
	if again, _ := apply(t, m, nil); again.Hash() != out.Hash() {
		t.Error("the same data gave another model")
	}
}

// TestAccuracy compares with the float model; the broken control shows that the bound can fail.
func TestAccuracy(t *testing.T) {
	m := parse(t, net)
	in, _ := optimizer.RandomInputs(m, 16, 3)
	for _, c := range []struct {
		name    string
		options map[string]any
		limit   float64
	}{
		{"int8 minmax", map[string]any{"calibration": "minmax"}, 0.03},
		{"int8 mse", nil, 0.03},
		{"int8 percentile", map[string]any{"calibration": "percentile"}, 0.03},
		{"int8 entropy", map[string]any{"calibration": "entropy"}, 0.05},
		{"uint8", map[string]any{"activations": "uint8"}, 0.03},
		{"one scale a weight", map[string]any{"per_channel": false}, 0.03},
		{"int16", map[string]any{"activations": "int16"}, 0.01},
		{"dynamic", map[string]any{"activations": "dynamic"}, 0.03},
		{"operators", map[string]any{"export": "qoperator"}, 0.03},
		{"weights only", map[string]any{"activations": "none"}, 0.01},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, _ := apply(t, m, c.options)
			p, err := optimizer.Prove(context.Background(), optimizer.Reference{}, m, out, in, optimizer.Scored)
			if err != nil {
				t.Fatal(err)
			}
			if p.MaxRel > c.limit || p.MaxRel == 0 {
				t.Errorf("off by %.4f of the largest output, want at most %v and not 0", p.MaxRel, c.limit)
			}
			if inf, _, err := ops.Infer(out, nil); err != nil || inf.Types["y"].DType != model.Float32 {
				t.Errorf("%v", err)
			}
		})
	}
	broken, _ := apply(t, m, nil)
	w := broken.Graph.Init("w2_q")
	keep := append([]byte(nil), w.Raw...)
	for i := range w.Raw {
		w.Raw[i] = byte(-int8(keep[i]))
	}
	p, err := optimizer.Prove(context.Background(), optimizer.Reference{}, m, broken, in, optimizer.Scored)
	if err != nil || p.MaxRel < 0.1 {
		t.Errorf("a model with a negated weight passes: %v %+v", err, p)
	}
}

func TestRefusals(t *testing.T) {
	m := parse(t, net)
	for k, v := range map[string]any{"weights": "int4"} {
		p := New()
		if err := spec.Decode(p.Options(), map[string]any{k: v}); err != nil {
			t.Fatal(err)
		}
		_, _, err := p.Apply(context.Background(), &optimizer.Env{}, m)
		if !fail.Is(err, fail.Unsupported) || !strings.Contains(err.Error(), fmt.Sprint(v)) {
			t.Errorf("%s = %v: %v", k, v, err)
		}
	}
	if _, _, err := New().Apply(context.Background(), &optimizer.Env{}, m); !fail.Is(err, fail.Usage) {
		t.Errorf("no data: %v", err)
	}
	out, found := apply(t, m, nil, "conv1")
	if found[0].Outcome != optimizer.Refused || found[0].Reason != "excluded by conv1" || out.Graph.Init("w1") == nil {
		t.Errorf("%+v", found[0])
	}
}

// TestBiasFits: a tiny weight scale with a large bias would overflow int32.
func TestBiasFits(t *testing.T) {
	m := parse(t, `g (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y)
<float[2, 2, 1, 1] w = {1e-9, 1e-9, 1.0, 1.0}, float[2] b = {1000.0, 1.0}>
{
  [conv] y = Conv (x, w, b)
}`)
	out, found := apply(t, m, nil)
	q := model.Data[int32](out.Graph.Init("b_q"))
	s := model.Data[float32](out.Graph.Init("b_scale"))
	if q[0] < 1<<29 || q[0] > biasLimit+1 || math.Abs(float64(q[0])*float64(s[0])-1000) > 1e-3 {
		t.Errorf("bias %d of %v", q[0], s[0])
	}
	if !strings.Contains(found[0].Reason, "raised") {
		t.Errorf("%+v", found[0])
	}
}

// TestReducedRange: two products of a byte and a 7-bit weight fit 16 bits, which is the point of the option.
func TestReducedRange(t *testing.T) {
	w := model.Float32s([]float32{1, -1, 0.5, 0.25, -3, 2}, 2, 3)
	q, scale := QuantizeWeights(w, 0, true, reducedFloor(w, 0))
	for i, x := range model.Data[float32](w) {
		v := int(int8(q.Raw[i]))
		if v < -reducedMax || v > reducedMax || 2*255*v > math.MaxInt16 || 2*255*v < math.MinInt16 {
			t.Errorf("weight %g became %d", x, v)
		}
		if d := math.Abs(float64(x) - float64(scale[i/3])*float64(v)); d > 0.5001*float64(scale[i/3]) {
			t.Errorf("weight %g is off by %g", x, d)
		}
	}
}

// TestSubgraphsReadIntegers: a body of If that reads a value which becomes integer reads the dequantized one.
func TestSubgraphsReadIntegers(t *testing.T) {
	m := parse(t, `g (float[1, 3, 4, 4] x, bool go) => (float[1, 2, 4, 4] y) <float[2, 3, 1, 1] w = random(1), float[2, 2, 1, 1] v = random(2)> {
  a = Conv (x, w)
  [rest] b = Conv (a, v)
  y = If <then_branch = yes () => (float[1, 2, 4, 4] p) { p = Relu (a) }, else_branch = no () => (float[1, 2, 4, 4] q) { q = Neg (a) }> (go)
}`)
	in, err := optimizer.RandomInputs(parse(t, `g (float[1, 3, 4, 4] x) => (float[1, 3, 4, 4] y) { y = Relu (x) }`), 6, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i := range in {
		in[i]["go"] = &model.Tensor{DType: model.Bool, Raw: []byte{byte(i % 2)}}
	}
	out, _, err := New().Apply(context.Background(), &optimizer.Env{Data: items(in)}, m)
	if err != nil {
		t.Fatal(err)
	}
	dq := out.Graph.Users("a")
	if len(dq) != 1 || dq[0].Op != "QuantizeLinear" {
		t.Errorf("%d nodes read the float value", len(dq))
	}
	p, err := optimizer.Prove(context.Background(), optimizer.Reference{}, m, out, in, optimizer.Scored)
	if err != nil || p.MaxRel > 0.05 {
		t.Errorf("%+v %v", p, err)
	}
}

// TestBodiesAreNamed: weights in bodies and recurrent layers stay float, each under its own name; strict refuses them.
func TestBodiesAreNamed(t *testing.T) {
	m := parse(t, `g (float[1, 3, 4, 4] x, bool go) => (float[1, 2, 4, 4] y) <float[2, 3, 1, 1] w = random(1), float[2, 2, 1, 1] v = random(2)> {
  a = Conv (x, w)
  [choice] y = If <then_branch = yes () => (float[1, 2, 4, 4] p) { [deep] p = Conv (a, v) }, else_branch = no () => (float[1, 2, 4, 4] q) { q = Neg (a) }> (go)
}`)
	p := New()
	found, err := p.(*pass).Check(&optimizer.Env{}, m)
	if err != nil {
		t.Fatal(err)
	}
	want := "deep: Conv lies in a body of If choice and stays float"
	if !slices.ContainsFunc(found, func(f optimizer.Finding) bool {
		return f.Label+": "+f.Reason == want && f.Outcome == optimizer.Refused
	}) {
		t.Errorf("%+v", found)
	}
	if err := spec.Decode(p.Options(), map[string]any{"strict": true}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.(*pass).Check(&optimizer.Env{}, m); !fail.Is(err, fail.Unsupported) || !strings.Contains(err.Error(), "body of If choice") {
		t.Errorf("strict: %v", err)
	}
	scope, err := (optimizer.Scope{Exclude: []string{"choice"}}).Compile()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.(*pass).Check(&optimizer.Env{Scope: scope}, m); err != nil {
		t.Errorf("strict, out of scope: %v", err)
	}
}
