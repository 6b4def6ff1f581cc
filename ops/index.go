package ops

import (
	"fettle/model"
)

// indexOps: operators that take elements or slices by their places.
func indexOps() []*Def {
	return []*Def{sliceDef, gatherDef, gatherElementsDef, gatherNDDef, compressDef, reverseSequenceDef}
}

// sliceDef: starts, ends and axes are attributes before opset 10 and inputs, with steps, since.
var sliceDef = &Def{Name: "Slice", Since: []int{1, 10, 11, 13}, In: []Port{{Name: "data", Type: "T"}, {Name: "starts", Type: "Tind", Opt: true}, {Name: "ends", Type: "Tind", Opt: true},
	{Name: "axes", Type: "Tind", Opt: true}, {Name: "steps", Type: "Tind", Opt: true}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Any, "Tind": Index},
	Attrs: []AttrSpec{{Name: "starts", Type: model.AttrInts, Until: 10}, {Name: "ends", Type: model.AttrInts, Until: 10}, {Name: "axes", Type: model.AttrInts, Until: 10}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if !f.In[0].Ranked {
			return nil
		}
		rank := len(f.In[0].Shape)
		s, why := slicingOf(f.Node, f.Has, f.Value, rank)
		if why != "" {
			return f.Bad("%s", why)
		}
		out := append(model.Shape{}, f.In[0].Shape...)
		if s == nil {
			for i := range out {
				out[i] = model.Sym("")
			}
			f.Out[0] = model.TensorType(f.In[0].DType, out)
			return nil
		}
		for i, a := range s.axes {
			d := out[a]
			switch {
			case d.Known():
				_, n := span(d.N, s.starts[i], s.ends[i], s.steps[i])
				out[a] = model.Fixed(n)
			case s.starts[i] == 0 && s.steps[i] == 1 && s.ends[i] >= 1<<31-1:
				// All of it, as exporters write "to the end".
			default:
				out[a] = model.Sym("")
			}
		}
		f.Out[0] = model.TensorType(f.In[0].DType, out)
		return nil
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		s, why := slicingOf(c.Node, c.Has, c.opt, len(x.Shape))
		if why != "" {
			return c.Bad("%s", why)
		}
		p := pick{src: x, dims: append([]int(nil), x.Shape...), strides: strideOf(x.Shape)}
		for i, a := range s.axes {
			start, n := span(x.Shape[a], s.starts[i], s.ends[i], s.steps[i])
			p.start += start * p.strides[a]
			p.dims[a] = n
			p.strides[a] *= int(boundStep(s.steps[i], x.Shape[a]))
		}
		return c.gather(p)
	}}

type slicing struct {
	axes                []int
	starts, ends, steps []int64
}

// slicingOf reads the parameters of a Slice of rank dimensions: nil where a value is not known yet, a reason where they are wrong.
func slicingOf(n *model.Node, has func(int) bool, value func(int) *model.Tensor, rank int) (*slicing, string) {
	s := &slicing{starts: n.Ints("starts"), ends: n.Ints("ends")}
	axes := n.Ints("axes")
	for i, to := range []*[]int64{1: &s.starts, 2: &s.ends, 3: &axes, 4: &s.steps} {
		if to == nil || !has(i) {
			continue
		}
		t := value(i)
		if t == nil {
			return nil, ""
		}
		if *to = ints64(t); len(*to) > rank {
			return nil, "there are more slices than dimensions"
		}
	}
	if s.starts == nil || s.ends == nil || len(s.starts) != len(s.ends) {
		return nil, "starts and ends are not lists of one length"
	}
	if axes == nil {
		for i := range s.starts {
			axes = append(axes, int64(i))
		}
	}
	if s.steps == nil {
		for range s.starts {
			s.steps = append(s.steps, 1)
		}
	}
	if len(axes) != len(s.starts) || len(s.steps) != len(s.starts) {
		return nil, "axes or steps are not as many as starts"
	}
	for _, k := range s.steps {
		if k == 0 {
			return nil, "a step is 0"
		}
	}
	var ok bool
	if s.axes, ok = axesOf(axes, rank); !ok {
		return nil, "the axes are not distinct dimensions of the input"
	}
	return s, ""
}

// boundStep brings a step into a range where products with places do not overflow; one beyond the size takes one element anyway.
func boundStep(step int64, n int) int64 { return min(max(step, -int64(n)-1), int64(n)+1) }

// span is the first element and the number of elements that start:end:step takes of n.
func span(n int, start, end, step int64) (first, count int) {
	size := int64(n)
	step = boundStep(step, n)
	if start < 0 {
		start += size
	}
	if end < 0 {
		end += size
	}
	var k int64
	if step > 0 {
		start, end = min(max(start, 0), size), min(max(end, 0), size)
		k = (end - start + step - 1) / step
	} else {
		start, end = min(max(start, 0), size-1), min(max(end, -1), size-1)
		k = (start - end - step - 1) / -step
	}
	if k <= 0 {
		return 0, 0
	}
	return int(start), int(k)
}

// axisAttr is attribute axis of the first input, which must be ranked.
func (f *Inference) axisAttr() (int, error) {
	a, ok := axisOf(f.Int("axis"), len(f.In[0].Shape))
	if !ok {
		return 0, f.BadAttr("axis", "is %d, the input has rank %d", f.Int("axis"), len(f.In[0].Shape))
	}
	return a, nil
}

// axisAttr is attribute axis of the first input.
func (c *Call) axisAttr() (int, error) {
	a, ok := axisOf(c.Int("axis"), len(c.In[0].Shape))
	if !ok {
		return 0, c.badAttr("axis", "is %d, the input has rank %d", c.Int("axis"), len(c.In[0].Shape))
	}
	return a, nil
}

// places reads indices into a dimension of n elements, negative ones from the back.
func (c *Call) places(t *model.Tensor, n int) ([]int, error) {
	out := make([]int, t.Len())
	for i := range out {
		v, ok := axisOf(t.Int64At(i), n)
		if !ok {
			return nil, c.Bad("index %d of a dimension of %d", t.Int64At(i), n)
		}
		out[i] = v
	}
	return out, nil
}

var gatherDef = &Def{Name: "Gather", Since: []int{1, 11, 13}, In: []Port{{Name: "data", Type: "T"}, {Name: "indices", Type: "Tind"}}, Out: []Port{{Name: "output"}},
	Types: map[string]Set{"T": Any, "Tind": Index}, Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if !f.In[0].Ranked {
			return nil
		}
		a, err := f.axisAttr()
		if err != nil || !f.In[1].Ranked {
			return err
		}
		s := append(model.Shape{}, f.In[0].Shape[:a]...)
		s = append(append(s, f.In[1].Shape...), f.In[0].Shape[a+1:]...)
		f.Out[0] = model.TensorType(f.In[0].DType, s)
		return nil
	},
	Eval: func(c *Call) error {
		x, idx := c.In[0], c.In[1]
		a, err := c.axisAttr()
		if err != nil {
			return err
		}
		at, err := c.places(idx, x.Shape[a])
		if err != nil {
			return err
		}
		dims := append([]int{}, x.Shape[:a]...)
		y, err := c.make(x.DType, append(append(dims, idx.Shape...), x.Shape[a+1:]...))
		if err != nil {
			return err
		}
		c.Out[0] = y
		if y.Len() == 0 {
			return nil
		}
		outer, inner := product(x.Shape[:a]), product(x.Shape[a+1:])
		for o := range outer {
			for k, i := range at {
				copyRun(y, (o*len(at)+k)*inner, x, (o*x.Shape[a]+i)*inner, inner)
			}
		}
		return nil
	}}

var gatherElementsDef = &Def{Name: "GatherElements", Since: []int{11, 13}, In: []Port{{Name: "data", Type: "T"}, {Name: "indices", Type: "Tind"}}, Out: []Port{{Name: "output"}},
	Types: map[string]Set{"T": Any, "Tind": Index}, Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType, Ranked: f.In[1].Ranked, Shape: f.In[1].Shape}
		return inferElements(f, f.In[1])
	},
	Eval: func(c *Call) error {
		x, idx := c.In[0], c.In[1]
		off, err := c.elements(idx)
		if err != nil {
			return err
		}
		y, err := c.make(x.DType, idx.Shape)
		if err != nil {
			return err
		}
		for i, o := range off {
			copyElem(y, i, x, o)
		}
		c.Out[0] = y
		return nil
	}}

// inferElements checks the indices of GatherElements and ScatterElements against the data.
func inferElements(f *Inference, idx model.Type) error {
	x := f.In[0]
	if !x.Ranked {
		return nil
	}
	a, err := f.axisAttr()
	if err != nil || !idx.Ranked {
		return err
	}
	if len(idx.Shape) != len(x.Shape) {
		return f.Bad("the indices have rank %d, the data %d", len(idx.Shape), len(x.Shape))
	}
	for k, d := range idx.Shape {
		if k != a && d.Known() && x.Shape[k].Known() && d.N > x.Shape[k].N {
			return f.Bad("the indices %s reach beyond the data %s", idx.Shape, x.Shape)
		}
	}
	return nil
}

// elements gives for each index the flat place in the data: its own place with the index along the axis.
func (c *Call) elements(idx *model.Tensor) ([]int, error) {
	x := c.In[0]
	a, err := c.axisAttr()
	if err != nil {
		return nil, err
	}
	if len(idx.Shape) != len(x.Shape) {
		return nil, c.Bad("the indices have rank %d, the data %d", len(idx.Shape), len(x.Shape))
	}
	out, err := c.places(idx, x.Shape[a])
	if err != nil {
		return nil, err
	}
	st := strideOf(x.Shape)
	along := st[a]
	st[a] = 0
	w := newWalk(idx.Shape, st)
	for i := range out {
		out[i] = out[i]*along + w.off[0]
		w.next()
	}
	return out, nil
}

var gatherNDDef = &Def{Name: "GatherND", Since: []int{11, 12, 13}, In: []Port{{Name: "data", Type: "T"}, {Name: "indices", Type: "int64"}}, Out: []Port{{Name: "output"}},
	Types: map[string]Set{"T": Any}, Attrs: []AttrSpec{{Name: "batch_dims", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		x, idx := f.In[0], f.In[1]
		f.Out[0] = model.Type{DType: x.DType}
		if !x.Ranked || !idx.Ranked {
			return nil
		}
		b, q := f.Int("batch_dims"), len(idx.Shape)
		if b < 0 || b >= int64(q) || b > int64(len(x.Shape)) {
			return f.BadAttr("batch_dims", "is %d, the data has rank %d and the indices %d", b, len(x.Shape), q)
		}
		for i := range int(b) {
			if d, e := x.Shape[i], idx.Shape[i]; d.Known() && e.Known() && d.N != e.N {
				return f.BadAttr("batch_dims", "dimension %d is %d in the data and %d in the indices", i, d.N, e.N)
			}
		}
		n := idx.Shape[q-1]
		if !n.Known() {
			return nil
		}
		if n.N < 1 || n.N > len(x.Shape)-int(b) {
			return f.Bad("indices of %d numbers for data of rank %d", n.N, len(x.Shape))
		}
		s := append(model.Shape{}, idx.Shape[:q-1]...)
		f.Out[0] = model.TensorType(x.DType, append(s, x.Shape[int(b)+n.N:]...))
		return nil
	},
	Eval: func(c *Call) error {
		x, idx, b := c.In[0], c.In[1], int(c.Int("batch_dims"))
		q := len(idx.Shape)
		n := idx.Shape[q-1]
		off, err := c.tuples(idx, x.Shape[b:b+n])
		if err != nil {
			return err
		}
		dims := append([]int{}, idx.Shape[:q-1]...)
		y, err := c.make(x.DType, append(dims, x.Shape[b+n:]...))
		if err != nil {
			return err
		}
		c.Out[0] = y
		if y.Len() == 0 {
			return nil
		}
		unit := product(x.Shape[b+n:])
		each := len(off) / product(x.Shape[:b]) // tuples of one batch
		size := product(x.Shape[b : b+n])
		for i, o := range off {
			copyRun(y, i*unit, x, (i/each*size+o)*unit, unit)
		}
		return nil
	}}

// tuples reads the last dimension of idx as places in dims and gives them flat.
func (c *Call) tuples(idx *model.Tensor, dims []int) ([]int, error) {
	n, st := len(dims), strideOf(dims)
	out := make([]int, idx.Len()/n)
	for i := range out {
		for k, d := range dims {
			v, ok := axisOf(idx.Int64At(i*n+k), d)
			if !ok {
				return nil, c.Bad("index %d of a dimension of %d", idx.Int64At(i*n+k), d)
			}
			out[i] += v * st[k]
		}
	}
	return out, nil
}

var compressDef = &Def{Name: "Compress", Since: []int{9, 11}, In: []Port{{Name: "input", Type: "T"}, {Name: "condition", Type: "bool"}}, Out: []Port{{Name: "output"}},
	Types: map[string]Set{"T": Any}, Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.TensorType(f.In[0].DType, model.Shape{model.Sym("")})
		if err := f.ranked(1, 1, 1); err != nil || f.Node.Attr("axis") == nil {
			return err
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
		at := make([][]int, len(x.Shape))
		dims := append([]int{}, x.Shape...)
		for i, v := range c.In[1].Raw {
			if v == 0 {
				continue
			}
			if i >= x.Shape[a] {
				return c.Bad("the condition takes element %d of %d", i, x.Shape[a])
			}
			at[a] = append(at[a], i)
		}
		dims[a] = len(at[a])
		y, err := c.make(x.DType, dims)
		if err != nil {
			return err
		}
		c.Out[0] = y
		if y.Len() == 0 {
			return nil
		}
		for k := range at {
			if k != a {
				at[k] = upTo(x.Shape[k])
			}
		}
		mapAxes(y, x, at)
		return nil
	}}

// upTo is 0, 1, ... n-1.
func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

var reverseSequenceDef = &Def{Name: "ReverseSequence", Since: []int{10}, In: []Port{{Name: "input", Type: "T"}, {Name: "sequence_lens", Type: "int64"}}, Out: []Port{{Name: "Y"}},
	Types: map[string]Set{"T": Any}, Attrs: []AttrSpec{{Name: "batch_axis", Type: model.AttrInt, Default: int64(1)}, {Name: "time_axis", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		if err := f.ranked(0, 2, anyRank); err != nil {
			return err
		}
		if err := f.ranked(1, 1, 1); err != nil {
			return err
		}
		b, t := f.Int("batch_axis"), f.Int("time_axis")
		if b < 0 || b > 1 || t != 1-b {
			return f.BadAttr("batch_axis", "batch_axis %d and time_axis %d: one is 0 and the other 1", b, t)
		}
		if s := f.In[0].Shape; f.In[0].Ranked && f.In[1].Ranked {
			if n := f.In[1].Shape[0]; n.Known() && s[b].Known() && n.N != s[b].N {
				return f.Bad("%d lengths for a batch of %d", n.N, s[b].N)
			}
		}
		return inferSame(f)
	},
	Eval: func(c *Call) error {
		x, b := c.In[0], int(c.Int("batch_axis"))
		y, err := c.make(x.DType, x.Shape)
		if err != nil {
			return err
		}
		inner := product(x.Shape[2:])
		for i := range x.Shape[b] {
			n := c.In[1].Int64At(i)
			if n < 0 || n > int64(x.Shape[1-b]) {
				return c.Bad("length %d of sequences of %d", n, x.Shape[1-b])
			}
			for t := range x.Shape[1-b] {
				s := t
				if t < int(n) {
					s = int(n) - 1 - t
				}
				from, to := (i*x.Shape[1]+s)*inner, (i*x.Shape[1]+t)*inner
				if b == 1 {
					from, to = (s*x.Shape[1]+i)*inner, (t*x.Shape[1]+i)*inner
				}
				copyRun(y, to, x, from, inner)
			}
		}
		c.Out[0] = y
		return nil
	}}
