package search

import "math"

// Staircase is the best choice of one option a group for every bound at once: a slider looks it up. Costs are counted in bins, rounded up, so
// that no bound is ever passed; with options whose costs are whole bins it is exact.
type Staircase struct {
	unit, floor float64
	groups      [][]Option
	damage      []float64 // of the best choice, by bins used at most
	picks       [][]uint8 // by group and bins
	used        [][]int   // of a group and bins: bins of the option picked
}

// NewStaircase solves groups of at most 255 options for bounds from the least possible cost up to top, in so many bins.
func NewStaircase(groups [][]Option, top float64, bins int) *Staircase {
	s := &Staircase{groups: groups}
	least := make([]float64, len(groups))
	for k, g := range groups {
		least[k] = math.Inf(1)
		for _, o := range g {
			least[k] = min(least[k], o.Cost)
		}
		s.floor += least[k]
	}
	s.unit = max((top-s.floor)/float64(bins), 1e-300)
	s.damage = make([]float64, bins+1)
	for k, g := range groups {
		next, pick, used := make([]float64, bins+1), make([]uint8, bins+1), make([]int, bins+1)
		costs := make([]int, len(g))
		for j, o := range g {
			costs[j] = int(math.Min(math.Ceil((o.Cost-least[k])/s.unit-1e-9), float64(bins+1)))
		}
		for b := range next {
			next[b] = math.Inf(1)
			for j, o := range g {
				if c := costs[j]; c <= b {
					if v := s.damage[b-c] + o.Damage; v < next[b] {
						next[b], pick[b], used[b] = v, uint8(j), c
					}
				}
			}
		}
		s.damage, s.picks, s.used = next, append(s.picks, pick), append(s.used, used)
	}
	return s
}

// Floor is the least cost of all choices.
func (s *Staircase) Floor() float64 { return s.floor }

// At is the choice of least damage whose cost stays within bound, false where the bound is below the floor.
func (s *Staircase) At(bound float64) ([]int, float64, bool) {
	if bound < s.floor-1e-9*math.Abs(s.floor) {
		return nil, 0, false
	}
	b := int(math.Min(math.Floor((bound-s.floor)/s.unit+1e-9), float64(len(s.damage)-1)))
	b = max(b, 0)
	picks := make([]int, len(s.groups))
	for k := len(s.groups) - 1; k >= 0; k-- {
		picks[k] = int(s.picks[k][b])
		b -= s.used[k][b]
	}
	return picks, s.spend(picks, bound), true
}

// spend takes better options for what the rounding of costs left over, those first that save most damage for their cost, and gives the damage.
func (s *Staircase) spend(picks []int, bound float64) float64 {
	cost, damage := 0.0, 0.0
	for k, i := range picks {
		cost, damage = cost+s.groups[k][i].Cost, damage+s.groups[k][i].Damage
	}
	for {
		group, option, best := -1, 0, 0.0
		for k, g := range s.groups {
			now := g[picks[k]]
			for j, o := range g {
				if o.Damage < now.Damage && cost+o.Cost-now.Cost <= bound {
					if rate := (now.Damage - o.Damage) / max(o.Cost-now.Cost, 1e-12*bound); rate > best {
						group, option, best = k, j, rate
					}
				}
			}
		}
		if group < 0 {
			return damage
		}
		old, o := s.groups[group][picks[group]], s.groups[group][option]
		cost, damage, picks[group] = cost+o.Cost-old.Cost, damage+o.Damage-old.Damage, option
	}
}
