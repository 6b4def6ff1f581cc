package profiler

import (
	"slices"

	"fettle/profiler/trace"
)

// CurvePoint is one launch of a curve over time.
type CurvePoint struct {
	AfterS       float64  `json:"after_s"` // seconds since the curve began
	P50Ns        float64  `json:"p50_ns"`
	Hz           *int64   `json:"hz"`            // slowest core at its slowest; nil: the target does not say
	TemperatureC *float64 `json:"temperature_c"` // at its hottest
	Throttled    *bool    `json:"throttled"`
	Watts        *float64 `json:"watts,omitempty"`
}

// Curve is how a model runs for as long as a product does. Cold, warm and steady are three numbers.
type Curve struct {
	Model    string       `json:"model"`
	Target   string       `json:"target"`
	ColdNs   float64      `json:"cold_ns"`   // the first inference
	WarmNs   float64      `json:"warm_ns"`   // median of the first launch, once its times were steady
	SteadyNs float64      `json:"steady_ns"` // median over the launches of the last third
	Slower   float64      `json:"slower"`    // steady over warm, less 1
	Points   []CurvePoint `json:"points"`
	Absent   []string     `json:"absent,omitempty"` // what no point has, with the reason that the target gives
	Why      string       `json:"why"`              // what the board showed where it became slower
	Cut      string       `json:"cut,omitempty"`    // why it ended early; "": it is whole
}

// Add is a launch with what the board was like at its worst, so many seconds after the curve began.
func (c *Curve) Add(l *trace.Launch, afterS float64) {
	if len(c.Points) == 0 {
		c.ColdNs = float64(l.FirstNs)
	}
	p := CurvePoint{AfterS: afterS, P50Ns: half(l.Clean), Throttled: l.After.Throttled, Watts: l.After.Watts}
	if len(l.After.Hz) > 0 {
		hz := slices.Min(l.After.Hz)
		p.Hz = &hz
	}
	if len(l.After.TemperatureC) > 0 {
		t := slices.Max(l.After.TemperatureC)
		p.TemperatureC = &t
	}
	c.Points = append(c.Points, p)
}

func half(ns []int64) float64 {
	if len(ns) == 0 {
		return 0
	}
	v := make([]float64, len(ns))
	for i, x := range ns {
		v[i] = float64(x)
	}
	return middle(v)
}

// Judge makes the three numbers and says what came with a change. It needs a point.
func (c *Curve) Judge() {
	c.WarmNs = c.Points[0].P50Ns
	last := c.Points[len(c.Points)-(len(c.Points)+2)/3:]
	var all []float64
	first, end := c.Points[0], last[len(last)-1]
	throttled := 0
	for _, p := range last {
		all = append(all, p.P50Ns)
		if p.Throttled != nil && *p.Throttled {
			throttled++
		}
	}
	c.SteadyNs = middle(all)
	if c.WarmNs > 0 {
		c.Slower = c.SteadyNs/c.WarmNs - 1
	}
	switch {
	case c.Slower < 0.02:
		c.Why = "it keeps its speed"
	case throttled > 0:
		c.Why = "the board throttled: cool it, or count with the steady number"
	case first.Hz != nil && end.Hz != nil && float64(*end.Hz) < 0.98*float64(*first.Hz):
		c.Why = "its clock went down: see the governor and the power supply"
	case first.Hz == nil && first.TemperatureC == nil:
		c.Why = "it became slower, and the target says neither clock nor temperature"
	default:
		c.Why = "it became slower while clock and throttling stayed: look for other work on the target"
	}
}

// Lacks keeps of a target's reasons those for what the points of a curve do not have.
func (c *Curve) Lacks(reasons []string) {
	has := map[string]bool{}
	for _, p := range c.Points {
		has["clock"] = has["clock"] || p.Hz != nil
		has["temperature"] = has["temperature"] || p.TemperatureC != nil
		has["throttling"] = has["throttling"] || p.Throttled != nil
		has["power"] = has["power"] || p.Watts != nil
	}
	c.Absent = nil
	for _, what := range []string{"clock", "temperature", "throttling", "power"} {
		if has[what] {
			continue
		}
		why := what + ": the target does not say"
		for _, r := range reasons {
			if len(r) > len(what) && r[:len(what)] == what && r[len(what)] == ':' {
				why = r
			}
		}
		c.Absent = append(c.Absent, why)
	}
}
