package quantize

import "fettle/model"

// edits are changes to a written model: other constants, further ones, other inputs of nodes.
type edits struct {
	inits map[string]*model.Tensor
	add   []*model.Init
	nodes map[model.NodeID]*model.Node
}

// node is the copy of n to change.
func (e *edits) node(n *model.Node) *model.Node {
	if c := e.nodes[n.ID]; c != nil {
		return c
	}
	c := *n
	c.Raw = nil
	c.Inputs = append([]string(nil), n.Inputs...)
	e.nodes[n.ID] = &c
	return &c
}

// apply makes the changed model; constants that nothing reads any more are left out.
func (e *edits) apply(m *model.Model) *model.Model {
	g := &model.Graph{Name: m.Graph.Name, Doc: m.Graph.Doc, Inputs: m.Graph.Inputs, Outputs: m.Graph.Outputs, Values: m.Graph.Values, Meta: m.Graph.Meta, Unknown: m.Graph.Unknown}
	read := map[string]bool{}
	for _, n := range m.Graph.Nodes {
		if c := e.nodes[n.ID]; c != nil {
			n = c
		}
		g.Nodes = append(g.Nodes, n)
		for _, r := range model.Reads(n) {
			read[r] = true
		}
	}
	for _, in := range m.Graph.Inits {
		if t := e.inits[in.Name]; t != nil {
			in = &model.Init{Name: in.Name, Tensor: t}
		}
		if read[in.Name] || m.Graph.Output(in.Name) != nil || m.Graph.Input(in.Name) != nil {
			g.Inits = append(g.Inits, in)
		}
	}
	g.Inits = append(g.Inits, e.add...)
	return m.WithGraph(g)
}
