package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"fettle/internal/fail"
	"fettle/profiler/trace"
	"fettle/remote/deploy"
)

// SustainPoint is one launch of a curve over time.
type SustainPoint struct {
	AfterS       float64  `json:"after_s"` // seconds since the curve began
	P50Ns        float64  `json:"p50_ns"`
	Hz           *int64   `json:"hz"`            // slowest core at its slowest; nil: the target does not say
	TemperatureC *float64 `json:"temperature_c"` // at its hottest
	Throttled    *bool    `json:"throttled"`
	Watts        *float64 `json:"watts,omitempty"`
}

// Sustained is how a model runs for as long as a product does. Cold, warm and steady are three numbers.
type Sustained struct {
	Target   string         `json:"target"`
	ColdNs   float64        `json:"cold_ns"`   // the first inference
	WarmNs   float64        `json:"warm_ns"`   // median of the first launch, once its times were steady
	SteadyNs float64        `json:"steady_ns"` // median over the launches of the last third
	Slower   float64        `json:"slower"`    // steady over warm, less 1
	Points   []SustainPoint `json:"points"`
	Why      string         `json:"why"`           // what the board showed where it became slower
	Cut      string         `json:"cut,omitempty"` // why it ended early; "": it is whole
}

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
	s := &Sustained{Target: q.Target}
	begin := time.Now()
	failed := 0
	err = a.measuring(ctx, q, func(c *deploy.Conn) error {
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
			l := &t.Launches[0]
			if len(s.Points) == 0 {
				s.ColdNs = float64(l.FirstNs)
			}
			s.Points = append(s.Points, point(l, time.Since(begin)))
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
	s.judge()
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

// point is a launch with what the board was like at its worst.
func point(l *trace.Launch, after time.Duration) SustainPoint {
	p := SustainPoint{AfterS: after.Seconds(), P50Ns: medianOf(l.Clean), Throttled: l.After.Throttled, Watts: l.After.Watts}
	if len(l.After.Hz) > 0 {
		hz := slices.Min(l.After.Hz)
		p.Hz = &hz
	}
	if len(l.After.TemperatureC) > 0 {
		t := slices.Max(l.After.TemperatureC)
		p.TemperatureC = &t
	}
	return p
}

func medianOf(ns []int64) float64 {
	v := slices.Sorted(slices.Values(ns))
	if len(v) == 0 {
		return 0
	}
	return (float64(v[(len(v)-1)/2]) + float64(v[len(v)/2])) / 2
}

// judge makes the three numbers and says what came with a change.
func (s *Sustained) judge() {
	s.WarmNs = s.Points[0].P50Ns
	last := s.Points[len(s.Points)-(len(s.Points)+2)/3:]
	var all []int64
	first, end := s.Points[0], last[len(last)-1]
	throttled := 0
	for _, p := range last {
		all = append(all, int64(p.P50Ns))
		if p.Throttled != nil && *p.Throttled {
			throttled++
		}
	}
	s.SteadyNs = medianOf(all)
	if s.WarmNs > 0 {
		s.Slower = s.SteadyNs/s.WarmNs - 1
	}
	switch {
	case s.Slower < 0.02:
		s.Why = "it keeps its speed"
	case throttled > 0:
		s.Why = "the board throttled: cool it, or count with the steady number"
	case first.Hz != nil && end.Hz != nil && float64(*end.Hz) < 0.98*float64(*first.Hz):
		s.Why = "its clock went down: see the governor and the power supply"
	case first.Hz == nil && first.TemperatureC == nil:
		s.Why = "it became slower, and the target says neither clock nor temperature"
	default:
		s.Why = "it became slower while clock and throttling stayed: look for other work on the target"
	}
}
