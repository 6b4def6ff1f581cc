package ops

import (
	"math"

	"fettle/model"
)

// deformOps: convolution whose taps are moved by an input.
func deformOps() []*Def { return []*Def{deformDef} }

// deformDef: X [N, C, d...], W [M, C/group, k...], offset [N, offset_group * taps * dims, o...], B [M],
// mask [N, offset_group * taps, o...].
var deformDef = &Def{Name: "DeformConv", Since: []int{19, 22}, Exact: Rounding,
	In:  []Port{{Name: "X", Type: "T"}, {Name: "W", Type: "T"}, {Name: "offset", Type: "T"}, {Name: "B", Type: "T", Opt: true}, {Name: "mask", Type: "T", Opt: true}},
	Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats},
	Attrs: []AttrSpec{{Name: "dilations", Type: model.AttrInts}, {Name: "group", Type: model.AttrInt, Default: int64(1)}, {Name: "kernel_shape", Type: model.AttrInts},
		{Name: "offset_group", Type: model.AttrInt, Default: int64(1)}, {Name: "pads", Type: model.AttrInts}, {Name: "strides", Type: model.AttrInts}},
	Infer: func(f *Inference) error {
		if err := inferConvAt(f, 0, 1, 3, f.In[0].DType); err != nil {
			return err
		}
		og := f.Int("offset_group")
		if og < 1 || og > 1<<20 {
			return f.BadAttr("offset_group", "is %d", og)
		}
		x, w, y := f.In[0], f.In[1], f.Out[0]
		if !y.Ranked {
			return nil
		}
		if c := x.Shape[1]; c.Known() && int64(c.N)%og != 0 {
			return f.BadAttr("offset_group", "%d channels are not divisible by %d", c.N, og)
		}
		taps := -1
		if k, ok := model.Shape(w.Shape[2:]).Ints(); ok {
			taps = product(k) * int(og)
		}
		dims := len(x.Shape) - 2
		if dims > 8 {
			return f.Bad("a convolution over %d dimensions", dims)
		}
		double := -1
		if taps >= 0 {
			double = taps * dims
		}
		out := sizes(y.Shape, 2)
		if err := f.shaped(2, append([]int{x.Shape[0].N, double}, out...)...); err != nil {
			return err
		}
		return f.shaped(4, append([]int{x.Shape[0].N, taps}, out...)...)
	},
	Cost: func(f *Inference) Cost {
		c := convCost(f)
		c.Ops = 4 * c.MACs / max(1, int64(f.Int("group"))) // the four neighbours of every tap
		return c
	},
	Eval: func(c *Call) error {
		x, w := c.In[0], c.In[1]
		s, err := window(c.Node, c.badAttr, w.Shape[2:], x.Shape[2:], false)
		if err != nil {
			return err
		}
		dims := append([]int{x.Shape[0], w.Shape[0]}, s.out...)
		y, err := c.make(x.DType, dims)
		if err != nil {
			return err
		}
		c.Out[0] = y
		if y.Len() == 0 {
			return nil
		}
		n := len(s.kernel)
		outs, taps, ins := product(s.out), product(s.kernel), product(s.in)
		channels, group, og := x.Shape[1], int(c.Int("group")), int(c.Int("offset_group"))
		cg, mg := w.Shape[1], w.Shape[0]/group
		if err := c.room(channels, taps); err != nil {
			return err
		}
		xv, wv, ov := toFloat64(x), toFloat64(w), toFloat64(c.In[2])
		column := make([]float64, channels*taps) // what each tap of each channel reads at one place
		oi, ki, place := make([]int, n), make([]int, n), make([]float64, n)
		for b := range x.Shape[0] {
			for o := range outs {
				unflatten(o, s.out, oi)
				for k := range taps {
					unflatten(k, s.kernel, ki)
					for q := range og {
						move := ((b*og+q)*taps + k) * n
						for d := range n {
							place[d] = float64(oi[d]*s.stride[d]+ki[d]*s.dilation[d]-s.begin[d]) + ov[(move+d)*outs+o]
						}
						m := 1.0
						if c.Has(4) {
							m = c.In[4].Float64At(((b*og+q)*taps+k)*outs + o)
						}
						for ch := q * (channels / og); ch < (q+1)*(channels/og); ch++ {
							column[ch*taps+k] = m * between(xv[(b*channels+ch)*ins:][:ins], s.in, place)
						}
					}
				}
				for ch := range w.Shape[0] {
					v := dot(wv[ch*cg*taps:][:cg*taps], column[ch/mg*cg*taps:])
					if c.Has(3) {
						v += c.In[3].Float64At(ch)
					}
					y.SetFloat64((b*w.Shape[0]+ch)*outs+o, v)
				}
			}
		}
		return nil
	}}

// between reads p, of shape dims, at a place between its elements: linear in every dimension, zeros outside.
func between(p []float64, dims []int, place []float64) float64 {
	n := len(dims)
	sum := 0.0
corners:
	for corner := range 1 << n {
		weight, at := 1.0, 0
		for d := range n {
			lo := math.Floor(place[d])
			part := place[d] - lo
			if corner>>d&1 == 1 {
				lo, part = lo+1, 1-part
			}
			if weight *= 1 - part; weight == 0 || !(lo >= 0 && lo < float64(dims[d])) {
				continue corners
			}
			at = at*dims[d] + int(lo)
		}
		sum += weight * p[at]
	}
	return sum
}
