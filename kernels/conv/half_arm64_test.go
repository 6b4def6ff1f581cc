package conv

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"testing"

	"fettle/kernels/cpu"
	"fettle/kernels/team"
)

// TestHalfRows holds the convolutions in half precision to the definition within HalfError of the largest output, for every activation and
// residual, whatever the borders and the number of workers; nothing else takes them.
func TestHalfRows(t *testing.T) {
	if !cpu.Detect().Has(cpu.NEONFP16) {
		t.Skip("no arithmetic in half precision")
	}
	fits, taken, worst := 0, 0, 0.0
	for ci, c := range append(cases(), tc{"long sums", sq(2000, 4, 5, 30, 1, 1, 0)}, tc{"1x1 stride 2 by 31", sq(24, 31, 31, 20, 1, 2, 0)}) {
		for mode, act := range activations() {
			s := c.s
			s.Act, s.Residual, s.Half = act, mode%2 == 1, true
			if len(halfAlgorithms(s, cpu.Detect())) == 0 {
				continue
			}
			fits++ // of these every third is run, in short tests every 21st, whatever other cases there are
			if fits%3 != 0 || testing.Short() && fits%21 != 0 {
				continue
			}
			r := rand.New(rand.NewPCG(uint64(ci), uint64(mode)))
			in, w, bias := random(r, s.N*s.C*s.H*s.W), random(r, s.WeightLen()), random(r, s.M)
			var res []float32
			if s.Residual {
				res = random(r, s.N*s.M*s.OutH()*s.OutW())
			}
			algs, err := Plan(s, cpu.Detect())
			if err != nil {
				t.Fatal(err)
			}
			plain := s
			plain.Act = cpu.Act{}
			top := 0.0
			for _, v := range Reference(plain, in, w, bias, res) {
				top = max(top, math.Abs(float64(v)))
			}
			want := Reference(s, in, w, bias, res)
			for _, a := range algs {
				if a.ISA != cpu.NEONFP16 {
					continue
				}
				taken++
				one := runOne(t, a, in, w, bias, res, 0, 1)
				for i, v := range one {
					d := math.Abs(float64(v-want[i])) / top
					worst = max(worst, d)
					if !(d <= HalfError) {
						t.Fatalf("%s, %s: value %d is %g, want %g", c.name, a.Name, i, v, want[i])
					}
				}
				for wide := range 4 {
					for i, v := range runOne(t, a, in, w, bias, res, wide, 1+wide%3) {
						if v != one[i] {
							t.Fatalf("%s, borders %d: value %d is %g, without them %g", c.name, wide, i, v, one[i])
						}
					}
				}
			}
		}
	}
	t.Logf("%d runs, the worst error is %.1e of the largest output", taken, worst)
	if taken < 8 {
		t.Errorf("half precision was run %d times", taken)
	}
	s := sq(64, 14, 14, 64, 1, 1, 0)
	for _, half := range []bool{false, true} {
		s.Half = half
		algs, err := Plan(s, cpu.Detect())
		if err != nil || (algs[0].ISA == cpu.NEONFP16) != half {
			t.Errorf("half %t: %s, %v", half, algs[0].Name, err)
		}
		if algs, _ = Plan(s, cpu.Detect().Limit(cpu.NEON)); algs[0].ISA != cpu.NEON {
			t.Errorf("a processor without half precision takes %s", algs[0].Name)
		}
	}
}

// TestHalfGuardPages is TestGuardPages for half precision.
func TestHalfGuardPages(t *testing.T) {
	if !cpu.Detect().Has(cpu.NEONFP16) {
		t.Skip("no arithmetic in half precision")
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	crew := team.New(1)
	defer crew.Close()
	for _, c := range cases() {
		s := c.s
		s.Half = true
		for _, a := range halfAlgorithms(s, cpu.Detect()) {
			packed := cpu.Floats(a.PackedLen())
			if err := a.Pack(packed, random(rand.New(rand.NewPCG(1, 1)), s.WeightLen()), nil); err != nil {
				t.Fatal(err)
			}
			li, lo := cpu.NewLayout(s.N, s.C, s.H, s.W, a.In.Block, a.In.Border), cpu.NewLayout(s.N, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{})
			b, err := a.Bind(guarded(t, packed), li, lo, nil, 1)
			if err != nil {
				t.Fatal(err)
			}
			run := b.On(Buffers{In: guarded(t, make([]float32, li.Used())), Out: guarded(t, make([]float32, lo.Used())), Scratch: guarded(t, make([]float32, b.Scratch()))})
			if err := crew.Run(context.Background(), run); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}
