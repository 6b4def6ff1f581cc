package ops

import (
	"math"

	"fettle/model"
)

// qlinearOps: operators of ONNX Runtime's domain on 8-bit tensors with a scale and zero point each. They mean: dequantize,
// apply the standard operator, quantize; here they do just that, in float64.
func qlinearOps() []*Def {
	channels := AttrSpec{Name: "channels_last", Type: model.AttrInt, Default: int64(0)}
	axis := AttrSpec{Name: "axis", Type: model.AttrInt, Default: int64(-1)}
	asked := func(n *model.Node) bool { return n.Int("channels_last", 0) != 0 }
	return []*Def{
		quantizedDef("QLinearAdd", standard(eltwiseOps(), "Add"), 14, []Port{qPort("A"), qPort("B")}),
		quantizedDef("QLinearMul", standard(eltwiseOps(), "Mul"), 14, []Port{qPort("A"), qPort("B")}),
		quantizedDef("QLinearSigmoid", standard(activationOps(), "Sigmoid"), 13, []Port{qPort("X")}),
		quantizedDef("QLinearLeakyRelu", standard(activationOps(), "LeakyRelu"), 16, []Port{qPort("X")}),
		quantizedDef("QLinearSoftmax", standard(activationOps(), "Softmax"), 13, []Port{qPort("X")}, axis, AttrSpec{Name: "opset", Type: model.AttrInt, Default: int64(13)}),
		channelsLast("QLinearAveragePool", quantizedDef("QLinearAveragePool", standard(poolOps(), "AveragePool"), 11, []Port{qPort("X")}, channels), asked, 0),
		channelsLast("QLinearGlobalAveragePool", quantizedDef("QLinearGlobalAveragePool", standard(poolOps(), "GlobalAveragePool"), 1, []Port{qPort("X")}, channels), asked, 0),
		quantizedDef("QLinearReduceMean", standard(reduceOps(), "ReduceMean"), 13, []Port{qPort("data")}),
		quantizedDef("QLinearWhere", whereDef, 16, []Port{{Name: "condition", Type: "bool"}, qPort("X"), qPort("Y")}),
		qConcatDef,
		// These had their 16-bit types here before the standard had them.
		borrowed(quantizeDef, 21), borrowed(dequantizeDef, 21),
	}
}

// standard is one of a family's operators. The table cannot be asked: it is made from this family too.
func standard(family []*Def, name string) *Def {
	for _, d := range family {
		if d.Name == name {
			return d
		}
	}
	panic("ops: no operator " + name)
}

const microsoft = "com.microsoft"

// qPort stands for three inputs: the tensor, its scale and its zero point.
func qPort(name string) Port { return Port{Name: name, Type: "T"} }

// quantizedDef wraps a standard operator at an opset. Ports of type T become three inputs; scale and zero point of the
// result come last.
func quantizedDef(name string, std *Def, opset int, ports []Port, more ...AttrSpec) *Def {
	var in []Port
	var at []int // place of each input of the standard operator
	for _, p := range ports {
		at = append(at, len(in))
		in = append(in, p)
		if p.Type == "T" {
			in = append(in, Port{Name: p.Name + "_scale", Type: "float32"}, Port{Name: p.Name + "_zero_point", Type: "T", Opt: true})
		}
	}
	in = append(in, Port{Name: "Y_scale", Type: "float32"}, Port{Name: "Y_zero_point", Type: "T", Opt: true})
	attrs := append([]AttrSpec{}, more...)
	for _, a := range std.Attrs {
		known := false
		for _, m := range more {
			known = known || m.Name == a.Name
		}
		if !known && (a.Until == 0 || opset < a.Until) && a.Name != "noop_with_empty_axes" { // which came later
			attrs = append(attrs, a)
		}
	}
	// inner is the standard operator's node over the same attributes.
	inner := func(n *model.Node) *model.Node {
		c := &model.Node{ID: n.ID, Op: std.Name, Outputs: []string{"y"}}
		for range ports {
			c.Inputs = append(c.Inputs, "x")
		}
		for _, a := range n.Attrs {
			if a.Name != "channels_last" && a.Name != "opset" {
				c.Attrs = append(c.Attrs, a)
			}
		}
		return c
	}
	version := func(n *model.Node) int {
		if v := n.Int("opset", 0); v > 0 && v < 1000 {
			return int(v) // QLinearSoftmax says which Softmax it is
		}
		return opset
	}
	return &Def{Name: name, Domain: microsoft, Since: []int{1}, In: in, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": bytes8}, Attrs: attrs, Exact: Rounding,
		Infer: func(f *Inference) error {
			for i, p := range in {
				if p.Type == "float32" || p.Opt {
					if err := f.single(i); err != nil {
						return err
					}
				}
			}
			g := &Inference{Node: inner(f.Node), Def: std, Opset: version(f.Node), Out: make([]model.Type, 1), Const: func(int) *model.Tensor { return nil }}
			d := model.Undefined
			for k, i := range at {
				t := f.In[i]
				if ports[k].Type == "T" {
					d, t.DType = t.DType, model.Float64
				}
				g.In = append(g.In, t)
			}
			if err := std.Infer(g); err != nil {
				return err
			}
			f.Out[0] = g.Out[0]
			f.Out[0].DType = d
			return nil
		},
		Eval: func(c *Call) error {
			g := &Call{Node: inner(c.Node), Def: std, Opset: version(c.Node), Out: make([]*model.Tensor, 1), Limit: c.Limit}
			d := model.Uint8
			for k, i := range at {
				t := c.In[i]
				if ports[k].Type == "T" {
					d = t.DType
					var err error
					if t, err = c.real(i); err != nil {
						return err
					}
				}
				g.In = append(g.In, t)
			}
			if err := std.Eval(g); err != nil {
				return err
			}
			var err error
			c.Out[0], err = c.onGrid(g.Out[0], d, len(in)-2)
			return err
		}}
}

// real dequantizes input i by the two inputs behind it.
func (c *Call) real(i int) (*model.Tensor, error) {
	v := toFloat64(c.In[i])
	scale, zero := c.In[i+1].Float64At(0), 0.0
	if c.Has(i + 2) {
		zero = c.In[i+2].Float64At(0)
	}
	for k := range v {
		v[k] = (v[k] - zero) * scale
	}
	return c.fromFloat64(model.Float64, c.In[i].Shape, v)
}

// onGrid quantizes a float64 tensor by inputs i and i+1. Arithmetic and means round what has the zero point added already,
// look-up tables and joins add it after: a tie falls to the other side where the zero point is odd.
func (c *Call) onGrid(t *model.Tensor, d model.DType, i int) (*model.Tensor, error) {
	zero := model.NewTensor(d)
	if c.Has(i + 1) {
		zero = c.In[i+1]
	}
	scale := c.In[i].Float64At(0)
	v := toFloat64(t)
	switch {
	case c.Node.Op == "QLinearGlobalAveragePool" && c.Int("channels_last") != 0: // adds it after
	case oneOf([]string{"QLinearAdd", "QLinearMul", "QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearReduceMean"}, c.Node.Op):
		lo, hi := intRange(d)
		for k := range v {
			v[k] = saturated(math.RoundToEven(roundTo(model.Float32, v[k]/scale+zero.Float64At(0))), lo, hi)
		}
		return c.fromFloat64(d, t.Shape, v)
	}
	for k := range v {
		if v[k] = requantize(roundTo(model.Float32, v[k]/scale), zero); v[k] != v[k] {
			v[k] = zero.Float64At(0)
		}
	}
	return c.fromFloat64(d, t.Shape, v)
}

// qConcatDef: scale and zero point of the result, then three inputs a tensor.
var qConcatDef = &Def{Name: "QLinearConcat", Domain: microsoft, Since: []int{1}, In: []Port{{Name: "Y_scale", Type: "float32"}, {Name: "Y_zero_point", Type: "T"}, {Name: "inputs", Type: "*V", Many: true}},
	Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": bytes8, "*V": bytes8 | F32}, Exact: Rounding, Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Required: true}},
	Infer: func(f *Inference) error {
		n := len(f.In) - 2
		if n < 3 || n%3 != 0 {
			return f.Bad("%d inputs: want scale and zero point, then tensor, scale and zero point of each", len(f.In))
		}
		g := &Inference{Node: &model.Node{ID: f.Node.ID, Op: "Concat", Attrs: f.Node.Attrs}, Def: concatDef, Opset: 13, Out: make([]model.Type, 1)}
		for i := range f.In {
			if !f.Has(i) {
				return f.Bad("input %d is absent", i)
			}
			want := f.In[1].DType
			if i == 0 || i > 1 && i%3 == 0 {
				want = model.Float32
			}
			if d := f.In[i].DType; d != want && d != model.Undefined && want != model.Undefined {
				return f.Bad("input %d is %s, want %s", i, d, want)
			}
			if i > 1 && i%3 == 2 {
				g.In = append(g.In, f.In[i])
				g.Node.Inputs = append(g.Node.Inputs, "x")
				continue
			}
			if err := f.single(i); err != nil {
				return err
			}
		}
		err := concatDef.Infer(g)
		f.Out[0] = g.Out[0]
		f.Out[0].DType = f.In[1].DType
		return err
	},
	Eval: func(c *Call) error {
		var parts []*model.Tensor
		for i := 2; i < len(c.In); i += 3 {
			t, err := c.real(i)
			if err != nil {
				return err
			}
			if t, err = c.onGrid(t, c.In[1].DType, 0); err != nil {
				return err
			}
			parts = append(parts, t)
		}
		return c.concat(parts, c.Int("axis"))
	}}
