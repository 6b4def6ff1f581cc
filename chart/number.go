package chart

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Signs that numbers are written with.
const (
	Minus  = "\u2212"
	NoBrk  = "\u00a0"
	Dash   = "\u2013" // stands for a number that is not there
	micro  = "\u00b5"
	plmins = "\u00b1"
)

// Number writes x with three significant digits, a true minus, and no-break spaces between thousands from five digits up.
// What is no number is a dash.
func Number(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return Dash
	}
	a := math.Abs(x)
	s := strconv.FormatFloat(a, 'f', max(0, 2-exponent(a)), 64)
	if a != 0 && a < 1e-3 {
		s = strconv.FormatFloat(a, 'g', 3, 64)
	}
	s = thousands(s)
	if x < 0 && strings.Trim(s, "0.") != "" {
		return Minus + s
	}
	return s
}

// exponent is the power of ten of a after rounding to three digits, so that 9.999 is written 10.0.
func exponent(a float64) int {
	if a == 0 {
		return 2
	}
	s := strconv.FormatFloat(a, 'e', 2, 64)
	e, _ := strconv.Atoi(s[strings.IndexByte(s, 'e')+1:])
	return e
}

func thousands(s string) string {
	whole, rest, dot := strings.Cut(s, ".")
	if len(whole) >= 5 && strings.Trim(whole, "0123456789") == "" {
		var parts []string
		for len(whole) > 3 {
			parts = append([]string{whole[len(whole)-3:]}, parts...)
			whole = whole[:len(whole)-3]
		}
		whole = strings.Join(append([]string{whole}, parts...), NoBrk)
	}
	if dot {
		return whole + "." + rest
	}
	return whole
}

// timeUnit chooses the unit that a time is written in.
func timeUnit(ns float64) (string, float64) {
	switch a := math.Abs(ns); {
	case a < 0.9995e6:
		return micro + "s", 1e3
	case a < 9999.5e6:
		return "ms", 1e6
	}
	return "s", 1e9
}

// TimeAxis is an axis from zero for times up to a longest one.
func TimeAxis(label string, longest float64) Axis {
	a := Axis{Label: label, Zero: true}
	a.Unit, a.Scale = timeUnit(longest)
	return a
}

// Time writes nanoseconds: microseconds below 1 ms, milliseconds, seconds from 10 000 ms.
func Time(ns float64) string {
	ns = math.Round(ns) // no clock shows less
	unit, scale := timeUnit(ns)
	if v := math.Abs(ns / scale); scale == 1e6 && v >= 999.5 {
		return signed(ns, fmt.Sprintf("%.0f", v)) + NoBrk + unit // four digits in full
	}
	return Number(ns/scale) + NoBrk + unit
}

func signed(x float64, s string) string {
	if x < 0 {
		return Minus + s
	}
	return s
}

// Delta writes a difference of times, with its sign.
func Delta(ns float64) string {
	if math.Round(ns) > 0 {
		return "+" + Time(ns)
	}
	return Time(ns)
}

// TimeInterval writes a time with half the width of its interval: "136 ± 0.8 ms".
func TimeInterval(ns float64, iv [2]float64) string {
	half := (iv[1] - iv[0]) / 2
	if !(half > 0) {
		return Time(ns)
	}
	unit, scale := timeUnit(ns)
	mid := Number(ns / scale)
	decimals := 0
	if i := strings.IndexByte(mid, '.'); i >= 0 {
		decimals = len(mid) - i - 1
	}
	width := strconv.FormatFloat(half/scale, 'f', decimals, 64) // as fine as the middle, or one digit where that would be nothing
	if half/scale < math.Pow10(-decimals) {
		width = strconv.FormatFloat(half/scale, 'g', 1, 64)
	}
	return mid + NoBrk + plmins + NoBrk + width + NoBrk + unit
}

// Percent writes a share.
func Percent(share float64) string { return Number(100*share) + NoBrk + "%" }

// Change writes a ratio as a change with its sign: 0.5 is "−50.0 %".
func Change(ratio float64) string {
	s := Percent(ratio - 1)
	if ratio > 1 {
		return "+" + s
	}
	return s
}

// Bytes writes a size in powers of 1 000.
func Bytes(n int64) string {
	switch a := math.Abs(float64(n)); {
	case a < 1e3:
		return Number(float64(n)) + NoBrk + "B"
	case a < 999.5e3:
		return Number(float64(n)/1e3) + NoBrk + "kB"
	case a < 999.5e6:
		return Number(float64(n)/1e6) + NoBrk + "MB"
	}
	return Number(float64(n)/1e9) + NoBrk + "GB"
}

func trimZeros(v float64, decimals int) string {
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}
