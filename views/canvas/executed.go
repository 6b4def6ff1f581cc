package canvas

import (
	"slices"
	"strings"

	"fettle/app"
	"fettle/model"
	"fettle/profiler"
	"fettle/views/kit"
	"fettle/views/kit/graph"
)

// drawExecuted is the plan of a run: one item a step. A plan does not say which step reads which, so wires follow the
// imported graph: from the steps that stand for a node to the steps that stand for its readers. Nodes without a step,
// such as folded constants, hand their wires on.
func drawExecuted(doc *app.Doc, p *profiler.Profile) *drawing {
	d := &drawing{mode: executed, info: infoByID(doc.BaseInfo)}
	g := doc.Base.Graph
	carriers := map[string][]int32{} // values that no node makes, or that nobody executes: by whom they come
	for _, v := range g.Free() {
		carriers[v.Name] = []int32{d.edge(v)}
	}
	covers := map[string][]int32{} // steps by imported node
	named := map[int32]string{}    // the node that a step is named after
	for i := range p.Layers {
		l := &p.Layers[i]
		at := d.step(doc, l)
		for _, o := range l.Origin {
			covers[o] = append(covers[o], at)
			if o == l.Name {
				named[at] = o
			}
		}
		if len(l.Origin) == 0 && i > 0 { // a step of the engine's own, a change of layout: it follows the one before
			d.wire(at-1, at)
		}
	}
	for _, n := range g.Nodes {
		mine := stepsOf(string(n.ID), covers[string(n.ID)], named)
		for k := 1; k < len(mine); k++ { // several steps for one node run one after the other
			d.wire(mine[k-1], mine[k])
		}
		var from []int32
		for _, in := range model.Reads(n) {
			from = append(from, carriers[in]...)
		}
		out := from
		if len(mine) > 0 {
			for _, f := range from {
				d.wire(f, firstAfter(mine, f))
			}
			out = mine[len(mine)-1:]
		}
		for _, o := range n.Outputs {
			if o != "" {
				carriers[o] = out
			}
		}
	}
	for _, v := range g.Outputs {
		i := d.edge(v)
		for _, f := range carriers[v.Name] {
			d.wire(f, i)
		}
	}
	return d.finish()
}

// stepsOf picks the steps that do a node's work among those that list it: a quantized step lists the nodes around it too.
// One that is named after another node counts only where no step is named after this one, and then only the first.
func stepsOf(node string, all []int32, named map[int32]string) []int32 {
	var out []int32
	owner := false
	for _, s := range all {
		owner = owner || named[s] == node
	}
	for _, s := range all {
		other := named[s] != "" && named[s] != node
		if other && owner {
			continue
		}
		out = append(out, s)
		owner = owner || other
	}
	return out
}

// firstAfter is the first step that comes after f, or f where it is one of them.
func firstAfter(steps []int32, f int32) int32 {
	for _, s := range steps {
		if s == f || s > f {
			return s
		}
	}
	return f
}

func (d *drawing) step(doc *app.Doc, l *profiler.Layer) int32 {
	scope, rest := graph.Scope(l.Name)
	it := graph.Item{ID: l.ID, Name: l.Name, Scope: scope, Title: rest, Op: l.Op, Badge: kit.ShortType(l.DType), Origins: l.Origin}
	k := kindOf(l.Op)
	it.Small = k.small()
	it.Sub = l.Op
	n := leadOf(doc.Base.Graph, l.Name, l.Origin)
	if n != nil && (n.Op == l.Op || strings.HasSuffix(l.Op, ":"+n.Op)) {
		it.Sub = describe(doc.Base, n, nil)
		if rest := others(doc.Base.Graph, l.Origin, n); len(rest) > 0 {
			it.Sub += " · " + strings.Join(rest, " ")
		}
	}
	if it.Small {
		it.Badge, it.Sub = "", shortOp(it)
	}
	return d.add(it, behind{layer: l, node: n, kind: k})
}

// leadOf is the imported node that a step stands for: the one it is named after, else the first of the heaviest kind.
func leadOf(g *model.Graph, name string, origins []string) *model.Node {
	var best *model.Node
	for _, o := range origins {
		n := g.Node(model.NodeID(o))
		if n == nil {
			continue
		}
		if o == name || n.Name == name {
			return n
		}
		if best == nil || kindOf(n.Op) < kindOf(best.Op) {
			best = n
		}
	}
	return best
}

// others are the operators that a step does besides its lead, each once.
func others(g *model.Graph, origins []string, lead *model.Node) []string {
	var out []string
	for _, o := range origins {
		n := g.Node(model.NodeID(o))
		if n == nil || n.Op == lead.Op || slices.Contains(out, shortName(n.Op)) {
			continue
		}
		out = append(out, shortName(n.Op))
	}
	return out
}
