package engine_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"fettle/engine"
	"fettle/kernels/cpu"
	"fettle/model"
	"fettle/ops"
	"fettle/sample"
)

// TestWordRows: 8-bit weights by 16-bit values run on the words, at most one step from the reference kernels, with the same bits on every instruction
// set that has such kernels and for any number of workers.
func TestWordRows(t *testing.T) {
	graph := func(in, out, weights, body string) string {
		return fmt.Sprintf(`g (float%s x) => (float%s y)
<float xs = {0.00004}, float ms = {0.0001}, float ys = {0.0002}, int16 z = {0}, int16 off = {5}%s>
{
  xq = QuantizeLinear (x, xs, z)
  xf = DequantizeLinear (xq, xs, z)
%s
  q = QuantizeLinear (r, ys, z)
  y = DequantizeLinear (q, ys, z)
}`, in, out, weights, body)
	}
	conv := func(name string, m, c, k int) string {
		return fmt.Sprintf(", int8[%d, %d, %d, %d] %s = random(3, -127, 127), float[%d] %ss = random(4, 0.001, 0.003), int8[%d] %sz = fill(0), float[%d] %sb = random(5, -1, 1)", m, c, k, k, name, m, name, m, name, m, name)
	}
	weight := func(n string) string {
		return fmt.Sprintf("  %sf = DequantizeLinear <axis = 0> (%s, %ss, %sz)\n", n, n, n, n)
	}
	const mid = "  aq = QuantizeLinear (a, ms, z)\n  af = DequantizeLinear (aq, ms, z)\n"
	for _, c := range []struct {
		name, want string
		steps      int // on words
		graph      string
	}{
		{"1x1", "qs16s8_conv", 1, graph("[2, 70, 25, 25]", "[2, 33, 25, 25]", conv("w", 33, 70, 1), weight("w")+"  r = Conv (xf, wf, wb)")},
		{"1x1 and relu", "qs16s8_conv", 1, graph("[1, 64, 25, 25]", "[1, 64, 25, 25]", conv("w", 64, 64, 1), weight("w")+"  s = Conv (xf, wf, wb)\n  r = Relu (s)")},
		{"3x3 of stride 2", "qs16s8_conv", 1, graph("[1, 40, 29, 31]", "[1, 48, 15, 16]", conv("w", 48, 40, 3), weight("w")+"  r = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (xf, wf, wb)")},
		{"first layer", "qs16s8_conv", 1, graph("[1, 3, 65, 63]", "[1, 32, 33, 32]", conv("w", 32, 3, 3), weight("w")+"  r = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (xf, wf, wb)")},
		{"expand, depthwise, project and sum", "qs16s8_dwconv", 3, graph("[1, 24, 28, 28]", "[1, 24, 28, 28]", conv("w", 144, 24, 1)+conv("d", 144, 1, 3)+conv("p", 24, 144, 1)+", float lo = {0.0}, float hi = {2.0}",
			weight("w")+weight("d")+weight("p")+"  e = Conv (xf, wf, wb)\n  a = Clip (e, lo, hi)\n"+mid+
				"  b = Conv <group = 144, pads = [1, 1, 1, 1]> (af, df, db)\n  c = Relu (b)\n  cq = QuantizeLinear (c, ms, z)\n  cf = DequantizeLinear (cq, ms, z)\n  r = fettle.Conv <activation = \"none\"> (cf, pf, pb, xf)")},
		{"a value that floats read too", "qs16s8_conv", 2, graph("[1, 64, 33, 33]", "[1, 64, 1, 1]", conv("w", 64, 64, 1)+conv("v", 64, 64, 1),
			weight("w")+weight("v")+"  a = Conv (xf, wf, wb)\n"+mid+"  b = Conv (af, vf, vb)\n  bq = QuantizeLinear (b, ms, z)\n  bf = DequantizeLinear (bq, ms, z)\n  s = Add (af, bf)\n  r = GlobalAveragePool (s)")},
		{"gemm", "qs16s8_conv", 1, graph("[300, 170]", "[300, 133]", ", int8[133, 170] w = random(3, -127, 127), float[133] ws = random(4, 0.001, 0.003), int8[133] wz = fill(0), float[133] wb = random(5, -1, 1)", weight("w")+"  r = Gemm <transB = 1> (xf, wf, wb)")},
		{"matmul", "qs16s8_conv", 1, graph("[2, 90, 170]", "[2, 90, 133]", ", int8[170, 133] w = random(3, -127, 127), float ws = {0.002}", "  wf = DequantizeLinear (w, ws)\n  r = MatMul (xf, wf)")},
		{"sums beyond 32 bits", "f32_conv", 0, graph("[1, 600, 9, 9]", "[1, 8, 9, 9]", ", int8[8, 600, 1, 1] w = fill(127), float[8] ws = random(4, 0.001, 0.003), int8[8] wz = fill(0)", weight("w")+"  r = Conv (xf, wf)")},
		{"around another number", "f32_conv", 0, strings.ReplaceAll(graph("[1, 64, 9, 9]", "[1, 64, 9, 9]", conv("w", 64, 64, 1), weight("w")+"  r = Conv (xf, wf, wb)"), "xs, z)", "xs, off)")},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, header+c.graph)
			in := inputs(t, m, 5)
			want, err := ops.Evaluate(context.Background(), m, in)
			if err != nil {
				t.Fatal(err)
			}
			var first []*model.Tensor
			for _, f := range levels(t) {
				for threads := 1; threads <= 3; threads += 2 {
					got, p := run(t, m, engine.Options{Threads: threads, Features: f, Verify: true}, in)
					covered(t, p)
					far := 0
					for i := range want[0].Len() {
						switch d := math.Abs(want[0].Float64At(i)-got[0].Float64At(i)) / 0.0002; {
						case d > 1.01:
							t.Fatalf("%v: value %d is %g, want %g\n%s", f, i, got[0].Float64At(i), want[0].Float64At(i), steps(p))
						case d > .01:
							far++
						}
					}
					if far > 1+want[0].Len()/50 {
						t.Errorf("%v: %d of %d values are a step off", f, far, want[0].Len())
					}
					if !f.Has(cpu.AVX2) && !f.Has(cpu.NEON) {
						continue // no such kernels
					}
					n := 0
					for _, s := range p.Steps {
						if strings.HasPrefix(s.Kernel, "qs16s8_") {
							n++
						}
					}
					if n != c.steps || !strings.Contains(steps(p), c.want) {
						t.Fatalf("%v: %d steps on words, want %d and %s\n%s", f, n, c.steps, c.want, steps(p))
					}
					if c.steps > 0 && first != nil && !equalBits(first, got) {
						t.Fatalf("%v, %d threads: other bits", f, threads)
					}
					first = got
					why := ""
					for _, s := range p.Steps {
						why += s.Why
					}
					if strings.HasPrefix(c.name, "sums") && !strings.Contains(why, "32 bits") {
						t.Errorf("no step says why it is in floats\n%s", steps(p))
					}
				}
			}
		})
	}
}

// TestWordNetwork: a whole network goes through words from the first layer to the average, and gives what the float kernels give on their steps.
func TestWordNetwork(t *testing.T) {
	m, err := sample.Build("resnet20")
	if err != nil {
		t.Fatal(err)
	}
	q := quantized(t, m, map[string]any{"calibration": "minmax", "activations": "int16"})
	in := inputs(t, q, 3)
	got, p := run(t, q, engine.Options{Threads: 2}, in)
	if !p.Options.Features.Has(cpu.AVX2) {
		t.Skip("without AVX2 Winograd in floats has fewer products")
	}
	n := 0
	for _, s := range p.Steps {
		if s.Op == "Conv" && s.DType == "int16" && strings.HasPrefix(s.Kernel, "qs16s8_") {
			n++
		}
	}
	if n != 21 {
		t.Errorf("%d of 21 convolutions run on words\n%s", n, steps(p))
	}
	want, _ := run(t, m, engine.Options{Threads: 2}, in)
	var err2, all float64
	for i := range want[0].Len() {
		d := want[0].Float64At(i) - got[0].Float64At(i)
		err2, all = err2+d*d, all+want[0].Float64At(i)*want[0].Float64At(i)
	}
	if r := math.Sqrt(err2 / all); r > 0.1 {
		t.Errorf("relative error %g against floats", r)
	}
}
