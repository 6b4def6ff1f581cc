package profiler

import (
	"fmt"
	"testing"
)

// outcome counts what the verdicts said about pairs with a known truth.
type outcome struct{ trials, different, found, named, falseLayer int }

// gate runs pairs in a world: identical code, and code with 2 % more in one step.
func gate(t testing.TB, w world, trials, launches int) outcome {
	o := outcome{trials: trials}
	for i := range trials {
		if c := verdict(t, w, uint64(i), launches, 0, 0); c.Verdict != NoDifference {
			o.different++
		}
		k := []int{0, 2, 4}[i%3]
		c := verdict(t, w, uint64(i)+1e6, launches, k, 0.02)
		if c.Verdict == Slower {
			o.found++
			if c.Bars[0].Label == fmt.Sprint("step", k) && c.Bars[0].Verdict == Slower {
				o.named++
			}
		}
		for _, b := range c.Bars {
			if b.Verdict != NoDifference && b.Label != fmt.Sprint("step", k) {
				o.falseLayer++
				break
			}
		}
	}
	return o
}

func verdict(t testing.TB, w world, seed uint64, launches, k int, delay float64) *Comparison {
	ta, tb := w.pair(seed, launches, 20, k, delay)
	a, err := summarize(ta, 0)
	if err != nil {
		t.Fatalf("%s, seed %d: %v", w.name, seed, err)
	}
	b, err := summarize(tb, 0)
	if err != nil {
		t.Fatalf("%s, seed %d: %v", w.name, seed, err)
	}
	c, err := Compare(a, b)
	if err != nil {
		t.Fatalf("%s, seed %d: %v", w.name, seed, err)
	}
	return c
}

// TestGates is a small run of the gates: 24 pairs a world. With 5.5 % false positives allowed, five of 24 have a chance below 1 %,
// and the seeds are fixed, so a failure is a change of the code.
func TestGates(t *testing.T) {
	for _, w := range worlds() {
		t.Run(w.name, func(t *testing.T) {
			o := gate(t, w, 24, 20)
			if o.different > 4 {
				t.Errorf("identical code called different in %d of %d", o.different, o.trials)
			}
			if o.found < 18 {
				t.Errorf("2 %% found in %d of %d, want 75 %%", o.found, o.trials)
			}
			if float64(o.named) < 0.95*float64(o.found) {
				t.Errorf("the slower layer was named in %d of %d found", o.named, o.found)
			}
			if o.falseLayer > 4 {
				t.Errorf("another layer was named in %d of %d", o.falseLayer, o.trials)
			}
		})
	}
}

// BenchmarkGates is the full run: go test -run xxx -bench Gates -benchtime 1x ./profiler
func BenchmarkGates(b *testing.B) {
	for _, w := range worlds() {
		b.Run(w.name, func(b *testing.B) {
			for b.Loop() {
				o := gate(b, w, 1000, 20)
				n := float64(o.trials)
				b.ReportMetric(100*float64(o.different)/n, "%false")
				b.ReportMetric(100*float64(o.found)/n, "%found2")
				b.ReportMetric(100*float64(o.named)/float64(max(1, o.found)), "%named")
				b.ReportMetric(100*float64(o.falseLayer)/n, "%otherlayer")
			}
		})
	}
}
