package prune

import (
	"math"

	"fettle/app"
	"fettle/model"
	"fettle/views/kit/graph"
)

// drawing is the model that is cut as a graph: layers of groups are coloured by how much goes of them.
type drawing struct {
	m     *model.Model
	tree  *graph.Tree
	items []graph.Item
	by    map[string][]int32 // items by imported node
}

// draw puts the nodes of a model into a tree. Nodes that only hold a constant are left out.
func draw(m *model.Model) *drawing {
	d := &drawing{m: m, by: map[string][]int32{}}
	g := m.Graph
	maker := map[string]int32{}
	var wires []graph.Wire
	add := func(it graph.Item) int32 {
		i := int32(len(d.items))
		d.items = append(d.items, it)
		for _, o := range it.Origins {
			d.by[o] = append(d.by[o], i)
		}
		return i
	}
	for _, v := range g.Free() {
		maker[v.Name] = add(graph.Item{Name: v.Name, Title: v.Name, Edge: true, Small: true})
	}
	for _, n := range g.Nodes {
		if n.Op == "Constant" {
			continue
		}
		scope, rest := graph.Scope(n.Label())
		it := graph.Item{ID: string(n.ID), Name: n.Label(), Scope: scope, Title: rest, Op: n.Op, Sub: n.Op}
		for _, o := range n.Origin {
			it.Origins = append(it.Origins, string(o))
		}
		it.Small = n.Op != "Conv" && n.Op != "Gemm" && n.Op != "MatMul" && n.Op != "ConvTranspose"
		if it.Small || it.Sub == it.Title {
			it.Sub = ""
		}
		i := add(it)
		for _, in := range model.Reads(n) {
			if from, ok := maker[in]; ok && from != i {
				wires = append(wires, graph.Wire{From: from, To: i})
			}
		}
		for _, o := range n.Outputs {
			if o != "" {
				maker[o] = i
			}
		}
	}
	for _, v := range g.Outputs {
		i := add(graph.Item{Name: v.Name, Title: v.Name, Edge: true, Small: true})
		if from, ok := maker[v.Name]; ok {
			wires = append(wires, graph.Wire{From: from, To: i})
		}
	}
	d.tree = graph.NewTree(d.items, wires)
	return d
}

// gone is, for each item, the share of its channels that is picked to go; NaN where none can.
func (d *drawing) gone(doc *app.Doc) []float64 {
	out := make([]float64, len(d.items))
	for i := range out {
		out[i] = math.NaN()
	}
	for _, g := range groups(doc) {
		if g.locked != "" || g.channels == 0 {
			continue
		}
		for _, k := range g.keys[:g.making] {
			for _, i := range d.by[k] {
				out[i] = float64(g.channels-g.kept) / float64(g.channels)
			}
		}
	}
	return out
}

// of are the items that stand for imported nodes.
func (d *drawing) of(keys []string) []int32 {
	var out []int32
	for _, k := range keys {
		out = append(out, d.by[k]...)
	}
	return out
}
