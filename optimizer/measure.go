package optimizer

import (
	"fettle/model"
	"fettle/ops"
)

// Size is what a model weighs, counted from its graph.
type Size struct {
	Nodes       int   `json:"nodes"`
	MACs        int64 `json:"macs"` // of one run; -1 where a shape is not known
	Parameters  int64 `json:"parameters"`
	WeightBytes int64 `json:"weight_bytes"`
}

// Measure counts m. Symbolic dimensions count as 1. Errors are those of ops.Infer.
func Measure(m *model.Model) (Size, error) {
	s := Size{Nodes: len(m.Graph.Nodes)}
	for _, in := range m.Graph.Inits {
		s.WeightBytes += int64(len(in.Tensor.Raw))
		if in.Tensor.DType.Float() || in.Tensor.DType.Bits() <= 8 {
			s.Parameters += int64(in.Tensor.Len())
		}
	}
	fixed := map[string]model.Type{}
	for _, v := range m.Graph.Free() {
		t := v.Type
		t.Shape = append(model.Shape(nil), t.Shape...)
		for i := range t.Shape {
			if !t.Shape[i].Known() {
				t.Shape[i] = model.Fixed(1)
			}
		}
		fixed[v.Name] = t
	}
	inf, _, err := ops.Infer(m, fixed)
	if err != nil { // a size of 1 may be too small for the model
		s.MACs = -1
		_, _, err = ops.Infer(m, nil)
		return s, err
	}
	for _, n := range m.Graph.Nodes {
		d, err := ops.Lookup(n.Domain, n.Op, m.Opset(n.Domain))
		if err != nil || d.Cost == nil {
			continue
		}
		f := &ops.Inference{Node: n, Def: d, Opset: m.Opset(n.Domain)}
		for _, in := range n.Inputs {
			f.In = append(f.In, inf.Types[in])
		}
		for _, o := range n.Outputs {
			t := inf.Types[o]
			if _, ok := t.Shape.Ints(); !ok || !t.Ranked {
				s.MACs = -1
				return s, nil
			}
			f.Out = append(f.Out, t)
		}
		f.Const = func(i int) *model.Tensor { return inf.Consts[n.Inputs[i]] }
		s.MACs += d.Cost(f).MACs
	}
	return s, nil
}

// Report is what `fettle optimize --report` writes: one entry a step. FileBytes and Score are filled in by who
// writes files and scores; absent is not zero.
type Report struct {
	Steps []ReportStep `json:"steps"`
}

// ReportStep is one pass of a report.
type ReportStep struct {
	Pass         string         `json:"pass"`
	NodesTouched []model.NodeID `json:"nodes_touched"`
	Proof        *Proof         `json:"proof,omitempty"`
	Kept         bool           `json:"kept"`
	Why          string         `json:"why"`
	Before       ReportSize     `json:"before"`
	After        ReportSize     `json:"after"`
	Findings     []Finding      `json:"findings"`
}

// ReportSize is Size with what is known outside of the graph.
type ReportSize struct {
	Size
	FileBytes *int64   `json:"file_bytes,omitempty"`
	Score     *float64 `json:"score,omitempty"`
}

// MakeReport describes steps that were derived from base.
func MakeReport(base *model.Model, steps []Step) (*Report, error) {
	r := &Report{Steps: []ReportStep{}}
	before, err := Measure(base)
	if err != nil {
		return nil, err
	}
	for i := range steps {
		s := &steps[i]
		after, err := Measure(s.Model)
		if err != nil {
			return nil, err
		}
		rs := ReportStep{Pass: s.Pass, NodesTouched: []model.NodeID{}, Proof: s.Proof, Kept: true, Before: ReportSize{Size: before},
			After: ReportSize{Size: after}, Findings: s.Findings, Why: s.Info.Promise}
		if rs.Proof == nil {
			rs.Proof = &Proof{Kind: s.Info.Exactness}
		}
		for _, f := range s.Applied() {
			rs.NodesTouched = append(rs.NodesTouched, f.Nodes...)
		}
		if len(rs.NodesTouched) == 0 {
			rs.Why = "nothing to do"
			for _, f := range s.Findings {
				if f.Outcome == Refused {
					rs.Why = "refused: " + f.Reason
					break
				}
			}
		}
		r.Steps = append(r.Steps, rs)
		before = after
	}
	return r, nil
}
