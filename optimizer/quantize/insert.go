package quantize

import (
	"fmt"
	"slices"

	"fettle/internal/fail"
	"fettle/model"
)

// writer makes the new graph.
type writer struct {
	m      *model.Model
	o      Options
	sel    *selection
	steps  map[string]step // by group
	used   map[string]bool
	consts map[string]string // what -> name of a constant made before
	inits  []*model.Init
	nodes  []*model.Node
	read   map[string]string // value -> what readers of it read now
	placed []*placed         // layers with scaled weights, in order
	saved  map[model.NodeID]int64
	notes  map[model.NodeID]string
}

// placed is where the numbers of a layer stand in the model that was written.
type placed struct {
	l              *layer
	node           model.NodeID
	grid           *grid
	q, scale, zero string // constants; zero "" for none
	dq             string // the value that the layer reads
	bias           string // constant of the integer bias, "" for none
	sx             float32
}

func (w *writer) write() (*model.Model, error) {
	g := w.m.Graph
	w.read, w.saved, w.notes = map[string]string{}, map[model.NodeID]int64{}, map[model.NodeID]string{}
	for _, v := range g.Inputs {
		if u := g.Users(v.Name); w.sel.marked(v.Name) && len(u) > 0 {
			w.pair(v.Name, v.Name, w.fresh(v.Name+"_dq"), u[0])
		}
	}
	for _, n := range g.Nodes {
		if err := w.node(n); err != nil {
			return nil, err
		}
	}
	ng := &model.Graph{Name: g.Name, Doc: g.Doc, Nodes: w.nodes, Inputs: g.Inputs, Outputs: g.Outputs, Meta: g.Meta, Unknown: g.Unknown}
	reads, makes := map[string]bool{}, map[string]bool{}
	for _, n := range w.nodes {
		for _, r := range model.Reads(n) {
			reads[r] = true
		}
		for _, o := range n.Outputs {
			makes[o] = true
		}
	}
	for _, in := range g.Inits {
		if reads[in.Name] || g.Output(in.Name) != nil || g.Input(in.Name) != nil && !w.replaced(in.Name) {
			ng.Inits = append(ng.Inits, in)
		}
	}
	ng.Inits = append(ng.Inits, w.inits...)
	kept := map[string]bool{}
	for _, in := range ng.Inits {
		kept[in.Name] = true
	}
	ng.Inputs = nil
	for _, v := range g.Inputs { // a weight that was also listed as an input is gone
		if g.Init(v.Name) == nil || kept[v.Name] {
			ng.Inputs = append(ng.Inputs, v)
		}
	}
	for _, v := range g.Values {
		if makes[v.Name] {
			ng.Values = append(ng.Values, v)
		}
	}
	if err := ng.Check(nil); err != nil {
		return nil, fail.New(fail.Internal, "quantize broke the graph: %v", err)
	}
	return w.m.WithGraph(ng), nil
}

func (w *writer) replaced(name string) bool {
	for _, l := range w.sel.layers {
		if l.weight == name || l.bias == name {
			return true
		}
	}
	return false
}

func (w *writer) fresh(name string) string { return fresh(w.used, name) }

func (w *writer) node(n *model.Node) error {
	c := *model.ReadThrough(n, w.read)
	c.Raw = nil
	c.Inputs = append([]string(nil), c.Inputs...)
	c.Outputs = append([]string(nil), n.Outputs...)
	if l := w.sel.layers[n.ID]; l != nil {
		if err := w.weights(&c, l); err != nil {
			return fail.In(err, "", fail.Where{Node: string(n.ID), Op: n.Op})
		}
	}
	w.nodes = append(w.nodes, &c)
	for i, y := range n.Outputs {
		if y == "" || !w.sel.marked(y) {
			continue
		}
		if w.m.Graph.Output(y) != nil {
			// The output keeps its name, so the float result gets another one.
			c.Outputs[i] = w.fresh(y + "_float")
			w.pair(y, c.Outputs[i], y, n)
			continue
		}
		w.pair(y, y, w.fresh(y+"_dq"), n)
	}
	return nil
}

// pair puts Q and DQ behind value, which from makes under its name; readers read to.
func (w *writer) pair(value, from, to string, near *model.Node) {
	group := w.sel.find(value)
	s := w.steps[group]
	dt := model.Int8
	switch w.o.Activations {
	case "uint8":
		dt = model.Uint8
	case "int16":
		dt = model.Int16
	}
	scale := w.constant("scale "+group, group+"_scale", func() *model.Tensor { return model.Scalar32(s.scale) })
	zero := w.constant("zero "+group, group+"_zero", func() *model.Tensor {
		t := model.NewTensor(dt)
		t.SetInt64(0, int64(s.zero))
		return t
	})
	q := w.fresh(value + "_q")
	w.add("QuantizeLinear", value, near, []string{from, scale, zero}, q)
	w.add("DequantizeLinear", value, near, []string{q, scale, zero}, to)
	w.read[value] = to
}

func (w *writer) constant(key, name string, make func() *model.Tensor) string {
	if n, ok := w.consts[key]; ok {
		return n
	}
	n := w.fresh(name)
	w.consts[key] = n
	w.inits = append(w.inits, &model.Init{Name: n, Tensor: make()})
	return n
}

func (w *writer) add(op, value string, near *model.Node, in []string, out string, attrs ...model.Attr) {
	w.nodes = append(w.nodes, &model.Node{ID: model.Derive("quantize "+op+" "+value+" "+out, near.ID), Name: w.fresh(value + "_" + op), Op: op,
		Inputs: in, Outputs: []string{out}, Attrs: attrs, Origin: near.Origin})
}

// weights gives a layer its integer weight and bias.
func (w *writer) weights(n *model.Node, l *layer) error {
	t := w.sel.view.Const(l.weight)
	before := int64(len(t.Raw))
	sx := float32(0)
	var bias []float32
	var floor []float64
	// With values of 16 bits a bias in steps of the sums would not fit int32: it stays float.
	if l.bias != "" && w.o.static() && w.o.Activations != "int16" {
		bias = model.Data[float32](w.sel.view.Const(l.bias))
		for c, b := range bias {
			if b-b != 0 {
				return fail.New(fail.Invalid, "holds %v at element %d", b, c).At(fail.Where{Tensor: l.bias})
			}
		}
		sx = w.steps[w.sel.find(l.node.Inputs[0])].scale
		floor = scaleFloor(bias, sx)
	}
	p := precisions[l.as]
	var safe []float64 // for pairs of products
	if w.o.paired() && l.as == "int8" {
		switch w.o.ReduceRange {
		case "on":
			safe = reducedFloor(t, l.axis)
		case "auto":
			safe = pairsOf(l.node, t.Shape, l.axis, !w.o.static()).floor(t, l.axis, nil)
		}
	}
	least := floor
	if safe != nil {
		least = slices.Clone(safe)
		for c, f := range floor {
			least[c] = max(least[c], f)
		}
	}
	if !p.scaled {
		return w.cast(n, l, p, t)
	}
	g := newGrid(t, p, l.axis, l.reduced, w.o.Block, w.o.PerChannel, least)
	scale := g.scale
	for len(scale) < t.Shape[l.axis] {
		scale = append(scale, g.scale[0])
	}
	if w.o.PerChannel && raised(t, l.axis, scale, safe, floor) {
		w.note(n.ID, "scales of some channels were raised so that the bias fits int32")
	}
	// Layers that share a weight share its integers, unless their biases ask for other scales.
	key := fmt.Sprintf("%s %s axis %d %v", l.weight, l.as, g.axis, g.scale)
	q, attrs, err := w.integers(key, l, g, t)
	if err != nil {
		return err
	}
	sc := model.Float32s(g.scale, g.shape...)
	qn := w.constant("q "+key, l.weight+"_q", func() *model.Tensor { return q })
	sn := w.constant("s "+key, l.weight+"_scale", func() *model.Tensor { return sc })
	in := []string{qn, sn}
	w.saved[n.ID] = before - int64(len(q.Raw)+len(sc.Raw))
	if p.dtype == model.Int8 { // the form that integer kernels look for
		zp := model.NewTensor(model.Int8, g.shape...)
		in = append(in, w.constant("z "+key, l.weight+"_zero", func() *model.Tensor { return zp }))
		w.saved[n.ID] -= int64(len(zp.Raw))
	}
	dn := w.fresh(l.weight + "_dq")
	w.add("DequantizeLinear", l.weight, n, in, dn, attrs...)
	n.Inputs[1] = dn
	at := &placed{l: l, node: n.ID, grid: g, q: qn, scale: sn, dq: dn, sx: sx}
	w.placed = append(w.placed, at)
	if bias == nil {
		return nil
	}
	qb, sb := quantizeBias(bias, sx, scale)
	zb := model.NewTensor(model.Int32, len(bias))
	attrs = []model.Attr{model.IntAttr("axis", 0)}
	bq, bs, bz := w.fresh(l.bias+"_q"), w.fresh(l.bias+"_scale"), w.fresh(l.bias+"_zero")
	at.bias = bq
	w.inits = append(w.inits, &model.Init{Name: bq, Tensor: qb}, &model.Init{Name: bs, Tensor: sb}, &model.Init{Name: bz, Tensor: zb})
	bd := w.fresh(l.bias + "_dq")
	w.add("DequantizeLinear", l.bias, n, []string{bq, bs, bz}, bd, attrs...)
	n.Inputs[2] = bd
	w.saved[n.ID] -= int64(len(sb.Raw) + len(zb.Raw))
	return nil
}

// integers gives the weight as stored, rounded by the option, and the attributes of its DequantizeLinear.
func (w *writer) integers(key string, l *layer, g *grid, t *model.Tensor) (*model.Tensor, []model.Attr, error) {
	var attrs []model.Attr
	if g.axis >= 0 {
		attrs = append(attrs, model.IntAttr("axis", int64(g.axis)))
	}
	if g.block > 0 {
		attrs = append(attrs, model.IntAttr("block_size", int64(g.block)))
	}
	p := precisions[l.as]
	if p.dtype.Float() {
		return p.float8(t, g), attrs, nil
	}
	return p.pack(g.round(t), t.Shape), attrs, nil
}

// cast gives a layer its weight as 16-bit floats.
func (w *writer) cast(n *model.Node, l *layer, p precision, t *model.Tensor) error {
	h, err := p.cast(t)
	if err != nil {
		return fail.In(err, "", fail.Where{Tensor: l.weight})
	}
	hn := w.constant("h "+l.as+l.weight, l.weight+"_"+l.as, func() *model.Tensor { return h })
	to := w.fresh(l.weight + "_float")
	w.add("Cast", l.weight, n, []string{hn}, to, model.IntAttr("to", int64(model.Float32)))
	n.Inputs[1] = to
	w.saved[n.ID] = int64(len(t.Raw) - len(h.Raw))
	return nil
}

// note adds a sentence to what the ledger says about a layer.
func (w *writer) note(id model.NodeID, s string) {
	if w.notes[id] != "" {
		s = w.notes[id] + "; " + s
	}
	w.notes[id] = s
}

// raised reports whether floor decided a scale, and not the weights or what is safe for pairs of them.
func raised(t *model.Tensor, axis int, scale []float32, safe, floor []float64) bool {
	if floor == nil {
		return false
	}
	_, plain := QuantizeWeights(t, axis, true, safe)
	for c := range plain {
		if scale[c] > plain[c] && plain[c] != 1 {
			return true
		}
	}
	return false
}
