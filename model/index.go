package model

import "fettle/internal/fail"

// Index answers who makes and who reads a value of one graph.
type Index struct {
	node     map[NodeID]int
	producer map[string]int
	users    map[string][]int // node positions, ascending; subgraph readers count for the node that holds them
	init     map[string]int
	input    map[string]int
	output   map[string]int
	value    map[string]int
}

// Index builds the look-up tables of g once.
func (g *Graph) Index() *Index {
	g.once.Do(func() {
		x := &Index{node: make(map[NodeID]int, len(g.Nodes)), producer: make(map[string]int, len(g.Nodes)),
			users: make(map[string][]int, len(g.Nodes)), init: make(map[string]int, len(g.Inits)),
			input: map[string]int{}, output: map[string]int{}, value: make(map[string]int, len(g.Values))}
		for i, n := range g.Nodes {
			x.node[n.ID] = i
			for _, o := range n.Outputs {
				if o != "" {
					x.producer[o] = i
				}
			}
			for _, in := range Reads(n) {
				if u := x.users[in]; len(u) == 0 || u[len(u)-1] != i {
					x.users[in] = append(u, i)
				}
			}
		}
		for i := range g.Inits {
			x.init[g.Inits[i].Name] = i
		}
		for i := range g.Inputs {
			x.input[g.Inputs[i].Name] = i
		}
		for i := range g.Outputs {
			x.output[g.Outputs[i].Name] = i
		}
		for i := range g.Values {
			x.value[g.Values[i].Name] = i
		}
		g.index = x
	})
	return g.index
}

// Reads lists every value n needs: its inputs and the outer names its subgraphs read.
func Reads(n *Node) []string {
	var out []string
	for _, in := range n.Inputs {
		if in != "" {
			out = append(out, in)
		}
	}
	for i := range n.Attrs {
		if n.Attrs[i].G != nil {
			out = append(out, Outer(n.Attrs[i].G)...)
		}
		for _, g := range n.Attrs[i].Graphs {
			out = append(out, Outer(g)...)
		}
	}
	return out
}

// Outer lists the names that g reads but does not define.
func Outer(g *Graph) []string {
	def := map[string]bool{}
	for _, v := range g.Inputs {
		def[v.Name] = true
	}
	for _, i := range g.Inits {
		def[i.Name] = true
	}
	var out []string
	seen := map[string]bool{}
	read := func(s string) {
		if s != "" && !def[s] && !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	for _, n := range g.Nodes {
		for _, r := range Reads(n) {
			read(r)
		}
		for _, o := range n.Outputs {
			def[o] = true
		}
	}
	for _, o := range g.Outputs {
		read(o.Name)
	}
	return out
}

// Node finds a node by id, or nil.
func (g *Graph) Node(id NodeID) *Node {
	if i, ok := g.Index().node[id]; ok {
		return g.Nodes[i]
	}
	return nil
}

// Position is the place of node id in Nodes, or -1.
func (g *Graph) Position(id NodeID) int {
	if i, ok := g.Index().node[id]; ok {
		return i
	}
	return -1
}

// Producer is the node that makes value, or nil for inputs and constants.
func (g *Graph) Producer(value string) *Node {
	if i, ok := g.Index().producer[value]; ok {
		return g.Nodes[i]
	}
	return nil
}

// Users lists the nodes that read value, in order; a node appears once.
func (g *Graph) Users(value string) []*Node {
	u := g.Index().users[value]
	out := make([]*Node, len(u))
	for i, p := range u {
		out[i] = g.Nodes[p]
	}
	return out
}

// Init gives the constant called name, or nil.
func (g *Graph) Init(name string) *Tensor {
	if i, ok := g.Index().init[name]; ok {
		return g.Inits[i].Tensor
	}
	return nil
}

// Constant gives the constant called name unless a caller can override it: an initializer that is also a
// graph input is only a default (ONNX IR specification, "Graphs"), yet exporters before IR version 4 listed
// all of them; overridable says to treat those as constants too.
func (g *Graph) Constant(name string, overridable bool) *Tensor {
	if !overridable && g.Input(name) != nil {
		return nil
	}
	return g.Init(name)
}

// Input finds a graph input, or nil.
func (g *Graph) Input(name string) *Value {
	if i, ok := g.Index().input[name]; ok {
		return &g.Inputs[i]
	}
	return nil
}

// Output finds a graph output, or nil.
func (g *Graph) Output(name string) *Value {
	if i, ok := g.Index().output[name]; ok {
		return &g.Outputs[i]
	}
	return nil
}

// Declared gives the declared type of an inner value, input or output.
func (g *Graph) Declared(name string) (Type, bool) {
	x := g.Index()
	if i, ok := x.value[name]; ok {
		return g.Values[i].Type, true
	}
	if i, ok := x.input[name]; ok {
		return g.Inputs[i].Type, true
	}
	if i, ok := x.output[name]; ok {
		return g.Outputs[i].Type, true
	}
	return Type{}, false
}

// Free lists the inputs a caller has to give: those without an initializer.
func (g *Graph) Free() []Value {
	var out []Value
	for _, v := range g.Inputs {
		if g.Init(v.Name) == nil {
			out = append(out, v)
		}
	}
	return out
}

// Check tests the rules every graph keeps: each value is made once, before it is read (so there is no
// cycle), and each output exists. outer names are defined around the graph.
func (g *Graph) Check(outer map[string]bool) error {
	def := make(map[string]bool, len(g.Nodes)+len(g.Inits)+len(outer))
	for k := range outer {
		def[k] = true
	}
	own := make(map[string]bool, len(g.Nodes))
	ids := make(map[NodeID]bool, len(g.Nodes))
	for i, v := range g.Inputs {
		if v.Name == "" {
			return fail.New(fail.Invalid, "graph input %d has no name", i).At(fail.Where{Field: "graph.input"})
		}
		if own[v.Name] {
			return fail.New(fail.Invalid, "graph input %q is listed twice", v.Name).At(fail.Where{Tensor: v.Name, Field: "graph.input"})
		}
		def[v.Name], own[v.Name] = true, true
	}
	inits := make(map[string]bool, len(g.Inits))
	for _, in := range g.Inits {
		if inits[in.Name] {
			return fail.New(fail.Invalid, "initializer is listed twice").At(fail.Where{Tensor: in.Name, Field: "graph.initializer"})
		}
		inits[in.Name] = true
		def[in.Name], own[in.Name] = true, true
	}
	makes := make(map[string]bool, len(g.Nodes))
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			makes[o] = true
		}
	}
	for _, n := range g.Nodes {
		if ids[n.ID] {
			return fail.New(fail.Internal, "two nodes have the id %q", n.ID)
		}
		ids[n.ID] = true
		for _, r := range Reads(n) {
			if def[r] {
				continue
			}
			w := fail.Where{Node: string(n.ID), Op: n.Op, Tensor: r}
			if makes[r] {
				return fail.New(fail.Invalid, "reads value %q before it is made: the graph has a cycle or its nodes are not in topological order", r).At(w)
			}
			return fail.New(fail.Invalid, "reads value %q, which nothing makes", r).At(w)
		}
		for i := range n.Attrs {
			for _, sub := range append([]*Graph{n.Attrs[i].G}, n.Attrs[i].Graphs...) {
				if sub == nil {
					continue
				}
				if err := sub.Check(def); err != nil {
					return fail.In(err, "", fail.Where{Node: string(n.ID), Op: n.Op, Attr: n.Attrs[i].Name})
				}
			}
		}
		for _, o := range n.Outputs {
			if o == "" {
				continue
			}
			if own[o] {
				return fail.New(fail.Invalid, "value %q is made twice", o).At(fail.Where{Node: string(n.ID), Op: n.Op, Tensor: o})
			}
			def[o], own[o] = true, true
		}
	}
	for _, o := range g.Outputs {
		if !def[o.Name] {
			return fail.New(fail.Invalid, "graph output %q is made by nothing", o.Name).At(fail.Where{Tensor: o.Name, Field: "graph.output"})
		}
	}
	return nil
}
