package predict

import (
	"math"
	"slices"

	"fettle/internal/stats"
	"fettle/model"
)

// Check is a prediction held against a measurement.
type Check struct {
	Model       string       `json:"model"`
	MeasuredNs  float64      `json:"measured_ns"`
	PredictedNs float64      `json:"predicted_ns"`
	Error       float64      `json:"error"`       // of the whole, as a share
	Within      bool         `json:"within"`      // the interval holds it
	LayerError  float64      `json:"layer_error"` // median over layers
	LayerWithin float64      `json:"layer_within"`
	Same        float64      `json:"same_steps"` // share of measured steps that the rules foretold
	Layers      []LayerCheck `json:"layers"`
}

// LayerCheck is one layer, or several where the rules joined others than the runtime did.
type LayerCheck struct {
	Label       string  `json:"label"`
	Kind        string  `json:"kind"`
	MeasuredNs  float64 `json:"measured_ns"`
	PredictedNs float64 `json:"predicted_ns"`
	Error       float64 `json:"error"` // 1 where it was told to cost something and costs nothing
	Within      bool    `json:"within"`
}

// Hold compares a prediction with what ran. Layers that cost nothing in both are left out.
func Hold(name string, p *Prediction, units []Measured, wholeNs float64) Check {
	c := Check{Model: name, MeasuredNs: wholeNs, PredictedNs: p.Ns, Error: math.Abs(p.Ns/wholeNs - 1), Within: p.Low <= wholeNs && wholeNs <= p.High}
	root := map[model.NodeID]model.NodeID{}
	var find func(x model.NodeID) model.NodeID
	find = func(x model.NodeID) model.NodeID {
		if r, ok := root[x]; ok && r != x {
			root[x] = find(r)
			return root[x]
		}
		return x
	}
	join := func(ids []model.NodeID) {
		for _, id := range ids {
			root[find(id)] = find(ids[0])
		}
	}
	for _, l := range p.Layers {
		join(l.Nodes)
	}
	for _, u := range units {
		join(u.Nodes)
	}
	type row struct {
		LayerCheck
		low, high float64
	}
	rows := map[model.NodeID]*row{}
	at := func(id model.NodeID) *row {
		r := find(id)
		if rows[r] == nil {
			rows[r] = &row{}
		}
		return rows[r]
	}
	foretold := map[string]bool{}
	for _, l := range p.Layers {
		r := at(l.Nodes[0])
		r.PredictedNs, r.low, r.high = r.PredictedNs+l.Ns, r.low+l.Low, r.high+l.High
		foretold[key(l.Nodes)] = true
	}
	var order []*row
	ran, same := 0, 0
	for _, u := range units {
		r := at(u.Nodes[0])
		if r.Kind == "" {
			r.Label, r.Kind = u.Label, u.Kind
			order = append(order, r)
		}
		r.MeasuredNs += u.Ns
		if u.Ns > 0 {
			ran++
			if foretold[key(u.Nodes)] {
				same++
			}
		}
	}
	var errs []float64
	within := 0
	for _, r := range order {
		if r.PredictedNs < wholeNs/1000 && r.MeasuredNs < wholeNs/1000 && (r.PredictedNs <= 0 || r.MeasuredNs <= 0) {
			continue // one of them says that it costs nothing, and it hardly does
		}
		r.Within = r.low <= r.MeasuredNs && r.MeasuredNs <= r.high
		r.Error = 1
		if r.MeasuredNs > 0 {
			r.Error = math.Abs(r.PredictedNs/r.MeasuredNs - 1)
		}
		errs = append(errs, r.Error)
		if r.Within {
			within++
		}
		c.Layers = append(c.Layers, r.LayerCheck)
	}
	if len(errs) > 0 {
		c.LayerError, c.LayerWithin = stats.Median(errs), float64(within)/float64(len(errs))
	}
	if ran > 0 {
		c.Same = float64(same) / float64(ran)
	}
	return c
}

func key(ids []model.NodeID) string {
	s := ""
	for _, id := range slices.Sorted(slices.Values(ids)) {
		s += string(id) + " "
	}
	return s
}

// Quiet joins measurements of the same network: the lower quartile of each unit, as within a measurement.
func Quiet(all [][]Measured) []Measured {
	out := slices.Clone(all[0])
	for i := range out {
		var v []float64
		for _, m := range all {
			if i < len(m) && m[i].Kind == out[i].Kind {
				v = append(v, m[i].Ns)
			}
		}
		out[i].Ns = stats.Quantile(v, low)
	}
	return out
}
