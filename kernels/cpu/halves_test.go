package cpu

import (
	"math"
	"testing"
)

// TestFloat16 walks all halves: each is its own half, what lies between two goes to the nearer one, and in the middle to the even one.
func TestFloat16(t *testing.T) {
	value := func(h uint16) float32 {
		m, e := float64(h&0x3ff), int(h>>10&31)
		if e > 0 {
			m, e = m+1024, e-1
		}
		return float32(math.Ldexp(m, e-24))
	}
	for h := uint16(0); h < 0x7c00; h++ {
		v := value(h)
		if Float16(v) != h || Float16(-v) != h|0x8000 {
			t.Fatalf("%g is %04x and %04x, want %04x", v, Float16(v), Float16(-v), h)
		}
		if h == 0x7bff {
			break
		}
		mid, even := (v+value(h+1))/2, h+h&1
		up := math.Nextafter32(mid, 1e6)
		if Float16(mid) != even || Float16(up) != h+1 {
			t.Fatalf("%g is %04x, want %04x; %g is %04x, want %04x", mid, Float16(mid), even, up, Float16(up), h+1)
		}
	}
	for _, v := range []float32{65519, 65520, 1e30, float32(math.Inf(1))} {
		if Float16(v) != 0x7bff || Float16(-v) != 0xfbff {
			t.Errorf("%g is %04x", v, Float16(v))
		}
	}
	if h := Float16(float32(math.NaN())); h&0x7c00 != 0x7c00 || h&0x3ff == 0 {
		t.Errorf("NaN is %04x", h)
	}
}
