package chart

import (
	"math"
	"strconv"
)

// Tick is a labelled place of an axis, in data units.
type Tick struct {
	At    float64
	Label string
}

// Ticks gives 4 to 6 round places between lo and hi: steps of 1, 2, 2.5 or 5 times a power of ten. Labels have equal decimals and no
// unit; scale is data units in one unit of the axis.
func Ticks(lo, hi, scale float64) []Tick { return ticks(lo, hi, scale, false) }

// ticks with whole steps only, where asked; few counts then have fewer than four.
func ticks(lo, hi, scale float64, whole bool) []Tick {
	if scale == 0 {
		scale = 1
	}
	lo, hi = lo/scale, hi/scale
	if !(hi > lo) || math.IsInf(hi-lo, 0) {
		return nil
	}
	step := tickStep(lo, hi, whole)
	decimals := 0
	for decimals < 12 && math.Abs(math.Round(step*math.Pow10(decimals))-step*math.Pow10(decimals)) > 1e-6*step*math.Pow10(decimals) {
		decimals++
	}
	var out []Tick
	for k := math.Ceil(lo/step - 1e-9); k*step <= hi+1e-9*(hi-lo); k++ {
		v := k * step
		s := thousands(strconv.FormatFloat(math.Abs(v), 'f', decimals, 64))
		if v < 0 && k != 0 {
			s = Minus + s
		}
		out = append(out, Tick{At: v * scale, Label: s})
	}
	return out
}

// tickStep is the largest round step that gives at least four ticks, or the one that comes nearest to five.
func tickStep(lo, hi float64, whole bool) float64 {
	best, bestMiss := 1.0, math.Inf(1)
	base := math.Pow10(int(math.Floor(math.Log10(hi-lo))) - 1)
	for _, m := range []float64{1, 2, 2.5, 5, 10, 20, 25, 50, 100} {
		step := m * base
		if whole && step != math.Trunc(step) {
			continue
		}
		n := math.Floor(hi/step+1e-9) - math.Ceil(lo/step-1e-9) + 1
		miss := math.Abs(n - 5)
		if n < 4 || n > 6 {
			miss += 10
		}
		if miss <= bestMiss {
			best, bestMiss = step, miss
		}
	}
	return best
}

// axisRange widens lo..hi to what the axis shows: from zero where bars grow from it, with a little room otherwise.
func axisRange(a Axis, lo, hi float64) (float64, float64) {
	if a.Zero {
		lo, hi = math.Min(lo, 0), math.Max(hi, 0)
	}
	if lo == hi {
		if hi == 0 {
			return 0, 1
		}
		return lo - math.Abs(lo)*0.1, hi + math.Abs(hi)*0.1
	}
	room := 0.05 * (hi - lo)
	if !(a.Zero && lo == 0) {
		lo -= room
	}
	if !(a.Zero && hi == 0) {
		hi += room
	}
	return lo, hi
}

func (a Axis) title() string {
	switch {
	case a.Unit == "":
		return a.Label
	case a.Label == "":
		return a.Unit
	}
	return a.Label + ", " + a.Unit
}
