package profiler

import "testing"

// verdict compares two programs that run interleaved in a world; step k of the second is longer by the share delay of the whole.
func verdict(t testing.TB, w world, seed uint64, launches, k int, delay float64) *Comparison {
	ta, tb := w.inTurns(seed, launches, 20, k, delay)
	a, err := summarize(ta, 0, true)
	if err != nil {
		t.Fatalf("%s, seed %d: %v", w.name, seed, err)
	}
	b, err := summarize(tb, 0, true)
	if err != nil {
		t.Fatalf("%s, seed %d: %v", w.name, seed, err)
	}
	c, err := Compare(a, b)
	if err != nil {
		t.Fatalf("%s, seed %d: %v", w.name, seed, err)
	}
	return c
}
