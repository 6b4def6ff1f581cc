package search

import (
	"math"
	"slices"
	"testing"
)

// valley is a reward over 10 variables of 6 values: every variable has a best value of its own, neighbours pull at each other.
func valley(x []int) float64 {
	sum := 0.0
	for i, v := range x {
		d := float64(v) - float64((i*7+2)%6)
		sum -= d * d * (0.3 + float64(i%4))
		if i > 0 {
			sum -= 0.2 * math.Abs(float64(v-x[i-1]))
		}
	}
	return sum
}

func run(name string, seed int64, n int) (best float64, asked [][]int) {
	s := Space{6, 6, 6, 6, 6, 6, 6, 6, 6, 6}
	o, best := NewSampler(name, s, seed), math.Inf(-1)
	for range n {
		x := o.Ask()
		asked = append(asked, slices.Clone(x))
		v := valley(x)
		o.Tell(x, v)
		best = max(best, v)
	}
	return best, asked
}

// TestSamplersBeatChance: each beats random search of as many points in at least 4 of 5 seeds, and proposes nothing twice.
func TestSamplersBeatChance(t *testing.T) {
	const points = 60
	for _, name := range Samplers() {
		won := 0
		for seed := int64(1); seed <= 5; seed++ {
			best, asked := run(name, seed, points)
			chance, _ := run("random", seed+100, points)
			if best > chance {
				won++
			}
			for i := range asked {
				for j := range i {
					if slices.Equal(asked[i], asked[j]) {
						t.Fatalf("%s, seed %d: point %d is that of %d", name, seed, i, j)
					}
				}
			}
		}
		if name != "random" && won < 4 {
			t.Errorf("%s beats chance in %d of 5 seeds", name, won)
		}
	}
}

// TestSamplersGoOn: a new sampler that is told what another one was told proposes what that one would have; another seed does not.
func TestSamplersGoOn(t *testing.T) {
	for _, name := range Samplers() {
		_, whole := run(name, 3, 30)
		s := NewSampler(name, Space{6, 6, 6, 6, 6, 6, 6, 6, 6, 6}, 3)
		for _, x := range whole[:20] {
			s.Tell(x, valley(x))
		}
		for i := 20; i < 30; i++ {
			x := s.Ask()
			if !slices.Equal(x, whole[i]) {
				t.Fatalf("%s: point %d is %v, the search that was not stopped had %v", name, i, x, whole[i])
			}
			s.Tell(x, valley(x))
		}
		if _, other := run(name, 4, 30); slices.Equal(other[0], whole[0]) {
			t.Errorf("%s: another seed begins the same way", name)
		}
	}
}

// TestSamplersInSmallSpaces: a space that is used up, and one without a choice, are no trouble.
func TestSamplersInSmallSpaces(t *testing.T) {
	for _, name := range Samplers() {
		for _, s := range []Space{{2, 2}, {1, 1, 1}, {}} {
			o := NewSampler(name, s, 1)
			for range 12 {
				x := o.Ask()
				if len(x) != len(s) {
					t.Fatalf("%s: %v in a space of %v", name, x, s)
				}
				for i, v := range x {
					if v < 0 || v >= s[i] {
						t.Fatalf("%s: %v lies outside of %v", name, x, s)
					}
				}
				o.Tell(x, 1)
			}
		}
	}
	if NewSampler("ddpg", Space{2}, 1) != nil {
		t.Error("a sampler that is not there")
	}
}
