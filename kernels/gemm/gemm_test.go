package gemm

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"fettle/kernels/cpu"
	"fettle/kernels/team"
)

func random(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = r.Float32()*2 - 1
	}
	return v
}

// spread copies a tight matrix into one with a larger leading dimension, the rest NaN.
func spread(v []float32, rows, cols, ld int) []float32 {
	d := cpu.Floats(rows*ld + 16)
	for i := range d {
		d[i] = float32(math.NaN())
	}
	for i := range rows {
		copy(d[i*ld:], v[i*cols:(i+1)*cols])
	}
	return d
}

func run(t *testing.T, k *Kernel, b Buffers) {
	t.Helper()
	r, err := k.On(b)
	if err != nil {
		t.Fatal(err)
	}
	crew := team.New(k.work)
	defer crew.Close()
	if err := crew.Run(context.Background(), r); err != nil {
		t.Fatal(err)
	}
}

func TestRows(t *testing.T) {
	for _, isa := range []cpu.ISA{cpu.AVX2, cpu.AVX512F, cpu.NEON} {
		if !cpu.Detect().Has(isa) {
			t.Logf("skipped: this machine has no %v", isa)
		}
	}
	sizes := [][3]int{{0, 5, 3}, {5, 0, 3}, {3, 5, 0}, {1, 1, 1}, {1, 33, 7}, {1, 100, 64}, {2, 16, 5}, {6, 32, 9}, {13, 31, 17}, {14, 48, 20}, {29, 65, 33}, {97, 10, 70}, {40, 130, 300}, {20, 20, 12}, {37, 17, 5}, {8, 40, 9}}
	for si, sz := range sizes {
		for mode := range 8 {
			s := Shape{M: sz[0], N: sz[1], K: sz[2], TransA: mode&1 != 0, TransB: mode&2 != 0, Bias: mode&4 == 0, Accumulate: (mode+si)%3 == 0, ConstB: (mode+si)%2 == 0}
			s.Act = []cpu.Act{{}, {Kind: cpu.ReLU}, {Kind: cpu.Clamp, A: -.5, B: .5}}[(mode+si)%3]
			t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(si), uint64(mode)))
				a, b, bias, c := random(r, s.M*s.K), random(r, s.K*s.N), random(r, s.N), random(r, s.M*s.N)
				want := Reference(s, a, b, bias, c)
				names := map[string]bool{}
				for _, isa := range cpu.Detect().Levels() {
					algs, err := Plan(s, cpu.Detect().Limit(isa))
					if err != nil {
						t.Fatal(err)
					}
					for _, al := range algs {
						if names[al.Name] {
							continue
						}
						names[al.Name] = true
						var one []float32
						for workers := 1; workers <= 2; workers++ {
							k, err := al.Bind(workers)
							if err != nil {
								t.Fatal(err)
							}
							ar, ac := s.M, s.K
							if s.TransA {
								ar, ac = ac, ar
							}
							lda, ldb, ldc := ac+3*(mode%2), al.bCols()+mode%3, s.N+2
							buf := Buffers{A: spread(a, ar, ac, lda), B: spread(b, al.bRows(), al.bCols(), ldb), C: spread(c, s.M, s.N, ldc), Bias: bias, LDA: lda, LDB: ldb, LDC: ldc}
							if s.ConstB {
								buf.Packed = cpu.Floats(al.PackedLen())
								if err := al.Pack(buf.Packed, buf.B, ldb); err != nil {
									t.Fatal(err)
								}
							} else {
								buf.Scratch = spread(nil, 1, 0, k.Scratch())
							}
							run(t, k, buf)
							var got []float32
							for i := range buf.C {
								if i < s.M*ldc && i%ldc < s.N {
									got = append(got, buf.C[i])
								} else if !math.IsNaN(float64(buf.C[i])) {
									t.Fatal(al.Name, "wrote outside C at", i)
								}
							}
							for i := range want {
								if d := math.Abs(float64(got[i] - want[i])); !(d <= 2e-6*math.Sqrt(float64(s.K)+10)) {
									t.Fatalf("%s: value %d is %g, want %g", al.Name, i, got[i], want[i])
								}
							}
							if one == nil {
								one = got
							}
							for i := range got {
								if got[i] != one[i] {
									t.Fatalf("%s: two workers give another value at %d", al.Name, i)
								}
							}
						}
					}
				}
			})
		}
	}
}

func TestInt8Rows(t *testing.T) {
	for si, sz := range [][3]int{{0, 5, 3}, {3, 5, 0}, {1, 1, 1}, {1, 33, 7}, {14, 32, 64}, {31, 70, 130}, {5, 16, 257}} {
		for mode := range 4 {
			s := Shape{M: sz[0], N: sz[1], K: sz[2], TransB: mode&1 != 0, Bias: mode&2 != 0, Accumulate: mode == 3, ConstB: true, Int8: true}
			r := rand.New(rand.NewPCG(uint64(si), uint64(mode)))
			a, b, bias := cpu.Aligned[uint8](s.M*s.K), make([]int8, s.K*s.N), make([]int32, s.N)
			for i := range a {
				a[i] = uint8(r.IntN(256))
				if mode == 0 {
					a[i] = 255 // the largest sums: VPMADDUBSW would saturate
				}
			}
			for i := range b {
				b[i] = int8(r.IntN(256) - 128)
				if mode == 0 {
					b[i] = -128
				}
			}
			for i := range bias {
				bias[i] = int32(r.IntN(2000) - 1000)
			}
			for _, isa := range cpu.Detect().Levels() {
				algs, err := Plan(s, cpu.Detect().Limit(isa))
				if err != nil {
					t.Fatal(err)
				}
				for _, al := range algs {
					k, err := al.Bind(2)
					if err != nil {
						t.Fatal(err)
					}
					packed, c := cpu.Floats(al.PackedLen()), make([]int32, s.M*s.N)
					for i := range c {
						c[i] = 7
					}
					if err := al.PackInt8(packed, b, 0); err != nil {
						t.Fatal(err)
					}
					run(t, k, Buffers{A8: a, C32: c, Bias32: bias, Packed: packed})
					for i := range s.M {
						for j := range s.N {
							want := int32(0)
							if s.Bias {
								want = bias[j]
							}
							if s.Accumulate {
								want += 7
							}
							for kk := range s.K {
								bi := kk*s.N + j
								if s.TransB {
									bi = j*s.K + kk
								}
								want += int32(a[i*s.K+kk]) * int32(b[bi])
							}
							if c[i*s.N+j] != want {
								t.Fatalf("%s %+v: [%d,%d] is %d, want %d", al.Name, s, i, j, c[i*s.N+j], want)
							}
						}
					}
				}
			}
		}
	}
}

// TestPost: the pieces of C are handed over complete, each element once, whatever the cut.
func TestPost(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 9))
	for _, s := range []Shape{{M: 40, N: 50, K: 7, ConstB: true, Bias: true}, {M: 20, N: 33, K: 5, TransB: true}, {M: 1, N: 16, K: 3, ConstB: true}, {M: 0, N: 4, K: 2, ConstB: true}} {
		for _, isa := range cpu.Detect().Levels() {
			for workers := 1; workers <= 3; workers++ {
				algs, err := Plan(s, cpu.Detect().Limit(isa))
				if err != nil {
					t.Fatal(err)
				}
				a, b, bias := random(r, s.M*s.K), random(r, s.K*s.N), random(r, s.N)
				want := Reference(s, a, b, bias, make([]float32, s.M*s.N))
				k, err := algs[0].Bind(workers)
				if err != nil {
					t.Fatal(err)
				}
				ld := s.N + 5
				buf := Buffers{A: append(a, make([]float32, 16)...), B: b, C: make([]float32, s.M*ld), Bias: bias, LDC: ld, Scratch: make([]float32, k.Scratch())}
				if s.ConstB {
					buf.Packed = make([]float32, k.PackedLen())
					if err := k.Pack(buf.Packed, b, 0); err != nil {
						t.Fatal(err)
					}
				}
				buf.Post = func(c []float32, rows, cols, ld int) {
					for y := range rows {
						for x := range cols {
							c[y*ld+x] += 100
						}
					}
				}
				run(t, k, buf)
				for y := range s.M {
					for x := range ld {
						w := float32(0)
						if x < s.N {
							w = want[y*s.N+x] + 100
						}
						if d := buf.C[y*ld+x] - w; !(math.Abs(float64(d)) < 1e-4) {
							t.Fatalf("%s, %d workers, %+v: element %d, %d is %g, want %g", k.Name, workers, s, y, x, buf.C[y*ld+x], w)
						}
					}
				}
			}
		}
	}
}

func TestBadInput(t *testing.T) {
	for _, s := range []Shape{{M: -1}, {M: math.MaxInt}, {M: 1, Act: cpu.Act{Kind: cpu.SiLU}}, {M: 1, Int8: true, TransA: true}} {
		if _, err := Plan(s, cpu.Detect()); err == nil {
			t.Errorf("%+v accepted", s)
		}
	}
	algs, _ := Plan(Shape{M: 4, N: 4, K: 4, ConstB: true}, cpu.Detect())
	k, _ := algs[0].Bind(1)
	if _, err := k.On(Buffers{A: make([]float32, 15), C: make([]float32, 16), Packed: make([]float32, k.PackedLen())}); err == nil {
		t.Error("short A accepted")
	}
	if _, err := k.On(Buffers{A: make([]float32, 16), C: make([]float32, 16), Packed: make([]float32, k.PackedLen()), LDC: 3}); err == nil {
		t.Error("small leading dimension accepted")
	}
}

func TestOffsets(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) == 4 {
		t.Skip("of 64-bit processors")
	}
	var g gargs
	for name, o := range map[string][2]uintptr{"k": {unsafe.Offsetof(g.k), 32}, "nt": {unsafe.Offsetof(g.nt), 64}, "act": {unsafe.Offsetof(g.act), 72}, "hi": {unsafe.Offsetof(g.hi), 84},
		"acc": {unsafe.Offsetof(g.acc), 88}, "cur": {unsafe.Offsetof(g.cur), 96}, "mask": {unsafe.Offsetof(g.mask), 112}, "mr": {unsafe.Offsetof(g.mr), 176}, "buf": {unsafe.Offsetof(g.buf), 200}, "low": {unsafe.Offsetof(g.low), 208}, "live": {unsafe.Offsetof(g.live), 192}} {
		if o[0] != o[1] {
			t.Errorf("%s lies at %d, the generator writes %d", name, o[0], o[1])
		}
	}
}

func BenchmarkGemm(b *testing.B) {
	for _, sz := range [][3]int{{196, 256, 2304}, {512, 512, 512}, {1, 1000, 2048}, {128, 1024, 256}} {
		s := Shape{M: sz[0], N: sz[1], K: sz[2], ConstB: true}
		algs, _ := Plan(s, cpu.Detect())
		for _, a := range algs[:len(algs)-1] {
			b.Run(fmt.Sprintf("%dx%dx%d/%s", s.M, s.N, s.K, a.Name), func(b *testing.B) {
				k, err := a.Bind(1)
				if err != nil {
					b.Fatal(err)
				}
				r, err := k.On(Buffers{A: cpu.Floats(s.M * s.K), C: cpu.Floats(s.M * s.N), Packed: cpu.Floats(k.PackedLen())})
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					for p := range r.Pieces(0) {
						r.Piece(0, p, 0)
					}
				}
				b.ReportMetric(2*float64(s.MACs())*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}

// A plan for a processor names no instruction set that it lacks.
func TestLevels(t *testing.T) {
	all := cpu.Features{Arch: cpu.Detect().Arch, AVX2: true, AVX512: true, VNNI: true, AMXTile: true, AMXInt8: true, AMXBF16: true, NEON: true, DotProd: true}
	for _, level := range all.Levels() {
		f := all.Limit(level)
		for _, s := range []Shape{{M: 16, N: 64, K: 64, ConstB: true}, {M: 16, N: 64, K: 64, ConstB: true, Fast: true}, {M: 8, N: 64, K: 64, Fast: true}, {M: 8, N: 64, K: 64, ConstB: true, Int8: true}} {
			algs, err := Plan(s, f)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range algs {
				if !f.Has(a.ISA) || a.ISA == cpu.AMXBF16 && !(s.Fast && s.ConstB) {
					t.Errorf("%s for %v, %+v", a.Name, level, s)
				}
			}
			if level == cpu.AMXBF16 && (s.Int8 && algs[0].ISA != cpu.AMXInt8 || s.Fast && s.ConstB && algs[0].ISA != cpu.AMXBF16) {
				t.Errorf("%+v takes %s first", s, algs[0].Name)
			}
		}
	}
}
