package app

import "testing"

func TestLimits(t *testing.T) {
	l, err := parseGoal("p50<=2ms, p99<=3ms, size<=1MB, macs<=0.5, drop<=1")
	if err != nil || l != (limits{ms: 2, p99: 3, bytes: 1e6, macs: 0.5, drop: 1}) {
		t.Fatalf("%+v, %v", l, err)
	}
	base := Experiment{MACs: 100}
	for _, c := range []struct {
		name string
		x    Experiment
		want string
	}{
		{"all held", Experiment{Ms: 2, P99: 3, Bytes: 1e6, MACs: 50, Drop: 1}, ""},
		{"slow now and then", Experiment{Ms: 1, P99: 3.5, MACs: 50}, "3.5 ms at the 99th percentile where 3 are allowed"},
		{"slow and large", Experiment{Ms: 2.5, P99: 2.6, Bytes: 2e6, MACs: 50}, "2.5 ms where 2 are allowed; 2 MB where 1 are allowed"},
		{"too much work", Experiment{MACs: 60}, "0.60 of the multiply-adds where 0.50 are allowed"},
	} {
		if got := l.misses(c.x, base); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
