package search

import (
	"math/rand/v2"
	"slices"
)

// Space is how many values each variable has: whole numbers from 0, in order of strength.
type Space []int

// Sampler proposes points of a space and learns what they were worth. What it proposes follows from its seed and from what it was told
// alone: told the same again, it goes on the same way, which is how a search that was stopped goes on.
type Sampler interface {
	Ask() []int
	Tell(x []int, reward float64)
}

// Samplers are the names that NewSampler knows.
func Samplers() []string { return []string{"gp", "tpe", "evolution", "random"} }

// NewSampler makes a sampler by name, nil for a name that none has.
func NewSampler(name string, s Space, seed int64) Sampler {
	past := past{space: s, seed: uint64(seed)}
	switch name {
	case "gp":
		return &gp{past}
	case "tpe":
		return &tpe{past}
	case "evolution":
		return &evolution{past}
	case "random":
		return &random{past}
	}
	return nil
}

// told is a point with its reward.
type told struct {
	x      []int
	reward float64
}

// past is what a sampler was told.
type past struct {
	space Space
	seed  uint64
	list  []told
}

// Tell adds a point.
func (p *past) Tell(x []int, reward float64) { p.list = append(p.list, told{slices.Clone(x), reward}) }

// rng depends on the seed and on how much was told, on nothing else.
func (p *past) rng() *rand.Rand { return rand.New(rand.NewPCG(p.seed, uint64(len(p.list)))) }

func (p *past) random(r *rand.Rand) []int {
	x := make([]int, len(p.space))
	for i, n := range p.space {
		x[i] = r.IntN(max(n, 1))
	}
	return x
}

func (p *past) known(x []int) bool {
	return slices.ContainsFunc(p.list, func(t told) bool { return slices.Equal(t.x, x) })
}

// fresh changes x until it was not told yet; a space that is used up gives an old point.
func (p *past) fresh(r *rand.Rand, x []int) []int {
	for range 200 {
		if !p.known(x) {
			return x
		}
		x = p.mutate(r, x, 1)
	}
	return x
}

// mutate changes each variable with a probability of rate/len, one at least: mostly by one step.
func (p *past) mutate(r *rand.Rand, x []int, rate float64) []int {
	y := slices.Clone(x)
	if len(y) == 0 {
		return y
	}
	must := r.IntN(len(y))
	for i, n := range p.space {
		if n < 2 || i != must && r.Float64() >= rate/float64(len(y)) {
			continue
		}
		if r.IntN(4) == 0 {
			y[i] = r.IntN(n)
			continue
		}
		step := 1 - 2*r.IntN(2)
		if y[i]+step < 0 || y[i]+step >= n {
			step = -step
		}
		y[i] += step
	}
	return y
}

// best lists the n points of most reward, the best first; of equal ones the older.
func (p *past) best(n int) []told {
	l := slices.Clone(p.list)
	slices.SortStableFunc(l, func(a, b told) int {
		switch {
		case a.reward > b.reward:
			return -1
		case a.reward < b.reward:
			return 1
		}
		return 0
	})
	return l[:min(n, len(l))]
}

// random is what the others have to beat.
type random struct{ past }

// Ask proposes any point that was not told.
func (s *random) Ask() []int {
	r := s.rng()
	return s.fresh(r, s.random(r))
}

// evolution keeps the newest points as a population, crosses the winners of two small contests and changes the child a little: old points
// die however good they were, so that one lucky measurement does not rule for ever.
//
// Source: Real et al. 2019, arXiv:1802.01548 (regularized evolution).
type evolution struct{ past }

const (
	population = 16
	contest    = 4
	crossing   = 0.5
)

// Ask proposes a child, or any point while the population is small.
func (s *evolution) Ask() []int {
	r := s.rng()
	if len(s.list) < population/2 {
		return s.fresh(r, s.random(r))
	}
	alive := s.list[max(0, len(s.list)-population):]
	parent := func() []int {
		var won *told
		for range contest {
			if t := &alive[r.IntN(len(alive))]; won == nil || t.reward > won.reward {
				won = t
			}
		}
		return won.x
	}
	child := slices.Clone(parent())
	if r.Float64() < crossing {
		for i, v := range parent() {
			if r.IntN(2) == 0 {
				child[i] = v
			}
		}
	}
	return s.fresh(r, s.mutate(r, child, 1))
}
