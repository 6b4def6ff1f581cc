package conv

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"fettle/kernels/cpu"
	"fettle/kernels/team"
)

// chain makes shapes that follow each other: each change is applied to a 1x1 convolution of the channels and size that come before.
func chain(n, c, h, w int, f ...func(s *Shape)) []Shape {
	var l []Shape
	for _, g := range f {
		s := sq(c, h, w, c, 1, 1, 0)
		s.N = n
		g(&s)
		l = append(l, s)
		c, h, w = s.M, s.OutH(), s.OutW()
	}
	return l
}

func pw(m int) func(*Shape) { return func(s *Shape) { s.M, s.Act = m, cpu.Act{Kind: cpu.ReLU} } }

func dwise(k, stride, pad int) func(*Shape) {
	return func(s *Shape) {
		s.Groups, s.KH, s.KW, s.SH, s.SW, s.PadT, s.PadL, s.PadB, s.PadR = s.C, k, k, stride, stride, pad, pad, pad, pad
		s.Act = cpu.Act{Kind: cpu.SiLU}
	}
}

func linear(m int) func(*Shape) { return func(s *Shape) { s.M, s.Residual = m, true } }

func TestStripes(t *testing.T) {
	for ci, c := range []struct {
		name string
		l    []Shape
	}{
		{"expand, depthwise, project", chain(1, 24, 19, 14, pw(40), dwise(3, 1, 1), linear(24))},
		{"two pictures", chain(2, 16, 11, 9, pw(33), dwise(3, 1, 1), linear(16))},
		{"stride 2", chain(1, 16, 22, 23, pw(48), dwise(3, 2, 1), linear(24))},
		{"5x5 stride 2", chain(1, 17, 21, 20, pw(20), dwise(5, 2, 2), linear(32))},
		{"depthwise, project", chain(1, 32, 13, 12, dwise(5, 1, 2), pw(40))},
		{"expand, depthwise", chain(1, 16, 16, 16, pw(64), dwise(3, 1, 1))},
		{"dilated, no padding", chain(1, 16, 18, 16, pw(16), func(s *Shape) { dwise(3, 1, 0)(s); s.DH, s.DW = 2, 2 }, linear(8))},
		{"uneven padding", chain(1, 16, 16, 16, pw(16), func(s *Shape) { dwise(3, 2, 0)(s); s.PadB, s.PadR = 1, 1 }, linear(8))},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, uint64(ci)))
			first, last := c.l[0], c.l[len(c.l)-1]
			in := random(r, first.N*first.C*first.H*first.W)
			var res []float32
			if last.Residual {
				res = random(r, last.N*last.M*last.OutH()*last.OutW())
			}
			want := in
			var ws, bs [][]float32
			for j, s := range c.l {
				w, b := random(r, s.WeightLen()), random(r, s.M)
				ws, bs = append(ws, w), append(bs, b)
				var add []float32
				if j == len(c.l)-1 {
					add = res
				}
				want = Reference(s, want, w, b, add)
			}
			for _, isa := range cpu.Detect().Levels() {
				var links []Link
				for j, s := range c.l {
					algs, err := Plan(s, cpu.Detect().Limit(isa))
					if err != nil {
						t.Fatal(err)
					}
					a := algs[0]
					p := cpu.Floats(a.PackedLen())
					if err := a.Pack(p, ws[j], bs[j]); err != nil {
						t.Fatal(err)
					}
					links = append(links, Link{a, p})
				}
				h := last.OutH()
				var one []float32
				for _, rows := range []int{1, 2, 3, 5, h - 1, h, h + 3} {
					for _, workers := range []int{1, 3} {
						got := runStripes(t, links, in, res, rows, workers)
						for i := range want {
							if d := math.Abs(float64(got[i] - want[i])); !(d <= 2e-5*(1+math.Abs(float64(want[i])))) {
								t.Fatalf("%v, %d rows: value %d is %g, want %g", isa, rows, i, got[i], want[i])
							}
							if one != nil && got[i] != one[i] {
								t.Fatalf("%v, %d rows, %d workers: value %d is %g, with other stripes %g", isa, rows, workers, i, got[i], one[i])
							}
						}
						one = got
					}
				}
			}
		})
	}
}

func runStripes(t *testing.T, links []Link, in, res []float32, rows, workers int) []float32 {
	t.Helper()
	first, last := links[0].Alg, links[len(links)-1].Alg
	s := last.Shape
	li := cpu.NewLayout(s.N, first.Shape.C, first.Shape.H, first.Shape.W, blk, grow(first.In.Border, rows%2))
	lo := cpu.NewLayout(s.N, s.M, s.OutH(), s.OutW(), blk, cpu.Border{Top: rows % 2, Left: rows % 3, Right: rows % 2})
	var lr *cpu.Layout
	buf := Buffers{In: store(li, in)}
	if s.Residual {
		lr = &lo
		buf.Res = store(lo, res)
	}
	b, err := BindStripes(links, li, lo, lr, rows, workers)
	if err != nil {
		t.Fatal(err)
	}
	buf.Out, buf.Scratch = cpu.Floats(lo.Len()+64), cpu.Floats(b.Scratch()+1)
	for i := range buf.Out {
		buf.Out[i] = poison
	}
	for i := range buf.Scratch {
		buf.Scratch[i] = float32(math.NaN())
	}
	crew := team.New(workers)
	defer crew.Close()
	run := b.On(buf)
	for range 2 {
		if err := crew.Run(context.Background(), run); err != nil {
			t.Fatal(err)
		}
	}
	var flat []float32
	inside := map[int]bool{}
	for n := range s.N {
		for c := range lo.Blocks() * blk {
			for y := range lo.H {
				for x := range lo.W {
					i := lo.At(n, c, y, x)
					inside[i] = true
					if c < s.M {
						flat = append(flat, buf.Out[i])
					}
				}
			}
		}
	}
	for i, v := range buf.Out {
		if !inside[i] && v != poison {
			t.Fatalf("%d rows: wrote outside the output, at %d", rows, i)
		}
	}
	return flat
}

func TestStripesRefuse(t *testing.T) {
	plan := func(s Shape) Link {
		algs, err := Plan(s, cpu.Detect())
		if err != nil {
			t.Fatal(err)
		}
		return Link{algs[0], cpu.Floats(algs[0].PackedLen())}
	}
	in, out := cpu.NewLayout(1, 16, 8, 8, blk, cpu.Border{}), cpu.NewLayout(1, 16, 8, 8, blk, cpu.Border{})
	for i, l := range [][]Link{
		{plan(sq(16, 8, 8, 32, 1, 1, 0)), plan(sq(16, 8, 8, 16, 1, 1, 0))}, // channels do not fit
		{plan(with(sq(16, 8, 8, 16, 1, 1, 0), func(s *Shape) { s.Residual = true })), plan(sq(16, 8, 8, 16, 1, 1, 0))},
		{plan(sq(16, 8, 8, 16, 1, 1, 0)), plan(sq(16, 4, 8, 16, 1, 1, 0))},
	} {
		if _, err := BindStripes(l, in, out, nil, 2, 1); err == nil {
			t.Errorf("chain %d was bound: %s", i, fmt.Sprint(l[0].Alg.Name, l[1].Alg.Name))
		}
	}
}
