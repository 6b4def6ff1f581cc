package predict

import (
	"math"
	"slices"

	"fettle/internal/stats"
)

// surface predicts the time of one kind of unit from measured ones: a base that adds up amounts of work at fitted rates, times
// what a Gaussian process over the logarithms of the dims makes of the base's errors.
//
// The process gives an error with every answer, which is small beside measured points and grows away from them: that is both the
// interval and where to measure next.
type surface struct {
	rates  [works]float64 // nanoseconds for one of each amount
	x      [][]float64    // logarithms (base 2) of dims
	alpha  []float64      // solves (K + noise) alpha = errors of the base
	chol   []float64      // of K + noise, n by n
	mean   float64
	signal float64 // variance of the process
	noise  float64 // variance of a measurement, over signal
	length float64
	spread float64 // what turns the process's deviation into one that holds when a point is left out
	lo, hi []float64
	whole  []float64 // log errors with each point left out
	odd    []bool    // points that were disturbed, it seems; nil: none
}

// oddly is the variance of a measurement that was disturbed, over signal.
const oddly = 25

// distrust marks the points that lie farther from the others' forecast than measurements do.
func (s *surface) distrust() bool {
	e := make([]float64, len(s.whole))
	for i, v := range s.whole {
		e[i] = math.Abs(v)
	}
	slices.Sort(e)
	far := max(5*e[len(e)/2], 0.25)
	found := false
	s.odd = make([]bool, len(s.whole))
	for i, v := range s.whole {
		s.odd[i] = math.Abs(v) > far
		found = found || s.odd[i]
	}
	return found
}

// most points that length and noise are looked for with.
const most = 100

// fit makes a surface of points; at least three.
func fit(points []point) *surface {
	s := &surface{}
	n := len(points)
	s.rates = rates(points)
	y := make([]float64, n)
	s.lo, s.hi = slices.Clone(points[0].Dims), slices.Clone(points[0].Dims)
	for i, p := range points {
		x := make([]float64, len(p.Dims))
		for k, d := range p.Dims {
			x[k] = math.Log2(d)
			s.lo[k], s.hi[k] = min(s.lo[k], d), max(s.hi[k], d)
		}
		s.x = append(s.x, x)
		y[i] = math.Log(p.Ns / s.base(p.Work))
	}
	s.mean = stats.Median(y) // a disturbed network does not move it
	for i := range y {
		y[i] -= s.mean
	}
	best := math.Inf(1)
	var kept *surface
	some, ysome := *s, y
	if step := (n + most - 1) / most; step > 1 { // length and noise show on a part of the points
		some.x, ysome = nil, nil
		for i := 0; i < n; i += step {
			some.x, ysome = append(some.x, s.x[i]), append(ysome, y[i])
		}
	}
	for _, length := range []float64{1, 2, 4, 8} {
		for _, noise := range []float64{0.01, 0.05, 0.25, 1} {
			c := some
			c.length, c.noise = length, noise
			if score := c.solve(ysome); score < best {
				best, kept = score, &c
			}
		}
	}
	if kept != nil {
		kept.x = s.x
		kept.solve(y)
		if kept.distrust() { // once more, with less weight on what does not fit
			kept.solve(y)
		}
	}
	if kept == nil { // equal points: the mean is all there is
		s.alpha, s.signal, s.noise, s.length, s.spread = make([]float64, n), 0.01, 1, 1, 1
		s.x = nil
		return s
	}
	return kept
}

// base is the time of amounts of work at the fitted rates.
func (s *surface) base(work [works]float64) float64 {
	ns := 0.0
	for i, v := range work {
		ns += s.rates[i] * v
	}
	return max(ns, 1)
}

// rates fits rates that are not negative to relative errors, by descent along one of them at a time.
func rates(points []point) (r [works]float64) {
	n := len(points)
	a := make([][works]float64, n) // amounts over time: the fit is to 1
	for i, p := range points {
		for k, v := range p.Work {
			a[i][k] = v / p.Ns
		}
	}
	// a sum costs no more for a byte than a part of what whole layers cost for theirs: without the bound few small ones with a sum would
	// stand for all large ones
	var each []float64
	for _, p := range points {
		if moved := p.Work[8] + p.Work[9] + p.Work[10]; moved > 0 {
			each = append(each, p.Ns/moved)
		}
	}
	bound := math.Inf(1)
	if len(each) > 0 {
		bound = stats.Median(each) / 4
	}
	left := make([]float64, n)
	for i := range left {
		left[i] = 1
	}
	const far = 0.2 // errors beyond count as if they were nearer: a disturbed measurement must not bend the rates
	for range 400 {
		moved := 0.0
		for k := range works {
			num, den := 0.0, 0.0
			for i := range a {
				w := 1.0
				if e := math.Abs(left[i]); e > far {
					w = far / e
				}
				num += w * a[i][k] * left[i]
				den += w * a[i][k] * a[i][k]
			}
			if den == 0 {
				continue
			}
			step := max(num/den, -r[k])
			if k == 15 {
				step = min(step, bound-r[k])
			}
			if step == 0 {
				continue
			}
			r[k] += step
			for i := range a {
				left[i] -= step * a[i][k]
			}
			moved = max(moved, step*step*den)
		}
		if moved < 1e-9*float64(n) {
			break
		}
	}
	return r
}

// alike is the Matérn 5/2 correlation of two places.
func (s *surface) alike(a, b []float64) float64 {
	d := 0.0
	for k := range a {
		d += (a[k] - b[k]) * (a[k] - b[k])
	}
	r := math.Sqrt(5*d) / s.length
	return (1 + r + r*r/3) * math.Exp(-r)
}

// solve prepares the process for errors y and gives how badly it foretells points that are left out: less is better.
func (s *surface) solve(y []float64) float64 {
	n := len(y)
	l := make([]float64, n*n)
	for i := range n {
		for j := range i + 1 {
			l[i*n+j] = s.alike(s.x[i], s.x[j])
		}
		l[i*n+i] += s.noise
		if s.odd != nil && s.odd[i] {
			l[i*n+i] += oddly
		}
	}
	if !factor(l, n) {
		return math.Inf(1)
	}
	s.chol = l
	s.alpha = s.back(s.forth(slices.Clone(y)))
	quad := 0.0
	for i := range y {
		quad += y[i] * s.alpha[i]
	}
	s.signal = max(quad/float64(n), 1e-6)
	// with point i left out its error is alpha_i / inverse_ii, with variance signal / inverse_ii (Rasmussen and Williams 2006, 5.12)
	score := 0.0
	var z []float64
	s.whole = nil
	unit := make([]float64, n)
	for i := range n {
		clear(unit)
		unit[i] = 1
		inv := 0.0
		col := s.forth(unit) // rows before i stay zero
		for _, v := range col[i:] {
			inv += v * v
		}
		e, variance := s.alpha[i]/inv, s.signal/inv
		s.whole = append(s.whole, e)
		if s.odd == nil || !s.odd[i] {
			z = append(z, math.Abs(e)/math.Sqrt(variance))
		}
		score += 0.5*math.Log(variance) + 0.5*e*e/variance
	}
	slices.Sort(z)
	s.spread = min(max(z[min(len(z)-1, len(z)*9/10)]/1.645, 0.5), 4)
	return score
}

// apart gives the error of each point when all points of its group are left out: what a network shows is told by the others alone. With
// B a group, the errors are the solution of (inverse_BB) e = alpha_B.
func (s *surface) apart(group []int) []float64 {
	n := len(s.x)
	out := slices.Clone(s.whole)
	in := map[int][]int{}
	for i, g := range group[:n] {
		in[g] = append(in[g], i)
	}
	for _, at := range in {
		if len(at) == 1 || len(at) > n/2 {
			continue // alone it is known already; and without most of the points nothing is told
		}
		m := len(at)
		a := make([]float64, m*m)
		for i, p := range at {
			col := make([]float64, n)
			col[p] = 1
			col = s.back(s.forth(col))
			for k, q := range at {
				a[k*m+i] = col[q]
			}
		}
		b := make([]float64, m)
		for i, p := range at {
			b[i] = s.alpha[p]
		}
		block := &surface{chol: a}
		if !factor(a, m) {
			continue
		}
		for i, e := range block.back(block.forth(b)) {
			out[at[i]] = e
		}
	}
	return out
}

// factor replaces a symmetric matrix by its Cholesky factor, in place; false where it has none.
func factor(a []float64, n int) bool {
	for i := range n {
		for j := range i + 1 {
			v := a[i*n+j]
			for k := range j {
				v -= a[i*n+k] * a[j*n+k]
			}
			if i != j {
				a[i*n+j] = v / a[j*n+j]
				continue
			}
			if v <= 0 {
				return false
			}
			a[i*n+i] = math.Sqrt(v)
		}
	}
	return true
}

// forth solves L x = b in place, back solves L' x = b.
func (s *surface) forth(b []float64) []float64 {
	n := len(b)
	for i := range n {
		if b[i] == 0 && i > 0 && allZero(b[:i]) {
			continue
		}
		v := b[i]
		for k := range i {
			v -= s.chol[i*n+k] * b[k]
		}
		b[i] = v / s.chol[i*n+i]
	}
	return b
}

func (s *surface) back(b []float64) []float64 {
	n := len(b)
	for i := n - 1; i >= 0; i-- {
		v := b[i]
		for k := i + 1; k < n; k++ {
			v -= s.chol[k*n+i] * b[k]
		}
		b[i] = v / s.chol[i*n+i]
	}
	return b
}

func allZero(v []float64) bool {
	for _, x := range v {
		if x != 0 {
			return false
		}
	}
	return true
}

// at is the time of a unit and the deviation of its logarithm.
func (s *surface) at(u Unit) (ns, deviation float64) {
	x := make([]float64, len(u.Dims))
	for k, d := range u.Dims {
		x[k] = math.Log2(d)
	}
	if len(s.x) == 0 {
		return s.base(u.work) * math.Exp(s.mean), 0.1
	}
	k := make([]float64, len(s.x))
	mean := s.mean
	for i := range s.x {
		k[i] = s.alike(x, s.x[i])
		mean += k[i] * s.alpha[i]
	}
	v := s.forth(k)
	left := 1 + s.noise
	for _, e := range v {
		left -= e * e
	}
	return s.base(u.work) * math.Exp(mean), s.spread * math.Sqrt(s.signal*max(left, 1e-6))
}
