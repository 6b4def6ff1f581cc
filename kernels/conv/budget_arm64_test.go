package conv

import (
	"context"
	"math/rand/v2"
	"testing"

	"fettle/kernels/cpu"
	"fettle/kernels/team"
)

// TestBudgetWork runs each kernel on fixed shapes, for kernels/cpu's TestBudgets to count what they execute.
func TestBudgetWork(t *testing.T) {
	f := cpu.Detect()
	crew := team.New(1)
	defer crew.Close()
	r := rand.New(rand.NewPCG(1, 2))
	group := func(s *Shape) { s.Groups = s.C }
	shapes := []Shape{
		sq(64, 14, 14, 96, 1, 1, 0), sq(24, 14, 14, 96, 1, 1, 0), sq(16, 14, 14, 32, 1, 1, 0), sq(28, 14, 14, 16, 1, 1, 0), sq(32, 14, 14, 32, 3, 1, 1), sq(32, 28, 28, 32, 3, 2, 1), sq(3, 28, 28, 24, 3, 2, 1), sq(3, 28, 28, 20, 3, 1, 1), sq(3, 44, 44, 40, 7, 2, 3), sq(1, 28, 28, 24, 5, 1, 2),
		with(sq(32, 14, 14, 32, 3, 1, 1), group), with(sq(32, 28, 28, 32, 3, 2, 1), group), with(sq(32, 14, 14, 32, 5, 1, 2), group), with(sq(32, 28, 28, 32, 5, 2, 2), group),
	}
	for _, s := range shapes {
		s.Act = cpu.Act{Kind: cpu.Clamp, B: 6}
		algs, err := Plan(s, f)
		if err != nil {
			t.Fatal(err)
		}
		a := algs[0]
		w, bias := random(r, s.WeightLen()), random(r, s.M)
		packed := cpu.Floats(a.PackedLen())
		if err := a.Pack(packed, w, bias); err != nil {
			t.Fatal(err)
		}
		in := cpu.NewLayout(s.N, s.C, s.H, s.W, a.In.Block, a.In.Border)
		out := cpu.NewLayout(s.N, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{})
		b, err := a.Bind(packed, in, out, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		buf := Buffers{In: cpu.Floats(in.Len() + 64), Out: cpu.Floats(out.Len() + 64), Scratch: cpu.Floats(b.Scratch())}
		if err := crew.Run(context.Background(), b.On(buf)); err != nil {
			t.Fatal(err)
		}
		h := s
		h.Half = true
		for _, a := range halfAlgorithms(h, f) {
			runOne(t, a, random(r, s.C*s.H*s.W), w, bias, nil, 0, 1)
		}
		names := map[string]bool{}
		for _, isa := range f.Levels() {
			q, err := PlanQ(s, f.Limit(isa))
			if err != nil {
				t.Fatal(err)
			}
			if names[q[0].Name] || q[0].ISA == cpu.Generic {
				continue
			}
			names[q[0].Name] = true
			w8 := make([]int8, s.WeightLen())
			for i := range w8 {
				w8[i] = int8(r.IntN(255) - 127)
			}
			runQ(t, q[0], make([]uint8, s.C*s.H*s.W), w8, Quant{InScale: 1, OutScale: 100, WScale: []float32{1}}, nil, 0, 1, r)
		}
		l, err := Plan16(s, f)
		if err != nil {
			t.Fatal(err)
		}
		w16 := make([]int8, s.WeightLen())
		for i := range w16 {
			w16[i] = int8(r.IntN(255) - 127)
		}
		run16(t, l[0], make([]int16, s.C*s.H*s.W), w16, Quant16{InScale: 1, OutScale: 100, WScale: []float32{1}}, nil, 0, 1, r)
	}
	moveUp(make([]float32, 4000), 40, 440, 880, 3, 1340)
}
