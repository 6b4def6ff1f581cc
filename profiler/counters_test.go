package profiler

import (
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
