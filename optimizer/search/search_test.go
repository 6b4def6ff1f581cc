package search

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestKnapsack holds the choice to brute force on 1,000 small instances.
func TestKnapsack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for round := range 1000 {
		groups := make([][]Option, 1+r.IntN(5))
		for k := range groups {
			for range 1 + r.IntN(5) {
				groups[k] = append(groups[k], Option{float64(r.IntN(20)), float64(r.IntN(20)), float64(r.IntN(50))})
			}
		}
		cost, size := float64(r.IntN(60)), math.Inf(1)
		if round%2 == 0 {
			size = float64(r.IntN(60))
		}
		best := math.Inf(1)
		var walk func(k int, c, s, d float64)
		walk = func(k int, c, s, d float64) {
			if c > cost || s > size {
				return
			}
			if k == len(groups) {
				best = min(best, d)
				return
			}
			for _, o := range groups[k] {
				walk(k+1, c+o.Cost, s+o.Size, d+o.Damage)
			}
		}
		walk(0, 0, 0, 0)
		picks, ok := Knapsack(groups, cost, size)
		if ok != !math.IsInf(best, 1) {
			t.Fatalf("round %d: found %v, brute force %g", round, ok, best)
		}
		if !ok {
			continue
		}
		var c, s, d float64
		for k, i := range picks {
			c, s, d = c+groups[k][i].Cost, s+groups[k][i].Size, d+groups[k][i].Damage
		}
		if d != best || c > cost || s > size {
			t.Fatalf("round %d: damage %g with cost %g of %g, brute force %g", round, d, c, cost, best)
		}
	}
}

// TestChain holds the choice along a chain to brute force; costs are whole bins.
func TestChain(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for round := range 300 {
		n := 1 + r.IntN(5)
		damage, table := make([][]float64, n), map[string]float64{}
		for k := range damage {
			for range 1 + r.IntN(4) {
				damage[k] = append(damage[k], float64(r.IntN(40)))
			}
		}
		pair := func(k, i, j int) float64 {
			key := fmt.Sprint(k, i, j)
			if _, ok := table[key]; !ok {
				table[key] = float64(r.IntN(10))
			}
			return table[key]
		}
		const bound = 20
		best := math.Inf(1)
		var walk func(k, last int, c, d float64)
		walk = func(k, last int, c, d float64) {
			if c > bound {
				return
			}
			if k == n {
				best = min(best, d)
				return
			}
			for j, v := range damage[k] {
				add := 0.0
				if k > 0 {
					add = pair(k, last, j)
				}
				walk(k+1, j, c+add, d+v)
			}
		}
		walk(0, 0, 0, 0)
		picks, ok := Chain(damage, pair, bound, bound)
		sum := 0.0
		for k, j := range picks {
			sum += damage[k][j]
		}
		if ok != !math.IsInf(best, 1) || ok && sum != best {
			t.Fatalf("round %d: %v with damage %g, brute force %g", round, picks, sum, best)
		}
	}
}

// TestFront: nobody in the front is beaten, everybody else is.
func TestFront(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 100 {
		var l []Point
		for range 30 {
			l = append(l, Point{Costs: []float64{float64(r.IntN(9)), float64(r.IntN(9)), float64(r.IntN(9))}})
		}
		in := map[int]bool{}
		for _, i := range Front(l) {
			in[i] = true
		}
		for i := range l {
			beaten := false
			for j := range l {
				beaten = beaten || dominates(l[j].Costs, l[i].Costs) || j < i && equal(l[i].Costs, l[j].Costs)
			}
			if beaten == in[i] {
				t.Fatalf("point %d: beaten %v, in the front %v", i, beaten, in[i])
			}
		}
	}
}
