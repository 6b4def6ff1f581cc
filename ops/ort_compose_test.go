package ops

import (
	"fettle/model"
)

// composed makes graphs of operators that random attributes hardly ever get right: those with bodies, and those whose inputs
// depend on each other in kind.
var composed = map[string]func(d *draw) *example{
	":If": drawIf, ":Loop": drawLoop, ":Scan": drawScan, ":SequenceMap": drawSequenceMap, ":Optional": drawOptional,
	microsoft + ":QLinearConcat": drawQLinearConcat,
}

// started is an example of an operator at an opset that the table and want both know.
func (d *draw) started(domain, op string, least int, outs ...string) *example {
	def, err := Lookup(domain, op, 0)
	if err != nil {
		panic(err)
	}
	opset := pickOf(d, def.Since...)
	for opset < least {
		opset = pickOf(d, def.Since...)
	}
	x := &example{inputs: map[string]*model.Tensor{}, node: &model.Node{ID: "n", Op: op, Domain: domain, Outputs: outs}}
	x.m = &model.Model{IRVersion: 10, Opsets: []model.Opset{{Domain: domain, Version: int64(opset)}}, Graph: &model.Graph{Name: "g", Nodes: []*model.Node{x.node}}}
	if domain != "" {
		x.m.Opsets = append(x.m.Opsets, model.Opset{Version: 17})
	}
	for _, o := range outs {
		x.m.Graph.Outputs = append(x.m.Graph.Outputs, model.Value{Name: o})
	}
	return x
}

// around gives x a value that only its bodies read.
func (x *example) around(name string, t *model.Tensor) {
	x.inputs[name] = t
	x.m.Graph.Inputs = append(x.m.Graph.Inputs, model.Value{Name: name, Type: model.TypeOf(t)})
}

func (d *draw) numbers(dims ...int) *model.Tensor { return d.value(model.Float32, dims) }

// step is an element-wise node with a random operator.
func (d *draw) step(out, a, b string) string {
	if d.in(25) {
		return out + " = " + pickOf(d, "Neg", "Abs", "Identity", "Tanh") + "(" + a + ")"
	}
	return out + " = " + pickOf(d, "Add", "Sub", "Mul") + "(" + a + "," + b + ")"
}

// typed gives inputs and outputs of a body their types, in order.
func typedBody(g *model.Graph, types ...model.Type) *model.Graph {
	for i := range g.Inputs {
		g.Inputs[i].Type = types[i]
	}
	for i := range g.Outputs {
		g.Outputs[i].Type = types[len(g.Inputs)+i]
	}
	return g
}

func drawIf(d *draw) *example {
	x := d.started("", "If", 7, "y")
	s := d.dims(d.n(3))
	t := d.numbers(s...)
	d.give(x, "c", model.FromSlice(model.Bool, []bool{d.in(50)}))
	x.around("a", t)
	x.around("b", d.numbers(s...))
	for _, branch := range []string{"then_branch", "else_branch"} {
		g := graphOf(nil, []string{branch + "y"}, []string{d.step(branch+"t", "a", "b"), d.step(branch+"y", branch+"t", "a")}, nil)
		x.node.Attrs = append(x.node.Attrs, graphAttr(branch, typedBody(g, model.TypeOf(t))))
	}
	return x
}

func drawLoop(d *draw) *example {
	x := d.started("", "Loop", 8, "last", "rows")
	s := d.dims(d.n(3))
	t := d.numbers(s...)
	d.give(x, "m", model.FromSlice(model.Int64, []int64{int64(1 + d.n(4))}))
	if d.in(50) {
		d.give(x, "c0", model.FromSlice(model.Bool, []bool{true}))
	} else {
		x.node.Inputs = append(x.node.Inputs, "")
	}
	d.give(x, "s0", t)
	x.around("k", d.numbers(s...))
	lines := []string{d.step("t", "s", "k"), d.step("next", "t", "s"), d.step("row", "next", "k")}
	if d.in(50) { // until the number of the iteration
		x.around("most", model.FromSlice(model.Int64, []int64{int64(d.n(3))}))
		lines = append(lines, "on = Less(i,most)")
	} else {
		lines = append(lines, "on = Identity(c)")
	}
	count, flag := model.TensorType(model.Int64, model.Shape{}), model.TensorType(model.Bool, model.Shape{})
	g := graphOf([]string{"i", "c", "s"}, []string{"on", "next", "row"}, lines, nil)
	x.node.Attrs = []model.Attr{graphAttr("body", typedBody(g, count, flag, model.TypeOf(t), flag, model.TypeOf(t), model.TypeOf(t)))}
	return x
}

func drawScan(d *draw) *example {
	x := d.started("", "Scan", 8, "last", "rows")
	n, steps := 1+d.n(3), 1+d.n(4)
	lead := []int{}
	if x.m.Opset("") == 8 { // a batch in front, and lengths that may be left out
		lead = []int{1 + d.n(2)}
		x.node.Inputs = append(x.node.Inputs, "")
	}
	state, rows := append(append([]int{}, lead...), n), append(append([]int{}, lead...), steps, n)
	x.node.Attrs = []model.Attr{model.IntAttr("num_scan_inputs", 1)}
	switch {
	case len(lead) > 0 && d.in(50):
		x.node.Attrs = append(x.node.Attrs, model.IntsAttr("directions", int64(d.n(2))))
	case len(lead) == 0:
		if d.in(50) {
			x.node.Attrs = append(x.node.Attrs, model.IntsAttr("scan_input_directions", int64(d.n(2))), model.IntsAttr("scan_output_directions", int64(d.n(2))))
		}
		if d.in(50) {
			rows = []int{n, steps}
			x.node.Attrs = append(x.node.Attrs, model.IntsAttr("scan_input_axes", 1), model.IntsAttr("scan_output_axes", int64(d.n(2))))
		}
	}
	d.give(x, "s0", d.numbers(state...))
	d.give(x, "xs", d.numbers(rows...))
	line := model.TensorType(model.Float32, model.FixedShape(n))
	g := graphOf([]string{"s", "v"}, []string{"next", "row"}, []string{d.step("next", "s", "v"), d.step("row", "next", "v")}, nil)
	x.node.Attrs = append(x.node.Attrs, graphAttr("body", typedBody(g, line, line, line, line)))
	return x
}

func drawSequenceMap(d *draw) *example {
	x := d.started("", "SequenceMap", 17, "ys")
	s := d.dims(1 + d.n(2))
	seq := &model.Tensor{DType: model.Sequence, Elem: model.Float32}
	for range 1 + d.n(3) {
		seq.Elems = append(seq.Elems, d.numbers(s...))
	}
	d.give(x, "xs", seq)
	d.give(x, "k", d.numbers(s...))
	t := model.TypeOf(seq.Elems[0])
	g := graphOf([]string{"v", "w"}, []string{"y"}, []string{d.step("t", "v", "w"), d.step("y", "t", "v")}, nil)
	x.node.Attrs = []model.Attr{graphAttr("body", typedBody(g, t, t, t))}
	return x
}

func drawOptional(d *draw) *example {
	x := d.started("", "Optional", 15, "y")
	dt := pickOf(d, model.Float32, model.Int64, model.Bool, model.Float64, model.Int8)
	if d.in(70) {
		d.give(x, "x", d.value(dt, d.dims(d.n(3))))
		return x
	}
	t := model.TensorType(dt, model.FixedShape(d.dims(1+d.n(2))...))
	x.node.Attrs = []model.Attr{{Name: "type", Type: model.AttrTypeProto, TP: &t}}
	return x
}

func drawQLinearConcat(d *draw) *example {
	x := d.started(microsoft, "QLinearConcat", 1, "y")
	dt := pickOf(d, model.Uint8, model.Int8)
	dims := d.dims(1 + d.n(3))
	axis := d.n(len(dims))
	grid := func(name string) {
		d.give(x, name+"_s", d.valueFor(Port{Name: "_scale"}, model.Float32, nil))
		d.give(x, name+"_z", d.value(dt, nil))
	}
	grid("y0")
	for i := range 1 + d.n(3) {
		name := string(rune('a' + i))
		s := append([]int{}, dims...)
		s[axis] = 1 + d.n(3)
		d.give(x, name, d.value(dt, s))
		grid(name)
	}
	x.node.Attrs = []model.Attr{model.IntAttr("axis", int64(axis))}
	return x
}
