package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"fettle/kernels/cpu"
)

// TestHalfRows holds products in half precision to the definition within HalfError of the largest output; nothing else takes them.
func TestHalfRows(t *testing.T) {
	if !cpu.Detect().Has(cpu.NEONFP16) {
		t.Skip("no arithmetic in half precision")
	}
	worst := 0.0
	for si, sz := range [][3]int{{1, 1, 1}, {1, 33, 7}, {2, 16, 5}, {3, 48, 8}, {4, 24, 9}, {5, 25, 64}, {6, 23, 65}, {7, 24, 130}, {20, 50, 300}, {15, 100, 24}, {1, 100, 1280}, {0, 5, 3}, {5, 0, 3}} {
		for mode := range 4 {
			s := Shape{M: sz[0], N: sz[1], K: sz[2], TransB: mode&1 != 0, Bias: mode&2 == 0, Accumulate: (mode+si)%3 == 0, ConstB: true, Half: true}
			s.Act = []cpu.Act{{}, {Kind: cpu.ReLU}, {Kind: cpu.Clamp, A: -.5, B: .5}}[(mode+si)%3]
			t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(si), uint64(mode)))
				a, b, bias, c := random(r, s.M*s.K), random(r, s.K*s.N), random(r, s.N), random(r, s.M*s.N)
				plain := s
				plain.Act = cpu.Act{}
				top := 0.0
				for _, v := range Reference(plain, a, b, bias, c) {
					top = max(top, math.Abs(float64(v)))
				}
				want := Reference(s, a, b, bias, c)
				algs, err := Plan(s, cpu.Detect())
				if err != nil || algs[0].ISA != cpu.NEONFP16 {
					t.Fatalf("%s, %v", algs[0].Name, err)
				}
				al := algs[0]
				var one []float32
				for workers := 1; workers <= 2; workers++ {
					k, err := al.Bind(workers)
					if err != nil {
						t.Fatal(err)
					}
					lda, ldb, ldc := s.K+3*(mode%2), al.bCols()+mode%3, s.N+2
					buf := Buffers{A: spread(a, s.M, s.K, lda), B: spread(b, al.bRows(), al.bCols(), ldb), C: spread(c, s.M, s.N, ldc), Bias: bias, LDA: lda, LDB: ldb, LDC: ldc,
						Packed: cpu.Floats(al.PackedLen()), Scratch: spread(nil, 1, 0, k.Scratch())}
					if err := al.Pack(buf.Packed, buf.B, ldb); err != nil {
						t.Fatal(err)
					}
					run(t, k, buf)
					var got []float32
					for i := range buf.C {
						if i < s.M*ldc && i%ldc < s.N {
							got = append(got, buf.C[i])
						} else if !math.IsNaN(float64(buf.C[i])) {
							t.Fatal("wrote outside C at", i)
						}
					}
					for i := range want {
						d := math.Abs(float64(got[i]-want[i])) / top
						worst = max(worst, d)
						if !(d <= HalfError) {
							t.Fatalf("value %d is %g, want %g", i, got[i], want[i])
						}
						if one != nil && one[i] != got[i] {
							t.Fatalf("two workers give another value at %d", i)
						}
					}
					one = got
				}
			})
		}
	}
	t.Logf("the worst error is %.1e of the largest output", worst)
	s := Shape{M: 3, N: 5, K: 7, ConstB: true}
	if algs, _ := Plan(s, cpu.Detect()); algs[0].ISA == cpu.NEONFP16 {
		t.Errorf("%s without being asked for", algs[0].Name)
	}
	s.Half = true
	if algs, _ := Plan(s, cpu.Detect().Limit(cpu.NEON)); algs[0].ISA == cpu.NEONFP16 {
		t.Errorf("%s on a processor without it", algs[0].Name)
	}
	if g := (gargs{}); unsafe.Offsetof(g.buf) != 200 || unsafe.Offsetof(g.acc) != 88 {
		t.Error("gargs is not what the generator writes")
	}
}
