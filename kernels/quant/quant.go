// Package quant converts between float32 and 8-bit elements and applies functions to 8-bit tensors by table. The 8-bit
// convolutions and products are in conv and gemm.
//
// real = scale * (q - zero). Rounding is to nearest, ties to even, saturated, as in ONNX QuantizeLinear. Functions work on flat slices,
// so they serve NCHW and blocked layouts alike; a caller cuts long slices into pieces for a team.
package quant

import (
	"math"
	"unsafe"

	"fettle/kernels/cpu"
)

// Byte is an 8-bit element.
type Byte interface{ int8 | uint8 }

const line = 16

// qargs is what a kernel reads. The offsets are known to _asm/amd64gen/quant.go; TestOffsets compares them.
type qargs struct {
	dst, src, scales unsafe.Pointer
	n                int64
	scale, zero      float32
	lo, hi           float32
	scaleB           float32
	zeroA, zeroB     float32
	_                [4]byte
}

// Kernels are the functions for one instruction set.
type Kernels struct {
	isa     cpu.ISA
	permute bool // whether the processor permutes bytes (VBMI)
}

// New picks the best instruction set of f.
func New(f cpu.Features) Kernels { return Kernels{archISA(f), f.VBMI} }

func bounds[T Byte]() (lo, hi float32) {
	var z T
	if z--; z < 0 {
		return -128, 127
	}
	return 0, 255
}

// Quantize computes dst = saturate(round(src/scale) + zero) for len(dst) elements. NaN gives the lower bound. scale must be positive.
func Quantize[T Byte](k Kernels, dst []T, src []float32, scale float32, zero T) {
	lo, hi := bounds[T]()
	a := qargs{scale: scale, zero: float32(zero), lo: lo, hi: hi}
	src = src[:len(dst)]
	full := len(dst) / line
	if full > 0 {
		a.dst, a.src, a.n = unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0]), int64(full)
		a.scales = a.src
		k.quantize(&a)
	}
	if full *= line; full < len(dst) {
		var x [line]float32
		var y [line]T
		copy(x[:], src[full:])
		a.dst, a.src, a.n = unsafe.Pointer(&y), unsafe.Pointer(&x), 1
		a.scales = a.src
		k.quantize(&a)
		copy(dst[full:], y[:])
	}
}

// Requantize computes dst[i] = saturate(round(acc[i]*scales[i]) + zero) for one row of a matrix product: scales has one entry a
// column. Source: ONNX QLinearMatMul.
func Requantize[T Byte](k Kernels, dst []T, acc []int32, scales []float32, zero T) {
	lo, hi := bounds[T]()
	a := qargs{zero: float32(zero), lo: lo, hi: hi}
	acc, scales = acc[:len(dst)], scales[:len(dst)]
	full := len(dst) / line
	if full > 0 {
		a.dst, a.src, a.scales, a.n = unsafe.Pointer(&dst[0]), unsafe.Pointer(&acc[0]), unsafe.Pointer(&scales[0]), int64(full)
		k.requantize(&a)
	}
	if full *= line; full < len(dst) {
		var x [line]int32
		var s [line]float32
		var y [line]T
		copy(x[:], acc[full:])
		copy(s[:], scales[full:])
		a.dst, a.src, a.scales, a.n = unsafe.Pointer(&y), unsafe.Pointer(&x), unsafe.Pointer(&s), 1
		k.requantize(&a)
		copy(dst[full:], y[:])
	}
}

// Dequantize computes dst = (src - zero) * scale for len(dst) elements.
func Dequantize[T Byte](k Kernels, dst []float32, src []T, scale float32, zero T) {
	lo, _ := bounds[T]()
	a := qargs{scale: scale, zero: float32(zero)}
	src = src[:len(dst)]
	full := len(dst) / line
	if full > 0 {
		a.dst, a.src, a.n = unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0]), int64(full)
		k.dequantize(&a, lo < 0)
	}
	if full *= line; full < len(dst) {
		var x [line]T
		var y [line]float32
		copy(x[:], src[full:])
		a.dst, a.src, a.n = unsafe.Pointer(&y), unsafe.Pointer(&x), 1
		k.dequantize(&a, lo < 0)
		copy(dst[full:], y[:])
	}
}

// Sum is the sum of two u8 tensors on their way to a third grid: round(A*a + B*b + C), between Lo and Hi. With scales sa, sb, so and zero
// points za, zb, zo: A = sa/so, B = sb/so, C = zo - A*za - B*zb.
type Sum struct{ A, B, C, Lo, Hi float32 }

// Add computes dst[i] = s(a[i], b[i]) for len(dst) elements; dst may be an input.
func (k Kernels) Add(dst, a, b []uint8, s Sum) {
	e := qargs{scale: s.A, scaleB: s.B, zero: s.C, lo: s.Lo, hi: s.Hi}
	a, b = a[:len(dst)], b[:len(dst)]
	full := len(dst) / line
	if full > 0 {
		e.dst, e.src, e.scales, e.n = unsafe.Pointer(&dst[0]), unsafe.Pointer(&a[0]), unsafe.Pointer(&b[0]), int64(full)
		k.sum(&e)
	}
	if full *= line; full < len(dst) {
		var x, y [line]uint8
		copy(x[:], a[full:])
		copy(y[:], b[full:])
		e.dst, e.src, e.scales, e.n = unsafe.Pointer(&x), unsafe.Pointer(&x), unsafe.Pointer(&y), 1
		k.sum(&e)
		copy(dst[full:], x[:])
	}
}

// Product is the product of two u8 tensors on its way to a third grid: round(K*(a-ZeroA)*(b-ZeroB) + Zero), between Lo and Hi, with K = sa*sb/so.
type Product struct{ K, ZeroA, ZeroB, Zero, Lo, Hi float32 }

// Mul computes dst[i] = p(a[i], b[i]) for len(dst) elements; dst may be an input.
func (k Kernels) Mul(dst, a, b []uint8, p Product) {
	e := qargs{scale: p.K, zeroA: p.ZeroA, zeroB: p.ZeroB, zero: p.Zero, lo: p.Lo, hi: p.Hi}
	a, b = a[:len(dst)], b[:len(dst)]
	full := len(dst) / line
	if full > 0 {
		e.dst, e.src, e.scales, e.n = unsafe.Pointer(&dst[0]), unsafe.Pointer(&a[0]), unsafe.Pointer(&b[0]), int64(full)
		k.mul(&e)
	}
	if full *= line; full < len(dst) {
		var x, y [line]uint8
		copy(x[:], a[full:])
		copy(y[:], b[full:])
		e.dst, e.src, e.scales, e.n = unsafe.Pointer(&x), unsafe.Pointer(&x), unsafe.Pointer(&y), 1
		k.mul(&e)
		copy(dst[full:], x[:])
	}
}

// Line is a function of each channel of a block: round(a*Factor[c] + Addend[c]), between Lo and Hi.
type Line struct {
	Factor, Addend [Wide]float32
	Lo, Hi         float32
}

// Scale computes dst = f(src) for whole lines of a block; dst may be src.
func (k Kernels) Scale(dst, src []uint8, f *Line) {
	n := len(dst) / Wide
	if n == 0 {
		return
	}
	src = src[:n*Wide]
	k.scaleLines(&qargs{dst: unsafe.Pointer(&dst[0]), src: unsafe.Pointer(&src[0]), scales: unsafe.Pointer(f), n: int64(n), lo: f.Lo, hi: f.Hi})
}

// AddLines adds each channel of the whole lines in src to its sum.
func (k Kernels) AddLines(sum *[Wide]int32, src []uint8) {
	if n := len(src) / Wide; n > 0 {
		k.addLines(&qargs{dst: unsafe.Pointer(sum), src: unsafe.Pointer(&src[0]), n: int64(n)})
	}
}

// Table is a function of an 8-bit value: any chain of dequantise, activation function and quantise is one table.
type Table [256]uint8

// NewTable tabulates q -> quantize(f(dequantize(q))) for u8; NaN gives 0.
func NewTable(f func(float64) float64, inScale float32, inZero uint8, outScale float32, outZero uint8) *Table {
	t := new(Table)
	for q := range t {
		v := math.RoundToEven(f(float64(inScale)*float64(q-int(inZero)))/float64(outScale)) + float64(outZero)
		if v > 0 {
			t[q] = uint8(min(v, 255))
		}
	}
	return t
}

// Lookups returns the function dst[i] = t[src[i]] for len(dst) elements; dst may be src. What it prepares serves all calls.
func (k Kernels) Lookups(t *Table) func(dst, src []uint8) {
	vectors := k.lookups(t)
	return func(dst, src []uint8) {
		src = src[:len(dst)]
		n := vectors(dst, src)
		dst, src = dst[n:], src[n:]
		for i, v := range src {
			dst[i] = t[v]
		}
	}
}

// FlipSign turns s8 into u8 with a zero point higher by 128, and back: it flips the top bit. dst may be src.
func FlipSign(dst, src []uint8) {
	src = src[:len(dst)]
	for i, v := range src {
		dst[i] = v ^ 0x80
	}
}

// Portable kernels: the same arguments, plain loops.

func finishGo(a *qargs, i int, v float64) {
	v = v + float64(a.zero)
	if !(v > float64(a.lo)) {
		v = float64(a.lo)
	}
	*(*uint8)(unsafe.Add(a.dst, i)) = uint8(int(min(v, float64(a.hi))))
}

func quantizeGo(a *qargs) {
	for i, v := range unsafe.Slice((*float32)(a.src), a.n*line) {
		finishGo(a, i, math.RoundToEven(float64(v/a.scale)))
	}
}

func requantizeGo(a *qargs) {
	s := unsafe.Slice((*float32)(a.scales), a.n*line)
	for i, v := range unsafe.Slice((*int32)(a.src), a.n*line) {
		finishGo(a, i, math.RoundToEven(float64(float32(v)*s[i])))
	}
}

func sumGo(a *qargs) {
	y := unsafe.Slice((*uint8)(a.scales), a.n*line)
	for i, v := range unsafe.Slice((*uint8)(a.src), a.n*line) {
		r := math.RoundToEven(float64(float32(v)*a.scale + a.zero + float32(y[i])*a.scaleB))
		*(*uint8)(unsafe.Add(a.dst, i)) = uint8(min(max(r, float64(a.lo)), float64(a.hi)))
	}
}

func mulGo(a *qargs) {
	y := unsafe.Slice((*uint8)(a.scales), a.n*line)
	for i, v := range unsafe.Slice((*uint8)(a.src), a.n*line) {
		r := math.RoundToEven(float64((float32(v)-a.zeroA)*(float32(y[i])-a.zeroB)*a.scale + a.zero))
		*(*uint8)(unsafe.Add(a.dst, i)) = uint8(min(max(r, float64(a.lo)), float64(a.hi)))
	}
}

func scaleLinesGo(a *qargs) {
	f := (*[2][Wide]float32)(a.scales)
	for i, v := range unsafe.Slice((*uint8)(a.src), a.n*Wide) {
		r := math.RoundToEven(float64(min(max(float32(v)*f[0][i%Wide]+f[1][i%Wide], a.lo), a.hi)))
		*(*uint8)(unsafe.Add(a.dst, i)) = uint8(r)
	}
}

func addLinesGo(a *qargs) {
	sum, src := (*[Wide]int32)(a.dst), unsafe.Slice((*uint8)(a.src), a.n*Wide)
	for ; len(src) > 0; src = src[Wide:] {
		for c, v := range (*[Wide]uint8)(src) {
			sum[c] += int32(v)
		}
	}
}

func dequantizeGo(a *qargs, signed bool) {
	dst := unsafe.Slice((*float32)(a.dst), a.n*line)
	for i := range dst {
		v := *(*uint8)(unsafe.Add(a.src, i))
		f := float32(v)
		if signed {
			f = float32(int8(v))
		}
		dst[i] = (f - a.zero) * a.scale
	}
}
