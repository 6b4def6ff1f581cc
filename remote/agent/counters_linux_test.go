package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestCounters counts a piece of work: what the kernel counts is there or has a reason, and twice the work is twice the time.
func TestCounters(t *testing.T) {
	spin := func(n int) func() error {
		return func() error {
			x := 1.0
			for i := range n * 2_000_000 {
				x += float64(i) * x * 1e-9
			}
			if x == 0 {
				return errors.New("it cannot be")
			}
			return nil
		}
	}
	one, err := countWork(5, spin(1))
	if err != nil {
		t.Fatal(err)
	}
	two, err := countWork(5, spin(2))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events() {
		v, have := one.Values[e.name]
		reason := strings.Contains(strings.Join(one.Absent, "\n"), e.name+": ")
		if have == reason {
			t.Errorf("%s: value %v (%v), reasons %q", e.name, v, have, one.Absent)
		}
		if e.name != "cpu-time" && e.name != "cycles" && e.name != "instructions" || !have {
			continue
		}
		if ratio := two.Values[e.name] / v; v <= 0 || ratio < 1.5 || ratio > 2.6 {
			t.Errorf("%s: %.3g of one, %.3g of twice the work", e.name, v, two.Values[e.name])
		}
	}
	// control: what sleeps takes no time of the processor
	if idle, err := countWork(1, func() error { time.Sleep(20 * time.Millisecond); return nil }); err != nil || idle.Values["cpu-time"] > one.Values["cpu-time"] && one.Values["cpu-time"] > 1e7 {
		t.Errorf("asleep: %+v, %v", idle, err)
	}
	if _, err := countWork(1, func() error { return errors.New("no") }); err == nil {
		t.Error("the error of the work is lost")
	}
	for _, e := range []error{unix.EACCES, unix.ENOENT, unix.ENOSYS, unix.EMFILE, unix.EIO} {
		if whyNoCounter(e) == "" {
			t.Errorf("%v has no reason", e)
		}
	}
	t.Logf("%v; absent: %q", one.Values, one.Absent)
}
