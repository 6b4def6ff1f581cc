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
	tab.Lookup(out, in)
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
	var a qargs
	if unsafe.Offsetof(a.n) != 24 || unsafe.Offsetof(a.scale) != 32 || unsafe.Offsetof(a.zero) != 36 || unsafe.Offsetof(a.lo) != 40 || unsafe.Offsetof(a.hi) != 44 || unsafe.Offsetof(a.scaleB) != 48 {
		t.Error("qargs is not what the generator writes")
	}
}
