package ops

import (
	"math"

	"fettle/model"
)

// reduceOps: operators that make one number of many along axes.
func reduceOps() []*Def {
	defs := []*Def{argDef("ArgMax"), argDef("ArgMin"), cumSumDef}
	for _, r := range reducers {
		set := Floats | 1<<model.Int32 | 1<<model.Int64 | 1<<model.Uint32 | 1<<model.Uint64
		since := []int{1, 11, 13, 18}
		if r.name == "ReduceMax" || r.name == "ReduceMin" {
			set |= bytes8 | BoolSet
			since = []int{1, 11, 12, 13, 18, 20}
		}
		if r.name == "ReduceSum" { // whose axes became an input before those of the others
			since = []int{1, 11, 13}
		}
		defs = append(defs, &Def{Name: r.name, Since: since, In: []Port{{Name: "data", Type: "T"}, {Name: "axes", Type: "int64", Opt: true}}, Out: []Port{{Name: "reduced"}},
			Types: map[string]Set{"T": set}, Exact: Rounding, Infer: inferReduce, Eval: func(c *Call) error { return reduce(c, r) },
			Attrs: []AttrSpec{{Name: "axes", Type: model.AttrInts, Until: 18}, {Name: "keepdims", Type: model.AttrInt, Default: int64(1)},
				{Name: "noop_with_empty_axes", Type: model.AttrInt, Default: int64(0)}}})
	}
	return defs
}

// reducer folds elements into an accumulator that begins at zero and turns it into the result; n is the number of elements.
// exact, where there is one, does the same in integers.
type reducer struct {
	name  string
	zero  float64
	fold  func(acc, x float64) float64
	end   func(acc float64, n int) float64
	exact func(acc, x int64) int64
}

var reducers = []reducer{
	{name: "ReduceSum", fold: func(a, x float64) float64 { return a + x }, exact: func(a, x int64) int64 { return a + x }},
	{name: "ReduceMean", fold: func(a, x float64) float64 { return a + x }, end: func(a float64, n int) float64 { return a / float64(n) }},
	{name: "ReduceProd", zero: 1, fold: func(a, x float64) float64 { return a * x }, exact: func(a, x int64) int64 { return a * x }},
	{name: "ReduceMax", zero: math.Inf(-1), fold: floatMax, exact: func(a, x int64) int64 { return max(a, x) }},
	{name: "ReduceMin", zero: math.Inf(1), fold: func(a, x float64) float64 { return -floatMax(-a, -x) }, exact: func(a, x int64) int64 { return min(a, x) }},
	{name: "ReduceL1", fold: func(a, x float64) float64 { return a + math.Abs(x) }, exact: func(a, x int64) int64 { return a + max(x, -x) }},
	{name: "ReduceL2", fold: func(a, x float64) float64 { return a + x*x }, end: func(a float64, _ int) float64 { return math.Sqrt(a) }},
	{name: "ReduceSumSquare", fold: func(a, x float64) float64 { return a + x*x }, exact: func(a, x int64) int64 { return a + x*x }},
	{name: "ReduceLogSum", fold: func(a, x float64) float64 { return a + x }, end: func(a float64, _ int) float64 { return math.Log(a) }},
	{name: "ReduceLogSumExp", fold: func(a, x float64) float64 { return a + math.Exp(x) }, end: func(a float64, _ int) float64 { return math.Log(a) }},
}

// reduction says which dimensions go. keep leaves a 1 in their place.
type reduction struct {
	gone []bool
	keep bool
}

// reductionOf reads the axes of a reduction over rank dimensions; none given means all, or none with noop_with_empty_axes.
func reductionOf(n *model.Node, axes []int64, rank int) (*reduction, bool) {
	r := &reduction{gone: make([]bool, rank), keep: n.Int("keepdims", 1) != 0}
	if len(axes) == 0 {
		for i := range r.gone {
			r.gone[i] = n.Int("noop_with_empty_axes", 0) == 0
		}
		return r, true
	}
	at, ok := axesOf(axes, rank)
	for _, a := range at {
		r.gone[a] = true
	}
	return r, ok
}

// shape is s without the dimensions that go, or with 1 in their place.
func (r *reduction) shape(s model.Shape) model.Shape {
	out := model.Shape{}
	for i, d := range s {
		switch {
		case !r.gone[i]:
			out = append(out, d)
		case r.keep:
			out = append(out, model.Fixed(1))
		}
	}
	return out
}

// strides gives, for each dimension of s, the stride in the result: 0 along what goes.
func (r *reduction) strides(s []int) []int {
	st, n := make([]int, len(s)), 1
	for i := len(s) - 1; i >= 0; i-- {
		if !r.gone[i] {
			st[i] = n
			n *= s[i]
		}
	}
	return st
}

func inferReduce(f *Inference) error {
	f.Out[0] = model.Type{DType: f.In[0].DType}
	axes, known := inferAxes(f, 1)
	if !f.In[0].Ranked {
		return nil
	}
	rank := len(f.In[0].Shape)
	if !known {
		if f.Node.Int("keepdims", 1) != 0 {
			s := make(model.Shape, rank)
			for i := range s {
				s[i] = model.Sym("")
			}
			f.Out[0] = model.TensorType(f.In[0].DType, s)
		}
		return nil
	}
	r, ok := reductionOf(f.Node, axes, rank)
	if !ok {
		return f.Bad("axes %v are not distinct dimensions of rank %d", axes, rank)
	}
	f.Out[0] = model.TensorType(f.In[0].DType, r.shape(f.In[0].Shape))
	return nil
}

func reduce(c *Call, f reducer) error {
	x := c.In[0]
	axes := axesAttrOrInput(c.Node, c.opt(1))
	r, ok := reductionOf(c.Node, axes, len(x.Shape))
	if !ok {
		return c.Bad("axes %v are not distinct dimensions of rank %d", axes, len(x.Shape))
	}
	dims, _ := r.shape(model.FixedShape(x.Shape...)).Ints()
	y, err := c.make(x.DType, dims)
	if err != nil {
		return err
	}
	c.Out[0] = y
	if y.Len() == 0 {
		return nil
	}
	w := newWalk(x.Shape, r.strides(x.Shape))
	if f.exact != nil && !x.DType.Float() {
		reduceInt(x, y, w, f)
		return nil
	}
	acc := make([]float64, y.Len())
	for i := range acc {
		acc[i] = f.zero
	}
	v := toFloat64(x)
	var top []float64
	if f.name == "ReduceLogSumExp" {
		top = peaks(v, w, len(acc))
	}
	for _, e := range v {
		o := w.off[0]
		if top != nil {
			e -= top[o]
		}
		acc[o] = f.fold(acc[o], e)
		w.next()
	}
	for i, a := range acc {
		if f.end != nil {
			a = f.end(a, len(v)/len(acc))
		}
		if top != nil {
			a += top[i]
		}
		y.SetFloat64(i, a)
	}
	return nil
}

// peaks is the largest finite number of each sum, which is taken out of exponents so that they do not overflow.
func peaks(v []float64, w *walk, n int) []float64 {
	top := make([]float64, n)
	for i := range top {
		top[i] = math.Inf(-1)
	}
	for _, e := range v {
		top[w.off[0]] = math.Max(top[w.off[0]], e)
		w.next()
	}
	for i, t := range top {
		if math.IsInf(t, 0) || t != t {
			top[i] = 0
		}
	}
	return top
}

// reduceInt folds in 64-bit integers that wrap, as the arithmetic of the dtype does.
func reduceInt(x, y *model.Tensor, w *walk, f reducer) {
	// Flipping the top bit makes signed order the order of unsigned numbers.
	order := f.name == "ReduceMax" || f.name == "ReduceMin"
	flip := int64(0)
	if x.DType == model.Uint64 && order {
		flip = math.MinInt64
	}
	acc := make([]int64, y.Len())
	first := make([]bool, len(acc)) // an order has no neutral element: the first one is taken as it is
	for i := range acc {
		if first[i] = order; !order {
			acc[i] = int64(f.zero)
		}
	}
	for i := range x.Len() {
		o, v := w.off[0], x.Int64At(i)^flip
		if f.name == "ReduceL1" && x.DType == model.Uint64 {
			acc[o] += v
		} else if first[o] {
			acc[o], first[o] = v, false
		} else {
			acc[o] = f.exact(acc[o], v)
		}
		w.next()
	}
	for i, a := range acc {
		if first[i] {
			lo, hi := wholeRange(x.DType)
			if a = lo; f.name == "ReduceMin" {
				a = hi
			}
			y.SetInt64(i, a)
			continue
		}
		y.SetInt64(i, a^flip)
	}
}

// wholeRange is the smallest and largest value of an integer dtype, as bits for uint64.
func wholeRange(d model.DType) (lo, hi int64) {
	switch d {
	case model.Bool:
		return 0, 1
	case model.Uint32:
		return 0, math.MaxUint32
	case model.Uint64:
		return 0, -1
	case model.Int64:
		return math.MinInt64, math.MaxInt64
	}
	a, b := intRange(d)
	return int64(a), int64(b)
}

// argDef is ArgMax or ArgMin: the place of the first (or last) extreme along an axis.
func argDef(name string) *Def {
	return &Def{Name: name, Since: []int{1, 11, 12, 13}, In: []Port{{Name: "data", Type: "T"}}, Out: []Port{{Name: "reduced"}}, Types: map[string]Set{"T": Numeric},
		Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Default: int64(0)}, {Name: "keepdims", Type: model.AttrInt, Default: int64(1)}, {Name: "select_last_index", Type: model.AttrInt, Default: int64(0)}},
		Infer: func(f *Inference) error {
			f.Out[0] = model.Type{DType: model.Int64}
			if !f.In[0].Ranked {
				return nil
			}
			a, err := f.axisAttr()
			if err != nil {
				return err
			}
			r, _ := reductionOf(f.Node, []int64{int64(a)}, len(f.In[0].Shape))
			f.Out[0] = model.TensorType(model.Int64, r.shape(f.In[0].Shape))
			return nil
		},
		Eval: func(c *Call) error {
			x := c.In[0]
			a, err := c.axisAttr()
			if err != nil {
				return err
			}
			r, _ := reductionOf(c.Node, []int64{int64(a)}, len(x.Shape))
			dims, _ := r.shape(model.FixedShape(x.Shape...)).Ints()
			y, err := c.make(model.Int64, dims)
			if err != nil {
				return err
			}
			c.Out[0] = y
			if y.Len() == 0 {
				return nil
			}
			if x.Shape[a] == 0 {
				return c.Bad("dimension %d is empty and has no extreme", a)
			}
			sign := 1
			if name == "ArgMin" {
				sign = -1
			}
			last := c.Int("select_last_index") != 0
			inner := product(x.Shape[a+1:])
			for i := range y.Len() {
				at := i/inner*x.Shape[a]*inner + i%inner
				best := 0
				for k := 1; k < x.Shape[a]; k++ {
					if o := sign * compareElems(x, at+k*inner, at+best*inner); o > 0 || o == 0 && last {
						best = k
					}
				}
				y.SetInt64(i, int64(best))
			}
			return nil
		}}
}

var cumSumDef = &Def{Name: "CumSum", Since: []int{11, 14}, In: []Port{{Name: "x", Type: "T"}, {Name: "axis", Type: "T2"}}, Out: []Port{{Name: "y"}}, Exact: Rounding,
	Types: map[string]Set{"T": Floats | 1<<model.Int32 | 1<<model.Int64 | 1<<model.Uint32 | 1<<model.Uint64, "T2": Index},
	Attrs: []AttrSpec{{Name: "exclusive", Type: model.AttrInt, Default: int64(0)}, {Name: "reverse", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		if t := f.Value(1); t != nil && f.In[0].Ranked {
			if t.Len() != 1 {
				return f.Bad("the axis has %d elements, want 1", t.Len())
			}
			if _, ok := axisOf(t.Int64At(0), len(f.In[0].Shape)); !ok {
				return f.Bad("axis %d of rank %d", t.Int64At(0), len(f.In[0].Shape))
			}
		}
		return inferSame(f)
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		a, ok := 0, c.In[1].Len() == 1
		if ok {
			a, ok = axisOf(c.In[1].Int64At(0), len(x.Shape))
		}
		if !ok {
			return c.Bad("the axis is no dimension of rank %d", len(x.Shape))
		}
		y, err := c.make(x.DType, x.Shape)
		if err != nil {
			return err
		}
		c.Out[0] = y
		if y.Len() == 0 {
			return nil
		}
		n, inner := x.Shape[a], product(x.Shape[a+1:])
		for line := range y.Len() / n {
			at := line/inner*n*inner + line%inner
			sum, whole := 0.0, int64(0)
			for k := range n {
				if c.Int("reverse") != 0 {
					k = n - 1 - k
				}
				i := at + k*inner
				before, beforeWhole := sum, whole
				if x.DType.Float() {
					sum += x.Float64At(i)
				} else {
					whole += x.Int64At(i)
				}
				if c.Int("exclusive") == 0 {
					before, beforeWhole = sum, whole
				}
				if x.DType.Float() {
					y.SetFloat64(i, before)
				} else {
					y.SetInt64(i, beforeWhole)
				}
			}
		}
		return nil
	}}
