package kit

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Numbers are written with three significant digits, a true minus, and a no-break space before the unit and, from five
// digits up, between thousands. Absent is a dash, never 0.
const (
	Absent = "–"
	minus  = "−"
	nbsp   = "\u00a0"
)

// Ms is a time: microseconds below 1 ms, milliseconds, seconds from 10 000 ms.
func Ms(ns float64) string {
	if bad(ns) {
		return Absent
	}
	switch a := math.Abs(ns); {
	case a < 999.5e3:
		return Sig(ns/1e3) + nbsp + "µs"
	case a < 9999.5e6:
		return Sig(ns/1e6) + nbsp + "ms"
	}
	return Sig(ns/1e9) + nbsp + "s"
}

// MsCell is a time in milliseconds without the unit, for a column that names it.
func MsCell(ns float64) string {
	if bad(ns) {
		return Absent
	}
	return Sig(ns / 1e6)
}

// MsPtr is Ms of a time that may be absent.
func MsPtr(ns *float64) string {
	if ns == nil {
		return Absent
	}
	return Ms(*ns)
}

// DeltaMs is a difference in time, with its sign.
func DeltaMs(ns float64) string { return signed(ns, Ms(ns)) }

// Interval is half the width of an interval around the middle: "± 0.80 ms" in the unit of the middle.
func Interval(mid float64, iv [2]float64) string {
	half := (iv[1] - iv[0]) / 2
	if bad(mid) || bad(half) || half <= 0 {
		return ""
	}
	unit, scale := "ms", 1e6
	switch a := math.Abs(mid); {
	case a < 999.5e3:
		unit, scale = "µs", 1e3
	case a >= 9999.5e6:
		unit, scale = "s", 1e9
	}
	return "±" + nbsp + digits(half/scale, 2) + nbsp + unit
}

// Bytes is a size in powers of 1 000.
func Bytes(n int64) string {
	a := math.Abs(float64(n))
	switch {
	case a < 1000:
		return Count(n) + nbsp + "B"
	case a < 999.5e3:
		return Sig(float64(n)/1e3) + nbsp + "kB"
	case a < 999.5e6:
		return Sig(float64(n)/1e6) + nbsp + "MB"
	}
	return Sig(float64(n)/1e9) + nbsp + "GB"
}

// DeltaBytes is a difference in size, with its sign.
func DeltaBytes(n int64) string { return signed(float64(n), Bytes(n)) }

// MACs is an amount of work; absent where a shape is not known (-1).
func MACs(n int64) string {
	switch {
	case n < 0:
		return Absent
	case n < 1000:
		return Count(n) + nbsp + "MAC"
	case n < 999500:
		return Sig(float64(n)/1e3) + nbsp + "kMAC"
	case n < 999500000:
		return Sig(float64(n)/1e6) + nbsp + "MMAC"
	}
	return Sig(float64(n)/1e9) + nbsp + "GMAC"
}

// Count is a whole number.
func Count(n int64) string { return group(strings.Replace(strconv.FormatInt(n, 10), "-", minus, 1)) }

// Percent is a share, 0.0258 for 2.58 %.
func Percent(share float64) string {
	if bad(share) {
		return Absent
	}
	return Sig(share*100) + nbsp + "%"
}

// DeltaPercent is a change as a share, with its sign.
func DeltaPercent(share float64) string { return signed(share, Percent(share)) }

// Sig has three significant digits; whole digits are never rounded away.
func Sig(x float64) string { return digits(x, 3) }

// Hz is a clock rate.
func Hz(n int64) string {
	if n >= 999500000 {
		return digits(float64(n)/1e9, 3) + nbsp + "GHz"
	}
	return digits(float64(n)/1e6, 3) + nbsp + "MHz"
}

// Elapsed is a time that people wait: 4.2 s, 41 s, 3 min 20 s.
func Elapsed(d time.Duration) string {
	switch s := d.Seconds(); {
	case s < 9.95:
		return strconv.FormatFloat(s, 'f', 1, 64) + nbsp + "s"
	case s < 60:
		return strconv.Itoa(int(s)) + nbsp + "s"
	case s < 3600:
		return strconv.Itoa(int(s)/60) + nbsp + "min" + nbsp + strconv.Itoa(int(s)%60) + nbsp + "s"
	default:
		return strconv.Itoa(int(s)/3600) + nbsp + "h" + nbsp + strconv.Itoa(int(s)%3600/60) + nbsp + "min"
	}
}

func digits(x float64, sig int) string {
	if bad(x) {
		return Absent
	}
	if x == 0 {
		return "0"
	}
	// Rounding first: 9.999 has the magnitude of 10.0.
	mag := int(math.Floor(math.Log10(math.Abs(x))))
	unit := math.Pow(10, float64(mag-sig+1))
	if r := math.Round(x/unit) * unit; math.Abs(r) >= math.Pow(10, float64(mag+1)) {
		mag++
	}
	s := strconv.FormatFloat(x, 'f', max(sig-1-mag, 0), 64)
	return group(strings.Replace(s, "-", minus, 1))
}

func group(s string) string {
	sign, rest := "", s
	if strings.HasPrefix(s, minus) {
		sign, rest = minus, strings.TrimPrefix(s, minus)
	}
	whole, frac, dot := strings.Cut(rest, ".")
	if len(whole) >= 5 {
		var parts []string
		for len(whole) > 3 {
			parts = append([]string{whole[len(whole)-3:]}, parts...)
			whole = whole[:len(whole)-3]
		}
		whole = strings.Join(append([]string{whole}, parts...), nbsp)
	}
	if dot {
		whole += "." + frac
	}
	return sign + whole
}

func signed(x float64, s string) string {
	if x > 0 && s != Absent {
		return "+" + s
	}
	return s
}

func bad(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }
