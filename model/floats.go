package model

import "math"

// F16ToF32 widens an IEEE 754 binary16.
func F16ToF32(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp, man := uint32(h>>10&31), uint32(h&1023)
	switch {
	case exp == 31:
		return math.Float32frombits(sign | 0x7f800000 | man<<13)
	case exp == 0:
		f := float32(man) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(f) | sign)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | man<<13)
}

// F32ToF16 rounds to the nearest binary16, ties to even; too large becomes infinity.
func F32ToF16(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b >> 16 & 0x8000)
	a := b & 0x7fffffff
	switch {
	case a > 0x7f800000:
		return sign | 0x7e00
	case a >= 0x477ff000: // 65520 and above round to infinity
		return sign | 0x7c00
	case a < 0x38800000: // below 2^-14: subnormal
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(a))*(1<<24)))
	}
	a += 0xfff + a>>13&1
	return sign | uint16((a-0x38000000)>>13)
}

// BF16ToF32 widens a bfloat16.
func BF16ToF32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// F32ToBF16 rounds to the nearest bfloat16, ties to even.
func F32ToBF16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// f8 describes the four float8 types of ONNX (arXiv:2209.05433 for FN and E5M2, arXiv:2206.02915 for FNUZ).
type f8 struct {
	man, bias int
	max       float64
	maxBits   byte
	nan       byte
	inf       byte // 0: the type has none
}

func f8of(d DType) f8 {
	switch d {
	case Float8E4M3FN:
		return f8{3, 7, 448, 0x7e, 0x7f, 0}
	case Float8E4M3FNUZ:
		return f8{3, 8, 240, 0x7f, 0x80, 0}
	case Float8E5M2:
		return f8{2, 15, 57344, 0x7b, 0x7e, 0x7c}
	}
	return f8{2, 16, 57344, 0x7f, 0x80, 0} // E5M2FNUZ
}

// F8ToF32 widens an element of one of the float8 types.
func F8ToF32(d DType, b byte) float32 {
	t := f8of(d)
	uz := t.nan == 0x80
	if uz && b == 0x80 {
		return float32(math.NaN())
	}
	abs := b & 0x7f
	if !uz {
		if t.inf != 0 && abs == t.inf {
			return float32(math.Inf(1 - 2*int(b>>7)))
		}
		if t.inf != 0 && abs > t.inf || t.inf == 0 && abs == t.nan {
			return float32(math.NaN())
		}
	}
	exp, man := int(abs>>t.man), int(abs)&(1<<t.man-1)
	var f float64
	if exp == 0 {
		f = math.Ldexp(float64(man), 1-t.bias-t.man)
	} else {
		f = math.Ldexp(float64(man+1<<t.man), exp-t.bias-t.man)
	}
	if b>>7 == 1 {
		f = -f
	}
	return float32(f)
}

// F32ToF8 rounds to the nearest element of a float8 type, ties to even. With saturate, values beyond the
// largest finite one become it (infinities too); without, they become infinity or NaN as the type has.
func F32ToF8(d DType, v float32, saturate bool) byte {
	t := f8of(d)
	uz := t.nan == 0x80
	f := float64(v)
	var sign byte
	if math.Signbit(f) {
		sign = 0x80
		f = -f
	}
	over := func() byte {
		switch {
		case saturate:
			return sign | t.maxBits
		case t.inf != 0:
			return sign | t.inf
		case uz:
			return 0x80
		}
		return sign | t.nan
	}
	switch {
	case math.IsNaN(f):
		if uz {
			return 0x80
		}
		return sign | 0x7f&t.nan | boolByte(t.inf != 0)
	case math.IsInf(f, 0):
		return over()
	case f == 0:
		if uz {
			return 0
		}
		return sign
	}
	_, e := math.Frexp(f) // f = m * 2^e, m in [0.5,1)
	e--
	if e < 1-t.bias {
		e = 1 - t.bias
	}
	q := math.RoundToEven(math.Ldexp(f, t.man-e)) // in units of the last place
	if math.Ldexp(q, e-t.man) > t.max {
		return over()
	}
	n := int(q)
	var bits int
	if n >= 1<<t.man {
		if n == 2<<t.man {
			n >>= 1
			e++
		}
		bits = (e+t.bias)<<t.man + n - 1<<t.man
	} else {
		bits = n
	}
	if bits == 0 && uz {
		return 0
	}
	return sign | byte(bits)
}

// Rounding says to which power of two a number between two of them goes.
type Rounding int

// The roundings of Float8E8M0. RoundNearest takes the larger one half way.
const (
	RoundUp Rounding = iota
	RoundDown
	RoundNearest
)

// E8M0ToF64 is 2 to the power of b-127; the last pattern is no number.
func E8M0ToF64(b byte) float64 {
	if b == 0xff {
		return math.NaN()
	}
	return math.Ldexp(1, int(b)-127)
}

// F64ToE8M0 rounds to a power of two from 2^-127 to 2^127. With saturate, what is beyond becomes the nearest of them, and so
// does zero; without, no number. There is no sign: negative numbers become no number.
func F64ToE8M0(v float64, mode Rounding, saturate bool) byte {
	out := func(b byte) byte {
		if saturate {
			return b
		}
		return 0xff
	}
	switch {
	case v != v || v < 0:
		return 0xff
	case math.IsInf(v, 1):
		return out(0xfe)
	case v < 0x1p-127:
		return out(0)
	}
	m, e := math.Frexp(v) // v = m * 2^e, m in [0.5,1)
	e--
	if mode == RoundUp && m > 0.5 || mode == RoundNearest && m >= 0.75 {
		e++
	}
	if e > 127 {
		return out(0xfe)
	}
	return byte(e + 127)
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

var f4 = [8]float32{0, 0.5, 1, 1.5, 2, 3, 4, 6}

// F4ToF32 widens a float4 e2m1 (low nibble).
func F4ToF32(b byte) float32 {
	v := f4[b&7]
	if b&8 != 0 {
		return float32(math.Copysign(float64(v), -1))
	}
	return v
}

// F32ToF4 rounds to the nearest float4 e2m1, ties to even, saturating.
func F32ToF4(v float32) byte {
	var sign byte
	a := v
	if math.Signbit(float64(v)) {
		sign, a = 8, -v
	}
	best := 0
	for i := 1; i < 8; i++ {
		d0, d1 := math.Abs(float64(a-f4[best])), math.Abs(float64(a-f4[i]))
		if d1 < d0 || d1 == d0 && i%2 == 0 {
			best = i
		}
	}
	return sign | byte(best)
}
