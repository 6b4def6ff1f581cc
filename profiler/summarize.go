package profiler

import (
	"fmt"
	"math"
	"slices"

	"fettle/internal/fail"
	"fettle/internal/stats"
	"fettle/profiler/trace"
)

const (
	rounds     = 400  // bootstrap resamples of the whole
	seed       = 1    // of the bootstrap: the same trace gives the same profile
	maxClosure = 0.02 // more than this between layers and total flags the table
	ticks      = 50   // a layer shorter than this many steps of the clock is not resolved
)

// Summarize turns a trace into a profile.
//
// Numbers come from the launches that nothing disturbed; where all were disturbed they are all used and the seal is red. A
// trace without its end mark gives a profile that is not Complete: the launches that arrived are listed, but there is
// no percentile and no layer, because a short run must not pass for a whole one.
// Error: fail.Corrupt where the numbers cannot be times, fail.Invalid where there are none.
func Summarize(t *trace.Trace) (*Profile, error) { return summarize(t, rounds, t.Complete()) }

func summarize(t *trace.Trace, rounds int, complete bool) (*Profile, error) {
	if err := check(t, complete); err != nil {
		return nil, fail.In(err, "summarize the run of "+t.Model.Name, fail.Where{Board: t.Target.Name})
	}
	p := &Profile{Schema: trace.Schema, Model: t.Model, Target: t.Target, Runtime: t.Runtime, Plan: t.Plan,
		Schedule: t.Schedule, Complete: complete, Layers: []Layer{}}
	if p.Target.ISA == nil {
		p.Target.ISA = []string{}
	}
	warm, cold := settle(t)
	p.Launches = judge(t, warm)
	p.Conditions = seal(t, p.Launches)
	p.Memory = memory(t)
	p.count(t)
	if t.Again > 0 {
		p.warn("%d launches were run again, because the machine changed during others", t.Again)
	}
	if cold > 0 {
		p.warn("%d of %d launches never settled: the first inferences are slower than the last; take more runs", cold, len(t.Launches))
	}
	if !p.Complete {
		p.Clean = Clean{N: t.Samples(), Launches: len(t.Launches), SamplesNs: []int64{}}
		p.warn("interrupted: %d samples of %d launches arrived, the end mark did not; run it again", p.Clean.N, p.Clean.Launches)
		return p, nil
	}
	p.clean(t, warm, rounds)
	p.layers(t, rounds)
	p.countLayers(t)
	p.countCost(t)
	return p, nil
}

func (p *Profile) warn(format string, args ...any) {
	p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...))
}

// check refuses what cannot be a measurement. Traces come from boards, so nothing in them is believed.
func check(t *trace.Trace, complete bool) error {
	if t.Schema > trace.Schema {
		return fail.New(fail.Unsupported, "the trace has form %d, this version reads up to %d", t.Schema, trace.Schema).Try("use the newer version of Fettle that took it")
	}
	if complete && t.Samples() == 0 {
		return fail.New(fail.Invalid, "the trace holds no sample").Try("profile with at least 20 runs")
	}
	for i := range t.Launches {
		l := &t.Launches[i]
		bad := func(what string) error {
			return fail.New(fail.Corrupt, "launch %d: %s", i+1, what).Try("run it again; if it happens again the agent's clock is broken")
		}
		for _, v := range [][]int64{l.Warmup, l.Clean, l.Whole, l.CanaryNs, {l.LoadNs, l.FirstNs}} {
			if negative(v) {
				return bad("a time is negative or longer than a day")
			}
		}
		if len(l.Whole) > 0 && len(l.Whole) != len(l.Instrumented) {
			return bad(fmt.Sprintf("%d whole times for %d instrumented inferences", len(l.Whole), len(l.Instrumented)))
		}
		for _, row := range l.Instrumented {
			if len(row) != len(t.Steps) {
				return bad(fmt.Sprintf("%d step times for %d steps", len(row), len(t.Steps)))
			}
			if negative(row) {
				return bad("a step time is negative or longer than a day")
			}
		}
	}
	return nil
}

func negative(v []int64) bool {
	for _, x := range v {
		if x < 0 || x > 86_400e9 {
			return true
		}
	}
	return false
}

// settle gives the samples of each launch after warm-up, and how many launches never settled. The change point is looked for in all
// inferences of the launch; what the recorder took for warm-up stays out even where the change point lies before its end.
func settle(t *trace.Trace) (warm [][]float64, cold int) {
	for i := range t.Launches {
		l := &t.Launches[i]
		all := slices.Concat(l.Warmup, l.Clean)
		k := trace.Settled(all)
		if k == len(all) { // too few to say, or never: the clean ones are all there is
			if len(all) >= 16 {
				cold++
			}
			k = 0
		}
		warm = append(warm, floats(l.Clean[max(0, k-len(l.Warmup)):]))
	}
	return warm, cold
}

func floats(ns []int64) []float64 {
	out := make([]float64, len(ns))
	for i, v := range ns {
		out[i] = float64(v)
	}
	return out
}

// clean summarises the whole inference.
func (p *Profile) clean(t *trace.Trace, warm [][]float64, rounds int) {
	var groups [][]float64
	var all, first, load []float64
	for i, l := range p.Launches {
		if l.Used {
			groups = append(groups, warm[i])
			all = append(all, warm[i]...)
		}
		first = append(first, float64(t.Launches[i].FirstNs))
		load = append(load, float64(t.Launches[i].LoadNs))
	}
	sorted := slices.Sorted(slices.Values(all))
	c := Clean{N: len(all), Launches: len(groups), MeanNs: stats.Mean(all), MinNs: stats.Sorted(sorted, 0),
		Outliers: outliers(sorted), FirstNs: stats.Median(first), LoadNs: stats.Median(load)}
	for _, v := range all {
		c.SamplesNs = append(c.SamplesNs, int64(v))
	}
	p50 := stats.Sorted(sorted, 0.5)
	c.P50Ns = &p50
	c.P90Ns, c.P99Ns = percentile(sorted, 0.9), percentile(sorted, 0.99)
	c.IntervalP50 = [2]float64{p50, p50}
	if rounds > 0 {
		iv := stats.Bootstrap(groups, stats.Median, max(100, min(rounds, 4_000_000/len(all))), seed)
		c.IntervalP50 = [2]float64{iv.Lo, iv.Hi}
	}
	if c.Launches == 1 {
		p.warn("one launch only: how much a new start of the program moves the time is not in the intervals; take 3 launches or more")
	}
	p.Clean = c
}

// Percentile is the p-quantile of v, or nil where fewer than ten values lie beyond it: a p99 of 50 samples is a guess.
func Percentile(v []float64, p float64) *float64 {
	return percentile(slices.Sorted(slices.Values(v)), p)
}

func percentile(sorted []float64, p float64) *float64 {
	if float64(len(sorted))*(1-p) < 10-1e-9 {
		return nil
	}
	q := stats.Sorted(sorted, p)
	return &q
}

// outliers counts the values more than three interquartile ranges outside the quartiles (Tukey's "far out").
func outliers(sorted []float64) int {
	q1, q3 := stats.Sorted(sorted, 0.25), stats.Sorted(sorted, 0.75)
	n := 0
	for _, x := range sorted {
		if x > q3+3*(q3-q1) || x < q1-3*(q3-q1) {
			n++
		}
	}
	return n
}

func memory(t *trace.Trace) trace.Memory {
	var m trace.Memory
	for i := range t.Launches {
		l := &t.Launches[i].Memory
		m.Weights, m.ArenaPlanned, m.RSSPeak = max(m.Weights, l.Weights), max(m.ArenaPlanned, l.ArenaPlanned), max(m.RSSPeak, l.RSSPeak)
	}
	return m
}

// median of positive values, and whether there is one.
func median(v []float64) (float64, bool) {
	m := stats.Median(v)
	return m, !math.IsNaN(m)
}
