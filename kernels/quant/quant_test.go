package quant

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"fettle/kernels/cpu"
)

func levels() []Kernels {
	var l []Kernels
	for _, i := range cpu.Detect().Levels() {
		l = append(l, New(cpu.Detect().Limit(i)))
	}
	return l
}

func sat(v, lo, hi float64) float64 { return min(hi, max(lo, v)) }

func testQuantize[T Byte](t *testing.T, lo, hi float64, zero T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, k := range levels() {
		for _, n := range []int{0, 1, 15, 16, 17, 200} {
			src, acc, scales := make([]float32, n), make([]int32, n), make([]float32, n)
			const scale = .25 // exact, so that ties occur
			for i := range src {
				src[i] = float32(r.IntN(600)-300) / 8
				acc[i], scales[i] = int32(r.IntN(20000)-10000), float32(1+r.IntN(3))/64
			}
			if n > 5 {
				src[1], src[2], src[3] = 1e30, float32(math.Inf(-1)), float32(math.Inf(1))
				acc[4], acc[5] = math.MaxInt32, math.MinInt32
			}
			dst, back, req := make([]T, n), make([]float32, n), make([]T, n)
			Quantize(k, dst, src, scale, zero)
			Dequantize(k, back, dst, scale, zero)
			Requantize(k, req, acc, scales, zero)
			for i := range src {
				if want := sat(math.RoundToEven(float64(src[i])/scale)+float64(zero), lo, hi); float64(dst[i]) != want {
					t.Fatalf("%v: quantize(%g) = %d, want %g", k.isa, src[i], dst[i], want)
				}
				if want := scale * (float32(dst[i]) - float32(zero)); back[i] != want {
					t.Fatalf("%v: dequantize(%d) = %g, want %g", k.isa, dst[i], back[i], want)
				}
				if want := sat(math.RoundToEven(float64(acc[i])*float64(scales[i]))+float64(zero), lo, hi); float64(req[i]) != want {
					t.Fatalf("%v: requantize(%d, %g) = %d, want %g", k.isa, acc[i], scales[i], req[i], want)
				}
			}
		}
	}
}

func TestQuantize(t *testing.T) {
	for _, isa := range []cpu.ISA{cpu.AVX2, cpu.AVX512F, cpu.NEON} {
		if !cpu.Detect().Has(isa) {
			t.Logf("skipped: this machine has no %v", isa)
		}
	}
	testQuantize[uint8](t, 0, 255, 0)
	testQuantize[uint8](t, 0, 255, 131)
	testQuantize[int8](t, -128, 127, -7)
}

func TestAdd(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, k := range levels() {
		for _, n := range []int{0, 1, 16, 17, 300} {
			a, b, dst := make([]uint8, n), make([]uint8, n), make([]uint8, n)
			for i := range a {
				a[i], b[i] = uint8(r.Uint32()), uint8(r.Uint32())
			}
			for _, s := range []Sum{{.5, .25, -20, 0, 255}, {1.5, 1.25, -100.5, 0, 255}, {1, 1, -100, 117, 200}, {300, 0, 0, 0, 255}} {
				k.Add(dst, a, b, s)
				for i := range dst { // the factors are exact, so ties are too
					want := min(max(math.RoundToEven(float64(s.A)*float64(a[i])+float64(s.B)*float64(b[i])+float64(s.C)), float64(s.Lo)), float64(s.Hi))
					if float64(dst[i]) != want {
						t.Fatalf("%v: %+v of %d and %d is %d, want %g", k.isa, s, a[i], b[i], dst[i], want)
					}
				}
			}
		}
	}
}

func TestTable(t *testing.T) {
	silu := cpu.Act{Kind: cpu.SiLU}.Apply
	tab := NewTable(silu, .05, 120, .03, 10)
	in, out := make([]uint8, 256), make([]uint8, 256)
	for i := range in {
		in[i] = uint8(i)
	}
	New(cpu.Detect()).Lookups(tab)(out, in)
	for i := range in {
		x := float64(float32(.05)) * float64(i-120)
		want := sat(math.RoundToEven(silu(x)/float64(float32(.03)))+10, 0, 255)
		if float64(out[i]) != want {
			t.Fatal(i, out[i], want)
		}
	}
	FlipSign(in, in)
	if in[0] != 128 || in[255] != 127 {
		t.Error("FlipSign")
	}
}

func TestOffsets(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) == 4 {
		t.Skip("of 64-bit processors")
	}
	var a qargs
	if unsafe.Offsetof(a.n) != 24 || unsafe.Offsetof(a.scale) != 32 || unsafe.Offsetof(a.zero) != 36 || unsafe.Offsetof(a.lo) != 40 || unsafe.Offsetof(a.hi) != 44 || unsafe.Offsetof(a.scaleB) != 48 || unsafe.Offsetof(a.zeroA) != 52 || unsafe.Offsetof(a.zeroB) != 56 {
		t.Error("qargs is not what the generator writes")
	}
}

func TestMul(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, k := range levels() {
		for _, n := range []int{0, 1, 16, 17, 300} {
			a, b, dst := make([]uint8, n), make([]uint8, n), make([]uint8, n)
			for i := range a {
				a[i], b[i] = uint8(r.Uint32()), uint8(r.Uint32())
			}
			for _, p := range []Product{{1. / 128, 128, 0, 3, 0, 255}, {.5, 17, 200, 128, 0, 255}, {1. / 64, 0, 255, 255, 100, 200}} {
				k.Mul(dst, a, b, p)
				for i := range dst { // the factors are exact, so ties are too
					v := math.RoundToEven(float64(p.K)*(float64(a[i])-float64(p.ZeroA))*(float64(b[i])-float64(p.ZeroB)) + float64(p.Zero))
					if want := sat(v, float64(p.Lo), float64(p.Hi)); float64(dst[i]) != want {
						t.Fatalf("%v: %+v of %d and %d is %d, want %g", k.isa, p, a[i], b[i], dst[i], want)
					}
				}
			}
		}
	}
}

// TestLines: factors of each channel, and their sums.
func TestLines(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, k := range levels() {
		for _, n := range []int{0, 1, 2, 9} {
			src, dst := make([]uint8, n*Wide), make([]uint8, n*Wide)
			for i := range src {
				src[i] = uint8(r.Uint32())
			}
			f := &Line{Lo: 3, Hi: 250}
			var sum, want [Wide]int32
			for c := range Wide {
				f.Factor[c], f.Addend[c] = float32(r.IntN(9)-4)/4, float32(r.IntN(512)-128)
				sum[c] = int32(r.IntN(1000))
				want[c] = sum[c]
			}
			k.Scale(dst, src, f)
			k.AddLines(&sum, src)
			for i, v := range src {
				c := i % Wide
				want[c] += int32(v)
				if w := sat(math.RoundToEven(float64(v)*float64(f.Factor[c])+float64(f.Addend[c])), 3, 250); float64(dst[i]) != w {
					t.Fatalf("%v: %d*%g + %g is %d, want %g", k.isa, v, f.Factor[c], f.Addend[c], dst[i], w)
				}
			}
			if sum != want {
				t.Fatalf("%v: sums %v, want %v", k.isa, sum, want)
			}
		}
	}
}

// TestLookup holds that every element goes through the table, at all lengths around a vector.
func TestLookup(t *testing.T) {
	var tab Table
	for i := range tab {
		tab[i] = uint8(i*7 + 3)
	}
	for _, k := range levels() {
		for n := range 700 {
			src, dst := make([]uint8, n), make([]uint8, n+1)
			for i := range src {
				src[i] = uint8(i*5 + n)
			}
			dst[n] = 99
			k.Lookups(&tab)(dst[:n], src)
			for i, v := range src {
				if dst[i] != v*7+3 {
					t.Fatalf("%v: element %d of %d is %d, want %d", k.isa, i, n, dst[i], v*7+3)
				}
			}
			if dst[n] != 99 {
				t.Fatalf("%v: wrote behind %d elements", k.isa, n)
			}
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	var tab Table
	src, dst := make([]uint8, 8192), make([]uint8, 8192)
	for i := range src {
		src[i] = uint8(i * 7)
	}
	for _, k := range levels() {
		b.Run(k.isa.String(), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			f := k.Lookups(&tab)
			for b.Loop() {
				f(dst, src)
			}
		})
	}
}
