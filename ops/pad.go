package ops

import (
	"fettle/model"
)

// padOps: operators that add or cut at the borders.
func padOps() []*Def {
	return []*Def{padDef, centerCropPadDef}
}

// padDef: amounts and value are attributes before opset 11 and inputs since; opset 18 added axes, opset 19 wrap.
var padDef = &Def{Name: "Pad", Since: []int{1, 2, 11, 13, 18, 19, 21, 23, 24}, In: []Port{{Name: "data", Type: "T"}, {Name: "pads", Type: "int64", Opt: true},
	{Name: "constant_value", Type: "T", Opt: true}, {Name: "axes", Type: "Tind", Opt: true}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Any, "Tind": Index},
	Attrs: []AttrSpec{{Name: "mode", Type: model.AttrString, Default: "constant", Enum: []string{"constant", "reflect", "edge", "wrap"}}, {Name: "pads", Type: model.AttrInts, Until: 11},
		{Name: "paddings", Type: model.AttrInts, Until: 2}, {Name: "value", Type: model.AttrFloat, Default: float32(0), Until: 11}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if !f.In[0].Ranked {
			return nil
		}
		out := append(model.Shape{}, f.In[0].Shape...)
		begin, end, why := padsOf(f.Node, f.Has, f.Value, len(out))
		if why != "" {
			return f.Bad("%s", why)
		}
		for i, d := range out {
			switch {
			case begin == nil:
				out[i] = model.Sym("")
			case d.Known():
				n := d.N + begin[i] + end[i]
				if n < 0 {
					return f.Bad("the pads cut %d off dimension %d, which is %d", -begin[i]-end[i], i, d.N)
				}
				out[i] = model.Fixed(n)
			case begin[i] != 0 || end[i] != 0:
				out[i] = model.Sym("")
			}
		}
		f.Out[0] = model.TensorType(f.In[0].DType, out)
		return nil
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		begin, end, why := padsOf(c.Node, c.Has, c.opt, len(x.Shape))
		if why != "" {
			return c.Bad("%s", why)
		}
		dims := make([]int, len(x.Shape))
		for i, d := range x.Shape {
			dims[i] = d + begin[i] + end[i]
		}
		y, err := c.make(x.DType, dims)
		if err != nil {
			return err
		}
		mode := c.Str("mode")
		if mode == "constant" {
			if c.Has(2) {
				if c.In[2].Len() != 1 {
					return c.Bad("the constant has %d elements, want 1", c.In[2].Len())
				}
				fill(y, c.In[2])
			} else if v := c.Float("value"); v != 0 && Numeric.Has(x.DType) {
				one, err := c.make(x.DType, nil)
				if err != nil {
					return err
				}
				one.SetFloat64(0, float64(v))
				fill(y, one)
			}
		}
		c.Out[0] = y
		if y.Len() == 0 {
			return nil
		}
		at := make([][]int, len(dims))
		for k := range at {
			if at[k] = bordered(x.Shape[k], begin[k], end[k], mode); at[k] == nil {
				return c.Bad("nothing is left of dimension %d to continue by %s", k, mode)
			}
		}
		mapAxes(y, x, at)
		return nil
	}}

// padsOf reads the amounts before and after each of rank dimensions: nil where they are not known yet, a reason where wrong.
func padsOf(n *model.Node, has func(int) bool, value func(int) *model.Tensor, rank int) (begin, end []int, why string) {
	pads := n.Ints("pads")
	if pads == nil {
		pads = n.Ints("paddings")
	}
	if has(1) {
		t := value(1)
		if t == nil {
			return nil, nil, ""
		}
		pads = ints64(t)
	}
	axes := upTo(rank)
	if has(3) {
		t := value(3)
		if t == nil {
			return nil, nil, ""
		}
		var ok bool
		if axes, ok = axesOf(ints64(t), rank); !ok {
			return nil, nil, "the axes are not distinct dimensions of the input"
		}
	}
	if len(pads) != 2*len(axes) {
		return nil, nil, "there are not two pads for each dimension"
	}
	begin, end = make([]int, rank), make([]int, rank)
	for i, a := range axes {
		b, e := pads[i], pads[len(axes)+i]
		if b > maxDim || e > maxDim || b < -maxDim || e < -maxDim {
			return nil, nil, "a pad is out of range"
		}
		begin[a], end[a] = int(b), int(e)
	}
	return begin, end, ""
}

// bordered maps the elements of a padded dimension to those of n: -1 is the constant. Negative pads cut first, and what is
// left continues by mode; nil where nothing is left to continue.
func bordered(n, begin, end int, mode string) []int {
	out := make([]int, n+begin+end)
	lo := max(0, -begin)
	size := n - lo - max(0, -end)
	for o := range out {
		i := o - max(0, begin)
		switch {
		case mode == "constant":
			if i = o - begin; i < 0 || i >= n {
				i = -1
			}
			out[o] = i
			continue
		case size <= 0:
			return nil
		case i >= 0 && i < size:
		case mode == "edge":
			i = min(max(i, 0), size-1)
		case mode == "wrap":
			i = (i%size + size) % size
		case size == 1:
			i = 0
		default:
			period := 2 * (size - 1)
			if i = (i%period + period) % period; i >= size {
				i = period - i
			}
		}
		out[o] = lo + i
	}
	return out
}

var centerCropPadDef = &Def{Name: "CenterCropPad", Since: []int{18}, In: []Port{{Name: "input_data", Type: "T"}, {Name: "shape", Type: "Tind"}}, Out: []Port{{Name: "output_data"}},
	Types: map[string]Set{"T": Any, "Tind": Index}, Attrs: []AttrSpec{{Name: "axes", Type: model.AttrInts}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if !f.In[0].Ranked {
			return nil
		}
		out := append(model.Shape{}, f.In[0].Shape...)
		axes, ok := centered(f.Node, len(out))
		if !ok {
			return f.BadAttr("axes", "%v are not distinct dimensions of rank %d", f.Ints("axes"), len(out))
		}
		t := f.Value(1)
		if t != nil && t.Len() != len(axes) {
			return f.Bad("%d sizes for %d axes", t.Len(), len(axes))
		}
		for i, a := range axes {
			if out[a] = model.Sym(""); t != nil {
				v := t.Int64At(i)
				if v < 0 || v > maxDim {
					return f.Bad("the wanted size %d", v)
				}
				out[a] = model.Fixed(int(v))
			}
		}
		f.Out[0] = model.TensorType(f.In[0].DType, out)
		return nil
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		axes, _ := centered(c.Node, len(x.Shape))
		dims, begin := append([]int{}, x.Shape...), make([]int, len(x.Shape))
		for i, a := range axes {
			dims[a] = int(c.In[1].Int64At(i))
			begin[a] = (dims[a] - x.Shape[a]) / 2
		}
		y, err := c.make(x.DType, dims)
		if err != nil {
			return err
		}
		c.Out[0] = y
		if y.Len() == 0 {
			return nil
		}
		at := make([][]int, len(dims))
		for k, d := range dims {
			at[k] = bordered(x.Shape[k], begin[k], d-x.Shape[k]-begin[k], "constant")
		}
		mapAxes(y, x, at)
		return nil
	}}

func centered(n *model.Node, rank int) ([]int, bool) {
	if n.Attr("axes") == nil {
		return upTo(rank), true
	}
	return axesOf(n.Ints("axes"), rank)
}
