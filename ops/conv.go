package ops

import (
	"math"

	"fettle/model"
)

// convOps: convolutions of any number of spatial dimensions.
func convOps() []*Def {
	return []*Def{convDef, convTransposeDef, convIntegerDef, qlinearConvDef}
}

var convAttrs = []AttrSpec{
	{Name: "auto_pad", Type: model.AttrString, Default: "NOTSET", Enum: []string{"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"}},
	{Name: "dilations", Type: model.AttrInts}, {Name: "group", Type: model.AttrInt, Default: int64(1)}, {Name: "kernel_shape", Type: model.AttrInts},
	{Name: "pads", Type: model.AttrInts}, {Name: "strides", Type: model.AttrInts},
}

func inferConv(f *Inference) error { return inferConvAt(f, 0, 1, 2, f.In[0].DType) }

// inferConvAt infers a convolution whose data and weights are inputs xi and wi and whose bias, if any, is input bi.
func inferConvAt(f *Inference, xi, wi, bi int, out model.DType) error {
	x, w := f.In[xi], f.In[wi]
	f.Out[0] = model.Type{DType: out}
	if !x.Ranked || !w.Ranked {
		return nil
	}
	if len(x.Shape) < 3 {
		return f.Bad("the input has rank %d, want at least 3", len(x.Shape))
	}
	if len(w.Shape) != len(x.Shape) {
		return f.Bad("the weights have rank %d, the input has %d", len(w.Shape), len(x.Shape))
	}
	group := f.Int("group")
	if group < 1 {
		return f.BadAttr("group", "is %d", group)
	}
	c, m, cg := x.Shape[1], w.Shape[0], w.Shape[1]
	if c.Known() && cg.Known() && int64(c.N) != int64(cg.N)*group {
		return f.Bad("the input has %d channels, the weights are for %d in %d groups", c.N, int64(cg.N)*group, group)
	}
	if m.Known() && int64(m.N)%group != 0 {
		return f.BadAttr("group", "%d output channels are not divisible by %d", m.N, group)
	}
	if f.Has(bi) && f.In[bi].Ranked && m.Known() {
		if b := f.In[bi].Shape; len(b) != 1 || b[0].Known() && b[0].N != m.N {
			return f.Bad("the bias has shape %s, want [%d]", b, m.N)
		}
	}
	kernel := sizes(w.Shape, 2)
	for i, k := range f.Ints("kernel_shape") {
		if len(f.Ints("kernel_shape")) != len(kernel) || kernel[i] >= 0 && int64(kernel[i]) != k {
			return f.BadAttr("kernel_shape", "is %v, the weights have %s", f.Ints("kernel_shape"), w.Shape)
		}
		kernel[i] = int(k)
	}
	for _, k := range kernel {
		if k < 0 {
			return nil
		}
	}
	s, err := window(f.Node, f.BadAttr, kernel, sizes(x.Shape, 2), false)
	if err != nil {
		return err
	}
	shape := model.Shape{x.Shape[0], m}
	for _, o := range s.out {
		shape = append(shape, dimOf(o))
	}
	f.Out[0] = model.TensorType(out, shape)
	return nil
}

func (c *Call) badAttr(attr, format string, args ...any) error {
	f := Inference{Node: c.Node}
	return f.BadAttr(attr, format, args...)
}

// convolve is the definition: x [N, C, in...], w [M, C/g, kernel...] give y [N, M, out...] in float64.
func convolve(c *Call, x []float64, xs []int, w []float64, ws []int) (y []float64, dims []int, err error) {
	group := int(c.Int("group"))
	if group < 1 || len(xs) != len(ws) || len(xs) < 3 || xs[1] != ws[1]*group || ws[0]%group != 0 {
		return nil, nil, c.Bad("input %v and weights %v do not go together in %d groups", xs, ws, group)
	}
	s, err := window(c.Node, c.badAttr, ws[2:], xs[2:], false)
	if err != nil {
		return nil, nil, err
	}
	dims = append([]int{xs[0], ws[0]}, s.out...)
	if n, err := model.Count(dims); err != nil || n > c.limit()/8 || len(w) > 0 && s.rows() > int64(c.limit())/32 {
		return nil, nil, c.tooBig("an output of %v with a window of %v", dims, s.kernel)
	}
	ins, outs, kers := product(s.in), product(s.out), product(s.kernel)
	y = make([]float64, product(dims))
	if len(y) == 0 || len(w) == 0 {
		return y, dims, nil
	}
	rows, step := s.segments(), s.stride[len(s.stride)-1]
	cg, mg := ws[1], ws[0]/group
	for n := range xs[0] {
		for m := range ws[0] {
			dst := y[(n*ws[0]+m)*outs:][:outs]
			for ci := range cg {
				src := x[(n*xs[1]+m/mg*cg+ci)*ins:][:ins]
				wk := w[(m*cg+ci)*kers:][:kers]
				for k, v := range wk {
					for _, g := range rows[k] {
						for j := range dst[g.o:][:g.n] {
							dst[g.o+j] += src[g.i+j*step] * v
						}
					}
				}
			}
		}
	}
	return y, dims, nil
}

func addBias(y []float64, dims []int, b *model.Tensor) {
	size := product(dims[2:])
	for i := range y {
		y[i] += b.Float64At(i / size % dims[1])
	}
}

func convCost(f *Inference) Cost {
	w, okW := f.In[1].Shape.Ints()
	y, okY := f.Out[0].Shape.Ints()
	if !okW || !okY || len(w) < 2 {
		return Cost{}
	}
	return Cost{MACs: int64(product(y)) * int64(product(w[1:])), Bytes: bytesOf(f)}
}

// bytesOf sums the bytes of all inputs and outputs with known shapes.
func bytesOf(f *Inference) int64 {
	var n int64
	for _, ts := range [][]model.Type{f.In, f.Out} {
		for _, t := range ts {
			if d, ok := t.Shape.Ints(); ok && t.Ranked {
				n += int64(t.DType.Bytes(product(d)))
			}
		}
	}
	return n
}

var convDef = &Def{Name: "Conv", Since: []int{1, 11, 22}, In: []Port{{Name: "X", Type: "T"}, {Name: "W", Type: "T"}, {Name: "B", Type: "T", Opt: true}},
	Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats}, Attrs: convAttrs, Exact: Rounding, Infer: inferConv, Cost: convCost,
	Eval: func(c *Call) error {
		y, dims, err := convolve(c, toFloat64(c.In[0]), c.In[0].Shape, toFloat64(c.In[1]), c.In[1].Shape)
		if err != nil {
			return err
		}
		if c.Has(2) {
			if c.In[2].Len() != dims[1] {
				return c.Bad("the bias has %d elements, want %d", c.In[2].Len(), dims[1])
			}
			addBias(y, dims, c.In[2])
		}
		c.Out[0], err = c.fromFloat64(c.In[0].DType, dims, y)
		return err
	}}

// convTransposeDef: the gradient of a convolution with respect to its input, used as a layer.
var convTransposeDef = &Def{Name: "ConvTranspose", Since: []int{1, 11, 22}, In: []Port{{Name: "X", Type: "T"}, {Name: "W", Type: "T"}, {Name: "B", Type: "T", Opt: true}},
	Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats}, Exact: Rounding,
	Attrs: append(append([]AttrSpec{}, convAttrs...), AttrSpec{Name: "output_padding", Type: model.AttrInts}, AttrSpec{Name: "output_shape", Type: model.AttrInts}),
	Infer: func(f *Inference) error {
		x, w := f.In[0], f.In[1]
		f.Out[0] = model.Type{DType: x.DType}
		if !x.Ranked || !w.Ranked {
			return nil
		}
		if len(x.Shape) < 3 || len(w.Shape) != len(x.Shape) {
			return f.Bad("input %s and weights %s do not go together", x.Shape, w.Shape)
		}
		g := f.Int("group")
		if g < 1 {
			return f.BadAttr("group", "is %d", g)
		}
		if x.Shape[1].Known() && w.Shape[0].Known() && x.Shape[1].N != w.Shape[0].N {
			return f.Bad("the input has %d channels, the weights are for %d", x.Shape[1].N, w.Shape[0].N)
		}
		in, kernel := sizes(x.Shape, 2), sizes(w.Shape, 2)
		m := model.Sym("")
		if w.Shape[1].Known() {
			m = model.Fixed(w.Shape[1].N * int(g))
		}
		shape := model.Shape{x.Shape[0], m}
		for i := range in {
			if in[i] < 0 || kernel[i] < 0 {
				for range in {
					shape = append(shape, model.Sym(""))
				}
				f.Out[0] = model.TensorType(x.DType, shape[:len(x.Shape)])
				return nil
			}
		}
		s, err := transposed(f.Node, f.BadAttr, kernel, in)
		if err != nil {
			return err
		}
		for _, o := range s.in {
			shape = append(shape, model.Fixed(o))
		}
		f.Out[0] = model.TensorType(x.DType, shape)
		return nil
	},
	Cost: func(f *Inference) Cost {
		w, okW := f.In[1].Shape.Ints()
		x, okX := f.In[0].Shape.Ints()
		if !okW || !okX || len(w) < 2 {
			return Cost{}
		}
		return Cost{MACs: int64(product(x)) * int64(product(w[1:])), Bytes: bytesOf(f)}
	},
	Eval: func(c *Call) error {
		xs, ws := c.In[0].Shape, c.In[1].Shape
		g := int(c.Int("group"))
		if g < 1 || len(xs) != len(ws) || len(xs) < 3 || xs[1] != ws[0] || ws[0]%g != 0 {
			return c.Bad("input %v and weights %v do not go together in %d groups", xs, ws, g)
		}
		s, err := transposed(c.Node, c.badAttr, ws[2:], xs[2:])
		if err != nil {
			return err
		}
		m := ws[1] * g
		dims := append([]int{xs[0], m}, s.in...)
		x, w := toFloat64(c.In[0]), toFloat64(c.In[1])
		if n, err := model.Count(dims); err != nil || n > c.limit()/8 || len(x) > 0 && len(w) > 0 && s.rows() > int64(c.limit())/32 {
			return c.tooBig("an output of %v with a window of %v", dims, s.kernel)
		}
		y := make([]float64, product(dims))
		ins, outs, kers := product(s.out), product(s.in), product(s.kernel)
		var rows [][]segment
		if len(x) > 0 && len(w) > 0 {
			rows = s.segments()
		}
		step := s.stride[len(s.stride)-1]
		for n := range xs[0] {
			for ch := range xs[1] {
				if rows == nil {
					break
				}
				src := x[(n*xs[1]+ch)*ins:][:ins]
				for mo := range ws[1] {
					dst := y[(n*m+ch/(ws[0]/g)*ws[1]+mo)*outs:][:outs]
					wk := w[(ch*ws[1]+mo)*kers:][:kers]
					for k, v := range wk {
						for _, g := range rows[k] {
							for j, e := range src[g.o:][:g.n] {
								dst[g.i+j*step] += e * v
							}
						}
					}
				}
			}
		}
		if c.Has(2) {
			if c.In[2].Len() != m {
				return c.Bad("the bias has %d elements, want %d", c.In[2].Len(), m)
			}
			addBias(y, dims, c.In[2])
		}
		c.Out[0], err = c.fromFloat64(c.In[0].DType, dims, y)
		return err
	}}

// transposed is the window whose out is the node's input and whose in is the node's output.
func transposed(n *model.Node, bad func(attr, format string, args ...any) error, kernel, in []int) (*spatial, error) {
	plain := *n
	plain.Attrs = nil
	for _, a := range n.Attrs {
		if a.Name == "strides" || a.Name == "dilations" {
			plain.Attrs = append(plain.Attrs, a)
		}
	}
	k := len(kernel)
	huge := make([]int, k)
	for i := range huge {
		huge[i] = min(1<<40, math.MaxInt>>4)
	}
	s, err := window(&plain, bad, kernel, huge, false)
	if err != nil {
		return nil, err
	}
	extra := make([]int, k)
	if v := n.Ints("output_padding"); v != nil {
		if len(v) != k {
			return nil, bad("output_padding", "has %d numbers, want %d", len(v), k)
		}
		for i := range extra {
			if v[i] < 0 || v[i] > 1<<20 {
				return nil, bad("output_padding", "is %v", v)
			}
			extra[i] = int(v[i])
		}
	}
	s.out = in
	s.in = make([]int, k)
	auto := n.Str("auto_pad", "NOTSET")
	shape := n.Ints("output_shape")
	if shape != nil && len(shape) != k && len(shape) != k+2 {
		return nil, bad("output_shape", "has %d numbers, want %d", len(shape), k)
	}
	if len(shape) == k+2 {
		shape = shape[2:]
	}
	pads := n.Ints("pads")
	if pads != nil && len(pads) != 2*k {
		return nil, bad("pads", "has %d numbers, want %d", len(pads), 2*k)
	}
	for i := range k {
		full := (in[i]-1)*s.stride[i] + extra[i] + (kernel[i]-1)*s.dilation[i] + 1
		switch {
		case shape != nil || auto == "SAME_UPPER" || auto == "SAME_LOWER":
			want := in[i] * s.stride[i]
			if shape != nil {
				want = int(shape[i])
			}
			total := full - want
			if auto == "SAME_UPPER" {
				s.begin[i] = total / 2
			} else {
				s.begin[i] = total - total/2
			}
			if total < 0 {
				s.begin[i] = 0
			}
			s.in[i] = want
		case pads != nil && auto == "NOTSET":
			s.begin[i] = int(pads[i])
			s.in[i] = full - int(pads[i]) - int(pads[k+i])
		default:
			s.in[i] = full
		}
		if s.in[i] < 0 || s.in[i] > 1<<30 {
			return nil, bad("pads", "the output size of dimension %d would be %d", i, s.in[i])
		}
	}
	return s, nil
}

// zeroed gives integer data minus its zero point as float64: exact, since 8-bit products and their sums fit 53 bits.
func zeroed(t, zero *model.Tensor, axis int) []float64 {
	v := toFloat64(t)
	if zero == nil {
		return v
	}
	inner := 1
	if zero.Len() > 1 {
		inner = product(t.Shape[axis+1:])
	}
	for i := range v {
		k := 0
		if zero.Len() > 1 {
			k = i / inner % zero.Len()
		}
		v[i] -= zero.Float64At(k)
	}
	return v
}

// opt is input i, nil where it is absent.
func (c *Call) opt(i int) *model.Tensor {
	if c.Has(i) {
		return c.In[i]
	}
	return nil
}

const bytes8 = Set(1<<model.Int8 | 1<<model.Uint8)

var convIntegerDef = &Def{Name: "ConvInteger", Since: []int{10}, In: []Port{{Name: "x", Type: "T1"}, {Name: "w", Type: "T2"}, {Name: "x_zero_point", Type: "T1", Opt: true},
	{Name: "w_zero_point", Type: "T2", Opt: true}}, Out: []Port{{Name: "y"}}, Types: map[string]Set{"T1": bytes8, "T2": bytes8}, Attrs: convAttrs,
	Infer: func(f *Inference) error {
		if err := f.single(2); err != nil {
			return err
		}
		return inferConvAt(f, 0, 1, 99, model.Int32)
	}, Cost: convCost,
	Eval: func(c *Call) error {
		if err := perChannel(c, c.opt(3), c.In[1].Shape[0]); err != nil {
			return err
		}
		y, dims, err := convolve(c, zeroed(c.In[0], c.opt(2), 0), c.In[0].Shape, zeroed(c.In[1], c.opt(3), 0), c.In[1].Shape)
		if err != nil {
			return err
		}
		c.Out[0], err = c.fromFloat64(model.Int32, dims, y)
		return err
	}}

// perChannel refuses a quantization parameter that is neither a scalar nor of n elements.
func perChannel(c *Call, t *model.Tensor, n int) error {
	if t != nil && t.Len() != 1 && t.Len() != n {
		return c.Bad("a scale or zero point has %d elements, want 1 or %d", t.Len(), n)
	}
	return nil
}

var qlinearConvDef = &Def{Name: "QLinearConv", Since: []int{10}, In: []Port{{Name: "x", Type: "T1"}, {Name: "x_scale", Type: "float32"}, {Name: "x_zero_point", Type: "T1"},
	{Name: "w", Type: "T2"}, {Name: "w_scale", Type: "float32"}, {Name: "w_zero_point", Type: "T2"}, {Name: "y_scale", Type: "float32"}, {Name: "y_zero_point", Type: "T3"},
	{Name: "B", Type: "int32", Opt: true}}, Out: []Port{{Name: "y"}}, Types: map[string]Set{"T1": bytes8, "T2": bytes8, "T3": bytes8}, Attrs: convAttrs, Exact: Rounding,
	Infer: func(f *Inference) error {
		for _, i := range []int{1, 2, 6, 7} {
			if err := f.single(i); err != nil {
				return err
			}
		}
		return inferConvAt(f, 0, 3, 8, f.In[7].DType)
	},
	Cost: func(f *Inference) Cost {
		g := *f
		g.In = []model.Type{f.In[0], f.In[3]}
		return convCost(&g)
	},
	Eval: func(c *Call) error {
		m := c.In[3].Shape[0]
		for _, i := range []int{4, 5} {
			if err := perChannel(c, c.In[i], m); err != nil {
				return err
			}
		}
		y, dims, err := convolve(c, zeroed(c.In[0], c.In[2], 0), c.In[0].Shape, zeroed(c.In[3], c.In[5], 0), c.In[3].Shape)
		if err != nil {
			return err
		}
		if c.Has(8) {
			if c.In[8].Len() != m {
				return c.Bad("the bias has %d elements, want %d", c.In[8].Len(), m)
			}
			addBias(y, dims, c.In[8])
		}
		size := product(dims[2:])
		ws := toFloat64(c.In[4])
		k := c.In[1].Float64At(0) / c.In[6].Float64At(0)
		for i := range y {
			ch := 0
			if len(ws) > 1 {
				ch = i / size % m
			}
			y[i] = requantize(y[i]*k*ws[ch], c.In[7])
		}
		c.Out[0], err = c.fromFloat64(c.In[7].DType, dims, y)
		return err
	}}
