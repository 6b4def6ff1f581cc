package agent

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"fettle/runtimes"
)

// marked is an engine of three steps that take one, four and two parts of work.
type marked struct {
	runtimes.Session
	at *int64
}

var parts = []int{1, 4, 2}

func (m *marked) Steps() []runtimes.Step { return make([]runtimes.Step, len(parts)) }
func (m *marked) Mark(at *int64)         { m.at = at }

func (m *marked) Exec(ctx context.Context, _ []int64) error {
	x := 1.0
	for i, n := range parts {
		if m.at != nil {
			atomic.StoreInt64(m.at, int64(i))
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		for k := range n * 2_000_000 {
			x += float64(k) * x * 1e-9
		}
	}
	if x == 0 {
		return context.Canceled
	}
	return ctx.Err()
}

// unmarked hides that an engine can say where it is.
type unmarked struct{ runtimes.Session }

// TestCountSteps puts the counts where the work is: the second step takes most, and all together what the whole takes. An engine that does
// not say where it is has none.
func TestCountSteps(t *testing.T) {
	m := &marked{}
	got, err := countSteps(t.Context(), m, 5)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := countWork(5, func() error { return m.Exec(t.Context(), nil) })
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range whole.Values {
		if len(got[name]) != len(parts) {
			t.Fatalf("%s: %v", name, got[name])
		}
		if name != "cpu-time" && name != "cycles" && name != "instructions" {
			continue
		}
		sum := 0.0
		for _, x := range got[name] {
			sum += x
		}
		if s := got[name]; s[1] < 1.4*s[2] || s[2] < 1.3*s[0] || s[0] <= 0 || sum < 0.6*v || sum > 1.6*v {
			t.Errorf("%s: %v of %.3g in all, the work is %v", name, s, v, parts)
		}
	}
	if len(whole.Values) == 0 {
		t.Logf("nothing can be counted here: %q", whole.Absent)
	}
	if got, err := countSteps(t.Context(), unmarked{m}, 1); got != nil || err != nil {
		t.Errorf("without marks: %v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := countSteps(ctx, m, 1); err == nil {
		t.Error("it was called off and went on")
	}
}

// TestCountCost: the kernel counts time everywhere, so reading takes some; each way ran; an engine that does not say where it is has no third way, and the error
// of the work comes out. The control is that halted counters count nothing.
func TestCountCost(t *testing.T) {
	k, err := countCost(t.Context(), &marked{}, 3)
	if err != nil || k == nil || k.Counters < 1 || k.ReadNS <= 0 || k.PlainNS <= 0 || k.CountedNS <= 0 || k.SteppedNS <= 0 {
		t.Errorf("%+v, %v", k, err)
	}
	if k, err = countCost(t.Context(), unmarked{&marked{}}, 3); err != nil || k.SteppedNS != 0 || k.PlainNS <= 0 {
		t.Errorf("unmarked: %+v, %v", k, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := countCost(ctx, &marked{}, 3); err == nil {
		t.Error("the error of the work is lost")
	}
	c := openCounters()
	defer c.close()
	at := slices.Index(c.names, "cpu-time")
	c.enable(false)
	before := c.read()
	_ = (&marked{}).Exec(t.Context(), nil)
	if after := c.read(); after[at] != before[at] {
		t.Errorf("halted, it counted %g ns", after[at]-before[at])
	}
	c.enable(true)
	_ = (&marked{}).Exec(t.Context(), nil)
	if after := c.read(); after[at] <= before[at] {
		t.Error("let run, it counted nothing")
	}
}
