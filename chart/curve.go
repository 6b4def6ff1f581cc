package chart

import (
	"math"

	"fettle/profiler"
)

// Curve is latency over time, with the clock and the temperature under it on the same seconds.
func Curve(c *profiler.Curve) *Chart { return Words(nil).Curve(c) }

// Curve is the chart over time with translated words.
func (w Words) Curve(c *profiler.Curve) *Chart {
	ch := &Chart{Kind: Lines, Title: w.T("%s over time", runName(profiler.RunRef{Model: c.Model, Target: c.Target})), Y: Axis{Label: w.T("time of one inference"), Zero: true}}
	ch.Subtitle = w.T("cold %s, warm %s, steady %s", Time(c.ColdNs), Time(c.WarmNs), Time(c.SteadyNs)) + " (" + Change(1+c.Slower) + "): " + w.T(c.Why)
	top, span := 0.0, 0.0
	for _, p := range c.Points {
		top, span = math.Max(top, p.P50Ns), math.Max(span, p.AfterS)
	}
	ch.Y.Unit, ch.Y.Scale = timeUnit(top)
	ch.X = Axis{Label: w.T("since the start"), Unit: "s", Zero: true}
	if span > 180 {
		ch.X.Unit, ch.X.Scale = "min", 60
	}
	panel := func(c *Chart, color Token, points []Point) { c.Series = []Series{{Color: color, Points: points}} }
	line := func(y func(p *profiler.CurvePoint) (float64, bool)) (points []Point, some bool) {
		for i := range c.Points {
			v, ok := y(&c.Points[i])
			p := Point{X: c.Points[i].AfterS, Y: v}
			if !ok {
				p.State = Absent
			}
			points, some = append(points, p), some || ok
		}
		return points, some
	}
	times, _ := line(func(p *profiler.CurvePoint) (float64, bool) { return p.P50Ns, p.P50Ns > 0 })
	panel(ch, "runA", times)
	for _, b := range []struct {
		axis  Axis
		color Token
		y     func(p *profiler.CurvePoint) (float64, bool)
	}{
		{Axis{Label: w.T("clock"), Unit: "MHz", Scale: 1e6, Zero: true}, "runB", func(p *profiler.CurvePoint) (float64, bool) {
			if p.Hz == nil {
				return 0, false
			}
			return float64(*p.Hz), true
		}},
		{Axis{Label: w.T("temperature"), Unit: "°C"}, "loss", func(p *profiler.CurvePoint) (float64, bool) {
			if p.TemperatureC == nil {
				return 0, false
			}
			return *p.TemperatureC, true
		}},
		{Axis{Label: w.T("power"), Unit: "W", Zero: true}, "floor", func(p *profiler.CurvePoint) (float64, bool) {
			if p.Watts == nil {
				return 0, false
			}
			return *p.Watts, true
		}},
	} {
		if points, some := line(b.y); some {
			below := &Chart{Kind: Lines, X: ch.X, Y: b.axis}
			panel(below, b.color, points)
			ch.Below = append(ch.Below, below)
		}
	}
	throttled, known := 0, false
	for _, p := range c.Points {
		known = known || p.Throttled != nil
		if p.Throttled != nil && *p.Throttled {
			throttled++
		}
	}
	ch.Notes = append(ch.Notes, w.T("n = %d launches", len(c.Points)))
	if known {
		ch.Notes[0] = w.T("n = %d launches, %d of them throttled", len(c.Points), throttled)
	}
	if c.Cut != "" {
		ch.Notes = append(ch.Notes, c.Cut)
	}
	for _, why := range c.Absent {
		ch.Notes = append(ch.Notes, w.T("absent: %s", why))
	}
	return ch
}
