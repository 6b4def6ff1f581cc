package ops

import (
	"math"
	"sort"
	"strings"

	"fettle/model"
)

// searchOps: operators whose result depends on which elements are large, equal or not zero.
func searchOps() []*Def {
	return []*Def{nonZeroDef, oneHotDef, topKDef, uniqueDef}
}

// compareElems orders elements i and k of x: -1, 0 or 1. NaN is larger than every number.
func compareElems(x *model.Tensor, i, k int) int {
	switch {
	case x.DType == model.String:
		return strings.Compare(x.Strs[i], x.Strs[k])
	case x.DType.Float():
		a, b := x.Float64At(i), x.Float64At(k)
		switch {
		case a != a && b != b:
			return 0
		case a != a || a > b:
			return 1
		case b != b || a < b:
			return -1
		}
		return 0
	}
	a, b := x.Int64At(i), x.Int64At(k)
	if x.DType == model.Uint64 {
		a, b = a^math.MinInt64, b^math.MinInt64
	}
	switch {
	case a > b:
		return 1
	case a < b:
		return -1
	}
	return 0
}

// nonZeroDef: the places of a scalar have no coordinates, so its result is [0, n].
var nonZeroDef = &Def{Name: "NonZero", Since: []int{9, 13}, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Numeric | BoolSet | Complex | Text},
	Infer: func(f *Inference) error {
		rank := model.Sym("")
		if f.In[0].Ranked {
			rank = model.Fixed(len(f.In[0].Shape))
		}
		f.Out[0] = model.TensorType(model.Int64, model.Shape{rank, model.Sym("")})
		return nil
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		var at []int
		for i := range x.Len() {
			if !isZero(x, i) {
				at = append(at, i)
			}
		}
		y, err := c.make(model.Int64, []int{len(x.Shape), len(at)})
		if err != nil {
			return err
		}
		place := make([]int, len(x.Shape))
		for j, i := range at {
			unflatten(i, x.Shape, place)
			for k, p := range place {
				y.SetInt64(k*len(at)+j, int64(p))
			}
		}
		c.Out[0] = y
		return nil
	}}

func isZero(x *model.Tensor, i int) bool {
	switch {
	case x.DType == model.String:
		return x.Strs[i] == ""
	case x.DType == model.Complex64:
		return model.Data[complex64](x)[i] == 0
	case x.DType == model.Complex128:
		return model.Data[complex128](x)[i] == 0
	case x.DType.Float():
		return x.Float64At(i) == 0
	}
	return x.Int64At(i) == 0
}

var oneHotDef = &Def{Name: "OneHot", Since: []int{9, 11}, In: []Port{{Name: "indices", Type: "T1"}, {Name: "depth", Type: "T2"}, {Name: "values", Type: "T3"}}, Out: []Port{{Name: "output"}},
	Types: map[string]Set{"T1": Numeric, "T2": Numeric, "T3": Any}, Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Default: int64(-1)}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[2].DType}
		if err := f.ranked(2, 1, 1); err != nil {
			return err
		}
		if s := f.In[2].Shape; f.In[2].Ranked && s[0].Known() && s[0].N != 2 {
			return f.Bad("values has %d elements, want off and on", s[0].N)
		}
		depth := model.Sym("")
		if t := f.Value(1); t != nil {
			n, why := depthOf(t)
			if why != "" {
				return f.Bad("%s", why)
			}
			depth = model.Fixed(n)
		}
		if !f.In[0].Ranked {
			return nil
		}
		in := f.In[0].Shape
		a, ok := axisOf(f.Int("axis"), len(in)+1)
		if !ok {
			return f.BadAttr("axis", "is %d, the indices have rank %d", f.Int("axis"), len(in))
		}
		s := append(append(model.Shape{}, in[:a]...), depth)
		f.Out[0] = model.TensorType(f.In[2].DType, append(s, in[a:]...))
		return nil
	},
	Eval: func(c *Call) error {
		idx, v := c.In[0], c.In[2]
		n, why := depthOf(c.In[1])
		if why != "" {
			return c.Bad("%s", why)
		}
		a, ok := axisOf(c.Int("axis"), len(idx.Shape)+1)
		if !ok || v.Len() != 2 {
			return c.Bad("axis %d with indices of rank %d, %d values", c.Int("axis"), len(idx.Shape), v.Len())
		}
		dims := append(append([]int{}, idx.Shape[:a]...), n)
		y, err := c.make(v.DType, append(dims, idx.Shape[a:]...))
		if err != nil {
			return err
		}
		fill(y, v)
		inner := product(idx.Shape[a:])
		for i := range idx.Len() {
			// An index outside of the depth lights nothing.
			if k, ok := axisOf(idx.Int64At(i), n); ok {
				copyElem(y, (i/inner*n+k)*inner+i%inner, v, 1)
			}
		}
		c.Out[0] = y
		return nil
	}}

func depthOf(t *model.Tensor) (int, string) {
	if t.Len() != 1 {
		return 0, "the depth is no single number"
	}
	v := t.Float64At(0)
	if !(v >= 0 && v <= maxDim) {
		return 0, "the depth is not in the range of dimensions"
	}
	return int(v), ""
}

// topKDef: k is an attribute before opset 10 and an input since.
var topKDef = &Def{Name: "TopK", Since: []int{1, 10, 11, 24}, In: []Port{{Name: "X", Type: "T"}, {Name: "K", Type: "int64", Opt: true}}, Out: []Port{{Name: "Values"}, {Name: "Indices"}},
	Types: map[string]Set{"T": Numeric}, Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Default: int64(-1)}, {Name: "k", Type: model.AttrInt, Until: 10},
		{Name: "largest", Type: model.AttrInt, Default: int64(1)}, {Name: "sorted", Type: model.AttrInt, Default: int64(1)}},
	Infer: func(f *Inference) error {
		f.Out[0], f.Out[1] = model.Type{DType: f.In[0].DType}, model.Type{DType: model.Int64}
		if !f.In[0].Ranked {
			return nil
		}
		a, err := f.axisAttr()
		if err != nil {
			return err
		}
		s := append(model.Shape{}, f.In[0].Shape...)
		k, known := f.Node.Int("k", -1), true
		if f.Has(1) {
			t := f.Value(1)
			if known = t != nil; known {
				if t.Len() != 1 {
					return f.Bad("K has %d elements, want 1", t.Len())
				}
				k = t.Int64At(0)
			}
		}
		switch {
		case !known:
			s[a] = model.Sym("")
		case k < 0 || k > maxDim || s[a].Known() && k > int64(s[a].N):
			return f.Bad("k is %d, dimension %d is %s", k, a, s[a])
		default:
			s[a] = model.Fixed(int(k))
		}
		f.Out[0], f.Out[1] = model.TensorType(f.In[0].DType, s), model.TensorType(model.Int64, s)
		return nil
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		a, err := c.axisAttr()
		if err != nil {
			return err
		}
		k := c.Node.Int("k", -1)
		if c.Has(1) && c.In[1].Len() == 1 {
			k = c.In[1].Int64At(0)
		}
		n, inner := x.Shape[a], product(x.Shape[a+1:])
		if k < 0 || k > int64(n) {
			return c.Bad("k is %d, dimension %d is %d", k, a, n)
		}
		dims := append([]int{}, x.Shape...)
		dims[a] = int(k)
		y, err := c.make(x.DType, dims)
		if err != nil {
			return err
		}
		idx, err := c.make(model.Int64, dims)
		if err != nil {
			return err
		}
		c.Out[0], c.Out[1] = y, idx
		if y.Len() == 0 {
			return nil
		}
		sign := -1
		if c.Int("largest") == 0 {
			sign = 1
		}
		order := make([]int, n)
		for line := range x.Len() / n {
			o, r := line/inner, line%inner
			for i := range order {
				order[i] = i
			}
			sort.SliceStable(order, func(p, q int) bool {
				return sign*compareElems(x, (o*n+order[p])*inner+r, (o*n+order[q])*inner+r) < 0
			})
			for i := range int(k) {
				to := (o*int(k)+i)*inner + r
				copyElem(y, to, x, (o*n+order[i])*inner+r)
				idx.SetInt64(to, int64(order[i]))
			}
		}
		return nil
	}}

var uniqueDef = &Def{Name: "Unique", Since: []int{11}, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}, {Name: "indices", Opt: true}, {Name: "inverse_indices", Opt: true},
	{Name: "counts", Opt: true}}, Types: map[string]Set{"T": Numeric | BoolSet | Text}, Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt}, {Name: "sorted", Type: model.AttrInt, Default: int64(1)}},
	Infer: func(f *Inference) error {
		for i := 1; i < len(f.Out); i++ {
			f.Out[i] = model.TensorType(model.Int64, model.Shape{model.Sym("")})
		}
		if f.Node.Attr("axis") == nil {
			f.Out[0] = model.TensorType(f.In[0].DType, model.Shape{model.Sym("")})
			return nil
		}
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if !f.In[0].Ranked {
			return nil
		}
		a, err := f.axisAttr()
		if err != nil {
			return err
		}
		s := append(model.Shape{}, f.In[0].Shape...)
		s[a] = model.Sym("")
		f.Out[0] = model.TensorType(f.In[0].DType, s)
		return nil
	},
	Eval: func(c *Call) error {
		x, a := c.In[0], 0
		if c.Node.Attr("axis") == nil {
			x = x.Reshaped(x.Len())
		} else {
			var err error
			if a, err = c.axisAttr(); err != nil {
				return err
			}
		}
		n, inner, outer := x.Shape[a], product(x.Shape[a+1:]), product(x.Shape[:a])
		if n > c.limit()/8 {
			return c.tooBig("%d slices", n)
		}
		compare := func(i, k int) int {
			for o := range outer {
				for r := range inner {
					if d := compareElems(x, (o*n+i)*inner+r, (o*n+k)*inner+r); d != 0 {
						return d
					}
				}
			}
			return 0
		}
		order := upTo(n)
		sort.SliceStable(order, func(p, q int) bool { return compare(order[p], order[q]) < 0 })
		var first, counts []int // of each group of equal slices
		inverse := make([]int, n)
		for j, i := range order {
			if j == 0 || compare(order[j-1], i) != 0 {
				first, counts = append(first, i), append(counts, 0)
			}
			counts[len(counts)-1]++
			inverse[i] = len(first) - 1
		}
		if c.Int("sorted") == 0 {
			first, counts, inverse = byAppearance(first, counts, inverse)
		}
		at := make([][]int, len(x.Shape))
		dims := append([]int{}, x.Shape...)
		dims[a] = len(first)
		y, err := c.make(x.DType, dims)
		if err != nil {
			return err
		}
		if y.Len() > 0 {
			for k := range at {
				at[k] = upTo(x.Shape[k])
			}
			at[a] = first
			mapAxes(y, x, at)
		}
		c.Out[0] = y
		for i, list := range [][]int{1: first, 2: inverse, 3: counts} {
			if i > 0 && c.Wants(i) {
				v := make([]int64, len(list))
				for k, e := range list {
					v[k] = int64(e)
				}
				c.Out[i] = model.Int64s(v...)
			}
		}
		return nil
	}}

// byAppearance reorders groups by the place of their first member.
func byAppearance(first, counts, inverse []int) (f, n, inv []int) {
	order := upTo(len(first))
	sort.Slice(order, func(p, q int) bool { return first[order[p]] < first[order[q]] })
	to := make([]int, len(first))
	for j, g := range order {
		f, n, to[g] = append(f, first[g]), append(n, counts[g]), j
	}
	for _, g := range inverse {
		inv = append(inv, to[g])
	}
	return f, n, inv
}
