package blocks

import (
	"slices"

	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

// block is a part of the model between two values that everything goes through.
type block struct {
	in, out string
	from    []int // shape of an item of in
	to      []int
	nodes   []*model.Node
	part    *model.Model // the block by itself
	why     string       // why it stays
	stands  []*stand     // the first is the block itself
	refused []string     // stand-ins that could not be made, with the reason
}

// find cuts m. A value that everything goes through ends a block where enough has been computed: two layers with weights, or one where the next
// part has more by itself, as a residual block has. Behind the last layer of a block what only bends its values still belongs to it.
func find(m *model.Model) ([]*block, error) {
	typ := map[string]model.Type{}
	for _, v := range m.Graph.Free() {
		t := v.Type
		t.Shape = slices.Clone(t.Shape)
		for i := range t.Shape {
			if !t.Shape[i].Known() {
				t.Shape[i] = model.Fixed(1)
			}
		}
		typ[v.Name] = t
	}
	inf, _, err := ops.Infer(m, typ)
	if err != nil {
		return nil, err
	}
	if len(m.Graph.Free()) != 1 || len(m.Graph.Outputs) != 1 {
		return nil, nil
	}
	dims := func(v string) []int {
		d, ok := inf.Types[v].Shape.Ints()
		if !ok || inf.Types[v].DType != model.Float32 || len(d) != 4 || d[0] != 1 {
			return nil
		}
		return d
	}
	input := m.Graph.Free()[0].Name
	type gap struct {
		out    string
		layers int
	}
	var gaps []gap
	from := input
	for _, v := range optimizer.Waists(m, inf.Consts) {
		n := 0
		for _, node := range inside(m, from, v) {
			if layer(m, node) {
				n++
			}
		}
		last := len(gaps) - 1
		if n == 0 && last >= 0 && slices.Equal(dims(v), dims(gaps[last].out)) && dims(v) != nil {
			gaps[last].out = v // an activation function
		} else {
			gaps = append(gaps, gap{v, n})
		}
		from = v
	}
	var ends []string
	for i := 0; i < len(gaps); i++ {
		g := gaps[i]
		if i+1 < len(gaps) && g.layers == 1 && gaps[i+1].layers == 1 && dims(gaps[i+1].out) != nil {
			i, g = i+1, gaps[i+1] // two plain layers have channels between them
		}
		ends = append(ends, g.out)
	}
	var out []*block
	from = input
	for _, v := range ends {
		b := &block{in: from, out: v, from: dims(from), to: dims(v)}
		b.nodes = inside(m, from, v)
		from = v
		if !slices.ContainsFunc(b.nodes, func(n *model.Node) bool { return layer(m, n) }) {
			continue
		}
		if b.from == nil || b.to == nil {
			b.why = "it is not between two values of four dimensions"
		} else {
			b.alone(m)
		}
		out = append(out, b)
	}
	if len(out) < 2 {
		return nil, nil
	}
	return out, nil
}

// layer reports whether a node multiplies by stored weights.
func layer(m *model.Model, n *model.Node) bool {
	if n.Domain != "" || n.Op != "Conv" && n.Op != "Gemm" && n.Op != "MatMul" || len(n.Inputs) < 2 {
		return false
	}
	w := m.Graph.Init(n.Inputs[1])
	return w != nil && w.DType == model.Float32
}

// inside lists the nodes between two values, in the order of the graph.
func inside(m *model.Model, from, to string) []*model.Node {
	in := map[model.NodeID]bool{}
	todo := []string{to}
	for len(todo) > 0 {
		v := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		n := m.Graph.Producer(v)
		if v == from || n == nil || in[n.ID] {
			continue
		}
		in[n.ID] = true
		todo = append(todo, model.Reads(n)...)
	}
	var out []*model.Node
	for _, n := range m.Graph.Nodes {
		if in[n.ID] {
			out = append(out, n)
		}
	}
	return out
}

// alone makes the block a model of its own, or says why it cannot be one.
func (b *block) alone(m *model.Model) {
	v := optimizer.NewView(m, name)
	for _, n := range b.nodes {
		if len(n.Outputs) != 1 {
			b.why = n.Label() + " makes several values"
			return
		}
		for _, in := range n.Inputs {
			if t := m.Graph.Init(in); t != nil && t.DType == model.Float32 && t.Len() > 1 && v.Shared("", in, b.nodes...) != "" {
				b.why = v.Shared("the constant", in, b.nodes...)
				return
			}
		}
		for _, o := range n.Outputs {
			if o != b.out && v.OtherReader(o, b.nodes...) != "" {
				b.why = "the value " + o + " inside it is read elsewhere"
				return
			}
		}
	}
	types := map[string]model.Type{
		b.in:  model.TensorType(model.Float32, model.FixedShape(b.from...)),
		b.out: model.TensorType(model.Float32, model.FixedShape(b.to...)),
	}
	part, err := m.Extract([]string{b.in}, []string{b.out}, types)
	if err != nil {
		b.why = err.Error()
		return
	}
	g := part.Graph.Shallow()
	g.Inputs = []model.Value{{Name: b.in, Type: types[b.in]}}
	g.Outputs = []model.Value{{Name: b.out, Type: types[b.out]}}
	g.Values = nil
	b.part = m.WithGraph(g)
	if len(part.Graph.Inputs) != 1 {
		b.why = "it reads other inputs of the model"
	}
}
