package ops

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// microsoftOps: what ONNX Runtime's optimizer writes into models, in its domain.
func microsoftOps() []*Def {
	gelu := func(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }
	fast := func(x float64) float64 {
		return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	}
	x, y := []Port{{Name: "X", Type: "T"}}, []Port{{Name: "Y"}}
	biased := []Port{{Name: "X", Type: "T"}, {Name: "bias", Type: "T", Opt: true}}
	floats := map[string]Set{"T": Floats}
	return []*Def{
		{Name: "Gelu", Domain: microsoft, Since: []int{1}, In: x, Out: y, Types: floats, Exact: Rounding, Infer: inferSame, Eval: mapFloat(gelu)},
		{Name: "QuickGelu", Domain: microsoft, Since: []int{1}, In: x, Out: y, Types: floats, Exact: Rounding, Infer: inferSame,
			Attrs: []AttrSpec{{Name: "alpha", Type: model.AttrFloat, Default: float32(1.702)}},
			Eval: func(c *Call) error {
				a := float64(c.Float("alpha"))
				return mapFloat(func(x float64) float64 { return x / (1 + math.Exp(-a*x)) })(c)
			}},
		{Name: "FastGelu", Domain: microsoft, Since: []int{1}, In: biased, Out: y, Types: floats, Exact: Rounding, Infer: inferBiased,
			Eval: func(c *Call) error { return c.biased(fast) }},
		{Name: "BiasGelu", Domain: microsoft, Since: []int{1}, In: []Port{{Name: "A", Type: "T"}, {Name: "B", Type: "T"}}, Out: y, Types: floats, Exact: Rounding, Infer: inferBiased,
			Eval: func(c *Call) error { return c.biased(gelu) }},
		fusedMatMulDef,
	}
}

// inferBiased: the bias is a list along the last dimension.
func inferBiased(f *Inference) error {
	f.Out[0] = f.In[0]
	if err := f.ranked(1, 1, 1); err != nil {
		return err
	}
	if s := f.In[0].Shape; f.Has(1) && f.In[0].Ranked {
		if len(s) == 0 {
			return f.Bad("a scalar takes no bias")
		}
		return f.shaped(1, s[len(s)-1].N)
	}
	return nil
}

// biased applies g to each element with its bias.
func (c *Call) biased(g func(float64) float64) error {
	v := toFloat64(c.In[0])
	for i := range v {
		if c.Has(1) {
			v[i] += c.In[1].Float64At(i % c.In[1].Len())
		}
		v[i] = g(v[i])
	}
	var err error
	c.Out[0], err = c.fromFloat64(c.In[0].DType, c.In[0].Shape, v)
	return err
}

// fusedMatMulDef: alpha times a matrix product whose operands may be transposed in their last two dimensions.
var fusedMatMulDef = &Def{Name: "FusedMatMul", Domain: microsoft, Since: []int{1}, In: []Port{{Name: "A", Type: "T"}, {Name: "B", Type: "T"}}, Out: []Port{{Name: "Y"}},
	Types: map[string]Set{"T": Floats}, Exact: Rounding,
	Attrs: []AttrSpec{{Name: "alpha", Type: model.AttrFloat, Default: float32(1)}, {Name: "transA", Type: model.AttrInt, Default: int64(0)}, {Name: "transB", Type: model.AttrInt, Default: int64(0)},
		{Name: "transBatchA", Type: model.AttrInt, Default: int64(0)}, {Name: "transBatchB", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		for _, a := range []string{"transBatchA", "transBatchB"} {
			if f.Int(a) != 0 {
				return fail.New(fail.Unsupported, "FusedMatMul with %s", a).At(fail.Where{Node: string(f.Node.ID), Op: f.Node.Op, Attr: a})
			}
		}
		g := *f
		g.In = append([]model.Type{}, f.In...)
		for i, a := range []string{"transA", "transB"} {
			if s := f.In[i].Shape; f.Int(a) != 0 && f.In[i].Ranked && len(s) > 1 {
				g.In[i].Shape = append(append(model.Shape{}, s[:len(s)-2]...), s[len(s)-1], s[len(s)-2])
			}
		}
		return inferMatmul(&g, 0, 1, f.In[0].DType)
	},
	Cost: func(f *Inference) Cost {
		g := *f
		g.In = append([]model.Type{}, f.In...)
		if s := g.In[0].Shape; f.Int("transA") != 0 && len(s) > 1 {
			g.In[0].Shape = append(append(model.Shape{}, s[:len(s)-2]...), s[len(s)-1], s[len(s)-2])
		}
		return matmulCost(0)(&g)
	},
	Eval: func(c *Call) error {
		var v [2][]float64
		var s [2][]int
		for i, a := range []string{"transA", "transB"} {
			x := c.In[i]
			if r := len(x.Shape); c.Int(a) != 0 && r > 1 {
				perm := make([]int, r)
				for k := range perm {
					perm[k] = k
				}
				perm[r-1], perm[r-2] = r-2, r-1
				g := &Call{Node: c.Node, Def: c.Def, Limit: c.Limit, Out: make([]*model.Tensor, 1)}
				if err := g.gather(permuted(x, perm)); err != nil {
					return err
				}
				x = g.Out[0]
			}
			v[i], s[i] = toFloat64(x), x.Shape
		}
		y, dims, err := product2(c, v[0], s[0], v[1], s[1])
		if err != nil {
			return err
		}
		for i := range y {
			y[i] *= float64(c.Float("alpha"))
		}
		c.Out[0], err = c.fromFloat64(c.In[0].DType, dims, y)
		return err
	}}
