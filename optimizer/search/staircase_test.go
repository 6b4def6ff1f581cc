package search

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestStaircaseIsExact holds the choice at every bound against all choices, on 1,000 random instances.
func TestStaircaseIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	for round := range 1000 {
		groups := make([][]Option, 1+rng.IntN(5))
		top, floor := 0.0, 0.0
		for k := range groups {
			most, least := 0.0, math.Inf(1)
			for range 1 + rng.IntN(5) {
				o := Option{Cost: float64(rng.IntN(12)), Damage: rng.Float64()}
				groups[k] = append(groups[k], o)
				most, least = max(most, o.Cost), min(least, o.Cost)
			}
			top, floor = top+most, floor+least
		}
		if top == floor {
			continue
		}
		s := NewStaircase(groups, top, int(top-floor))
		bound := floor + float64(rng.IntN(int(top-floor)+3)) - 1
		best := math.Inf(1)
		var walk func(k int, cost, damage float64)
		walk = func(k int, cost, damage float64) {
			if k == len(groups) {
				if cost <= bound {
					best = min(best, damage)
				}
				return
			}
			for _, o := range groups[k] {
				walk(k+1, cost+o.Cost, damage+o.Damage)
			}
		}
		walk(0, 0, 0)
		picks, damage, ok := s.At(bound)
		if ok != !math.IsInf(best, 1) {
			t.Fatalf("round %d: a choice within %g: %v, all choices say %v", round, bound, ok, best)
		}
		if !ok {
			continue
		}
		cost, sum := 0.0, 0.0
		for k, i := range picks {
			cost, sum = cost+groups[k][i].Cost, sum+groups[k][i].Damage
		}
		if cost > bound || math.Abs(sum-damage) > 1e-12 || math.Abs(sum-best) > 1e-12 {
			t.Fatalf("round %d, bound %g: picks %v cost %g, damage %g (told %g), the best is %g", round, bound, picks, cost, sum, damage, best)
		}
	}
}

// TestStaircaseIsMonotoneAndQuick: a wider bound never does more damage, and a network of 150 groups is solved and looked up in 100 ms.
func TestStaircaseIsMonotoneAndQuick(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	groups, top := make([][]Option, 150), 0.0
	for k := range groups {
		cost, damage := rng.Float64()+0.1, 0.0
		top += cost
		for range 8 {
			groups[k] = append(groups[k], Option{Cost: cost, Damage: damage})
			cost, damage = cost*(0.7+0.2*rng.Float64()), damage+rng.Float64()
		}
	}
	quickest := time.Hour
	var s *Staircase
	for range 5 { // the machine may be busy
		begin := time.Now()
		s = NewStaircase(groups, top, 4000)
		s.At(top / 2)
		quickest = min(quickest, time.Since(begin))
	}
	if quickest > 100*time.Millisecond {
		t.Errorf("solved and looked up in %v", quickest)
	}
	last := math.Inf(1)
	for bound := s.Floor(); bound <= top; bound += (top - s.Floor()) / 300 {
		picks, damage, ok := s.At(bound)
		cost := 0.0
		for k, i := range picks {
			cost += groups[k][i].Cost
		}
		if !ok || cost > bound*(1+1e-9) || damage > last+0.2 { // what the rounding leaves over is not spent as well everywhere
			t.Fatalf("bound %g: %v, cost %g, damage %g after %g", bound, ok, cost, damage, last)
		}
		last = damage
	}
	if _, damage, ok := s.At(top * (1 + 1e-12)); !ok || math.Abs(damage) > 1e-9 {
		t.Errorf("the whole cost: %v, damage %g", ok, damage)
	}
	if _, _, ok := s.At(s.Floor() * 0.99); ok {
		t.Error("a choice below the floor")
	}
}
