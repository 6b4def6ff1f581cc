package ops

import (
	"math"

	"fettle/model"
)

// activationOps: functions of one tensor, element by element, and the softmax family.
func activationOps() []*Def {
	unary := func(name string, set Set, g func(float64) float64, since ...int) *Def {
		return &Def{Name: name, Since: since, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": set}, Exact: Rounding,
			Infer: inferSame, Eval: mapFloat(g)}
	}
	with := func(name string, attrs []AttrSpec, g func(c *Call) func(float64) float64, since ...int) *Def {
		return &Def{Name: name, Since: since, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats}, Exact: Rounding,
			Attrs: attrs, Infer: inferSame, Eval: func(c *Call) error { return mapFloat(g(c))(c) }}
	}
	fattr := func(name string, def float32) AttrSpec {
		return AttrSpec{Name: name, Type: model.AttrFloat, Default: def}
	}
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	defs := []*Def{
		unary("Sqrt", Floats, math.Sqrt, 1, 6, 13), unary("Exp", Floats, math.Exp, 1, 6, 13), unary("Log", Floats, math.Log, 1, 6, 13),
		unary("Ceil", Floats, math.Ceil, 1, 6, 13), unary("Floor", Floats, math.Floor, 1, 6, 13), unary("Round", Floats, math.RoundToEven, 11, 22),
		unary("Reciprocal", Floats, func(x float64) float64 { return 1 / x }, 1, 6, 13), unary("Erf", Numeric, math.Erf, 9, 13),
		unary("Sin", Floats, math.Sin, 7, 22), unary("Cos", Floats, math.Cos, 7, 22), unary("Tan", Floats, math.Tan, 7, 22), unary("Asin", Floats, math.Asin, 7, 22),
		unary("Acos", Floats, math.Acos, 7, 22), unary("Atan", Floats, math.Atan, 7, 22), unary("Sinh", Floats, math.Sinh, 9, 22), unary("Cosh", Floats, math.Cosh, 9, 22),
		unary("Asinh", Floats, math.Asinh, 9, 22), unary("Acosh", Floats, math.Acosh, 9, 22), unary("Atanh", Floats, math.Atanh, 9, 22),
		unary("Sigmoid", Floats, sigmoid, 1, 6, 13), unary("Tanh", Floats, math.Tanh, 1, 6, 13),
		unary("Softplus", Floats, softplus, 1, 22),
		unary("Softsign", Floats, func(x float64) float64 { return x / (1 + math.Abs(x)) }, 1, 22),
		unary("HardSwish", Floats, func(x float64) float64 { return x * clamp(x/6+0.5, 0, 1) }, 14, 22),
		unary("Mish", Floats, func(x float64) float64 { return x * math.Tanh(softplus(x)) }, 18, 22),
		with("Elu", []AttrSpec{fattr("alpha", 1)}, func(c *Call) func(float64) float64 {
			a := float64(c.Float("alpha"))
			return func(x float64) float64 {
				if x < 0 {
					return a * math.Expm1(x)
				}
				return x
			}
		}, 1, 6, 22),
		with("Celu", []AttrSpec{fattr("alpha", 1)}, func(c *Call) func(float64) float64 {
			a := float64(c.Float("alpha"))
			return func(x float64) float64 { return math.Max(0, x) + math.Min(0, a*math.Expm1(x/a)) }
		}, 12),
		with("Selu", []AttrSpec{fattr("alpha", 1.67326319217681884765625), fattr("gamma", 1.05070102214813232421875)}, func(c *Call) func(float64) float64 {
			a, g := float64(c.Float("alpha")), float64(c.Float("gamma"))
			return func(x float64) float64 {
				if x <= 0 {
					return g * a * math.Expm1(x)
				}
				return g * x
			}
		}, 1, 6, 22),
		with("LeakyRelu", []AttrSpec{fattr("alpha", 0.01)}, func(c *Call) func(float64) float64 {
			a := float64(c.Float("alpha"))
			return func(x float64) float64 {
				if x < 0 {
					return a * x
				}
				return x
			}
		}, 1, 6, 16),
		with("ThresholdedRelu", []AttrSpec{fattr("alpha", 1)}, func(c *Call) func(float64) float64 {
			a := float64(c.Float("alpha"))
			return func(x float64) float64 {
				if x > a {
					return x
				}
				return 0
			}
		}, 10, 22),
		with("HardSigmoid", []AttrSpec{fattr("alpha", 0.2), fattr("beta", 0.5)}, func(c *Call) func(float64) float64 {
			a, b := float64(c.Float("alpha")), float64(c.Float("beta"))
			return func(x float64) float64 { return clamp(a*x+b, 0, 1) }
		}, 1, 6, 22),
		with("Swish", []AttrSpec{fattr("alpha", 1)}, func(c *Call) func(float64) float64 {
			a := float64(c.Float("alpha"))
			return func(x float64) float64 { return x * sigmoid(a*x) }
		}, 24),
		with("Gelu", []AttrSpec{{Name: "approximate", Type: model.AttrString, Default: "none", Enum: []string{"none", "tanh"}}}, func(c *Call) func(float64) float64 {
			if c.Str("approximate") == "tanh" {
				return func(x float64) float64 {
					return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
				}
			}
			return func(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }
		}, 20),
		{Name: "Shrink", Since: []int{9}, In: []Port{{Name: "input", Type: "T"}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Numeric}, Exact: Rounding,
			Attrs: []AttrSpec{fattr("lambd", 0.5), fattr("bias", 0)}, Infer: inferSame,
			Eval: func(c *Call) error {
				l, b := float64(c.Float("lambd")), float64(c.Float("bias"))
				return mapFloat(func(x float64) float64 {
					switch {
					case x < -l:
						return x + b
					case x > l:
						return x - b
					}
					return 0
				})(c)
			}},
		signOp("Relu", Numeric, []int{1, 6, 13, 14}, func(x int64) int64 { return max(x, 0) }, func(x float64) float64 {
			if x < 0 {
				return 0
			}
			return x
		}),
		signOp("Neg", Numeric, []int{1, 6, 13}, func(x int64) int64 { return -x }, func(x float64) float64 { return -x }),
		signOp("Abs", Numeric, []int{1, 6, 13}, func(x int64) int64 { return max(x, -x) }, math.Abs),
		signOp("Sign", Numeric, []int{9, 13}, func(x int64) int64 { return int64(cmp(float64(x))) }, func(x float64) float64 {
			if x != x {
				return x
			}
			return cmp(x)
		}),
		preluDef, clipDef, softmaxDef("Softmax"), softmaxDef("LogSoftmax"), softmaxDef("Hardmax"),
	}
	return defs
}

func cmp(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

func clamp(x, lo, hi float64) float64 { return math.Min(math.Max(x, lo), hi) }

func softplus(x float64) float64 {
	if x > 30 {
		return x
	}
	return math.Log1p(math.Exp(x))
}

// signOp is a function that integers have too.
func signOp(name string, set Set, since []int, fi func(int64) int64, ff func(float64) float64) *Def {
	return &Def{Name: name, Since: since, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": set}, Infer: inferSame,
		Eval: func(c *Call) error {
			x := c.In[0]
			if x.DType.Float() {
				return mapFloat(ff)(c)
			}
			y, err := c.make(x.DType, x.Shape)
			if err != nil {
				return err
			}
			for i := range x.Len() {
				v := x.Int64At(i)
				if x.DType == model.Uint64 && name != "Neg" {
					if name == "Sign" && v != 0 {
						v = 1
					}
				} else {
					v = fi(v)
				}
				y.SetInt64(i, v)
			}
			c.Out[0] = y
			return nil
		}}
}

// preluDef: the slope broadcasts; before opset 7 a list is one slope a channel.
var preluDef = &Def{Name: "PRelu", Since: []int{1, 6, 7, 9, 16}, In: []Port{{Name: "X", Type: "T"}, {Name: "slope", Type: "T"}}, Out: []Port{{Name: "Y"}},
	Types: map[string]Set{"T": Numeric}, Exact: Rounding,
	Infer: func(f *Inference) error {
		if f.In[0].Ranked && f.In[1].Ranked {
			slope := f.In[1].Shape
			if f.Opset < 7 && len(slope) == 1 && len(f.In[0].Shape) > 2 {
				slope = append(append(model.Shape{}, slope...), model.FixedShape(ones(len(f.In[0].Shape)-2)...)...)
			}
			s, err := broadcastShape(f, f.In[0].Shape, slope)
			if err != nil {
				return err
			}
			for i, d := range s {
				if x := f.In[0].Shape; len(s) != len(x) || d.Known() && x[i].Known() && d.N != x[i].N {
					return f.Bad("the slope %s does not broadcast to %s", f.In[1].Shape, x)
				}
			}
		}
		return inferSame(f)
	},
	Eval: func(c *Call) error {
		if s := c.In[1]; c.Opset < 7 && len(s.Shape) == 1 && len(c.In[0].Shape) > 2 {
			old := *c
			old.In = []*model.Tensor{c.In[0], s.Reshaped(append([]int{s.Shape[0]}, ones(len(c.In[0].Shape)-2)...)...)}
			c = &old // one slope a channel; the outputs are shared
		}
		return binary(c, func(a, b int64) (int64, bool) {
			if a < 0 {
				return a * b, true
			}
			return a, true
		}, func(a, b float64) float64 {
			if a < 0 {
				return a * b
			}
			return a
		})
	}}

func ones(n int) []int {
	v := make([]int, n)
	for i := range v {
		v[i] = 1
	}
	return v
}

// clipDef: limits are attributes before opset 11 and inputs since.
var clipDef = &Def{Name: "Clip", Since: []int{1, 6, 11, 12, 13}, In: []Port{{Name: "input", Type: "T"}, {Name: "min", Type: "T", Opt: true}, {Name: "max", Type: "T", Opt: true}},
	Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Numeric},
	Attrs: []AttrSpec{{Name: "min", Type: model.AttrFloat, Default: float32(-math.MaxFloat32), Until: 11}, {Name: "max", Type: model.AttrFloat, Default: float32(math.MaxFloat32), Until: 11}},
	Infer: inferSame,
	Eval: func(c *Call) error {
		x := c.In[0]
		y, err := c.make(x.DType, x.Shape)
		if err != nil {
			return err
		}
		for i := 1; i < 3; i++ {
			if c.Has(i) && c.In[i].Len() != 1 {
				return c.Bad("limit %d has %d elements, want 1", i, c.In[i].Len())
			}
		}
		if x.DType.Float() {
			lo, hi := math.Inf(-1), math.Inf(1)
			if c.Opset < 11 {
				lo, hi = float64(c.Float("min")), float64(c.Float("max"))
			}
			if c.Has(1) {
				lo = c.In[1].Float64At(0)
			}
			if c.Has(2) {
				hi = c.In[2].Float64At(0)
			}
			for i := range x.Len() {
				v := x.Float64At(i)
				if v < lo {
					v = lo
				}
				if v > hi {
					v = hi
				}
				y.SetFloat64(i, v)
			}
			c.Out[0] = y
			return nil
		}
		flip := int64(0)
		if x.DType == model.Uint64 {
			flip = math.MinInt64
		}
		for i := range x.Len() {
			v := x.Int64At(i)
			if c.Has(1) {
				if l := c.In[1].Int64At(0); v^flip < l^flip {
					v = l
				}
			}
			if c.Has(2) {
				if h := c.In[2].Int64At(0); v^flip > h^flip {
					v = h
				}
			}
			y.SetInt64(i, v)
		}
		c.Out[0] = y
		return nil
	}}

// softmaxDef is Softmax, LogSoftmax or Hardmax: along one axis since opset 13, over all axes from it on before.
func softmaxDef(name string) *Def {
	return &Def{Name: name, Since: []int{1, 11, 13}, In: []Port{{Name: "input", Type: "T"}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Floats}, Exact: Rounding,
		Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt}},
		Infer: func(f *Inference) error {
			if f.In[0].Ranked {
				r := len(f.In[0].Shape)
				if a := softmaxAxis(f.Node, f.Opset); a < int64(-r) || a >= int64(r) && !(f.Opset < 13 && a <= int64(r)) {
					if r > 0 || f.Opset >= 13 {
						return f.BadAttr("axis", "is %d, the input has rank %d", a, r)
					}
				}
			}
			return inferSame(f)
		},
		Eval: func(c *Call) error {
			x := c.In[0]
			r := len(x.Shape)
			a := softmaxAxis(c.Node, c.Opset)
			if a < 0 {
				a += int64(r)
			}
			if a < 0 || a > int64(r) {
				return c.Bad("axis %d of a tensor of rank %d", a, r)
			}
			inner := 1
			size := product(x.Shape[a:])
			if c.Opset >= 13 {
				if r == 0 || a == int64(r) {
					return c.Bad("axis %d of a tensor of rank %d", a, r)
				}
				size, inner = x.Shape[a], product(x.Shape[a+1:])
			}
			v := toFloat64(x)
			outer := 0
			if size*inner > 0 {
				outer = len(v) / (size * inner)
			}
			for o := range outer {
				for i := range inner {
					softmaxLine(v[o*size*inner+i:], size, inner, name)
				}
			}
			y, err := c.fromFloat64(x.DType, x.Shape, v)
			c.Out[0] = y
			return err
		}}
}

func softmaxAxis(n *model.Node, opset int) int64 {
	if opset < 13 {
		return n.Int("axis", 1)
	}
	return n.Int("axis", -1)
}

func softmaxLine(v []float64, n, step int, name string) {
	best := 0
	for i := range n {
		if v[i*step] > v[best*step] {
			best = i
		}
	}
	top := v[best*step]
	sum := 0.0
	for i := range n {
		sum += math.Exp(v[i*step] - top)
	}
	for i := range n {
		switch name {
		case "Softmax":
			v[i*step] = math.Exp(v[i*step]-top) / sum
		case "LogSoftmax":
			v[i*step] = v[i*step] - top - math.Log(sum)
		default:
			v[i*step] = 0
			if i == best {
				v[i*step] = 1
			}
		}
	}
}
