package predict

import (
	"math"

	"fettle/model"
)

// odd is what few networks have, but one in each family: large and spread windows, groups, averages, shortcuts that are cut out and padded,
// arithmetic that exporters write out, pixels made of channels, and heads that are turned and joined.
func (d *draft) odd() {
	switch d.r.IntN(10) {
	case 0, 1:
		d.conv(d.wide(8, 320, 5), 5, pick(d.r, 1, 1, 1, max(1, 2-8/d.h)), 1, d.act)
	case 2:
		d.conv(d.wide(8, 320, 7), pick(d.r, 5, 7), 1, 1, d.act)
	case 3:
		d.spread(d.wide(8, 320, 3), pick(d.r, 2, 2, 3, 4), d.act)
	case 4:
		if k := pick(d.r, 2, 2, 3, 4); d.h >= 2*k {
			d.average(k, pick(d.r, k, k, 1))
		}
	case 5:
		d.cut(pick(d.r, 1, 2))
	case 6:
		g := pick(d.r, 2, 4, 8)
		d.conv(max(g, d.c/g*g), 1, 1, 1, d.act)
		d.conv(d.c*pick(d.r, 1, 1, 2), pick(d.r, 3, 3, 1), 1, g, d.act)
	case 7:
		d.arithmetic()
	case 8:
		if d.c >= 8 && d.c*d.h*d.w < mostValues {
			d.shuffle(pick(d.r, 4, 8, 16))
		}
	default:
		d.side()
	}
}

// cut is the shortcut of networks without weights in it: every second pixel, and channels of zeros where there are more afterwards.
func (d *draft) cut(more int) {
	if d.h < 4 || d.full {
		return
	}
	in, c, h, w := d.x, d.c, d.h, d.w
	d.conv(c*more, 3, 2, 1, d.act)
	d.conv(c*more, 3, 1, 1, "")
	y, oh := d.x, d.h
	n := d.name("slice")
	s := d.b.Node("Slice", n, []string{in, d.b.Const(n+".starts", model.Int64s(0, 0)), d.b.Const(n+".ends", model.Int64s(int64(h), int64(w))),
		d.b.Const(n+".axes", model.Int64s(2, 3)), d.b.Const(n+".steps", model.Int64s(2, 2))})
	if more > 1 {
		n = d.name("pad")
		half := int64(c / 2)
		s = d.b.Node("Pad", n, []string{s, d.b.Const(n+".pads", model.Int64s(0, half, 0, 0, 0, int64(c)-half, 0, 0)), d.b.Const(n+".value", model.Scalar32(0))})
	}
	d.x = d.b.Node("Add", d.name("add"), []string{y, s})
	d.active("relu")
	d.h, d.w = oh, oh
}

// arithmetic is what exporters leave of scaling and of functions that are no operators.
func (d *draft) arithmetic() {
	one := func(op string) {
		n := d.name(op)
		d.x = d.b.Node(op, n, []string{d.x, d.b.Const(n+".by", model.Scalar32(1.5))})
	}
	channel := func(op string) {
		n := d.name(op)
		d.x = d.b.Node(op, n, []string{d.x, d.tensor(n+".by", 1, d.c, 1, 1)})
	}
	switch d.r.IntN(6) {
	case 0:
		one("Div")
		channel("Sub")
	case 1:
		channel("Add")
	case 2:
		one("Mul")
		one("Add")
	case 3:
		d.x = d.b.Node("Tanh", d.name("tanh"), []string{d.x})
	case 4:
		d.x = d.b.Node("Exp", d.name("exp"), []string{d.x})
		one("Sub")
	default:
		in, c := d.x, d.c
		d.conv(d.c, 1, 1, 1, "")
		d.c = c
		d.x = d.b.Node(pick(d.r, "Sub", "Mul", "Add"), d.name("both"), []string{d.x, in})
	}
}

// shuffle makes pixels of channels: by is how many channels there are for one afterwards.
func (d *draft) shuffle(by int) {
	if d.h > 112 {
		return
	}
	out := max(1, d.c/by)
	d.conv(4*out, 3, 1, 1, "")
	n := d.name("shuffle")
	c, h, w := int64(out), int64(d.h), int64(d.w)
	x := d.b.Node("Reshape", n+".apart", []string{d.x, d.b.Const(n+".six", model.Int64s(1, c, 2, 2, h, w))})
	x = d.b.Node("Transpose", n+".turn", []string{x}, model.IntsAttr("perm", 0, 1, 4, 2, 5, 3))
	d.x = d.b.Node("Reshape", n+".join", []string{x, d.b.Const(n+".four", model.Int64s(1, c, 2*h, 2*w))})
	d.c, d.h, d.w = out, 2*d.h, 2*d.w
	d.conv(d.wide(8, 64, 3), 3, 2, 1, d.act)
}

// side is a head of a detector: its values, pixel by pixel. They are joined at the end.
func (d *draft) side() {
	if d.h > 40 || len(d.sides) > 5 {
		d.conv(d.wide(8, 256, 1), 1, 1, 1, d.act)
		return
	}
	x, c, h, w, full := d.x, d.c, d.h, d.w, d.full
	per := pick(d.r, 2, 3)
	d.conv(4*per, 3, 1, 1, "")
	n := d.name("side")
	y := d.b.Node("Transpose", n+".turn", []string{d.x}, model.IntsAttr("perm", 0, 2, 3, 1))
	d.sides = append(d.sides, d.b.Node("Reshape", n+".rows", []string{y, d.b.Const(n+".shape", model.Int64s(1, int64(h*w*per), 4))}))
	d.rows += h * w * per
	d.x, d.c, d.h, d.w, d.full = x, c, h, w, full || d.full
}

// gather joins the heads.
func (d *draft) gather() {
	if len(d.sides) == 0 {
		return
	}
	x := d.sides[0]
	if len(d.sides) > 1 {
		x = d.b.Node("Concat", d.name("sides"), d.sides, model.IntAttr("axis", 1))
	}
	part := func(from, to int64) string {
		n := d.name("part")
		return d.b.Node("Slice", n, []string{x, d.b.Const(n+".from", model.Int64s(from)), d.b.Const(n+".to", model.Int64s(to)), d.b.Const(n+".axis", model.Int64s(2))})
	}
	n := d.name("middle")
	a := d.b.Node("Mul", n, []string{part(0, 2), d.b.Const(n+".by", model.Scalar32(0.1))})
	b := d.b.Node("Exp", d.name("size"), []string{part(2, 4)})
	y := d.b.Node("Concat", d.name("boxes"), []string{a, b}, model.IntAttr("axis", 2))
	d.b.Output(y, model.Float32, model.FixedShape(1, d.rows, 4))
	d.b.Output(d.b.Node("Softmax", d.name("classes"), []string{x}, model.IntAttr("axis", 2)), model.Float32, model.FixedShape(1, d.rows, 4))
}

// tokens is an encoder of a transformer, as exporters write it.
func (d *draft) tokens() (*model.Model, error) {
	heads := pick(d.r, 2, 4, 4, 8, 12)
	hidden := heads * pick(d.r, 32, 32, 64)
	seq := pick(d.r, 16, 32, 64, 128, 128, 197, 256)
	b := d.b
	ones := func(name string, n int) string {
		t := model.NewTensor(model.Float32, n)
		for i, v := 0, model.Data[float32](t); i < n; i++ {
			v[i] = 1
		}
		return b.Const(name, t)
	}
	norm := func(x string) string {
		n := d.name("norm")
		return b.Node("LayerNormalization", n, []string{x, ones(n+".scale", hidden), d.tensor(n+".b", hidden)}, model.IntAttr("axis", -1), model.FloatAttr("epsilon", 1e-5))
	}
	linear := func(x string, in, out int) string {
		n := d.name("linear")
		d.macs += float64(seq * in * out)
		return b.Node("Add", n+".add", []string{b.Node("MatMul", n, []string{x, d.tensor(n+".w", in, out)}), d.tensor(n+".b", out)})
	}
	number := func(op, x string, by float32) string {
		n := d.name(op)
		return b.Node(op, n, []string{x, b.Const(n+".by", model.Scalar32(by))})
	}
	var x string
	if words := min(pick(d.r, 1000, 8000, 30000), mostWeights/4/hidden); d.r.IntN(2) == 0 {
		x = b.Node("Gather", "words", []string{d.tensor("words.w", words, hidden), b.Input("ids", model.Int64, model.FixedShape(1, seq))}, model.IntAttr("axis", 0))
		x = b.Node("Add", "places", []string{x, d.tensor("places.w", 1, seq, hidden)})
		x = norm(x)
	} else {
		x = b.Input("input", model.Float32, model.FixedShape(1, seq, hidden))
	}
	split, join := b.Const("heads", model.Int64s(1, int64(seq), int64(heads), int64(hidden/heads))), b.Const("joined", model.Int64s(1, int64(seq), int64(hidden)))
	for range 2 + d.r.IntN(3) {
		head := func(perm ...int64) string {
			n := d.name("head")
			return b.Node("Transpose", n, []string{b.Node("Reshape", n+".split", []string{linear(x, hidden, hidden), split})}, model.IntsAttr("perm", perm...))
		}
		q, k, v := head(0, 2, 1, 3), head(0, 2, 3, 1), head(0, 2, 1, 3)
		s := number("Div", b.Node("MatMul", d.name("scores"), []string{q, k}), float32(math.Sqrt(float64(hidden/heads))))
		s = b.Node("Softmax", d.name("softmax"), []string{s}, model.IntAttr("axis", -1))
		y := b.Node("Transpose", d.name("back"), []string{b.Node("MatMul", d.name("context"), []string{s, v})}, model.IntsAttr("perm", 0, 2, 1, 3))
		y = linear(b.Node("Reshape", d.name("join"), []string{y, join}), hidden, hidden)
		x = norm(b.Node("Add", d.name("add"), []string{x, y}))
		h := linear(x, hidden, 4*hidden)
		if d.r.IntN(3) > 0 {
			e := b.Node("Erf", d.name("erf"), []string{number("Div", h, math.Sqrt2)})
			h = number("Mul", b.Node("Mul", d.name("gelu"), []string{h, number("Add", e, 1)}), 0.5)
		} else {
			h = b.Node("Relu", d.name("relu"), []string{h})
		}
		x = norm(b.Node("Add", d.name("add"), []string{x, linear(h, 4*hidden, hidden)}))
		if d.macs > netMACs || d.weights > netWeights {
			break
		}
	}
	b.Output(x, model.Float32, model.FixedShape(1, seq, hidden))
	return b.Model()
}
