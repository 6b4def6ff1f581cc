package ops

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// microsoftOps: activation functions that ONNX Runtime's optimizer writes into models, in its domain. The other ms*.go files
// hold the rest of that domain, a family each.
func microsoftOps() []*Def {
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
	}
}

// borrowed is an operator of the standard in ONNX Runtime's domain, with the meaning that it has at one opset.
func borrowed(std *Def, opset int) *Def {
	d := *std
	d.Domain, d.Since, d.Until, d.Attrs = microsoft, []int{1}, 0, nil
	for _, a := range std.Attrs {
		if a.Until == 0 || opset < a.Until {
			d.Attrs = append(d.Attrs, a)
		}
	}
	d.Infer = func(f *Inference) error {
		g := *f
		g.Def, g.Opset = std, opset
		return std.Infer(&g)
	}
	d.Eval = func(c *Call) error {
		g := *c
		g.Def, g.Opset = std, opset
		return std.Eval(&g)
	}
	return &d
}

func gelu(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }

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

// fusedActivation reads the activation function of a fused layer: attribute activation, and its numbers in order. Without a
// name it is the identity. fail.Unsupported names a function that is not known.
func fusedActivation(n *model.Node, numbers ...float32) (func(float64) float64, error) {
	number := func(i int) func(float64) float64 {
		return func(def float64) float64 {
			if i < len(numbers) {
				return float64(numbers[i])
			}
			return def
		}
	}
	name := n.Str("activation", "")
	switch name {
	case "":
		return func(x float64) float64 { return x }, nil
	case "Clip":
		lo, hi := number(0)(math.Inf(-1)), number(1)(math.Inf(1))
		return func(x float64) float64 { return clamp(x, lo, hi) }, nil
	case "HardSwish":
		return func(x float64) float64 { return x * clamp(x/6+0.5, 0, 1) }, nil
	case "Gelu":
		return gelu, nil
	case "Selu":
		a, g := number(0)(1.67326319217681884765625), number(1)(1.05070102214813232421875)
		return func(x float64) float64 {
			if x > 0 {
				return g * x
			}
			return g * a * math.Expm1(x)
		}, nil
	}
	f := functionNamed(name, number(0), number(1))
	if f == nil {
		return nil, fail.New(fail.Unsupported, "%q is no activation function that is known here", name).At(fail.Where{Node: string(n.ID), Op: n.Op, Attr: "activation"})
	}
	return f, nil
}
