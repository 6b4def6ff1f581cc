package model

import (
	"sort"

	"fettle/internal/fail"
)

// WithInputShapes is m with the given shapes of graph inputs. A rank or a fixed size that contradicts the model is
// fail.Invalid naming the input. Declared types of inner values are dropped: they may hold the old sizes.
func (m *Model) WithInputShapes(shapes map[string][]int) (*Model, error) {
	if len(shapes) == 0 {
		return m, nil
	}
	g := m.Graph.Shallow()
	g.Inputs = append([]Value(nil), g.Inputs...)
	for name, dims := range shapes {
		i := indexOf(g.Inputs, name)
		if i < 0 {
			return nil, fail.New(fail.Invalid, "the model has no such input").At(fail.Where{Tensor: name}).Try("the inputs are %s", nameList(m.Graph.Free()))
		}
		v := &g.Inputs[i]
		if v.Type.Ranked && len(v.Type.Shape) != len(dims) {
			return nil, fail.New(fail.Invalid, "the input has rank %d (%s), the shape given has %d", len(v.Type.Shape), v.Type.Shape, len(dims)).At(fail.Where{Tensor: name})
		}
		for k, d := range dims {
			if d < 0 {
				return nil, fail.New(fail.Invalid, "dimension %d is %d", k, d).At(fail.Where{Tensor: name})
			}
			if v.Type.Ranked && v.Type.Shape[k].Known() && v.Type.Shape[k].N != d {
				return nil, fail.New(fail.Invalid, "dimension %d of the input is fixed at %d", k, v.Type.Shape[k].N).At(fail.Where{Tensor: name})
			}
		}
		v.Type.Ranked, v.Type.Shape, v.Raw = true, FixedShape(dims...), nil
	}
	g.Values = nil
	g.Outputs = append([]Value(nil), g.Outputs...)
	for i := range g.Outputs { // sizes of outputs follow from the inputs
		g.Outputs[i].Type.Ranked, g.Outputs[i].Type.Shape, g.Outputs[i].Raw = false, nil, nil
	}
	return m.WithGraph(g), nil
}

// Extract is the part of m that computes the values to from the values from, which become its inputs. Values that are
// needed but are not in from must be constants or inputs of m. types declares values that m does not declare.
func (m *Model) Extract(from, to []string, types map[string]Type) (*Model, error) {
	g := m.Graph
	typeOf := func(name string) (Value, error) {
		if t, ok := g.Declared(name); ok {
			return Value{Name: name, Type: t}, nil
		}
		if t, ok := types[name]; ok {
			return Value{Name: name, Type: t}, nil
		}
		return Value{}, fail.New(fail.Invalid, "no type is known of this value").At(fail.Where{Tensor: name})
	}
	cut := map[string]bool{}
	for _, f := range from {
		cut[f] = true
	}
	keep, need := map[NodeID]bool{}, map[string]bool{}
	var walk []string
	for _, o := range to {
		if g.Producer(o) == nil {
			return nil, fail.New(fail.NotFound, "no node computes this value").At(fail.Where{Tensor: o}).Try("give the name of a node's output; fettle inspect --json lists them")
		}
		walk = append(walk, o)
	}
	for len(walk) > 0 {
		v := walk[len(walk)-1]
		walk = walk[:len(walk)-1]
		if need[v] {
			continue
		}
		need[v] = true
		if cut[v] {
			continue
		}
		if n := g.Producer(v); n != nil && !keep[n.ID] {
			keep[n.ID] = true
			walk = append(walk, Reads(n)...)
		}
	}
	out := &Graph{Name: g.Name, Doc: g.Doc, Meta: g.Meta, Unknown: g.Unknown}
	for _, n := range g.Nodes {
		if keep[n.ID] {
			out.Nodes = append(out.Nodes, n)
		}
	}
	for _, f := range from {
		if !need[f] {
			return nil, fail.New(fail.Invalid, "nothing of the part reads this value").At(fail.Where{Tensor: f}).Try("give values in the order of the graph: from..to")
		}
		v, err := typeOf(f)
		if err != nil {
			return nil, err
		}
		out.Inputs = append(out.Inputs, v)
	}
	for _, v := range g.Inputs {
		if need[v.Name] && !cut[v.Name] {
			out.Inputs = append(out.Inputs, v)
		}
	}
	for _, i := range g.Inits {
		if need[i.Name] && !cut[i.Name] {
			out.Inits = append(out.Inits, i)
		}
	}
	for _, v := range g.Values {
		if need[v.Name] && !cut[v.Name] && indexOf(to, v.Name) < 0 {
			out.Values = append(out.Values, v)
		}
	}
	for _, o := range to {
		v, err := typeOf(o)
		if err != nil {
			return nil, err
		}
		out.Outputs = append(out.Outputs, v)
	}
	if err := out.Check(nil); err != nil {
		return nil, fail.In(err, "extract", fail.Where{})
	}
	return m.WithGraph(out), nil
}

// Shallow is a graph of the same nodes and values, for who builds a changed one before it is published.
func (g *Graph) Shallow() *Graph {
	return &Graph{Name: g.Name, Doc: g.Doc, Nodes: g.Nodes, Inputs: g.Inputs, Outputs: g.Outputs, Values: g.Values, Inits: g.Inits, Meta: g.Meta, Unknown: g.Unknown}
}

type named interface{ Value | string }

func indexOf[T named](list []T, name string) int {
	for i := range list {
		switch v := any(list[i]).(type) {
		case Value:
			if v.Name == name {
				return i
			}
		case string:
			if v == name {
				return i
			}
		}
	}
	return -1
}

func nameList(vs []Value) string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = v.Name
	}
	sort.Strings(out)
	s := ""
	for i, n := range out {
		if i > 0 {
			s += ", "
		}
		s += n
	}
	return s
}

// WithInputTypes is m with other declared types of some graph inputs; names that are no input are ignored.
func (m *Model) WithInputTypes(types map[string]Type) *Model {
	g := m.Graph.Shallow()
	g.Inputs = append([]Value(nil), g.Inputs...)
	for i := range g.Inputs {
		if t, ok := types[g.Inputs[i].Name]; ok {
			g.Inputs[i].Type, g.Inputs[i].Raw = t, nil
		}
	}
	return m.WithGraph(g)
}
