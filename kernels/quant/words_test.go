package quant

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"fettle/kernels/cpu"
)

// TestWords holds the changes between floats and 16-bit values to their definition, bit by bit: ties to even, both ends, no number, all tails.
func TestWords(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, isa := range cpu.Detect().Levels() {
		k := New(cpu.Detect().Limit(isa))
		for _, n := range []int{0, 1, 7, 8, 9, 31, 100, 1000} {
			for _, scale := range []float32{.25, .1, 3} {
				v, w := make([]float32, n), make([]int16, n)
				for i := range v {
					v[i] = scale * float32(r.IntN(400000)-200000) / 4
				}
				copy(v, []float32{nan, inf, -inf, .5 * scale, 1.5 * scale, -2.5 * scale, 32767.5 * scale})
				k.ToWords(w, v, scale)
				back := make([]float32, n)
				k.FromWords(back, w, scale)
				for i, x := range v {
					want := math.RoundToEven(min(max(float64(x/scale), math.MinInt16), math.MaxInt16))
					if x != x {
						want = math.MinInt16
					}
					if float64(w[i]) != want || back[i] != float32(w[i])*scale {
						t.Fatalf("%v: %g in steps of %g is %d, want %g, and back %g", k.isa, x, scale, w[i], want, back[i])
					}
				}
			}
		}
		for _, pixels := range []int{0, 1, 2, 3, 17} {
			a, b, w := make([]float32, pixels*HalfWords), make([]float32, pixels*HalfWords), make([]int16, 2*pixels*HalfWords+1)
			for i := range a {
				a[i], b[i] = float32(i), -float32(i)
			}
			w[len(w)-1] = 77
			k.JoinWords(w[:len(w)-1], a, b, 2)
			x, y := make([]float32, len(a)), make([]float32, len(b))
			k.PartWords(x, y, w[:len(w)-1], 2)
			z := make([]float32, len(a))
			k.PartWords(z, nil, w[:len(w)-1], 2)
			for i := range a {
				p := i/HalfWords*2*HalfWords + i%HalfWords
				if lo, hi := toWord(a[i], 2), toWord(b[i], 2); w[p] != lo || w[p+HalfWords] != hi || x[i] != 2*float32(lo) || y[i] != 2*float32(hi) || z[i] != x[i] {
					t.Fatalf("%v, %d pixels: element %d", k.isa, pixels, i)
				}
			}
			if w[len(w)-1] != 77 {
				t.Fatalf("%v, %d pixels: wrote behind the end", k.isa, pixels)
			}
		}
	}
}

// TestWordOffsets compares the argument with what the generator was told.
func TestWordOffsets(t *testing.T) {
	var a wargs
	if unsafe.Sizeof(a.words) == 8 && (unsafe.Offsetof(a.n) != 24 || unsafe.Offsetof(a.stride) != 32 || unsafe.Offsetof(a.scale) != 40) {
		t.Error("wargs is not what the generator writes")
	}
}
