package ops

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// fusedOps: Fettle's own operators: a layer with its bias, its residual sum and its activation function in one.
func fusedOps() []*Def {
	fused := func(base *Def, ports []Port, attrs []AttrSpec, infer func(*Inference) error, eval func(*Call) ([]float64, []int, error)) *Def {
		all := withActivation(base.Name, attrs)
		return &Def{Name: base.Name, Domain: fusedDomain, Since: []int{1}, In: ports, Out: base.Out, Types: map[string]Set{"T": Floats}, Exact: Rounding, Cost: base.Cost,
			Attrs: all, Expand: func(n *model.Node) (*model.Function, error) { return expandFused(n, ports, all) },
			Infer: func(f *Inference) error {
				if f.Node.Op == "Gemm" && f.Str("activation") == "leakyrelu" {
					return f.BadAttr("activation", "alpha of a Gemm scales its product, so the slope of a LeakyRelu has no attribute")
				}
				return infer(f)
			},
			Eval: func(c *Call) error {
				y, dims, err := eval(c)
				if err != nil {
					return err
				}
				g := activationOf(c)
				for i, v := range y {
					y[i] = g(v)
				}
				c.Out[0], err = c.fromFloat64(c.In[0].DType, dims, y)
				return err
			}}
	}
	x := func(names ...string) []Port {
		var out []Port
		for i, n := range names {
			out = append(out, Port{Name: n, Type: "T", Opt: i > 1})
		}
		return out
	}
	return []*Def{
		fused(convDef, x("X", "W", "B", "R"), convAttrs, inferFusedConv, fusedConv),
		fused(gemmDef, x("A", "B", "C"), gemmAttrs, inferGemm, gemm),
		fused(matmulDef, x("A", "B", "C"), nil, inferFusedMatmul, fusedMatmul),
		fused(&Def{Name: "Add", Out: []Port{{Name: "C"}}}, x("A", "B"), nil, inferBroadcast, fusedAdd),
	}
}

const fusedDomain = "fettle"

// withActivation adds the attributes of the activation function; a Gemm keeps its own alpha. GELU stands behind linear layers alone.
func withActivation(op string, attrs []AttrSpec) []AttrSpec {
	out := append([]AttrSpec{}, attrs...)
	names := []string{"none", "relu", "clip", "leakyrelu", "sigmoid", "hardswish", "silu"}
	if op == "Gemm" || op == "MatMul" {
		names = append(names, "gelu")
	}
	out = append(out, AttrSpec{Name: "activation", Type: model.AttrString, Default: "none", Enum: names},
		AttrSpec{Name: "min", Type: model.AttrFloat, Default: float32(-math.MaxFloat32)}, AttrSpec{Name: "max", Type: model.AttrFloat, Default: float32(math.MaxFloat32)})
	for _, a := range attrs {
		if a.Name == "alpha" {
			return out
		}
	}
	return append(out, AttrSpec{Name: "alpha", Type: model.AttrFloat, Default: float32(0.01)})
}

func activationOf(c *Call) func(float64) float64 {
	alpha, lo, hi := float64(c.Float("alpha")), float64(c.Float("min")), float64(c.Float("max"))
	switch c.Str("activation") {
	case "relu":
		return func(v float64) float64 { return math.Max(v, 0) }
	case "clip":
		return func(v float64) float64 { return math.Min(math.Max(v, lo), hi) }
	case "leakyrelu":
		return func(v float64) float64 {
			if v < 0 {
				return alpha * v
			}
			return v
		}
	case "sigmoid":
		return func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }
	case "hardswish":
		return func(v float64) float64 { return v * clamp(v/6+0.5, 0, 1) }
	case "silu":
		return func(v float64) float64 { return v / (1 + math.Exp(-v)) }
	case "gelu":
		return gelu
	}
	return func(v float64) float64 { return v }
}

func inferFusedConv(f *Inference) error {
	if err := inferConv(f); err != nil {
		return err
	}
	if y := f.Out[0]; y.Ranked && f.Has(3) && f.In[3].Ranked {
		r := f.In[3].Shape
		if len(r) != len(y.Shape) {
			return f.Bad("the residual has shape %s, want %s", r, y.Shape)
		}
		for i, d := range y.Shape {
			if d.Known() && r[i].Known() && d.N != r[i].N {
				return f.Bad("the residual has shape %s, want %s", r, y.Shape)
			}
		}
	}
	return nil
}

func fusedConv(c *Call) ([]float64, []int, error) {
	y, dims, err := convolve(c, toFloat64(c.In[0]), c.In[0].Shape, toFloat64(c.In[1]), c.In[1].Shape)
	if err != nil {
		return nil, nil, err
	}
	if c.Has(2) {
		if c.In[2].Len() != dims[1] {
			return nil, nil, c.Bad("the bias has %d elements, want %d", c.In[2].Len(), dims[1])
		}
		addBias(y, dims, c.In[2])
	}
	if c.Has(3) {
		if !sameDims(c.In[3].Shape, dims) {
			return nil, nil, c.Bad("the residual has shape %v, want %v", c.In[3].Shape, dims)
		}
		for i, v := range toFloat64(c.In[3]) {
			y[i] += v
		}
	}
	return y, dims, nil
}

// inferFusedMatmul: C has one value a column.
func inferFusedMatmul(f *Inference) error {
	if err := inferMatmul(f, 0, 1, f.In[0].DType); err != nil {
		return err
	}
	if !f.Has(2) || !f.In[2].Ranked || !f.In[1].Ranked {
		return nil
	}
	c, b := f.In[2].Shape, f.In[1].Shape
	if len(b) < 2 || len(c) != 1 || c[0].Known() && b[len(b)-1].Known() && c[0].N != b[len(b)-1].N {
		return f.Bad("the bias has shape %s, a vector with a value for each column of %s is needed", c, b)
	}
	return nil
}

func fusedMatmul(c *Call) ([]float64, []int, error) {
	y, dims, err := product2(c, toFloat64(c.In[0]), c.In[0].Shape, toFloat64(c.In[1]), c.In[1].Shape)
	if err != nil || !c.Has(2) {
		return y, dims, err
	}
	b := c.In[1].Shape
	if len(b) < 2 || len(c.In[2].Shape) != 1 || c.In[2].Len() != b[len(b)-1] {
		return nil, nil, c.Bad("the bias has shape %v, a vector with a value for each column of %v is needed", c.In[2].Shape, b)
	}
	bias := toFloat64(c.In[2])
	for i := range y {
		y[i] += bias[i%len(bias)]
	}
	return y, dims, nil
}

func fusedAdd(c *Call) ([]float64, []int, error) {
	dims, sa, sb, err := shapes2(c)
	if err != nil {
		return nil, nil, err
	}
	if n, err := model.Count(dims); err != nil || n > c.limit()/8 {
		return nil, nil, c.tooBig("the output %v", dims)
	}
	a, b := toFloat64(c.In[0]), toFloat64(c.In[1])
	y := make([]float64, product(dims))
	w := newWalk(dims, sa, sb)
	for i := range y {
		y[i] = a[w.off[0]] + b[w.off[1]]
		w.next()
	}
	return y, dims, nil
}

// expandFused is the node as a function of standard operators: the layer, the bias or residual sum, the activation function. It
// reads its numbers through attribute references, so one function serves all nodes of one activation function. It imports
// no opset: the model that takes it up decides.
func expandFused(n *model.Node, ports []Port, attrs []AttrSpec) (*model.Function, error) {
	f := &model.Function{Name: n.Op, Domain: fusedDomain, Outputs: []string{"Y"}}
	node := func(op, out string, in []string, attrs ...model.Attr) {
		f.Nodes = append(f.Nodes, &model.Node{Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs})
	}
	act := n.Str("activation", "none")
	layer, sum := 3, "" // inputs of the layer itself, and the port of what is added to its result
	switch {
	case n.Op == "Conv" && len(n.Inputs) > 3 && n.Inputs[3] != "":
		sum = "R"
	case n.Op == "MatMul":
		layer = 2
		if len(n.Inputs) > 2 && n.Inputs[2] != "" {
			sum = "C"
		}
	}
	for i, p := range ports {
		if i < layer || sum != "" {
			f.Inputs = append(f.Inputs, p.Name)
		}
	}
	var own []model.Attr
	for _, a := range attrs {
		if a.Until > 0 {
			continue
		}
		f.Attrs = append(f.Attrs, a.Name)
		switch a.Name {
		case "activation", "min", "max":
		case "alpha":
			if n.Op == "Gemm" {
				own = append(own, model.RefAttr(a.Name, a.Type, a.Name))
			}
		default:
			own = append(own, model.RefAttr(a.Name, a.Type, a.Name))
		}
	}
	at := "Y"
	if act != "none" {
		at = "Z"
	}
	if sum != "" {
		node(n.Op, "P", f.Inputs[:layer], own...)
		node("Add", at, []string{"P", sum})
	} else {
		node(n.Op, at, f.Inputs, own...)
	}
	one := []string{"Z"}
	switch act {
	case "none":
	case "relu":
		node("Relu", "Y", one)
	case "sigmoid":
		node("Sigmoid", "Y", one)
	case "hardswish":
		node("HardSwish", "Y", one)
	case "silu":
		node("Sigmoid", "G", one)
		node("Mul", "Y", []string{"Z", "G"})
	case "gelu":
		node("Constant", "ROOT", nil, model.FloatAttr("value_float", math.Sqrt2))
		node("Constant", "ONE", nil, model.FloatAttr("value_float", 1))
		node("Constant", "HALF", nil, model.FloatAttr("value_float", 0.5))
		node("Div", "S", []string{"Z", "ROOT"})
		node("Erf", "E", []string{"S"})
		node("Add", "E1", []string{"E", "ONE"})
		node("Mul", "ZE", []string{"Z", "E1"})
		node("Mul", "Y", []string{"ZE", "HALF"})
	case "leakyrelu":
		node("LeakyRelu", "Y", one, model.RefAttr("alpha", model.AttrFloat, "alpha"))
	case "clip":
		node("Constant", "LO", nil, model.RefAttr("value_float", model.AttrFloat, "min"))
		node("Constant", "HI", nil, model.RefAttr("value_float", model.AttrFloat, "max"))
		node("Clip", "Y", []string{"Z", "LO", "HI"})
	default:
		return nil, fail.New(fail.Invalid, "%q is no activation function", act).At(fail.Where{Node: string(n.ID), Op: n.Op, Attr: "activation"})
	}
	return f, nil
}
