package ops

import (
	"math"

	"fettle/model"
)

// gridSampleOps: reading a tensor at places that another names.
func gridSampleOps() []*Def { return []*Def{gridSampleDef} }

// gridSampleDef: X [N, C, d1, ...] read at the places of grid [N, o1, ..., k] in -1..1, last coordinate first.
var gridSampleDef = &Def{Name: "GridSample", Since: []int{16, 20, 22}, In: []Port{{Name: "X", Type: "T1"}, {Name: "grid", Type: "T2"}}, Out: []Port{{Name: "Y"}},
	Types: map[string]Set{"T1": Numeric | BoolSet, "T2": Floats}, Exact: Rounding,
	Attrs: []AttrSpec{{Name: "mode", Type: model.AttrString, Enum: []string{"bilinear", "nearest", "bicubic", "linear", "cubic"}},
		{Name: "padding_mode", Type: model.AttrString, Default: "zeros", Enum: []string{"zeros", "border", "reflection"}}, {Name: "align_corners", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if err := f.ranked(0, 3, anyRank); err != nil {
			return err
		}
		x, g := f.In[0], f.In[1]
		if !x.Ranked || !g.Ranked {
			return nil
		}
		k := len(x.Shape) - 2
		if len(g.Shape) != len(x.Shape) {
			return f.Bad("the grid has rank %d, the input %d", len(g.Shape), len(x.Shape))
		}
		want := append([]int{x.Shape[0].N}, sizes(g.Shape[1:len(g.Shape)-1], 0)...)
		if err := f.shaped(1, append(want, k)...); err != nil {
			return err
		}
		f.Out[0] = model.TensorType(x.DType, append(model.Shape{x.Shape[0], x.Shape[1]}, g.Shape[1:len(g.Shape)-1]...))
		return nil
	},
	Eval: func(c *Call) error {
		x, g := c.In[0], c.In[1]
		k := len(x.Shape) - 2
		in, out := x.Shape[2:], g.Shape[1:1+k]
		y, err := c.make(x.DType, append([]int{x.Shape[0], x.Shape[1]}, out...))
		if err != nil {
			return err
		}
		c.Out[0] = y
		if y.Len() == 0 {
			return nil
		}
		if product(in) == 0 {
			return c.Bad("the input %v has no elements", x.Shape)
		}
		s := gridReader{in: in, align: c.Int("align_corners") != 0, padding: c.Str("padding_mode"), taps: 2}
		switch c.Str("mode") {
		case "nearest":
			s.taps = 1
		case "bicubic", "cubic":
			s.taps = 4
		}
		if k > 8 {
			return c.Unsupported("GridSample in %d dimensions", k)
		}
		v, gv := toFloat64(x), toFloat64(g)
		points, size := product(out), product(in)
		place := make([]float64, k)
		for n := range x.Shape[0] {
			for p := range points {
				for d := range k {
					place[d] = gv[(n*points+p)*k+k-1-d]
				}
				taps, weights := s.at(place)
				for ch := range x.Shape[1] {
					plane := v[(n*x.Shape[1]+ch)*size:]
					sum := 0.0
					for i, t := range taps {
						if t >= 0 {
							sum += weights[i] * plane[t]
						}
					}
					y.SetFloat64((n*x.Shape[1]+ch)*points+p, sum)
				}
			}
		}
		return nil
	}}

// gridReader turns places in -1..1 into elements and weights.
type gridReader struct {
	in      []int
	align   bool
	padding string
	taps    int // a dimension: 1 nearest, 2 linear, 4 cubic
}

// at lists the elements around a place, -1 for padding, and their weights.
func (s *gridReader) at(place []float64) ([]int, []float64) {
	index, weight := []int{0}, []float64{1}
	for d, n := range s.in {
		x := (place[d]+1)/2*float64(n) - 0.5
		if s.align {
			x = (place[d] + 1) / 2 * float64(n-1)
		}
		if x != x {
			x = -1 // NaN is outside
		}
		x = clamp(x, -1<<40, 1<<40)
		if s.taps == 1 {
			x = math.RoundToEven(x) // before the padding folds it
		}
		if s.taps < 4 { // cubic pads the samples, the others the place
			x = s.pad(x, n)
		}
		var first float64
		var w []float64
		switch s.taps {
		case 1:
			first, w = math.RoundToEven(x), []float64{1}
		case 2:
			first = math.Floor(x)
			w = []float64{1 - (x - first), x - first}
		default:
			first = math.Floor(x) - 1
			keys := sampler{a: -0.75}
			for t := range 4 {
				w = append(w, keys.cubic(math.Abs(x-first-float64(t))))
			}
		}
		next := make([]int, 0, len(index)*len(w))
		nw := make([]float64, 0, len(index)*len(w))
		for i := range index {
			for t, f := range w {
				p := first + float64(t)
				if s.taps == 4 {
					p = math.Round(s.pad(p, n))
				}
				at := -1
				if index[i] >= 0 && p >= 0 && p < float64(n) {
					at = index[i]*n + int(p)
				}
				next, nw = append(next, at), append(nw, weight[i]*f)
			}
		}
		index, weight = next, nw
	}
	return index, weight
}

// pad moves a place into 0..n-1 by the padding mode; zeros stay outside.
func (s *gridReader) pad(x float64, n int) float64 {
	switch s.padding {
	case "border":
		return clamp(x, 0, float64(n-1))
	case "reflection":
		lo, hi := -0.5, float64(n)-0.5
		if s.align {
			lo, hi = 0, float64(n-1)
		}
		span := hi - lo
		if span == 0 {
			return 0
		}
		r := math.Mod(math.Abs(x-lo), 2*span)
		if r > span {
			r = 2*span - r
		}
		return clamp(lo+r, 0, float64(n-1))
	}
	return x
}
