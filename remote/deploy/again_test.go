package deploy

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"fettle/profiler"
	"fettle/profiler/trace"
)

// flags is a board whose firmware says that it throttles, until cool is called.
func flags(t *testing.T) (c *Conn, cool func()) {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "sys/devices/platform/soc/soc:firmware")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	say := func(v string) {
		if err := os.WriteFile(filepath.Join(dir, "get_throttled"), []byte(v), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	say("50005\n") // throttled and too little voltage, now and before
	c, err := Local(t.Context(), "hot", LocalOptions{Home: t.TempDir(), Self: []string{os.Args[0]}, Env: append(os.Environ(), "FETTLE_ROOT="+root)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, func() { say("50000\n") }
}

// hot counts launches that were throttled.
func hot(t *trace.Trace) (n int) {
	for i := range t.Launches {
		if h := t.Launches[i].After.Throttled; h != nil && *h {
			n++
		}
	}
	return n
}

// TestAgain measures on a board that throttles: the launches are kept, are not used, and are measured again once it is cool. Each sample arrives
// once, in the launch that it belongs to.
func TestAgain(t *testing.T) {
	for _, paired := range []bool{false, true} {
		c, cool := flags(t)
		o := NewProfileOptions()
		o.Launches, o.Runs, o.Again = 2, 4, 3
		var waited atomic.Int32
		o.Waiting = func(string) { waited.Add(1); cool() }
		seen := map[[2]int]int{}
		live := func(side int, s Sample) {
			if s.Kind != "warmup" {
				seen[[2]int{side, s.Launch}]++
			}
		}
		var ts []*trace.Trace
		if paired {
			a, b, err := c.ProfilePaired(t.Context(), FromBundle(net(t, "a", 0)), FromBundle(net(t, "b", 1)), o, live)
			if err != nil {
				t.Fatal(err)
			}
			ts = append(ts, a, b)
		} else {
			a, err := c.Profile(t.Context(), FromBundle(net(t, "a", 0)), o, func(s Sample) { live(0, s) })
			if err != nil {
				t.Fatal(err)
			}
			ts = append(ts, a)
		}
		if waited.Load() != 1 {
			t.Errorf("paired %v: it waited %d times for a board that was hot once", paired, waited.Load())
		}
		for side, tr := range ts {
			// more than two may be added: this computer's own canary moves
			if !tr.Complete() || hot(tr) != 2 || tr.Again < 2 || len(tr.Launches) != 2+tr.Again {
				t.Errorf("paired %v: complete %v, %d launches, %d hot, %d again", paired, tr.Complete(), len(tr.Launches), hot(tr), tr.Again)
			}
			for i := range tr.Launches {
				if n := seen[[2]int{side, i}]; n != 2*o.Runs {
					t.Errorf("paired %v: %d samples of launch %d arrived", paired, n, i)
				}
			}
			p, err := profiler.Summarize(tr)
			if err != nil {
				t.Fatal(err)
			}
			for i, l := range p.Launches {
				if i < 2 && (!l.Taint || l.Why != "throttled") {
					t.Errorf("paired %v: launch %d is taken for a good one: %+v", paired, i, l)
				}
			}
		}
	}
}

// TestAgainControl does not measure again, and waits for a board that stays hot, which ends it: both are red.
func TestAgainControl(t *testing.T) {
	for _, again := range []int{0, 3} {
		const launches = 2
		c, _ := flags(t)
		o := NewProfileOptions()
		o.Launches, o.Runs, o.Again = 2, 4, again
		o.Cooling = 10 * time.Millisecond
		waited := 0
		o.Waiting = func(string) { waited++ }
		tr, err := c.Profile(t.Context(), FromBundle(net(t, "a", 0)), o, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := profiler.Summarize(tr)
		if err != nil {
			t.Fatal(err)
		}
		if len(tr.Launches) != launches || hot(tr) != launches || p.Conditions.Seal != profiler.Red {
			t.Errorf("again %d: %d launches, %d hot, seal %s", again, len(tr.Launches), hot(tr), p.Conditions.Seal)
		}
		if (waited > 0) != (again > 0) {
			t.Errorf("again %d: it waited %d times", again, waited)
		}
	}
}

// TestRounds: rounds go on while they bring launches that nothing disturbed, and end with the first that brings none.
func TestRounds(t *testing.T) {
	for _, x := range []struct {
		missing []int // before each round
		rounds  int
	}{{[]int{0}, 0}, {[]int{5, 2, 1, 1}, 3}, {[]int{5, 2, 0}, 2}, {[]int{5, 5, 3}, 1}} {
		done := 0
		c := &Conn{}
		err := c.rounds(t.Context(), ProfileOptions{Again: 3}, func() (int, bool) { return x.missing[done], false }, func(n int) error {
			if n != x.missing[done] {
				t.Errorf("%v: %d launches in round %d", x.missing, n, done)
			}
			done++
			return nil
		})
		if err != nil || done != x.rounds {
			t.Errorf("%v: %d rounds, %v", x.missing, done, err)
		}
	}
}
