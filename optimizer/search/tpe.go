package search

import "math"

// tpe models where the good points lie and where the others do, a distribution for each variable, and proposes what is likely among
// the good and unlikely among the others.
//
// Source: Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization, NeurIPS 24.
type tpe struct{ past }

const (
	firstPoints = 8    // at random, before anything is modelled
	goodShare   = 0.25 // of the points told
	draws       = 48   // from the good distribution, of which the best is proposed
)

// Ask proposes the draw with the largest ratio.
func (s *tpe) Ask() []int {
	r := s.rng()
	if len(s.list) < firstPoints {
		return s.fresh(r, s.random(r))
	}
	sorted := s.best(len(s.list))
	n := max(2, int(math.Ceil(goodShare*float64(len(sorted)))))
	good, rest := s.shares(sorted[:n]), s.shares(sorted[n:])
	var best []int
	most := math.Inf(-1)
	for range draws {
		x, ratio := make([]int, len(s.space)), 0.0
		for i, p := range good {
			u := r.Float64()
			for x[i] < len(p)-1 && u >= p[x[i]] {
				u -= p[x[i]]
				x[i]++
			}
			ratio += math.Log(p[x[i]] / rest[i][x[i]])
		}
		if ratio > most && (best == nil || !s.known(x)) {
			best, most = x, ratio
		}
	}
	return s.fresh(r, best)
}

// shares are smoothed frequencies of values: neighbours count for a third, as values stand in order, and all have a share from the start.
func (s *tpe) shares(l []told) [][]float64 {
	out := make([][]float64, len(s.space))
	for i, n := range s.space {
		p, sum := make([]float64, max(n, 1)), 0.0
		for k := range p {
			p[k] = 1 / float64(len(p))
		}
		for _, t := range l {
			p[t.x[i]]++
			for _, k := range []int{t.x[i] - 1, t.x[i] + 1} {
				if k >= 0 && k < len(p) {
					p[k] += 1.0 / 3
				}
			}
		}
		for _, v := range p {
			sum += v
		}
		for k := range p {
			p[k] /= sum
		}
		out[i] = p
	}
	return out
}
