package engine_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"fettle/engine"
	"fettle/kernels/cpu"
	"fettle/ops"
)

// TestTableInStore: functions behind 8-bit convolutions are looked up where these store, if nothing else reads what lies between. Only Arm has such
// stores; elsewhere the functions are steps.
func TestTableInStore(t *testing.T) {
	const weights = ", int8[32, 24, 1, 1] w = random(3, -127, 127), float[32] ws = random(4, 0.002, 0.006), int8[32] wz = fill(0), int8[32, 1, 3, 3] d = random(5, -127, 127), float[32] ds = random(6, 0.002, 0.006), int8[32] dz = fill(0), float ms = {0.04}, int8 mz = {3}"
	const open = "  xf = DequantizeLinear (x, xs, xz)\n  wf = DequantizeLinear <axis = 0> (w, ws, wz)\n  df = DequantizeLinear <axis = 0> (d, ds, dz)\n  a = Conv (xf, wf)\n  aq = QuantizeLinear (a, ms, mz)\n  af = DequantizeLinear (aq, ms, mz)\n"
	const silu = "  b = Sigmoid (af)\n  c = Mul (af, b)\n  cq = QuantizeLinear (c, ms, mz)\n  cf = DequantizeLinear (cq, ms, mz)\n"
	const depth = "  e = Conv <group = 32, pads = [1, 1, 1, 1]> (cf, df)\n  eq = QuantizeLinear (e, ms, mz)\n  ef = DequantizeLinear (eq, ms, mz)\n"
	for _, c := range []struct {
		name, body string
		fused      int
	}{
		{"SiLU and leaky relu", silu + depth + "  r = LeakyRelu <alpha = 0.2> (ef)\n", 2},
		{"another reads what lies between", silu + depth + "  f = LeakyRelu <alpha = 0.2> (ef)\n  fq = QuantizeLinear (f, ms, mz)\n  ff = DequantizeLinear (fq, ms, mz)\n  r = Add (ff, ef)\n", 1},
		{"two functions of one value", silu + "  h = Sigmoid (af)\n  hq = QuantizeLinear (h, ms, mz)\n  hf = DequantizeLinear (hq, ms, mz)\n  r = Add (hf, cf)\n", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, header+qdq("int8[2, 24, 11, 13]", "int8[2, 32, 11, 13]", weights, open+c.body+"  y = QuantizeLinear (r, ys, yz)"))
			in := inputs(t, m, 5)
			for i := range in["x"].Raw {
				in["x"].Raw[i] = byte(i * 37)
			}
			want, err := ops.Evaluate(context.Background(), m, in)
			if err != nil {
				t.Fatal(err)
			}
			for threads := 1; threads <= 3; threads += 2 {
				got, p := run(t, m, engine.Options{Threads: threads, Features: cpu.Detect(), Verify: true}, in)
				covered(t, p)
				far := 0
				for i := range want[0].Len() {
					d := math.Abs(want[0].Float64At(i) - got[0].Float64At(i))
					if d > 2 {
						t.Fatalf("value %d is %g, want %g\n%s", i, got[0].Float64At(i), want[0].Float64At(i), steps(p))
					}
					if d > 0 {
						far++
					}
				}
				if far > want[0].Len()/50 {
					t.Errorf("%d of %d values are a step off", far, want[0].Len())
				}
				n := 0
				for _, s := range p.Steps {
					if strings.HasSuffix(s.Kernel, "+table") {
						n++
					}
				}
				if p.Options.Features.Has(cpu.NEON) && n != c.fused {
					t.Errorf("%d steps look up in their store, want %d\n%s", n, c.fused, steps(p))
				}
			}
		})
	}
}
