package trace

import (
	"math/rand/v2"
	"testing"
)

func TestCompleteNeedsTheEndMark(t *testing.T) {
	tr := &Trace{Schema: Schema, Launches: []Launch{{Clean: []int64{1, 2, 3}}}}
	if tr.Complete() {
		t.Error("complete without an end mark")
	}
	tr.Close()
	if !tr.Complete() {
		t.Error("not complete with its end mark")
	}
	tr.Launches[0].Clean = tr.Launches[0].Clean[:2] // a short run must not pass for a whole one
	if tr.Complete() {
		t.Error("complete after losing a sample")
	}
	tr.Close()
	tr.Launches[0].Clean[0] = 9
	if tr.Complete() {
		t.Error("complete with a changed sample")
	}
}

func TestSettled(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := func(n int, at, spread float64) []int64 {
		var out []int64
		for range n {
			out = append(out, int64(at+spread*rng.NormFloat64()))
		}
		return out
	}
	for _, c := range []struct {
		name   string
		ns     []int64
		lo, hi int
	}{
		{"flat", noise(40, 1e6, 5e3), 0, 2},
		{"ten slow ones first", append(noise(10, 2e6, 5e3), noise(40, 1e6, 5e3)...), 8, 14},
		{"one slow one first", append([]int64{5e6}, noise(40, 1e6, 5e3)...), 1, 3},
		{"too few", noise(4, 1e6, 1e3), 4, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			if k := Settled(c.ns); k < c.lo || k > c.hi {
				t.Errorf("settled at %d, want %d to %d", k, c.lo, c.hi)
			}
		})
	}
}
