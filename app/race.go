package app

import (
	"context"
	"runtime"
	"slices"
	"time"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// race lets two models run in turns on one thread of this computer, one run each, and gives the milliseconds of the tenth percentile of each: the
// least disturbed runs. in makes inputs that both run on.
func (a *App) race(in func(ctx context.Context, m *model.Model) ([]map[string]*model.Tensor, error)) optimizer.Race {
	return func(ctx context.Context, before, after *model.Model) (float64, float64, error) {
		x, err := in(ctx, before)
		if err != nil {
			return 0, 0, err
		}
		if len(x) == 0 {
			return 0, 0, fail.New(fail.Unsupported, "no inputs are known to measure with")
		}
		var sides [2]optimizer.Session
		for i, m := range []*model.Model{before, after} {
			if sides[i], err = (engineRunner{a}).Open(ctx, m); err != nil {
				return 0, 0, err
			}
			defer sides[i].Close()
		}
		return inTurns(func(side int) error {
			_, err := sides[side].Run(ctx, x[0])
			return err
		})
	}
}

// inTurns runs side 0 and side 1 in turns and gives the milliseconds of a run of each, of what the thread worked: while other programs have the
// processor nothing is counted, so a busy computer makes neither side slower.
func inTurns(run func(side int) error) (a, b float64, err error) {
	const least, most, budget = 8, 60, time.Second
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var times [2][]float64
	for begin, round := time.Now(), 0; round < least || round < most && time.Since(begin) < budget; round++ {
		for k := range times {
			side := (k + round) % 2 // neither is always the first
			start := threadClock()
			if err := run(side); err != nil {
				return 0, 0, err
			}
			if round >= 2 { // the first runs touch memory
				times[side] = append(times[side], float64(threadClock()-start)/1e6)
			}
		}
	}
	low := func(l []float64) float64 {
		slices.Sort(l)
		return l[len(l)/10]
	}
	return low(times[0]), low(times[1]), nil
}
