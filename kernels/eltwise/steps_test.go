package eltwise

import (
	"math"
	"math/rand/v2"
	"testing"

	"fettle/kernels/cpu"
)

// TestSteps holds every instruction set to the definition, bit by bit: ties to even, both ends, no number, zero without a sign.
func TestSteps(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, isa := range cpu.Detect().Levels() {
		k := New(cpu.Detect().Limit(isa))
		for _, n := range []int{0, 1, 15, 16, 17, 100, 16500} {
			for _, b := range [][2]float32{{-32768, 32767}, {0, 65535}, {-100, 65435}} {
				for _, scale := range []float32{.25, .1, 3} {
					a, d := make([]float32, n), make([]float32, n)
					for i := range a {
						a[i] = scale * float32(r.IntN(400000)-200000) / 4
					}
					copy(a, []float32{nan, inf, -inf, -.1 * scale, .5 * scale, 1.5 * scale, -2.5 * scale})
					k.Steps(d, a, scale, b[0], b[1])
					for i, v := range a {
						q := math.RoundToEven(min(max(float64(v/scale), float64(b[0])), float64(b[1])))
						if v != v {
							q = float64(b[0])
						}
						if want := float32(q+0) * scale; math.Float32bits(d[i]) != math.Float32bits(want) {
							t.Fatalf("%v: %g in steps of %g from %g is %g, want %g", k.isa, v, scale, b[0], d[i], want)
						}
					}
				}
			}
		}
	}
}
