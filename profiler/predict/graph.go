package predict

import (
	"slices"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
)

// Graph is a model in parts.
type Graph struct {
	m     *model.Model
	parts []*part
	by    map[model.NodeID]*part
	types map[string]model.Type
}

// NewGraph takes a model apart. Open dimensions of inputs are 1 unless shapes names them. Invalid where a size stays open.
func NewGraph(m *model.Model, shapes map[string][]int) (*Graph, error) {
	types := map[string]model.Type{}
	for _, v := range m.Graph.Free() {
		t := v.Type
		t.Shape = slices.Clone(t.Shape)
		for i := range t.Shape {
			if s := shapes[v.Name]; i < len(s) {
				t.Shape[i] = model.Fixed(s[i])
			} else if !t.Shape[i].Known() {
				t.Shape[i] = model.Fixed(1)
			}
		}
		types[v.Name] = t
	}
	inf, missing, err := ops.Infer(m, types)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, fail.New(fail.Unsupported, "the shape of what %s gives is not known", missing[0].Label()).At(fail.Where{Node: string(missing[0].ID), Op: missing[0].Op})
	}
	g := &Graph{m: m, by: map[model.NodeID]*part{}, types: inf.Types}
	for i, n := range m.Graph.Nodes {
		if constant(n, inf) || n.Op == "QuantizeLinear" || n.Op == "DequantizeLinear" || n.Op == "Constant" || n.Op == "Identity" {
			continue
		}
		p, err := g.part(n, inf)
		if err != nil {
			return nil, err
		}
		p.at = i
		g.parts = append(g.parts, p)
		g.by[n.ID] = p
	}
	g.cross()
	g.settle()
	return g, nil
}

// settle says of each part how much the whole network holds: what is more than the caches do has to be fetched anew in every inference, and
// a small network finds its weights where it left them. What the layer before moved says whether its values are still near.
func (g *Graph) settle() {
	weights, values := 0.0, 0.0
	for _, p := range g.parts {
		weights += p.work[wWeights]
		values = max(values, p.work[wIn]+p.work[wOut])
	}
	for _, p := range g.parts {
		moved := 0.0
		for _, v := range p.from {
			if made := g.m.Graph.Producer(v); made != nil && g.by[made.ID] != nil {
				w := &g.by[made.ID].work
				moved = max(moved, w[wIn]+w[wOut]+w[wWeights])
			}
		}
		p.hold(held(weights+values), held(moved))
	}
}

// held is bytes in terms of caches.
func held(bytes float64) float64 { return min(max(bytes/leastHeld, 1), mostHeld) }

// cross finds where integers become floats and the reverse: a layer that reads floats turns them first, and one whose values a layer in
// floats reads turns them back.
func (g *Graph) cross() {
	for _, p := range g.parts {
		if !p.integer {
			continue
		}
		for _, v := range p.from {
			made := g.m.Graph.Producer(v)
			if made == nil || g.by[made.ID] == nil || !g.by[made.ID].integer {
				d, _ := g.dims(v)
				p.marks[turnsIn], p.work[wTurnsIn] = true, p.work[wTurnsIn]+product(d)
			}
		}
		for _, v := range p.node.Outputs {
			if v != "" && (g.m.Graph.Output(v) != nil || slices.ContainsFunc(g.m.Graph.Users(v), func(n *model.Node) bool { return n.Op != "QuantizeLinear" })) {
				d, _ := g.dims(v)
				p.marks[turnsOut], p.work[wTurnsOut] = true, product(d)
				break
			}
		}
	}
}

// constant nodes are reckoned before anything runs.
func constant(n *model.Node, inf *ops.Inferred) bool {
	for _, o := range n.Outputs {
		if o != "" && inf.Consts[o] == nil {
			return false
		}
	}
	return true
}

// through is the value behind conversions between floats and integers.
func (g *Graph) through(v string) (string, bool) {
	integer := false
	for range 4 {
		p := g.m.Graph.Producer(v)
		if p == nil || p.Op != "QuantizeLinear" && p.Op != "DequantizeLinear" && p.Op != "Identity" {
			break
		}
		integer = integer || p.Op == "DequantizeLinear"
		v = p.Inputs[0]
	}
	return v, integer
}

// own reports whether all inputs of n are made for it alone, by layers that can write where they are told to.
func (g *Graph) own(n *model.Node) bool {
	for _, v := range n.Inputs {
		src, _ := g.through(v)
		p := g.m.Graph.Producer(src)
		if p == nil || len(g.users(src)) != 1 || g.m.Graph.Output(src) != nil {
			return false
		}
		switch p.Op {
		case "Concat", "Reshape", "Flatten", "Transpose", "Slice", "Split", "Squeeze", "Unsqueeze":
			return false
		}
	}
	return true
}

// users are the nodes that read v, also through conversions.
func (g *Graph) users(v string) (out []*model.Node) {
	for _, n := range g.m.Graph.Users(v) {
		if n.Op == "QuantizeLinear" || n.Op == "DequantizeLinear" || n.Op == "Identity" {
			out = append(out, g.users(n.Outputs[0])...)
		} else {
			out = append(out, n)
		}
	}
	return out
}

func (g *Graph) dims(v string) ([]int, bool) {
	t, ok := g.types[v]
	d, known := t.Shape.Ints()
	return d, ok && t.Ranked && known
}
