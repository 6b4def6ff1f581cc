package plot

import (
	"math"
	"strconv"
	"strings"
)

// scale maps values to places along one axis.
type scale struct {
	lo, hi float64 // values
	a, b   float32 // places
}

func (s scale) at(v float64) float32 {
	if s.hi == s.lo {
		return s.a
	}
	return s.a + float32((v-s.lo)/(s.hi-s.lo))*(s.b-s.a)
}

// ticks gives 4 to 6 round values within lo and hi.
func ticks(lo, hi float64) []float64 {
	if !(hi > lo) || math.IsInf(hi-lo, 0) {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10((hi-lo)/4)))
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if (hi-lo)/(step*m) <= 5 {
			step *= m
			break
		}
	}
	var out []float64
	for i := math.Ceil(lo/step - 1e-9); i*step <= hi+step*1e-9; i++ {
		out = append(out, i*step+0) // no negative zero
	}
	return out
}

// RoundUp is the first tick that holds hi on an axis from zero.
func RoundUp(hi float64) float64 {
	if !(hi > 0) {
		return 1
	}
	t := ticks(0, hi)
	if len(t) < 2 {
		return hi
	}
	step := t[1] - t[0]
	return math.Ceil(hi/step-1e-9) * step
}

// Whole is Tick on an axis of counts: between whole numbers nothing is written.
func Whole(v float64) string {
	if v != math.Trunc(v) {
		return ""
	}
	return Tick(v)
}

// Tick writes a value of an axis: as short as it can be without losing digits that ticks have.
func Tick(v float64) string {
	s := strconv.FormatFloat(v, 'g', 6, 64)
	if a := math.Abs(v); a != 0 && (a >= 1e6 || a < 1e-4) {
		s = strconv.FormatFloat(v, 'g', 3, 64)
	}
	return strings.Replace(s, "-", "\u2212", 1)
}
