package ops

import (
	"math"

	"fettle/model"
)

// scatterOps: operators that write updates into a copy of the data.
func scatterOps() []*Def {
	ports := []Port{{Name: "data", Type: "T"}, {Name: "indices", Type: "Tind"}, {Name: "updates", Type: "T"}}
	reduction := AttrSpec{Name: "reduction", Type: model.AttrString, Default: "none", Enum: []string{"none", "add", "mul", "max", "min"}}
	axis := AttrSpec{Name: "axis", Type: model.AttrInt, Default: int64(0)}
	types := map[string]Set{"T": Any, "Tind": Index}
	return []*Def{
		{Name: "Scatter", Since: []int{9}, Until: 11, In: ports, Out: []Port{{Name: "output"}}, Types: types, Attrs: []AttrSpec{axis}, Infer: inferScatter,
			Eval: func(c *Call) error { return scatterElements(c, "none") }},
		{Name: "ScatterElements", Since: []int{11, 13, 16, 18}, In: ports, Out: []Port{{Name: "output"}}, Types: types, Attrs: []AttrSpec{axis, reduction}, Exact: Rounding,
			Infer: func(f *Inference) error {
				if err := reducible(f); err != nil {
					return err
				}
				return inferScatter(f)
			},
			Eval: func(c *Call) error { return scatterElements(c, c.Str("reduction")) }},
		{Name: "ScatterND", Since: []int{11, 13, 16, 18}, In: ports, Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Any, "Tind": I64}, Attrs: []AttrSpec{reduction}, Exact: Rounding,
			Infer: inferScatterND, Eval: scatterND},
	}
}

// reducible refuses to combine what has no arithmetic.
func reducible(f *Inference) error {
	if r, d := f.Str("reduction"), f.In[0].DType; r != "none" && d != model.Undefined && !Numeric.Has(d) {
		return f.BadAttr("reduction", "%s of %s has no meaning", r, d)
	}
	return nil
}

func inferScatter(f *Inference) error {
	if idx, u := f.In[1], f.In[2]; idx.Ranked && u.Ranked {
		if len(idx.Shape) != len(u.Shape) {
			return f.Bad("the updates %s have not the shape of the indices %s", u.Shape, idx.Shape)
		}
		for i, d := range idx.Shape {
			if e := u.Shape[i]; d.Known() && e.Known() && d.N != e.N {
				return f.Bad("the updates %s have not the shape of the indices %s", u.Shape, idx.Shape)
			}
		}
	}
	if err := inferElements(f, f.In[1]); err != nil {
		return err
	}
	return inferSame(f)
}

func scatterElements(c *Call, how string) error {
	off, err := c.elements(c.In[1])
	if err != nil {
		return err
	}
	if len(off) != c.In[2].Len() {
		return c.Bad("%d updates for %d indices", c.In[2].Len(), len(off))
	}
	y := c.In[0].Clone()
	for i, o := range off {
		combine(y, o, c.In[2], i, how)
	}
	c.Out[0] = y
	return nil
}

func inferScatterND(f *Inference) error {
	if err := reducible(f); err != nil {
		return err
	}
	x, idx, u := f.In[0], f.In[1], f.In[2]
	if x.Ranked && idx.Ranked {
		q := len(idx.Shape)
		if q < 1 || len(x.Shape) < 1 {
			return f.Bad("data of rank %d and indices of rank %d, want at least 1", len(x.Shape), q)
		}
		if n := idx.Shape[q-1]; n.Known() {
			if n.N < 1 || n.N > len(x.Shape) {
				return f.Bad("indices of %d numbers for data of rank %d", n.N, len(x.Shape))
			}
			want := append(append(model.Shape{}, idx.Shape[:q-1]...), x.Shape[n.N:]...)
			if u.Ranked {
				if len(u.Shape) != len(want) {
					return f.Bad("the updates have shape %s, want %s", u.Shape, want)
				}
				for i, d := range want {
					if e := u.Shape[i]; d.Known() && e.Known() && d.N != e.N {
						return f.Bad("the updates have shape %s, want %s", u.Shape, want)
					}
				}
			}
		}
	}
	return inferSame(f)
}

func scatterND(c *Call) error {
	x, idx, u, how := c.In[0], c.In[1], c.In[2], c.Str("reduction")
	n := idx.Shape[len(idx.Shape)-1]
	off, err := c.tuples(idx, x.Shape[:n])
	if err != nil {
		return err
	}
	unit := product(x.Shape[n:])
	if u.Len() != len(off)*unit {
		return c.Bad("%d updates, want %d", u.Len(), len(off)*unit)
	}
	y := x.Clone()
	for i, o := range off {
		if how == "none" {
			copyRun(y, o*unit, u, i*unit, unit)
			continue
		}
		for k := range unit {
			combine(y, o*unit+k, u, i*unit+k, how)
		}
	}
	c.Out[0] = y
	return nil
}

// combine writes element k of src to element i of dst, or their sum, product, maximum or minimum.
func combine(dst *model.Tensor, i int, src *model.Tensor, k int, how string) {
	switch {
	case how == "none":
		copyElem(dst, i, src, k)
	case dst.DType.Float():
		a, b := dst.Float64At(i), src.Float64At(k)
		switch how {
		case "add":
			a += b
		case "mul":
			a *= b
		case "max":
			a = floatMax(a, b)
		case "min":
			a = -floatMax(-a, -b)
		}
		dst.SetFloat64(i, a)
	default:
		a, b, flip := dst.Int64At(i), src.Int64At(k), int64(0)
		if dst.DType == model.Uint64 {
			flip = math.MinInt64
		}
		switch {
		case how == "add":
			a += b
		case how == "mul":
			a *= b
		case how == "max" && b^flip > a^flip, how == "min" && b^flip < a^flip:
			a = b
		}
		dst.SetInt64(i, a)
	}
}
