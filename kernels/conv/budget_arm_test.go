package conv

import (
	"math/rand/v2"
	"testing"

	"fettle/kernels/cpu"
)

// TestBudgetWork runs every algorithm on fixed shapes, for kernels/cpu's TestBudgets to count what the kernels execute.
func TestBudgetWork(t *testing.T) {
	f := cpu.Detect()
	r := rand.New(rand.NewPCG(1, 2))
	group := func(s *Shape) { s.Groups = s.C }
	var shapes []Shape
	for w := 1; w <= 12; w++ { // every width of a tile, whole and last
		for _, m := range []int{4, 8, 12} {
			shapes = append(shapes, sq(8, 1, w, m, 1, 1, 0), sq(8, 1, w, m, 3, 1, 1), sq(8, 1, 2*w-1, m, 3, 2, 1), sq(8, 1, 3*w-2, m, 3, 3, 1))
		}
		shapes = append(shapes, with(sq(4, 3, w, 4, 5, 1, 2), group), with(sq(4, 3, 2*w-1, 4, 5, 2, 2), group), with(sq(4, 3, w, 4, 7, 1, 3), group))
	}
	shapes = append(shapes,
		sq(64, 14, 14, 96, 1, 1, 0), sq(32, 14, 14, 32, 3, 1, 1), sq(32, 28, 28, 32, 3, 2, 1), sq(3, 28, 28, 24, 3, 2, 1), sq(3, 28, 28, 24, 7, 2, 3),
		with(sq(32, 14, 14, 32, 3, 1, 1), group), with(sq(32, 28, 28, 32, 3, 2, 1), group), with(sq(32, 14, 14, 32, 5, 1, 2), group), with(sq(32, 28, 28, 32, 5, 2, 2), group),
		with(sq(32, 14, 14, 32, 7, 1, 3), group), with(sq(64, 14, 14, 96, 1, 1, 0), func(s *Shape) { s.Act.Kind = cpu.HardSwish }))
	for _, s := range shapes {
		if s.Act.Kind == 0 {
			s.Act = cpu.Act{Kind: cpu.Clamp, B: 6}
		}
		in, w, bias := random(r, s.C*s.H*s.W), random(r, s.WeightLen()), random(r, s.M)
		algs, err := Plan(s, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range algs {
			if a.ISA == cpu.NEON {
				runOne(t, a, in, w, bias, nil, 0, 1)
			}
		}
		s.Act = cpu.Act{Kind: cpu.Clamp, B: 6} // 8 bit has no other in the store
		words, err := PlanQ(s, f)
		if err != nil {
			t.Fatal(err)
		}
		w8 := make([]int8, s.WeightLen())
		for i := range w8 {
			w8[i] = int8(r.IntN(255) - 127)
		}
		for _, q := range words {
			if q.ISA == cpu.NEON {
				runQ(t, q, make([]uint8, s.C*s.H*s.W), w8, Quant{InScale: 1, OutScale: 100, WScale: []float32{1}}, nil, 0, 1, r)
			}
		}
	}
}
