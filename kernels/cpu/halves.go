package cpu

import "math"

// Halves splits v into two bf16 (the upper half of a float32 each) whose sum is v up to 2^-17 of it. What rounding could make infinite,
// infinities and NaN are cut and have no second part: a finite value stays finite.
func Halves(v float32) (hi, lo uint16) {
	const limit = 0x7f7f8000
	b := math.Float32bits(v)
	if b&0x7fffffff >= limit {
		if v != v {
			b |= 0x400000 // a NaN whose mark is in the lower half
		}
		return uint16(b >> 16), 0
	}
	b = (b + 0x8000) &^ 0xffff
	return uint16(b >> 16), uint16((math.Float32bits(v-math.Float32frombits(b)) + 0x8000) >> 16)
}

// Half is the value of a bf16.
func Half(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// Float16 is v in half precision (IEEE 754 binary16), halves to even; what is too large becomes the largest half, so that a finite value stays
// finite.
func Float16(v float32) uint16 {
	b := math.Float32bits(v)
	sign, b := uint16(b>>16&0x8000), b&0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00 // NaN
	case b >= 0x477ff000: // rounds to more than 65504
		return sign | 0x7bff
	case b < 0x38800000: // below 2^-14: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(b))*(1<<24)))
	}
	b += 0xfff + b>>13&1
	return sign | uint16((b-112<<23)>>13)
}
