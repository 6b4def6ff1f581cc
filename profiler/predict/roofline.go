package predict

import (
	"fmt"
	"strings"

	"fettle/profiler"
)

// Roof is what bounds layers on a target: the most products a second, and the most bytes.
type Roof struct {
	PeakMACs  float64 `json:"peak_macs_per_second"` // by the core's table, 0: not known
	Peak8     float64 `json:"peak_int8_macs_per_second"`
	BestMACs  float64 `json:"best_macs_per_second"` // of a layer of this run without Winograd, 0: none
	Bandwidth float64 `json:"bytes_per_second"`     // measured, 0: never
	Why       string  `json:"why,omitempty"`        // what is not known
}

// RoofPoint is one layer under the roof.
type RoofPoint struct {
	Label     string   `json:"label"`
	Origin    []string `json:"origin,omitempty"` // ids of nodes of the imported model
	Op        string   `json:"op"`
	Intensity float64  `json:"macs_per_byte"`
	Rate      float64  `json:"macs_per_second"`
	Moved     float64  `json:"bytes_per_second"`
	Ns        float64  `json:"ns"`
	Share     float64  `json:"share"`
	Roof      float64  `json:"roof_macs_per_second"` // of its intensity, 0: not known
	Reached   float64  `json:"reached"`              // share of the roof; above 1 where Winograd saves products or a cache serves bytes
	Bound     string   `json:"bound"`                // compute, memory; "": not known
	Winograd  bool     `json:"winograd,omitempty"`
}

// Roofline is a run's layers that multiply, under the roof of its target.
type Roofline struct {
	Roof   Roof        `json:"roof"`
	Points []RoofPoint `json:"points"`
}

// NewRoofline places the layers of a run (Williams, Waterman and Patterson 2009): products for each byte that must move, and products a second.
func NewRoofline(p *profiler.Profile) *Roofline {
	m := Target(p.Target, p.Conditions.Hz)
	r := &Roofline{Roof: Roof{Bandwidth: p.Target.MemoryBps}}
	cores := max(1, p.Plan.Threads)
	if m.Cores > 0 {
		cores = min(cores, m.Cores)
	}
	var missing []string
	f, why := peak(m, "float32")
	q, _ := peak(m, "int8")
	switch {
	case f == 0:
		missing = append(missing, why)
	case m.Hz <= 0:
		missing = append(missing, "the target does not say how fast its clock is")
	default:
		r.Roof.PeakMACs, r.Roof.Peak8 = f*float64(cores)*float64(m.Hz), q*float64(cores)*float64(m.Hz)
	}
	if r.Roof.Bandwidth <= 0 {
		missing = append(missing, "the speed of its memory was not measured: fettle target facts "+p.Target.Name+" --speed")
	}
	for _, l := range p.Layers {
		if l.MACs > 0 && l.P50Ns > 0 && !winograd(l.Kernel) && float(l.DType) {
			r.Roof.BestMACs = max(r.Roof.BestMACs, float64(l.MACs)/l.P50Ns*1e9)
		}
	}
	for _, l := range p.Layers {
		if l.MACs <= 0 || l.Bytes <= 0 || l.P50Ns <= 0 {
			continue
		}
		x := RoofPoint{Label: l.Name, Origin: l.Origin, Op: l.Op, Intensity: float64(l.MACs) / float64(l.Bytes), Rate: float64(l.MACs) / l.P50Ns * 1e9,
			Moved: float64(l.Bytes) / l.P50Ns * 1e9, Ns: l.P50Ns, Share: l.Share, Winograd: winograd(l.Kernel)}
		top := r.Roof.PeakMACs
		if !float(l.DType) {
			top = r.Roof.Peak8
		} else if top == 0 {
			top = r.Roof.BestMACs
		}
		slope := r.Roof.Bandwidth * x.Intensity
		switch {
		case top > 0 && (slope == 0 || slope >= top):
			x.Roof, x.Bound = top, "compute"
		case slope > 0:
			x.Roof, x.Bound = slope, "memory"
		}
		if slope == 0 {
			x.Bound = ""
		}
		if x.Roof > 0 {
			x.Reached = x.Rate / x.Roof
		}
		r.Points = append(r.Points, x)
	}
	if r.Roof.PeakMACs == 0 && r.Roof.BestMACs > 0 {
		missing = append(missing, fmt.Sprintf("the roof is the fastest layer of this run without Winograd, %s MAC a second", count(r.Roof.BestMACs)))
	}
	r.Roof.Why = strings.Join(missing, "; ")
	return r
}

func winograd(kernel string) bool { return strings.Contains(kernel, "wino") }
