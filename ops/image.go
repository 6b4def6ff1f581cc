package ops

import (
	"fettle/model"
)

// imageOps: operators that lay out patches and grids of pictures.
func imageOps() []*Def {
	return []*Def{col2imDef, affineGridDef}
}

// dimsOf reads a list of dimensions; false where one is outside of least and the largest tensor.
func dimsOf(t *model.Tensor, least int64) ([]int, bool) {
	out := make([]int, t.Len())
	for i := range out {
		v := t.Int64At(i)
		if v < least || v > maxDim {
			return nil, false
		}
		out[i] = int(v)
	}
	return out, true
}

// col2imDef adds up the patches that a convolution would see: x [N, C*patch, places] gives y [N, C, image...].
var col2imDef = &Def{Name: "Col2Im", Since: []int{18}, In: []Port{{Name: "input", Type: "T"}, {Name: "image_shape", Type: "int64"}, {Name: "block_shape", Type: "int64"}}, Out: []Port{{Name: "output"}},
	Types: map[string]Set{"T": Numeric}, Exact: Rounding, Attrs: []AttrSpec{{Name: "dilations", Type: model.AttrInts}, {Name: "pads", Type: model.AttrInts}, {Name: "strides", Type: model.AttrInts}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		for i, rank := range []int{3, 1, 1} {
			if err := f.ranked(i, rank, rank); err != nil {
				return err
			}
		}
		img, blk := f.Value(1), f.Value(2)
		if img == nil || blk == nil || !f.In[0].Ranked {
			return nil
		}
		x := f.In[0].Shape
		s, per, err := patches(f.Node, f.BadAttr, img, blk)
		if err != nil {
			return err
		}
		if x[1].Known() && x[1].N%per != 0 {
			return f.Bad("%d rows are no multiple of a patch of %d", x[1].N, per)
		}
		if n := product(s.out); x[2].Known() && x[2].N != n {
			return f.Bad("%d columns, the image has %d places", x[2].N, n)
		}
		y := model.Shape{x[0], model.Sym("")}
		if x[1].Known() {
			y[1] = model.Fixed(x[1].N / per)
		}
		f.Out[0] = model.TensorType(f.In[0].DType, append(y, model.FixedShape(s.in...)...))
		return nil
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		s, per, err := patches(c.Node, c.badAttr, c.In[1], c.In[2])
		if err != nil {
			return err
		}
		ch := x.Shape[1] / per
		dims := append([]int{x.Shape[0], ch}, s.in...)
		if n, err := model.Count(dims); err != nil || n > c.limit()/8 {
			return c.tooBig("an output of %v", dims)
		}
		y := make([]float64, product(dims))
		if x.Len() > 0 {
			v, ins, outs := toFloat64(x), product(s.in), product(s.out)
			s.slide(func(o, i, k int) {
				for p := range x.Shape[0] * ch {
					y[p*ins+i] += v[(p*per+k)*outs+o]
				}
			})
		}
		c.Out[0], err = c.fromFloat64(x.DType, dims, y)
		return err
	}}

// patches is the window of a Col2Im and the number of elements of a patch.
func patches(n *model.Node, bad func(attr, format string, args ...any) error, img, blk *model.Tensor) (*spatial, int, error) {
	in, ok := dimsOf(img, 1)
	kernel, ok2 := dimsOf(blk, 1)
	if !ok || !ok2 || len(in) != len(kernel) || len(in) == 0 || len(in) > 16 {
		return nil, 0, bad("", "image %v and block %v are no sizes of the same dimensions", ints64(img), ints64(blk))
	}
	per, err := model.Count(kernel)
	if err != nil {
		return nil, 0, err
	}
	s, err := window(n, bad, kernel, in, false)
	if err != nil {
		return nil, 0, err
	}
	if _, err := model.Count(s.out); err != nil {
		return nil, 0, err
	}
	return s, per, nil
}

// affineGridDef: where the points of a picture of the given size come from under theta, in -1..1 over each dimension.
var affineGridDef = &Def{Name: "AffineGrid", Since: []int{20}, In: []Port{{Name: "theta", Type: "T1"}, {Name: "size", Type: "int64"}}, Out: []Port{{Name: "grid"}},
	Types: map[string]Set{"T1": Floats}, Exact: Rounding, Attrs: []AttrSpec{{Name: "align_corners", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if err := f.ranked(0, 3, 3); err != nil {
			return err
		}
		if err := f.ranked(1, 1, 1); err != nil {
			return err
		}
		t := f.Value(1)
		if t == nil || !f.In[0].Ranked {
			return nil
		}
		dims, ok := dimsOf(t, 0)
		if !ok || len(dims) != 4 && len(dims) != 5 {
			return f.Bad("size %v is no [N, C, H, W] or [N, C, D, H, W]", ints64(t))
		}
		k := len(dims) - 2
		for i, want := range []int{dims[0], k, k + 1} {
			if d := f.In[0].Shape[i]; d.Known() && d.N != want {
				return f.Bad("theta has shape %s, want [%d, %d, %d]", f.In[0].Shape, dims[0], k, k+1)
			}
		}
		s := append(model.FixedShape(dims[0]), model.FixedShape(dims[2:]...)...)
		f.Out[0] = model.TensorType(f.In[0].DType, append(s, model.Fixed(k)))
		return nil
	},
	Eval: func(c *Call) error {
		size, ok := dimsOf(c.In[1], 0)
		k := len(size) - 2
		if !ok || k < 2 || k > 3 || c.In[0].Len() != size[0]*k*(k+1) {
			return c.Bad("theta %v and size %v do not go together", c.In[0].Shape, ints64(c.In[1]))
		}
		dims := append(append([]int{size[0]}, size[2:]...), k)
		y, err := c.make(c.In[0].DType, dims)
		if err != nil {
			return err
		}
		c.Out[0] = y
		theta, at := toFloat64(c.In[0]), make([]int, k)
		points := product(size[2:])
		for i := range y.Len() / k {
			unflatten(i%points, size[2:], at)
			for r := range k {
				row := theta[(i/points*k+r)*(k+1):]
				sum := row[k]
				for j := range k { // the coordinates run from the last dimension (x) to the first
					d := k - 1 - j
					sum += row[j] * gridPlace(at[d], size[2+d], c.Int("align_corners") != 0)
				}
				y.SetFloat64(i*k+r, sum)
			}
		}
		return nil
	}}

// gridPlace is where element i of n lies between -1 and 1: the borders are the outer elements' centers, or their edges.
func gridPlace(i, n int, corners bool) float64 {
	switch {
	case !corners:
		return (2*float64(i)+1)/float64(n) - 1
	case n == 1:
		return 0
	}
	return 2*float64(i)/float64(n-1) - 1
}
