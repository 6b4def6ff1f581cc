package predict

import (
	"math"
	"strings"
	"testing"

	"fettle/profiler"
	"fettle/profiler/trace"
)

func TestRoofline(t *testing.T) {
	p := &profiler.Profile{Target: trace.Target{Name: "b", Arch: "arm64", CPU: "Cortex-A72", Cores: 4, MaxHz: 1e9, MemoryBps: 4e9}, Plan: trace.Plan{Threads: 2}}
	p.Layers = []profiler.Layer{
		{Name: "dense", Op: "Conv", DType: "float32", MACs: 4e6, Bytes: 1e5, P50Ns: 1e6},                     // 40 a byte: under the flat part
		{Name: "thin", Op: "Conv", DType: "float32", MACs: 1e5, Bytes: 1e6, P50Ns: 5e5},                      // a tenth a byte: under the slope
		{Name: "wino", Op: "Conv", DType: "float32", Kernel: "f32_wino4", MACs: 2e7, Bytes: 1e5, P50Ns: 1e6}, // above the roof
		{Name: "add", Op: "Add", DType: "float32", Bytes: 1e6, P50Ns: 1e5},
	}
	r := NewRoofline(p)
	if r.Roof.PeakMACs != 8e9 || r.Roof.BestMACs != 4e9 || len(r.Points) != 3 || r.Roof.Why != "" {
		t.Fatalf("%+v", r)
	}
	for i, want := range []struct {
		bound   string
		reached float64
	}{{"compute", 0.5}, {"memory", 2e11 / (4e9 * 0.1) / 1e3}, {"compute", 2.5}} {
		if x := r.Points[i]; x.Bound != want.bound || math.Abs(x.Reached-want.reached) > 1e-9 {
			t.Errorf("%s: %s bound, %.3f of the roof, want %s, %.3f", x.Label, x.Bound, x.Reached, want.bound, want.reached)
		}
	}
	p.Target.MemoryBps, p.Target.CPU = 0, "an unknown core"
	r = NewRoofline(p)
	if r.Points[0].Bound != "" || r.Points[0].Reached != 1 || !strings.Contains(r.Roof.Why, "--speed") || !strings.Contains(r.Roof.Why, "unknown core") {
		t.Errorf("nothing known: %+v", r)
	}
}
