package conv

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"fettle/kernels/cpu"
)

// cutGo and mulGo are the slow twins of amxSplit and amxB.
func cutGo(k *kargs) {
	for i := range k.nt {
		a, b := (*[blk]float32)(unsafe.Add(k.a, i*k.ps)), (*[blk]float32)(unsafe.Add(k.b, i*k.ps))
		hi, lo := (*[pair]uint16)(unsafe.Add(k.c, i*line)), (*[pair]uint16)(unsafe.Add(k.res, i*line))
		for j := range blk {
			hi[2*j], lo[2*j] = cpu.Halves(a[j])
			hi[2*j+1], lo[2*j+1] = cpu.Halves(b[j])
		}
	}
}

func mulGo(k *kargs) {
	act := cpu.Act{Kind: cpu.ActKind(k.act), A: k.lo, B: k.hi}
	for _, t := range unsafe.Slice(k.tiles, k.nt) {
		for i := range k.mr {
			var sum [pair]float32
			w := k.b
			for _, g := range unsafe.Slice(k.groups, k.nk) {
				for u := range g.steps * 2 {
					x := unsafe.Add(k.a, t.a+g.off+i*k.ps+2*u)
					hi, lo := cpu.Half(*(*uint16)(x)), cpu.Half(*(*uint16)(unsafe.Add(x, k.low)))
					for j := range int64(pair) {
						v := unsafe.Add(w, ((u/2)*pair+j)*4+u%2*2)
						wh, wl := cpu.Half(*(*uint16)(v)), cpu.Half(*(*uint16)(unsafe.Add(v, 2*pair*pair)))
						sum[j] += hi*wh + hi*wl + lo*wh
					}
				}
				w = unsafe.Add(w, 4*pair*pair*g.steps/blk)
			}
			for j := range k.nb * blk {
				at := j/blk*k.cblk + i*line + j%blk*4
				v := sum[j] + *(*float32)(unsafe.Add(k.bias, 4*j))
				if k.res != nil {
					v += *(*float32)(unsafe.Add(k.res, t.r+j/blk*k.rblk+i*line+j%blk*4))
				}
				if act.Kind <= cpu.Clamp {
					v = float32(act.Apply(float64(v)))
				}
				*(*float32)(unsafe.Add(k.c, t.c+at)) = v
			}
		}
	}
}

func spanGo(d *dwArgs) {
	act := cpu.Act{Kind: cpu.ActKind(d.act), A: d.lo, B: d.hi}
	for i := range d.nt * blk {
		p := (*float32)(unsafe.Add(d.dst, 4*i))
		*p = float32(act.Apply(float64(*p)))
	}
}

// A Fast convolution stays within its error, and the tiles agree with their twin much closer.
func TestFast(t *testing.T) {
	has := cpu.Detect().Has(cpu.AMXBF16)
	if !has {
		t.Log("only the twin: this machine has no tiles of bf16")
	}
	for ci, c := range cases() {
		s := c.s
		if s.Groups > 1 || s.C < blk {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			for mode, act := range activations() {
				if (mode+ci)%4 != 0 || s.MACs() > 3<<20 && mode > 3 {
					continue
				}
				s.Fast, s.Act, s.Residual = true, act, mode%2 == 1
				r := rand.New(rand.NewPCG(uint64(ci), uint64(mode)))
				in, w, bias := random(r, s.N*s.C*s.H*s.W), random(r, s.WeightLen()), random(r, s.M)
				var res []float32
				if s.Residual {
					res = random(r, s.N*s.M*s.OutH()*s.OutW())
				}
				want := Reference(s, in, w, bias, res)
				plain, largest := s, 0.0 // the largest before a clamp cuts it
				plain.Act = cpu.Act{}
				for _, v := range Reference(plain, in, w, bias, res) {
					largest = max(largest, math.Abs(float64(v)))
				}
				near := func(what string, got []float32, want []float32, share float64) {
					for i := range want {
						if d := math.Abs(float64(got[i] - want[i])); !(d <= share*largest) {
							t.Fatalf("%s, %v: value %d is %g, want %g: off by %.2g of the largest", what, act.Kind, i, got[i], want[i], d/largest)
						}
					}
				}
				twin := &Algorithm{Name: "twin", In: cpu.Need{Block: blk, Border: s.border()}, Out: cpu.Need{Block: blk}, Shape: s, impl: newSplit(s, &splitRows{mulGo, cutGo, spanGo})}
				one := runOne(t, twin, in, w, bias, res, mode%4, 1+mode%3)
				near("twin", one, want, FastError)
				if has {
					algs, err := Plan(s, cpu.Detect())
					at := slices.IndexFunc(algs, func(a *Algorithm) bool { return a.ISA == cpu.AMXBF16 })
					if err != nil || at < 0 || (at == 0) != s.splitWins() {
						t.Fatal("tiles are not where they belong in the plan", err, at, algs[0].Name)
					}
					got := runOne(t, algs[at], in, w, bias, res, mode%4, 1+mode%3)
					near(algs[at].Name, got, want, FastError)
					near(algs[at].Name+" against its twin", got, one, FastError/3)
				}
				exact := s
				exact.Fast = false
				if algs, err := Plan(exact, cpu.Detect()); err != nil || algs[0].ISA == cpu.AMXBF16 {
					t.Fatal("an exact convolution on halves", err)
				}
			}
		})
	}
}

// Halves: the sum is the value up to 2^-17, finite stays finite, NaN and infinities stay themselves.
func TestHalves(t *testing.T) {
	inf := float32(math.Inf(1))
	values := []float32{0, 1, -1, 1.00390625, 3.14159274, -2.71828175e10, 1e-30, 65504, math.MaxFloat32, -math.MaxFloat32, 3.38953139e38, inf, -inf, float32(math.NaN()), math.Float32frombits(0x7f800001), math.Float32frombits(0xffbfffff)}
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		values = append(values, float32(r.NormFloat64()*math.Exp(20*r.NormFloat64())))
	}
	check := func(v float32, hi, lo uint16) {
		h, l := cpu.Half(hi), cpu.Half(lo)
		got := float64(h) + float64(l)
		switch {
		case v != v:
			if h == h || l != 0 {
				t.Errorf("NaN %#x gives %g and %g", math.Float32bits(v), h, l)
			}
		case math.Abs(float64(v)) > 3.389e38:
			if math.IsInf(float64(v), 0) != math.IsInf(float64(h), 0) || l != 0 || math.Abs(got/float64(v)-1) > 1.0/128 {
				t.Errorf("%g gives %g and %g", v, h, l)
			}
		case math.Abs(got-float64(v)) > math.Abs(float64(v))/(1<<17):
			t.Errorf("%g gives %g and %g", v, h, l)
		}
	}
	for len(values)%blk != 0 {
		values = append(values, 0)
	}
	for _, v := range values {
		hi, lo := cpu.Halves(v)
		check(v, hi, lo)
	}
	if !cpu.Detect().Has(cpu.AVX512F) {
		t.Log("only the twin: no AVX-512")
		return
	}
	n := len(values) / blk
	in, hi, lo := cpu.Floats(len(values)), cpu.Aligned[int16](2*len(values)), cpu.Aligned[int16](2*len(values))
	copy(in, values)
	k := &kargs{a: ptr(in), b: ptr(in), c: unsafe.Pointer(&hi[0]), res: unsafe.Pointer(&lo[0]), nt: int64(n), ps: line}
	amxSplit(k)
	for i, v := range values {
		o := i/blk*pair + i%blk*2
		wh, wl := cpu.Halves(v)
		for q := range 2 {
			if h, l := uint16(hi[o+q]), uint16(lo[o+q]); h != wh || l != wl {
				t.Errorf("half %d of a word: %g (%#x) gives %#x %#x, the twin %#x %#x", q, v, math.Float32bits(v), h, l, wh, wl)
			}
		}
	}
}
