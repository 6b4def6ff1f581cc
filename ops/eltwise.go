package ops

import (
	"math"

	"fettle/model"
)

// eltwiseOps: arithmetic, comparison and logic of one or two tensors with broadcasting.
func eltwiseOps() []*Def {
	arith := func(name string, set Set, fi func(a, b int64) (int64, bool), ff func(a, b float64) float64) *Def {
		return &Def{Name: name, Since: []int{1, 6, 7, 13, 14}, In: []Port{{Name: "A", Type: "T"}, {Name: "B", Type: "T"}}, Out: []Port{{Name: "C"}},
			Types: map[string]Set{"T": set}, Exact: Rounding, Infer: inferBroadcast,
			Eval: func(c *Call) error { return binary(c, fi, ff) }}
	}
	compare := func(name string, since []int, fi func(a, b int64) bool, ff func(a, b float64) bool) *Def {
		return &Def{Name: name, Since: since, In: []Port{{Name: "A", Type: "T"}, {Name: "B", Type: "T"}}, Out: []Port{{Name: "C"}},
			Types: map[string]Set{"T": Numeric | BoolSet | Text}, Infer: inferBool,
			Eval: func(c *Call) error { return comparison(c, fi, ff) }}
	}
	logic := func(name string, f func(a, b bool) bool) *Def {
		return &Def{Name: name, Since: []int{1, 7}, In: []Port{{Name: "A", Type: "bool"}, {Name: "B", Type: "bool"}}, Out: []Port{{Name: "C"}}, Infer: inferBool,
			Eval: func(c *Call) error {
				return comparison(c, func(a, b int64) bool { return f(a != 0, b != 0) }, nil)
			}}
	}
	bitwise := func(name string, f func(a, b int64) (int64, bool)) *Def {
		return &Def{Name: name, Since: []int{18}, In: []Port{{Name: "A", Type: "T"}, {Name: "B", Type: "T"}}, Out: []Port{{Name: "C"}},
			Types: map[string]Set{"T": Ints}, Infer: inferBroadcast, Eval: func(c *Call) error { return binary(c, f, nil) }}
	}
	ok := func(f func(a, b int64) int64) func(a, b int64) (int64, bool) {
		return func(a, b int64) (int64, bool) { return f(a, b), true }
	}
	div := func(a, b int64) (int64, bool) {
		if b == 0 {
			return 0, false
		}
		if b == -1 {
			return -a, true
		}
		return a / b, true
	}
	many := func(name string, set Set, fold func(a, b float64) float64, mean bool) *Def {
		return &Def{Name: name, Since: []int{1, 6, 8, 12, 13}, In: []Port{{Name: "data_0", Type: "T", Many: true}}, Out: []Port{{Name: "out"}},
			Types: map[string]Set{"T": set}, Exact: Rounding, Infer: inferBroadcast, Eval: func(c *Call) error { return variadic(c, fold, mean) }}
	}
	total, mean := many("Sum", Floats, func(a, b float64) float64 { return a + b }, false), many("Mean", Floats, func(a, b float64) float64 { return a + b }, true)
	total.Since, mean.Since = []int{1, 6, 8, 13}, []int{1, 6, 8, 13}
	defs := []*Def{
		arith("Add", Numeric, ok(func(a, b int64) int64 { return a + b }), func(a, b float64) float64 { return a + b }),
		arith("Sub", Numeric, ok(func(a, b int64) int64 { return a - b }), func(a, b float64) float64 { return a - b }),
		arith("Mul", Numeric, ok(func(a, b int64) int64 { return a * b }), func(a, b float64) float64 { return a * b }),
		arith("Div", Numeric, div, func(a, b float64) float64 { return a / b }), powDef,
		compare("Equal", []int{1, 7, 11, 13, 19}, func(a, b int64) bool { return a == b }, func(a, b float64) bool { return a == b }),
		compare("Greater", []int{1, 7, 9, 13}, func(a, b int64) bool { return a > b }, func(a, b float64) bool { return a > b }),
		compare("Less", []int{1, 7, 9, 13}, func(a, b int64) bool { return a < b }, func(a, b float64) bool { return a < b }),
		logic("And", func(a, b bool) bool { return a && b }), logic("Or", func(a, b bool) bool { return a || b }), logic("Xor", func(a, b bool) bool { return a != b }),
	}
	for i, d := range defs {
		defs[i] = unidirectional(d)
	}
	return append(defs,
		modDef, bitShiftDef, notDef, bitwiseNotDef, whereDef, isNaNDef, isInfDef,
		compare("GreaterOrEqual", []int{12, 16}, func(a, b int64) bool { return a >= b }, func(a, b float64) bool { return a >= b }),
		compare("LessOrEqual", []int{12, 16}, func(a, b int64) bool { return a <= b }, func(a, b float64) bool { return a <= b }),
		bitwise("BitwiseAnd", ok(func(a, b int64) int64 { return a & b })), bitwise("BitwiseOr", ok(func(a, b int64) int64 { return a | b })),
		bitwise("BitwiseXor", ok(func(a, b int64) int64 { return a ^ b })),
		total, mean,
		many("Max", Numeric, floatMax, false), many("Min", Numeric, func(a, b float64) float64 { return -floatMax(-a, -b) }, false),
	)
}

// unidirectional adds what the operators had before opset 7: B broadcasts to A and not the other way, and with attribute
// broadcast its dimensions lie from attribute axis on (at the end where it is absent).
func unidirectional(d *Def) *Def {
	c := *d
	c.Attrs = append(append([]AttrSpec{}, d.Attrs...), AttrSpec{Name: "axis", Type: model.AttrInt, Until: 7}, AttrSpec{Name: "broadcast", Type: model.AttrInt, Default: int64(0), Until: 7})
	c.Infer = func(f *Inference) error {
		if f.Opset < 1 || f.Opset >= 7 || !f.In[0].Ranked || !f.In[1].Ranked {
			return d.Infer(f)
		}
		a, b := f.In[0].Shape, f.In[1].Shape
		ones, ok := trailing(f.Node, len(a), len(b))
		if !ok {
			return f.BadAttr("axis", "shapes %s and %s do not go together", a, b)
		}
		g := *f
		b = append(model.Shape{}, b...)
		for range ones {
			b = append(b, model.Fixed(1))
		}
		g.In = []model.Type{f.In[0], model.TensorType(f.In[1].DType, b)}
		if err := d.Infer(&g); err != nil {
			return err
		}
		if len(g.Out[0].Shape) != len(a) {
			return f.Bad("shape %s does not broadcast to %s", f.In[1].Shape, a)
		}
		for i, k := range g.Out[0].Shape {
			if k.Known() && a[i].Known() && k.N != a[i].N {
				return f.Bad("shape %s does not broadcast to %s", f.In[1].Shape, a)
			}
		}
		return nil
	}
	c.Eval = func(c *Call) error {
		if c.Opset < 1 || c.Opset >= 7 {
			return d.Eval(c)
		}
		ones, ok := trailing(c.Node, len(c.In[0].Shape), len(c.In[1].Shape))
		if !ok {
			return c.badAttr("axis", "shapes %v and %v do not go together", c.In[0].Shape, c.In[1].Shape)
		}
		dims := append([]int{}, c.In[1].Shape...)
		for range ones {
			dims = append(dims, 1)
		}
		c.In = []*model.Tensor{c.In[0], c.In[1].Reshaped(dims...)}
		return d.Eval(c)
	}
	return &c
}

// trailing is how many dimensions of A come after those of B.
func trailing(n *model.Node, a, b int) (int, bool) {
	if n.Attr("axis") == nil || n.Int("broadcast", 0) == 0 {
		return 0, a >= b
	}
	axis, ok := axisOf(n.Int("axis", 0), a+1)
	return a - axis - b, ok && a-axis-b >= 0
}

func floatMax(a, b float64) float64 {
	if a != a || b != b {
		return math.NaN()
	}
	return math.Max(a, b)
}

func inferBool(f *Inference) error {
	if err := inferBroadcast(f); err != nil {
		return err
	}
	f.Out[0].DType = model.Bool
	return nil
}

// shapes2 is the broadcast of the first two inputs with their strides.
func shapes2(c *Call) (dims, sa, sb []int, err error) {
	dims, ok := broadcast(c.In[0].Shape, c.In[1].Shape)
	if !ok {
		return nil, nil, nil, c.Bad("shapes %v and %v do not broadcast", c.In[0].Shape, c.In[1].Shape)
	}
	return dims, broadcastStride(c.In[0].Shape, dims), broadcastStride(c.In[1].Shape, dims), nil
}

// binary applies fi to integers and ff to floats. fi tells false where the result is not defined (division by zero).
func binary(c *Call, fi func(a, b int64) (int64, bool), ff func(a, b float64) float64) error {
	dims, sa, sb, err := shapes2(c)
	if err != nil {
		return err
	}
	a, b := c.In[0], c.In[1]
	y, err := c.make(a.DType, dims)
	if err != nil {
		return err
	}
	w := newWalk(dims, sa, sb)
	n := y.Len()
	switch {
	case a.DType == model.Float32 && b.DType == model.Float32:
		d, x, z := model.Data[float32](y), model.Data[float32](a), model.Data[float32](b)
		for i := range n {
			d[i] = float32(ff(float64(x[w.off[0]]), float64(z[w.off[1]])))
			w.next()
		}
	case a.DType.Float():
		for i := range n {
			y.SetFloat64(i, ff(a.Float64At(w.off[0]), b.Float64At(w.off[1])))
			w.next()
		}
	case a.DType == model.Uint64 && (c.Node.Op == "Div" || c.Node.Op == "Mod"): // the others are the same in 64 signed bits
		d, x, z := model.Data[uint64](y), model.Data[uint64](a), model.Data[uint64](b)
		for i := range n {
			p, q := x[w.off[0]], z[w.off[1]]
			if q == 0 {
				return c.Bad("division by zero")
			}
			if d[i] = p / q; c.Node.Op == "Mod" {
				d[i] = p % q
			}
			w.next()
		}
	default:
		for i := range n {
			v, ok := fi(a.Int64At(w.off[0]), b.Int64At(w.off[1]))
			if !ok {
				return c.Bad("division by zero")
			}
			y.SetInt64(i, v)
			w.next()
		}
	}
	c.Out[0] = y
	return nil
}

func comparison(c *Call, fi func(a, b int64) bool, ff func(a, b float64) bool) error {
	dims, sa, sb, err := shapes2(c)
	if err != nil {
		return err
	}
	a, b := c.In[0], c.In[1]
	y, err := c.make(model.Bool, dims)
	if err != nil {
		return err
	}
	w := newWalk(dims, sa, sb)
	for i := range y.Len() {
		var t bool
		switch {
		case a.DType == model.String:
			x, z := a.Strs[w.off[0]], b.Strs[w.off[1]]
			order := int64(0)
			if x < z {
				order = -1
			} else if x > z {
				order = 1
			}
			t = fi(order, 0)
		case a.DType.Float():
			t = ff(a.Float64At(w.off[0]), b.Float64At(w.off[1]))
		case a.DType == model.Uint64:
			// Flipping the top bit makes signed order the order of unsigned numbers.
			t = fi(a.Int64At(w.off[0])^math.MinInt64, b.Int64At(w.off[1])^math.MinInt64)
		default:
			t = fi(a.Int64At(w.off[0]), b.Int64At(w.off[1]))
		}
		if t {
			y.Raw[i] = 1
		}
		w.next()
	}
	c.Out[0] = y
	return nil
}

func variadic(c *Call, fold func(a, b float64) float64, mean bool) error {
	shapes := make([][]int, len(c.In))
	for i, t := range c.In {
		shapes[i] = t.Shape
	}
	dims, ok := broadcast(shapes...)
	if !ok {
		return c.Bad("shapes %v do not broadcast", shapes)
	}
	y, err := c.make(c.In[0].DType, dims)
	if err != nil {
		return err
	}
	if y.DType.Integer() {
		return variadicInt(c, y, dims)
	}
	strides := make([][]int, len(c.In))
	for i := range c.In {
		strides[i] = broadcastStride(shapes[i], dims)
	}
	w := newWalk(dims, strides...)
	for i := range y.Len() {
		v := c.In[0].Float64At(w.off[0])
		for k := 1; k < len(c.In); k++ {
			v = fold(v, c.In[k].Float64At(w.off[k]))
		}
		if mean {
			v /= float64(len(c.In))
		}
		y.SetFloat64(i, v)
		w.next()
	}
	c.Out[0] = y
	return nil
}

// variadicInt is Max and Min of integers, exact to 64 bits.
func variadicInt(c *Call, y *model.Tensor, dims []int) error {
	flip := int64(0)
	if y.DType == model.Uint64 {
		flip = math.MinInt64
	}
	for k, t := range c.In {
		w := newWalk(dims, broadcastStride(t.Shape, dims))
		for i := range y.Len() {
			v := t.Int64At(w.off[0])
			if k > 0 {
				o := y.Int64At(i)
				if (o^flip > v^flip) == (c.Node.Op == "Max") {
					v = o
				}
			}
			y.SetInt64(i, v)
			w.next()
		}
	}
	c.Out[0] = y
	return nil
}

var powDef = &Def{Name: "Pow", Since: []int{1, 7, 12, 13, 15}, In: []Port{{Name: "X", Type: "T"}, {Name: "Y", Type: "T1"}}, Out: []Port{{Name: "Z"}},
	Types: map[string]Set{"T": Floats | Index, "T1": Numeric}, Exact: Rounding, Infer: inferBroadcast,
	Eval: func(c *Call) error {
		dims, sa, sb, err := shapes2(c)
		if err != nil {
			return err
		}
		y, err := c.make(c.In[0].DType, dims)
		if err != nil {
			return err
		}
		w := newWalk(dims, sa, sb)
		whole := c.In[0].DType.Integer() && c.In[1].DType.Integer()
		for i := range y.Len() {
			if e := c.In[1].Int64At(w.off[1]); whole && e >= 0 {
				y.SetInt64(i, powInt(c.In[0].Int64At(w.off[0]), e))
			} else {
				y.SetFloat64(i, math.Pow(c.In[0].Float64At(w.off[0]), c.In[1].Float64At(w.off[1])))
			}
			w.next()
		}
		c.Out[0] = y
		return nil
	}}

// powInt is x to the power of e in integers that wrap.
func powInt(x, e int64) int64 {
	p := int64(1)
	for ; e > 0; e >>= 1 {
		if e&1 == 1 {
			p *= x
		}
		x *= x
	}
	return p
}

var modDef = &Def{Name: "Mod", Since: []int{10, 13}, In: []Port{{Name: "A", Type: "T"}, {Name: "B", Type: "T"}}, Out: []Port{{Name: "C"}},
	Types: map[string]Set{"T": Numeric}, Exact: Rounding, Attrs: []AttrSpec{{Name: "fmod", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		if f.In[0].DType.Float() && f.Int("fmod") == 0 {
			return f.BadAttr("fmod", "must be 1 for %s", f.In[0].DType)
		}
		return inferBroadcast(f)
	},
	Eval: func(c *Call) error {
		trunc := c.Int("fmod") != 0
		return binary(c, func(a, b int64) (int64, bool) {
			if b == 0 {
				return 0, false
			}
			if b == -1 {
				return 0, true
			}
			r := a % b
			if !trunc && r != 0 && (r < 0) != (b < 0) {
				r += b // the sign of the divisor, as Python's
			}
			return r, true
		}, math.Mod)
	}}

var bitShiftDef = &Def{Name: "BitShift", Since: []int{11}, In: []Port{{Name: "X", Type: "T"}, {Name: "Y", Type: "T"}}, Out: []Port{{Name: "Z"}},
	Types: map[string]Set{"T": Unsig}, Attrs: []AttrSpec{{Name: "direction", Type: model.AttrString, Required: true, Enum: []string{"LEFT", "RIGHT"}}},
	Infer: inferBroadcast,
	Eval: func(c *Call) error {
		left := c.Str("direction") == "LEFT"
		return binary(c, func(a, b int64) (int64, bool) {
			if uint64(b) >= 64 {
				return 0, true
			}
			if left {
				return a << uint(b), true
			}
			return int64(uint64(a) >> uint(b)), true
		}, nil)
	}}

var notDef = &Def{Name: "Not", Since: []int{1}, In: []Port{{Name: "X", Type: "bool"}}, Out: []Port{{Name: "Y"}}, Infer: inferSame,
	Eval: func(c *Call) error {
		y, err := c.make(model.Bool, c.In[0].Shape)
		if err != nil {
			return err
		}
		for i, v := range c.In[0].Raw {
			if v == 0 {
				y.Raw[i] = 1
			}
		}
		c.Out[0] = y
		return nil
	}}

var bitwiseNotDef = &Def{Name: "BitwiseNot", Since: []int{18}, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Ints}, Infer: inferSame,
	Eval: func(c *Call) error {
		y := c.In[0].Clone()
		for i := range y.Raw {
			y.Raw[i] = ^y.Raw[i]
		}
		c.Out[0] = y
		return nil
	}}

var whereDef = &Def{Name: "Where", Since: []int{9, 16}, In: []Port{{Name: "condition", Type: "bool"}, {Name: "X", Type: "T"}, {Name: "Y", Type: "T"}}, Out: []Port{{Name: "output"}},
	Types: map[string]Set{"T": Any},
	Infer: func(f *Inference) error {
		if err := inferBroadcast(f); err != nil {
			return err
		}
		f.Out[0].DType = f.In[1].DType
		return nil
	},
	Eval: func(c *Call) error {
		dims, ok := broadcast(c.In[0].Shape, c.In[1].Shape, c.In[2].Shape)
		if !ok {
			return c.Bad("shapes %v, %v and %v do not broadcast", c.In[0].Shape, c.In[1].Shape, c.In[2].Shape)
		}
		y, err := c.make(c.In[1].DType, dims)
		if err != nil {
			return err
		}
		w := newWalk(dims, broadcastStride(c.In[0].Shape, dims), broadcastStride(c.In[1].Shape, dims), broadcastStride(c.In[2].Shape, dims))
		for i := range y.Len() {
			if c.In[0].Raw[w.off[0]] != 0 {
				copyElem(y, i, c.In[1], w.off[1])
			} else {
				copyElem(y, i, c.In[2], w.off[2])
			}
			w.next()
		}
		c.Out[0] = y
		return nil
	}}

// copyElem copies one element between tensors of one dtype.
func copyElem(dst *model.Tensor, i int, src *model.Tensor, k int) {
	switch bits := src.DType.Bits(); {
	case src.DType == model.String:
		dst.Strs[i] = src.Strs[k]
	case bits == 4:
		dst.SetInt64(i, src.Int64At(k))
	default:
		n := bits / 8
		copy(dst.Raw[i*n:(i+1)*n], src.Raw[k*n:(k+1)*n])
	}
}

var isNaNDef = &Def{Name: "IsNaN", Since: []int{9, 13, 20}, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats | Float8s}, Infer: inferFlag,
	Eval: func(c *Call) error { return flag(c, func(v float64) bool { return v != v }) }}

var isInfDef = &Def{Name: "IsInf", Since: []int{10, 20}, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats | Float8s}, Infer: inferFlag,
	Attrs: []AttrSpec{{Name: "detect_negative", Type: model.AttrInt, Default: int64(1)}, {Name: "detect_positive", Type: model.AttrInt, Default: int64(1)}},
	Eval: func(c *Call) error {
		neg, pos := c.Int("detect_negative") != 0, c.Int("detect_positive") != 0
		return flag(c, func(v float64) bool { return pos && math.IsInf(v, 1) || neg && math.IsInf(v, -1) })
	}}

func inferFlag(f *Inference) error {
	f.Out[0] = f.In[0]
	f.Out[0].DType = model.Bool
	return nil
}

func flag(c *Call, f func(float64) bool) error {
	y, err := c.make(model.Bool, c.In[0].Shape)
	if err != nil {
		return err
	}
	for i := range y.Len() {
		if f(c.In[0].Float64At(i)) {
			y.Raw[i] = 1
		}
	}
	c.Out[0] = y
	return nil
}
