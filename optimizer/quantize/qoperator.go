package quantize

import (
	"fmt"

	"fettle/model"
	"fettle/optimizer"
)

const microsoft = "com.microsoft"

// toOperators spells a model of QuantizeLinear and DequantizeLinear pairs with operators on integers where there is one:
// QLinearConv and QLinearMatMul of ONNX, and those that ONNX Runtime adds. What has none keeps its pairs; the findings name it.
func toOperators(m *model.Model) (*model.Model, []optimizer.Finding, error) {
	s := &spelling{g: m.Graph}
	var patches []*model.Patch
	var found []optimizer.Finding
	for _, n := range m.Graph.Nodes {
		p, why := s.spell(n)
		if p != nil {
			patches = append(patches, p)
		} else if why != "" {
			f := optimizer.Describe("qoperator", n)
			f.Outcome, f.Reason = optimizer.Refused, why
			found = append(found, f)
		}
	}
	if len(patches) == 0 {
		return m, found, nil
	}
	out, err := m.Apply(patches...)
	if err != nil {
		return nil, nil, err
	}
	found = append(found, optimizer.Finding{Rule: "qoperator", Label: "export", Outcome: optimizer.Applied,
		Reason: fmt.Sprintf("%d nodes became operators on integers", len(patches))})
	return sweepDead(out), found, nil
}

// spelling looks at the pairs around nodes.
type spelling struct{ g *model.Graph }

// dequantized gives value, scale and zero of what x is dequantized from; nil where it is not.
func (s *spelling) dequantized(x string) []string {
	d := s.g.Producer(x)
	if d == nil || !is(d, "DequantizeLinear") || len(d.Inputs) != 3 || d.Int("block_size", 0) != 0 {
		return nil
	}
	return d.Inputs
}

// result finds the QuantizeLinear that alone reads y, perhaps behind a Relu or Clip that the ends of the integers do anyway.
func (s *spelling) result(y string) (between []*model.Node, q *model.Node) {
	for {
		u := s.g.Users(y)
		if len(u) != 1 || s.g.Output(y) != nil {
			return nil, nil
		}
		switch {
		case is(u[0], "QuantizeLinear") && u[0].Inputs[0] == y && len(u[0].Inputs) == 3:
			for _, act := range between {
				if !s.saturates(act, u[0]) {
					return nil, nil
				}
			}
			return between, u[0]
		case len(between) == 0 && is(u[0], "Relu", "Clip") && u[0].Inputs[0] == y:
			between = append(between, u[0])
			y = u[0].Outputs[0]
		default:
			return nil, nil
		}
	}
}

// saturates reports whether no integer of q stands for a number that act would change.
func (s *spelling) saturates(act, q *model.Node) bool {
	scale, zero := s.g.Init(q.Inputs[1]), s.g.Init(q.Inputs[2])
	if scale == nil || zero == nil || scale.Len() != 1 {
		return false
	}
	lo, hi := -128, 127
	if zero.DType == model.Uint8 {
		lo, hi = 0, 255
	} else if zero.DType != model.Int8 {
		return false
	}
	z := int(zero.Int64At(0))
	least, most := float64(lo-z)*scale.Float64At(0), float64(hi-z)*scale.Float64At(0)
	if is(act, "Relu") {
		return least >= 0
	}
	if act.Attr("min") != nil || act.Attr("max") != nil {
		return false // the form before opset 11
	}
	for i, beyond := range []func(limit float64) bool{func(l float64) bool { return least < l }, func(l float64) bool { return most > l }} {
		if name := input(act, i+1); name != "" {
			if t := s.g.Init(name); t == nil || t.Len() != 1 || beyond(t.Float64At(0)) {
				return false
			}
		}
	}
	return true
}

// spell gives the patch for a node that computes on dequantized values, or why there is none; nothing for other nodes.
func (s *spelling) spell(n *model.Node) (*model.Patch, string) {
	if is(n, "QuantizeLinear", "DequantizeLinear") || len(n.Inputs) == 0 || len(n.Outputs) == 0 {
		return nil, ""
	}
	x := s.dequantized(n.Inputs[0])
	if x == nil {
		return nil, ""
	}
	between, q := s.result(n.Outputs[0])
	if q == nil && !is(n, "Gemm") {
		return nil, n.Op + " has a result that stays float"
	}
	var y []string
	if q != nil {
		y = q.Inputs[1:3]
		if t := s.g.Init(q.Inputs[2]); t == nil || t.DType.Bits() != 8 {
			return nil, "there are operators on integers of 8 bits only"
		}
	}
	c := &model.Node{ID: model.Derive("qoperator", n.ID), Name: n.Name, Attrs: n.Attrs, Origin: n.Origin}
	p := &model.Patch{Drop: []model.NodeID{n.ID}, Add: []*model.Node{c}}
	switch {
	case n.Domain == fettle:
		return nil, "a fused " + n.Op + " has no integer operator"
	case is(n, "Conv", "MatMul", "Gemm"):
		w := s.dequantized(n.Inputs[1])
		if w == nil {
			return nil, n.Op + " has weights that stay float"
		}
		if t := s.g.Init(w[0]); is(n, "Conv") && t == nil || t != nil && t.DType.Bits() != 8 {
			return nil, "there are operators on integers of 8 bits only"
		}
		c.Op = map[string]string{"Conv": "QLinearConv", "MatMul": "QLinearMatMul", "Gemm": "QGemm"}[n.Op]
		c.Inputs = append(append([]string(nil), x...), w...)
		if is(n, "Gemm") {
			c.Domain, c.Attrs = microsoft, kept(n.Attrs, "alpha", "transA", "transB")
			if n.Float("beta", 1) != 1 {
				return nil, "a Gemm with beta has no integer operator"
			}
		}
		bias := ""
		if b := input(n, 2); b != "" {
			d := s.dequantized(b)
			if d == nil {
				return nil, n.Op + " has a bias that stays float"
			}
			bias = d[0]
		}
		if is(n, "Gemm") {
			c.Inputs = append(c.Inputs, bias)
			c.Inputs = append(c.Inputs, y...)
		} else {
			c.Inputs = append(c.Inputs, y...)
			if bias != "" {
				c.Inputs = append(c.Inputs, bias)
			}
		}
	case is(n, "Add"):
		b := s.dequantized(n.Inputs[1])
		if b == nil {
			return nil, "one side of the Add stays float"
		}
		c.Op, c.Domain, c.Inputs = "QLinearAdd", microsoft, append(append(append([]string(nil), x...), b...), y...)
	case is(n, "GlobalAveragePool", "AveragePool", "LeakyRelu", "Sigmoid"):
		if is(n, "AveragePool") && len(between) > 0 {
			return nil, "an activation function follows"
		}
		c.Op, c.Domain, c.Inputs = "QLinear"+n.Op, microsoft, append(append([]string(nil), x...), y...)
	case is(n, "MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Identity") && len(between) == 0 && y[0] == x[1] && y[1] == x[2]:
		c.Op, c.Inputs = n.Op, append([]string{x[0]}, n.Inputs[1:]...) // the same integers, moved
	case is(n, "Concat"):
		c.Op = "Concat"
		for _, in := range n.Inputs {
			d := s.dequantized(in)
			if d == nil || d[1] != y[0] || d[2] != y[1] {
				return nil, "the parts of the Concat have other scales"
			}
			c.Inputs = append(c.Inputs, d[0])
		}
	default:
		return nil, n.Op + " has no integer operator"
	}
	if c.Domain == microsoft {
		p.Opsets = []model.Opset{{Domain: microsoft, Version: 1}}
	}
	c.Outputs = []string{n.Outputs[0]}
	if q != nil {
		c.Outputs = []string{q.Outputs[0]}
		p.Drop = append(p.Drop, q.ID)
		for _, b := range between {
			p.Drop = append(p.Drop, b.ID)
			c.Origin = model.MergeOrigins(c, b)
		}
	}
	return p, ""
}

func kept(attrs []model.Attr, names ...string) []model.Attr {
	var out []model.Attr
	for _, a := range attrs {
		for _, n := range names {
			if a.Name == n {
				out = append(out, a)
			}
		}
	}
	return out
}

// sweepDead leaves out nodes and constants that nothing reads.
func sweepDead(m *model.Model) *model.Model {
	g := m.Graph
	read := map[string]bool{}
	for _, o := range g.Outputs {
		read[o.Name] = true
	}
	live := make([]bool, len(g.Nodes))
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		for _, o := range g.Nodes[i].Outputs {
			live[i] = live[i] || read[o]
		}
		if live[i] {
			for _, r := range model.Reads(g.Nodes[i]) {
				read[r] = true
			}
		}
	}
	ng := &model.Graph{Name: g.Name, Doc: g.Doc, Inputs: g.Inputs, Outputs: g.Outputs, Meta: g.Meta, Unknown: g.Unknown}
	made := map[string]bool{}
	for i, n := range g.Nodes {
		if live[i] {
			ng.Nodes = append(ng.Nodes, n)
			for _, o := range n.Outputs {
				made[o] = true
			}
		}
	}
	for _, in := range g.Inits {
		if read[in.Name] || g.Input(in.Name) != nil {
			ng.Inits = append(ng.Inits, in)
		}
	}
	for _, v := range g.Values {
		if made[v.Name] {
			ng.Values = append(ng.Values, v)
		}
	}
	return m.WithGraph(ng)
}
