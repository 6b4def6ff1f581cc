package engine

import (
	"context"
	"fmt"
	"time"

	"fettle/kernels/conv"
	"fettle/kernels/cpu"
	"fettle/kernels/team"
)

// Score is what a kernel took for a probe on one processor.
type Score struct {
	Probe  string `json:"probe"`
	Kernel string `json:"kernel"`
	Ns     int64  `json:"ns"` // the shortest of some runs
}

// probe is a shape that stands for others in a measurement.
type probe struct {
	name   string
	work   string // as ParseWork reads it
	int8   bool
	covers func(s conv.Shape) bool
}

// probes are the shapes that are timed, each small enough for about a millisecond on a Cortex-A72. A shape is judged by the first row that covers it;
// what none covers (depthwise, first layers) has one kernel to choose from.
func probes() []probe {
	square := func(s conv.Shape) bool {
		return s.KH == 3 && s.KW == 3 && s.SH*s.SW*s.DH*s.DW == 1 && s.Groups == 1
	}
	point := func(s conv.Shape) bool { return s.KH*s.KW == 1 && s.Groups == 1 }
	return []probe{
		{"3x3 of few channels", "conv:32,28,28,32,3", false, func(s conv.Shape) bool { return square(s) && s.C*s.M < 64*64 }},
		{"3x3 of many channels", "conv:128,7,7,128,3", false, func(s conv.Shape) bool { return square(s) }},
		{"1x1 of few channels", "conv:24,14,14,96,1", false, func(s conv.Shape) bool { return point(s) && s.C < 64 }},
		{"1x1 of many channels", "conv:192,14,14,64,1", false, point},
		{"8 bit 3x3", "conv:64,14,14,64,3", true, square},
		{"8 bit 1x1 of few channels", "conv:32,14,14,96,1", true, func(s conv.Shape) bool { return point(s) && s.C <= 32 }},
		{"8 bit 1x1 of many channels", "conv:192,14,14,64,1", true, point},
	}
}

// Measured tells whether plans for f may be chosen by scores: on arm64, where one program meets cores that differ more than the rules know. On
// amd64 the rules come from measurements of the very processors.
func Measured(f cpu.Features) bool { return f.Arch == "arm64" && f.Has(cpu.NEON) }

// scoreRuns is how often each kernel of a probe runs, beside the first time, which meets cold caches.
const scoreRuns = 3

// MeasureScores times the kernels that compete for each probe, on one core. It ends within about budget: probes for which no time is left have no
// scores and are chosen by rule. clock is time.Now but for tests.
func MeasureScores(ctx context.Context, opt Options, budget time.Duration, clock func() time.Time) ([]Score, error) {
	crew := team.New(1)
	defer crew.Close()
	var out []Score
	begin := clock()
	for _, p := range probes() {
		w, err := ParseWork(p.work, p.int8)
		if err != nil {
			return nil, err
		}
		list, err := w.rivals(&opt)
		if err != nil {
			return nil, err
		}
		var part []Score
		for i, r := range list {
			if r.isa == cpu.Generic || i > 0 && r.name == list[i-1].name {
				continue
			}
			run, err := r.bind(1)
			if err != nil {
				return nil, err
			}
			best := int64(-1)
			for i := range scoreRuns + 1 {
				at := clock()
				if err := crew.Run(ctx, run); err != nil {
					return nil, err
				}
				if ns := int64(clock().Sub(at)); i > 0 && (best < 0 || ns < best) {
					best = ns
				}
			}
			part = append(part, Score{p.name, r.name, max(1, best)})
			if clock().Sub(begin) > budget {
				return out, nil // half a probe compares nothing
			}
		}
		if len(part) > 1 {
			out = append(out, part...)
		}
	}
	return out, nil
}

// scoreGain is what another kernel must gain over the one of the rules: less is noise.
const scoreGain = 0.95

// byScore is the place in names, best first by the rules, of the kernel that scores best for s, and why; 0 and "" where the rules stand.
func byScore(scores []Score, s conv.Shape, int8 bool, names []string) (int, string) {
	if len(scores) == 0 {
		return 0, ""
	}
	for _, p := range probes() {
		if p.int8 != int8 || !p.covers(s) {
			continue
		}
		ns := map[string]int64{}
		for _, sc := range scores {
			if sc.Probe == p.name {
				ns[sc.Kernel] = sc.Ns
			}
		}
		rule, best := ns[names[0]], 0
		if rule == 0 {
			return 0, ""
		}
		for i, n := range names {
			if t := ns[n]; t > 0 && float64(t) < scoreGain*float64(rule) && t < ns[names[best]] {
				best = i
			}
		}
		if best == 0 {
			return 0, "measured: " + names[0] + " is the fastest of " + p.name
		}
		return best, fmt.Sprintf("measured: %.2f times as fast as %s for %s", float64(rule)/float64(ns[names[best]]), names[0], p.name)
	}
	return 0, ""
}
