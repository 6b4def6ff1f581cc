package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"fettle/kernels/conv"
	"fettle/kernels/cpu"
	"fettle/kernels/team"
)

// Score is what a kernel took for a probe on one processor.
type Score struct {
	Probe  string `json:"probe"`
	Kernel string `json:"kernel"`
	Ns     int64  `json:"ns"`              // the shortest of some runs
	Core   string `json:"core,omitempty"`  // of which cluster, where cores are unlike; the fastest cluster comes first
	Cores  int    `json:"cores,omitempty"` // how many it has
}

// probe is a shape that stands for others in a measurement.
type probe struct {
	name   string
	work   string // as ParseWork reads it
	int8   bool
	covers func(s conv.Shape) bool
}

// probes are the shapes that are timed, each small enough for a third of a millisecond on a Cortex-A72. A shape is judged by the first row that covers it;
// what none covers (depthwise, first layers) has one kernel to choose from.
func probes() []probe {
	square := func(s conv.Shape) bool {
		return s.KH == 3 && s.KW == 3 && s.SH*s.SW*s.DH*s.DW == 1 && s.Groups == 1
	}
	point := func(s conv.Shape) bool { return s.KH*s.KW == 1 && s.Groups == 1 }
	return []probe{
		{"3x3 of few channels", "conv:32,12,12,32,3", false, func(s conv.Shape) bool { return square(s) && s.C*s.M < 64*64 }},
		{"3x3 of many channels", "conv:64,8,8,64,3", false, func(s conv.Shape) bool { return square(s) }},
		{"1x1 of few channels", "conv:24,14,14,96,1", false, func(s conv.Shape) bool { return point(s) && s.C < 64 }},
		{"1x1 of many channels", "conv:192,7,7,64,1", false, point},
		{"8 bit 3x3", "conv:64,8,8,64,3", true, square},
		{"8 bit 1x1 of few channels", "conv:32,14,14,96,1", true, func(s conv.Shape) bool { return point(s) && s.C <= 32 }},
		{"8 bit 1x1 of many channels", "conv:192,7,7,64,1", true, point},
	}
}

// Measured tells whether plans for f may be chosen by scores: on arm64, where one program meets cores that differ more than the rules know. On
// amd64 the rules come from measurements of the very processors.
func Measured(f cpu.Features) bool { return f.Arch == "arm64" && f.Has(cpu.NEON) }

// scoreRuns is how often each kernel of a probe runs, beside the first time, which meets cold caches.
const scoreRuns = 5

// scorePatience is how many budgets a measurement may take on a processor where a single run of each kernel takes longer than its share.
const scorePatience = 15

// MeasureScores times the kernels that compete for each probe, on one core, or on one of each cluster. It takes about budget a cluster: kernels that
// take longer than their share of it run once, beside the first time. On a very slow processor (an emulated one) no probe is begun after
// scorePatience budgets: those left have no scores and are chosen by rule. clock is time.Now but for tests.
func MeasureScores(ctx context.Context, opt Options, clusters []cpu.Cluster, budget time.Duration, clock func() time.Time) ([]Score, error) {
	if len(clusters) < 2 {
		return measureCore(ctx, &opt, budget, clock)
	}
	allowed := team.Allowed()
	var out []Score
	for i, c := range clusters {
		at := slices.IndexFunc(c.CPUs, func(n int) bool { return allowed == nil || allowed(n) })
		if at < 0 {
			continue
		}
		var l []Score
		var err error
		team.On(c.CPUs[at], func() { l, err = measureCore(ctx, &opt, budget, clock) })
		if err != nil {
			return nil, err
		}
		name := c.Core
		if name == "" {
			name = fmt.Sprintf("cluster %d", i)
		}
		for _, s := range l {
			s.Core, s.Cores = fmt.Sprintf("%s, processor %d", name, c.CPUs[at]), len(c.CPUs)
			out = append(out, s)
		}
	}
	return out, nil
}

// measureCore is MeasureScores where the caller runs.
func measureCore(ctx context.Context, opt *Options, budget time.Duration, clock func() time.Time) ([]Score, error) {
	crew := team.New(1)
	defer crew.Close()
	var out []Score
	begin := clock()
	list := probes()
	share := budget / time.Duration(len(list)*2*(scoreRuns+1)) // of a run, where two kernels compete
	for _, p := range list {
		w, err := ParseWork(p.work, p.int8)
		if err != nil {
			return nil, err
		}
		rivals, err := w.rivals(opt)
		if err != nil {
			return nil, err
		}
		var part []Score
		for i, r := range rivals {
			if r.isa == cpu.Generic || i > 0 && r.name == rivals[i-1].name {
				continue
			}
			if clock().Sub(begin) > scorePatience*budget {
				return out, nil // half a probe compares nothing
			}
			run, err := r.bind(1)
			if err != nil {
				return nil, err
			}
			best, left := int64(-1), scoreRuns
			for i := 0; i <= left; i++ {
				at := clock()
				if err := crew.Run(ctx, run); err != nil {
					return nil, err
				}
				ns := clock().Sub(at)
				if i == 0 && ns > share {
					left = 1
				}
				if i > 0 && (best < 0 || int64(ns) < best) {
					best = int64(ns)
				}
			}
			part = append(part, Score{Probe: p.name, Kernel: r.name, Ns: max(1, best)})
		}
		if len(part) > 1 {
			out = append(out, part...)
		}
	}
	return out, nil
}

// scoreGain is what another kernel must gain over the one of the rules: less is noise.
const scoreGain = 0.95

// together is what a kernel takes for a probe where threads workers share it, the fastest cores first: their speeds add up. 0 where a
// cluster that works has no score of it.
func together(scores []Score, probe, kernel string, threads int) float64 {
	speed, left := 0.0, max(1, threads)
	var seen []string // clusters, fastest first
	for _, s := range scores {
		if !slices.Contains(seen, s.Core) {
			seen = append(seen, s.Core)
		}
	}
	for _, core := range seen {
		i := slices.IndexFunc(scores, func(s Score) bool { return s.Core == core && s.Probe == probe && s.Kernel == kernel })
		if left == 0 {
			break
		}
		if i < 0 {
			return 0
		}
		n := left
		if scores[i].Cores > 0 {
			n = min(left, scores[i].Cores)
		}
		speed += float64(n) / float64(max(1, scores[i].Ns))
		left -= n
	}
	return float64(max(1, threads)-left) / speed
}

// byScore is the place in names, best first by the rules, of the kernel that scores best for s, and why; 0 and "" where the rules stand.
func byScore(scores []Score, s conv.Shape, int8 bool, threads int, names []string) (int, string) {
	if len(scores) == 0 {
		return 0, ""
	}
	for _, p := range probes() {
		if p.int8 != int8 || !p.covers(s) {
			continue
		}
		rule := together(scores, p.name, names[0], threads)
		if rule == 0 {
			return 0, ""
		}
		best, least := 0, rule
		for i, n := range names[1:] {
			if t := together(scores, p.name, n, threads); t > 0 && t < scoreGain*rule && t < least {
				best, least = i+1, t
			}
		}
		if best == 0 {
			return 0, "measured: " + names[0] + " is the fastest of " + p.name
		}
		return best, fmt.Sprintf("measured: %.2f times as fast as %s for %s", rule/least, names[0], p.name)
	}
	return 0, ""
}
