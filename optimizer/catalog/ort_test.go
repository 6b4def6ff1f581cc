package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"fettle/kernels/cpu"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/model/text"
	"fettle/ops"
	"fettle/optimizer"
)

const root = "../.."

// ort runs exported files in ONNX Runtime through node; the test is skipped where it cannot be had.
func ort(t *testing.T) func(t *testing.T, m *model.Model, level string, inputs []map[string]*model.Tensor) [][]*model.Tensor {
	t.Helper()
	if testing.Short() {
		t.Skip("ONNX Runtime is not run with -short")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed: exported files are not run in ONNX Runtime")
	}
	if out, err := exec.Command(root + "/scripts/ort/install.sh").CombinedOutput(); err != nil {
		t.Skipf("onnxruntime-node cannot be installed: %s", out)
	}
	return runORT
}

type described struct {
	Name  string `json:"name,omitempty"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	File  string `json:"file"`
}

func runORT(t *testing.T, m *model.Model, level string, inputs []map[string]*model.Tensor) [][]*model.Tensor {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "model.onnx")
	if err := onnx.WriteFile(file, m); err != nil {
		t.Fatal(err)
	}
	var list []map[string]described
	for i, in := range inputs {
		row := map[string]described{}
		for name, x := range in {
			f := fmt.Sprintf("in-%d-%s", i, name)
			write(f, x.Raw)
			row[name] = described{DType: x.DType.String(), Shape: x.Shape, File: f}
		}
		list = append(list, row)
	}
	b, _ := json.Marshal(list)
	write("list.json", b)
	c := exec.Command("node", root+"/scripts/ort/run.js", file, dir, dir)
	modules, _ := filepath.Abs(root + "/.cache/ort/node_modules")
	c.Env = append(os.Environ(), "NODE_PATH="+modules, "ORT_DISABLE_TELEMETRY=1", "ORT_LEVEL="+level)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("ONNX Runtime: %v: %s\n%s", err, out, text.Print(m, text.Options{}))
	}
	b, err := os.ReadFile(filepath.Join(dir, "outputs.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]described
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatal(err)
	}
	var all [][]*model.Tensor
	for _, row := range rows {
		var out []*model.Tensor
		for _, d := range row {
			raw, err := os.ReadFile(filepath.Join(dir, d.File))
			if err != nil {
				t.Fatal(err)
			}
			dt, _ := model.ParseDType(d.DType)
			out = append(out, &model.Tensor{DType: dt, Shape: d.Shape, Raw: raw})
		}
		all = append(all, out)
	}
	return all
}

// every has all activation functions, a residual sum, batch normalisations and an old opset.
const every = `<ir_version: 4, opset_import: ["" : 12]>
every (float[N, 3, 8, 8] x, float[4] b1) => (float[N, 5] y)
<float[4, 3, 3, 3] w1 = random(1, -0.4, 0.4), float[4] b1 = random(2), float[4] s = random(3, 0.5, 1.5), float[4] t = random(4), float[4] m = random(5),
 float[4] v = random(6, 0.5, 2), float[4, 4, 3, 3] w2 = random(7, -0.3, 0.3), float[4, 4, 1, 1] w3 = random(8, -0.6, 0.6), float lo = {0.0}, float hi = {6.0},
 float[4, 5] w4 = random(9), float[5] b4 = random(10), float[5, 5] w5 = random(11)>
{
  [conv1] a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
  [bn1] a1 = BatchNormalization (a, s, t, m, v)
  [relu1] a2 = Relu (a1)
  [conv2] b = Conv <pads = [1, 1, 1, 1]> (a2, w2)
  [bn2] c = BatchNormalization (b, s, t, m, v)
  [add] d = Add (c, a2)
  [relu2] e = Relu (d)
  [conv3] f = Conv (e, w3)
  [relu6] f2 = Clip (f, lo, hi)
  [conv4] h = Conv (f2, w3)
  [gate] hs = Sigmoid (h)
  [silu] i = Mul (h, hs)
  [conv5] j = Conv (i, w3)
  [leaky] j2 = LeakyRelu <alpha = 0.1> (j)
  [conv6] k = Conv (j2, w3)
  [hard] ks = HardSigmoid <alpha = 0.16666667, beta = 0.5> (k)
  [hswish] l = Mul (k, ks)
  [sum] n = Add (l, j2)
  [relu3] o = Relu (n)
  [gap] p = GlobalAveragePool (o)
  [flat] q = Flatten (p)
  [drop] q2 = Dropout <ratio = 0.5> (q)
  [fc] r = Gemm (q2, w4, b4)
  [sig] r2 = Sigmoid (r)
  [mm] u = MatMul (r2, w5)
  [leaky2] y = LeakyRelu (u)
}`

func everyModel(t *testing.T) *model.Model {
	t.Helper()
	m, err := text.Parse(every)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func run(t *testing.T, m *model.Model, r *optimizer.Recipe, data optimizer.Data) []optimizer.Step {
	t.Helper()
	env := optimizer.Env{Passes: Passes(), Data: data}
	steps, err := optimizer.Run(context.Background(), m, r, env)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// TestStandardFuses: the recipe folds and fuses all that it should, and the outputs stay.
func TestStandardFuses(t *testing.T) {
	m := everyModel(t)
	steps := run(t, m, Standard(), nil)
	last := steps[len(steps)-1].Model
	if n := len(last.Graph.Nodes); n != 11 {
		t.Errorf("%d nodes are left, want 11:\n%s", n, text.Print(last, text.Options{}))
	}
	in, err := optimizer.RandomInputs(m, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := optimizer.Prove(context.Background(), optimizer.Reference{}, m, last, in, optimizer.Rounding)
	if err != nil || !p.Within {
		t.Fatalf("%v %+v", err, p)
	}
	rep, err := optimizer.MakeReport(m, steps)
	if err != nil || len(rep.Steps) != len(Standard().Steps) || rep.Steps[2].After.Nodes >= rep.Steps[2].Before.Nodes {
		t.Fatalf("%v %+v", err, rep)
	}
}

// TestExportsRunInONNXRuntime: the file that we save means the same there as here, fused and quantized.
func TestExportsRunInONNXRuntime(t *testing.T) {
	runs := ort(t)
	m := everyModel(t)
	in, err := optimizer.RandomInputs(m, 6, 1)
	if err != nil {
		t.Fatal(err)
	}
	quantized := func(a, w string, reduce bool) *optimizer.Recipe {
		r := Standard()
		r.Steps = append(r.Steps, optimizer.RecipeStep{Pass: "quantize", Options: map[string]any{"activations": a, "calibration": w, "reduce_range": reduce}})
		return r
	}
	// Without VNNI, ONNX Runtime's integer kernels saturate with full-range weights, which is what reduce_range is for.
	f := cpu.Detect()
	reduce := f.Arch == "amd64" && !f.VNNI
	weights := func(w string) *optimizer.Recipe {
		r := Standard()
		o := map[string]any{"activations": "none", "weights": w}
		r.Steps = append(r.Steps, optimizer.RecipeStep{Pass: "quantize", Options: o})
		return r
	}
	plain := &optimizer.Recipe{Schema: 1, Steps: []optimizer.RecipeStep{{Pass: "eliminate-dead", Options: map[string]any{"input_weights": "fix"}}, {Pass: "fold-batchnorm"},
		{Pass: "quantize", Options: map[string]any{"reduce_range": reduce}}}}
	with := func(o map[string]any) *optimizer.Recipe {
		r := *plain
		r.Steps = append(append([]optimizer.RecipeStep(nil), plain.Steps[:2]...), optimizer.RecipeStep{Pass: "quantize", Options: o})
		return &r
	}
	clustered := func(n int) *optimizer.Recipe {
		r := Standard()
		r.Steps = append(r.Steps, optimizer.RecipeStep{Pass: "cluster-weights", Options: map[string]any{"clusters": n}})
		return r
	}
	nf4 := Standard()
	nf4.Steps = append(nf4.Steps, optimizer.RecipeStep{Pass: "cluster-weights", Options: map[string]any{"table": "nf4", "block": 16}})
	for _, c := range []struct {
		name  string
		r     *optimizer.Recipe
		level string
		limit float64 // of the largest output
	}{
		{"fused, as written", Standard(), "disabled", 1e-5},
		{"fused, optimised", Standard(), "all", 1e-4},
		{"int8, as written", quantized("int8", "mse", false), "disabled", 0.02},
		{"int8, optimised", quantized("int8", "mse", reduce), "all", 0.05},
		{"uint8, optimised", quantized("uint8", "minmax", reduce), "all", 0.05},
		{"weights only, as written", quantized("none", "mse", false), "disabled", 1e-5},
		// With all optimisations ONNX Runtime rounds the values of such matrix products to 8 bits as well.
		{"weights only, optimised", quantized("none", "mse", false), "all", 0.02},
		{"int4, as written", weights("int4"), "disabled", 1e-5},
		{"int4, optimised", weights("int4"), "all", 0.02},
		{"int3, as written", weights("int3"), "disabled", 1e-5},
		{"fp8, as written", weights("fp8"), "disabled", 1e-5},
		{"fp8, optimised", weights("fp8"), "all", 0.02},
		{"e5m2, as written", weights("e5m2"), "disabled", 1e-5},
		{"fp16, optimised", weights("fp16"), "all", 1e-4},
		{"bf16, optimised", weights("bf16"), "all", 1e-4},
		{"int8 without fusion", plain, "all", 0.05},
		{"operators, as written", with(map[string]any{"export": "qoperator", "reduce_range": reduce}), "disabled", 0.02},
		{"operators, optimised", with(map[string]any{"export": "qoperator", "reduce_range": reduce}), "all", 0.02},
		{"int16, as written", with(map[string]any{"activations": "int16"}), "disabled", 1e-3},
		{"dynamic, as written", with(map[string]any{"activations": "dynamic", "reduce_range": reduce}), "disabled", 1e-4},
		{"dynamic, optimised", with(map[string]any{"activations": "dynamic", "reduce_range": reduce}), "all", 1e-2},
		{"gptq int3, as written", with(map[string]any{"activations": "none", "weights": "int3", "rounding": "gptq"}), "disabled", 1e-5},
		{"codebooks of 4 bits, as written", clustered(16), "disabled", 1e-5},
		{"codebooks of 4 bits, optimised", clustered(16), "all", 1e-4},
		{"codebooks of 8 bits, optimised", clustered(20), "all", 1e-4},
		{"NF4, as written", nf4, "disabled", 1e-5},
		{"NF4, optimised", nf4, "all", 1e-4},
		{"mixed, as written", with(map[string]any{"activations": "none", "weights": "mixed", "size": 30.0}), "disabled", 1e-5},
	} {
		t.Run(c.name, func(t *testing.T) {
			steps := run(t, m, c.r, items(in))
			last := steps[len(steps)-1].Model
			got := runs(t, last, c.level, in)
			worst, largest := 0.0, 0.0
			for i := range in {
				want, err := ops.Evaluate(context.Background(), last, in[i])
				if err != nil {
					t.Fatal(err)
				}
				for k := range want[0].Len() {
					worst = math.Max(worst, math.Abs(want[0].Float64At(k)-got[i][0].Float64At(k)))
					largest = math.Max(largest, math.Abs(want[0].Float64At(k)))
				}
			}
			t.Logf("largest difference %.2g of %.2g", worst, largest)
			if worst > c.limit*largest || largest == 0 {
				t.Errorf("ONNX Runtime differs by %.3g, largest output %.3g", worst, largest)
			}
		})
	}
}

// wide has sums that are longer than a block, along each axis that they can have.
const wide = `<ir_version: 8, opset_import: ["" : 15]>
wide (float[1, 40, 6, 6] x) => (float[1, 6] y)
<float[48, 40, 3, 3] w1 = random(1, -0.1, 0.1), float[40, 24, 1, 1] w2 = random(2, -0.4, 0.4), float[40, 33] w3 = random(3), float[6, 33] w4 = random(4), float[6] b4 = random(5)>
{
  [conv1] a = Conv <pads = [1, 1, 1, 1]> (x, w1)
  [conv2] b = Conv <group = 2> (a, w2)
  [gap] c = GlobalAveragePool (b)
  [flat] d = Flatten (c)
  [mm] e = MatMul (d, w3)
  [fc] y = Gemm <transB = 1> (e, w4, b4)
}`

// TestNarrowWeightsRunInONNXRuntime: blocks and 4-bit integers mean the same there as here.
func TestNarrowWeightsRunInONNXRuntime(t *testing.T) {
	runs := ort(t)
	m, err := text.Parse(wide)
	if err != nil {
		t.Fatal(err)
	}
	in, err := optimizer.RandomInputs(m, 6, 1)
	if err != nil {
		t.Fatal(err)
	}
	nbits := map[string]any{"export": "matmulnbits"}
	for _, c := range []struct {
		weights string
		block   int
		level   string
		limit   float64
		options map[string]any
	}{
		{"int4", 0, "disabled", 1e-5, nil}, {"int4", 16, "disabled", 1e-5, nil}, {"int4", 32, "disabled", 1e-5, nil}, {"int3", 32, "disabled", 1e-5, nil}, {"int8", 16, "disabled", 1e-5, nil},
		{"fp8", 16, "disabled", 1e-5, nil},
		// With all optimisations ONNX Runtime multiplies such matrices by values of 8 bits.
		{"int4", 32, "all", 0.03, nil}, {"int8", 16, "all", 0.03, nil},
		{"int4", 32, "all", 0.03, nbits}, {"int4", 0, "all", 0.03, nbits}, {"int8", 32, "all", 0.03, nbits}, {"int3", 16, "disabled", 0.03, nbits}, {"int2", 16, "disabled", 0.03, nbits},
		{"int4", 0, "disabled", 0.03, map[string]any{"export": "matmulnbits", "rounding": "gptq"}},
	} {
		t.Run(fmt.Sprintf("%s block %d %s %v", c.weights, c.block, c.level, c.options), func(t *testing.T) {
			o := map[string]any{"activations": "none", "weights": c.weights, "block": c.block}
			maps.Copy(o, c.options)
			r := &optimizer.Recipe{Schema: 1, Steps: []optimizer.RecipeStep{{Pass: "quantize", Options: o}}}
			steps := run(t, m, r, items(in))
			last := steps[0].Model
			blocked, packed := 0, 0
			for _, n := range last.Graph.Nodes {
				if n.Op == "MatMulNBits" {
					packed++
				} else if n.Int("block_size", 0) > 0 {
					blocked++
				}
			}
			if c.options != nil {
				if packed != 2 {
					t.Errorf("%d products became MatMulNBits, want 2", packed)
				}
			} else if want := map[int]int{0: 0, 16: 4, 32: 3}[c.block]; blocked != want {
				t.Errorf("%d weights are in blocks, want %d", blocked, want)
			}
			got := runs(t, last, c.level, in)
			worst, largest := 0.0, 0.0
			for i := range in {
				want, err := ops.Evaluate(context.Background(), last, in[i])
				if err != nil {
					t.Fatal(err)
				}
				for k := range want[0].Len() {
					worst = math.Max(worst, math.Abs(want[0].Float64At(k)-got[i][0].Float64At(k)))
					largest = math.Max(largest, math.Abs(want[0].Float64At(k)))
				}
			}
			t.Logf("largest difference %.2g of %.2g", worst, largest)
			if worst > c.limit*largest || largest == 0 {
				t.Errorf("ONNX Runtime differs by %.3g, largest output %.3g", worst, largest)
			}
		})
	}
}

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
