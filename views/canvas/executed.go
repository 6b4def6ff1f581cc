package canvas

import (
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
	steps := map[string][]int32{} // by imported node
	for i := range p.Layers {
		l := &p.Layers[i]
		at := d.step(doc, l)
		for _, o := range l.Origin {
			steps[o] = append(steps[o], at)
		}
		if len(l.Origin) == 0 && i > 0 { // a step of the engine's own, a change of layout: it follows the one before
			d.wire(at-1, at)
		}
	}
	for _, n := range g.Nodes {
		mine := steps[string(n.ID)]
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
	n := lead(doc, l.Origin)
	if n != nil && (n.Op == l.Op || strings.HasSuffix(l.Op, ":"+n.Op)) {
		it.Sub = describe(doc.Base, n, nil)
		if rest := others(doc, l.Origin, n); len(rest) > 0 {
			it.Sub += " · " + strings.Join(rest, " ")
		}
	}
	if it.Small {
		it.Badge, it.Sub = "", shortOp(it)
	}
	return d.add(it, behind{layer: l, node: n, kind: k})
}

// lead is the imported node that gives a step its name: the one of the heaviest kind.
func lead(doc *app.Doc, origins []string) *model.Node {
	var best *model.Node
	for _, o := range origins {
		if n := doc.Base.Graph.Node(model.NodeID(o)); n != nil && (best == nil || kindOf(n.Op) < kindOf(best.Op)) {
			best = n
		}
	}
	return best
}

// others are the operators that a step does besides its lead.
func others(doc *app.Doc, origins []string, lead *model.Node) []string {
	var out []string
	for _, o := range origins {
		if n := doc.Base.Graph.Node(model.NodeID(o)); n != nil && n != lead {
			out = append(out, shortName(n.Op))
		}
	}
	return out
}
