package profiler

import (
	"fmt"
	"math"
	"slices"
)

// conditions says what differed between the runs besides the model, one sentence each.
func conditions(a, b *Profile) []string {
	out := []string{}
	differ := func(what, x, y string) {
		if x != y {
			out = append(out, fmt.Sprintf("%s: %s in A, %s in B", what, known(x), known(y)))
		}
	}
	differ("target", a.Target.Name, b.Target.Name)
	differ("system on chip", a.Target.SoC, b.Target.SoC)
	differ("processor", a.Target.CPU, b.Target.CPU)
	differ("kernel", a.Target.Kernel, b.Target.Kernel)
	differ("agent", short(a.Target.AgentSHA), short(b.Target.AgentSHA))
	differ("runtime", a.Runtime.Name+" "+a.Runtime.Version, b.Runtime.Name+" "+b.Runtime.Version)
	differ("threads", fmt.Sprint(a.Plan.Threads), fmt.Sprint(b.Plan.Threads))
	x, y := a.Conditions, b.Conditions
	differ("governor", x.Governor, y.Governor)
	if p, q := fastest(x), fastest(y); p > 0 && q > 0 && math.Abs(float64(p-q)) > clockMove*float64(p) {
		out = append(out, fmt.Sprintf("clock: %d MHz in A, %d MHz in B", p/1e6, q/1e6))
	}
	if p, q := hottest(x), hottest(y); !math.IsNaN(p) && !math.IsNaN(q) && math.Abs(p-q) > 10 {
		out = append(out, fmt.Sprintf("temperature: %.0f °C in A, %.0f °C in B", p, q))
	}
	for _, s := range []struct {
		name string
		c    Conditions
	}{{"A", x}, {"B", y}} {
		if s.c.Seal == Red && len(s.c.Why) > 0 {
			out = append(out, fmt.Sprintf("run %s has a red seal: %s", s.name, s.c.Why[0]))
		}
	}
	return out
}

func known(s string) string {
	if s == "" {
		return "not known"
	}
	return s
}

func short(sha string) string { return sha[:min(12, len(sha))] }

func hottest(c Conditions) float64 {
	if len(c.TemperatureC) == 0 {
		return math.NaN()
	}
	return slices.Max(c.TemperatureC)
}

func fastest(c Conditions) int64 {
	hz := int64(0)
	for _, v := range c.Hz {
		hz = max(hz, v)
	}
	return hz
}
