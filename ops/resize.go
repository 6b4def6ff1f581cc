package ops

import (
	"math"

	"fettle/model"
)

// resizeOps: operators that sample a tensor on another grid, axis by axis.
func resizeOps() []*Def {
	return []*Def{resizeDef, upsampleDef}
}

// upsampleDef: scales are an attribute before opset 9 and an input in it; it became Resize.
var upsampleDef = &Def{Name: "Upsample", Since: []int{1, 7, 9}, Until: 10, In: []Port{{Name: "X", Type: "T"}, {Name: "scales", Type: "float32", Opt: true}}, Out: []Port{{Name: "Y"}},
	Types: map[string]Set{"T": Any}, Exact: Rounding, Attrs: []AttrSpec{{Name: "mode", Type: model.AttrString, Default: "nearest", Enum: []string{"nearest", "linear", "bilinear"}},
		{Name: "scales", Type: model.AttrFloats, Until: 9}, {Name: "width_scale", Type: model.AttrFloat, Until: 7}, {Name: "height_scale", Type: model.AttrFloat, Until: 7}},
	Infer: inferResize, Eval: resize}

// resizeDef: opset 10 has scales only, with asymmetric coordinates; opset 11 added region and sizes and named the modes;
// opset 18 axes, antialias and aspect ratio; opset 19 half_pixel_symmetric.
var resizeDef = &Def{Name: "Resize", Since: []int{10, 11, 13, 18, 19}, In: []Port{{Name: "X", Type: "T1"}, {Name: "roi", Type: "T2", Opt: true}, {Name: "scales", Type: "float32", Opt: true},
	{Name: "sizes", Type: "int64", Opt: true}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T1": Any, "T2": Floats}, Exact: Rounding,
	Attrs: []AttrSpec{{Name: "mode", Type: model.AttrString, Default: "nearest", Enum: []string{"nearest", "linear", "cubic"}},
		{Name: "coordinate_transformation_mode", Type: model.AttrString, Default: "half_pixel", Enum: []string{"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
			"asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"}},
		{Name: "nearest_mode", Type: model.AttrString, Default: "round_prefer_floor", Enum: []string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}},
		{Name: "cubic_coeff_a", Type: model.AttrFloat, Default: float32(-0.75)}, {Name: "exclude_outside", Type: model.AttrInt, Default: int64(0)},
		{Name: "extrapolation_value", Type: model.AttrFloat, Default: float32(0)}, {Name: "antialias", Type: model.AttrInt, Default: int64(0)}, {Name: "axes", Type: model.AttrInts},
		{Name: "keep_aspect_ratio_policy", Type: model.AttrString, Default: "stretch", Enum: []string{"stretch", "not_larger", "not_smaller"}}},
	Infer: inferResize, Eval: resize}

// resizing is how one node samples: by axis the size of the result, the scale, the region, and whether the axis is sampled.
type resizing struct {
	out      []int
	scale    []float32
	from, to []float32 // region of interest in units of the size
	sampled  []bool
}

// resizingOf reads scales or sizes for the input dims (-1: not known). nil where a value is not known yet; a reason where wrong.
func resizingOf(n *model.Node, has func(int) bool, value func(int) *model.Tensor, dims []int) (*resizing, string) {
	rank := len(dims)
	r := &resizing{out: append([]int{}, dims...), scale: make([]float32, rank), from: make([]float32, rank), to: make([]float32, rank), sampled: make([]bool, rank)}
	for i := range dims {
		r.scale[i], r.to[i] = 1, 1
	}
	axes := upTo(rank)
	if n.Attr("axes") != nil {
		var ok bool
		if axes, ok = axesOf(n.Ints("axes"), rank); !ok {
			return nil, "the axes are not distinct dimensions of the input"
		}
	}
	scales, sizes, why := scalesAndSizes(n, has, value, rank)
	if why != "" || scales == nil && sizes == nil {
		return nil, why
	}
	if len(scales)+len(sizes) != len(axes) {
		return nil, "there is not one scale or size for each dimension"
	}
	for i, a := range axes {
		r.sampled[a] = true
		if scales != nil {
			if !(scales[i] > 0) || scales[i] > 1<<20 {
				return nil, "a scale is not positive"
			}
			r.scale[a] = scales[i]
			if dims[a] >= 0 {
				r.out[a] = int(math.Floor(float64(float32(dims[a]) * scales[i])))
			}
			continue
		}
		if sizes[i] < 0 || sizes[i] > maxDim {
			return nil, "a size is negative or out of range"
		}
		r.out[a] = int(sizes[i])
		r.scale[a] = float32(sizes[i]) / float32(max(dims[a], 1))
	}
	if sizes != nil {
		if why := r.keepAspect(n.Str("keep_aspect_ratio_policy", "stretch"), dims, axes); why != "" {
			return nil, why
		}
	}
	if n.Str("coordinate_transformation_mode", "") == "tf_crop_and_resize" {
		if !has(1) {
			return nil, "tf_crop_and_resize needs a region"
		}
		t := value(1)
		if t == nil {
			return r, ""
		}
		if t.Len() != 2*len(axes) {
			return nil, "the region has not two numbers for each dimension"
		}
		for i, a := range axes {
			r.from[a], r.to[a] = float32(t.Float64At(i)), float32(t.Float64At(len(axes)+i))
		}
	}
	return r, ""
}

// scalesAndSizes finds them among the attributes and inputs of the versions of Upsample and Resize.
func scalesAndSizes(n *model.Node, has func(int) bool, value func(int) *model.Tensor, rank int) ([]float32, []int64, string) {
	at := 2
	if n.Op == "Upsample" || len(n.Inputs) == 2 { // opset 10 and before have no region
		at = 1
	}
	var scales []float32
	switch {
	case n.Attr("scales") != nil:
		scales = n.Attr("scales").Floats
	case n.Attr("width_scale") != nil && rank == 4:
		return []float32{1, 1, n.Float("height_scale", 1), n.Float("width_scale", 1)}, nil, ""
	case has(at):
		t := value(at)
		if t == nil {
			return nil, nil, ""
		}
		for i := range min(t.Len(), rank+1) {
			scales = append(scales, float32(t.Float64At(i)))
		}
	}
	if len(scales) > 0 || at == 1 || !has(3) {
		if scales == nil {
			return nil, nil, "has neither scales nor sizes"
		}
		return scales, nil, ""
	}
	t := value(3)
	if t == nil {
		return nil, nil, ""
	}
	if t.Len() > rank {
		return nil, nil, "there are more sizes than dimensions"
	}
	return nil, ints64(t), ""
}

// keepAspect gives all axes the smallest or largest of their scales.
func (r *resizing) keepAspect(policy string, dims, axes []int) string {
	if policy == "stretch" || len(axes) == 0 {
		return ""
	}
	var k float32
	for i, a := range axes {
		if dims[a] < 0 {
			for _, b := range axes {
				r.out[b] = -1
			}
			return ""
		}
		s := r.scale[a]
		if i == 0 || policy == "not_larger" && s < k || policy == "not_smaller" && s > k {
			k = s
		}
	}
	for _, a := range axes {
		r.scale[a] = k
		n := math.Floor(float64(k)*float64(dims[a]) + 0.5)
		if n > maxDim {
			return "a size is out of range"
		}
		r.out[a] = int(n)
	}
	return ""
}

func inferResize(f *Inference) error {
	x := f.In[0]
	f.Out[0] = model.Type{DType: x.DType}
	if m := f.Str("mode"); m != "nearest" && x.DType != model.Undefined && !Numeric.Has(x.DType) {
		return f.BadAttr("mode", "%s has no meaning for %s", m, x.DType)
	}
	if !x.Ranked {
		return nil
	}
	r, why := resizingOf(f.Node, f.Has, f.Value, sizes(x.Shape, 0))
	if why != "" {
		return f.Bad("%s", why)
	}
	s := append(model.Shape{}, x.Shape...)
	for i := range s {
		switch {
		case r == nil:
			s[i] = model.Sym("")
		case r.out[i] >= 0:
			s[i] = model.Fixed(r.out[i])
		case r.scale[i] != 1:
			s[i] = model.Sym("")
		}
	}
	f.Out[0] = model.TensorType(x.DType, s)
	return nil
}

// tap is a weight on an element along one axis.
type tap struct {
	at     int
	weight float64
}

func resize(c *Call) error {
	x := c.In[0]
	r, why := resizingOf(c.Node, c.Has, c.opt, x.Shape)
	if why != "" {
		return c.Bad("%s", why)
	}
	y, err := c.make(x.DType, r.out)
	if err != nil {
		return err
	}
	c.Out[0] = y
	if y.Len() == 0 {
		return nil
	}
	if x.Len() == 0 {
		return c.Bad("shape %v holds nothing to sample", x.Shape)
	}
	s := samplerOf(c)
	taps, outside := make([][][]tap, len(r.out)), make([][]bool, len(r.out))
	for a := range r.out {
		if !r.sampled[a] || r.out[a] == x.Shape[a] && r.scale[a] == 1 && s.coord != "tf_crop_and_resize" {
			continue
		}
		taps[a], outside[a] = s.axis(x.Shape[a], r.out[a], r.scale[a], r.from[a], r.to[a])
	}
	if s.mode == "nearest" {
		at := make([][]int, len(r.out))
		for a := range at {
			at[a] = upTo(r.out[a])
			for o, t := range taps[a] {
				at[a][o] = t[0].at
			}
		}
		mapAxes(y, x, at)
	} else {
		v, dims := toFloat64(x), x.Shape
		for a, t := range taps {
			if t != nil {
				if v, dims, err = c.resample(v, dims, a, t); err != nil {
					return err
				}
			}
		}
		lo, hi := math.Inf(-1), math.Inf(1)
		if x.DType.Integer() && x.DType.Bits() < 64 {
			l, h := wholeRange(x.DType)
			lo, hi = float64(l), float64(h)
		}
		for i, e := range v {
			if s.antialias && x.DType.Integer() {
				e = math.RoundToEven(e) // without, integers are truncated
			}
			y.SetFloat64(i, clamp(e, lo, hi))
		}
	}
	if s.coord == "tf_crop_and_resize" {
		extrapolate(y, outside, float64(c.Node.Float("extrapolation_value", 0)))
	}
	return nil
}

// resample makes axis a of v of the elements that taps weigh.
func (c *Call) resample(v []float64, dims []int, a int, taps [][]tap) ([]float64, []int, error) {
	out := append([]int{}, dims...)
	out[a] = len(taps)
	if n, err := model.Count(out); err != nil || n > c.limit()/8 {
		return nil, nil, c.tooBig("%v between two axes", out)
	}
	outer, inner, n := product(dims[:a]), product(dims[a+1:]), dims[a]
	y := make([]float64, product(out))
	for o := range outer {
		for k, ts := range taps {
			line := y[(o*len(taps)+k)*inner:][:inner]
			for _, t := range ts {
				for i, e := range v[(o*n+t.at)*inner:][:inner] {
					line[i] += e * t.weight
				}
			}
		}
	}
	return y, out, nil
}

// extrapolate writes value where any axis looks outside of the input.
func extrapolate(y *model.Tensor, outside [][]bool, value float64) {
	at := make([]int, len(y.Shape))
	for i := range y.Len() {
		unflatten(i, y.Shape, at)
		for a, o := range at {
			if outside[a] != nil && outside[a][o] {
				y.SetFloat64(i, value)
				break
			}
		}
	}
}
