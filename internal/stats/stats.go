// Package stats holds the few statistics that measuring needs, on plain slices: quantiles, t intervals, bootstrap, Wilson
// interval and Holm's correction.
//
// It knows no units. Start reading at the function you need.
package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// Quantile is the p-quantile of v by linear interpolation between order statistics (type 7 of Hyndman and Fan 1996).
// NaN for an empty slice.
func Quantile(v []float64, p float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Clone(v)
	slices.Sort(s)
	return Sorted(s, p)
}

// Sorted is Quantile of values that are in order.
func Sorted(s []float64, p float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	h := p * float64(len(s)-1)
	i := int(h)
	if i >= len(s)-1 {
		return s[len(s)-1]
	}
	return s[i] + (h-float64(i))*(s[i+1]-s[i])
}

// Median is the 0.5-quantile.
func Median(v []float64) float64 { return Quantile(v, 0.5) }

// Mean is the arithmetic mean; NaN for an empty slice.
func Mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// Std is the sample standard deviation (n-1); 0 for fewer than two values.
func Std(v []float64) float64 {
	if len(v) < 2 {
		return 0
	}
	m, sum := Mean(v), 0.0
	for _, x := range v {
		sum += (x - m) * (x - m)
	}
	return math.Sqrt(sum / float64(len(v)-1))
}

// Interval is a range of plausible values.
type Interval struct{ Lo, Hi float64 }

// MeanInterval is the two-sided 95 % t interval of the mean; infinite for fewer than two values.
func MeanInterval(v []float64) Interval {
	if len(v) < 2 {
		return Interval{math.Inf(-1), math.Inf(1)}
	}
	m := Mean(v)
	h := TQuantile(0.975, len(v)-1) * Std(v) / math.Sqrt(float64(len(v)))
	return Interval{m - h, m + h}
}

// Difference is the mean of B less the mean of A with its standard error.
type Difference struct {
	Diff, SE float64
	DF       int // rounded down, which makes intervals wider, never narrower
}

// Welch compares two samples of unequal spread (Welch 1947). DF is 0 where a side has fewer than two values.
func Welch(a, b []float64) Difference {
	d := Difference{Diff: Mean(b) - Mean(a)}
	if len(a) < 2 || len(b) < 2 {
		return d
	}
	na, nb := float64(len(a)), float64(len(b))
	va, vb := Std(a)*Std(a)/na, Std(b)*Std(b)/nb
	d.SE = math.Sqrt(va + vb)
	d.DF = len(a) + len(b) - 2 // no spread at all: any number does
	if va+vb > 0 {
		d.DF = max(1, int((va+vb)*(va+vb)/(va*va/(na-1)+vb*vb/(nb-1))))
	}
	return d
}

// TQuantile is the p-quantile of Student's t distribution with df degrees of freedom: Newton's steps on TCDF, which is smooth, kept
// between bounds that close in, because far out a step may overshoot.
func TQuantile(p float64, df int) float64 {
	if p == 0.5 {
		return 0
	}
	n := float64(df)
	lg, _ := math.Lgamma((n + 1) / 2)
	lh, _ := math.Lgamma(n / 2)
	top := math.Exp(lg-lh) / math.Sqrt(n*math.Pi)
	lo, hi, x := -1e4, 1e4, 0.0
	for range 200 {
		off := TCDF(x, df) - p
		if off < 0 {
			lo = x
		} else {
			hi = x
		}
		next := x - off/(top*math.Pow(1+x*x/n, -(n+1)/2))
		if !(next > lo && next < hi) {
			next = (lo + hi) / 2
		}
		if math.Abs(next-x) <= 1e-12*(1+math.Abs(x)) {
			return next
		}
		x = next
	}
	return x
}

// TCDF is the distribution function of Student's t (Abramowitz and Stegun 26.7.1, through the incomplete beta function).
func TCDF(t float64, df int) float64 {
	x := float64(df) / (float64(df) + t*t)
	p := betaInc(float64(df)/2, 0.5, x) / 2
	if t > 0 {
		return 1 - p
	}
	return p
}

// betaInc is the regularized incomplete beta function by Lentz's continued fraction.
func betaInc(a, b, x float64) float64 {
	if x <= 0 {
		return 0
	}
	if x >= 1 {
		return 1
	}
	if x > (a+1)/(a+b+2) {
		return 1 - betaInc(b, a, 1-x)
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab-la-lb+a*math.Log(x)+b*math.Log(1-x)) / a
	const tiny = 1e-30
	f, c, d := 1.0, 1.0, 0.0
	for i := range 300 {
		m := float64(i / 2)
		var num float64
		switch {
		case i == 0:
			num = 1
		case i%2 == 0:
			num = m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		default:
			num = -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		}
		d = 1 + num*d
		if math.Abs(d) < tiny {
			d = tiny
		}
		d = 1 / d
		c = 1 + num/c
		if math.Abs(c) < tiny {
			c = tiny
		}
		f *= c * d
		if math.Abs(1-c*d) < 1e-12 {
			break
		}
	}
	return front * (f - 1)
}

// TwoSided is the two-sided p value of a t statistic.
func TwoSided(t float64, df int) float64 { return 2 * (1 - TCDF(math.Abs(t), df)) }

// Bootstrap is the 95 % percentile interval of stat over resamples of groups, and of values inside each group: the groups
// are the units of replication (launches). The same seed gives the same interval.
func Bootstrap(groups [][]float64, stat func([]float64) float64, rounds int, seed uint64) Interval {
	rng := rand.New(rand.NewPCG(seed, 0xb007))
	out := make([]float64, 0, rounds)
	for range rounds {
		var all []float64
		for range groups {
			g := groups[rng.IntN(len(groups))]
			for range g {
				all = append(all, g[rng.IntN(len(g))])
			}
		}
		if len(all) > 0 {
			out = append(out, stat(all))
		}
	}
	sort.Float64s(out)
	if len(out) == 0 {
		return Interval{math.NaN(), math.NaN()}
	}
	return Interval{Sorted(out, 0.025), Sorted(out, 0.975)}
}

// Wilson is the 95 % interval of a share of right answers among n (Wilson 1927).
func Wilson(right, n int) Interval {
	if n == 0 {
		return Interval{0, 1}
	}
	const z = 1.959964
	p, m := float64(right)/float64(n), float64(n)
	mid := (p + z*z/(2*m)) / (1 + z*z/m)
	h := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return Interval{math.Max(0, mid-h), math.Min(1, mid+h)}
}

// Holm says which of the hypotheses with the given p values are rejected at level alpha together (Holm 1979).
func Holm(p []float64, alpha float64) []bool {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	rank := func(i int) float64 {
		if math.IsNaN(p[i]) {
			return math.Inf(1) // no p value is no proof
		}
		return p[i]
	}
	sort.Slice(order, func(i, j int) bool { return rank(order[i]) < rank(order[j]) })
	out := make([]bool, len(p))
	for k, i := range order {
		if rank(i) > alpha/float64(len(p)-k) {
			break
		}
		out[i] = true
	}
	return out
}
