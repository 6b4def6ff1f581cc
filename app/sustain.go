package app

import (
	"context"
	"fmt"
	"time"

	"fettle/internal/fail"
	"fettle/profiler"
	"fettle/remote/deploy"
)

// Sustained is a model's speed over time.
type Sustained = profiler.Curve

// sustainTries is how often in a row a launch may fail because the target cannot be reached.
const sustainTries = 3

// Sustain measures launch after launch for as long as span says, with the clock and the temperature of each. The board is this desk's all the while. With
// q.Every a launch is started each so long, and the target rests in between: a product that looks once in a while does not heat its board as one that never stops. A curve that is cut, also by the user, is given as far
// as it came, and says so.
func (a *App) Sustain(ctx context.Context, q ProfileRequest, span time.Duration) (*Sustained, error) {
	if span <= 0 || q.Every < 0 || q.Every > span || span > 24*time.Hour || q.Runs < 1 || q.Runs > maxRuns {
		return nil, fail.New(fail.Usage, "a curve over %v with %d runs a launch, one each %v", span, q.Runs, q.Every).Doing("measure over time").Try("give up to a day, for example 30m")
	}
	b, err := pack(q.Name, q.Model)
	if err != nil {
		return nil, err
	}
	opt, err := a.profileOptions(ctx, q.Model, q)
	if err != nil {
		return nil, err
	}
	opt.Launches = 1
	s := &Sustained{Model: q.Name, Target: q.Target}
	var reasons []string
	begin := time.Now()
	failed := 0
	err = a.measuring(ctx, q, func(c *deploy.Conn) error {
		f, err := c.Facts(ctx)
		if err != nil {
			return err
		}
		reasons = f.Absent
		for len(s.Points) < 2 || time.Since(begin) < span {
			t, err := c.Profile(ctx, deploy.FromBundle(b), opt, nil)
			if fail.Is(err, fail.Unreachable) && failed < sustainTries && ctx.Err() == nil {
				failed++ // a computer that was busy for a moment, or a cable: the next launch may go through
				continue
			}
			if err != nil {
				return err
			}
			failed = 0
			s.Add(&t.Launches[0], time.Since(begin).Seconds())
			q.Progress.Report(int64(time.Since(begin)/time.Second), int64(span/time.Second), "measure over time")
			if err := rest(ctx, time.Until(begin.Add(time.Duration(len(s.Points))*q.Every))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && len(s.Points) < 2 {
		return nil, err
	}
	if err != nil { // half an hour is not thrown away for its last launch
		s.Cut = fmt.Sprintf("it ended after %v of %v: %v", time.Since(begin).Round(time.Second), span, err)
	}
	s.Judge()
	s.Lacks(reasons)
	return s, nil
}

// rest waits; a time that is over is no time.
func rest(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return fail.From(ctx.Err())
	case <-time.After(d):
		return nil
	}
}
