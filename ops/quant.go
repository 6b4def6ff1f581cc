package ops

import (
	"math"

	"fettle/model"
)

// quantOps: between real numbers and integers on a grid.
func quantOps() []*Def {
	return []*Def{quantizeDef, dequantizeDef, dynamicQuantizeDef}
}

// quantized holds what a tensor of quantized values may be made of.
const quantized = bytes8 | Set(1<<model.Int16|1<<model.Uint16) | Int4s | Float8s | Set(1<<model.Float4E2M1)

// grid says which scale an element takes: one for all, one an index of an axis, or one a block along an axis.
type grid struct {
	outer, size, inner int // the tensor as [outer, size, inner] around the axis
	block              int // elements of the axis that share a scale; 0: all of them
	blocks             int
	each               bool // every index of inner has its own scales
}

// gridOf fits scales of shape ss to a tensor of shape xs. The message tells why they do not fit, "" if they do.
func gridOf(xs, ss []int, axisAttr, block int64) (grid, string) {
	if block < 0 || block > 1<<30 {
		return grid{}, "block_size is negative or too large"
	}
	if block == 0 && product(ss) == 1 && len(ss) <= 1 {
		return grid{outer: 1, size: 1, inner: product(xs), block: 1, blocks: 1}, ""
	}
	a, ok := axisOf(axisAttr, len(xs))
	if !ok {
		return grid{}, "axis is outside of the input"
	}
	g := grid{outer: product(xs[:a]), size: xs[a], inner: product(xs[a+1:]), block: 1, blocks: xs[a]}
	if block == 0 {
		if len(ss) != 1 || ss[0] != xs[a] {
			return grid{}, "the scale is neither one number nor one for each index of the axis"
		}
		return g, ""
	}
	if len(ss) != len(xs) {
		return grid{}, "with block_size the scale has the rank of the input"
	}
	for i := range xs {
		want := xs[i]
		if i == a {
			want = (xs[i] + int(block) - 1) / int(block)
		}
		if ss[i] != want {
			return grid{}, "the scale does not have the input's shape with the axis divided by block_size"
		}
	}
	g.block, g.blocks, g.each = int(block), ss[a], true
	return g, ""
}

// walk calls f with each element and the place of its scale.
func (g grid) walk(f func(i, k int)) {
	i := 0
	for o := range g.outer {
		for p := range g.size {
			k := p
			if g.each {
				k = (o*g.blocks + p/g.block) * g.inner
			}
			for n := range g.inner {
				if g.each {
					f(i, k+n)
				} else {
					f(i, k)
				}
				i++
			}
		}
	}
}

// inferGrid checks the scale (input 1) and zero point (input 2) where the shapes are known.
func inferGrid(f *Inference) error {
	xs, okX := f.In[0].Shape.Ints()
	ss, okS := f.In[1].Shape.Ints()
	if okX && okS && f.In[0].Ranked && f.In[1].Ranked {
		if _, why := gridOf(xs, ss, f.Int("axis"), f.Int("block_size")); why != "" {
			return f.Bad("input %v, scale %v, axis %d, block_size %d: %s", xs, ss, f.Int("axis"), f.Int("block_size"), why)
		}
	}
	if zs, okZ := f.input(2).Shape.Ints(); okZ && okS && f.input(2).Ranked && f.In[1].Ranked && product(zs) != product(ss) {
		return f.Bad("the zero point has shape %v, the scale %v", zs, ss)
	}
	return nil
}

// input is the type of input i, unknown where it is absent.
func (f *Inference) input(i int) model.Type {
	if f.Has(i) {
		return f.In[i]
	}
	return model.Type{}
}

// outputDType reads output_dtype against the dtype that an input asks for; Undefined where nobody says.
func outputDType(f *Inference, from model.DType, allowed Set) (model.DType, error) {
	a := f.Int("output_dtype")
	if a == 0 {
		return from, nil
	}
	if a < 0 || a > 255 || !allowed.Has(model.DType(a)) {
		return 0, f.BadAttr("output_dtype", "is %d, allowed: %s", a, allowed)
	}
	return model.DType(a), nil
}

var quantizeDef = &Def{Name: "QuantizeLinear", Since: []int{10, 13, 19, 21, 23, 24},
	In:    []Port{{Name: "x", Type: "T1"}, {Name: "y_scale", Type: "T2"}, {Name: "y_zero_point", Type: "T3", Opt: true}},
	Out:   []Port{{Name: "y"}},
	Types: map[string]Set{"T1": Floats | 1<<model.Int32, "T2": Floats | 1<<model.Int32 | E8M0, "T3": quantized}, Exact: Rounding,
	Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Default: int64(1)}, {Name: "saturate", Type: model.AttrInt, Default: int64(1)},
		{Name: "block_size", Type: model.AttrInt, Default: int64(0)}, {Name: "output_dtype", Type: model.AttrInt, Default: int64(0)},
		{Name: "precision", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		d := f.input(2).DType
		out, err := outputDType(f, d, quantized)
		if err != nil {
			return err
		}
		if d != model.Undefined && out != d {
			return f.BadAttr("output_dtype", "is %s, the zero point is %s", out, d)
		}
		if out == model.Undefined && !f.Has(2) {
			out = model.Uint8
		}
		if p := f.Int("precision"); p != 0 && (p < 0 || p > 255 || !Floats.Has(model.DType(p))) {
			return f.BadAttr("precision", "is %d, allowed: %s", p, Floats)
		}
		f.Out[0] = f.In[0]
		f.Out[0].DType = out
		return inferGrid(f)
	},
	Eval: func(c *Call) error {
		x, s := c.In[0], c.In[1]
		g, why := gridOf(x.Shape, s.Shape, c.Int("axis"), c.Int("block_size"))
		if why != "" {
			return c.Bad("%s", why)
		}
		out := model.Uint8
		if d := c.Int("output_dtype"); d != 0 {
			out = model.DType(d)
		}
		if c.Has(2) {
			out = c.In[2].DType
		}
		// The quotient is rounded to the type of the division before it is rounded to the grid: a tie in float32 is a tie.
		prec := s.DType
		if d := c.Int("precision"); d != 0 {
			prec = model.DType(d)
		}
		if !prec.Float() || prec == model.Float8E8M0 {
			prec = model.Float32
		}
		y, err := c.make(out, x.Shape)
		if err != nil {
			return err
		}
		scale := toFloat64(s)
		zero := make([]float64, len(scale))
		if c.Has(2) {
			zero = toFloat64(c.In[2])
		}
		v := toFloat64(x)
		if out.Float() {
			saturate := c.Int("saturate") != 0
			g.walk(func(i, k int) { storeFloat(y, i, roundTo(prec, v[i]/scale[k])+zero[k], saturate) })
			c.Out[0] = y
			return nil
		}
		lo, hi := intRange(out)
		g.walk(func(i, k int) {
			q := math.RoundToEven(roundTo(prec, v[i]/scale[k]))
			if q != q {
				q = 0 // what is no number stands for zero
			}
			y.SetInt64(i, int64(clamp(q+zero[k], lo, hi)))
		})
		c.Out[0] = y
		return nil
	}}

// saturated brings v into lo..hi; NaN becomes the number nearest to zero.
func saturated(v, lo, hi float64) float64 {
	if v != v {
		v = 0
	}
	return clamp(v, lo, hi)
}

// roundTo rounds v to the nearest number of a float type, ties to even.
func roundTo(d model.DType, v float64) float64 {
	switch d {
	case model.Float32:
		return float64(float32(v))
	case model.Float16:
		return float64(model.F16ToF32(model.F32ToF16(oddFloat32(v))))
	case model.BFloat16:
		return float64(model.BF16ToF32(model.F32ToBF16(oddFloat32(v))))
	}
	return v
}

var dequantizeDef = &Def{Name: "DequantizeLinear", Since: []int{10, 13, 19, 21, 23, 24},
	In:    []Port{{Name: "x", Type: "T1"}, {Name: "x_scale", Type: "T2"}, {Name: "x_zero_point", Type: "T1", Opt: true}},
	Out:   []Port{{Name: "y"}},
	Types: map[string]Set{"T1": quantized | 1<<model.Int32, "T2": Floats | E8M0}, Exact: Rounding,
	Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Default: int64(1)}, {Name: "block_size", Type: model.AttrInt, Default: int64(0)},
		{Name: "output_dtype", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		out, err := outputDType(f, f.In[1].DType, Floats)
		if err != nil {
			return err
		}
		if out == model.Float8E8M0 {
			return f.Bad("scales that are powers of two do not say what comes out: output_dtype does, and is absent")
		}
		f.Out[0] = f.In[0]
		f.Out[0].DType = out
		return inferGrid(f)
	},
	Eval: func(c *Call) error {
		x, s := c.In[0], c.In[1]
		g, why := gridOf(x.Shape, s.Shape, c.Int("axis"), c.Int("block_size"))
		if why != "" {
			return c.Bad("%s", why)
		}
		out := s.DType
		if d := c.Int("output_dtype"); d != 0 {
			out = model.DType(d)
		}
		scale := toFloat64(s)
		zero := make([]float64, len(scale))
		if c.Has(2) {
			zero = toFloat64(c.In[2])
		}
		v := toFloat64(x)
		// A difference of 32-bit integers has to become a float32 before it is multiplied, as it does on targets.
		g.walk(func(i, k int) { v[i] = roundTo(model.Float32, v[i]-zero[k]) * scale[k] })
		var err error
		c.Out[0], err = c.fromFloat64(out, x.Shape, v)
		return err
	}}

// dynamicQuantizeDef: the range of the input with zero in it gives scale and zero point of uint8.
var dynamicQuantizeDef = &Def{Name: "DynamicQuantizeLinear", Since: []int{11}, In: []Port{{Name: "x", Type: "float32"}},
	Out: []Port{{Name: "y"}, {Name: "y_scale", Opt: true}, {Name: "y_zero_point", Opt: true}}, Exact: Rounding,
	Infer: func(f *Inference) error {
		f.Out[0] = f.In[0]
		f.Out[0].DType = model.Uint8
		for i, d := range []model.DType{model.Float32, model.Uint8} {
			if len(f.Out) > i+1 {
				f.Out[i+1] = model.TensorType(d, model.Shape{})
			}
		}
		return nil
	},
	Eval: func(c *Call) error {
		v := model.Data[float32](c.In[0])
		lo, hi := float32(0), float32(0)
		for _, x := range v {
			lo, hi = min32(lo, x), max32(hi, x)
		}
		scale := (hi - lo) / 255
		if scale == 0 {
			scale = 1 // zeros, or a range so small that any step would do
		}
		zero := saturated(math.RoundToEven(float64(-lo/scale)), 0, 255)
		y, err := c.make(model.Uint8, c.In[0].Shape)
		if err != nil {
			return err
		}
		for i, x := range v {
			y.Raw[i] = byte(saturated(math.RoundToEven(float64(x/scale))+zero, 0, 255))
		}
		c.Out[0] = y
		if len(c.Out) > 1 {
			c.Out[1] = model.Scalar32(scale)
		}
		if len(c.Out) > 2 {
			c.Out[2] = model.FromSlice(model.Uint8, []uint8{uint8(zero)})
		}
		return nil
	}}

// min32 and max32 pass over NaN in b.
func min32(a, b float32) float32 {
	if b < a {
		return b
	}
	return a
}

func max32(a, b float32) float32 {
	if b > a {
		return b
	}
	return a
}
