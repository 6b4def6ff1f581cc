package conv

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"fettle/kernels/cpu"
	"fettle/kernels/team"
)

// refQ is the definition of an 8-bit convolution on NCHW in float64, before rounding.
func refQ(s Shape, in []uint8, w []int8, q Quant, res []uint8) []float64 {
	real := make([]float32, len(in))
	for i, v := range in {
		real[i] = float32(int(v) - int(q.InZero)) // exact; the scales come after the sum
	}
	wf := make([]float32, len(w))
	for i, v := range w {
		wf[i] = float32(v)
	}
	plain := s
	plain.Act = cpu.Act{}
	sum := Reference(plain, real, wf, nil, nil)
	out := make([]float64, len(sum))
	per := s.OutH() * s.OutW()
	for i := range sum {
		o := i / per % s.M
		v := float64(sum[i]) * float64(q.InScale) * float64(q.WScale[min(o, len(q.WScale)-1)])
		if q.Steps != nil {
			v += float64(q.Steps[o]) * float64(q.InScale) * float64(q.WScale[min(o, len(q.WScale)-1)])
		}
		if res != nil {
			v += float64(q.ResScale) * float64(int(res[i])-int(q.ResZero))
		}
		out[i] = min(255, max(0, s.Act.Apply(v)/float64(q.OutScale)+float64(q.OutZero)))
	}
	return out
}

// exactQ is what ONNX Runtime makes of the sums: in whole numbers up to the bias, one product of float32, halves to even, then the zero point. It is
// nil with a residual.
func exactQ(s Shape, in []uint8, w []int8, q Quant) []uint8 {
	if s.Residual {
		return nil
	}
	real, wf := make([]float32, len(in)), make([]float32, len(w))
	for i, v := range in {
		real[i] = float32(int(v) - int(q.InZero))
	}
	for i, v := range w {
		wf[i] = float32(v)
	}
	plain := s
	plain.Act = cpu.Act{}
	sums := Reference(plain, real, wf, nil, nil)
	out := make([]uint8, len(sums))
	per := s.OutH() * s.OutW()
	for i, v := range sums {
		o := i / per % s.M
		acc := int32(v)
		if q.Steps != nil {
			acc += q.Steps[o]
		}
		scale := float32(q.InScale*q.WScale[min(o, len(q.WScale)-1)]) / q.OutScale
		r := math.RoundToEven(float64(float32(acc) * scale))
		switch s.Act.Kind {
		case cpu.ReLU:
			r = max(r, 0)
		case cpu.Clamp:
			r = min(max(r, math.RoundToEven(float64(s.Act.A/q.OutScale))), math.RoundToEven(float64(s.Act.B/q.OutScale)))
		}
		out[i] = uint8(min(max(r+float64(q.OutZero), 0), 255))
	}
	return out
}

func storeQ(l cpu.Layout, v []uint8, zero uint8, r *rand.Rand) []uint8 {
	d := cpu.Aligned[uint8](l.Len())
	for i := range d {
		d[i] = zero
	}
	for n := range l.N {
		for c := range l.Blocks() * l.Block {
			for y := range l.H {
				for x := range l.W {
					if c < l.C {
						d[l.At(n, c, y, x)] = v[((n*l.C+c)*l.H+y)*l.W+x]
					} else {
						d[l.At(n, c, y, x)] = uint8(r.IntN(256))
					}
				}
			}
		}
	}
	return d
}

func TestInt8Rows(t *testing.T) {
	for _, isa := range []cpu.ISA{cpu.AVX2, cpu.AVX512VNNI, cpu.NEON} {
		if !cpu.Detect().Has(isa) {
			t.Logf("skipped: this machine has no %v", isa)
		}
	}
	for ci, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			for mode := range 6 {
				if testing.Short() && (mode+ci)%3 != 0 {
					continue
				}
				s := c.s
				s.Residual = mode%2 == 1
				s.Act = []cpu.Act{{}, {Kind: cpu.ReLU}, {Kind: cpu.Clamp, A: -.4, B: 1.1}}[mode/2]
				r := rand.New(rand.NewPCG(uint64(ci), uint64(mode)))
				in, w := make([]uint8, s.N*s.C*s.H*s.W), make([]int8, s.WeightLen())
				for i := range in {
					in[i] = uint8(r.IntN(256))
				}
				bound := []int{128, 127, 60, 127, 127, 128}[mode] // products of smaller weights meet in 16 bits
				for i := range w {
					w[i] = int8(max(-bound, r.IntN(256)-128) % (bound + 1))
				}
				if mode == 4 { // the largest sums
					for i := range in {
						in[i] = 255
					}
					for i := range w {
						w[i] = 127
					}
				}
				q := Quant{InScale: .02, OutScale: .05, ResScale: .03, InZero: uint8(37 * mode), OutZero: uint8(20 * mode), ResZero: 5, WScale: make([]float32, s.M), Steps: make([]int32, s.M)}
				for i := range q.WScale {
					q.WScale[i] = (.02 + .02*r.Float32()) / float32(math.Sqrt(float64(s.C/s.Groups*s.KH*s.KW)))
				}
				for i, b := range random(r, s.M) {
					q.Steps[i] = int32(b / (q.InScale * q.WScale[i]))
				}
				if mode == 0 {
					q.Steps, q.WScale = nil, q.WScale[:1]
				}
				if mode == 2 { // many halves: with an odd zero point it shows when it is added
					q.InScale, q.OutScale, q.OutZero, q.WScale = .5, 4, 41, []float32{1. / 64}
				}
				exact := exactQ(s, in, w, q)
				var res []uint8
				if s.Residual {
					res = make([]uint8, s.N*s.M*s.OutH()*s.OutW())
					for i := range res {
						res[i] = uint8(r.IntN(256))
					}
				}
				want := refQ(s, in, w, q, res)
				names := map[string]bool{}
				var first []uint8
				for _, isa := range cpu.Detect().Levels() {
					algs, err := PlanQ(s, cpu.Detect().Limit(isa))
					if err != nil {
						t.Fatal(err)
					}
					for _, a := range algs {
						if names[a.Name] {
							continue
						}
						names[a.Name] = true
						got := runQ(t, a, in, w, q, res, mode%2, 1+mode%3, r)
						for i := range want {
							if d := math.Abs(float64(got[i]) - want[i]); d > .502 {
								t.Fatalf("%s mode %d: value %d is %d, want %g", a.Name, mode, i, got[i], want[i])
							}
						}
						if first == nil {
							first = got
						}
						for i := range exact {
							if got[i] != exact[i] {
								t.Fatalf("%s mode %d: value %d is %d, ONNX Runtime gives %d", a.Name, mode, i, got[i], exact[i])
							}
						}
						off, most := 0, 0
						if s.Residual { // sums are exact; only the fused multiply-add of a residual may round otherwise
							most = 1 + len(got)/500
						}
						for i := range got {
							if got[i] != first[i] {
								off++
							}
						}
						if off > most {
							t.Errorf("%s: %d of %d differ from the portable kernel", a.Name, off, len(got))
						}
					}
				}
			}
		})
	}
}

func runQ(t *testing.T, a *QAlgorithm, in []uint8, w []int8, q Quant, res []uint8, wide, workers int, r *rand.Rand) []uint8 {
	t.Helper()
	return runQLook(t, a, in, w, q, res, wide, workers, r, nil)
}

func runQLook(t *testing.T, a *QAlgorithm, in []uint8, w []int8, q Quant, res []uint8, wide, workers int, r *rand.Rand, table *[256]uint8) []uint8 {
	t.Helper()
	s := a.Shape
	li := cpu.NewLayout(s.N, s.C, s.H, s.W, a.In.Block, grow(a.In.Border, wide))
	lo := cpu.NewLayout(s.N, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{Top: wide, Left: wide, Bottom: wide, Right: wide})
	packed := cpu.Floats(a.PackedLen())
	if err := a.Pack(packed, w, q); err != nil {
		t.Fatal(err)
	}
	buf := QBuffers{In: storeQ(li, in, q.InZero, r), Out: cpu.Aligned[uint8](lo.Len()), Table: table}
	for i := range buf.Out {
		buf.Out[i] = 77
	}
	var lr *cpu.Layout
	if s.Residual {
		l := cpu.NewLayout(s.N, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{})
		lr, buf.Res = &l, storeQ(l, res, 0, r)
	}
	b, err := a.Bind(packed, li, lo, lr, workers)
	if err != nil {
		t.Fatal(err)
	}
	crew := team.New(workers)
	defer crew.Close()
	if err := crew.Run(context.Background(), b.OnQ(buf)); err != nil {
		t.Fatal(err)
	}
	var got []uint8
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
		if !inside[i] && v != 77 {
			t.Fatalf("%s wrote the border at %d", a.Name, i)
		}
	}
	return got
}

// TestInt8Table: what an algorithm that looks up stores is the table of what it stores without one, each byte once.
func TestInt8Table(t *testing.T) {
	table := new([256]uint8)
	for i := range table {
		table[i] = uint8(i*i/7 + 91*i + 13)
	}
	for ci, c := range cases() {
		s := c.s
		s.Residual = ci%3 == 1
		r := rand.New(rand.NewPCG(uint64(ci), 7))
		in, w := make([]uint8, s.N*s.C*s.H*s.W), make([]int8, s.WeightLen())
		for i := range in {
			in[i] = uint8(r.IntN(256))
		}
		least := -127 - ci%2
		for i := range w {
			w[i] = int8(max(least, r.IntN(256)-128))
		}
		var res []uint8
		if s.Residual {
			res = make([]uint8, s.N*s.M*s.OutH()*s.OutW())
			for i := range res {
				res[i] = uint8(r.IntN(256))
			}
		}
		q := Quant{InScale: .02, OutScale: .05, ResScale: .03, InZero: 120, OutZero: 128, ResZero: 5, WScale: []float32{.03 / float32(math.Sqrt(float64(s.C/s.Groups*s.KH*s.KW)))}}
		for _, isa := range cpu.Detect().Levels() {
			algs, err := PlanQ(s, cpu.Detect().Limit(isa))
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range algs {
				if !a.LooksUp() {
					continue
				}
				plain := runQ(t, a, in, w, q, res, ci%2, 1+ci%3, rand.New(rand.NewPCG(1, 2)))
				for i, v := range runQLook(t, a, in, w, q, res, ci%2, 1+ci%3, rand.New(rand.NewPCG(1, 2)), table) {
					if v != table[plain[i]] {
						t.Fatalf("%s, %s: value %d is %d, want the %d at %d", c.name, a.Name, i, v, table[plain[i]], plain[i])
					}
				}
			}
		}
		s.Act.Kind = cpu.ReLU
		if algs, err := PlanQ(s, cpu.Detect()); err != nil || algs[0].LooksUp() {
			t.Errorf("%s with an activation looks up (%v)", algs[0].Name, err)
		}
	}
}

func TestInt8BadInput(t *testing.T) {
	s := sq(16, 8, 8, 16, 3, 1, 1)
	algs, err := PlanQ(s, cpu.Detect())
	if err != nil {
		t.Fatal(err)
	}
	a := algs[0]
	w := make([]int8, s.WeightLen())
	ok := Quant{InScale: 1, OutScale: 1, WScale: []float32{1}}
	for name, f := range map[string]func(q *Quant){"zero scale": func(q *Quant) { q.OutScale = 0 }, "NaN scale": func(q *Quant) { q.InScale = float32(math.NaN()) }, "weight scales": func(q *Quant) { q.WScale = make([]float32, 3) }, "bias": func(q *Quant) { q.Bias = make([]float32, 1) }, "steps of bias": func(q *Quant) { q.Steps = make([]int32, 1) },
		"bias beyond 32 bits": func(q *Quant) { q.Bias = []float32{15: 3e9} }} {
		q := ok
		f(&q)
		if a.Pack(cpu.Floats(a.PackedLen()), w, q) == nil {
			t.Error(name, "accepted")
		}
	}
	s.Act.Kind = cpu.SiLU
	if _, err := PlanQ(s, cpu.Detect()); err == nil {
		t.Error("SiLU accepted")
	}
}

func BenchmarkInt8(b *testing.B) {
	shapes := []Shape{sq(3, 224, 224, 64, 7, 2, 3), with(sq(192, 28, 28, 192, 3, 1, 1), func(s *Shape) { s.Groups = 192 }), sq(16, 32, 32, 16, 3, 1, 1), sq(32, 16, 16, 32, 3, 1, 1), sq(24, 56, 56, 144, 1, 1, 0), sq(144, 56, 56, 24, 1, 1, 0),
		sq(16, 160, 160, 32, 3, 2, 1), sq(32, 80, 80, 64, 3, 2, 1), sq(32, 80, 80, 32, 1, 1, 0), sq(32, 80, 80, 16, 1, 1, 0), sq(48, 80, 80, 32, 1, 1, 0), sq(96, 28, 28, 16, 1, 1, 0), sq(128, 28, 28, 32, 1, 1, 0), sq(16, 40, 40, 16, 3, 1, 1), sq(64, 20, 20, 64, 1, 1, 0), sq(512, 7, 7, 32, 1, 1, 0)}
	for _, d := range [][3]int{{96, 56, 3}, {192, 14, 3}, {960, 7, 3}, {240, 28, 5}, {672, 14, 5}, {1152, 7, 5}} {
		shapes = append(shapes, with(sq(d[0], d[1], d[1], d[0], d[2], 1, d[2]/2), func(s *Shape) { s.Groups = s.C }))
	}
	for _, n := range []int{56, 28, 14, 7} { // as in ResNet-50
		c := 64 * 56 / n
		shapes = append(shapes, sq(4*c, n, n, c, 1, 1, 0), sq(c, n, n, c, 3, 1, 1), sq(c, 2*n, 2*n, c, 3, 2, 1), sq(c, n, n, 4*c, 1, 1, 0), sq(2*c, 2*n, 2*n, 4*c, 1, 2, 0))
	}
	for _, s := range shapes {
		algs, err := PlanQ(s, cpu.Detect())
		if err != nil {
			b.Fatal(err)
		}
		for _, a := range algs[:len(algs)-1] {
			b.Run(fmt.Sprintf("%dx%ds%d-%d-%d-%d/%s", s.KH, s.KW, s.SH, s.C, s.M, s.OutH(), a.Name), func(b *testing.B) {
				li, lo := cpu.NewLayout(1, s.C, s.H, s.W, a.In.Block, a.In.Border), cpu.NewLayout(1, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{})
				k, err := a.Bind(cpu.Floats(a.PackedLen()), li, lo, nil, 1)
				if err != nil {
					b.Fatal(err)
				}
				buf := QBuffers{In: cpu.Aligned[uint8](li.Len()), Out: cpu.Aligned[uint8](lo.Len())}
				for i := range buf.In {
					buf.In[i] = uint8(i)
				}
				r := k.OnQ(buf)
				t := math.Inf(1) // the best run: the machine may be shared
				for b.Loop() {
					begin := time.Now()
					for st := range r.Stages() {
						for p := range r.Pieces(st) {
							r.Piece(st, p, 0)
						}
					}
					t = min(t, time.Since(begin).Seconds())
				}
				b.ReportMetric(t*1e3, "best-ms")
				b.ReportMetric(2*float64(s.MACs())/t/1e9, "GOP/s")
			})
		}
	}
}
