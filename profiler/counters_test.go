package profiler

import (
	"math"
	"testing"

	"fettle/profiler/trace"
)

// TestCounters joins counts of launches: medians, instructions a cycle, energy with what measured it; absent is not zero.
func TestCounters(t *testing.T) {
	counts := func(cycles, n, j float64, by string) *trace.Counts {
		return &trace.Counts{Values: map[string]float64{"cycles": cycles, "instructions": n}, Joules: j, EnergyBy: by, Absent: []string{"stalls: no"}}
	}
	tr := &trace.Trace{Launches: []trace.Launch{{Counts: counts(100, 150, 0.002, "counter")}, {Counts: counts(300, 150, 0.004, "counter")}, {Counts: counts(120, 150, 0.003, "counter")}}}
	p := &Profile{}
	p.count(tr)
	if p.Counters == nil || p.Counters.Values["cycles"] != 120 || *p.Counters.IPC != 1.25 || len(p.Counters.Absent) != 1 {
		t.Errorf("%+v", p.Counters)
	}
	if p.Energy == nil || p.Energy.Millijoules != 3 || p.Energy.Kind != "measured" {
		t.Errorf("%+v", p.Energy)
	}
	q := &Profile{}
	q.count(&trace.Trace{Launches: []trace.Launch{{Counts: counts(1, 1, 0.5, "sensor")}}})
	if q.Energy == nil || q.Energy.Kind != "estimated" {
		t.Errorf("by a sensor: %+v", q.Energy)
	}
	none := &Profile{}
	none.count(&trace.Trace{Launches: []trace.Launch{{}, {Counts: &trace.Counts{Values: map[string]float64{"cpu-time": 5}}}}})
	if none.Energy != nil || none.Counters == nil || none.Counters.IPC != nil {
		t.Errorf("without cycles and energy: %+v, %+v", none.Counters, none.Energy)
	}
	by := func(v ...float64) trace.Launch {
		return trace.Launch{Counts: &trace.Counts{Layers: map[string][]float64{"cycles": v}}}
	}
	layered := &Profile{Layers: make([]Layer, 2)}
	layered.countLayers(&trace.Trace{Launches: []trace.Launch{by(1, 10), by(3, 30), by(2), {}}})
	if a, b := layered.Layers[0].Counters["cycles"], layered.Layers[1].Counters["cycles"]; a != 2 || b != 20 {
		t.Errorf("by layer: %g, %g", a, b)
	}
	bare := &Profile{Layers: make([]Layer, 1)}
	bare.count(&trace.Trace{Launches: []trace.Launch{{}}})
	bare.countLayers(&trace.Trace{Launches: []trace.Launch{{}}})
	if bare.Counters != nil || bare.Layers[0].Counters != nil {
		t.Errorf("not asked for: %+v", bare.Counters)
	}
}

// TestCountingCost: what counting takes is a share of the inference without it and of the shortest layer; a launch that did not measure it, or whose numbers
// cannot be, is left out.
func TestCountingCost(t *testing.T) {
	by := func(read, plain, counted, stepped float64) trace.Launch {
		return trace.Launch{Counts: &trace.Counts{Cost: &trace.CountCost{Counters: 2, ReadNs: read, PlainNs: plain, CountedNs: counted, SteppedNs: stepped}}}
	}
	p := &Profile{Layers: []Layer{{Name: "long", P50Ns: 8000}, {Name: "short", P50Ns: 2000}, {Name: "none"}}}
	tr := &trace.Trace{Launches: []trace.Launch{by(500, 10_000, 10_100, 13_000), by(400, 10_000, 10_300, 14_000), {Counts: &trace.Counts{}}, by(600, 10_000, 10_200, 12_000), by(1, 0, 0, 0), {}}}
	p.count(tr)
	p.countCost(tr)
	k := p.Counters.Cost
	if k == nil || k.Counters != 2 || k.ReadNs != 500 || math.Abs(k.Running-0.02) > 1e-9 || math.Abs(k.Stepping-0.3) > 1e-9 || k.Shortest != "short" || k.OfLayer != 0.25 {
		t.Errorf("%+v", k)
	}
	bare := &Profile{}
	bare.countCost(&trace.Trace{Launches: []trace.Launch{by(1, 1, 1, 1)}})
	if bare.Counters != nil {
		t.Errorf("not asked for: %+v", bare.Counters)
	}
}
