package ops

import (
	"fettle/model"
)

// msConvOps: convolutions and pools of ONNX Runtime's domain: with a residual and an activation function in one, or on
// tensors whose channels come last.
func msConvOps() []*Def {
	always := func(*model.Node) bool { return true }
	asked := func(n *model.Node) bool { return n.Int("channels_last", 0) != 0 }
	conv := borrowed(convDef, 11)
	qconv := borrowed(qlinearConvDef, 10)
	qconv.Attrs = append(append([]AttrSpec{}, qconv.Attrs...), AttrSpec{Name: "channels_last", Type: model.AttrInt, Default: int64(0)})
	maxPool := borrowed(standard(poolOps(), "MaxPool"), 12)
	maxPool.Out, maxPool.Types = maxPool.Out[:1], map[string]Set{"T": bytes8}
	return []*Def{
		fusedConvDef("FusedConv"),
		channelsLast("NhwcConv", conv, always, 0),
		channelsLast("NhwcFusedConv", fusedConvDef("NhwcFusedConv"), always, 0, 3),
		channelsLast("NhwcMaxPool", maxPool, always, 0),
		channelsLast("QLinearConv", qconv, asked, 0),
		dynamicPadsDef,
	}
}

// fusedConvDef: a convolution, plus Z, through an activation function.
func fusedConvDef(name string) *Def {
	return &Def{Name: name, Domain: microsoft, Since: []int{1}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats}, Exact: Rounding, Cost: convCost,
		In: []Port{{Name: "X", Type: "T"}, {Name: "W", Type: "T"}, {Name: "B", Type: "T", Opt: true}, {Name: "Z", Type: "T", Opt: true}},
		Attrs: append(append([]AttrSpec{}, convAttrs...), AttrSpec{Name: "activation", Type: model.AttrString, Default: ""},
			AttrSpec{Name: "activation_params", Type: model.AttrFloats}),
		Infer: func(f *Inference) error {
			if _, err := fusedActivation(f.Node); err != nil {
				return err
			}
			return inferFusedConv(f)
		},
		Eval: func(c *Call) error {
			var numbers []float32
			if a := c.Node.Attr("activation_params"); a != nil {
				numbers = a.Floats
			}
			act, err := fusedActivation(c.Node, numbers...)
			if err != nil {
				return err
			}
			y, dims, err := fusedConv(c)
			if err != nil {
				return err
			}
			for i, v := range y {
				y[i] = act(v)
			}
			c.Out[0], err = c.fromFloat64(c.In[0].DType, dims, y)
			return err
		}}
}

// channelsLast is std where the inputs at data and the output are [N, spatial..., C] in nodes that when picks. Weights stay
// [M, C/group, spatial...].
func channelsLast(name string, std *Def, when func(*model.Node) bool, data ...int) *Def {
	d := *std
	d.Name, d.Domain, d.Since = name, microsoft, []int{1}
	d.Infer = func(f *Inference) error {
		if !when(f.Node) {
			return std.Infer(f)
		}
		g := *f
		g.In = append([]model.Type{}, f.In...)
		for _, i := range data {
			if f.Has(i) && f.In[i].Ranked && len(f.In[i].Shape) > 2 {
				s := f.In[i].Shape
				g.In[i].Shape = append(model.Shape{s[0], s[len(s)-1]}, s[1:len(s)-1]...)
			}
		}
		if err := std.Infer(&g); err != nil {
			return err
		}
		if s := g.Out[0].Shape; g.Out[0].Ranked && len(s) > 2 {
			f.Out[0].Shape = append(append(model.Shape{s[0]}, s[2:]...), s[1])
		}
		return nil
	}
	d.Cost = nil // with its inputs turned the standard rule would misread them, and what is turned moves no other bytes
	if std.Cost != nil {
		d.Cost = func(f *Inference) Cost {
			g := *f
			g.Out = append([]model.Type{}, f.Out...)
			return std.Cost(&g)
		}
	}
	d.Eval = func(c *Call) error {
		if !when(c.Node) {
			return std.Eval(c)
		}
		g := *c
		g.In, g.Out = append([]*model.Tensor{}, c.In...), make([]*model.Tensor, len(c.Out))
		for _, i := range data {
			if c.Has(i) && len(c.In[i].Shape) > 2 {
				r := len(c.In[i].Shape)
				perm := []int{0, r - 1}
				for k := 1; k < r-1; k++ {
					perm = append(perm, k)
				}
				t, err := c.turned(c.In[i], perm)
				if err != nil {
					return err
				}
				g.In[i] = t
			}
		}
		if err := std.Eval(&g); err != nil {
			return err
		}
		r := len(g.Out[0].Shape)
		perm := []int{0}
		for k := 2; k < r; k++ {
			perm = append(perm, k)
		}
		var err error
		c.Out[0], err = c.turned(g.Out[0], append(perm, 1))
		return err
	}
	return &d
}

// turned is t with its dimensions in another order.
func (c *Call) turned(t *model.Tensor, perm []int) (*model.Tensor, error) {
	g := &Call{Node: c.Node, Def: c.Def, Limit: c.Limit, Out: make([]*model.Tensor, 1)}
	err := g.gather(permuted(t, perm))
	return g.Out[0], err
}

// dynamicPadsDef: a transposed convolution whose padding is an input.
var dynamicPadsDef = &Def{Name: "ConvTransposeWithDynamicPads", Domain: microsoft, Since: []int{1}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats}, Exact: Rounding,
	In:    []Port{{Name: "X", Type: "T"}, {Name: "W", Type: "T"}, {Name: "Pads", Type: "int64", Opt: true}, {Name: "B", Type: "T", Opt: true}},
	Attrs: convTransposeDef.Attrs,
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if f.Has(2) && f.Value(2) == nil {
			if err := f.ranked(2, 1, 1); err != nil || !f.In[0].Ranked {
				return err
			}
			f.Out[0] = model.TensorType(f.In[0].DType, unknownDims(len(f.In[0].Shape)))
			return nil
		}
		g := *f
		g.Node = paddedBy(f.Node, f.Value(2))
		g.In = append([]model.Type{}, f.In[:2]...)
		if f.Has(3) {
			g.In = append(g.In, f.In[3])
		}
		return convTransposeDef.Infer(&g)
	},
	Cost: convTransposeDef.Cost,
	Eval: func(c *Call) error {
		g := *c
		g.Node = paddedBy(c.Node, c.opt(2))
		g.In = append([]*model.Tensor{}, c.In[0], c.In[1], c.opt(3))
		return convTransposeDef.Eval(&g)
	}}

// paddedBy is a ConvTranspose node with the padding as an attribute.
func paddedBy(n *model.Node, pads *model.Tensor) *model.Node {
	m := &model.Node{ID: n.ID, Op: n.Op, Inputs: []string{"X", "W"}, Outputs: n.Outputs}
	if len(n.Inputs) > 3 && n.Inputs[3] != "" {
		m.Inputs = append(m.Inputs, "B")
	}
	for _, a := range n.Attrs {
		if a.Name != "pads" || pads == nil {
			m.Attrs = append(m.Attrs, a)
		}
	}
	if pads != nil {
		m.Attrs = append(m.Attrs, model.IntsAttr("pads", ints64(pads)...))
	}
	return m
}
