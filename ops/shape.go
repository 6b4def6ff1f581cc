package ops

import (
	"fettle/internal/fail"
	"fettle/model"
)

// shapeOps: operators that change only the form of a tensor, or make one from a form.
func shapeOps() []*Def {
	any := map[string]Set{"T": Any}
	x := []Port{{Name: "data", Type: "T"}}
	y := []Port{{Name: "output"}}
	return []*Def{
		{Name: "Shape", Since: []int{1, 13, 15, 19, 21, 23, 24}, In: x, Out: y, Types: any,
			Attrs: []AttrSpec{{Name: "start", Type: model.AttrInt, Default: int64(0)}, {Name: "end", Type: model.AttrInt}},
			Infer: func(f *Inference) error {
				f.Out[0] = model.TensorType(model.Int64, model.Shape{model.Sym("")})
				if f.In[0].Ranked {
					a, b := ShapeRange(f.Node, len(f.In[0].Shape))
					f.Out[0].Shape[0] = model.Fixed(b - a)
				}
				return nil
			},
			Eval: func(c *Call) error {
				a, b := ShapeRange(c.Node, len(c.In[0].Shape))
				v := []int64{}
				for _, d := range c.In[0].Shape[a:b] {
					v = append(v, int64(d))
				}
				c.Out[0] = model.Int64s(v...)
				return nil
			}},
		{Name: "Size", Since: []int{1, 13, 19, 21, 23, 24}, In: x, Out: y, Types: any,
			Infer: func(f *Inference) error { f.Out[0] = model.TensorType(model.Int64, model.Shape{}); return nil },
			Eval: func(c *Call) error {
				c.Out[0] = model.FromSlice(model.Int64, []int64{int64(c.In[0].Len())})
				return nil
			}},
		{Name: "Reshape", Since: []int{1, 5, 13, 14, 19, 21, 23, 24}, In: []Port{{Name: "data", Type: "T"}, {Name: "shape", Type: "int64", Opt: true}}, Out: y, Types: any,
			Attrs: []AttrSpec{{Name: "allowzero", Type: model.AttrInt, Default: int64(0)}, {Name: "shape", Type: model.AttrInts, Until: 5}}, Infer: inferReshape,
			Eval: func(c *Call) error {
				want := c.Node.Ints("shape")
				if c.Has(1) {
					want = ints64(c.In[1])
				}
				dims, err := reshaped(c.In[0].Shape, want, c.Int("allowzero") != 0)
				if err != nil {
					return fail.In(err, "", fail.Where{Node: string(c.Node.ID), Op: c.Node.Op})
				}
				c.Out[0] = c.In[0].Reshaped(dims...)
				return nil
			}},
		{Name: "Flatten", Since: []int{1, 9, 11, 13, 21, 23, 24}, In: x, Out: y, Types: any, Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Default: int64(1)}},
			Infer: func(f *Inference) error {
				f.Out[0] = model.Type{DType: f.In[0].DType}
				if !f.In[0].Ranked {
					return nil
				}
				s := f.In[0].Shape
				a := f.Int("axis")
				if a < 0 {
					a += int64(len(s))
				}
				if a < 0 || a > int64(len(s)) {
					return f.BadAttr("axis", "is %d, the input has rank %d", f.Int("axis"), len(s))
				}
				f.Out[0] = model.TensorType(f.In[0].DType, model.Shape{productDim(s[:a]), productDim(s[a:])})
				return nil
			},
			Eval: func(c *Call) error {
				s := c.In[0].Shape
				a := c.Int("axis")
				if a < 0 {
					a += int64(len(s))
				}
				if a < 0 || a > int64(len(s)) {
					return c.Bad("axis %d of rank %d", a, len(s))
				}
				c.Out[0] = c.In[0].Reshaped(product(s[:a]), product(s[a:]))
				return nil
			}},
		{Name: "Squeeze", Since: []int{1, 11, 13, 21, 23, 24}, In: []Port{{Name: "data", Type: "T"}, {Name: "axes", Type: "int64", Opt: true}}, Out: y, Types: any,
			Attrs: []AttrSpec{{Name: "axes", Type: model.AttrInts, Until: 13}}, Infer: inferSqueeze,
			Eval: func(c *Call) error {
				dims, err := squeezed(c.In[0].Shape, axesAttrOrInput(c.Node, c.opt(1)))
				if err != nil {
					return fail.In(err, "", fail.Where{Node: string(c.Node.ID), Op: c.Node.Op})
				}
				c.Out[0] = c.In[0].Reshaped(dims...)
				return nil
			}},
		{Name: "Unsqueeze", Since: []int{1, 11, 13, 21, 23, 24}, In: []Port{{Name: "data", Type: "T"}, {Name: "axes", Type: "int64", Opt: true}}, Out: y, Types: any,
			Attrs: []AttrSpec{{Name: "axes", Type: model.AttrInts, Until: 13}},
			Infer: func(f *Inference) error {
				f.Out[0] = model.Type{DType: f.In[0].DType}
				axes, known := inferAxes(f, 1)
				if !known || !f.In[0].Ranked {
					return nil
				}
				rank := len(f.In[0].Shape) + len(axes)
				at, ok := axesOf(axes, rank)
				if !ok {
					return f.Bad("axes %v are not distinct places of rank %d", axes, rank)
				}
				f.Out[0] = model.TensorType(f.In[0].DType, unsqueezed(f.In[0].Shape, at))
				return nil
			},
			Eval: func(c *Call) error {
				axes := axesAttrOrInput(c.Node, c.opt(1))
				at, ok := axesOf(axes, len(c.In[0].Shape)+len(axes))
				if !ok {
					return c.Bad("axes %v of rank %d", axes, len(c.In[0].Shape)+len(axes))
				}
				dims, _ := unsqueezed(model.FixedShape(c.In[0].Shape...), at).Ints()
				c.Out[0] = c.In[0].Reshaped(dims...)
				return nil
			}},
		{Name: "Transpose", Since: []int{1, 13, 21, 23, 24}, In: x, Out: y, Types: any, Attrs: []AttrSpec{{Name: "perm", Type: model.AttrInts}},
			Infer: func(f *Inference) error {
				f.Out[0] = model.Type{DType: f.In[0].DType}
				if !f.In[0].Ranked {
					return nil
				}
				perm, ok := permutation(f.Ints("perm"), len(f.In[0].Shape))
				if !ok {
					return f.BadAttr("perm", "%v is no permutation of %d dimensions", f.Ints("perm"), len(f.In[0].Shape))
				}
				s := make(model.Shape, len(perm))
				for i, p := range perm {
					s[i] = f.In[0].Shape[p]
				}
				f.Out[0] = model.TensorType(f.In[0].DType, s)
				return nil
			},
			Eval: func(c *Call) error {
				perm, ok := permutation(c.Ints("perm"), len(c.In[0].Shape))
				if !ok {
					return c.Bad("perm %v of rank %d", c.Ints("perm"), len(c.In[0].Shape))
				}
				return c.gather(permuted(c.In[0], perm))
			}},
		concatDef, splitDef, expandDef, tileDef, constantOfShapeDef, rangeDef, triluDef, eyeLikeDef, depthToSpaceDef, spaceToDepthDef, dropoutDef,
	}
}

func permuted(x *model.Tensor, perm []int) pick {
	st := strideOf(x.Shape)
	p := pick{src: x, dims: make([]int, len(perm)), strides: make([]int, len(perm))}
	for i, k := range perm {
		p.dims[i], p.strides[i] = x.Shape[k], st[k]
	}
	return p
}

func permutation(perm []int64, rank int) ([]int, bool) {
	if perm == nil {
		out := make([]int, rank)
		for i := range out {
			out[i] = rank - 1 - i
		}
		return out, true
	}
	out, ok := axesOf(perm, rank)
	return out, ok && len(out) == rank
}

// productDim multiplies dimensions; one symbol among ones stays.
func productDim(s model.Shape) model.Dim {
	n := 1
	var sym *model.Dim
	for i, d := range s {
		switch {
		case d.Known():
			n *= d.N
		case sym != nil:
			return model.Sym("")
		default:
			sym = &s[i]
		}
	}
	if sym != nil {
		if n == 1 {
			return *sym
		}
		return model.Sym("")
	}
	return model.Fixed(n)
}

func reshaped(in []int, want []int64, zero bool) ([]int, error) {
	out := make([]int, len(want))
	free, known := -1, 1
	for i, d := range want {
		switch {
		case d == -1 && free < 0:
			free = i
			continue
		case d == 0 && !zero:
			if i >= len(in) {
				return nil, fail.New(fail.Invalid, "shape %v keeps dimension %d of rank %d", want, i, len(in))
			}
			out[i] = in[i]
		case d < 0 || d > maxDim:
			return nil, fail.New(fail.Invalid, "shape %v has the dimension %d", want, d)
		default:
			out[i] = int(d)
		}
		known *= out[i]
	}
	n := product(in)
	if free >= 0 {
		if known == 0 || n%known != 0 {
			return nil, fail.New(fail.Invalid, "%d elements do not fill %v", n, want)
		}
		out[free] = n / known
		known *= out[free]
	}
	if c, err := model.Count(out); err != nil || c != n {
		return nil, fail.New(fail.Invalid, "%d elements do not fill %v", n, want)
	}
	return out, nil
}

func inferReshape(f *Inference) error {
	f.Out[0] = model.Type{DType: f.In[0].DType}
	want := f.Node.Ints("shape")
	if f.Has(1) {
		t := f.Value(1)
		if t == nil {
			if s := f.In[1].Shape; f.In[1].Ranked && len(s) == 1 && s[0].Known() {
				f.Out[0].Ranked = true
				for range s[0].N {
					f.Out[0].Shape = append(f.Out[0].Shape, model.Sym(""))
				}
			}
			return nil
		}
		want = ints64(t)
	} else if want == nil {
		return f.Bad("has no shape")
	}
	if dims, ok := f.In[0].Shape.Ints(); ok && f.In[0].Ranked {
		out, err := reshaped(dims, want, f.Int("allowzero") != 0)
		if err != nil {
			return err
		}
		f.Out[0] = model.TensorType(f.In[0].DType, model.FixedShape(out...))
		return nil
	}
	s := make(model.Shape, len(want))
	for i, d := range want {
		switch {
		case d > 0:
			s[i] = model.Fixed(int(d))
		case d == 0 && f.Int("allowzero") == 0 && f.In[0].Ranked && i < len(f.In[0].Shape):
			s[i] = f.In[0].Shape[i]
		default:
			s[i] = model.Sym("")
		}
	}
	// One free dimension that takes all of what is symbolic keeps the symbol: [N, 3, 8] to [-1, 24].
	if f.In[0].Ranked {
		free, rest := -1, 1
		for i, d := range want {
			if d == -1 {
				free = i
			} else if d > 0 {
				rest *= int(d)
			} else {
				free = -2
				break
			}
		}
		if free >= 0 {
			n, sym := 1, -1
			for i, d := range f.In[0].Shape {
				if d.Known() {
					n *= d.N
				} else if sym < 0 {
					sym = i
				} else {
					sym = -2
					break
				}
			}
			if sym >= 0 && n == rest {
				s[free] = f.In[0].Shape[sym]
			}
		}
	}
	f.Out[0] = model.TensorType(f.In[0].DType, s)
	return nil
}

// axesAttrOrInput reads axes from the attribute of old opsets or from an input.
func axesAttrOrInput(n *model.Node, t *model.Tensor) []int64 {
	if t != nil {
		return ints64(t)
	}
	return n.Ints("axes")
}

// inferAxes is axesAttrOrInput where the input may not be known.
func inferAxes(f *Inference, i int) ([]int64, bool) {
	if f.Has(i) {
		t := f.Value(i)
		if t == nil {
			return nil, false
		}
		return ints64(t), true
	}
	return f.Node.Ints("axes"), true
}

// squeezed drops the given axes, or all dimensions of 1 where none is given.
func squeezed(s []int, axes []int64) ([]int, error) {
	drop := make([]bool, len(s))
	if len(axes) > 0 {
		at, ok := axesOf(axes, len(s))
		if !ok {
			return nil, fail.New(fail.Invalid, "axes %v are not distinct places of rank %d", axes, len(s))
		}
		for _, a := range at {
			if s[a] != 1 {
				return nil, fail.New(fail.Invalid, "dimension %d is %d and cannot be squeezed", a, s[a])
			}
			drop[a] = true
		}
	} else {
		for i, d := range s {
			drop[i] = d == 1
		}
	}
	out := []int{}
	for i, d := range s {
		if !drop[i] {
			out = append(out, d)
		}
	}
	return out, nil
}

func inferSqueeze(f *Inference) error {
	f.Out[0] = model.Type{DType: f.In[0].DType}
	axes, known := inferAxes(f, 1)
	if !known || !f.In[0].Ranked {
		return nil
	}
	if dims, ok := f.In[0].Shape.Ints(); ok {
		out, err := squeezed(dims, axes)
		if err != nil {
			return err
		}
		f.Out[0] = model.TensorType(f.In[0].DType, model.FixedShape(out...))
		return nil
	}
	if len(axes) == 0 {
		return nil
	}
	at, ok := axesOf(axes, len(f.In[0].Shape))
	if !ok {
		return f.Bad("axes %v are not distinct places of rank %d", axes, len(f.In[0].Shape))
	}
	s := model.Shape{}
	for i, d := range f.In[0].Shape {
		gone := false
		for _, a := range at {
			gone = gone || a == i
		}
		if !gone {
			s = append(s, d)
		}
	}
	f.Out[0] = model.TensorType(f.In[0].DType, s)
	return nil
}

func unsqueezed(s model.Shape, at []int) model.Shape {
	out := make(model.Shape, len(s)+len(at))
	one := map[int]bool{}
	for _, a := range at {
		one[a] = true
	}
	k := 0
	for i := range out {
		if one[i] {
			out[i] = model.Fixed(1)
		} else {
			out[i] = s[k]
			k++
		}
	}
	return out
}

var concatDef = &Def{Name: "Concat", Since: []int{1, 4, 11, 13}, In: []Port{{Name: "inputs", Type: "T", Many: true}}, Out: []Port{{Name: "concat_result"}}, Types: map[string]Set{"T": Any},
	Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Default: int64(1)}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		var out model.Shape
		axis := 0
		for i, t := range f.In {
			if !t.Ranked {
				return nil
			}
			if i == 0 {
				var ok bool
				if axis, ok = axisOf(f.Int("axis"), len(t.Shape)); !ok {
					return f.BadAttr("axis", "is %d, the inputs have rank %d", f.Int("axis"), len(t.Shape))
				}
				out = append(model.Shape(nil), t.Shape...)
				continue
			}
			if len(t.Shape) != len(out) {
				return f.Bad("input %d has rank %d, the first has %d", i, len(t.Shape), len(out))
			}
			for k, d := range t.Shape {
				switch {
				case k == axis && d.Known() && out[k].Known():
					out[k] = model.Fixed(out[k].N + d.N)
				case k == axis:
					out[k] = model.Sym("")
				case d.Known() && out[k].Known() && d.N != out[k].N:
					return f.Bad("input %d has shape %s: dimension %d is %d for the others", i, t.Shape, k, out[k].N)
				case d.Known():
					out[k] = d
				}
			}
		}
		f.Out[0] = model.TensorType(f.In[0].DType, out)
		return nil
	},
	Eval: func(c *Call) error {
		return c.concat(c.In, c.Int("axis"))
	}}

// concat joins tensors along an axis into output 0.
func (c *Call) concat(in []*model.Tensor, axisAttr int64) error {
	if len(in) == 0 {
		return c.Bad("nothing to join")
	}
	axis, ok := axisOf(axisAttr, len(in[0].Shape))
	if !ok {
		return c.Bad("axis %d of rank %d", axisAttr, len(in[0].Shape))
	}
	dims := append([]int(nil), in[0].Shape...)
	for _, t := range in[1:] {
		if len(t.Shape) != len(dims) || t.DType != in[0].DType {
			return c.Bad("shapes %v and %v do not join", dims, t.Shape)
		}
		for k := range dims {
			if k != axis && t.Shape[k] != dims[k] {
				return c.Bad("shapes %v and %v do not join along %d", dims, t.Shape, axis)
			}
		}
		dims[axis] += t.Shape[axis]
	}
	y, err := c.make(in[0].DType, dims)
	if err != nil {
		return err
	}
	outer, inner := product(dims[:axis]), product(dims[axis+1:])
	at := 0
	for _, t := range in {
		run := t.Shape[axis] * inner
		for o := range outer {
			copyRun(y, o*dims[axis]*inner+at, t, o*run, run)
		}
		at += run
	}
	c.Out[0] = y
	return nil
}

var splitDef = &Def{Name: "Split", Since: []int{1, 2, 11, 13, 18}, In: []Port{{Name: "input", Type: "T"}, {Name: "split", Type: "int64", Opt: true}}, Out: []Port{{Name: "outputs", Many: true}},
	Types: map[string]Set{"T": Any}, Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Default: int64(0)}, {Name: "split", Type: model.AttrInts, Until: 13}, {Name: "num_outputs", Type: model.AttrInt}},
	Infer: func(f *Inference) error {
		for i := range f.Out {
			f.Out[i] = model.Type{DType: f.In[0].DType}
		}
		if !f.In[0].Ranked {
			return nil
		}
		axis, ok := axisOf(f.Int("axis"), len(f.In[0].Shape))
		if !ok {
			return f.BadAttr("axis", "is %d, the input has rank %d", f.Int("axis"), len(f.In[0].Shape))
		}
		var parts []int64
		if t := f.Value(1); t != nil {
			parts = ints64(t)
		} else if f.Has(1) {
			return nil
		} else if parts = f.Node.Ints("split"); parts == nil {
			if !f.In[0].Shape[axis].Known() {
				return nil
			}
			parts = evenParts(f.In[0].Shape[axis].N, len(f.Out), f.Node)
		}
		if len(parts) != len(f.Out) {
			return f.Bad("%d sizes for %d outputs", len(parts), len(f.Out))
		}
		sum := 0
		for i, p := range parts {
			s := append(model.Shape(nil), f.In[0].Shape...)
			if p < 0 {
				return f.Bad("sizes %v", parts)
			}
			s[axis] = model.Fixed(int(p))
			f.Out[i] = model.TensorType(f.In[0].DType, s)
			sum += int(p)
		}
		if d := f.In[0].Shape[axis]; d.Known() && d.N != sum {
			return f.Bad("sizes %v do not add up to %d", parts, d.N)
		}
		return nil
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		axis, ok := axisOf(c.Int("axis"), len(x.Shape))
		if !ok {
			return c.Bad("axis %d of rank %d", c.Int("axis"), len(x.Shape))
		}
		parts := c.Node.Ints("split")
		if c.Has(1) {
			parts = ints64(c.In[1])
		} else if parts == nil {
			parts = evenParts(x.Shape[axis], len(c.Out), c.Node)
		}
		return c.split(x, axis, parts)
	}}

func evenParts(n, count int, node *model.Node) []int64 {
	if k := node.Int("num_outputs", 0); k > 0 && int(k) != count {
		return nil
	}
	if count == 0 {
		return nil
	}
	size := (n + count - 1) / count
	out := make([]int64, count)
	for i := range out {
		out[i] = int64(max(0, min(size, n-i*size)))
	}
	return out
}

// split cuts x along an axis into the outputs.
func (c *Call) split(x *model.Tensor, axis int, parts []int64) error {
	if len(parts) != len(c.Out) {
		return c.Bad("%d sizes for %d outputs", len(parts), len(c.Out))
	}
	outer, inner, whole := product(x.Shape[:axis]), product(x.Shape[axis+1:]), x.Shape[axis]
	at := 0
	for i, p := range parts {
		if p < 0 || at+int(p) > whole {
			return c.Bad("sizes %v do not add up to %d", parts, whole)
		}
		dims := append([]int(nil), x.Shape...)
		dims[axis] = int(p)
		y, err := c.make(x.DType, dims)
		if err != nil {
			return err
		}
		for o := range outer {
			copyRun(y, o*int(p)*inner, x, (o*whole+at)*inner, int(p)*inner)
		}
		c.Out[i] = y
		at += int(p)
	}
	if at != whole {
		return c.Bad("sizes %v do not add up to %d", parts, whole)
	}
	return nil
}

var expandDef = &Def{Name: "Expand", Since: []int{8, 13}, In: []Port{{Name: "input", Type: "T"}, {Name: "shape", Type: "int64"}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Any},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if t := f.Value(1); t != nil && f.In[0].Ranked {
			var s model.Shape
			for _, d := range ints64(t) {
				if d < 0 || d > maxDim {
					return f.Bad("shape has the dimension %d", d)
				}
				s = append(s, model.Fixed(int(d)))
			}
			out, err := broadcastShape(f, f.In[0].Shape, s)
			if err != nil {
				return err
			}
			f.Out[0] = model.TensorType(f.In[0].DType, out)
		}
		return nil
	},
	Eval: func(c *Call) error {
		want := make([]int, 0, c.In[1].Len())
		for _, d := range ints64(c.In[1]) {
			want = append(want, int(d))
		}
		if _, err := model.Count(want); err != nil {
			return c.Bad("shape %v: %v", want, err)
		}
		dims, ok := broadcast(c.In[0].Shape, want)
		if !ok {
			return c.Bad("shape %v does not expand to %v", c.In[0].Shape, want)
		}
		return c.gather(pick{src: c.In[0], dims: dims, strides: broadcastStride(c.In[0].Shape, dims)})
	}}

var tileDef = &Def{Name: "Tile", Since: []int{1, 6, 13}, In: []Port{{Name: "input", Type: "T"}, {Name: "repeats", Type: "int64"}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Any},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if t := f.Value(1); t != nil && f.In[0].Ranked {
			r := ints64(t)
			if len(r) != len(f.In[0].Shape) {
				return f.Bad("%d repeats for rank %d", len(r), len(f.In[0].Shape))
			}
			s := make(model.Shape, len(r))
			for i, d := range f.In[0].Shape {
				if s[i] = model.Sym(""); d.Known() && r[i] >= 0 && r[i] < 1<<31 {
					s[i] = model.Fixed(d.N * int(r[i]))
				}
			}
			f.Out[0] = model.TensorType(f.In[0].DType, s)
		}
		return nil
	},
	Eval: func(c *Call) error {
		x, r := c.In[0], ints64(c.In[1])
		if len(r) != len(x.Shape) {
			return c.Bad("%d repeats for rank %d", len(r), len(x.Shape))
		}
		dims := make([]int, len(r))
		for i := range dims {
			if r[i] < 0 || r[i] > 1<<31 {
				return c.Bad("repeats %v", r)
			}
			dims[i] = x.Shape[i] * int(r[i])
		}
		y, err := c.make(x.DType, dims)
		if err != nil {
			return err
		}
		if y.Len() > 0 {
			at := make([][]int, len(dims))
			for k := range at {
				at[k] = upTo(dims[k])
				for o := range at[k] {
					at[k][o] = o % x.Shape[k]
				}
			}
			mapAxes(y, x, at)
		}
		c.Out[0] = y
		return nil
	}}

var constantOfShapeDef = &Def{Name: "ConstantOfShape", Since: []int{9, 20, 21, 23, 24}, In: []Port{{Name: "input", Type: "int64"}}, Out: []Port{{Name: "output"}},
	Attrs: []AttrSpec{{Name: "value", Type: model.AttrTensor}},
	Infer: func(f *Inference) error {
		d := model.Float32
		if a := f.Node.Attr("value"); a != nil {
			if a.T == nil || a.T.Len() != 1 {
				return f.BadAttr("value", "holds no single element")
			}
			d = a.T.DType
		}
		f.Out[0] = model.Type{DType: d}
		if t := f.Value(0); t != nil {
			var s model.Shape
			for _, v := range ints64(t) {
				if v < 0 || v > maxDim {
					return f.Bad("shape has the dimension %d", v)
				}
				s = append(s, model.Fixed(int(v)))
			}
			f.Out[0] = model.TensorType(d, append(model.Shape{}, s...))
		}
		return nil
	},
	Eval: func(c *Call) error {
		v := model.Scalar32(0)
		if a := c.Node.Attr("value"); a != nil && a.T != nil {
			v = a.T
		}
		var dims []int
		for _, d := range ints64(c.In[0]) {
			dims = append(dims, int(d))
		}
		y, err := c.make(v.DType, dims)
		if err != nil {
			return err
		}
		fill(y, v)
		c.Out[0] = y
		return nil
	}}

var rangeDef = &Def{Name: "Range", Since: []int{11}, In: []Port{{Name: "start", Type: "T"}, {Name: "limit", Type: "T"}, {Name: "delta", Type: "T"}}, Out: []Port{{Name: "output"}},
	Types: map[string]Set{"T": 1<<model.Float32 | 1<<model.Float64 | 1<<model.Int16 | 1<<model.Int32 | 1<<model.Int64},
	Infer: func(f *Inference) error {
		f.Out[0] = model.TensorType(f.In[0].DType, model.Shape{model.Sym("")})
		return nil
	},
	Eval: func(c *Call) error {
		for i := range c.In {
			if c.In[i].Len() != 1 {
				return c.Bad("input %d has %d elements, want 1", i, c.In[i].Len())
			}
		}
		a, b, d := c.In[0].Float64At(0), c.In[1].Float64At(0), c.In[2].Float64At(0)
		if d == 0 {
			return c.Bad("the step is 0")
		}
		n := 0
		if q := (b - a) / d; q > 0 {
			if q > 1<<31 {
				return c.Bad("%g elements", q)
			}
			if n = int(q); float64(n) < q {
				n++
			}
		}
		y, err := c.make(c.In[0].DType, []int{n})
		if err != nil {
			return err
		}
		for i := range n {
			if y.DType.Float() {
				y.SetFloat64(i, a+float64(i)*d)
			} else {
				y.SetInt64(i, c.In[0].Int64At(0)+int64(i)*c.In[2].Int64At(0))
			}
		}
		c.Out[0] = y
		return nil
	}}

var triluDef = &Def{Name: "Trilu", Since: []int{14}, In: []Port{{Name: "input", Type: "T"}, {Name: "k", Type: "int64", Opt: true}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Any},
	Attrs: []AttrSpec{{Name: "upper", Type: model.AttrInt, Default: int64(1)}},
	Infer: func(f *Inference) error {
		if err := f.ranked(0, 2, anyRank); err != nil {
			return err
		}
		return inferSame(f)
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		if len(x.Shape) < 2 {
			return c.Bad("rank %d, want at least 2", len(x.Shape))
		}
		k := int64(0)
		if c.Has(1) && c.In[1].Len() > 0 {
			k = c.In[1].Int64At(0)
		}
		y, err := c.make(x.DType, x.Shape)
		if err != nil {
			return err
		}
		h, w := x.Shape[len(x.Shape)-2], x.Shape[len(x.Shape)-1]
		upper := c.Int("upper") != 0
		for i := range x.Len() {
			d := int64(i%w) - int64(i/w%h)
			if upper && d >= k || !upper && d <= k {
				copyElem(y, i, x, i)
			}
		}
		c.Out[0] = y
		return nil
	}}

var eyeLikeDef = &Def{Name: "EyeLike", Since: []int{9, 22}, In: []Port{{Name: "input", Type: "T"}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Numeric | BoolSet},
	Attrs: []AttrSpec{{Name: "dtype", Type: model.AttrInt}, {Name: "k", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		if err := f.ranked(0, 2, 2); err != nil {
			return err
		}
		f.Out[0] = f.In[0]
		if d := f.Node.Int("dtype", 0); d != 0 {
			f.Out[0].DType = model.DType(d)
		}
		return nil
	},
	Eval: func(c *Call) error {
		d := c.In[0].DType
		if v := c.Node.Int("dtype", 0); v != 0 {
			if d = model.DType(v); v > 100 || !(Numeric | BoolSet).Has(d) {
				return c.Bad("dtype %d", v)
			}
		}
		if len(c.In[0].Shape) != 2 {
			return c.Bad("rank %d, want 2", len(c.In[0].Shape))
		}
		y, err := c.make(d, c.In[0].Shape)
		if err != nil {
			return err
		}
		k := c.Int("k")
		for i := range int64(y.Shape[0]) {
			if j := i + k; j >= 0 && j < int64(y.Shape[1]) {
				y.SetFloat64(int(i)*y.Shape[1]+int(j), 1)
			}
		}
		c.Out[0] = y
		return nil
	}}

var depthToSpaceDef = &Def{Name: "DepthToSpace", Since: []int{1, 11, 13}, In: []Port{{Name: "input", Type: "T"}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Any},
	Attrs: []AttrSpec{{Name: "blocksize", Type: model.AttrInt, Required: true}, {Name: "mode", Type: model.AttrString, Default: "DCR", Enum: []string{"DCR", "CRD"}}},
	Infer: func(f *Inference) error {
		b := f.Int("blocksize")
		if b < 1 || b > 1<<15 {
			return f.BadAttr("blocksize", "is %d", b)
		}
		if err := f.ranked(0, 4, 4); err != nil {
			return err
		}
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if s := f.In[0].Shape; f.In[0].Ranked {
			if s[1].Known() && int64(s[1].N)%(b*b) != 0 {
				return f.BadAttr("blocksize", "%d channels are not divisible by %d", s[1].N, b*b)
			}
			k := int(b)
			f.Out[0] = model.TensorType(f.In[0].DType, model.Shape{s[0], scaleDim(s[1], 1, k*k), scaleDim(s[2], k, 1), scaleDim(s[3], k, 1)})
		}
		return nil
	},
	Eval: func(c *Call) error {
		x, b := c.In[0], int(c.Int("blocksize"))
		if len(x.Shape) != 4 || b < 1 || x.Shape[1]%(b*b) != 0 {
			return c.Bad("shape %v and block size %d", x.Shape, b)
		}
		n, d, h, w := x.Shape[0], x.Shape[1]/(b*b), x.Shape[2], x.Shape[3]
		from, perm := []int{n, b, b, d, h, w}, []int{0, 3, 4, 1, 5, 2}
		if c.Str("mode") == "CRD" {
			from, perm = []int{n, d, b, b, h, w}, []int{0, 1, 4, 2, 5, 3}
		}
		if err := c.gather(permuted(x.Reshaped(from...), perm)); err != nil {
			return err
		}
		c.Out[0] = c.Out[0].Reshaped(n, d, h*b, w*b)
		return nil
	}}

func scaleDim(d model.Dim, mul, div int) model.Dim {
	if d.Known() {
		return model.Fixed(d.N * mul / div)
	}
	return model.Sym("")
}

var spaceToDepthDef = &Def{Name: "SpaceToDepth", Since: []int{1, 13}, In: []Port{{Name: "input", Type: "T"}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Any},
	Attrs: []AttrSpec{{Name: "blocksize", Type: model.AttrInt, Required: true}},
	Infer: func(f *Inference) error {
		b := f.Int("blocksize")
		if b < 1 || b > 1<<15 {
			return f.BadAttr("blocksize", "is %d", b)
		}
		if err := f.ranked(0, 4, 4); err != nil {
			return err
		}
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if s := f.In[0].Shape; f.In[0].Ranked {
			k := int(b)
			for _, i := range []int{2, 3} {
				if s[i].Known() && s[i].N%k != 0 {
					return f.BadAttr("blocksize", "size %d is not divisible by %d", s[i].N, k)
				}
			}
			f.Out[0] = model.TensorType(f.In[0].DType, model.Shape{s[0], scaleDim(s[1], k*k, 1), scaleDim(s[2], 1, k), scaleDim(s[3], 1, k)})
		}
		return nil
	},
	Eval: func(c *Call) error {
		x, b := c.In[0], int(c.Int("blocksize"))
		if len(x.Shape) != 4 || b < 1 || x.Shape[2]%b != 0 || x.Shape[3]%b != 0 {
			return c.Bad("shape %v and block size %d", x.Shape, b)
		}
		n, d, h, w := x.Shape[0], x.Shape[1], x.Shape[2]/b, x.Shape[3]/b
		if err := c.gather(permuted(x.Reshaped(n, d, h, b, w, b), []int{0, 3, 5, 1, 2, 4})); err != nil {
			return err
		}
		c.Out[0] = c.Out[0].Reshaped(n, d*b*b, h, w)
		return nil
	}}

// dropoutDef: inference mode hands the input on and the mask is all true. In training mode a share of the elements becomes
// zero and the others grow so that the mean stays; the same seed drops the same.
var dropoutDef = &Def{Name: "Dropout", Since: []int{1, 6, 7, 10, 12, 13, 22}, In: []Port{{Name: "data", Type: "T"}, {Name: "ratio", Type: "R", Opt: true}, {Name: "training_mode", Type: "bool", Opt: true}},
	Out: []Port{{Name: "output"}, {Name: "mask", Opt: true}}, Types: map[string]Set{"T": Floats, "R": Floats}, Attrs: []AttrSpec{{Name: "ratio", Type: model.AttrFloat, Default: float32(0.5), Until: 12}, {Name: "seed", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		f.Out[0] = f.In[0]
		for i := 1; i < 3; i++ {
			if err := f.single(i); err != nil {
				return err
			}
		}
		if len(f.Out) > 1 {
			f.Out[1] = f.In[0]
			if f.Opset >= 10 {
				f.Out[1].DType = model.Bool
			}
		}
		return nil
	},
	Eval: func(c *Call) error {
		ratio := 0.5
		if c.Has(1) {
			ratio = c.In[1].Float64At(0)
		}
		if c.Opset >= 12 && c.Has(2) && c.In[2].Raw[0] != 0 && ratio != 0 {
			return c.drop(ratio)
		}
		c.Out[0] = c.In[0]
		if c.Wants(1) {
			d := model.Bool
			if c.Opset < 10 {
				d = c.In[0].DType
			}
			m, err := c.make(d, c.In[0].Shape)
			if err != nil {
				return err
			}
			for i := range m.Len() {
				m.SetFloat64(i, 1)
			}
			c.Out[1] = m
		}
		return nil
	}}

func (c *Call) drop(ratio float64) error {
	if !(ratio >= 0 && ratio < 1) {
		return c.Bad("a ratio of %g, want 0 to below 1", ratio)
	}
	x := c.In[0]
	y, err := c.make(x.DType, x.Shape)
	if err != nil {
		return err
	}
	mask, err := c.make(model.Bool, x.Shape)
	if err != nil {
		return err
	}
	r := c.source()
	for i := range x.Len() {
		if r.Float64() >= ratio {
			mask.Raw[i] = 1
			y.SetFloat64(i, x.Float64At(i)/(1-ratio))
		}
	}
	c.Out[0] = y
	if len(c.Out) > 1 {
		c.Out[1] = mask
	}
	return nil
}
