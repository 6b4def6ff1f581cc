package deploy

import (
	"testing"

	"fettle/internal/fail"
	"fettle/profiler"
)

// TestPaired measures two versions in turns; the profiler takes them for pairs.
func TestPaired(t *testing.T) {
	c := local(t, t.TempDir())
	o := NewProfileOptions()
	o.Launches, o.Runs = 3, 4
	var turns []int
	last := Sample{}
	a, b, err := c.ProfilePaired(t.Context(), FromBundle(net(t, "a", 0)), FromBundle(net(t, "b", 1)), o, func(side int, s Sample) {
		if s.Done < last.Done || s.Total != 48 {
			t.Errorf("%+v came after %+v", s, last)
		}
		last = s
		if n := len(turns); n == 0 || turns[n-1] != 2*s.Launch+side {
			turns = append(turns, 2*s.Launch+side)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(turns) != 6 || last.Done != 48 {
		t.Errorf("turns %v, last %+v", turns, last)
	}
	for i, n := range turns {
		if n/2 != i/2 {
			t.Errorf("turns %v are not in pairs", turns)
		}
	}
	if !a.Complete() || !b.Complete() || a.Samples() != 12 || b.Samples() != 12 || a.Schedule == "" || a.Schedule != b.Schedule || a.Model == b.Model {
		t.Errorf("%d and %d samples, complete %v %v, schedule %q %q", a.Samples(), b.Samples(), a.Complete(), b.Complete(), a.Schedule, b.Schedule)
	}
	pa, err := profiler.Summarize(a)
	if err != nil {
		t.Fatal(err)
	}
	pb, err := profiler.Summarize(b)
	if err != nil {
		t.Fatal(err)
	}
	if pa.Schedule != pb.Schedule || len(pa.Launches) != 3 {
		t.Errorf("profiles: %q %q", pa.Schedule, pb.Schedule)
	}
	o.Launches = 0
	if _, _, err := c.ProfilePaired(t.Context(), Deployed("a"), Deployed("b"), o, nil); !fail.Is(err, fail.Usage) {
		t.Errorf("no pairs: %v", err)
	}
}
