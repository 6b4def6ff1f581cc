package eltwise

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"fettle/kernels/cpu"
)

// TestSoftmaxScale: the scale counts, masked elements are exactly 0, and large ones do not overflow.
func TestSoftmaxScale(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	inf := float32(math.Inf(-1))
	for _, k := range levels(t) {
		for _, n := range []int{1, 3, 16, 17, 128, 300, 16500} {
			for _, spread := range []float32{1, 30, 1000} {
				a, dst := random(r, n, spread), make([]float32, n)
				if n > 2 {
					a[n-1], a[n/2] = inf, inf
				}
				k.Softmax(dst, a, 0.125)
				top, z := math.Inf(-1), 0.0
				for _, v := range a {
					top = max(top, float64(v))
				}
				for _, v := range a {
					z += math.Exp((float64(v) - top) / 8)
				}
				for i, v := range a {
					want := math.Exp((float64(v)-top)/8) / z
					if math.Abs(float64(dst[i])-want) > 1e-5*want+1e-37 || v == inf && dst[i] != 0 {
						t.Fatalf("%v n %d spread %g: element %d of %g is %g, want %g", k.isa, n, spread, i, v, dst[i], want)
					}
				}
			}
		}
		d := make([]float32, 20)
		k.Softmax(d, append([]float32{float32(math.NaN())}, d[1:]...), 1)
		if d[0] == d[0] {
			t.Errorf("%v: softmax of a NaN is %g", k.isa, d[0])
		}
	}
}

func TestAddNorm(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, k := range levels(t) {
		for _, n := range []int{1, 15, 16, 50, 256, 700, 16500} {
			for _, c := range []struct{ gamma, beta bool }{{true, true}, {true, false}, {false, false}} {
				a, b, sum, dst := random(r, n, 2), random(r, n, 2), make([]float32, n), make([]float32, n)
				var gamma, beta []float32
				if c.gamma {
					gamma = random(r, n, 1)
				}
				if c.beta {
					beta = random(r, n, 1)
				}
				for i := range b {
					b[i] += 40 // a mean that swallows the variance of sums of squares
				}
				k.AddNorm(dst, sum, a, b, gamma, beta, 1e-3)
				mean, v := 0.0, 0.0
				for i := range a {
					mean += float64(a[i]+b[i]) / float64(n)
				}
				for i := range a {
					v += (float64(a[i]+b[i]) - mean) * (float64(a[i]+b[i]) - mean) / float64(n)
				}
				for i := range a {
					want := (float64(a[i]+b[i]) - mean) / math.Sqrt(v+1e-3)
					if gamma != nil {
						want *= float64(gamma[i])
					}
					if beta != nil {
						want += float64(beta[i])
					}
					if sum[i] != a[i]+b[i] || math.Abs(float64(dst[i])-want) > 2e-4 {
						t.Fatalf("%v n %d %+v: element %d is %g, want %g; sum %g, want %g", k.isa, n, c, i, dst[i], want, sum[i], a[i]+b[i])
					}
				}
			}
		}
	}
}

// TestActRows: what lies between the rows stays, and the rows are those of Act.
func TestActRows(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, k := range levels(t) {
		for _, act := range acts() {
			for _, c := range [][3]int{{1, 16, 16}, {7, 32, 40}, {3, 20, 24}, {5, 16, 100}, {0, 16, 16}, {2, 5, 5}} {
				rows, cols, ld := c[0], c[1], c[2]
				a := random(r, rows*ld+cols, 3)
				want := append([]float32(nil), a...)
				for y := range rows {
					k.Act(act, want[y*ld:][:cols], want[y*ld:][:cols])
				}
				k.ActRows(act, a, rows, cols, ld)
				for i := range a {
					if a[i] != want[i] {
						t.Fatalf("%v %v %v: element %d is %g, want %g", k.isa, act.Kind, c, i, a[i], want[i])
					}
				}
			}
		}
	}
}

func BenchmarkRow(b *testing.B) {
	k := New(cpu.Detect())
	for _, n := range []int{128, 256, 1024} {
		a := random(rand.New(rand.NewPCG(1, 1)), n, 1)
		o := make([]float32, n)
		run := func(name string, f func()) {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.SetBytes(4 * int64(n))
				for b.Loop() {
					f()
				}
			})
		}
		run("softmax", func() { k.Softmax(o, a, 0.5) })
		run("layernorm", func() { k.LayerNorm(o, a, a, a, 1e-5) })
		run("addnorm", func() { k.AddNorm(o, o, a, a, a, a, 1e-5) })
	}
}
