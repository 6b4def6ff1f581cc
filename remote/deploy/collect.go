package deploy

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"fettle/internal/fail"
	"fettle/profiler/trace"
	"fettle/remote/board"
	"fettle/remote/wire"
)

// maxWarmup bounds what is kept of a warm-up.
const maxWarmup = 200_000

// collector makes a trace of the events of one measurement. It believes nothing: numbers that cannot be are refused
// where they arrive.
type collector struct {
	t     trace.Trace
	o     ProfileOptions
	cores int
	seq   int64
	done  int
	spent int64 // nanoseconds of all inferences
	block int   // blocks of the launch under way
}

func newCollector(name string, m trace.Model, f *board.Facts, o ProfileOptions) *collector {
	c := &collector{o: o, cores: max(1, len(f.Cores))}
	c.t = trace.Trace{Schema: trace.Schema, Model: m,
		Target: trace.Target{Name: name, SoC: f.SoC, Arch: f.Arch, ISA: f.ISA, Cores: len(f.Cores), OS: f.OS, Kernel: f.Kernel, MemoryB: f.MemoryBytes, AgentSHA: f.Agent.SHA256},
		Plan:   trace.Plan{Threads: max(1, o.Threads)}, Steps: []trace.Step{}, Launches: []trace.Launch{}}
	var parts []string
	for _, core := range f.Cores {
		c.t.Target.MaxHz = max(c.t.Target.MaxHz, core.MaxHz)
		if !slices.Contains(parts, core.Part) {
			parts = append(parts, core.Part)
		}
	}
	c.t.Target.CPU = strings.Join(parts, " + ")
	for _, x := range f.Caches {
		if x.Kind != "Instruction" {
			c.t.Target.CacheB = max(c.t.Target.CacheB, x.Bytes)
		}
	}
	return c
}

// window bounds the sizes of a kernel that the other side names; nil where they cannot be.
func window(dims []int) []int {
	if len(dims) > 8 {
		return nil
	}
	for _, d := range dims {
		if d < 1 || d > 1<<16 {
			return nil
		}
	}
	return dims
}

// trace is what arrived so far; without its end mark it is an interrupted run.
func (c *collector) trace() *trace.Trace { t := c.t; return &t }

func (c *collector) reached() string {
	return fmt.Sprintf("%d of %d inferences", c.done, 2*c.o.Launches*c.o.Runs)
}

// take adds one event; the sample is nil where it is none.
func (c *collector) take(text []byte) (*Sample, error) {
	var e wire.Event
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fail.New(fail.Corrupt, "event %d cannot be read", c.seq)
	}
	if e.Seq != c.seq {
		return nil, fail.New(fail.Corrupt, "event %d came where %d was due", e.Seq, c.seq)
	}
	c.seq++
	switch {
	case e.Launch != nil:
		return nil, c.launch(e.Launch)
	case e.Block != nil:
		return nil, c.condition(e.Block)
	case e.Sample != nil:
		return c.sample(e.Sample)
	}
	return nil, fail.New(fail.Corrupt, "event %d is empty", e.Seq)
}

func (c *collector) launch(l *wire.Launch) error {
	if l.Index != len(c.t.Launches) || l.Index >= c.o.Launches {
		return fail.New(fail.Corrupt, "launch %d came where %d was due", l.Index, len(c.t.Launches))
	}
	steps := make([]trace.Step, len(l.Steps))
	for i, s := range l.Steps {
		steps[i] = trace.Step{ID: s.ID, Name: s.Name, Op: s.Op, Origin: s.Origin, Kernel: s.Kernel, Why: s.Why, DType: s.DType, Device: s.Device, Threads: c.t.Plan.Threads, MACs: s.MACs, Bytes: s.Bytes,
			Window: window(s.Window), Strides: window(s.Strides)}
		if len(s.Origin) > 1 && l.Index == 0 {
			c.t.Plan.Fusions++
		}
	}
	if l.Index == 0 {
		c.t.Steps, c.t.Plan.Precision = steps, precision(steps)
		c.t.Runtime = trace.Runtime{Name: l.Runtime, Version: l.Version}
	} else if !slices.EqualFunc(steps, c.t.Steps, func(a, b trace.Step) bool { return a.ID == b.ID && a.Kernel == b.Kernel }) {
		return fail.New(fail.Corrupt, "launch %d ran other steps than the first", l.Index).Try("measure again")
	}
	if err := plausible(l.LoadNS, l.FirstNS); err != nil {
		return err
	}
	c.block = 0
	c.t.Launches = append(c.t.Launches, trace.Launch{LoadNs: l.LoadNS, FirstNs: l.FirstNS, Memory: trace.Memory{Weights: l.Weights, ArenaPlanned: l.Arena}})
	return nil
}

// precision is the dtype that all steps share, else "mixed".
func precision(steps []trace.Step) string {
	p := ""
	for _, s := range steps {
		switch {
		case s.DType == "" || s.DType == p:
		case p == "":
			p = s.DType
		default:
			return "mixed"
		}
	}
	return p
}

func (c *collector) sample(s *wire.Sample) (*Sample, error) {
	if len(c.t.Launches) == 0 || s.Launch != len(c.t.Launches)-1 {
		return nil, fail.New(fail.Corrupt, "a sample of launch %d came in launch %d", s.Launch, len(c.t.Launches)-1)
	}
	if err := plausible(append([]int64{s.TotalNS}, s.StepNS...)...); err != nil {
		return nil, err
	}
	l := &c.t.Launches[s.Launch]
	if len(l.Clean) > c.o.Runs || len(l.Whole) > c.o.Runs || len(l.Warmup) > maxWarmup {
		return nil, fail.New(fail.Corrupt, "the agent sends more inferences than were asked for").Try("measure again")
	}
	c.spent += s.TotalNS
	switch s.Kind {
	case wire.KindWarmup:
		l.Warmup = append(l.Warmup, s.TotalNS)
	case wire.KindClean:
		l.Clean = append(l.Clean, s.TotalNS)
		c.done++
	case wire.KindLayers:
		if len(s.StepNS) != len(c.t.Steps) {
			return nil, fail.New(fail.Corrupt, "a sample has %d layers, the model %d", len(s.StepNS), len(c.t.Steps))
		}
		var sum int64
		for _, ns := range s.StepNS {
			sum += ns
		}
		if sum > s.TotalNS+s.TotalNS/100+1e6 {
			return nil, fail.New(fail.Corrupt, "the layers of an inference took %d ns, the whole %d", sum, s.TotalNS)
		}
		l.Whole, l.Instrumented = append(l.Whole, s.TotalNS), append(l.Instrumented, s.StepNS)
		c.done++
	default:
		return nil, fail.New(fail.Corrupt, "a sample is of kind %.20q", s.Kind)
	}
	return &Sample{Sample: *s, Done: c.done, Total: 2 * c.o.Launches * c.o.Runs}, nil
}

// plausible refuses what no clock says: less than nothing, or more than a day.
func plausible(ns ...int64) error {
	for _, v := range ns {
		if v < 0 || v > int64(24*time.Hour) {
			return fail.New(fail.Corrupt, "the board reports a time of %d ns", v).Try("its clock is wrong; measure again")
		}
	}
	return nil
}

// condition takes what the board was like between samples: the first block is before, the others are after, at their
// worst, so that a board which was throttled in between and recovered does not look well.
func (c *collector) condition(b *wire.Block) error {
	if len(c.t.Launches) == 0 || b.Launch != len(c.t.Launches)-1 {
		return fail.New(fail.Corrupt, "conditions of launch %d came in launch %d", b.Launch, len(c.t.Launches)-1)
	}
	var s board.Conditions
	if err := json.Unmarshal(b.Conditions, &s); err != nil {
		return fail.New(fail.Corrupt, "the conditions of a block cannot be read")
	}
	if err := plausible(b.CanaryNS); err != nil {
		return err
	}
	l := &c.t.Launches[b.Launch]
	if len(l.CanaryNs) > 2*c.o.Runs+16 {
		return fail.New(fail.Corrupt, "the agent sends more conditions than there are inferences").Try("measure again")
	}
	if b.Counts != nil {
		if err := c.counts(l, b.Counts); err != nil {
			return err
		}
	}
	l.CanaryNs = append(l.CanaryNs, b.CanaryNS)
	l.Memory.RSSPeak = max(l.Memory.RSSPeak, b.RSSPeak)
	now := c.conditions(&s, b)
	switch c.block {
	case 0:
		l.Before = now
	case 1:
		l.After = now
	default:
		l.After = worst(l.After, now)
	}
	c.block++
	return nil
}

// counts takes what counters said; what no counter says is refused.
func (c *collector) counts(l *trace.Launch, w *wire.Counts) error {
	if !c.o.Count || len(w.Values) > 32 || len(w.Absent) > 32 || !(w.Joules >= 0 && w.Joules < 1e6) {
		return fail.New(fail.Corrupt, "the agent sends counts that cannot be").Try("measure again")
	}
	out := &trace.Counts{Values: map[string]float64{}, Joules: w.Joules, EnergyBy: board.Printable(w.EnergyBy)}
	for k, v := range w.Values {
		if len(k) > 40 || !(v >= 0 && v < 1e18) {
			return fail.New(fail.Corrupt, "counter %.40q says %g", k, v).Try("measure again without counters")
		}
		out.Values[board.Printable(k)] = v
	}
	if len(w.Layers) > 32 {
		return fail.New(fail.Corrupt, "the agent sends counts that cannot be").Try("measure again")
	}
	for k, row := range w.Layers {
		bad := len(k) > 40 || len(row) != len(c.t.Steps)
		for _, v := range row {
			bad = bad || !(v >= 0 && v < 1e18)
		}
		if bad {
			return fail.New(fail.Corrupt, "counter %.40q of the layers has %d numbers for %d steps, or one that cannot be", k, len(row), len(c.t.Steps)).Try("measure again without counters")
		}
		if out.Layers == nil {
			out.Layers = map[string][]float64{}
		}
		out.Layers[board.Printable(k)] = row
	}
	if k := w.Cost; k != nil {
		const hour = 3600e9
		for _, v := range []float64{float64(k.Counters), k.ReadNS, k.PlainNS, k.CountedNS, k.SteppedNS} {
			if !(v >= 0 && v <= hour) {
				return fail.New(fail.Corrupt, "what counting takes cannot be: %+v", *k).Try("measure again without counters")
			}
		}
		out.Cost = &trace.CountCost{Counters: k.Counters, ReadNs: k.ReadNS, PlainNs: k.PlainNS, CountedNs: k.CountedNS, SteppedNs: k.SteppedNS}
	}
	for _, s := range w.Absent {
		s = board.Printable(s)
		out.Absent = append(out.Absent, s[:min(len(s), 200)])
	}
	l.Counts = out
	return nil
}

func (c *collector) conditions(s *board.Conditions, b *wire.Block) trace.Conditions {
	out := trace.Conditions{Governor: board.Printable(s.Governor), Hz: s.Hz, Throttled: s.Throttled, FreeBytes: s.MemoryFree,
		PageFaults: b.Faults, ContextSwitch: b.Switches, CoreIDs: s.CoreIDs, Watts: s.Watts}
	if s.TemperatureC != nil {
		out.TemperatureC = []float64{*s.TemperatureC}
	}
	if s.Load != nil {
		per := *s.Load / float64(c.cores)
		out.Load = &per
	}
	out.ThrottleWhy = why(s)
	return out
}

// why puts the flags of a throttled board into words.
func why(s *board.Conditions) string {
	if s.Throttled == nil || !*s.Throttled {
		return ""
	}
	var w []string
	if s.Undervoltage != nil && *s.Undervoltage {
		w = append(w, "too little voltage")
	}
	if s.TemperatureC != nil {
		w = append(w, fmt.Sprintf("%.1f C", *s.TemperatureC))
	}
	return strings.Join(w, ", ")
}

// worst joins two looks at the board: slowest clocks, highest temperatures, throttled if either was. Counts are the
// later ones, as they only grow.
func worst(a, b trace.Conditions) trace.Conditions {
	out := b
	out.Hz = slices.Clone(b.Hz)
	for i := range out.Hz {
		if i < len(a.Hz) {
			out.Hz[i] = min(out.Hz[i], a.Hz[i])
		}
	}
	out.TemperatureC = slices.Clone(b.TemperatureC)
	for i := range out.TemperatureC {
		if i < len(a.TemperatureC) {
			out.TemperatureC[i] = math.Max(out.TemperatureC[i], a.TemperatureC[i])
		}
	}
	if a.Throttled != nil && *a.Throttled {
		out.Throttled, out.ThrottleWhy = a.Throttled, a.ThrottleWhy
	}
	return out
}

// whole checks that everything that was asked for came, and that the board did not claim more time than has passed.
func (c *collector) whole(passed time.Duration) error {
	if len(c.t.Launches) != c.o.Launches {
		return fail.New(fail.Corrupt, "%d of %d launches came", len(c.t.Launches), c.o.Launches).Try("measure again")
	}
	for i := range c.t.Launches {
		l := &c.t.Launches[i]
		if len(l.Clean) != c.o.Runs || len(l.Whole) != c.o.Runs || len(l.CanaryNs) < 2 {
			return fail.New(fail.Corrupt, "launch %d has %d clean and %d instrumented inferences of %d, and %d canaries", i, len(l.Clean), len(l.Whole), c.o.Runs, len(l.CanaryNs)).Try("measure again")
		}
	}
	if c.spent > passed.Nanoseconds()+passed.Nanoseconds()/20+1e6 {
		return fail.New(fail.Corrupt, "the board reports %v of work in %v", time.Duration(c.spent).Round(time.Millisecond), passed.Round(time.Millisecond)).Try("its clock is wrong; restart it and measure again")
	}
	return nil
}
