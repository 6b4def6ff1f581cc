package canvas

import (
	"slices"
	"strings"

	"fettle/model"
	"fettle/views/kit/graph"
)

// compare marks what differs from base and adds ghosts of nodes that are gone without an heir.
func (d *drawing) compare(base *model.Model) {
	g := base.Graph
	heirs := map[model.NodeID][]int32{} // items that stand for an imported node
	for i := range d.items {
		n := d.behind[i].node
		if n == nil {
			continue
		}
		for _, o := range n.Origin {
			heirs[o] = append(heirs[o], int32(i))
		}
		d.items[i].Diff = diffOf(g, d.m.Graph, n)
		if d.items[i].Diff == graph.Changed {
			if s := standsFor(g, n); s != "" {
				d.items[i].Sub = s
			}
		}
	}
	d.ghosts(g, heirs)
}

func diffOf(base, now *model.Graph, n *model.Node) graph.Diff {
	if old := base.Node(n.ID); old != nil {
		if sameWork(old, n) && sameConstants(base, now, n) {
			return graph.Same
		}
		return graph.Changed
	}
	for _, o := range n.Origin {
		if old := base.Node(o); old != nil && kindOf(old.Op) == kindOf(n.Op) {
			return graph.Changed
		}
	}
	return graph.Added
}

// sameWork reports whether two nodes differ at most in the names of what they read.
func sameWork(a, b *model.Node) bool {
	if a == b {
		return true
	}
	return a.Op == b.Op && a.Domain == b.Domain && len(a.Inputs) == len(b.Inputs) &&
		slices.EqualFunc(a.Attrs, b.Attrs, func(x, y model.Attr) bool {
			return x.Name == y.Name && x.I == y.I && x.F == y.F && string(x.S) == string(y.S) && x.T == y.T && x.G == y.G && slices.Equal(x.Ints, y.Ints) && slices.Equal(x.Floats, y.Floats)
		})
}

// sameConstants reports whether the weights that a node reads are those of before: pruning changes nothing else.
func sameConstants(base, now *model.Graph, n *model.Node) bool {
	for _, in := range n.Inputs {
		if a, b := base.Init(in), now.Init(in); a != nil && b != nil && a != b {
			return false
		}
	}
	return true
}

// standsFor lists the operators that were merged into one node: Conv + BatchNormalization + Relu.
func standsFor(g *model.Graph, n *model.Node) string {
	if len(n.Origin) < 2 {
		return ""
	}
	at := make([]int, 0, len(n.Origin))
	for _, o := range n.Origin {
		if p := g.Position(o); p >= 0 {
			at = append(at, p)
		}
	}
	slices.Sort(at)
	ops := make([]string, len(at))
	for i, p := range at {
		ops[i] = shortName(g.Nodes[p].Op)
	}
	return strings.Join(ops, " + ")
}

// ghosts adds the nodes of base that nothing stands for, between the heirs of their neighbours.
func (d *drawing) ghosts(g *model.Graph, heirs map[model.NodeID][]int32) {
	ghost := map[model.NodeID]int32{}
	for _, n := range g.Nodes {
		if len(heirs[n.ID]) > 0 || isConstant(g, n) {
			continue
		}
		scope, rest := graph.Scope(n.Label())
		ghost[n.ID] = d.add(graph.Item{ID: string(n.ID), Name: n.Label(), Scope: scope, Title: rest, Op: opName(n), Sub: opName(n),
			Origins: []string{string(n.ID)}, Diff: graph.Removed, Small: true}, behind{node: n, kind: kindOf(n.Op)})
	}
	if len(ghost) == 0 {
		return
	}
	edges := map[string]int32{}
	for i := range d.items {
		if v := d.behind[i].value; v != nil {
			edges[v.Name] = int32(i)
		}
	}
	stand := func(n *model.Node, last bool) (int32, bool) {
		if i, ok := ghost[n.ID]; ok {
			return i, true
		}
		h := heirs[n.ID]
		if len(h) == 0 {
			return 0, false
		}
		if last {
			return h[len(h)-1], true
		}
		return h[0], true
	}
	for _, n := range g.Nodes {
		_, gone := ghost[n.ID]
		for _, in := range model.Reads(n) {
			p := g.Producer(in)
			if p == nil {
				if e, ok := edges[in]; ok && gone {
					d.wire(e, ghost[n.ID])
				}
				continue
			}
			if _, also := ghost[p.ID]; !gone && !also {
				continue
			}
			from, ok1 := stand(p, true)
			to, ok2 := stand(n, false)
			if ok1 && ok2 {
				d.wire(from, to)
			}
		}
	}
}

// sort puts items into topological order, keeping their order where it is free: inputs first, outputs last.
func (d *drawing) sort() {
	n := len(d.items)
	wait := make([]int, n)
	out := make([][]int32, n)
	for _, w := range d.wires {
		out[w.From] = append(out[w.From], w.To)
		wait[w.To]++
	}
	order := make([]int32, 0, n)
	done := make([]bool, n)
	var ready []int32
	for i := range n {
		if wait[i] == 0 {
			ready = append(ready, int32(i))
		}
	}
	for len(order) < n {
		if len(ready) == 0 { // a loop through a ghost: the tree drops the wire that goes back
			for i := range n {
				if !done[i] {
					ready = append(ready, int32(i))
					break
				}
			}
		}
		i := ready[0]
		ready = ready[1:]
		if done[i] {
			continue
		}
		done[i] = true
		order = append(order, i)
		for _, to := range out[i] {
			if wait[to]--; wait[to] == 0 {
				at, _ := slices.BinarySearch(ready, to)
				ready = slices.Insert(ready, at, to)
			}
		}
	}
	place := make([]int32, n)
	items, back := make([]graph.Item, n), make([]behind, n)
	for p, i := range order {
		place[i] = int32(p)
		items[p], back[p] = d.items[i], d.behind[i]
	}
	for k, w := range d.wires {
		d.wires[k] = graph.Wire{From: place[w.From], To: place[w.To]}
	}
	d.items, d.behind = items, back
}
