package profiler

import (
	"fmt"
	"math"

	"fettle/internal/stats"
	"fettle/profiler/trace"
)

const (
	canaryMove = 0.02 // a canary that moves more than this taints its launch
	quietLoad  = 0.1  // load a core below which a target counts as idle
	clockMove  = 0.02 // clocks that differ more than this did not stand still
)

// judge says of each launch what it gave and whether the machine held still for it: the canary within the launch, and
// against the fastest launch of the run, because a board that throttles before the launch has a steady, slow canary. Launches that took turns with
// those of another model are set against their partners instead (see alike): what both had is no difference between them.
func judge(t *trace.Trace, warm [][]float64) []LaunchResult {
	out := make([]LaunchResult, len(t.Launches))
	best := math.Inf(1)
	for i := range t.Launches {
		out[i].N = len(warm[i])
		if m, ok := median(warm[i]); ok {
			out[i].P50Ns = m
		}
		if m, ok := median(floats(t.Launches[i].CanaryNs)); ok {
			out[i].Canary = m
			best = min(best, m)
		}
	}
	clean, cool := 0, 0
	hot := func(i int) bool { return throttled(t.Launches[i].Before) || throttled(t.Launches[i].After) }
	for i := range out {
		r, l := &out[i], &t.Launches[i]
		switch within := drift(floats(l.CanaryNs)); {
		case hot(i):
			r.Taint, r.Why = true, "throttled"
		case within > canaryMove:
			r.Taint, r.Why = true, fmt.Sprintf("the canary moved %.1f %% within the launch", 100*within)
		case t.Schedule == "" && r.Canary > best*(1+canaryMove):
			r.Taint, r.Why = true, fmt.Sprintf("the canary was %.1f %% slower than in the fastest launch", 100*(r.Canary/best-1))
		}
		if !r.Taint && r.N > 0 {
			clean++
		}
		if !hot(i) && r.N > 0 {
			cool++
		}
	}
	for i := range out {
		switch {
		case clean > 0:
			out[i].Used = out[i].N > 0 && !out[i].Taint
		case cool > 0: // a canary that moved spoils less than a clock that was taken down
			out[i].Used = out[i].N > 0 && !hot(i)
		default:
			out[i].Used = out[i].N > 0
		}
	}
	return out
}

// alike reports of launches that took turns whether the machine was the same for both: their canaries differ by what those of the pairs mostly differ by. That
// need not be nothing, because a program may slow the canary behind it, by heat or by wide vectors. A pair without canaries says nothing.
func alike(a, b []LaunchResult) []bool {
	out := make([]bool, min(len(a), len(b)))
	var all []float64
	apart := func(i int) float64 { return a[i].Canary / b[i].Canary }
	for i := range out {
		if a[i].Canary > 0 && b[i].Canary > 0 {
			all = append(all, apart(i))
		}
	}
	mostly, _ := median(all)
	for i := range out {
		out[i] = true
		if a[i].Canary > 0 && b[i].Canary > 0 {
			x := apart(i) / mostly
			out[i] = max(x, 1/x) <= 1+canaryMove
		}
	}
	return out
}

// Disturbed says how many of the launches that were asked for are still missing, and whether the target throttled in the last one. Of traces that were taken
// in turns a launch counts where all of them were left alone and the machine was the same for all.
func Disturbed(asked int, traces ...*trace.Trace) (missing int, hot bool) {
	whole, sides := map[int]int{}, [][]LaunchResult{}
	for _, t := range traces {
		warm := make([][]float64, len(t.Launches))
		for i := range t.Launches {
			warm[i] = floats(t.Launches[i].Clean)
		}
		side := judge(t, warm)
		sides = append(sides, side)
		for i, r := range side {
			if !r.Taint {
				whole[i]++
			}
			if l := &t.Launches[i]; i == len(t.Launches)-1 && throttled(l.After) {
				hot = true
			}
		}
	}
	var same []bool
	if len(sides) == 2 {
		same = alike(sides[0], sides[1])
	}
	for i, n := range whole {
		if n == len(traces) && (i >= len(same) || same[i]) {
			asked--
		}
	}
	return max(0, asked), hot
}

// drift is how far the canary moved from the first half of the launch to the second. The fastest of each half counts: a canary that
// was interrupted says something about that moment, a slower machine makes all of them slow.
func drift(canary []float64) float64 {
	n := len(canary)
	if n < 2 {
		return 0
	}
	a, b := stats.Quantile(canary[:(n+1)/2], 0), stats.Quantile(canary[n/2:], 0)
	if lo := min(a, b); lo > 0 {
		return max(a, b)/lo - 1
	}
	return 0
}

func throttled(c trace.Conditions) bool { return c.Throttled != nil && *c.Throttled }

// seal gathers the conditions of the run, and one sentence with its fix for each thing that keeps the seal from green.
func seal(t *trace.Trace, launches []LaunchResult) Conditions {
	c := Conditions{Seal: Green, Why: []string{}, Hz: []int64{}, TemperatureC: []float64{}, CoreIDs: []int{}} // empty lists, never null, in JSON
	red := func(format string, args ...any) {
		c.Seal = Red
		c.Why = append(c.Why, fmt.Sprintf(format, args...))
	}
	amber := func(format string, args ...any) {
		if c.Seal == Green {
			c.Seal = Amber
		}
		c.Why = append(c.Why, fmt.Sprintf(format, args...))
	}
	if len(t.Launches) == 0 {
		red("nothing ran; run it again")
		return c
	}
	c.gather(t)
	tainted, used, hot, why := 0, 0, "", ""
	for i, r := range launches {
		l := &t.Launches[i]
		if r.Used {
			used++
			if throttled(l.Before) || throttled(l.After) {
				hot = "throttled"
				for _, s := range []string{l.Before.ThrottleWhy, l.After.ThrottleWhy} {
					if s != "" {
						hot = "throttled (" + s + ")"
					}
				}
			}
		}
		if r.Taint {
			tainted++
			why = r.Why
		}
	}
	switch {
	case hot != "":
		red("the target was %s while the samples were taken; let it cool down, check its fan and power supply, then run again", hot)
	case tainted > 0 && tainted == len(launches) && t.Again > 0:
		red("the machine changed in every launch, also in %d that were run again (%s): inconclusive; stop other work on the target and run again", t.Again, why)
	case tainted > 0 && tainted == len(launches):
		red("the machine changed in every launch (%s); stop other work on the target and run again", why)
	case tainted > 0 && tainted <= t.Again: // as many as were asked for are left
	case tainted > 0:
		amber("%d of %d launches were left out (%s); run again with nothing else on the target", tainted, len(launches), why)
	}
	if !hasCanary(t) {
		amber("no canary ran, so a change of the machine would not have been seen; update the agent")
	}
	c.clock(amber)
	switch {
	case c.Load == nil:
		amber("the load of the target is not known; make sure that nothing else runs on it")
	case *c.Load >= quietLoad:
		amber("other work was running: load %.2f a core where below %.1f counts as idle; stop it and run again", *c.Load, quietLoad)
	}
	if c.Throttled == nil {
		amber("the target does not say whether it throttles; watch its temperature")
	}
	return c
}

// gather takes what was the case at the end, but the load from before the first launch: afterwards it is our own.
func (c *Conditions) gather(t *trace.Trace) {
	first, last := &t.Launches[0], &t.Launches[len(t.Launches)-1]
	c.Load = first.Before.Load
	for _, s := range []trace.Conditions{last.Before, last.After} {
		if s.Governor != "" {
			c.Governor = s.Governor
		}
		if len(s.Hz) > 0 {
			c.Hz = s.Hz
		}
		if len(s.TemperatureC) > 0 {
			c.TemperatureC = s.TemperatureC
		}
		if len(s.CoreIDs) > 0 {
			c.CoreIDs = s.CoreIDs
		}
	}
	for i := range t.Launches {
		for _, s := range []trace.Conditions{t.Launches[i].Before, t.Launches[i].After} {
			if s.Throttled != nil && (c.Throttled == nil || *s.Throttled) {
				v := *s.Throttled
				c.Throttled = &v
			}
			for k := range s.Hz {
				if k < len(c.Hz) && c.Hz[k] > 0 && math.Abs(float64(s.Hz[k]-c.Hz[k])) > clockMove*float64(c.Hz[k]) {
					c.Moved = true
				}
			}
		}
	}
}

// clock adds the sentence about the clock.
func (c *Conditions) clock(amber func(string, ...any)) {
	switch c.Governor {
	case "performance", "userspace":
		if c.Moved {
			amber("the clock moved although the governor is %q; look at temperature and power supply", c.Governor)
		}
	case "":
		amber("the target does not say whether its clock is fixed; times may follow the clock")
	default:
		amber("the governor %q lets the clock move; set it to \"performance\" for the run", c.Governor)
	}
}

func hasCanary(t *trace.Trace) bool {
	for i := range t.Launches {
		if len(t.Launches[i].CanaryNs) < 2 {
			return false
		}
	}
	return true
}
