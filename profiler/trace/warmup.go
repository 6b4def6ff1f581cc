package trace

import (
	"math"
	"slices"
)

// Settled finds where the samples stop getting faster: the smallest k such that the rest from k on shows no step. At every
// k the medians of the first and second half of the rest are compared with the spread of the rest (median absolute
// deviation): a difference of more than three standard errors is a step. It returns len(samples) where they never settle.
// Source: the change-point view of warm-up of Barrett et al. 2017, arXiv:1602.00602, with a median test in place of PELT.
func Settled(ns []int64) int {
	const least = 8
	for k := 0; k+least <= len(ns); k++ {
		rest := ns[k:]
		if len(rest) > 64 {
			rest = rest[:64]
		}
		half := len(rest) / 2
		a, b := median(rest[:half]), median(rest[half:])
		spread := mad(rest)
		se := 1.4826 * spread * 1.2533 * math.Sqrt(1/float64(half)+1/float64(len(rest)-half))
		if a-b <= 3*se+0.005*b {
			// A single slow sample at the front does not move a median: look at it by itself.
			if float64(ns[k]) <= b+6*1.4826*spread+0.02*b {
				return k
			}
		}
	}
	return len(ns)
}

func median(v []int64) float64 {
	s := append([]int64(nil), v...)
	slices.Sort(s)
	n := len(s)
	if n == 0 {
		return 0
	}
	return (float64(s[(n-1)/2]) + float64(s[n/2])) / 2
}

func mad(v []int64) float64 {
	m := median(v)
	d := make([]int64, len(v))
	for i, x := range v {
		d[i] = int64(math.Abs(float64(x) - m))
	}
	return median(d)
}

// Canary is a fixed piece of integer and floating-point work of about a millisecond on a small core. It runs between
// blocks of samples: when its time moves, the machine changed, not the model. It returns a value so that nothing is left out.
func Canary() float64 {
	x, sum := uint64(88172645463325252), 1.0
	for range 200_000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		sum = sum*1.0000001 + float64(x&1023)*1e-9
	}
	return sum
}
