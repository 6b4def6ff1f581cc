package ops

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// msQuantOps: matrix products of ONNX Runtime's domain whose operands are integers on a grid.
func msQuantOps() []*Def {
	return []*Def{matmulIntegerToFloatDef, dynamicMatMulDef, qgemmDef, nbitsDef, matmulInteger16Def}
}

// scaledProduct is the product of integers a and b, scaled by rows of no scale but one and by columns, plus a bias.
func (c *Call) scaledProduct(a []float64, as []int, b []float64, bs []int, scale float64, columns, bias *model.Tensor, out model.DType) error {
	y, dims, err := product2(c, a, as, b, bs)
	if err != nil {
		return err
	}
	n := 1
	if len(bs) > 1 {
		n = bs[len(bs)-1]
	}
	for _, t := range []*model.Tensor{columns, bias} {
		if err := perChannel(c, t, n); err != nil {
			return err
		}
	}
	for i := range y {
		y[i] *= scale * columns.Float64At(i%n%columns.Len())
		if bias != nil {
			y[i] += bias.Float64At(i % n % bias.Len())
		}
	}
	c.Out[0], err = c.fromFloat64(out, dims, y)
	return err
}

// inferScaledProduct checks what belongs to the columns of the second operand, input k.
func inferScaledProduct(f *Inference, k int, out model.DType, columns ...int) error {
	if err := inferMatmul(f, 0, k, out); err != nil || !f.In[k].Ranked {
		return err
	}
	s := f.In[k].Shape
	for _, i := range columns {
		if !f.Has(i) || !f.In[i].Ranked {
			continue
		}
		d, ok := f.In[i].Shape.Ints()
		if len(d) > 1 || ok && product(d) != 1 && len(s) > 1 && s[len(s)-1].Known() && product(d) != s[len(s)-1].N {
			return f.Bad("input %d (%s) has shape %s, want one number or one a column", i, port(f.Def.In, i).Name, f.In[i].Shape)
		}
	}
	return nil
}

var matmulIntegerToFloatDef = &Def{Name: "MatMulIntegerToFloat", Domain: microsoft, Since: []int{1}, Out: []Port{{Name: "Y"}}, Exact: Rounding, Cost: matmulCost(0),
	In: []Port{{Name: "A", Type: "T1"}, {Name: "B", Type: "T2"}, {Name: "a_scale", Type: "T3"}, {Name: "b_scale", Type: "T3"}, {Name: "a_zero_point", Type: "T1", Opt: true},
		{Name: "b_zero_point", Type: "T2", Opt: true}, {Name: "bias", Type: "T3", Opt: true}},
	Types: map[string]Set{"T1": bytes8, "T2": bytes8, "T3": Set(1<<model.Float32 | 1<<model.Float16)},
	Infer: func(f *Inference) error {
		for _, i := range []int{2, 4} {
			if err := f.single(i); err != nil {
				return err
			}
		}
		return inferScaledProduct(f, 1, f.In[2].DType, 3, 5, 6)
	},
	Eval: func(c *Call) error {
		a, b, err := zeroedMatrices(c, 0, 1, c.opt(4), c.opt(5))
		if err != nil {
			return err
		}
		return c.scaledProduct(a, c.In[0].Shape, b, c.In[1].Shape, c.In[2].Float64At(0), c.In[3], c.opt(6), c.In[2].DType)
	}}

// dynamicMatMulDef quantizes A as DynamicQuantizeLinear does and multiplies integers.
var dynamicMatMulDef = &Def{Name: "DynamicQuantizeMatMul", Domain: microsoft, Since: []int{1}, Out: []Port{{Name: "Y"}}, Exact: Rounding, Cost: matmulCost(0),
	In:    []Port{{Name: "A", Type: "float32"}, {Name: "B", Type: "T2"}, {Name: "b_scale", Type: "float32"}, {Name: "b_zero_point", Type: "T2", Opt: true}, {Name: "bias", Type: "float32", Opt: true}},
	Types: map[string]Set{"T2": bytes8},
	Infer: func(f *Inference) error { return inferScaledProduct(f, 1, model.Float32, 2, 3, 4) },
	Eval: func(c *Call) error {
		q := &Call{Node: c.Node, Def: dynamicQuantizeDef, Limit: c.Limit, In: c.In[:1], Out: make([]*model.Tensor, 3)}
		if err := dynamicQuantizeDef.Eval(q); err != nil {
			return err
		}
		g := *c
		g.In = []*model.Tensor{q.Out[0], c.In[1]}
		a, b, err := zeroedMatrices(&g, 0, 1, q.Out[2], c.opt(3))
		if err != nil {
			return err
		}
		return c.scaledProduct(a, c.In[0].Shape, b, c.In[1].Shape, q.Out[1].Float64At(0), c.In[2], c.opt(4), model.Float32)
	}}

// qgemmDef: C is in units of the product; without a scale of the result it stays real.
var qgemmDef = &Def{Name: "QGemm", Domain: microsoft, Since: []int{1}, Out: []Port{{Name: "Y"}}, Exact: Rounding,
	In: []Port{{Name: "A", Type: "TA"}, {Name: "a_scale", Type: "float32"}, {Name: "a_zero_point", Type: "TA"}, {Name: "B", Type: "TB"}, {Name: "b_scale", Type: "float32"}, {Name: "b_zero_point", Type: "TB"},
		{Name: "C", Type: "int32", Opt: true}, {Name: "y_scale", Type: "float32", Opt: true}, {Name: "y_zero_point", Type: "TYZ", Opt: true}},
	Types: map[string]Set{"TA": bytes8, "TB": bytes8, "TYZ": bytes8},
	Attrs: []AttrSpec{{Name: "alpha", Type: model.AttrFloat, Default: float32(1)}, {Name: "transA", Type: model.AttrInt, Default: int64(0)}, {Name: "transB", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		if f.Has(7) != f.Has(8) {
			return f.Bad("scale and zero point of the result come together")
		}
		for _, i := range []int{1, 2, 7, 8} {
			if err := f.single(i); err != nil {
				return err
			}
		}
		g := qgemmAsGemm(f)
		if err := inferGemm(g); err != nil {
			return err
		}
		f.Out[0] = g.Out[0]
		f.Out[0].DType = model.Float32
		if f.Has(8) {
			f.Out[0].DType = f.In[8].DType
		}
		if y, ok := f.Out[0].Shape.Ints(); ok && f.Out[0].Ranked {
			for _, i := range []int{4, 5} {
				if d, ok := f.In[i].Shape.Ints(); ok && f.In[i].Ranked && product(d) != 1 && (len(d) != 1 || d[0] != y[1]) {
					return f.Bad("input %d (%s) has shape %v, want one number or one a column", i, port(f.Def.In, i).Name, d)
				}
			}
		}
		return nil
	},
	Cost: func(f *Inference) Cost { return gemmDef.Cost(qgemmAsGemm(f)) },
	Eval: func(c *Call) error {
		side := func(i int, trans string, channels bool) ([]float64, []int, error) {
			t, s := c.In[i], c.In[i].Shape
			zero := c.In[i+2]
			axis := 1
			if c.Int(trans) != 0 {
				axis = 0
			}
			if channels {
				if err := perChannel(c, zero, s[axis]); err != nil {
					return nil, nil, err
				}
			}
			v := zeroed(t, zero, axis)
			if c.Int(trans) != 0 {
				v, s = transpose2(v, s)
			}
			return v, s, nil
		}
		a, as, err := side(0, "transA", false)
		if err != nil {
			return err
		}
		b, bs, err := side(3, "transB", true)
		if err != nil {
			return err
		}
		y, dims, err := product2(c, a, as, b, bs)
		if err != nil {
			return err
		}
		if c.Has(6) {
			w := newWalk(dims, broadcastStride(c.In[6].Shape, dims))
			for i := range y {
				y[i] += c.In[6].Float64At(w.off[0])
				w.next()
			}
		}
		if err := perChannel(c, c.In[4], dims[1]); err != nil {
			return err
		}
		k := float64(c.Float("alpha")) * c.In[1].Float64At(0)
		for i := range y {
			y[i] *= k * c.In[4].Float64At(i%dims[1]%c.In[4].Len())
			if c.Has(7) {
				y[i] = requantize(roundTo(model.Float32, y[i]/c.In[7].Float64At(0)), c.In[8])
			}
		}
		out := model.Float32
		if c.Has(8) {
			out = c.In[8].DType
		}
		c.Out[0], err = c.fromFloat64(out, dims, y)
		return err
	}}

func qgemmAsGemm(f *Inference) *Inference {
	g := &Inference{Node: &model.Node{ID: f.Node.ID, Op: f.Node.Op, Inputs: []string{"A", "B"}, Attrs: f.Node.Attrs}, Def: gemmDef, Opset: 13, In: []model.Type{f.In[0], f.In[3]}, Out: []model.Type{f.Out[0]}}
	if f.Has(6) {
		g.In, g.Node.Inputs = append(g.In, f.In[6]), append(g.Node.Inputs, "C")
	}
	return g
}

// nbitsDef: A [..., K] times weights [N, K] that are packed integers in blocks along K, each block with its scale and zero point.
//
//	B [N, ceil(K/block), block*bits/8] uint8, the first number in the low bits
//	scales [N, ceil(K/block)] or the same as one line; zero points packed as B, a row in whole bytes, or of the type of A
//	g_idx [K] int32: the block of each k where the order of channels was changed
var nbitsDef = &Def{Name: "MatMulNBits", Domain: microsoft, Since: []int{1}, Out: []Port{{Name: "Y"}}, Exact: Rounding,
	In:    []Port{{Name: "A", Type: "T1"}, {Name: "B", Type: "uint8"}, {Name: "scales", Type: "T1"}, {Name: "zero_points", Type: "T3", Opt: true}, {Name: "g_idx", Type: "int32", Opt: true}, {Name: "bias", Type: "T1", Opt: true}},
	Types: map[string]Set{"T1": Set(1<<model.Float32 | 1<<model.Float16 | 1<<model.BFloat16), "T3": Set(1<<model.Uint8 | 1<<model.Float32 | 1<<model.Float16 | 1<<model.BFloat16)},
	Attrs: []AttrSpec{{Name: "K", Type: model.AttrInt, Required: true}, {Name: "N", Type: model.AttrInt, Required: true}, {Name: "bits", Type: model.AttrInt, Default: int64(4)},
		{Name: "block_size", Type: model.AttrInt, Required: true}, {Name: "accuracy_level", Type: model.AttrInt, Default: int64(0)}, {Name: "weight_prepacked", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		w, err := packedOf(f)
		if err != nil {
			return err
		}
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if err := f.ranked(0, 1, anyRank); err != nil {
			return err
		}
		if d, ok := f.In[1].Shape.Ints(); ok && f.In[1].Ranked && product(d) != w.n*w.blocks*w.blob {
			return f.Bad("the weights have shape %v, want [%d %d %d]", d, w.n, w.blocks, w.blob)
		}
		if d, ok := f.In[2].Shape.Ints(); ok && f.In[2].Ranked && product(d) != w.n*w.blocks {
			return f.Bad("the scales have shape %v, want [%d %d]", d, w.n, w.blocks)
		}
		if f.Has(3) {
			want := w.n * w.blocks
			if f.In[3].DType == model.Uint8 {
				want = w.n * w.zeroRow
			} else if f.In[3].DType != f.In[0].DType && f.In[3].DType != model.Undefined && f.In[0].DType != model.Undefined {
				return f.Bad("the zero points are %s, want uint8 or %s", f.In[3].DType, f.In[0].DType)
			}
			if d, ok := f.In[3].Shape.Ints(); ok && f.In[3].Ranked && product(d) != want {
				return f.Bad("the zero points have shape %v, want %d numbers", d, want)
			}
		}
		if d, ok := f.input(4).Shape.Ints(); ok && f.input(4).Ranked && (len(d) != 1 || d[0] != w.k && d[0] != w.blocks*w.block) {
			return f.Bad("g_idx has shape %v, want [%d]", d, w.k)
		}
		if err := f.shaped(5, w.n); err != nil || !f.In[0].Ranked {
			return err
		}
		s := append(model.Shape{}, f.In[0].Shape...)
		if last := s[len(s)-1]; last.Known() && last.N != w.k {
			return f.Bad("the input has %d columns, K is %d", last.N, w.k)
		}
		s[len(s)-1] = model.Fixed(w.n)
		f.Out[0] = model.TensorType(f.In[0].DType, s)
		return nil
	},
	Cost: matmulCost(0),
	Eval: func(c *Call) error {
		w, err := packedOf(&Inference{Node: c.Node, Def: c.Def})
		if err != nil {
			return err
		}
		if err := c.room(w.n, w.k); err != nil {
			return err
		}
		b, why := w.unpacked(c.In[1], c.In[2], c.opt(3), c.opt(4))
		if why != "" {
			return c.Bad("%s", why)
		}
		y, dims, err := product2(c, toFloat64(c.In[0]), c.In[0].Shape, b, []int{w.k, w.n})
		if err != nil {
			return err
		}
		if c.Has(5) {
			for i := range y {
				y[i] += c.In[5].Float64At(i % w.n)
			}
		}
		c.Out[0], err = c.fromFloat64(c.In[0].DType, dims, y)
		return err
	}}

// packed is the form of weights of MatMulNBits.
type packed struct {
	k, n, bits, block int
	blocks, blob      int // blocks along k, bytes of one
	zeroRow           int // bytes of a row of packed zero points
}

func packedOf(f *Inference) (*packed, error) {
	k, n, bits, block := f.Int("K"), f.Int("N"), f.Int("bits"), f.Int("block_size")
	switch {
	case k < 1 || n < 1 || k > 1<<28 || n > 1<<28:
		return nil, f.Bad("K is %d, N is %d", k, n)
	case bits != 2 && bits != 4 && bits != 8:
		return nil, fail.New(fail.Unsupported, "weights of %d bits; 2, 4 and 8 are known", bits).At(fail.Where{Node: string(f.Node.ID), Op: f.Node.Op, Attr: "bits"})
	case block < 16 || block > 1<<20 || block&(block-1) != 0:
		return nil, f.BadAttr("block_size", "is %d, want a power of two from 16 on", block)
	case f.Int("weight_prepacked") != 0:
		return nil, fail.New(fail.Unsupported, "weights in the layout of one kind of processor").At(fail.Where{Node: string(f.Node.ID), Op: f.Node.Op, Attr: "weight_prepacked"})
	}
	w := &packed{k: int(k), n: int(n), bits: int(bits), block: int(block)}
	w.blocks = (w.k + w.block - 1) / w.block
	w.blob = w.block * w.bits / 8
	w.zeroRow = (w.blocks*w.bits + 7) / 8
	return w, nil
}

// number is number i of packed bytes.
func (w *packed) number(b []byte, i int) float64 {
	per := 8 / w.bits
	return float64(b[i/per] >> (i % per * w.bits) & (1<<w.bits - 1))
}

// unpacked is the matrix [K, N] of real weights.
func (w *packed) unpacked(b, scales, zeros, order *model.Tensor) ([]float64, string) {
	out := make([]float64, w.k*w.n)
	for r := range w.n {
		for i := range w.k {
			g := i / w.block
			if order != nil {
				if g = int(order.Int64At(i)); g < 0 || g >= w.blocks {
					return nil, "g_idx names a block that is not there"
				}
			}
			zero := math.Ldexp(1, w.bits-1)
			switch {
			case zeros == nil:
			case zeros.DType == model.Uint8:
				zero = w.number(zeros.Raw[r*w.zeroRow:], g)
			default:
				zero = zeros.Float64At(r*w.blocks + g)
			}
			q := w.number(b.Raw[(r*w.blocks+i/w.block)*w.blob:], i%w.block)
			out[i*w.n+r] = (q - zero) * scales.Float64At(r*w.blocks+g)
		}
	}
	return out, ""
}

// matmulInteger16Def: products of 16-bit integers, summed in 32 bits that wrap.
var matmulInteger16Def = &Def{Name: "MatMulInteger16", Domain: microsoft, Since: []int{1}, In: []Port{{Name: "A", Type: "T1"}, {Name: "B", Type: "T2"}}, Out: []Port{{Name: "Y"}}, Cost: matmulCost(0),
	Types: map[string]Set{"T1": Set(1<<model.Int16 | 1<<model.Uint16), "T2": Set(1<<model.Int16 | 1<<model.Uint16)},
	Infer: func(f *Inference) error { return inferMatmul(f, 0, 1, wide16(f.In[0].DType, f.In[1].DType)) },
	Eval: func(c *Call) error {
		y, dims, err := product2(c, ints64(c.In[0]), c.In[0].Shape, ints64(c.In[1]), c.In[1].Shape)
		if err != nil {
			return err
		}
		if c.Out[0], err = c.make(wide16(c.In[0].DType, c.In[1].DType), dims); err != nil {
			return err
		}
		for i, v := range y {
			c.Out[0].SetInt64(i, v)
		}
		return nil
	}}

func wide16(a, b model.DType) model.DType {
	switch {
	case a == model.Undefined || b == model.Undefined:
		return model.Undefined
	case a == model.Uint16 && b == model.Uint16:
		return model.Uint32
	}
	return model.Int32
}
