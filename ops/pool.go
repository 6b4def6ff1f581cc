package ops

import (
	"math"

	"fettle/model"
)

// poolOps: windows without weights.
func poolOps() []*Def {
	attrs := []AttrSpec{convAttrs[0], {Name: "kernel_shape", Type: model.AttrInts, Required: true}, {Name: "pads", Type: model.AttrInts}, {Name: "strides", Type: model.AttrInts},
		{Name: "ceil_mode", Type: model.AttrInt, Default: int64(0)}, {Name: "dilations", Type: model.AttrInts}}
	with := func(more ...AttrSpec) []AttrSpec { return append(append([]AttrSpec{}, attrs...), more...) }
	global := func(name string, f func(v []float64, p float64) float64, extra ...AttrSpec) *Def {
		return &Def{Name: name, Since: []int{1, 22}, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats}, Exact: Rounding, Attrs: extra,
			Infer: inferGlobal,
			Eval: func(c *Call) error {
				s := c.In[0].Shape
				if len(s) < 2 {
					return c.Bad("the input has rank %d, want at least 3", len(s))
				}
				dims := append([]int(nil), s[:2]...)
				for range s[2:] {
					dims = append(dims, 1)
				}
				p := 0.0
				if len(extra) > 0 {
					p = float64(c.Int("p"))
				}
				size := product(s[2:])
				v := toFloat64(c.In[0])
				out := make([]float64, product(dims))
				for i := range out {
					out[i] = f(v[i*size:(i+1)*size], p)
				}
				var err error
				c.Out[0], err = c.fromFloat64(c.In[0].DType, dims, out)
				return err
			}}
	}
	lp := func(v []float64, p float64) float64 {
		sum := 0.0
		for _, x := range v {
			sum += math.Pow(math.Abs(x), p)
		}
		return math.Pow(sum, 1/p)
	}
	globalLp := global("GlobalLpPool", lp, AttrSpec{Name: "p", Type: model.AttrInt, Default: int64(2)})
	globalLp.Since = []int{1, 2, 22}
	return []*Def{
		{Name: "MaxPool", Since: []int{1, 8, 10, 11, 12, 22}, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}, {Name: "Indices", Opt: true}},
			Types: map[string]Set{"T": Floats | bytes8}, Attrs: with(AttrSpec{Name: "storage_order", Type: model.AttrInt, Default: int64(0)}), Infer: inferPool, Eval: maxPool},
		{Name: "AveragePool", Since: []int{1, 7, 10, 11, 19, 22}, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats}, Exact: Rounding,
			Attrs: with(AttrSpec{Name: "count_include_pad", Type: model.AttrInt, Default: int64(0)}), Infer: inferPool, Eval: averagePool},
		{Name: "LpPool", Since: []int{1, 2, 11, 18, 22}, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats}, Exact: Rounding,
			Attrs: with(AttrSpec{Name: "p", Type: model.AttrInt, Default: int64(2)}), Infer: inferPool, Eval: lpPool},
		global("GlobalAveragePool", func(v []float64, _ float64) float64 {
			sum := 0.0
			for _, x := range v {
				sum += x
			}
			return sum / float64(len(v))
		}),
		global("GlobalMaxPool", func(v []float64, _ float64) float64 {
			m := math.Inf(-1)
			for _, x := range v {
				m = floatMax(m, x)
			}
			return m
		}),
		globalLp,
		maxUnpoolDef, maxRoiPoolDef,
	}
}

func inferGlobal(f *Inference) error {
	if err := f.ranked(0, 2, anyRank); err != nil {
		return err
	}
	f.Out[0] = f.In[0]
	if f.In[0].Ranked {
		s := append(model.Shape(nil), f.In[0].Shape...)
		for i := 2; i < len(s); i++ {
			s[i] = model.Fixed(1)
		}
		f.Out[0].Shape = s
	}
	return nil
}

func inferPool(f *Inference) error {
	x := f.In[0]
	f.Out[0] = model.Type{DType: x.DType}
	if len(f.Out) > 1 {
		f.Out[1] = model.Type{DType: model.Int64}
	}
	if !x.Ranked {
		return nil
	}
	k := f.Ints("kernel_shape")
	if len(x.Shape) < 3 || len(k) != len(x.Shape)-2 {
		return f.BadAttr("kernel_shape", "is %v, the input has rank %d", k, len(x.Shape))
	}
	s, err := poolWindow(f.Node, f.BadAttr, k, sizes(x.Shape, 2))
	if err != nil {
		return err
	}
	shape := model.Shape{x.Shape[0], x.Shape[1]}
	for _, o := range s.out {
		shape = append(shape, dimOf(o))
	}
	f.Out[0] = model.TensorType(x.DType, shape)
	if len(f.Out) > 1 {
		f.Out[1] = model.TensorType(model.Int64, shape)
	}
	return nil
}

func poolWindow(n *model.Node, bad func(attr, format string, args ...any) error, k []int64, in []int) (*spatial, error) {
	kernel := make([]int, len(k))
	for i, v := range k {
		if v < 1 || v > 1<<20 {
			return nil, bad("kernel_shape", "is %v", k)
		}
		kernel[i] = int(v)
	}
	if len(kernel) != len(in) {
		return nil, bad("kernel_shape", "is %v for %d spatial dimensions", k, len(in))
	}
	return window(n, bad, kernel, in, n.Int("ceil_mode", 0) != 0)
}

// pool prepares a pool: window, flat taps by output, dims of the output.
func pool(c *Call) (*spatial, [][]int32, []int, error) {
	x := c.In[0].Shape
	if len(x) < 3 {
		return nil, nil, nil, c.Bad("the input has rank %d, want at least 3", len(x))
	}
	s, err := poolWindow(c.Node, c.badAttr, c.Ints("kernel_shape"), x[2:])
	if err != nil {
		return nil, nil, nil, err
	}
	dims := append([]int{x[0], x[1]}, s.out...)
	if n, err := model.Count(dims); err != nil || n > c.limit()/8 || product(s.out)*product(s.kernel) > c.limit()/8 {
		return nil, nil, nil, c.Bad("the output %v is too big", dims)
	}
	at := make([][]int32, product(s.out))
	s.slide(func(o, i, _ int) { at[o] = append(at[o], int32(i)) })
	return s, at, dims, nil
}

func maxPool(c *Call) error {
	s, taps, dims, err := pool(c)
	if err != nil {
		return err
	}
	x := c.In[0]
	y, err := c.make(x.DType, dims)
	if err != nil {
		return err
	}
	var idx *model.Tensor
	if c.Wants(1) {
		if idx, err = c.make(model.Int64, dims); err != nil {
			return err
		}
	}
	size, outs := product(s.in), len(taps)
	column := c.Int("storage_order") == 1
	at := make([]int, len(s.in))
	for p := range dims[0] * dims[1] {
		for o, t := range taps {
			best := -1
			for _, i := range t {
				if v := x.Float64At(p*size + int(i)); best < 0 || v > x.Float64At(best) || v != v {
					best = p*size + int(i)
				}
			}
			if best < 0 {
				lo := math.Inf(-1)
				if x.DType.Integer() {
					lo, _ = intRange(x.DType)
				}
				y.SetFloat64(p*outs+o, lo)
				continue
			}
			copyElem(y, p*outs+o, x, best)
			if idx != nil {
				flat := best
				if column {
					unflatten(best-p*size, s.in, at)
					flat = 0
					for d := len(at) - 1; d >= 0; d-- {
						flat = flat*s.in[d] + at[d]
					}
					flat += p * size
				}
				idx.SetInt64(p*outs+o, int64(flat))
			}
		}
	}
	c.Out[0] = y
	if idx != nil {
		c.Out[1] = idx
	}
	return nil
}

func averagePool(c *Call) error {
	s, taps, dims, err := pool(c)
	if err != nil {
		return err
	}
	include := c.Int("count_include_pad") != 0
	v := toFloat64(c.In[0])
	out := make([]float64, product(dims))
	size, outs := product(s.in), len(taps)
	counts := make([]float64, outs)
	at := make([]int, len(s.out))
	for o := range counts {
		counts[o] = float64(len(taps[o]))
		if include {
			unflatten(o, s.out, at)
			n := 1
			for d := range at {
				in := 0
				for k := range s.kernel[d] {
					// What a rounded-up size adds beyond the padding does not count.
					if at[d]*s.stride[d]+k*s.dilation[d] < s.in[d]+s.begin[d]+s.end[d] {
						in++
					}
				}
				n *= in
			}
			counts[o] = float64(n)
		}
	}
	for p := range dims[0] * dims[1] {
		for o, t := range taps {
			sum := 0.0
			for _, i := range t {
				sum += v[p*size+int(i)]
			}
			out[p*outs+o] = sum / counts[o]
		}
	}
	c.Out[0], err = c.fromFloat64(c.In[0].DType, dims, out)
	return err
}

func lpPool(c *Call) error {
	s, taps, dims, err := pool(c)
	if err != nil {
		return err
	}
	p := float64(c.Int("p"))
	v := toFloat64(c.In[0])
	out := make([]float64, product(dims))
	size, outs := product(s.in), len(taps)
	for q := range dims[0] * dims[1] {
		for o, t := range taps {
			sum := 0.0
			for _, i := range t {
				sum += math.Pow(math.Abs(v[q*size+int(i)]), p)
			}
			out[q*outs+o] = math.Pow(sum, 1/p)
		}
	}
	c.Out[0], err = c.fromFloat64(c.In[0].DType, dims, out)
	return err
}

var maxUnpoolDef = &Def{Name: "MaxUnpool", Since: []int{9, 11, 22}, In: []Port{{Name: "X", Type: "T1"}, {Name: "I", Type: "int64"}, {Name: "output_shape", Type: "int64", Opt: true}},
	Out: []Port{{Name: "output"}}, Types: map[string]Set{"T1": Floats}, Attrs: []AttrSpec{{Name: "kernel_shape", Type: model.AttrInts, Required: true}, {Name: "pads", Type: model.AttrInts}, {Name: "strides", Type: model.AttrInts}},
	Infer: func(f *Inference) error {
		x := f.In[0]
		f.Out[0] = model.Type{DType: x.DType}
		if err := f.ranked(0, 3, anyRank); err != nil || !x.Ranked {
			return err
		}
		own, err := unpooled(f.Node, f.BadAttr, f.Ints("kernel_shape"), sizes(x.Shape, 2))
		if err != nil {
			return err
		}
		s := append(model.Shape{}, x.Shape...)
		for i, n := range own {
			s[2+i] = dimOf(n)
		}
		if f.Has(2) {
			s = unknownDims(len(s))
		}
		f.Out[0] = model.TensorType(x.DType, s)
		if t := f.Value(2); t != nil {
			dims, ok := dimsOf(t, 0)
			if !ok || len(dims) != len(s) {
				return f.Bad("output_shape %v is no shape of rank %d", ints64(t), len(s))
			}
			f.Out[0].Shape = model.FixedShape(dims...)
		}
		return nil
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		if x.Len() != c.In[1].Len() {
			return c.Bad("%d indices for %d elements", c.In[1].Len(), x.Len())
		}
		spread, err := unpooled(c.Node, c.badAttr, c.Ints("kernel_shape"), x.Shape[2:])
		if err != nil {
			return err
		}
		own := append(append([]int{}, x.Shape[:2]...), spread...)
		dims := own
		if c.Has(2) {
			dims, _ = dimsOf(c.In[2], 0)
			for i := range dims {
				if dims[i] < own[i] {
					return c.Bad("the output shape %v is smaller than %v", dims, own)
				}
			}
		}
		y, err := c.make(x.DType, dims)
		if err != nil {
			return err
		}
		at := make([]int, len(dims))
		st := strideOf(dims)
		for i, v := range ints64(c.In[1]) {
			if v < 0 || v >= int64(product(own)) {
				return c.Bad("index %d is outside of %v", v, own)
			}
			unflatten(int(v), own, at)
			o := 0
			for d := range at {
				o += at[d] * st[d]
			}
			copyElem(y, o, x, i)
		}
		c.Out[0] = y
		return nil
	}}

// unpooled is the size that a MaxPool with these windows came from (-1: not known).
func unpooled(n *model.Node, bad func(attr, format string, args ...any) error, kernel []int64, in []int) ([]int, error) {
	strides, pads := n.Ints("strides"), n.Ints("pads")
	if len(kernel) != len(in) || strides != nil && len(strides) != len(in) || pads != nil && len(pads) != 2*len(in) {
		return nil, bad("kernel_shape", "%d numbers, %d strides and %d pads for %d dimensions", len(kernel), len(strides), len(pads), len(in))
	}
	out := make([]int, len(in))
	for i, d := range in {
		step, pad := int64(1), int64(0)
		if strides != nil {
			step = strides[i]
		}
		if pads != nil {
			if pads[i] < 0 || pads[i] > 1<<20 || pads[len(in)+i] < 0 || pads[len(in)+i] > 1<<20 {
				return nil, bad("pads", "is %v", pads)
			}
			pad = pads[i] + pads[len(in)+i]
		}
		if kernel[i] < 1 || kernel[i] > 1<<20 || step < 1 || step > 1<<20 {
			return nil, bad("kernel_shape", "%v with strides %v", kernel, strides)
		}
		if out[i] = -1; d < 0 {
			continue
		}
		size := (int64(d)-1)*step + kernel[i] - pad
		if size < 0 || size > maxDim {
			return nil, bad("pads", "the output size of dimension %d would be %d", i, size)
		}
		out[i] = int(size)
	}
	return out, nil
}

var maxRoiPoolDef = &Def{Name: "MaxRoiPool", Since: []int{1, 22}, In: []Port{{Name: "X", Type: "T"}, {Name: "rois", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats},
	Attrs: []AttrSpec{{Name: "pooled_shape", Type: model.AttrInts, Required: true}, {Name: "spatial_scale", Type: model.AttrFloat, Default: float32(1)}},
	Infer: func(f *Inference) error {
		if len(f.Ints("pooled_shape")) != 2 {
			return f.BadAttr("pooled_shape", "has %d numbers, want 2", len(f.Ints("pooled_shape")))
		}
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if err := f.ranked(0, 4, 4); err != nil {
			return err
		}
		return f.ranked(1, 2, 2)
	},
	Eval: func(c *Call) error {
		x, r := c.In[0], c.In[1]
		p := c.Ints("pooled_shape")
		if len(x.Shape) != 4 || len(r.Shape) != 2 || r.Shape[1] != 5 || p[0] < 1 || p[1] < 1 {
			return c.Bad("input %v, regions %v, output %v", x.Shape, r.Shape, p)
		}
		ph, pw, k := int(p[0]), int(p[1]), float64(c.Float("spatial_scale"))
		h, w := x.Shape[2], x.Shape[3]
		y, err := c.make(x.DType, []int{r.Shape[0], x.Shape[1], ph, pw})
		if err != nil {
			return err
		}
		o := 0
		for i := range r.Shape[0] {
			at := func(j int) float64 { return r.Float64At(i*5 + j) }
			img := int(at(0))
			if img < 0 || img >= x.Shape[0] {
				return c.Bad("region %d is of picture %d of %d", i, img, x.Shape[0])
			}
			x1, y1, x2, y2 := math.Round(at(1)*k), math.Round(at(2)*k), math.Round(at(3)*k), math.Round(at(4)*k)
			bh, bw := math.Max(y2-y1+1, 1)/float64(ph), math.Max(x2-x1+1, 1)/float64(pw)
			for ch := range x.Shape[1] {
				for a := range ph {
					for b := range pw {
						lo := func(q, step, from float64, n int) int { return int(clamp(math.Floor(q*step)+from, 0, float64(n))) }
						hi := func(q, step, from float64, n int) int { return int(clamp(math.Ceil((q+1)*step)+from, 0, float64(n))) }
						best, any := 0.0, false
						for iy := lo(float64(a), bh, y1, h); iy < hi(float64(a), bh, y1, h); iy++ {
							for ix := lo(float64(b), bw, x1, w); ix < hi(float64(b), bw, x1, w); ix++ {
								if v := x.Float64At(((img*x.Shape[1]+ch)*h+iy)*w + ix); !any || v > best {
									best, any = v, true
								}
							}
						}
						y.SetFloat64(o, best)
						o++
					}
				}
			}
		}
		c.Out[0] = y
		return nil
	}}
