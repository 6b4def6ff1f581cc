package tflite_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/text"
	"fettle/model/tflite"
	"fettle/ops"
)

const header = `<ir_version: 10, opset_import: ["" : 21, "fettle" : 1]>
g (float[1, 4, 6, 7] x) => (%s)
<%s>
{
%s
}`

// ops that are written, read again, and run in TensorFlow Lite where it is there. Sizes differ in every dimension, so that an order that was
// forgotten shows.
var cases = []struct{ name, out, consts, body, want string }{
	{"conv, padding as SAME has it", "float[1, 5, 6, 7] y", "float[5, 4, 3, 3] w = random(1, -1, 1), float[5] b = random(2, -1, 1)", "y = Conv <pads = [1, 1, 1, 1]> (x, w, b)", "CONV_2D"},
	{"conv, stride 2, symmetric padding", "float[1, 5, 3, 4] y", "float[5, 4, 3, 3] w = random(1, -1, 1)", "y = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w)", "PAD CONV_2D"},
	{"conv, padding on one side", "float[1, 5, 6, 8] y", "float[5, 4, 2, 2] w = random(1, -1, 1)", "y = Conv <pads = [1, 2, 0, 0]> (x, w)", "PAD CONV_2D"},
	{"conv, auto padding at the end", "float[1, 5, 6, 7] y", "float[5, 4, 2, 2] w = random(1, -1, 1)", `y = Conv <auto_pad = "SAME_UPPER"> (x, w)`, "CONV_2D"},
	{"conv, auto padding in front", "float[1, 5, 6, 7] y", "float[5, 4, 2, 2] w = random(1, -1, 1)", `y = Conv <auto_pad = "SAME_LOWER"> (x, w)`, "PAD CONV_2D"},
	{"conv, dilated", "float[1, 5, 2, 3] y", "float[5, 4, 3, 3] w = random(1, -1, 1)", "y = Conv <dilations = [2, 2]> (x, w)", "CONV_2D"},
	{"conv and relu", "float[1, 5, 4, 5] y", "float[5, 4, 3, 3] w = random(1, -1, 1)", "c = Conv (x, w)\ny = Relu (c)", "CONV_2D"},
	{"conv that two read, and relu", "float[1, 5, 4, 5] y, float[1, 5, 4, 5] z", "float[5, 4, 3, 3] w = random(1, -1, 1)", "c = Conv (x, w)\ny = Relu (c)\nz = Sigmoid (c)", "CONV_2D RELU LOGISTIC"},
	{"depthwise", "float[1, 4, 6, 7] y", "float[4, 1, 3, 3] w = random(1, -1, 1)", "y = Conv <group = 4, pads = [1, 1, 1, 1]> (x, w)", "DEPTHWISE_CONV_2D"},
	{"depthwise, two outputs a channel", "float[1, 8, 4, 5] y", "float[8, 1, 3, 3] w = random(1, -1, 1)", "y = Conv <group = 4> (x, w)", "DEPTHWISE_CONV_2D"},
	{"two groups", "float[1, 6, 4, 5] y", "float[6, 2, 3, 3] w = random(1, -1, 1), float[6] b = random(3, -1, 1)", "y = Conv <group = 2> (x, w, b)", "SPLIT CONV_2D CONV_2D CONCATENATION"},
	{"fused conv with sum and clamp", "float[1, 4, 6, 7] y", "float[4, 4, 3, 3] w = random(1, -1, 1), float[4] b = random(2, -1, 1)",
		`y = fettle.Conv <pads = [1, 1, 1, 1], activation = "clip", min = 0.0, max = 6.0> (x, w, b, x)`, "CONV_2D ADD"},
	{"fused conv with SiLU", "float[1, 5, 4, 5] y", "float[5, 4, 3, 3] w = random(1, -1, 1)", `y = fettle.Conv <activation = "silu"> (x, w)`, "CONV_2D LOGISTIC MUL"},
	{"max pool", "float[1, 4, 3, 3] y", "", "y = MaxPool <kernel_shape = [2, 3], strides = [2, 2]> (x)", "MAX_POOL_2D"},
	{"max pool, padded, of any numbers", "float[1, 4, 3, 4] y", "", "y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x)", "PADV2 MAX_POOL_2D"},
	{"max pool, padded, of what is not negative", "float[1, 4, 3, 4] y", "", "r = Relu (x)\ny = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (r)", "RELU PAD MAX_POOL_2D"},
	{"max pool, sizes rounded up", "float[1, 4, 3, 4] y", "", "y = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (x)", "MAX_POOL_2D"},
	{"average pool, SAME", "float[1, 4, 6, 7] y", "", "y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)", "AVERAGE_POOL_2D"},
	{"average pool, padding counted", "float[1, 4, 6, 7] y", "", "y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (x)", "PAD AVERAGE_POOL_2D"},
	{"global average, flatten, product", "float[1, 3] y", "float[3, 4] w = random(1, -1, 1), float[3] b = random(2, -1, 1)", "g = GlobalAveragePool (x)\nf = Flatten (g)\ny = Gemm <transB = 1> (f, w, b)", "MEAN RESHAPE FULLY_CONNECTED"},
	{"picture flattened into a product", "float[1, 3] y", "float[168, 3] w = random(1, -1, 1), float[4, 4, 1, 1] k = random(4, -1, 1)", "c = Conv (x, k)\nf = Flatten (c)\ny = Gemm <alpha = 0.5> (f, w)", "CONV_2D RESHAPE FULLY_CONNECTED"},
	{"picture flattened for something else", "float[1, 168] y", "float[4, 4, 1, 1] k = random(4, -1, 1)", "c = Conv (x, k)\nf = Flatten (c)\ny = Relu (f)", "CONV_2D TRANSPOSE RESHAPE RELU"},
	{"channels scaled, constants of channels", "float[1, 4, 6, 7] y", "float[4, 1, 1] k = random(1, -1, 1), float[1, 4, 1, 1] j = random(2, -1, 1), float[7] l = random(3, -1, 1)",
		"g = GlobalAveragePool (x)\ns = Sigmoid (g)\na = Mul (x, s)\nb = Add (a, k)\nc = Sub (b, j)\ny = Mul (c, l)", "MEAN LOGISTIC MUL ADD SUB MUL"},
	{"batch normalisation", "float[1, 4, 6, 7] y", "float[4] s = random(1, 0.5, 1), float[4] b = random(2, -1, 1), float[4] m = random(3, -1, 1), float[4] v = random(4, 0.5, 1), float[4, 4, 1, 1] k = random(4, -1, 1)",
		"c = Conv (x, k)\ny = BatchNormalization (c, s, b, m, v)", "CONV_2D MUL ADD"},
	{"concat, split, slice, pad", "float[1, 4, 7, 9] y", "float[4, 4, 1, 1] k = random(4, -1, 1), int64[2] st = {1, 0}, int64[2] en = {6, 7}, int64[2] ax = {2, 3}, int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}, int64[2] sz = {3, 5}",
		"c = Conv (x, k)\nd = Concat <axis = 1> (c, x)\na, b = Split <axis = 1> (d, sz)\ne = Concat <axis = 1> (b, a)\nf, g = Split <axis = 1, num_outputs = 2> (e)\nh = Slice (f, st, en, ax)\ny = Pad (h, p)",
		"CONV_2D CONCATENATION SPLIT_V CONCATENATION SPLIT STRIDED_SLICE PAD"},
	{"nearest by 2", "float[1, 4, 12, 14] y", "float[4] s = {1.0, 1.0, 2.0, 2.0}", `y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (x, , s)`, "RESIZE_NEAREST_NEIGHBOR"},
	{"nearest, half pixels", "float[1, 4, 12, 14] y", "float[4] s = {1.0, 1.0, 2.0, 2.0}", `y = Resize <mode = "nearest"> (x, , s)`, "RESIZE_NEAREST_NEIGHBOR"},
	{"linear, half pixels", "float[1, 4, 11, 9] y", "int64[4] s = {1, 4, 11, 9}", `y = Resize <mode = "linear"> (x, , , s)`, "RESIZE_BILINEAR"},
	{"linear, corners aligned", "float[1, 4, 11, 9] y", "int64[4] s = {1, 4, 11, 9}", `y = Resize <mode = "linear", coordinate_transformation_mode = "align_corners"> (x, , , s)`, "RESIZE_BILINEAR"},
	{"functions", "float[1, 4, 6, 7] y", "", "a = HardSwish (x)\nb = Tanh (a)\nc = LeakyRelu <alpha = 0.2> (b)\nd = Elu (c)\ne = Abs (d)\nf = Sqrt (e)\ng = Exp (f)\nh = Log (g)\ny = Neg (h)", "HARD_SWISH TANH LEAKY_RELU ELU ABS SQRT EXP LOG NEG"},
	{"clamps", "float[1, 4, 6, 7] y", "float zero = {0.0}, float six = {6.0}, float low = {-0.5}, float high = {0.5}", "a = Clip (x, zero, six)\nb = Sub (x, a)\ny = Clip (b, low, high)", "RELU6 SUB MAXIMUM MINIMUM"},
	{"slopes by channel", "float[1, 4, 6, 7] y", "float[4, 1, 1] s = random(1, 0, 1), float[4, 4, 1, 1] k = random(4, -1, 1)", "c = Conv (x, k)\ny = PRelu (c, s)", "CONV_2D PRELU"},
	{"softmax over channels", "float[1, 4, 6, 7] y", "float[4, 4, 1, 1] k = random(4, -1, 1)", "c = Conv (x, k)\ny = Softmax <axis = 1> (c)", "CONV_2D SOFTMAX"},
	{"attention", "float[1, 6, 12] y", "int64[3] a = {1, 28, 6}, int64[4] h = {1, 6, 4, 3}, int64[3] j = {1, 6, 12}, float[28, 12] q = random(1, -0.3, 0.3), float[28, 12] k = random(2, -0.3, 0.3), float[28, 12] v = random(3, -0.3, 0.3), float[12] g = random(4, 0.5, 1), float[12] b = random(5, -1, 1)",
		"s = Reshape (x, a)\nt = Transpose <perm = [0, 2, 1]> (s)\nqm = MatMul (t, q)\nkm = MatMul (t, k)\nvm = MatMul (t, v)\nqh = Reshape (qm, h)\nkh = Reshape (km, h)\nvh = Reshape (vm, h)\n" +
			"qt = Transpose <perm = [0, 2, 1, 3]> (qh)\nkt = Transpose <perm = [0, 2, 3, 1]> (kh)\nvt = Transpose <perm = [0, 2, 1, 3]> (vh)\np = MatMul (qt, kt)\nm = Softmax (p)\n" +
			"c = MatMul (m, vt)\nct = Transpose <perm = [0, 2, 1, 3]> (c)\no = Reshape (ct, j)\ny = LayerNormalization <axis = -1> (o, g, b)",
		"RESHAPE TRANSPOSE FULLY_CONNECTED FULLY_CONNECTED FULLY_CONNECTED RESHAPE RESHAPE RESHAPE TRANSPOSE TRANSPOSE TRANSPOSE BATCH_MATMUL SOFTMAX BATCH_MATMUL TRANSPOSE RESHAPE MEAN SUB MUL MEAN ADD RSQRT MUL MUL ADD"},
	{"picture transposed by hand", "float[1, 6, 7, 4] y", "float[4, 4, 1, 1] k = random(4, -1, 1)", "c = Conv (x, k)\ny = Transpose <perm = [0, 2, 3, 1]> (c)", "CONV_2D"},
	{"means", "float[1, 4] y, float[1, 1, 6, 7] z", "int64[2] hw = {2, 3}, int64[1] c = {1}, float[4, 4, 1, 1] k = random(4, -1, 1)", "d = Conv (x, k)\ny = ReduceMean <keepdims = 0> (d, hw)\nz = ReduceMax (d, c)", "CONV_2D MEAN REDUCE_MAX"},
	{"blocks into pixels", "float[1, 1, 12, 14] y", "", "y = DepthToSpace <blocksize = 2> (x)", "DEPTH_TO_SPACE"},
	// 8 bits
	{"int8 conv", "float[1, 5, 6, 7] y", quantConsts + ", float[5] bs = {0.0001, 0.0001, 0.0001, 0.0001, 0.0001}, int32[5] b = {100, -2000, 300, 0, 5000}, int32[5] bz = {0, 0, 0, 0, 0}",
		quantIn + "wf = DequantizeLinear <axis = 0> (w, ws, wz)\nbf = DequantizeLinear <axis = 0> (b, bs, bz)\nc = Conv <pads = [1, 1, 1, 1]> (xf, wf, bf)\nr = Relu (c)\n" + quantOut("r", "y"), "QUANTIZE CONV_2D DEQUANTIZE"},
	{"int8 conv whose result stays float", "float[1, 5, 4, 5] y", quantConsts, quantIn + "wf = DequantizeLinear <axis = 0> (w, ws, wz)\ny = Conv (xf, wf)", "QUANTIZE DEQUANTIZE CONV_2D"},
	{"int8 sum and product", "float[1, 4, 6, 7] y", quantConsts, quantIn + "a = Add (xf, xf)\n" + quantOut("a", "af") + "m = Mul (af, xf)\n" + quantOut("m", "y"), "QUANTIZE ADD MUL DEQUANTIZE"},
	{"int8 SiLU", "float[1, 4, 6, 7] y", quantConsts, quantIn + "s = Sigmoid (xf)\n" + quantOut("s", "sf") + "m = Mul (sf, xf)\n" + quantOut("m", "y"), "QUANTIZE LOGISTIC MUL DEQUANTIZE"},
	{"int8 product with a scale for each output", "float[1, 5] y", quantConsts + ", int8[5, 4] v = {10, -20, 30, -40, 50, -60, 70, -80, 90, -100, 110, -120, 1, 2, 3, 4, 5, 6, 7, 8}",
		quantIn + "g = GlobalAveragePool (xf)\n" + quantOut("g", "gf") + "f = Flatten (gf)\n" + quantOut("f", "ff") + "vf = DequantizeLinear <axis = 0> (v, ws, wz)\nm = Gemm <transB = 1> (ff, vf)\n" + quantOut("m", "y"),
		"QUANTIZE MEAN RESHAPE RESHAPE CONV_2D RESHAPE DEQUANTIZE"},
	{"int8 pools and concat", "float[1, 8, 3, 4] y", quantConsts, quantIn + "a = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (xf)\n" + quantOut("a", "af") +
		"b = AveragePool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (xf)\n" + quantOut("b", "bf") + "c = Concat <axis = 1> (af, bf)\n" + quantOut("c", "y"),
		"QUANTIZE PADV2 MAX_POOL_2D AVERAGE_POOL_2D QUANTIZE QUANTIZE CONCATENATION DEQUANTIZE"},
}

const (
	quantConsts = "float xs = {0.02}, uint8 xz = {120}, float ys = {0.03}, int8 yz = {-5}, int8[5, 4, 3, 3] w = random(7, -127, 127), float[5] ws = {0.005, 0.004, 0.003, 0.006, 0.002}, int8[5] wz = {0, 0, 0, 0, 0}"
	quantIn     = "xq = QuantizeLinear (x, xs, xz)\nxf = DequantizeLinear (xq, xs, xz)\n"
)

func quantOut(from, to string) string {
	return fmt.Sprintf("%s_q = QuantizeLinear (%s, ys, yz)\n%s = DequantizeLinear (%s_q, ys, yz)\n", from, from, to, from)
}

func parse(t testing.TB, out, consts, body string) *model.Model {
	t.Helper()
	s := fmt.Sprintf(header, out, consts, body)
	m, err := text.Parse(strings.Replace(s, "<>\n", "", 1))
	if err != nil {
		t.Fatalf("%v in\n%s", err, s)
	}
	return m
}

func write(t testing.TB, m *model.Model) ([]byte, error) {
	t.Helper()
	inf, _, err := ops.Infer(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	_, err = tflite.Write(&b, m, tflite.Facts{Types: inf.Types, Consts: inf.Consts})
	return b.Bytes(), err
}

// last is a value of four dimensions with channels last.
func last(x *model.Tensor) *model.Tensor {
	d := x.Shape
	out := model.NewTensor(x.DType, d[0], d[2], d[3], d[1])
	for i := range d[2] * d[3] {
		for c := range d[1] {
			out.SetFloat64(i*d[1]+c, x.Float64At(c*d[2]*d[3]+i))
		}
	}
	return out
}

// as gives x the order of dimensions that a value of the read model has.
func as(x *model.Tensor, v model.Value) *model.Tensor {
	if want, _ := v.Type.Shape.Ints(); !slices.Equal(want, x.Shape) {
		return last(x)
	}
	return x
}

// program runs a file in TensorFlow Lite, without the delegate: nil where it is not installed.
func program(t *testing.T) string {
	p, _ := filepath.Abs("../../.cache/tflite/peer")
	if _, err := os.Stat(p); err != nil || testing.Short() {
		t.Log("TensorFlow Lite is not there (scripts/tflite/install.sh): files are only read again")
		return ""
	}
	return p
}

// TestOperators: what is written is what the node computes, in our operators when it is read again and in TensorFlow Lite.
func TestOperators(t *testing.T) {
	lite := program(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, c.out, c.consts, c.body)
			b, err := write(t, m)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(tflite.Operators(b), " "); got != c.want {
				t.Errorf("operators are %s, want %s", got, c.want)
			}
			x := model.NewTensor(model.Float32, 1, 4, 6, 7)
			r := rand.New(rand.NewPCG(1, 2))
			for i := range x.Len() {
				x.SetFloat64(i, r.NormFloat64())
			}
			want, err := ops.Evaluate(context.Background(), m, map[string]*model.Tensor{"x": x})
			if err != nil {
				t.Fatal(err)
			}
			again, err := tflite.Read(b, tflite.DefaultBudget())
			if err != nil {
				t.Fatal(err)
			}
			in := as(x, again.Graph.Inputs[0])
			got, err := ops.Evaluate(context.Background(), again, map[string]*model.Tensor{"x": in})
			if err != nil {
				t.Fatalf("%v in\n%s", err, text.Print(again, text.Options{}))
			}
			var all []byte
			if lite != "" {
				all = runLite(t, lite, b, in.Raw)
			}
			tolerance := 1e-5
			if strings.Contains(c.body, "QuantizeLinear") {
				tolerance = 0.03 * 1.01 // a step of the result
			}
			for i, w := range want {
				if got, want := again.Graph.Outputs[i].Name, m.Graph.Outputs[i].Name; got != want {
					t.Errorf("output %d is called %s, want %s", i, got, want)
				}
				w = as(w, again.Graph.Outputs[i])
				differ(t, "read again", w, got[i], tolerance)
				if lite == "" {
					continue
				}
				if len(all) < len(w.Raw) {
					t.Fatalf("TensorFlow Lite gives %d bytes too few", len(w.Raw)-len(all))
				}
				differ(t, "in TensorFlow Lite", w, &model.Tensor{DType: w.DType, Shape: w.Shape, Raw: all[:len(w.Raw)]}, tolerance)
				all = all[len(w.Raw):]
			}
		})
	}
}

func differ(t *testing.T, where string, want, got *model.Tensor, tolerance float64) {
	t.Helper()
	if !slices.Equal(want.Shape, got.Shape) {
		t.Errorf("%s: shape %v, want %v", where, got.Shape, want.Shape)
		return
	}
	for i := range want.Len() {
		a, b := want.Float64At(i), got.Float64At(i)
		if d := math.Abs(a - b); d > tolerance*max(1, math.Abs(a)) || d != d {
			t.Errorf("%s: element %d is %g, want %g", where, i, b, a)
			return
		}
	}
}

func runLite(t *testing.T, program string, file, in []byte) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, b := range map[string][]byte{"net": file, "in": in} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(program, "net", "1", "-run", "in", "out")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("TensorFlow Lite: %v: %s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRefused: what the format cannot say is refused with the node's name, never written as something near.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ name, out, consts, body, node string }{
		{"no such operator", "float[1, 4, 6, 7] y", "", "y = Erf (x)", "y"},
		{"average that leaves padding out", "float[1, 4, 3, 4] y", "", "y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x)", "y"},
		{"computed weights", "float[1, 4, 6, 7] y", "float[4, 4, 1, 1] k = random(4, -1, 1)", "w = Relu (k)\na = Mul (x, x)\ng = ReduceMean (x)\nv = Add (w, g)\ny = Conv (a, v)", "y"},
		{"softmax inside", "float[1, 4, 6, 7] y", "float[4, 4, 1, 1] k = random(4, -1, 1)", "c = Conv (x, k)\ny = Softmax <axis = 2> (c)", "y"},
		{"cubic", "float[1, 4, 12, 14] y", "float[4] s = {1.0, 1.0, 2.0, 2.0}", `y = Resize <mode = "cubic"> (x, , s)`, "y"},
		{"reflection", "float[1, 4, 8, 9] y", "int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}", `y = Pad <mode = "reflect"> (x, p)`, "y"},
		{"pixels by columns", "float[1, 1, 12, 14] y", "", `y = DepthToSpace <blocksize = 2, mode = "CRD"> (x)`, "y"},
		{"clamped integers", "int32[1, 4, 6, 7] y", "int32 low = {0}, int32 high = {5}", "i = Cast <to = 6> (x)\ny = Clip (i, low, high)", "y"},
		{"doubles", "double[1, 4, 6, 7] y", "", "d = Cast <to = 11> (x)\ny = Relu (d)", "d"},
		{"backwards", "float[1, 4, 6, 7] y", "int64[1] s = {-1}, int64[1] e = {-100}, int64[1] a = {3}, int64[1] d = {-1}", "y = Slice (x, s, e, a, d)", "y"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := write(t, parse(t, c.out, c.consts, c.body))
			if e := fail.From(err); err == nil || e.Kind != fail.Unsupported || e.Where.Node != c.node {
				t.Errorf("%v", err)
			}
		})
	}
}
