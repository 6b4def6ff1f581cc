package ops

import (
	"math"

	"fettle/model"
)

// normOps: operators that bring mean and deviation of parts of a tensor to given values.
func normOps() []*Def {
	eps := func(v float32) AttrSpec { return AttrSpec{Name: "epsilon", Type: model.AttrFloat, Default: v} }
	axis := AttrSpec{Name: "axis", Type: model.AttrInt, Default: int64(-1)}
	stash := AttrSpec{Name: "stash_type", Type: model.AttrInt, Default: int64(model.Float32)}
	float := map[string]Set{"T": Floats}
	return []*Def{
		batchNormDef, lrnDef,
		{Name: "InstanceNormalization", Since: []int{1, 6, 22}, In: []Port{{Name: "input", Type: "T"}, {Name: "scale", Type: "T"}, {Name: "B", Type: "T"}}, Out: []Port{{Name: "output"}},
			Types: float, Exact: Rounding, Attrs: []AttrSpec{eps(1e-5)},
			Infer: func(f *Inference) error { return inferChannels(f, 2, 1, 2) },
			Eval:  func(c *Call) error { return groupNorm(c, 0) }},
		{Name: "GroupNormalization", Since: []int{18, 21}, In: []Port{{Name: "X", Type: "T"}, {Name: "scale", Type: "T"}, {Name: "bias", Type: "T"}}, Out: []Port{{Name: "Y"}},
			Types: float, Exact: Rounding, Attrs: []AttrSpec{eps(1e-5), {Name: "num_groups", Type: model.AttrInt, Required: true}, stash}, Infer: inferGroupNorm,
			Eval: func(c *Call) error { return groupNorm(c, c.Int("num_groups")) }},
		{Name: "LayerNormalization", Since: []int{17}, In: []Port{{Name: "X", Type: "T"}, {Name: "Scale", Type: "T"}, {Name: "B", Type: "T", Opt: true}},
			Out: []Port{{Name: "Y"}, {Name: "Mean", Opt: true}, {Name: "InvStdDev", Opt: true}}, Types: float, Exact: Rounding, Attrs: []AttrSpec{axis, eps(1e-5), stash},
			Infer: inferLayerNorm, Eval: func(c *Call) error { return layerNorm(c, true) }},
		{Name: "RMSNormalization", Since: []int{23}, In: []Port{{Name: "X", Type: "T"}, {Name: "scale", Type: "V"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats, "V": Floats},
			Exact: Rounding, Attrs: []AttrSpec{axis, eps(1e-5), stash},
			Infer: func(f *Inference) error {
				if err := inferLayerNorm(f); err != nil {
					return err
				}
				f.Out[0].DType = f.In[1].DType
				return nil
			},
			Eval: func(c *Call) error { return layerNorm(c, false) }},
		{Name: "LpNormalization", Since: []int{1, 22}, In: []Port{{Name: "input", Type: "T"}}, Out: []Port{{Name: "output"}}, Types: float, Exact: Rounding,
			Attrs: []AttrSpec{axis, {Name: "p", Type: model.AttrInt, Default: int64(2)}},
			Infer: func(f *Inference) error {
				if p := f.Int("p"); p != 1 && p != 2 {
					return f.BadAttr("p", "is %d, want 1 or 2", p)
				}
				if f.In[0].Ranked {
					if _, err := f.axisAttr(); err != nil {
						return err
					}
				}
				return inferSame(f)
			},
			Eval: func(c *Call) error {
				a, err := c.axisAttr()
				if err != nil {
					return err
				}
				r := &reduction{gone: make([]bool, len(c.In[0].Shape))}
				r.gone[a] = true
				return c.perGroup(r, func(v []float64, group []int32, n int) {
					norm := make([]float64, n)
					for i, g := range group {
						if c.Int("p") == 1 {
							norm[g] += math.Abs(v[i])
						} else {
							norm[g] += v[i] * v[i]
						}
					}
					for i, g := range group {
						d := norm[g]
						if c.Int("p") == 2 {
							d = math.Sqrt(d)
						}
						if d != 0 { // a line of zeros stays
							v[i] /= d
						}
					}
				})
			}},
		{Name: "MeanVarianceNormalization", Since: []int{9, 13}, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: float, Exact: Rounding,
			Attrs: []AttrSpec{{Name: "axes", Type: model.AttrInts, Default: []int64{0, 2, 3}}},
			Infer: func(f *Inference) error {
				if f.In[0].Ranked {
					if _, ok := axesOf(f.Ints("axes"), len(f.In[0].Shape)); !ok {
						return f.BadAttr("axes", "%v are not distinct dimensions of rank %d", f.Ints("axes"), len(f.In[0].Shape))
					}
				}
				return inferSame(f)
			},
			Eval: func(c *Call) error {
				axes, ok := axesOf(c.Ints("axes"), len(c.In[0].Shape))
				if !ok {
					return c.badAttr("axes", "%v of rank %d", c.Ints("axes"), len(c.In[0].Shape))
				}
				r := &reduction{gone: make([]bool, len(c.In[0].Shape))}
				for _, a := range axes {
					r.gone[a] = true
				}
				return c.perGroup(r, func(v []float64, group []int32, n int) {
					mean, variance := moments(v, group, n)
					for i, g := range group {
						v[i] = (v[i] - mean[g]) / (math.Sqrt(variance[g]) + 1e-9)
					}
				})
			}},
	}
}

// perGroup hands f the input in float64 with the number of the group of each element, one group for each place that r
// leaves, and makes output 0 of what f left.
func (c *Call) perGroup(r *reduction, f func(v []float64, group []int32, n int)) error {
	x := c.In[0]
	v := toFloat64(x)
	group := make([]int32, len(v))
	w := newWalk(x.Shape, r.strides(x.Shape))
	n := 0
	for i := range group {
		group[i] = int32(w.off[0])
		n = max(n, w.off[0]+1)
		w.next()
	}
	f(v, group, n)
	var err error
	c.Out[0], err = c.fromFloat64(x.DType, x.Shape, v)
	return err
}

// moments are mean and population variance of each of n groups.
func moments(v []float64, group []int32, n int) (mean, variance []float64) {
	mean, variance = make([]float64, n), make([]float64, n)
	count := make([]float64, n)
	for i, g := range group {
		mean[g] += v[i]
		count[g]++
	}
	for g := range mean {
		mean[g] /= count[g]
	}
	for i, g := range group {
		d := v[i] - mean[g]
		variance[g] += d * d
	}
	for g := range variance {
		variance[g] /= count[g]
	}
	return mean, variance
}

// inferChannels: output 0 is input 0, of rank least or more; the listed inputs have one element a channel.
func inferChannels(f *Inference, least int, params ...int) error {
	if err := f.ranked(0, least, anyRank); err != nil {
		return err
	}
	ch := model.Sym("")
	if s := f.In[0].Shape; f.In[0].Ranked {
		if ch = model.Fixed(1); len(s) > 1 {
			ch = s[1]
		}
	}
	for _, i := range params {
		if err := f.sizedLine(i, ch); err != nil {
			return err
		}
	}
	return inferSame(f)
}

// sizedLine fails where input i is known not to be a line of n elements.
func (f *Inference) sizedLine(i int, n model.Dim) error {
	if err := f.ranked(i, 1, 1); err != nil || !f.Has(i) || !f.In[i].Ranked {
		return err
	}
	if d := f.In[i].Shape[0]; d.Known() && n.Known() && d.N != n.N {
		return f.Bad("input %d has %d elements, want %d", i, d.N, n.N)
	}
	return nil
}

// groupNorm normalizes groups of channels of each picture; groups 0 is one for each channel.
func groupNorm(c *Call, groups int64) error {
	x, scale, bias := c.In[0], c.In[1], c.In[2]
	ch := x.Shape[1]
	if groups == 0 {
		groups = int64(ch)
	}
	if ch == 0 || x.Len() == 0 {
		c.Out[0] = x
		return nil
	}
	size := product(x.Shape[2:])
	per := ch / int(groups)
	v := toFloat64(x)
	group := make([]int32, len(v))
	for i := range group {
		group[i] = int32(i / size / per)
	}
	mean, variance := moments(v, group, x.Shape[0]*int(groups))
	eps := float64(c.Float("epsilon"))
	for i, g := range group {
		p := i / size % ch * scale.Len() / ch // of the channel, or of its group before opset 21
		v[i] = (v[i]-mean[g])/math.Sqrt(variance[g]+eps)*scale.Float64At(p) + bias.Float64At(p)
	}
	var err error
	c.Out[0], err = c.fromFloat64(x.DType, x.Shape, v)
	return err
}

// inferGroupNorm: scale and bias are of groups before opset 21 and of channels since.
func inferGroupNorm(f *Inference) error {
	if err := f.ranked(0, 2, anyRank); err != nil {
		return err
	}
	g := f.Int("num_groups")
	if g < 1 {
		return f.BadAttr("num_groups", "is %d", g)
	}
	want := model.Sym("")
	if s := f.In[0].Shape; f.In[0].Ranked && s[1].Known() {
		if int64(s[1].N)%g != 0 || int64(s[1].N) < g {
			return f.BadAttr("num_groups", "%d channels are not divisible by %d", s[1].N, g)
		}
		if want = s[1]; f.Opset < 21 {
			want = model.Fixed(int(g))
		}
	}
	for i := 1; i < 3; i++ {
		if err := f.sizedLine(i, want); err != nil {
			return err
		}
	}
	return inferSame(f)
}

// inferLayerNorm serves LayerNormalization and RMSNormalization: scale and shift broadcast to the input.
func inferLayerNorm(f *Inference) error {
	stash := model.DType(f.Int("stash_type"))
	if f.Int("stash_type") != int64(model.Float32) && f.Int("stash_type") != int64(model.Float64) && f.Int("stash_type") != int64(model.Float16) && f.Int("stash_type") != int64(model.BFloat16) {
		return f.BadAttr("stash_type", "%d is no floating-point type", f.Int("stash_type"))
	}
	f.Out[0] = f.In[0]
	for i := 1; i < len(f.Out); i++ {
		f.Out[i] = model.Type{DType: stash}
	}
	if !f.In[0].Ranked {
		return nil
	}
	s := f.In[0].Shape
	a, err := f.axisAttr()
	if err != nil {
		return err
	}
	for i := 1; i < len(f.In); i++ {
		if !f.Has(i) || !f.In[i].Ranked {
			continue
		}
		b, err := broadcastShape(f, s, f.In[i].Shape)
		if err != nil {
			return err
		}
		for k, d := range b {
			if len(b) != len(s) || d.Known() && s[k].Known() && d.N != s[k].N {
				return f.Bad("input %d of shape %s does not broadcast to %s", i, f.In[i].Shape, s)
			}
		}
	}
	for i := 1; i < len(f.Out); i++ {
		m := append(model.Shape{}, s[:a]...)
		for range s[a:] {
			m = append(m, model.Fixed(1))
		}
		f.Out[i] = model.TensorType(stash, m)
	}
	return nil
}

// layerNorm normalizes over all axes from the given one on; without center the mean stays (root mean square).
func layerNorm(c *Call, center bool) error {
	x := c.In[0]
	a, err := c.axisAttr()
	if err != nil {
		return err
	}
	rows, n := product(x.Shape[:a]), product(x.Shape[a:])
	mean, inv := make([]float64, rows), make([]float64, rows)
	v := toFloat64(x)
	scale := toFloat64(c.In[1])
	bias := []float64{0}
	strides := [][]int{broadcastStride(c.In[1].Shape, x.Shape), make([]int, len(x.Shape))}
	if center && c.Has(2) {
		bias, strides[1] = toFloat64(c.In[2]), broadcastStride(c.In[2].Shape, x.Shape)
	}
	w := newWalk(x.Shape, strides...)
	for r := range rows {
		line := v[r*n : (r+1)*n]
		if center {
			for _, e := range line {
				mean[r] += e
			}
			mean[r] /= float64(n)
		}
		sum := 0.0
		for _, e := range line {
			sum += (e - mean[r]) * (e - mean[r])
		}
		inv[r] = 1 / math.Sqrt(sum/float64(n)+float64(c.Float("epsilon")))
		for i, e := range line {
			line[i] = (e-mean[r])*inv[r]*scale[w.off[0]] + bias[w.off[1]]
			w.next()
		}
	}
	out := x.DType
	if !center {
		out = c.In[1].DType
	}
	if c.Out[0], err = c.fromFloat64(out, x.Shape, v); err != nil {
		return err
	}
	dims := append([]int{}, x.Shape[:a]...)
	for range x.Shape[a:] {
		dims = append(dims, 1)
	}
	for i, m := range [][]float64{1: mean, 2: inv} {
		if i > 0 && c.Wants(i) {
			if c.Out[i], err = c.fromFloat64(model.DType(c.Int("stash_type")), dims, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// lrnDef: each element is divided by a power of the sum of squares of its neighbours in other channels.
var lrnDef = &Def{Name: "LRN", Since: []int{1, 13}, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats}, Exact: Rounding,
	Attrs: []AttrSpec{{Name: "alpha", Type: model.AttrFloat, Default: float32(1e-4)}, {Name: "beta", Type: model.AttrFloat, Default: float32(0.75)},
		{Name: "bias", Type: model.AttrFloat, Default: float32(1)}, {Name: "size", Type: model.AttrInt, Required: true}},
	Infer: func(f *Inference) error {
		if n := f.Int("size"); n < 1 || n > 1<<30 {
			return f.BadAttr("size", "is %d", n)
		}
		return inferChannels(f, 2)
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		v := toFloat64(x)
		out := make([]float64, len(v))
		n, size := int(c.Int("size")), product(x.Shape[2:])
		alpha, beta, bias := float64(c.Float("alpha")), float64(c.Float("beta")), float64(c.Float("bias"))
		ch := x.Shape[1]
		for i, e := range v {
			k := i / size % ch
			sum := 0.0
			for j := max(0, k-(n-1)/2); j <= min(ch-1, k+n/2); j++ {
				s := v[i+(j-k)*size]
				sum += s * s
			}
			out[i] = e / math.Pow(bias+alpha/float64(n)*sum, beta)
		}
		var err error
		c.Out[0], err = c.fromFloat64(x.DType, x.Shape, out)
		return err
	}}
