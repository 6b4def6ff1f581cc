package search

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// gp is a Gaussian process over the points told: the reward of points that are close is alike. It proposes the point whose expected
// gain over the best is largest.
//
//	k(x, y) = exp(-|x - y|^2 / (2 s^2 d)), variables scaled to 0..1, rewards to mean 0 and variance 1; s and the noise are those of a few
//	that explain the rewards best.
//
// Source: Jones et al. 1998, Efficient Global Optimization of Expensive Black-Box Functions (expected improvement).
type gp struct{ past }

const candidates = 400

// Ask proposes the candidate of most expected improvement: random points, and neighbours of the best.
func (s *gp) Ask() []int {
	r := s.rng()
	if len(s.list) < firstPoints {
		return s.fresh(r, s.random(r))
	}
	f := s.fit()
	if f == nil {
		return s.fresh(r, s.random(r))
	}
	top := s.best(5)
	var best []int
	most := math.Inf(-1)
	for i := range candidates {
		x := s.random(r)
		if i%4 != 0 {
			x = s.mutate(r, top[i%len(top)].x, 2)
		}
		if s.known(x) {
			continue
		}
		if gain := f.improvement(s.scaled(x)); gain > most {
			best, most = x, gain
		}
	}
	if best == nil {
		best = top[0].x
	}
	return s.fresh(r, best)
}

func (s *gp) scaled(x []int) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v) / float64(max(s.space[i]-1, 1))
	}
	return out
}

// process is a Gaussian process with its points.
type process struct {
	x     [][]float64
	chol  mat.Cholesky
	alpha *mat.VecDense // K^-1 y
	width float64
	best  float64
}

// remembered bounds the points that a process is made of: its cost grows with their cube.
const remembered = 300

// fit takes the width and the noise of most likelihood; nil where the rewards are all the same.
func (s *gp) fit() *process {
	list := s.list
	if len(list) > remembered {
		list = append(s.best(remembered/2), list[len(list)-remembered/2:]...)
	}
	y := make([]float64, len(list))
	x := make([][]float64, len(list))
	mean, dev := 0.0, 0.0
	for i, t := range list {
		x[i], y[i] = s.scaled(t.x), t.reward
		mean += t.reward / float64(len(list))
	}
	for i := range y {
		y[i] -= mean
		dev += y[i] * y[i] / float64(len(y))
	}
	if dev = math.Sqrt(dev); dev == 0 || math.IsNaN(dev) || math.IsInf(dev, 0) {
		return nil
	}
	for i := range y {
		y[i] /= dev
	}
	var best *process
	most := math.Inf(-1)
	for _, width := range []float64{0.15, 0.3, 0.6, 1.2} {
		for _, noise := range []float64{1e-4, 1e-2, 0.1} {
			p := &process{x: x, width: width, best: slices.Max(y)}
			if l, ok := p.solve(y, noise); ok && l > most {
				best, most = p, l
			}
		}
	}
	return best
}

func (p *process) kernel(a, b []float64) float64 {
	d := 0.0
	for i := range a {
		d += (a[i] - b[i]) * (a[i] - b[i])
	}
	return math.Exp(-d / (2 * p.width * p.width * float64(max(len(a), 1))))
}

// solve gives the logarithm of the likelihood of y, without its constant.
func (p *process) solve(y []float64, noise float64) (float64, bool) {
	n := len(y)
	k := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			v := p.kernel(p.x[i], p.x[j])
			if i == j {
				v += noise
			}
			k.SetSym(i, j, v)
		}
	}
	if !p.chol.Factorize(k) {
		return 0, false
	}
	v := mat.NewVecDense(n, y)
	p.alpha = mat.NewVecDense(n, nil)
	if p.chol.SolveVecTo(p.alpha, v) != nil {
		return 0, false
	}
	return -0.5*mat.Dot(v, p.alpha) - 0.5*p.chol.LogDet(), true
}

// improvement is what a point is expected to gain over the best one.
func (p *process) improvement(x []float64) float64 {
	n := len(p.x)
	k := mat.NewVecDense(n, nil)
	for i := range n {
		k.SetVec(i, p.kernel(x, p.x[i]))
	}
	mean := mat.Dot(k, p.alpha)
	half := mat.NewVecDense(n, nil)
	if p.chol.SolveVecTo(half, k) != nil {
		return 0
	}
	dev := math.Sqrt(math.Max(1-mat.Dot(k, half), 1e-12))
	z := (mean - p.best) / dev
	density := math.Exp(-z*z/2) / math.Sqrt(2*math.Pi)
	return (mean-p.best)*0.5*math.Erfc(-z/math.Sqrt2) + dev*density
}
