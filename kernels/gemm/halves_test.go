package gemm

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"fettle/kernels/cpu"
)

// cutGo and mulGo are the slow twins of amxSplit and amxB.
func cutGo(g *gargs) {
	for i := range g.nt {
		a, b := (*[16]float32)(unsafe.Add(g.a, i*g.rs)), (*[16]float32)(unsafe.Add(g.b, i*g.rs))
		hi, lo := (*[pair]uint16)(unsafe.Add(g.c, 64*i)), (*[pair]uint16)(unsafe.Add(g.bias, 64*i))
		for j := range a {
			hi[2*j], lo[2*j] = cpu.Halves(a[j])
			hi[2*j+1], lo[2*j+1] = cpu.Halves(b[j])
		}
	}
}

func mulGo(g *gargs) {
	act := cpu.Act{Kind: cpu.ActKind(g.act), A: g.lo, B: g.hi}
	for i := range g.nt * g.mr {
		x := unsafe.Slice((*uint16)(unsafe.Add(g.a, i*g.rs)), 2*g.k)
		y := unsafe.Slice((*uint16)(unsafe.Add(g.a, i*g.rs+g.low)), 2*g.k)
		for j := range g.live {
			c := (*float32)(unsafe.Add(g.c, i*g.ldc+4*j))
			var sum float32
			for u := range x {
				w := unsafe.Add(g.b, u/pair*4*pair*pair+u%pair/2*4*pair+int(4*j)+u%2*2)
				wh, wl := cpu.Half(*(*uint16)(w)), cpu.Half(*(*uint16)(unsafe.Add(w, 2*pair*pair)))
				sum += cpu.Half(x[u])*(wh+wl) + cpu.Half(y[u])*wh
			}
			if g.bias != nil {
				sum += *(*float32)(unsafe.Add(g.bias, 4*j))
			}
			if g.acc != 0 {
				sum += *c
			}
			*c = float32(act.Apply(float64(sum)))
		}
	}
}

// A Fast product stays within its error; the twin shows the packing on every machine.
func TestFast(t *testing.T) {
	has := cpu.Detect().Has(cpu.AMXBF16)
	if !has {
		t.Log("only the twin: this machine has no tiles of bf16")
	}
	twin := &row{isa: cpu.Generic, mr: 16, nr: pair, bits: true, words: 16, cut: cutGo, f: make([]func(*gargs), 17)}
	for i := range twin.f {
		twin.f[i] = mulGo
	}
	for si, sz := range [][3]int{{0, 5, 3}, {5, 0, 3}, {3, 5, 0}, {1, 1, 1}, {1, 100, 64}, {16, 32, 32}, {13, 31, 17}, {33, 65, 33}, {97, 10, 70}, {70, 130, 300}} {
		for mode := range 4 {
			s := Shape{M: sz[0], N: sz[1], K: sz[2], TransB: mode&1 != 0, Bias: mode&2 != 0, Accumulate: (mode+si)%3 == 0, ConstB: true, Fast: true}
			s.Act = []cpu.Act{{}, {Kind: cpu.ReLU}, {Kind: cpu.Clamp, A: -.5, B: .5}}[(mode+si)%3]
			r := rand.New(rand.NewPCG(uint64(si), uint64(mode)))
			a, b, bias, c := random(r, s.M*s.K), random(r, s.K*s.N), random(r, s.N), random(r, s.M*s.N)
			want, plain, largest := Reference(s, a, b, bias, c), s, 0.0
			plain.Act = cpu.Act{}
			for _, v := range Reference(plain, a, b, bias, c) {
				largest = max(largest, math.Abs(float64(v)))
			}
			algs := []*Algorithm{{Name: "twin", Shape: s, r: twin}}
			if has {
				l, err := Plan(s, cpu.Detect())
				at := slices.IndexFunc(l, func(a *Algorithm) bool { return a.ISA == cpu.AMXBF16 })
				if err != nil || at < 0 || (at == 0) != (s.M >= 16) {
					t.Fatal("tiles are not where they belong in the plan", err, at)
				}
				algs = append(algs, l[at])
			}
			for _, al := range algs {
				k, err := al.Bind(1 + mode%2)
				if err != nil {
					t.Fatal(err)
				}
				lda, ldb, ldc := s.K+mode, al.bCols()+1, s.N+2
				buf := Buffers{A: spread(a, s.M, s.K, lda), B: spread(b, al.bRows(), al.bCols(), ldb), C: spread(c, s.M, s.N, ldc), Bias: bias, LDA: lda, LDC: ldc, Packed: cpu.Floats(al.PackedLen()), Scratch: cpu.Floats(k.Scratch())}
				if err := al.Pack(buf.Packed, buf.B, ldb); err != nil {
					t.Fatal(err)
				}
				run(t, k, buf)
				for i, v := range buf.C {
					if i >= s.M*ldc || i%ldc >= s.N {
						if v == v {
							t.Fatal(al.Name, "wrote outside C at", i)
						}
						continue
					}
					if d := math.Abs(float64(v - want[i/ldc*s.N+i%ldc])); !(d <= FastError*largest) {
						t.Fatalf("%s %+v: [%d,%d] is %g, want %g", al.Name, s, i/ldc, i%ldc, v, want[i/ldc*s.N+i%ldc])
					}
				}
			}
		}
	}
	if l, err := Plan(Shape{M: 16, N: 32, K: 32, ConstB: true}, cpu.Detect()); err != nil || l[0].ISA == cpu.AMXBF16 {
		t.Error("an exact product on halves", err)
	}
}
