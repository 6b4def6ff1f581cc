package profiler

import (
	"fmt"
	"slices"

	"fettle/profiler/trace"
)

// Counters are what the processor counted of one inference: medians over launches.
type Counters struct {
	Values map[string]float64 `json:"values"`
	IPC    *float64           `json:"ipc"`              // instructions a cycle; nil where one of them is not there
	Absent []string           `json:"absent,omitempty"` // counters that are not there, with the reason
	Cost   *CountingCost      `json:"cost,omitempty"`   // nil: not measured
}

// CountingCost is what counting itself takes: medians over launches. It is not in the profile's times, which were taken before anything was counted.
type CountingCost struct {
	Counters int     `json:"counters"`
	ReadNs   float64 `json:"read_ns"`            // one reading of all counters
	Running  float64 `json:"running"`            // by how much an inference is longer while they run, as a share
	Stepping float64 `json:"stepping,omitempty"` // and while they are read between all layers; 0: they were not
	Shortest string  `json:"shortest,omitempty"` // the layer that takes least
	OfLayer  float64 `json:"of_layer,omitempty"` // a reading as a share of it
}

// Energy is what one inference took.
type Energy struct {
	Millijoules float64 `json:"mj"`
	Kind        string  `json:"kind"` // "measured" by a counter of the processor, "estimated" from sensors of power or from what the core may take
	Why         string  `json:"why"`
}

// count joins the launches' counts; nil where none were asked for.
func (p *Profile) count(t *trace.Trace) {
	values := map[string][]float64{}
	var joules []float64
	by := ""
	for i := range t.Launches {
		c := t.Launches[i].Counts
		if c == nil {
			continue
		}
		if p.Counters == nil {
			p.Counters = &Counters{Values: map[string]float64{}, Absent: c.Absent}
		}
		for k, v := range c.Values {
			values[k] = append(values[k], v)
		}
		if c.EnergyBy != "" {
			joules, by = append(joules, c.Joules), c.EnergyBy
		}
	}
	if p.Counters == nil {
		return
	}
	for k, v := range values {
		p.Counters.Values[k] = middle(v)
	}
	cycles, n := p.Counters.Values["cycles"], p.Counters.Values["instructions"]
	if cycles > 0 && n > 0 {
		ipc := n / cycles
		p.Counters.IPC = &ipc
	}
	if len(joules) == 0 {
		return
	}
	p.Energy = &Energy{Millijoules: 1000 * middle(joules), Kind: "measured", Why: fmt.Sprintf("counter of the processor's energy, %d launches; the rest of the board is not in it", len(joules))}
	if by == "sensor" {
		p.Energy.Kind = "estimated"
		p.Energy.Why = fmt.Sprintf("mean of the board's power sensors while inferences ran, times their time, %d launches; what the board takes at rest is in it", len(joules))
	}
}

// countLayers gives each layer its counts: medians over launches.
func (p *Profile) countLayers(t *trace.Trace) {
	for j := range p.Layers {
		values := map[string][]float64{}
		for i := range t.Launches {
			if c := t.Launches[i].Counts; c != nil {
				for k, row := range c.Layers {
					if j < len(row) {
						values[k] = append(values[k], row[j])
					}
				}
			}
		}
		for k, v := range values {
			if p.Layers[j].Counters == nil {
				p.Layers[j].Counters = map[string]float64{}
			}
			p.Layers[j].Counters[k] = middle(v)
		}
	}
}

func middle(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// countCost joins what counting took. It comes behind the layers.
func (p *Profile) countCost(t *trace.Trace) {
	var read, running, stepping []float64
	n := 0
	for i := range t.Launches {
		c := t.Launches[i].Counts
		if c == nil || c.Cost == nil || !(c.Cost.PlainNs > 0) {
			continue
		}
		n = c.Cost.Counters
		read, running = append(read, c.Cost.ReadNs), append(running, c.Cost.CountedNs/c.Cost.PlainNs-1)
		if c.Cost.SteppedNs > 0 {
			stepping = append(stepping, c.Cost.SteppedNs/c.Cost.PlainNs-1)
		}
	}
	if p.Counters == nil || len(read) == 0 {
		return
	}
	k := &CountingCost{Counters: n, ReadNs: middle(read), Running: middle(running)}
	if len(stepping) > 0 {
		k.Stepping = middle(stepping)
	}
	least := 0.0
	for _, l := range p.Layers {
		if l.P50Ns > 0 && (least == 0 || l.P50Ns < least) {
			least, k.Shortest = l.P50Ns, l.Name
		}
	}
	if least > 0 {
		k.OfLayer = k.ReadNs / least
	}
	p.Counters.Cost = k
}
