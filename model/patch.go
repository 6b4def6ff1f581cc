package model

import (
	"sort"

	"fettle/internal/fail"
)

// Patch is one edit of a graph: nodes dropped, nodes added, readers of one value sent to another, constants
// added. Patches are plain data; Apply makes a new model and leaves the old one as it was.
type Patch struct {
	Drop      []NodeID
	Add       []*Node           // put where the first dropped node stood, else placed by their inputs
	Redirect  map[string]string // readers and outputs of the key read the value instead
	Inits     []*Init           // added or replaced by name
	DropInits []string
	Outputs   []string        // outputs removed from the graph
	Types     map[string]Type // declared types of new values
	Functions []*Function     // model-local functions that Add needs; equal ones are kept once
	Opsets    []Opset         // imported if missing
	MinIR     int64           // raise the IR version to this
	Meta      []KV            // metadata set
}

// Overlaps reports whether two patches touch the same nodes, so that they cannot be applied together.
func (p *Patch) Overlaps(q *Patch) bool {
	drop := make(map[NodeID]bool, len(p.Drop))
	for _, d := range p.Drop {
		drop[d] = true
	}
	for _, d := range q.Drop {
		if drop[d] {
			return true
		}
	}
	return false
}

// Apply makes a new model with all patches applied at once. The patches must not drop the same node twice;
// they may read each other's redirected values. The nodes are sorted topologically, keeping their order where
// it is free. Errors are fail.Internal: a patch that breaks the graph is a bug of the pass.
func (m *Model) Apply(patches ...*Patch) (*Model, error) {
	g := m.Graph
	drop := map[NodeID]bool{}
	redirect := map[string]string{}
	addAt := map[int][]*Node{} // position -> nodes put before it
	var tail []*Node
	inits := map[string]*Init{}
	var newInits []*Init
	dropInit := map[string]bool{}
	dropOut := map[string]bool{}
	types := map[string]Type{}
	out := *modelHeader(m)
	for _, p := range patches {
		first := -1
		for _, d := range p.Drop {
			if drop[d] {
				return nil, fail.New(fail.Internal, "two patches drop node %q", d)
			}
			drop[d] = true
			pos := g.Position(d)
			if pos < 0 {
				return nil, fail.New(fail.Internal, "a patch drops node %q, which is not there", d)
			}
			// The replacement may read what any dropped node read, so it stands where the last one stood.
			first = max(first, pos)
		}
		if first < 0 {
			tail = append(tail, p.Add...)
		} else {
			addAt[first] = append(addAt[first], p.Add...)
		}
		for k, v := range p.Redirect {
			redirect[k] = v
		}
		for _, in := range p.Inits {
			if inits[in.Name] == nil {
				newInits = append(newInits, in)
			}
			inits[in.Name] = in
		}
		for _, n := range p.DropInits {
			dropInit[n] = true
		}
		for _, n := range p.Outputs {
			dropOut[n] = true
		}
		for k, v := range p.Types {
			types[k] = v
		}
		out.addDeclarations(p)
	}
	resolve := func(v string) string {
		for range len(redirect) + 1 {
			to, ok := redirect[v]
			if !ok {
				return v
			}
			v = to
		}
		return v
	}

	ng := &Graph{Name: g.Name, Doc: g.Doc, Meta: g.Meta, Unknown: g.Unknown, Inputs: g.Inputs}
	nodes := make([]*Node, 0, len(g.Nodes)+4)
	for i, n := range g.Nodes {
		for _, a := range addAt[i] {
			nodes = append(nodes, readThrough(a, resolve, redirect))
		}
		if !drop[n.ID] {
			nodes = append(nodes, readThrough(n, resolve, redirect))
		}
	}
	for _, a := range tail {
		nodes = append(nodes, readThrough(a, resolve, redirect))
	}
	for _, o := range g.Outputs {
		if dropOut[o.Name] {
			continue
		}
		if to := resolve(o.Name); to != o.Name {
			return nil, fail.New(fail.Internal, "a patch redirects the graph output %q", o.Name)
		}
		ng.Outputs = append(ng.Outputs, o)
	}
	for _, in := range g.Inits {
		switch {
		case inits[in.Name] != nil:
			ng.Inits = append(ng.Inits, inits[in.Name])
			delete(inits, in.Name)
		case !dropInit[in.Name]:
			ng.Inits = append(ng.Inits, in)
		}
	}
	for _, in := range newInits {
		if inits[in.Name] != nil {
			ng.Inits = append(ng.Inits, inits[in.Name])
			delete(inits, in.Name)
		}
	}
	if len(dropInit) > 0 {
		ng.Inputs = nil // an initializer that was also listed as an input goes from both
		for _, v := range g.Inputs {
			if !dropInit[v.Name] {
				ng.Inputs = append(ng.Inputs, v)
			}
		}
	}
	ng.Nodes = sortNodes(nodes, ng)
	ng.Values = keepValues(g, ng, types)
	out.Graph = ng
	if err := ng.Check(nil); err != nil {
		return nil, fail.New(fail.Internal, "a patch broke the graph: %v", err)
	}
	return &out, nil
}

func modelHeader(m *Model) *Model {
	return &Model{IRVersion: m.IRVersion, Opsets: append([]Opset(nil), m.Opsets...), Producer: m.Producer, ProducerVer: m.ProducerVer,
		Domain: m.Domain, ModelVer: m.ModelVer, Doc: m.Doc, Functions: append([]*Function(nil), m.Functions...),
		Metadata: append([]KV(nil), m.Metadata...), Unknown: m.Unknown}
}

// WithGraph is m with another graph and the same declarations.
func (m *Model) WithGraph(g *Graph) *Model {
	c := modelHeader(m)
	c.Graph = g
	return c
}

func (m *Model) addDeclarations(p *Patch) {
	for _, f := range p.Functions {
		if m.Function(f.Domain, f.Name, f.Overload) == nil {
			if len(f.Opsets) == 0 { // its nodes mean what the same nodes in this graph would
				c := *f
				c.Opsets = []Opset{{Version: int64(m.Opset(""))}}
				f = &c
			}
			m.Functions = append(m.Functions, f)
		}
	}
	for _, o := range p.Opsets {
		if m.Opset(o.Domain) == 0 {
			m.Opsets = append(m.Opsets, o)
		}
	}
	m.IRVersion = max(m.IRVersion, p.MinIR)
	for _, kv := range p.Meta {
		set := false
		for i := range m.Metadata {
			if m.Metadata[i].Key == kv.Key {
				m.Metadata[i].Value, set = kv.Value, true
			}
		}
		if !set {
			m.Metadata = append(m.Metadata, kv)
		}
	}
}

// ReadThrough is n with the values that it and its subgraphs read replaced by those that read names.
func ReadThrough(n *Node, read map[string]string) *Node {
	resolve := func(v string) string {
		if to, ok := read[v]; ok {
			return to
		}
		return v
	}
	return readThrough(n, resolve, read)
}

// readThrough is n with its reads redirected, in its subgraphs too; n itself when nothing changes.
func readThrough(n *Node, resolve func(string) string, redirect map[string]string) *Node {
	if len(redirect) == 0 {
		return n
	}
	touched := false
	for _, r := range Reads(n) {
		if _, ok := redirect[r]; ok {
			touched = true
			break
		}
	}
	if !touched {
		return n
	}
	c := *n
	c.Raw = nil
	c.Inputs = append([]string(nil), n.Inputs...)
	for i, in := range c.Inputs {
		c.Inputs[i] = resolve(in)
	}
	c.Attrs = append([]Attr(nil), n.Attrs...)
	for i := range c.Attrs {
		a := &c.Attrs[i]
		if a.G != nil {
			a.G = graphThrough(a.G, resolve, redirect)
			a.Raw = nil
		}
		if len(a.Graphs) > 0 {
			gs := make([]*Graph, len(a.Graphs))
			for k, g := range a.Graphs {
				gs[k] = graphThrough(g, resolve, redirect)
			}
			a.Graphs, a.Raw = gs, nil
		}
	}
	return &c
}

func graphThrough(g *Graph, resolve func(string) string, redirect map[string]string) *Graph {
	c := &Graph{Name: g.Name, Doc: g.Doc, Inputs: g.Inputs, Values: g.Values, Inits: g.Inits, Meta: g.Meta, Unknown: g.Unknown}
	for _, n := range g.Nodes {
		c.Nodes = append(c.Nodes, readThrough(n, resolve, redirect))
	}
	for _, o := range g.Outputs {
		o.Name = resolve(o.Name)
		c.Outputs = append(c.Outputs, o)
	}
	return c
}

// sortNodes puts nodes in topological order; among ready nodes the earlier in the list comes first.
func sortNodes(nodes []*Node, g *Graph) []*Node {
	producer := make(map[string]int, len(nodes))
	for i, n := range nodes {
		for _, o := range n.Outputs {
			if o != "" {
				producer[o] = i
			}
		}
	}
	ordered := true
	wait := make([]int, len(nodes))
	readers := make([][]int, len(nodes))
	for i, n := range nodes {
		for _, r := range Reads(n) {
			if p, ok := producer[r]; ok {
				readers[p] = append(readers[p], i)
				wait[i]++
				if p >= i {
					ordered = false
				}
			}
		}
	}
	if ordered {
		return nodes
	}
	var ready intHeap
	for i := range nodes {
		if wait[i] == 0 {
			ready.push(i)
		}
	}
	out := make([]*Node, 0, len(nodes))
	for len(ready) > 0 {
		i := ready.pop()
		out = append(out, nodes[i])
		for _, r := range readers[i] {
			if wait[r]--; wait[r] == 0 {
				ready.push(r)
			}
		}
	}
	if len(out) != len(nodes) {
		return nodes // a cycle: Check names it
	}
	return out
}

type intHeap []int

func (h *intHeap) push(v int) {
	*h = append(*h, v)
	for i := len(*h) - 1; i > 0; {
		p := (i - 1) / 2
		if (*h)[p] <= (*h)[i] {
			break
		}
		(*h)[p], (*h)[i] = (*h)[i], (*h)[p]
		i = p
	}
}

func (h *intHeap) pop() int {
	v := (*h)[0]
	last := len(*h) - 1
	(*h)[0] = (*h)[last]
	*h = (*h)[:last]
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			break
		}
		if c+1 < last && (*h)[c+1] < (*h)[c] {
			c++
		}
		if (*h)[i] <= (*h)[c] {
			break
		}
		(*h)[i], (*h)[c] = (*h)[c], (*h)[i]
		i = c
	}
	return v
}

// keepValues keeps the declared types of values that still exist and adds the new ones.
func keepValues(old, now *Graph, types map[string]Type) []Value {
	made := make(map[string]bool, len(now.Nodes))
	for _, n := range now.Nodes {
		for _, o := range n.Outputs {
			made[o] = true
		}
	}
	var out []Value
	for _, v := range old.Values {
		if t, ok := types[v.Name]; ok {
			v.Type, v.Raw = t, nil
			delete(types, v.Name)
		}
		if made[v.Name] {
			out = append(out, v)
		}
	}
	names := make([]string, 0, len(types))
	for n := range types {
		if made[n] && now.Output(n) == nil {
			names = append(names, n)
		}
	}
	sort.Strings(names)
	for _, n := range names {
		out = append(out, Value{Name: n, Type: types[n]})
	}
	return out
}
