// Package canvas is the Model screen: the tree of layers, the graph with its colour lenses, and the inspector, for the
// model as it was imported, as the ledger rewrote it, and as an engine executed it.
//
// It computes no times and edits no model; the graph itself is drawn by views/kit/graph. What is shown is decided in
// drawing.go, executed.go, lenses.go, rows.go and facts.go without a toolkit; start reading at drawing, then New.
package canvas

import (
	"strconv"
	"strings"

	"fettle/app"
	"fettle/model"
	"fettle/profiler"
	"fettle/views/kit"
	"fettle/views/kit/graph"
)

// mode is which graph of the document is shown.
type mode int

const (
	original mode = iota
	rewritten
	executed
)

// drawing is a graph ready to be drawn, with what is behind each item.
type drawing struct {
	mode    mode
	m       *model.Model // nil for an executed plan
	base    *model.Model // what a rewritten model is compared with
	items   []graph.Item
	wires   []graph.Wire
	behind  []behind
	tree    *graph.Tree
	origins map[string][]int32 // items by imported node
	info    map[string]*app.LayerInfo
}

// behind is what an item stands for; fields are nil where there is nothing.
type behind struct {
	node  *model.Node
	info  *app.LayerInfo
	layer *profiler.Layer
	value *model.Value // an input or output of the network
	kind  kind
}

func (d *drawing) add(it graph.Item, b behind) int32 {
	d.items = append(d.items, it)
	d.behind = append(d.behind, b)
	return int32(len(d.items) - 1)
}

func (d *drawing) wire(from, to int32) {
	if from != to {
		d.wires = append(d.wires, graph.Wire{From: from, To: to})
	}
}

// finish makes the tree and the index by origin.
func (d *drawing) finish() *drawing {
	d.tree = graph.NewTree(d.items, d.wires)
	d.origins = map[string][]int32{}
	for i := range d.items {
		for _, o := range d.items[i].Origins {
			d.origins[o] = append(d.origins[o], int32(i))
		}
	}
	return d
}

// drawOriginal is the model as it was imported.
func drawOriginal(doc *app.Doc) *drawing {
	d := &drawing{mode: original, m: doc.Base, info: infoByID(doc.BaseInfo)}
	d.nodes(doc.Base)
	return d.finish()
}

// drawRewritten is the model after the ledger, with marks for what differs from the imported one: + a node that stands
// for work that was not there, ~ one that was changed or stands for several, - one that is gone and has no heir.
func drawRewritten(doc *app.Doc) *drawing {
	d := &drawing{mode: rewritten, m: doc.Model, base: doc.Base, info: infoByID(doc.Info)}
	d.nodes(doc.Model)
	if doc.Model != doc.Base {
		d.compare(doc.Base)
		d.sort()
	}
	return d.finish()
}

func infoByID(in *app.Inspection) map[string]*app.LayerInfo {
	out := map[string]*app.LayerInfo{}
	if in != nil {
		for i := range in.Layers {
			out[in.Layers[i].ID] = &in.Layers[i]
		}
	}
	return out
}

// nodes adds inputs, nodes and outputs of m with their wires. Nodes that only hold a constant are left out, like weights:
// they do no work, and the inspector shows them at their readers.
func (d *drawing) nodes(m *model.Model) {
	g := m.Graph
	maker := map[string]int32{}
	for _, v := range g.Free() {
		maker[v.Name] = d.edge(v)
	}
	for _, n := range g.Nodes {
		if isConstant(g, n) {
			continue
		}
		i := d.node(m, n, d.info[string(n.ID)])
		for _, in := range model.Reads(n) {
			if from, ok := maker[in]; ok {
				d.wire(from, i)
			}
		}
		for _, o := range n.Outputs {
			if o != "" {
				maker[o] = i
			}
		}
	}
	for _, v := range g.Outputs {
		i := d.edge(v)
		if from, ok := maker[v.Name]; ok {
			d.wire(from, i)
		}
	}
}

// isConstant reports whether a node only holds a constant, or turns stored integers into the weights that they stand for.
func isConstant(g *model.Graph, n *model.Node) bool {
	switch n.Op {
	case "Constant":
		return len(n.Inputs) == 0
	case "DequantizeLinear":
		for _, in := range n.Inputs {
			if in != "" && g.Init(in) == nil {
				return false
			}
		}
		return true
	}
	return false
}

// edge adds an input or output of the network.
func (d *drawing) edge(v model.Value) int32 {
	return d.add(graph.Item{Name: v.Name, Title: v.Name, Sub: dims(v.Type), Edge: true, Small: true}, behind{value: &v, kind: kindIO})
}

// dims writes a shape as 1×3×224×224.
func dims(t model.Type) string {
	if !t.Ranked {
		return ""
	}
	p := make([]string, len(t.Shape))
	for i, d := range t.Shape {
		p[i] = d.String()
	}
	return strings.Join(p, "×")
}

func (d *drawing) node(m *model.Model, n *model.Node, info *app.LayerInfo) int32 {
	label := n.Label()
	scope, rest := graph.Scope(label)
	if d.base != nil && d.base.Graph.Node(n.ID) == nil {
		if o := leadOf(d.base.Graph, "", originIDs(n)); o != nil { // a step's own names say nothing: it belongs to what it was made for
			scope, _ = graph.Scope(o.Label())
		}
	}
	if strings.Trim(rest, "0123456789") == "" { // a number is no name
		rest = n.Op + " " + rest
	}
	it := graph.Item{ID: string(n.ID), Name: label, Scope: scope, Title: rest, Op: opName(n), Badge: precision(m, n, info)}
	it.Origins = originIDs(n)
	k := kindOf(n.Op)
	it.Small = k.small()
	if it.Sub = describe(m, n, info); it.Sub == it.Title {
		it.Sub = ""
	}
	if it.Small {
		it.Badge, it.Sub = "", shortOp(it)
	}
	return d.add(it, behind{node: n, info: info, kind: k})
}

func originIDs(n *model.Node) []string {
	out := make([]string, len(n.Origin))
	for i, o := range n.Origin {
		out[i] = string(o)
	}
	return out
}

func opName(n *model.Node) string {
	if n.Domain == "" || n.Domain == "ai.onnx" {
		return n.Op
	}
	return n.Domain + ":" + n.Op
}

// shortOp is the operator beside the title of a small box, unless the title says it.
func shortOp(it graph.Item) string {
	op := it.Op[strings.LastIndexByte(it.Op, ':')+1:]
	if strings.Contains(strings.ToLower(it.Title), strings.ToLower(op)) {
		return ""
	}
	return op
}

// describe is the second line of a layer: Conv 3×3 /2 · 256→512 · relu, or the operator with its output.
func describe(m *model.Model, n *model.Node, info *app.LayerInfo) string {
	s := n.Op
	if k := n.Ints("kernel_shape"); len(k) > 0 {
		s += " " + joinInts(k, "×")
	}
	if st := n.Ints("strides"); len(st) > 0 && st[0] > 1 {
		s += " /" + strconv.FormatInt(st[0], 10)
	}
	if g := n.Int("group", 1); g > 1 {
		s += " g" + strconv.FormatInt(g, 10)
	}
	if in, out, ok := channels(m, n); ok {
		s += " · " + strconv.Itoa(in) + "→" + strconv.Itoa(out)
	} else if info != nil {
		if o := outputDims(info); o != "" {
			s += " · " + o
		}
	}
	if a := n.Str("activation", "none"); a != "none" {
		s += " · " + a
	}
	return s
}

func joinInts(v []int64, sep string) string {
	p := make([]string, len(v))
	for i, x := range v {
		p[i] = strconv.FormatInt(x, 10)
	}
	return strings.Join(p, sep)
}

// channels reads how many channels go in and out from the weights.
func channels(m *model.Model, n *model.Node) (in, out int, ok bool) {
	if len(n.Inputs) < 2 {
		return 0, 0, false
	}
	w := m.Graph.Init(weightName(m, n))
	if w == nil || len(w.Shape) < 2 {
		return 0, 0, false
	}
	switch n.Op {
	case "Conv", "QLinearConv", "ConvInteger":
		return w.Shape[1] * int(n.Int("group", 1)), w.Shape[0], true
	case "ConvTranspose":
		return w.Shape[0], w.Shape[1] * int(n.Int("group", 1)), true
	case "Gemm":
		if n.Int("transB", 0) != 0 {
			return w.Shape[1], w.Shape[0], true
		}
		return w.Shape[0], w.Shape[1], true
	case "MatMul", "MatMulInteger":
		k := len(w.Shape)
		return w.Shape[k-2], w.Shape[k-1], true
	}
	return 0, 0, false
}

// weightName is the constant behind a node's weights: its second input (the fourth of a quantized operator), through a
// DequantizeLinear where the weights are stored as integers.
func weightName(m *model.Model, n *model.Node) string {
	at := 1
	if strings.HasPrefix(n.Op, "QLinear") {
		at = 3
	}
	if len(n.Inputs) <= at {
		return ""
	}
	name := n.Inputs[at]
	if p := m.Graph.Producer(name); p != nil && p.Op == "DequantizeLinear" && len(p.Inputs) > 0 {
		name = p.Inputs[0]
	}
	return name
}

// outputDims is the shape of the first output: float32[1, 64, 56, 56] gives 1×64×56×56.
func outputDims(info *app.LayerInfo) string {
	_, s, ok := strings.Cut(info.Output, "[")
	if !ok {
		return ""
	}
	return strings.ReplaceAll(strings.TrimSuffix(s, "]"), ", ", "×")
}

// precision is the number type that a node computes in. Between DequantizeLinear and QuantizeLinear it is that of the
// stored weights, for that is what an engine runs.
func precision(m *model.Model, n *model.Node, info *app.LayerInfo) string {
	if t := m.Graph.Init(weightName(m, n)); t != nil && hasWeights(n.Op) {
		return kit.ShortType(t.DType.String())
	}
	if n.Op == "QuantizeLinear" || n.Op == "DequantizeLinear" {
		return "i8"
	}
	if info == nil {
		return ""
	}
	t, _, _ := strings.Cut(info.Output, "[")
	return kit.ShortType(t)
}

func hasWeights(op string) bool {
	switch kindOf(op) {
	case kindConv, kindMat:
		return true
	}
	return false
}
