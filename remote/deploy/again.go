package deploy

import (
	"context"
	"math"
	"time"

	"fettle/internal/fail"
	"fettle/profiler"
	"fettle/profiler/trace"
)

// cooling is how long a measurement waits for a board that throttles before it measures again, how often it looks, and after how long without a
// lower temperature it takes the board for one that does not cool.
const (
	cooling      = time.Minute
	coolingLook  = 2 * time.Second
	coolingStall = 10 * time.Second
)

// rounds measures launches again in which the machine changed: it throttled, or its canary moved. missing counts them, run measures so many
// more and gives what all launches are now. They are chosen by conditions only, never by what the model took, so the result is not drawn to one side. What
// was disturbed stays in the trace with its samples. A round that brings no better launch ends it, and so does a board that stays hot: more of the same
// would cost time and say nothing.
func (c *Conn) rounds(ctx context.Context, o ProfileOptions, missing func() (n int, hot bool), run func(n int) error) error {
	before := -1
	for range o.Again {
		n, hot := missing()
		if n == 0 || n == before {
			return nil
		}
		before = n
		if hot {
			if cool, err := c.rest(ctx, o); err != nil || !cool {
				return err // the seal says so where it stayed hot
			}
		}
		if err := run(n); err != nil {
			return err
		}
	}
	return nil
}

// rest waits while the board says that it throttles, as long as it becomes cooler, and says whether it is cool.
func (c *Conn) rest(ctx context.Context, o ProfileOptions) (cool bool, err error) {
	patience := o.Cooling
	if patience == 0 {
		patience = cooling
	}
	begin := time.Now()
	coolest, since := math.Inf(1), begin
	for {
		f, err := c.Facts(ctx)
		if err != nil {
			return false, err
		}
		if f.Throttled == nil || !*f.Throttled {
			return true, nil
		}
		now := time.Now()
		if t := f.TemperatureC; t == nil || *t < coolest-0.5 { // where it is not known the whole patience is waited
			since = now
			if t != nil {
				coolest = *t
			}
		}
		if now.Sub(begin) >= patience || now.Sub(since) >= coolingStall {
			return false, nil
		}
		if o.Waiting != nil {
			o.Waiting("the board throttles: wait until it is cool")
		}
		select {
		case <-ctx.Done():
			return false, fail.From(ctx.Err())
		case <-time.After(min(coolingLook, patience)):
		}
	}
}

// Profile measures a model layer by layer. live sees each sample as it arrives and must return soon; it may be nil.
//
// A run is complete only when every sample of every launch came in order, with the end mark and the digest of all. A
// cut one gives an error and the trace of what arrived, without its end mark: an interrupted run, never a short one.
// With o.Again, launches that were disturbed are measured again, behind the others.
func (c *Conn) Profile(ctx context.Context, s Source, o ProfileOptions, live func(Sample)) (*trace.Trace, error) {
	t, err := c.profile(ctx, s, o, live)
	if err != nil {
		return t, c.because(err, "profile "+s.name)
	}
	err = c.rounds(ctx, o, func() (int, bool) { return profiler.Disturbed(o.Launches, t) }, func(n int) error {
		done, more := 2*o.Runs*len(t.Launches), o
		more.Launches = n
		u, err := c.profile(ctx, s, more, func(x Sample) {
			if live != nil {
				x.Launch, x.Done, x.Total = len(t.Launches)+x.Launch, done+x.Done, done+x.Total
				live(x)
			}
		})
		if err != nil {
			t.End = nil
			return err
		}
		if t, err = join(t, u); err == nil {
			t.Again += n
			t.Close()
		}
		return err
	})
	return t, c.because(err, "profile "+s.name)
}
