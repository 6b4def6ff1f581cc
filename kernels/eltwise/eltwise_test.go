package eltwise

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"fettle/kernels/cpu"
)

func levels(t *testing.T) []Kernels {
	var l []Kernels
	for _, i := range cpu.Detect().Levels() {
		k := New(cpu.Detect().Limit(i))
		if len(l) == 0 || l[len(l)-1] != k {
			l = append(l, k)
		}
	}
	for _, i := range []cpu.ISA{cpu.AVX2, cpu.AVX512F, cpu.NEON} {
		if !cpu.Detect().Has(i) {
			t.Logf("skipped: this machine has no %v", i)
		}
	}
	return l
}

func random(r *rand.Rand, n int, scale float32) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = (r.Float32()*2 - 1) * scale
	}
	return v
}

func sizes() []int { return []int{0, 1, 7, 15, 16, 17, 33, 64, 1000} }

func TestBinary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	ops := map[Op]func(a, b float32) float32{
		Add: func(a, b float32) float32 { return a + b }, Sub: func(a, b float32) float32 { return a - b }, Mul: func(a, b float32) float32 { return a * b },
		Div: func(a, b float32) float32 { return a / b }, Max: func(a, b float32) float32 { return max(a, b) }, Min: func(a, b float32) float32 { return min(a, b) }}
	for _, k := range levels(t) {
		for op, f := range ops {
			for _, n := range sizes() {
				a, b := random(r, n+1, 3)[1:], random(r, n, 3) // a is not aligned
				dst := make([]float32, n+1)
				dst[n] = 99
				check := func(what string, want func(i int) float32) {
					t.Helper()
					for i := range n {
						if dst[i] != want(i) {
							t.Fatalf("%v %s op %d, n %d: element %d is %g, want %g", k.isa, what, op, n, i, dst[i], want(i))
						}
					}
					if dst[n] != 99 {
						t.Fatal(k.isa, what, "wrote behind the end")
					}
				}
				k.Binary(op, dst[:n], a, b)
				check("slice", func(i int) float32 { return f(a[i], b[i]) })
				k.BinaryScalar(op, dst[:n], a, .7)
				check("scalar", func(i int) float32 { return f(a[i], .7) })
				l := [line]float32(random(r, line, 2))
				k.BinaryLine(op, dst[:n], a, &l)
				check("line", func(i int) float32 { return f(a[i], l[i%line]) })
				copy(dst, a)
				k.Binary(op, dst[:n], dst[:n], b)
				check("in place", func(i int) float32 { return f(a[i], b[i]) })
			}
		}
	}
}

func acts() []cpu.Act {
	return []cpu.Act{{}, {Kind: cpu.ReLU}, {Kind: cpu.Clamp, A: -1, B: 2}, {Kind: cpu.LeakyReLU, A: .2}, {Kind: cpu.LeakyReLU, A: 1.5}, {Kind: cpu.HardSwish, A: 1. / 6, B: .5},
		{Kind: cpu.SiLU}, {Kind: cpu.Sigmoid}, {Kind: cpu.HardSigmoid, A: .2, B: .5}, {Kind: cpu.Tanh}, {Kind: cpu.GELU}, {Kind: cpu.Exp}, {Kind: cpu.Erf}}
}

func TestAct(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, k := range levels(t) {
		for _, act := range acts() {
			for _, scale := range []float32{1e-3, 1, 10, 80, 300} {
				for _, n := range []int{1, 16, 35, 500} {
					a, dst := random(r, n, scale), make([]float32, n)
					k.Act(act, dst, a)
					for i := range dst {
						want := act.Apply(float64(a[i]))
						tol := 4e-7 * math.Max(1, math.Abs(want))
						if act.Kind == cpu.Exp {
							tol = 4e-7*want + 1.3e-38
						}
						if math.Abs(want) > math.MaxFloat32 {
							if !math.IsInf(float64(dst[i]), 1) {
								t.Fatalf("%v %v(%g) = %g, want +Inf", k.isa, act.Kind, a[i], dst[i])
							}
							continue
						}
						if d := math.Abs(float64(dst[i]) - want); !(d <= tol) {
							t.Fatalf("%v %v(%g) = %g, want %g (error %g)", k.isa, act.Kind, a[i], dst[i], want, d)
						}
					}
				}
			}
			for _, x := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0} {
				d := make([]float32, 1)
				k.Act(act, d, []float32{x})
				want := act.Apply(float64(x))
				if math.IsNaN(float64(x)) != math.IsNaN(float64(d[0])) && (act.Kind == cpu.Exp || act.Kind == cpu.None) {
					t.Errorf("%v %v(%g) = %g", k.isa, act.Kind, x, d[0])
				}
				if act.Kind == cpu.Exp && !math.IsNaN(want) && float64(d[0]) != want {
					t.Errorf("%v exp(%g) = %g", k.isa, x, d[0])
				}
			}
		}
	}
}

func TestFold(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, k := range levels(t) {
		for _, n := range sizes() {
			a, b := random(r, n, 1), random(r, n, 1)
			s, d, m := 0.0, 0.0, math.Inf(-1)
			for i := range a {
				s += float64(a[i])
				d += float64(a[i]) * float64(b[i])
				m = max(m, float64(a[i]))
			}
			if math.Abs(float64(k.Sum(a))-s) > 1e-4 || math.Abs(float64(k.Dot(a, b))-d) > 1e-4 || float64(k.MaxOf(a)) != m {
				t.Error(k.isa, n, k.Sum(a), s, k.Dot(a, b), d, k.MaxOf(a), m)
			}
			want := append([]float32(nil), b...)
			for i := range want {
				want[i] += a[i] * .3
			}
			k.AddScaled(b, a, .3)
			for i := range want {
				if math.Abs(float64(want[i]-b[i])) > 1e-6 {
					t.Fatal(k.isa, "AddScaled", i)
				}
			}
			sm := make([]float32, n)
			k.Softmax(sm, a, 1)
			z := 0.0
			for _, v := range a {
				z += math.Exp(float64(v))
			}
			for i, v := range a {
				if math.Abs(float64(sm[i])-math.Exp(float64(v))/z) > 1e-6 {
					t.Fatal(k.isa, "Softmax", i, sm[i])
				}
			}
			ln := make([]float32, n)
			k.LayerNorm(ln, a, b, a, 1e-5)
			v := 0.0
			for _, x := range a {
				v += (float64(x) - s/float64(n)) * (float64(x) - s/float64(n)) / float64(n)
			}
			for i, x := range a {
				w := (float64(x)-s/float64(n))/math.Sqrt(v+1e-5)*float64(b[i]) + float64(a[i])
				if math.Abs(float64(ln[i])-w) > 2e-4 {
					t.Fatal(k.isa, "LayerNorm", n, i, ln[i], w)
				}
			}
		}
	}
}

func TestOffsets(t *testing.T) {
	var e eargs
	if unsafe.Sizeof(uintptr(0)) == 8 && (unsafe.Offsetof(e.n) != 24 || unsafe.Offsetof(e.step) != 32 || unsafe.Offsetof(e.lo) != 40 || unsafe.Offsetof(e.hi) != 44 || unsafe.Offsetof(e.c) != 48) {
		t.Error("eargs is not what the generator writes")
	}
	k := New(cpu.Detect())
	a := make([]float32, 40)
	if n := testing.AllocsPerRun(10, func() {
		k.Binary(Add, a, a, a)
		k.Act(cpu.Act{Kind: cpu.SiLU}, a, a)
		k.Softmax(a, a, 0.5)
		k.AddNorm(a, a, a, a, a, a, 1e-5)
		k.ActRows(cpu.Act{Kind: cpu.GELU}, a, 2, 16, 20)
	}); n > 0 {
		t.Error(n, "allocations")
	}
}

func BenchmarkAct(b *testing.B) {
	k := New(cpu.Detect())
	a := make([]float32, 4096)
	for _, act := range acts() {
		b.Run(fmt.Sprint(act.Kind), func(b *testing.B) {
			b.SetBytes(4 * int64(len(a)))
			for b.Loop() {
				k.Act(act, a, a)
			}
		})
	}
}
