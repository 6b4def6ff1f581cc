// Package search owns choices among measured or predicted alternatives: which points of a cloud nobody beats, and the exact best
// choice of one option a group under bounds. It knows no models and no time of its own: numbers come in. Start reading at Front.
package search

import (
	"math"
	"sort"
)

// Point is an alternative: what it costs in each respect; less is better in all.
type Point struct {
	Name  string
	Costs []float64
}

// dominates reports whether a is nowhere worse than b and better somewhere.
func dominates(a, b []float64) bool {
	better := false
	for i := range a {
		if a[i] > b[i] {
			return false
		}
		better = better || a[i] < b[i]
	}
	return better
}

// Front gives the places of the points that no other one dominates, in the order of their first cost. Of equal points the first stays.
func Front(points []Point) []int {
	var out []int
	for i, p := range points {
		beaten := false
		for j, q := range points {
			same := !dominates(p.Costs, q.Costs) && !dominates(q.Costs, p.Costs) && equal(p.Costs, q.Costs)
			if j != i && (dominates(q.Costs, p.Costs) || same && j < i) {
				beaten = true
				break
			}
		}
		if !beaten {
			out = append(out, i)
		}
	}
	sort.SliceStable(out, func(a, b int) bool { return points[out[a]].Costs[0] < points[out[b]].Costs[0] })
	return out
}

func equal(a, b []float64) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Option is one way to treat a group.
type Option struct{ Cost, Size, Damage float64 }

// partial is the choices of some groups, as a chain back to the first.
type partial struct {
	Option
	pick int
	prev *partial
}

// Knapsack picks one option of each group so that costs and sizes stay within the bounds (Inf: none) and the sum of damages is least.
// It is exact: per prefix of groups it keeps the partial choices that no other one dominates. False: no choice meets the bounds.
func Knapsack(groups [][]Option, cost, size float64) ([]int, bool) {
	list := []*partial{{}}
	for k, g := range groups {
		restCost, restSize := 0.0, 0.0 // the least that the groups to come add
		for _, later := range groups[k+1:] {
			c, s := math.Inf(1), math.Inf(1)
			for _, o := range later {
				c, s = min(c, o.Cost), min(s, o.Size)
			}
			restCost, restSize = restCost+c, restSize+s
		}
		var next []*partial
		for _, p := range list {
			for i, o := range g {
				sum := Option{p.Cost + o.Cost, p.Size + o.Size, p.Damage + o.Damage}
				if sum.Cost+restCost <= cost && sum.Size+restSize <= size {
					next = append(next, &partial{sum, i, p})
				}
			}
		}
		list = undominated(next)
	}
	if len(list) == 0 {
		return nil, false
	}
	best := list[0]
	for _, p := range list {
		if p.Damage < best.Damage {
			best = p
		}
	}
	picks := make([]int, len(groups))
	for k := len(groups) - 1; k >= 0; k-- {
		picks[k], best = best.pick, best.prev
	}
	return picks, true
}

// undominated sorts by cost and keeps what is better in size or damage than all cheaper ones.
func undominated(l []*partial) []*partial {
	sort.SliceStable(l, func(i, j int) bool {
		a, b := l[i], l[j]
		if a.Cost != b.Cost {
			return a.Cost < b.Cost
		}
		if a.Damage != b.Damage {
			return a.Damage < b.Damage
		}
		return a.Size < b.Size
	})
	var out []*partial
	var stairs []*partial // of those kept: no one beats another in size and damage
	for _, p := range l {
		beaten := false
		for _, q := range stairs {
			if q.Size <= p.Size && q.Damage <= p.Damage {
				beaten = true
				break
			}
		}
		if beaten {
			continue
		}
		out = append(out, p)
		keep := stairs[:0:0]
		for _, q := range stairs {
			if !(p.Size <= q.Size && p.Damage <= q.Damage) {
				keep = append(keep, q)
			}
		}
		stairs = append(keep, p)
	}
	return out
}

// Chain picks one option of each group where the cost of neighbours depends on both: pair(k, i, j) is what option i of group k-1 and
// option j of group k cost together. Costs are counted in bins of bound/bins, rounded up, so that the bound is never passed.
func Chain(damage [][]float64, pair func(k, i, j int) float64, bound float64, bins int) ([]int, bool) {
	if len(damage) == 0 {
		return nil, true
	}
	unit := bound / float64(bins)
	type state struct {
		damage     float64
		prev, used int
	}
	at := make([][][]state, len(damage)) // group, option, bins used
	for k := range damage {
		at[k] = make([][]state, len(damage[k]))
		for j := range at[k] {
			at[k][j] = make([]state, bins+1)
			for b := range at[k][j] {
				at[k][j][b].damage = math.Inf(1)
			}
		}
	}
	for j, d := range damage[0] {
		at[0][j][0].damage = d
	}
	for k := 1; k < len(damage); k++ {
		for i := range damage[k-1] {
			for j, d := range damage[k] {
				cost := int(math.Ceil(pair(k, i, j)/unit - 1e-9))
				for b := 0; b+cost <= bins; b++ {
					if v := at[k-1][i][b].damage + d; v < at[k][j][b+cost].damage {
						at[k][j][b+cost] = state{v, i, b}
					}
				}
			}
		}
	}
	last, best, where := len(damage)-1, math.Inf(1), [2]int{}
	for j := range at[last] {
		for b, s := range at[last][j] {
			if s.damage < best {
				best, where = s.damage, [2]int{j, b}
			}
		}
	}
	if math.IsInf(best, 1) {
		return nil, false
	}
	picks := make([]int, len(damage))
	for k, j, b := last, where[0], where[1]; k >= 0; k-- {
		picks[k] = j
		s := at[k][j][b]
		j, b = s.prev, s.used
	}
	return picks, true
}
