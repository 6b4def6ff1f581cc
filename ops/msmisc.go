package ops

import (
	little "encoding/binary"
	"math/bits"

	"fettle/model"
)

// msMiscOps: operators that ONNX Runtime had before the standard, or has for itself.
func msMiscOps() []*Def {
	pad := borrowed(padDef, 13)
	pad.In = append([]Port{}, pad.In[:3]...)
	pad.In[1].Opt = false
	rng := borrowed(rangeDef, 11)
	return []*Def{borrowed(triluDef, 14), borrowed(gatherNDDef, 12), pad, gridSample16(), defaultDelta(rng), uniqueFirstDef, expandDimsDef, unfoldDef, embeddingDef,
		cropAndResizeDef, murmurDef,
		{Name: "SampleOp", Domain: microsoft, Since: []int{1}, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Numeric}, Infer: inferSame,
			Eval: func(c *Call) error { c.Out[0] = c.In[0]; return nil }}}
}

// gridSample16 has the names of modes that the standard had first.
func gridSample16() *Def {
	d := borrowed(gridSampleDef, 16)
	d.Attrs = append([]AttrSpec{}, d.Attrs...)
	for i := range d.Attrs {
		if d.Attrs[i].Name == "mode" {
			d.Attrs[i].Default, d.Attrs[i].Enum = "bilinear", []string{"bilinear", "nearest", "bicubic"}
		}
	}
	return d
}

// defaultDelta is a Range whose step may be left out: then it is 1.
func defaultDelta(std *Def) *Def {
	d := *std
	d.In = append([]Port{}, std.In...)
	d.In[2].Opt = true
	one := func(t model.DType) *model.Tensor {
		v := model.NewTensor(t)
		v.SetFloat64(0, 1)
		return v
	}
	three := func(n *model.Node) *model.Node {
		m := *n
		m.Inputs = append(append([]string{}, n.Inputs[:2]...), "delta")
		return &m
	}
	d.Infer = func(f *Inference) error {
		if f.Has(2) {
			return std.Infer(f)
		}
		g := *f
		g.Node = three(f.Node)
		g.In = append(append([]model.Type{}, f.In[:2]...), model.TensorType(f.In[0].DType, model.Shape{}))
		g.Const = func(i int) *model.Tensor {
			if i == 2 && f.In[0].DType != model.Undefined {
				return one(f.In[0].DType)
			}
			if i == 2 || f.Const == nil {
				return nil
			}
			return f.Const(i)
		}
		return std.Infer(&g)
	}
	d.Eval = func(c *Call) error {
		if c.Has(2) {
			return std.Eval(c)
		}
		g := *c
		g.Node = three(c.Node)
		g.In = append(append([]*model.Tensor{}, c.In[:2]...), one(c.In[0].DType))
		return std.Eval(&g)
	}
	return &d
}

// uniqueFirstDef: the different elements in the order in which they come, where each element's is, and how many there are.
var uniqueFirstDef = &Def{Name: "Unique", Domain: microsoft, Since: []int{1}, In: []Port{{Name: "x", Type: "T"}}, Out: []Port{{Name: "y"}, {Name: "idx"}, {Name: "counts"}}, Types: map[string]Set{"T": Any &^ (Complex | Float8s | Int4s | 1<<model.Float4E2M1)},
	Infer: func(f *Inference) error {
		if err := f.ranked(0, 1, 1); err != nil {
			return err
		}
		f.Out[0] = model.TensorType(f.In[0].DType, model.Shape{model.Sym("")})
		for i := 1; i < len(f.Out); i++ {
			f.Out[i] = model.TensorType(model.Int64, model.Shape{model.Sym("")})
			if i == 1 && f.In[0].Ranked {
				f.Out[i].Shape = f.In[0].Shape
			}
		}
		return nil
	},
	Eval: func(c *Call) error {
		g := &Call{Node: &model.Node{ID: c.Node.ID, Op: c.Node.Op, Outputs: []string{"y", "", "inverse", "counts"}, Attrs: []model.Attr{model.IntAttr("sorted", 0), model.IntAttr("axis", 0)}},
			Def: uniqueDef, Opset: 11, In: c.In, Out: make([]*model.Tensor, 4), Limit: c.Limit}
		err := uniqueDef.Eval(g)
		for i, k := range []int{0, 2, 3} {
			if i < len(c.Out) {
				c.Out[i] = g.Out[k]
			}
		}
		return err
	}}

// expandDimsDef puts a dimension of 1 in at an axis; negative ones count from behind the last.
var expandDimsDef = &Def{Name: "ExpandDims", Domain: microsoft, Since: []int{1}, In: []Port{{Name: "X", Type: "T"}, {Name: "axis", Type: "int32"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Any},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if err := f.single(1); err != nil || !f.In[0].Ranked {
			return err
		}
		s := f.In[0].Shape
		f.Out[0] = model.TensorType(f.In[0].DType, unknownDims(len(s)+1))
		if t := f.Value(1); t != nil && t.Len() == 1 {
			a, ok := axisOf(t.Int64At(0), len(s)+1)
			if !ok {
				return f.Bad("axis %d of rank %d", t.Int64At(0), len(s))
			}
			f.Out[0].Shape = unsqueezed(s, []int{a})
		}
		return nil
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		a, ok := axisOf(c.In[1].Int64At(0), len(x.Shape)+1)
		if !ok {
			return c.Bad("axis %d of rank %d", c.In[1].Int64At(0), len(x.Shape))
		}
		c.Out[0] = x.Reshaped(append(append(append([]int{}, x.Shape[:a]...), 1), x.Shape[a:]...)...)
		return nil
	}}

// unfoldDef cuts windows of size out of a dimension, every step elements; the windows' dimension comes last.
var unfoldDef = &Def{Name: "UnfoldTensor", Domain: microsoft, Since: []int{1}, In: []Port{{Name: "input", Type: "T"}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Any},
	Attrs: []AttrSpec{{Name: "dim", Type: model.AttrInt, Default: int64(-1)}, {Name: "size", Type: model.AttrInt, Required: true}, {Name: "step", Type: model.AttrInt, Default: int64(1)}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if !f.In[0].Ranked {
			return nil
		}
		s := append(append(model.Shape{}, f.In[0].Shape...), model.Sym(""))
		axis, ok := axisOf(f.Int("dim"), len(s)-1)
		size, step := f.Int("size"), f.Int("step")
		if !ok || size < 1 || step < 1 || size > maxDim || step > maxDim {
			return f.Bad("windows of %d every %d along dimension %d of %s", size, step, f.Int("dim"), f.In[0].Shape)
		}
		s[len(s)-1] = model.Fixed(int(size))
		if d := s[axis]; d.Known() {
			if int64(d.N) < size {
				return f.BadAttr("size", "is %d, the dimension has %d", size, d.N)
			}
			s[axis] = model.Fixed((d.N-int(size))/int(step) + 1)
		} else {
			s[axis] = model.Sym("")
		}
		f.Out[0] = model.TensorType(f.In[0].DType, s)
		return nil
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		axis, _ := axisOf(c.Int("dim"), len(x.Shape))
		size, step := int(c.Int("size")), int(c.Int("step"))
		st := strideOf(x.Shape)
		p := pick{src: x, dims: append(append([]int{}, x.Shape...), size), strides: append(append([]int{}, st...), st[axis])}
		p.dims[axis], p.strides[axis] = (x.Shape[axis]-size)/step+1, st[axis]*step
		return c.gather(p)
	}}

// embeddingDef gathers rows of a table; its other inputs are for training.
var embeddingDef = &Def{Name: "TorchEmbedding", Domain: microsoft, Since: []int{1}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Numeric},
	In: []Port{{Name: "weight", Type: "T"}, {Name: "indices", Type: "int64"}, {Name: "padding_idx", Type: "int64", Opt: true}, {Name: "scale_grad_by_freq", Type: "bool", Opt: true}},
	Infer: func(f *Inference) error {
		if err := f.ranked(0, 2, 2); err != nil {
			return err
		}
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if f.In[0].Ranked && f.In[1].Ranked {
			f.Out[0] = model.TensorType(f.In[0].DType, append(append(model.Shape{}, f.In[1].Shape...), f.In[0].Shape[1]))
		}
		return nil
	},
	Eval: func(c *Call) error {
		w, n := c.In[0], c.In[0].Shape[1]
		at, err := c.places(c.In[1], w.Shape[0])
		if err != nil {
			return err
		}
		y, err := c.make(w.DType, append(append([]int{}, c.In[1].Shape...), n))
		if err != nil {
			return err
		}
		for i, k := range at {
			copyRun(y, i*n, w, k*n, n)
		}
		c.Out[0] = y
		return nil
	}}

// cropAndResizeDef reads boxes [y1, x1, y2, x2], in parts of height and width, of pictures into one size.
var cropAndResizeDef = &Def{Name: "CropAndResize", Domain: microsoft, Since: []int{1}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T1": Set(1<<model.Float32 | 1<<model.Float64 | 1<<model.Float16)}, Exact: Rounding,
	In:    []Port{{Name: "X", Type: "T1"}, {Name: "rois", Type: "T1"}, {Name: "batch_indices", Type: "int32"}, {Name: "crop_size", Type: "int32"}},
	Attrs: []AttrSpec{{Name: "mode", Type: model.AttrString, Default: "bilinear", Enum: []string{"bilinear", "nearest"}}, {Name: "extrapolation_value", Type: model.AttrFloat, Default: float32(0)}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if err := f.ranked(0, 4, 4); err != nil {
			return err
		}
		if err := f.shaped(1, -1, 4); err != nil {
			return err
		}
		if err := f.shaped(3, 2); err != nil {
			return err
		}
		if !f.In[0].Ranked || !f.In[1].Ranked {
			return nil
		}
		if err := f.shaped(2, dimNumber(f.In[1].Shape[0])); err != nil {
			return err
		}
		s := model.Shape{f.In[1].Shape[0], f.In[0].Shape[1], model.Sym(""), model.Sym("")}
		if t := f.Value(3); t != nil {
			for i := range 2 {
				n := t.Int64At(i)
				if n < 1 || n > 1<<24 {
					return f.Bad("crop_size %v", ints64(t))
				}
				s[2+i] = model.Fixed(int(n))
			}
		}
		f.Out[0] = model.TensorType(f.In[0].DType, s)
		return nil
	},
	Eval: func(c *Call) error {
		x, boxes := c.In[0], c.In[1]
		h, w := x.Shape[2], x.Shape[3]
		oh, ow := c.In[3].Int64At(0), c.In[3].Int64At(1)
		if oh < 1 || ow < 1 || oh > 1<<24 || ow > 1<<24 {
			return c.Bad("crop_size %v", ints64(c.In[3]))
		}
		y, err := c.make(x.DType, []int{boxes.Shape[0], x.Shape[1], int(oh), int(ow)})
		if err != nil {
			return err
		}
		v := toFloat64(x)
		at := 0
		side := func(b, k int) float32 { return float32(boxes.Float64At(b*4 + k)) }
		for b := range boxes.Shape[0] {
			picture := c.In[2].Int64At(b)
			if picture < 0 || picture >= int64(x.Shape[0]) {
				return c.Bad("box %d is of picture %d of %d", b, picture, x.Shape[0])
			}
			ys := cropPlaces(side(b, 0), side(b, 2), h, int(oh))
			xs := cropPlaces(side(b, 1), side(b, 3), w, int(ow))
			for ch := range x.Shape[1] {
				plane := v[(int(picture)*x.Shape[1]+ch)*h*w:]
				for _, py := range ys {
					for _, px := range xs {
						y.SetFloat64(at, cropSample(plane, h, w, py, px, c.Str("mode") == "nearest", float64(c.Float("extrapolation_value"))))
						at++
					}
				}
			}
		}
		c.Out[0] = y
		return nil
	}}

// cropPlaces spreads n places from a to b of a side; one place is its middle. It reckons in float32, as a place between two
// pixels decides which is the nearest.
func cropPlaces(a, b float32, side, n int) []float64 {
	out := make([]float64, n)
	last := float32(side - 1)
	for i := range out {
		p := 0.5 * (a + b) * last
		if n > 1 {
			p = a*last + float32(i)*((b-a)*last/float32(n-1))
		}
		out[i] = float64(p)
	}
	return out
}

func cropSample(p []float64, h, w int, y, x float64, nearest bool, outside float64) float64 {
	if !(y >= 0 && y <= float64(h-1) && x >= 0 && x <= float64(w-1)) {
		return outside
	}
	if nearest {
		return p[int(y+0.5)*w+int(x+0.5)]
	}
	y0, x0 := int(y), int(x)
	y1, x1 := min(y0+1, h-1), min(x0+1, w-1)
	fy, fx := y-float64(y0), x-float64(x0)
	top := p[y0*w+x0] + fx*(p[y0*w+x1]-p[y0*w+x0])
	low := p[y1*w+x0] + fx*(p[y1*w+x1]-p[y1*w+x0])
	return top + fy*(low-top)
}

// murmurDef is MurmurHash3_x86_32 of each element's bytes.
var murmurDef = &Def{Name: "MurmurHash3", Domain: microsoft, Since: []int{1}, In: []Port{{Name: "X", Type: "T1"}}, Out: []Port{{Name: "Y"}},
	Types: map[string]Set{"T1": Set(1<<model.Int32|1<<model.Uint32|1<<model.Int64|1<<model.Uint64|1<<model.Float32|1<<model.Float64) | Text},
	Attrs: []AttrSpec{{Name: "positive", Type: model.AttrInt, Default: int64(1)}, {Name: "seed", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		f.Out[0] = f.In[0]
		f.Out[0].DType = model.Int32
		if f.Int("positive") == 1 {
			f.Out[0].DType = model.Uint32
		}
		return nil
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		d := model.Int32
		if c.Int("positive") == 1 {
			d = model.Uint32
		}
		y, err := c.make(d, x.Shape)
		if err != nil {
			return err
		}
		size := x.DType.Bits() / 8
		for i := range x.Len() {
			var b []byte
			if x.DType == model.String {
				b = []byte(x.Strs[i])
			} else {
				b = x.Raw[i*size:][:size]
			}
			little.LittleEndian.PutUint32(y.Raw[4*i:], murmur(b, uint32(c.Int("seed"))))
		}
		c.Out[0] = y
		return nil
	}}

// murmur is MurmurHash3_x86_32. Source: Austin Appleby, MurmurHash3, in the public domain.
func murmur(b []byte, h uint32) uint32 {
	n := uint32(len(b))
	mix := func(k uint32) uint32 { return bits.RotateLeft32(k*0xcc9e2d51, 15) * 0x1b873593 }
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h^mix(little.LittleEndian.Uint32(b)), 13)*5 + 0xe6546b64
	}
	var tail uint32
	for i := len(b) - 1; i >= 0; i-- {
		tail = tail<<8 | uint32(b[i])
	}
	h ^= mix(tail) // of nothing it is nothing
	h ^= n
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}
