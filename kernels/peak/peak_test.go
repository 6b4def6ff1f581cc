package peak

import (
	"testing"
	"time"

	"fettle/kernels/cpu"
)

// TestMeasure holds that every set that this machine has is measured, with a number of the right magnitude.
func TestMeasure(t *testing.T) {
	begin := time.Now()
	clock := func() int64 { return int64(time.Since(begin)) }
	for _, isa := range cpu.Detect().Levels() {
		for _, int8 := range []bool{false, true} {
			f := cpu.Detect().Limit(isa)
			v, got := Measure(f, int8, 2*time.Millisecond, clock)
			if u := pick(f, int8); (u == nil) != (v == 0) {
				t.Errorf("%v, 8 bit %t: %g", isa, int8, v)
			}
			if v != 0 && (v < 1e8 || v > 1e14 || !f.Has(got)) {
				t.Errorf("%v, 8 bit %t: %g multiply-adds a second with %v", isa, int8, v, got)
			}
		}
	}
}
