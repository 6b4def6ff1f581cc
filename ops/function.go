package ops

import (
	"fettle/internal/fail"
	"fettle/model"
)

// Body is the graph of function f as node n calls it: attribute references are replaced by n's attributes or
// the function's defaults. The model returned has the function's opsets, for looking operators up.
func Body(m *model.Model, n *model.Node, f *model.Function) (*model.Graph, *model.Model, error) {
	attrs := map[string]*model.Attr{}
	for i := range f.Defaults {
		attrs[f.Defaults[i].Name] = &f.Defaults[i]
	}
	for i := range n.Attrs {
		attrs[n.Attrs[i].Name] = &n.Attrs[i]
	}
	g := &model.Graph{Name: f.Name}
	for _, in := range f.Inputs {
		g.Inputs = append(g.Inputs, model.Value{Name: in})
	}
	for _, o := range f.Outputs {
		g.Outputs = append(g.Outputs, model.Value{Name: o})
	}
	for _, fn := range f.Nodes {
		c, err := bind(fn, attrs)
		if err != nil {
			return nil, nil, fail.In(err, "", fail.Where{Node: string(n.ID), Op: n.Op})
		}
		g.Nodes = append(g.Nodes, c)
	}
	model.AssignIDs(g, string(n.ID)+"/")
	for _, c := range g.Nodes {
		c.Origin = n.Origin
	}
	opsets := f.Opsets
	if len(opsets) == 0 {
		opsets = m.Opsets
	}
	fm := &model.Model{IRVersion: m.IRVersion, Opsets: opsets, Functions: m.Functions, Graph: g}
	return g, fm, nil
}

func bind(n *model.Node, attrs map[string]*model.Attr) (*model.Node, error) {
	c := *n
	c.Attrs = nil
	for _, a := range n.Attrs {
		if a.Ref != "" {
			v := attrs[a.Ref]
			if v == nil {
				continue // an optional attribute of the function that the call leaves out
			}
			b := *v
			b.Name, b.Raw = a.Name, nil
			c.Attrs = append(c.Attrs, b)
			continue
		}
		if a.G != nil {
			g := &model.Graph{Name: a.G.Name, Inputs: a.G.Inputs, Outputs: a.G.Outputs, Inits: a.G.Inits, Values: a.G.Values}
			for _, sub := range a.G.Nodes {
				b, err := bind(sub, attrs)
				if err != nil {
					return nil, err
				}
				g.Nodes = append(g.Nodes, b)
			}
			a.G, a.Raw = g, nil
		}
		c.Attrs = append(c.Attrs, a)
	}
	return &c, nil
}
