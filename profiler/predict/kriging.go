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
	shape  shape
	x      [][]float64 // logarithms (base 2) of dims
	alpha  []float64   // solves (K + noise) alpha = errors of the base
	chol   []float64   // of K + noise, n by n
	mean   float64
	signal float64 // variance of the process
	spread float64 // what turns the process's deviation into one that holds when a point is left out
	lo, hi []float64
	whole  []float64 // log errors with each point left out
	odd    []bool    // points that were disturbed, it seems; nil: none
}

// shape is how a process varies: over how many doublings of a size, by how much a mark and what the network holds count as one of them, and
// the variance of a measurement over that of the process.
type shape struct{ length, mark, held, noise float64 }

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

// most points that the shape is looked for with.
const most = 100

// fit makes a surface of points; at least three. known is the shape of a surface of nearly the same points, nil: it is looked for.
func fit(points []point, known *shape) *surface {
	s := &surface{}
	n := len(points)
	s.rates = rates(points)
	y := make([]float64, n)
	s.lo, s.hi = slices.Clone(points[0].Dims), slices.Clone(points[0].Dims)
	for i, p := range points {
		for k, d := range p.Dims {
			s.lo[k], s.hi[k] = min(s.lo[k], d), max(s.hi[k], d)
		}
		s.x = append(s.x, logs(p.Dims))
		y[i] = math.Log(p.Ns / s.base(p.Work))
	}
	s.mean = stats.Median(y) // a disturbed network does not move it
	for i := range y {
		y[i] -= s.mean
	}
	if known != nil {
		s.shape = *known
	} else {
		s.look(y)
	}
	if math.IsInf(s.solve(y), 1) { // equal points: the mean is all there is
		s.x = nil
		return s
	}
	if s.distrust() { // once more, with less weight on what does not fit
		s.solve(y)
	}
	return s
}

// look finds the shape that foretells points best that are left out, one of its numbers after the other.
func (s *surface) look(y []float64) {
	some, ysome := surface{shape: shape{2, 0.5, 0.5, 0.05}, x: s.x}, y
	if step := (len(y) + most - 1) / most; step > 1 { // it shows on a part of the points
		some.x, ysome = nil, nil
		for i := 0; i < len(y); i += step {
			some.x, ysome = append(some.x, s.x[i]), append(ysome, y[i])
		}
	}
	best := math.Inf(1)
	s.shape = some.shape
	try := func(set *float64, values ...float64) {
		kept := *set
		for _, v := range values {
			*set = v
			if score := some.solve(ysome); score < best {
				best, kept, s.shape = score, v, some.shape
			}
		}
		*set = kept
	}
	for range 2 {
		try(&some.shape.length, 1, 2, 4, 8)
		try(&some.shape.noise, 0.01, 0.05, 0.25, 1)
		try(&some.shape.held, 0.1, 0.3, 1)
		try(&some.shape.mark, 0.2, 1)
	}
}

func logs(dims []float64) []float64 {
	x := make([]float64, len(dims))
	for k, d := range dims {
		x[k] = math.Log2(d)
	}
	return x
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
		if moved := p.Work[wIn] + p.Work[wOut] + p.Work[wWeights]; moved > 0 {
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
			if k == wSum {
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
	own := max(len(a)-around, 0)
	for k := range a {
		e := a[k] - b[k]
		switch {
		case k < own:
		case k >= len(a)-places:
			e *= s.shape.held
		default:
			e *= s.shape.mark
		}
		d += e * e
	}
	r := math.Sqrt(5*d) / s.shape.length
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
		l[i*n+i] += s.shape.noise
		if s.odd != nil && s.odd[i] {
			l[i*n+i] += oddly
		}
	}
	if !factor(l, n) {
		return math.Inf(1)
	}
	s.chol = l
	s.alpha = back(l, n, forth(l, n, slices.Clone(y)))
	quad := 0.0
	for i := range y {
		quad += y[i] * s.alpha[i]
	}
	s.signal = max(quad/float64(n), 1e-6)
	// with point i left out its error is alpha_i / inverse_ii, with variance signal / inverse_ii (Rasmussen and Williams 2006, 5.12)
	score := 0.0
	var z []float64
	s.whole = nil
	for i, inv := range inverted(l, n) {
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
		m := len(at)
		if m == 1 || m > n/2 {
			continue // alone it is known already; and without most of the points nothing is told
		}
		cols := make([][]float64, m)
		for i, p := range at {
			cols[i] = make([]float64, n)
			cols[i][p] = 1
			forth(s.chol, n, cols[i])
		}
		a, b := make([]float64, m*m), make([]float64, m)
		for i, p := range at {
			for k := range i + 1 {
				a[i*m+k] = dot(cols[i][p:], cols[k][p:]) // rows before p are zero in one of them
			}
			b[i] = s.alpha[p]
		}
		if !factor(a, m) {
			continue
		}
		for i, e := range back(a, m, forth(a, m, b)) {
			out[at[i]] = e
		}
	}
	return out
}

// at is the time of a unit and the deviation of its logarithm.
func (s *surface) at(u Unit) (ns, deviation float64) {
	if len(s.x) == 0 {
		return s.base(u.work) * math.Exp(s.mean), 0.1
	}
	x := logs(u.Dims)
	k := make([]float64, len(s.x))
	mean := s.mean
	for i := range s.x {
		k[i] = s.alike(x, s.x[i])
		mean += k[i] * s.alpha[i]
	}
	v := forth(s.chol, len(k), k)
	left := max(1+s.shape.noise-dot(v, v), 1e-6)
	return s.base(u.work) * math.Exp(mean), s.spread * math.Sqrt(s.signal*left)
}
