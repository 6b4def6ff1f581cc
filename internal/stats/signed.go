package stats

import (
	"math"
	"slices"
)

// LeastSigned is the smallest number of differences for which SignedRank has a 95 % interval: of five, the extremes hold the
// truth in 94 % only.
const LeastSigned = 6

// SignedRank is the Hodges-Lehmann estimate of the centre of d with the 95 % interval that Wilcoxon's signed-rank test inverts to.
//
// It holds the truth in at least 95 % for any distribution that is symmetric about it, however long its tails are, because then every
// pattern of signs is as likely. Differences of pairs whose order was drawn at random are symmetric by that draw. A few wild ones move it
// little, where they would widen a t interval by much. The interval is infinite below LeastSigned values.
func SignedRank(d []float64) (mid float64, iv Interval) {
	n := len(d)
	walsh := make([]float64, 0, n*(n+1)/2)
	for i, x := range d {
		for _, y := range d[i:] {
			walsh = append(walsh, (x+y)/2)
		}
	}
	slices.Sort(walsh)
	if n == 0 {
		return math.NaN(), Interval{math.Inf(-1), math.Inf(1)}
	}
	mid = Sorted(walsh, 0.5)
	k := signedTail(n)
	if k < 0 {
		return mid, Interval{math.Inf(-1), math.Inf(1)}
	}
	return mid, Interval{walsh[k], walsh[len(walsh)-1-k]}
}

// SignedRankP is the two-sided p value of "d is symmetric about zero" by Wilcoxon's signed-rank test, exact up to 60 values: zeros are left
// out, and equal ones share their ranks, where the sum is rounded to the side of no proof.
func SignedRankP(d []float64) float64 {
	var size []float64
	for _, x := range d {
		if x != 0 {
			size = append(size, math.Abs(x))
		}
	}
	rank := ranks(size)
	below, above, i := 0.0, 0.0, 0
	for _, x := range d {
		switch {
		case x < 0:
			below += rank[i] + 1
		case x > 0:
			above += rank[i] + 1
		default:
			continue
		}
		i++
	}
	n, least := len(size), int(math.Ceil(min(below, above)))
	if n > most {
		m, v := float64(n*(n+1))/4, float64(n*(n+1)*(2*n+1))/24
		return math.Min(1, math.Erfc((m-float64(least)-0.5)/math.Sqrt(2*v)))
	}
	sum := 0.0
	for _, w := range signedSums(n)[:least+1] {
		sum += w
	}
	return math.Min(1, 2*sum)
}

const most = 60 // values that are counted; more are near enough to the normal distribution

// signedSums is how likely each sum of the positive ranks of n signs is, if each sign is as likely as the other.
func signedSums(n int) []float64 {
	p := make([]float64, n*(n+1)/2+1)
	p[0] = 1
	top := 0
	for r := 1; r <= n; r++ {
		for s := top; s >= 0; s-- {
			p[s] /= 2
			p[s+r] += p[s]
		}
		top += r
	}
	return p
}

// signedTail is the largest k for which that sum is at most k in no more than 2.5 %; -1: none.
func signedTail(n int) int {
	if n > most {
		m, v := float64(n*(n+1))/4, float64(n*(n+1)*(2*n+1))/24
		return int(m - 1.959964*math.Sqrt(v) - 0.5)
	}
	sum := 0.0
	for s, p := range signedSums(n) {
		if sum += p; sum > 0.025 {
			return s - 1
		}
	}
	return -1
}
