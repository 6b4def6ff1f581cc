package agent

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"fettle/remote/wire"
	"fettle/runtimes"
)

// costReads is how many readings in a row are timed.
const costReads = 64

// countCost says what counting itself takes: one reading of all counters, and an inference without counters, with them running, and with them read between all
// steps. The three take turns, so that a drift of the clock meets all. Nil where nothing can be counted; without steps that an engine marks the last is 0.
func countCost(ctx context.Context, s runtimes.Session, runs int) (*wire.CountCost, error) {
	c := openCounters()
	defer c.close()
	if len(c.names) == 0 {
		return nil, nil
	}
	reads := make([]float64, costReads)
	for i := range reads {
		start := time.Now()
		c.read()
		reads[i] = float64(time.Since(start).Nanoseconds())
	}
	marker, marks := s.(runtimes.Marker)
	var stepped *stepping
	if marks {
		stepped = newStepping(ctx, c, len(s.Steps()))
		defer marker.Mark(nil)
	}
	plain := func() error { return s.Exec(ctx, nil) }
	ways := []func() error{plain, plain}
	if marks {
		ways = append(ways, func() error { return stepped.once(s) })
	}
	times := make([][]float64, 3)
	for i := range runs {
		for k := range ways {
			k = (k + i) % len(ways)
			c.enable(k > 0)
			if marks && k == 2 {
				marker.Mark(&stepped.at)
			}
			start := time.Now()
			err := ways[k]()
			times[k] = append(times[k], float64(time.Since(start).Nanoseconds()))
			if marks && k == 2 {
				marker.Mark(nil)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return &wire.CountCost{Counters: len(c.names), ReadNS: centre(reads), PlainNS: centre(times[0]), CountedNS: centre(times[1]), SteppedNS: centre(times[2])}, nil
}

// enable lets the counters run, or halts them.
func (c *counters) enable(on bool) {
	how := uint(unix.PERF_EVENT_IOC_DISABLE)
	if on {
		how = unix.PERF_EVENT_IOC_ENABLE
	}
	for _, files := range c.files {
		for _, fd := range files {
			_ = unix.IoctlSetInt(fd, how, 0) // one that cannot be halted makes counting look cheaper than it is, by its own share
		}
	}
}

// centre is the median, 0 of nothing.
func centre(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(v))[len(v)/2]
}
