package conv

import (
	"context"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"fettle/kernels/cpu"
	"fettle/kernels/team"
)

// store16 lays values out; what lies beyond the channels is anything, the border zero.
func store16(l cpu.Layout, v []int16, r *rand.Rand) []int16 {
	d := cpu.Aligned[int16](l.Len())
	for n := range l.N {
		for c := range l.Blocks() * l.Block {
			for y := range l.H {
				for x := range l.W {
					d[l.At(n, c, y, x)] = int16(r.Uint32())
					if c < l.C {
						d[l.At(n, c, y, x)] = v[((n*l.C+c)*l.H+y)*l.W+x]
					}
				}
			}
		}
	}
	return d
}

// ref16 is the definition in float64, before rounding, from exact sums.
func ref16(s Shape, in []int16, w []int8, q Quant16, res []int16) []float64 {
	cg, mg, oh, ow := s.C/s.Groups, s.M/s.Groups, s.OutH(), s.OutW()
	var out []float64
	for n := range s.N {
		for o := range s.M {
			for y := range oh {
				for x := range ow {
					sum := int64(0)
					for c := range cg {
						for t := range s.KH * s.KW {
							iy, ix := y*s.SH-s.PadT+t/s.KW*s.DH, x*s.SW-s.PadL+t%s.KW*s.DW
							if iy >= 0 && iy < s.H && ix >= 0 && ix < s.W {
								sum += int64(in[((n*s.C+o/mg*cg+c)*s.H+iy)*s.W+ix]) * int64(w[(o*cg+c)*s.KH*s.KW+t])
							}
						}
					}
					v := float64(sum) * float64(q.InScale) * float64(q.WScale[min(o, len(q.WScale)-1)])
					if q.Bias != nil {
						v += float64(q.Bias[o])
					}
					if res != nil {
						v += float64(q.ResScale) * float64(res[len(out)])
					}
					out = append(out, min(math.MaxInt16, max(math.MinInt16, s.Act.Apply(v)/float64(q.OutScale))))
				}
			}
		}
	}
	return out
}

// case16 draws what a convolution needs; mode 2 has the largest sums that are allowed.
func case16(s Shape, mode int, r *rand.Rand) (in []int16, w []int8, q Quant16, res []int16) {
	in, w = make([]int16, s.N*s.C*s.H*s.W), make([]int8, s.WeightLen())
	for i := range in {
		in[i] = int16(r.Uint32())
	}
	per := s.WeightLen() / s.M
	for i := range w {
		w[i] = int8(r.IntN(256) - 128)
		if per > 1000 {
			w[i] /= 4
		}
	}
	if mode == 2 {
		for i := range in {
			in[i] = math.MinInt16
		}
		for i := range w {
			w[i] = int8(-min(128, 65535/per))
		}
	}
	q = Quant16{InScale: 1e-4, OutScale: 2e-4, ResScale: 3e-4, WScale: make([]float32, s.M), Bias: random(r, s.M)}
	for i := range q.WScale {
		q.WScale[i] = (.01 + .02*r.Float32()) / float32(math.Sqrt(float64(per)))
	}
	if mode == 0 {
		q.Bias, q.WScale = nil, q.WScale[:1]
	}
	if s.Residual {
		res = make([]int16, s.N*s.M*s.OutH()*s.OutW())
		for i := range res {
			res[i] = int16(r.Uint32())
		}
	}
	return in, w, q, res
}

// TestInt16Rows holds every 16-bit convolution to the portable one, bit by bit, and that to the definition.
func TestInt16Rows(t *testing.T) {
	for ci, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			for mode := range 4 {
				if (mode+ci)%2 != 0 || testing.Short() && (mode+ci/2)%4 > 1 {
					continue
				}
				s := c.s
				s.Residual = mode%2 == 1
				s.Act = []cpu.Act{{}, {Kind: cpu.ReLU}, {}, {Kind: cpu.Clamp, A: -.4, B: 1.1}}[mode]
				r := rand.New(rand.NewPCG(uint64(ci), uint64(mode)))
				in, w, q, res := case16(s, mode, r)
				names := map[string]bool{}
				var all [][]int16
				var of []*Algorithm16
				for _, isa := range cpu.Detect().Levels() {
					algs, err := Plan16(s, cpu.Detect().Limit(isa))
					if err != nil {
						t.Fatal(err)
					}
					for _, a := range algs {
						if !names[a.Name] {
							names[a.Name], of = true, append(of, a)
							all = append(all, run16(t, a, in, w, q, res, mode%2, 1+mode%3, r))
						}
					}
				}
				if of[0].ISA != cpu.Generic {
					t.Fatalf("%s comes first", of[0].Name)
				}
				for i, want := range ref16(s, in, w, q, res) {
					if d := math.Abs(float64(all[0][i]) - want); d > .55 { // float32 has 8 bits below the last of 16
						t.Fatalf("%s mode %d: value %d is %d, want %g", of[0].Name, mode, i, all[0][i], want)
					}
				}
				for k, got := range all {
					for i := range got {
						if got[i] != all[0][i] {
							t.Fatalf("%s mode %d: value %d is %d, portable %d", of[k].Name, mode, i, got[i], all[0][i])
						}
					}
				}
			}
		})
	}
}

func run16(t *testing.T, a *Algorithm16, in []int16, w []int8, q Quant16, res []int16, wide, workers int, r *rand.Rand) []int16 {
	t.Helper()
	s := a.Shape
	li := cpu.NewLayout(s.N, s.C, s.H, s.W, a.In.Block, grow(a.In.Border, wide))
	lo := cpu.NewLayout(s.N, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{Top: wide, Left: wide, Bottom: wide, Right: wide})
	packed := cpu.Floats(a.PackedLen())
	if err := a.Pack(packed, w, q); err != nil {
		t.Fatal(err)
	}
	buf := Buffers16{In: store16(li, in, r), Out: cpu.Aligned[int16](lo.Len())}
	for i := range buf.Out {
		buf.Out[i] = 7777
	}
	var lr *cpu.Layout
	if s.Residual {
		l := cpu.NewLayout(s.N, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{})
		lr, buf.Res = &l, store16(l, res, r)
	}
	b, err := a.Bind(packed, li, lo, lr, workers)
	if err != nil {
		t.Fatal(err)
	}
	crew := team.New(workers)
	defer crew.Close()
	if err := crew.Run(context.Background(), b.On16(buf)); err != nil {
		t.Fatal(err)
	}
	var got []int16
	inside := make([]bool, len(buf.Out))
	for n := range s.N {
		for c := range lo.Blocks() * lo.Block {
			for y := range lo.H {
				for x := range lo.W {
					i := lo.At(n, c, y, x)
					inside[i] = true
					if c < s.M {
						got = append(got, buf.Out[i])
					}
				}
			}
		}
	}
	for i, v := range buf.Out {
		if !inside[i] && v != 7777 {
			t.Fatalf("%s wrote the border at %d", a.Name, i)
		}
	}
	return got
}

// TestInt16GuardPages runs the vector kernels on buffers that end where memory ends.
func TestInt16GuardPages(t *testing.T) {
	crew := team.New(1)
	defer crew.Close()
	for ci, c := range cases() {
		s := c.s
		s.Residual = ci%2 == 1
		r := rand.New(rand.NewPCG(uint64(ci), 9))
		algs, err := Plan16(s, cpu.Detect())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range algs[:len(algs)-1] {
			in, w, q, res := case16(s, 3, r)
			packed := cpu.Floats(a.PackedLen())
			if err := a.Pack(packed, w, q); err != nil {
				t.Fatal(err)
			}
			li, lo := cpu.NewLayout(s.N, s.C, s.H, s.W, a.In.Block, a.In.Border), cpu.NewLayout(s.N, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{})
			buf := Buffers16{In: guarded(t, store16(li, in, r)), Out: guarded(t, make([]int16, lo.Used()))}
			var lr *cpu.Layout
			if s.Residual {
				lr, buf.Res = &lo, guarded(t, store16(lo, res, r))
			}
			b, err := a.Bind(guarded(t, packed), li, lo, lr, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := crew.Run(context.Background(), b.On16(buf)); err != nil {
				t.Errorf("%s, %s: %v", c.name, a.Name, err)
			}
		}
	}
}

// TestSumsFit: the bound is that of the largest values, and who packs weights beyond it is refused.
func TestSumsFit(t *testing.T) {
	w := make([]int8, 2*517)
	for i := range w {
		w[i] = 127
	}
	for _, c := range []struct {
		last int8
		want bool
	}{{0, true}, {3, true}, {-3, true}, {4, false}, {-128, false}} { // 127 * 516 + 3 is 65535
		w[516], w[1033] = 3, c.last
		if got := SumsFit(w, 517); got != c.want {
			t.Errorf("last weight %d: %t", c.last, got)
		}
	}
	s := sq(600, 2, 2, 1, 1, 1, 0)
	algs, err := Plan16(s, cpu.Detect())
	if err != nil {
		t.Fatal(err)
	}
	big := slices.Repeat([]int8{-128}, 600)
	for _, a := range algs {
		if a.Pack(cpu.Floats(a.PackedLen()), big, Quant16{InScale: 1, OutScale: 1, WScale: []float32{1}}) == nil {
			t.Errorf("%s takes weights whose sums leave 32 bits", a.Name)
		}
		if err := a.Pack(cpu.Floats(a.PackedLen()), big[:600], Quant16{InScale: 0, OutScale: 1, WScale: []float32{1}}); err == nil {
			t.Errorf("%s takes a scale of 0", a.Name)
		}
	}
}

// TestFMA32 holds the portable multiply-add to exact arithmetic, where a float64 between would round twice.
func TestFMA32(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	draw := func() float32 {
		return math.Float32frombits(r.Uint32()&0x807fffff | uint32(127-30+r.IntN(60))<<23)
	}
	for i := range 200_000 {
		a, b, c := draw(), draw(), draw()
		if i%3 == 0 { // next to the middle between two floats
			a, b, c = 1+float32(r.IntN(2))/(1<<23), 1+1/float32(int(1)<<23), float32(math.Ldexp(float64(r.IntN(7)-3), -60))
			b *= 1 << 12
		}
		exact := new(big.Float).SetPrec(300).Mul(big.NewFloat(float64(a)), big.NewFloat(float64(b)))
		exact.Add(exact, new(big.Float).SetPrec(300).SetFloat64(float64(c)))
		if want, _ := exact.Float32(); fma32(a, b, c) != want {
			t.Fatalf("%g*%g + %g is %g, want %g", a, b, c, fma32(a, b, c), want)
		}
	}
}
