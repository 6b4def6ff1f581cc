package engine_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"fettle/engine"
	"fettle/internal/spec"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
	"fettle/optimizer/quantize"
)

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

// quantized is m behind the pass quantize, calibrated on two random inputs.
func quantized(t testing.TB, m *model.Model, options map[string]any) *model.Model {
	t.Helper()
	p := quantize.New()
	if options == nil {
		options = map[string]any{"calibration": "minmax"}
	}
	if err := spec.Decode(p.Options(), options); err != nil {
		t.Fatal(err)
	}
	out, _, err := p.Apply(context.Background(), &optimizer.Env{Data: items{inputs(t, m, 1), inputs(t, m, 2)}}, m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// integerOnly fails for a float convolution or a reference kernel where n operators of the given names should run on integers.
func integerOnly(t testing.TB, p *engine.Plan, ops ...string) {
	t.Helper()
	for _, s := range p.Steps {
		for _, o := range ops {
			if s.Op == o && (s.DType != "int8" || !strings.HasPrefix(s.Kernel, "qu8") && !strings.HasPrefix(s.Kernel, "u8")) {
				t.Errorf("%s (%s) runs as %s with kernel %s", s.Name, s.Op, s.DType, s.Kernel)
			}
		}
	}
}

// qdq writes a graph of one operator between DequantizeLinear and QuantizeLinear.
func qdq(in, out, weights, body string) string {
	return fmt.Sprintf(`g (%s x) => (%s y)
<float xs = {0.05}, float ys = {0.0413}, int8 xz = {-9}, int8 yz = {17}, uint8 uz = {131}, int8 z0 = {0}%s>
{
%s
}`, in, out, weights, body)
}

// TestIntegerRows runs every row of islands against the reference kernels: at most one step apart, in few elements.
func TestIntegerRows(t *testing.T) {
	conv := func(c, m, k int) string {
		return fmt.Sprintf(", int8[%d, %d, %d, %d] w = random(3, -127, 127), float[%d] ws = random(4, 0.001, 0.003), int8[%d] wz = fill(0), int32[%d] b = random(5, -2000, 2000), float[%d] bs = random(4, 0.00005, 0.00015), int32[%d] bz = fill(0)",
			m, c, k, k, m, m, m, m, m)
	}
	const open, weight = "  xf = DequantizeLinear (x, xs, xz)\n", "  wf = DequantizeLinear <axis = 0> (w, ws, wz)\n  bf = DequantizeLinear <axis = 0> (b, bs, bz)\n"
	const end = "  y = QuantizeLinear (r, ys, yz)"
	for _, c := range []struct{ name, kernel, graph string }{
		{"conv 3x3", "qu8s8_", qdq("int8[1, 16, 9, 7]", "int8[1, 20, 9, 7]", conv(16, 20, 3), open+weight+"  r = Conv <pads = [1, 1, 1, 1]> (xf, wf, bf)\n"+end)},
		{"conv 1x1, relu behind", "qu8s8_", qdq("int8[2, 70, 5, 5]", "int8[2, 33, 5, 5]", conv(70, 33, 1), open+weight+"  a = Conv (xf, wf, bf)\n  r = Relu (a)\n"+end)},
		{"conv, clip behind", "qu8s8_", qdq("int8[1, 8, 6, 6]", "int8[1, 8, 6, 6]", conv(8, 8, 1)+", float lo = {-0.5}, float hi = {1.5}", open+weight+"  a = Conv (xf, wf)\n  r = Clip (a, lo, hi)\n"+end)},
		{"first layer", "qu8s8_conv_first", qdq("int8[1, 3, 17, 15]", "int8[1, 24, 9, 8]", conv(3, 24, 3), open+weight+"  r = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (xf, wf, bf)\n"+end)},
		{"depthwise", "qu8s8_dwconv", qdq("int8[1, 40, 9, 9]", "int8[1, 40, 9, 9]", strings.Replace(conv(1, 40, 3), "x", "x", 1), open+weight+"  r = Conv <pads = [1, 1, 1, 1], group = 40> (xf, wf, bf)\n"+end)},
		{"conv of a line", "qu8s8_", qdq("int8[1, 8, 30]", "int8[1, 12, 30]", ", int8[12, 8, 3] w = random(3, -127, 127), float ws = {0.002}", open+"  wf = DequantizeLinear (w, ws)\n  r = Conv <pads = [1, 1]> (xf, wf)\n"+end)},
		{"uint8 values and one scale", "qu8s8_", qdq("uint8[1, 16, 6, 6]", "uint8[1, 16, 6, 6]", ", int8[16, 16, 3, 3] w = random(3, -127, 127), float ws = {0.001}",
			"  xf = DequantizeLinear (x, xs, uz)\n  wf = DequantizeLinear (w, ws, z0)\n  r = Conv <pads = [1, 1, 1, 1]> (xf, wf)\n  y = QuantizeLinear (r, ys, uz)")},
		{"uint8 weights around 128", "qu8s8_", qdq("int8[1, 16, 6, 6]", "int8[1, 16, 6, 6]", ", uint8[16, 16, 3, 3] w = random(3, 0, 255), float ws = {0.001}, uint8 wz = {128}",
			open+"  wf = DequantizeLinear (w, ws, wz)\n  r = Conv <pads = [1, 1, 1, 1]> (xf, wf)\n"+end)},
		{"conv and sum", "qu8s8_", qdq("int8[1, 16, 6, 6]", "int8[1, 16, 6, 6]", conv(16, 16, 3)+", float ms = {0.03}, int8 mz = {5}", open+weight+
			"  a = Conv <pads = [1, 1, 1, 1]> (xf, wf, bf)\n  aq = QuantizeLinear (a, ms, mz)\n  af = DequantizeLinear (aq, ms, mz)\n  s = Add (af, xf)\n  r = Relu (s)\n"+end)},
		{"sum, row-major", "qu8_add", qdq("int8[3, 50]", "int8[3, 50]", "", open+"  r = Add (xf, xf)\n"+end)},
		{"product, row-major", "qu8_mul", qdq("int8[3, 50]", "int8[3, 50]", ", int8 mz = {5}, float ms = {0.03}", "  xf = DequantizeLinear (x, xs, xz)\n  xg = Sin (xf)\n  xq = QuantizeLinear (xg, ms, mz)\n  xh = DequantizeLinear (xq, ms, mz)\n  r = Mul (xf, xh)\n"+end)},
		{"product on blocks", "qu8_mul", qdq("int8[1, 16, 6, 6]", "int8[1, 16, 6, 6]", conv(16, 16, 3)+", float ms = {0.03}, int8 mz = {5}", open+weight+
			"  a = Conv <pads = [1, 1, 1, 1]> (xf, wf, bf)\n  aq = QuantizeLinear (a, ms, mz)\n  af = DequantizeLinear (aq, ms, mz)\n  s = Mul (af, xf)\n  r = Relu (s)\n"+end)},
		{"squeeze and excitation", "qu8_mul_channel", qdq("int8[2, 70, 9, 9]", "int8[2, 70, 9, 9]", ", float ms = {0.03}, int8 mz = {5}", open+
			"  a = GlobalAveragePool (xf)\n  aq = QuantizeLinear (a, ms, mz)\n  af = DequantizeLinear (aq, ms, mz)\n  r = Mul (xf, af)\n"+end)},
		{"squeeze and excitation, factors first", "qu8_mul_channel", qdq("int8[1, 20, 9, 9]", "int8[1, 20, 9, 9]", ", float ms = {0.03}, int8 mz = {5}", open+
			"  a = GlobalAveragePool (xf)\n  aq = QuantizeLinear (a, ms, mz)\n  af = DequantizeLinear (aq, ms, mz)\n  r = Mul (af, xf)\n"+end)},
		{"SiLU with a quantized sigmoid", "qu8_table", qdq("int8[3, 50]", "int8[3, 50]", ", float ms = {0.00390625}, int8 mz = {-128}", open+
			"  a = Sigmoid (xf)\n  aq = QuantizeLinear (a, ms, mz)\n  af = DequantizeLinear (aq, ms, mz)\n  r = Mul (xf, af)\n"+end)},
		{"SiLU in floats", "qu8_table", qdq("int8[3, 50]", "int8[3, 50]", "", open+"  a = Sigmoid (xf)\n  r = Mul (a, xf)\n"+end)},
		{"SiLU whose sigmoid another reads", "qu8_table", qdq("int8[3, 50]", "int8[3, 50]", ", float ms = {0.00390625}, int8 mz = {-128}", open+
			"  a = Sigmoid (xf)\n  aq = QuantizeLinear (a, ms, mz)\n  af = DequantizeLinear (aq, ms, mz)\n  b = Mul (xf, af)\n  bq = QuantizeLinear (b, ms, mz)\n  bg = DequantizeLinear (bq, ms, mz)\n  r = Add (bg, af)\n"+end)},
		{"HardSwish written out", "qu8_table", qdq("int8[3, 50]", "int8[3, 50]", ", float three = {3.0}, float six = {0.16666667}", open+
			"  a = Add (xf, three)\n  b = HardSigmoid (a)\n  c = Mul (xf, b)\n  r = Mul (c, six)\n"+end)},
		{"gemm", "qu8s8_", qdq("int8[5, 70]", "int8[5, 33]", ", int8[33, 70] w = random(3, -127, 127), float[33] ws = random(4, 0.001, 0.003), int8[33] wz = fill(0), int32[33] b = random(5, -2000, 2000), float[33] bs = random(4, 0.00005, 0.00015), int32[33] bz = fill(0)",
			open+weight+"  a = Gemm <transB = 1> (xf, wf, bf)\n  r = Relu (a)\n"+end)},
		{"matmul", "qu8s8_", qdq("int8[2, 3, 70]", "int8[2, 3, 33]", ", int8[70, 33] w = random(3, -127, 127), float[33] ws = random(4, 0.001, 0.003), int8[33] wz = fill(0)",
			open+"  wf = DequantizeLinear <axis = 1> (w, ws, wz)\n  r = MatMul (xf, wf)\n"+end)},
		{"matmul with a bias and GELU: floats out of the sums", "", qdq("int8[2, 3, 70]", "int8[2, 3, 33]", ", int8[70, 33] w = random(3, -127, 127), float[33] ws = random(4, 0.001, 0.003), int8[33] wz = fill(0), int32[33] b = random(5, -2000, 2000), float[33] bs = random(4, 0.00005, 0.00015), int32[33] bz = fill(0)",
			open+"  wf = DequantizeLinear <axis = 1> (w, ws, wz)\n  bf = DequantizeLinear <axis = 0> (b, bs, bz)\n  r = fettle.MatMul <activation = \"gelu\"> (xf, wf, bf)\n"+end)},
		{"QLinearConv", "qu8s8_", qdq("uint8[1, 16, 6, 6]", "uint8[1, 20, 6, 6]", ", int8[20, 16, 3, 3] w = random(3, -127, 127), float[20] ws = random(4, 0.001, 0.003), int8[20] wz = fill(0), int32[20] b = random(5, -2000, 2000)",
			"  y = QLinearConv <pads = [1, 1, 1, 1]> (x, xs, uz, w, ws, wz, ys, uz, b)")},
		{"QLinearConv around other weights", "reference", qdq("uint8[1, 16, 6, 6]", "uint8[1, 20, 6, 6]", ", uint8[20, 16, 3, 3] w = random(3, 0, 255), float ws = {0.001}, uint8 wz = {120}",
			"  y = QLinearConv <pads = [1, 1, 1, 1]> (x, xs, uz, w, ws, wz, ys, uz)")},
		{"QLinearMatMul", "qu8s8_", qdq("int8[2, 5, 70]", "int8[2, 5, 33]", ", int8[70, 33] w = random(3, -127, 127), float ws = {0.002}",
			"  y = QLinearMatMul (x, xs, xz, w, ws, z0, ys, yz)")},
		{"QGemm", "qu8s8_", qdq("int8[5, 70]", "int8[5, 33]", ", int8[33, 70] w = random(3, -127, 127), float[33] ws = random(4, 0.001, 0.003), int8[33] wz = fill(0), int32[33] b = random(5, -2000, 2000)",
			"  y = com.microsoft.QGemm <transB = 1> (x, xs, xz, w, ws, wz, b, ys, yz)")},
		{"QLinearAdd", "qu8_add", qdq("int8[1, 16, 6, 6]", "int8[1, 16, 6, 6]", "", "  y = com.microsoft.QLinearAdd (x, xs, xz, x, xs, xz, ys, yz)")},
		{"QLinearAdd of other shapes", "reference", qdq("int8[1, 16, 6, 6]", "int8[1, 16, 6, 6]", ", int8[16, 1, 1] w = random(3, -127, 127), float ms = {0.03}, int8 mz = {5}", "  y = com.microsoft.QLinearAdd (x, xs, xz, w, ms, mz, ys, yz)")},
		{"QLinearMul", "qu8_mul", qdq("uint8[3, 50]", "uint8[3, 50]", "", "  y = com.microsoft.QLinearMul (x, xs, uz, x, xs, uz, ys, uz)")},
		{"QLinearGlobalAveragePool", "qu8_avgpool", qdq("int8[2, 70, 5, 7]", "int8[2, 70, 1, 1]", "", "  y = com.microsoft.QLinearGlobalAveragePool (x, xs, xz, ys, yz)")},
		{"QLinearAveragePool", "qu8_avgpool", qdq("int8[1, 20, 8, 8]", "int8[1, 20, 4, 4]", "", "  y = com.microsoft.QLinearAveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x, xs, xz, ys, yz)")},
		{"QLinearSigmoid", "qu8_table", qdq("int8[3, 50]", "int8[3, 50]", "", "  y = com.microsoft.QLinearSigmoid (x, xs, xz, ys, yz)")},
		{"QLinearLeakyRelu", "qu8_table", qdq("uint8[3, 50]", "uint8[3, 50]", "", "  y = com.microsoft.QLinearLeakyRelu <alpha = 0.2> (x, xs, uz, ys, uz)")},
		{"global average", "qu8_avgpool", qdq("int8[2, 70, 5, 7]", "int8[2, 70, 1, 1]", "", open+"  r = GlobalAveragePool (xf)\n"+end)},
		{"average pool", "qu8_avgpool", qdq("int8[1, 20, 8, 8]", "int8[1, 20, 4, 4]", "", open+"  r = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (xf)\n"+end)},
		{"average pool counts padding", "qu8_avgpool", qdq("int8[1, 20, 8, 8]", "int8[1, 20, 4, 4]", "", open+"  r = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1], count_include_pad = 1> (xf)\n"+end)},
		{"max pool", "qu8_maxpool", qdq("int8[1, 20, 8, 8]", "int8[1, 20, 4, 4]", "", open+"  r = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (xf)\n  y = QuantizeLinear (r, xs, xz)")},
		{"concat, row-major", "qu8_concat", qdq("int8[2, 5]", "int8[2, 10]", "", open+"  r = Concat <axis = 1> (xf, xf)\n"+end)},
		{"concat in blocks that cut", "qu8_concat_blocks", qdq("int8[1, 16, 6, 6]", "int8[1, 116, 6, 6]", conv(16, 100, 3)+", float ms = {0.03}, int8 mz = {5}", open+weight+
			"  a = Conv <pads = [1, 1, 1, 1]> (xf, wf, bf)\n  aq = QuantizeLinear (a, ms, mz)\n  af = DequantizeLinear (aq, ms, mz)\n  r = Concat <axis = 1> (af, xf)\n"+end)},
		{"concat in blocks that cut, shifted", "qu8_concat_blocks", qdq("int8[1, 16, 6, 6]", "int8[1, 116, 6, 6]", conv(16, 100, 3)+", float ms = {0.03}, int8 mz = {5}", open+weight+
			"  a = Conv <pads = [1, 1, 1, 1]> (xf, wf, bf)\n  aq = QuantizeLinear (a, ms, mz)\n  af = DequantizeLinear (aq, ms, mz)\n  r = Concat <axis = 1> (xf, af)\n"+end)},
		{"sigmoid by table", "qu8_table", qdq("int8[3, 50]", "int8[3, 50]", "", open+"  r = Sigmoid (xf)\n"+end)},
		{"leaky relu by table on blocks", "table", qdq("int8[1, 16, 6, 6]", "int8[1, 20, 6, 6]", conv(16, 20, 3)+", float ms = {0.03}, int8 mz = {5}", open+weight+
			"  a = Conv <pads = [1, 1, 1, 1]> (xf, wf, bf)\n  aq = QuantizeLinear (a, ms, mz)\n  af = DequantizeLinear (aq, ms, mz)\n  r = LeakyRelu <alpha = 0.2> (af)\n"+end)},
		{"upsampling", "u8_upsample", qdq("int8[1, 16, 6, 6]", "int8[1, 20, 12, 12]", conv(16, 20, 3)+", float[4] up = {1.0, 1.0, 2.0, 2.0}", open+weight+
			"  a = Conv <pads = [1, 1, 1, 1]> (xf, wf, bf)\n  aq = QuantizeLinear (a, ys, yz)\n  af = DequantizeLinear (aq, ys, yz)\n  r = Resize <mode = \"nearest\", coordinate_transformation_mode = \"asymmetric\", nearest_mode = \"floor\"> (af, , up)\n"+end)},
		{"transpose moves bytes", "transpose", qdq("int8[3, 5]", "int8[5, 3]", "", open+"  r = Transpose (xf)\n  y = QuantizeLinear (r, xs, xz)")},
		{"a float reader beside an integer one", "f32_dequantize", qdq("int8[1, 16, 6, 6]", "int8[1, 16, 6, 6]", conv(16, 16, 3), open+weight+
			"  a = Conv <pads = [1, 1, 1, 1]> (xf, wf, bf)\n  e = Exp (xf)\n  aq = QuantizeLinear (a, ys, yz)\n  af = DequantizeLinear (aq, ys, yz)\n  r = Mul (e, af)\n"+end)},
		{"the float result is read twice", "f32_", qdq("int8[1, 16, 6, 6]", "int8[1, 16, 6, 6]", conv(16, 16, 3), open+weight+
			"  a = Conv <pads = [1, 1, 1, 1]> (xf, wf, bf)\n  e = Tanh (a)\n  r = Add (a, e)\n"+end)},
		{"two meanings of one tensor", "qu8s8", qdq("int8[1, 16, 6, 6]", "int8[1, 16, 6, 6]", conv(16, 16, 3)+", int8 other = {3}", open+weight+
			"  xg = DequantizeLinear (x, xs, other)\n  a = Conv <pads = [1, 1, 1, 1]> (xf, wf, bf)\n  aq = QuantizeLinear (a, ys, yz)\n  af = DequantizeLinear (aq, ys, yz)\n"+
			"  e = Conv <pads = [1, 1, 1, 1]> (xg, wf, bf)\n  bq = QuantizeLinear (e, ys, yz)\n  bf2 = DequantizeLinear (bq, ys, yz)\n  r = Add (af, bf2)\n"+end)},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, header+c.graph)
			in := inputs(t, m, 5)
			for i := range in["x"].Raw {
				in["x"].Raw[i] = byte(i * 37)
			}
			want, err := ops.Evaluate(context.Background(), m, in)
			if err != nil {
				t.Fatalf("reference: %v", err)
			}
			for _, f := range levels(t) {
				var first []*model.Tensor
				for threads := 1; threads <= 3; threads++ {
					got, p := run(t, m, engine.Options{Threads: threads, Features: f, Verify: true}, in)
					apart, worst := 0, 0.0
					for i := range want[0].Len() {
						d := math.Abs(want[0].Float64At(i) - got[0].Float64At(i))
						worst = math.Max(worst, d)
						if d != 0 {
							apart++
						}
					}
					if worst > 1 || apart > max(2, want[0].Len()/50) {
						t.Fatalf("%v: %d of %d elements differ, by %v at most\n%s", f, apart, want[0].Len(), worst, steps(p))
					}
					if threads == 1 {
						first = got
						covered(t, p)
						found := false
						for _, s := range p.Steps {
							found = found || strings.Contains(s.Kernel, c.kernel)
						}
						if !found {
							t.Errorf("no kernel %q in\n%s", c.kernel, steps(p))
						}
					} else if !equalBits(first, got) {
						t.Fatalf("%v: %d threads give other bits than 1", f, threads)
					}
				}
			}
		})
	}
}

// TestIntegerNetworks quantizes whole networks: no convolution may run on floats, and the outputs follow the reference's.
func TestIntegerNetworks(t *testing.T) {
	for _, c := range []struct {
		name      string
		size      int
		optimized bool
		options   map[string]any
	}{
		{"resnet20", 0, true, nil}, {"resnet20", 0, false, nil}, {"mobilenetv2", 64, true, nil}, {"efficientnet-lite0", 32, true, map[string]any{"calibration": "minmax", "activations": "uint8"}},
		{"squeezenet11", 64, true, map[string]any{"calibration": "minmax", "per_channel": false}}, {"efficientnet-b0", 32, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := resized(t, c.name, c.size)
			if c.optimized {
				m = optimized(t, m)
			} else {
				m = folded(t, m)
			}
			m = quantized(t, m, c.options)
			all := levels(t)
			right, n := 0, 4
			for seed := range n {
				in := inputs(t, m, uint64(seed)+10)
				want, err := ops.Evaluate(context.Background(), m, in)
				if err != nil {
					t.Fatal(err)
				}
				got, p := run(t, m, engine.Options{Threads: 1 + seed%3, Features: all[len(all)-1], Verify: true, Shapes: shapes(in)}, in)
				if seed == 0 {
					covered(t, p)
					integerOnly(t, p, "Conv", "Add", "Relu", "Clip", "MaxPool", "GlobalAveragePool", "Concat")
					if t.Failed() {
						t.Log("\n" + steps(p))
					}
				}
				if d, where := differ(want, got); d < 0 || d > 0.05 {
					t.Errorf("off by %g of the largest: %s", d, where)
				}
				if argmax(want[0]) == argmax(got[0]) {
					right++
				}
			}
			if right < n {
				t.Errorf("the same class in %d of %d", right, n)
			}
		})
	}
}

func argmax(t *model.Tensor) int {
	best := 0
	for i := range t.Len() {
		if t.Float64At(i) > t.Float64At(best) {
			best = i
		}
	}
	return best
}

// folded is m with its normalisations in the convolutions, and nothing fused.
func folded(t testing.TB, m *model.Model) *model.Model {
	t.Helper()
	r := recipe("fold-batchnorm")
	steps, err := optimizer.Run(context.Background(), m, r, optimizer.Env{Passes: passes()})
	if err != nil {
		t.Fatal(err)
	}
	return steps[len(steps)-1].Model
}
