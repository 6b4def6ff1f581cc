package quant

import (
	"math"
	"unsafe"
)

// HalfWords is the channels of a block of float32, half of a block of 16-bit values.
const HalfWords = Wide / 4

// wargs is what the kernels of 16-bit values read: n lines of 8 words; of each the first four floats lie at a and the others at b, stride bytes from those
// of the line before. The offsets are known to _asm/arm64gen/quant.go.
type wargs struct {
	words, a, b unsafe.Pointer
	n, stride   int64
	scale       float32
}

// toWord quantizes v. 3<<22 is added to a number below 1<<22 and taken away again: it has lost its fraction, ties to even.
func toWord(v, scale float32) int16 {
	const whole = 3 << 22
	q := v / scale
	if !(q >= math.MinInt16) {
		q = math.MinInt16
	}
	return int16(float32(min(q, math.MaxInt16)+whole) - whole)
}

// ToWords computes dst = saturate(round(src/scale)) for len(dst) elements. NaN gives the least number.
func (k Kernels) ToWords(dst []int16, src []float32, scale float32) {
	src = src[:len(dst)]
	n := 0
	if lines := len(dst) / 8; lines > 0 && k.wordVectors() {
		n = 8 * lines
		k.toWords(&wargs{words: unsafe.Pointer(&dst[0]), a: unsafe.Pointer(&src[0]), b: unsafe.Pointer(&src[4]), n: int64(lines), stride: 32, scale: scale})
	}
	for i, v := range src[n:] {
		dst[n+i] = toWord(v, scale)
	}
}

// FromWords computes dst = src*scale.
func (k Kernels) FromWords(dst []float32, src []int16, scale float32) {
	src = src[:len(dst)]
	n := 0
	if lines := len(dst) / 8; lines > 0 && k.wordVectors() {
		n = 8 * lines
		k.fromWords(&wargs{words: unsafe.Pointer(&src[0]), a: unsafe.Pointer(&dst[0]), b: unsafe.Pointer(&dst[4]), n: int64(lines), stride: 32, scale: scale})
	}
	for i, v := range src[n:] {
		dst[n+i] = float32(v) * scale
	}
}

// JoinWords is ToWords of pixels of one block of words, dst, from those of two blocks of floats. b may be nil: these channels do not exist and become anything.
func (k Kernels) JoinWords(dst []int16, a, b []float32, scale float32) {
	if b == nil {
		b = a
	}
	pixels := len(dst) / (2 * HalfWords)
	a, b = a[:pixels*HalfWords], b[:pixels*HalfWords]
	if HalfWords == 4 && pixels > 0 && k.wordVectors() {
		k.toWords(&wargs{words: unsafe.Pointer(&dst[0]), a: unsafe.Pointer(&a[0]), b: unsafe.Pointer(&b[0]), n: int64(pixels), stride: 16, scale: scale})
		return
	}
	for p := range pixels {
		d := dst[p*2*HalfWords:][:2*HalfWords]
		for i := range HalfWords {
			d[i], d[HalfWords+i] = toWord(a[p*HalfWords+i], scale), toWord(b[p*HalfWords+i], scale)
		}
	}
}

// PartWords is FromWords of pixels of one block of words into those of two blocks of floats. b may be nil: these channels do not exist.
func (k Kernels) PartWords(a, b []float32, src []int16, scale float32) {
	pixels := len(src) / (2 * HalfWords)
	a = a[:pixels*HalfWords]
	if HalfWords == 4 && pixels > 0 && b != nil && k.wordVectors() {
		b = b[:pixels*HalfWords]
		k.fromWords(&wargs{words: unsafe.Pointer(&src[0]), a: unsafe.Pointer(&a[0]), b: unsafe.Pointer(&b[0]), n: int64(pixels), stride: 16, scale: scale})
		return
	}
	for p := range pixels {
		s := src[p*2*HalfWords:][:2*HalfWords]
		for i := range HalfWords {
			a[p*HalfWords+i] = float32(s[i]) * scale
			if b != nil {
				b[p*HalfWords+i] = float32(s[HalfWords+i]) * scale
			}
		}
	}
}
