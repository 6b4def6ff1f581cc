package ops

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// msNormOps: sums with a bias or a residual in front of a normalization, as ONNX Runtime's optimizer joins them.
func msNormOps() []*Def {
	floats := map[string]Set{"T": Floats}
	t := func(names ...string) []Port {
		var out []Port
		for _, n := range names {
			out = append(out, Port{Name: n, Type: "T"})
		}
		return out
	}
	y := []Port{{Name: "Y"}}
	return []*Def{
		skipNormDef("SkipLayerNormalization", true), skipNormDef("SkipSimplifiedLayerNormalization", false),
		embedNormDef, simplifiedNormDef,
		{Name: "BiasAdd", Domain: microsoft, Since: []int{1}, In: t("X", "bias", "skip"), Out: y, Types: floats, Exact: Rounding,
			Infer: func(f *Inference) error {
				if err := inferBiased(f); err != nil || !f.In[0].Ranked {
					return err
				}
				return f.shaped(2, sizes(f.In[0].Shape, 0)...)
			},
			Eval: func(c *Call) error { return c.summed(2, c.In[1], func(v float64) float64 { return v }) }},
		{Name: "BiasSplitGelu", Domain: microsoft, Since: []int{1}, In: t("X", "bias"), Out: y, Types: floats, Exact: Rounding, Infer: inferBiasSplit, Eval: biasSplit},
		biasSoftmaxDef, biasDropoutDef,
	}
}

// summed applies g to input 0 plus a bias along the last dimension plus, where it is there, input k of the same shape.
func (c *Call) summed(k int, bias *model.Tensor, g func(float64) float64) error {
	v := toFloat64(c.In[0])
	for i := range v {
		if bias != nil {
			v[i] += bias.Float64At(i % bias.Len())
		}
		if c.Has(k) {
			v[i] += c.In[k].Float64At(i)
		}
		v[i] = g(v[i])
	}
	var err error
	c.Out[0], err = c.fromFloat64(c.In[0].DType, c.In[0].Shape, v)
	return err
}

// skipNormDef: layer normalization of input plus skip plus bias; without center of their root mean square.
func skipNormDef(name string, center bool) *Def {
	in := []Port{{Name: "input", Type: "T"}, {Name: "skip", Type: "T"}, {Name: "gamma", Type: "T"}}
	bias := 3
	if center {
		in = append(in, Port{Name: "beta", Type: "T", Opt: true})
		bias = 4
	}
	in = append(in, Port{Name: "bias", Type: "T", Opt: true})
	return &Def{Name: name, Domain: microsoft, Since: []int{1}, In: in, Types: map[string]Set{"T": Floats}, Exact: Rounding,
		Out:   []Port{{Name: "output"}, {Name: "mean", Opt: true}, {Name: "inv_std_var", Opt: true}, {Name: "input_skip_bias_sum", Opt: true}},
		Attrs: []AttrSpec{{Name: "epsilon", Type: model.AttrFloat, Default: float32(1e-12)}},
		Infer: func(f *Inference) error {
			if err := f.ranked(0, 2, 3); err != nil {
				return err
			}
			for i := range f.Out {
				f.Out[i] = f.In[0]
				if i == 1 || i == 2 {
					f.Out[i] = model.Type{DType: model.Float32}
				}
			}
			if !f.In[0].Ranked {
				return nil
			}
			s := f.In[0].Shape
			for i := 2; i < len(f.In); i++ {
				if err := f.sizedLine(i, s[len(s)-1]); err != nil {
					return err
				}
			}
			for i := 1; i < min(3, len(f.Out)); i++ {
				f.Out[i] = model.TensorType(model.Float32, append(append(model.Shape{}, s[:len(s)-1]...), model.Fixed(1)))
			}
			// skip has the shape of the input, or leaves the batch out or at 1.
			k := f.In[1].Shape
			if !f.In[1].Ranked {
				return nil
			}
			if len(k) == len(s) && len(s) == 3 && k[0].Known() && k[0].N == 1 {
				return f.shaped(1, append([]int{1}, sizes(s[1:], 0)...)...)
			}
			if len(k) == 2 && len(s) == 3 {
				return f.shaped(1, sizes(s[1:], 0)...)
			}
			return f.shaped(1, sizes(s, 0)...)
		},
		Eval: func(c *Call) error {
			s := c.In[0].Shape
			n := s[len(s)-1]
			v, skip := toFloat64(c.In[0]), toFloat64(c.In[1])
			for i := range v {
				v[i] += skip[i%len(skip)]
				if c.Has(bias) {
					v[i] += c.In[bias].Float64At(i % n)
				}
			}
			var err error
			if len(c.Out) > 3 {
				if c.Out[3], err = c.fromFloat64(c.In[0].DType, s, v); err != nil {
					return err
				}
			}
			var beta *model.Tensor
			if center {
				beta = c.opt(3)
			}
			mean, inv := normalizeRows(v, n, float64(c.Float("epsilon")), center, c.In[2], beta)
			if c.Out[0], err = c.fromFloat64(c.In[0].DType, s, v); err != nil {
				return err
			}
			dims := append(append([]int{}, s[:len(s)-1]...), 1)
			for i, m := range [][]float64{1: mean, 2: inv} {
				if i > 0 && len(c.Out) > i {
					if len(m) == 0 { // rows of nothing
						m = make([]float64, product(dims))
					}
					if c.Out[i], err = c.fromFloat64(model.Float32, dims, m); err != nil {
						return err
					}
				}
			}
			return nil
		}}
}

// normalizeRows brings rows of n numbers to mean 0 and deviation 1, or without center to a root mean square of 1, then
// applies scale and shift (nil: none). It gives mean and inverse deviation of each row.
func normalizeRows(v []float64, n int, eps float64, center bool, scale, shift *model.Tensor) (mean, inv []float64) {
	for at := 0; at < len(v); at += n {
		row := v[at : at+n]
		m, sum := 0.0, 0.0
		if center {
			for _, e := range row {
				m += e
			}
			m /= float64(n)
		}
		for _, e := range row {
			sum += (e - m) * (e - m)
		}
		k := 1 / math.Sqrt(sum/float64(n)+eps)
		for i, e := range row {
			row[i] = (e - m) * k * scale.Float64At(i)
			if shift != nil {
				row[i] += shift.Float64At(i)
			}
		}
		mean, inv = append(mean, m), append(inv, k)
	}
	return mean, inv
}

// embedNormDef: the sum of a word's, a position's and a segment's vector, normalized; and how many words of each line the
// mask leaves.
var embedNormDef = &Def{Name: "EmbedLayerNormalization", Domain: microsoft, Since: []int{1}, Types: map[string]Set{"T": Floats}, Exact: Rounding,
	In: []Port{{Name: "input_ids", Type: "int32"}, {Name: "segment_ids", Type: "int32", Opt: true}, {Name: "word_embedding", Type: "T"}, {Name: "position_embedding", Type: "T"},
		{Name: "segment_embedding", Type: "T", Opt: true}, {Name: "gamma", Type: "T"}, {Name: "beta", Type: "T"}, {Name: "mask", Type: "int32", Opt: true}, {Name: "position_ids", Type: "int32", Opt: true}},
	Out:   []Port{{Name: "output"}, {Name: "mask_index", Opt: true}, {Name: "embedding_sum", Opt: true}},
	Attrs: []AttrSpec{{Name: "epsilon", Type: model.AttrFloat, Default: float32(1e-12)}, {Name: "mask_index_type", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		for i, d := range []model.DType{f.In[2].DType, model.Int32, f.In[2].DType} {
			if i < len(f.Out) {
				f.Out[i] = model.Type{DType: d}
			}
		}
		for _, i := range []int{0, 2, 3} {
			if err := f.ranked(i, 2, 2); err != nil {
				return err
			}
		}
		if f.Has(1) != f.Has(4) {
			return f.Bad("segment_ids and segment_embedding come together")
		}
		hidden := model.Sym("")
		if f.In[2].Ranked {
			hidden = f.In[2].Shape[1]
		}
		for _, i := range []int{3, 4} {
			if err := f.shaped(i, -1, dimNumber(hidden)); err != nil {
				return err
			}
		}
		for _, i := range []int{5, 6} {
			if err := f.sizedLine(i, hidden); err != nil {
				return err
			}
		}
		if !f.In[0].Ranked {
			return nil
		}
		s := f.In[0].Shape
		for _, i := range []int{1, 7} {
			if err := f.shaped(i, sizes(s, 0)...); err != nil {
				return err
			}
		}
		if err := f.shaped(8, -1, dimNumber(s[1])); err != nil {
			return err
		}
		if f.Has(8) && f.In[8].Ranked {
			if b := f.In[8].Shape[0]; b.Known() && s[0].Known() && b.N != 1 && b.N != s[0].N {
				return f.Bad("position_ids have %d lines, want %d or 1", b.N, s[0].N)
			}
		}
		for i, shape := range []model.Shape{{s[0], s[1], hidden}, {s[0]}, {s[0], s[1], hidden}} {
			if i < len(f.Out) {
				f.Out[i] = model.TensorType(f.Out[i].DType, shape)
			}
		}
		return nil
	},
	Eval: func(c *Call) error {
		batch, length, n := c.In[0].Shape[0], c.In[0].Shape[1], c.In[2].Shape[1]
		if err := c.room(batch+1, length+1, n+1); err != nil {
			return err
		}
		v := make([]float64, batch*length*n)
		add := func(row []float64, table int, at int64) error {
			t := c.In[table]
			if at < 0 || at >= int64(t.Shape[0]) {
				return c.Bad("row %d of input %d (%s), which has %d", at, table, port(c.Def.In, table).Name, t.Shape[0])
			}
			for i := range row {
				row[i] += t.Float64At(int(at)*n + i)
			}
			return nil
		}
		for i := range batch * length {
			row := v[i*n : (i+1)*n]
			place := int64(i % length)
			if c.Has(8) {
				place = c.In[8].Int64At(i % c.In[8].Len())
			}
			if err := add(row, 2, c.In[0].Int64At(i)); err != nil {
				return err
			}
			if err := add(row, 3, place); err != nil {
				return err
			}
			if c.Has(1) {
				if err := add(row, 4, c.In[1].Int64At(i)); err != nil {
					return err
				}
			}
		}
		var err error
		dims := []int{batch, length, n}
		if len(c.Out) > 2 {
			if c.Out[2], err = c.fromFloat64(c.In[2].DType, dims, v); err != nil {
				return err
			}
		}
		if len(c.Out) > 1 {
			if c.Out[1], err = c.make(model.Int32, []int{batch}); err != nil {
				return err
			}
			for i := 0; c.Has(7) && i < c.In[7].Len(); i++ {
				if c.In[7].Int64At(i) == 1 {
					c.Out[1].SetInt64(i/length, c.Out[1].Int64At(i/length)+1)
				}
			}
		}
		normalizeRows(v, n, float64(c.Float("epsilon")), true, c.In[5], c.In[6])
		c.Out[0], err = c.fromFloat64(c.In[2].DType, dims, v)
		return err
	}}

// dimNumber is a dimension as a number, -1 where it is not known.
func dimNumber(d model.Dim) int {
	if !d.Known() {
		return -1
	}
	return d.N
}

// simplifiedNormDef is RMSNormalization as ONNX Runtime wrote it before the standard had it: in the standard's domain, with
// the inverse deviation as a second result.
var simplifiedNormDef = &Def{Name: "SimplifiedLayerNormalization", Since: []int{1}, In: []Port{{Name: "X", Type: "T"}, {Name: "scale", Type: "V"}},
	Out: []Port{{Name: "Y"}, {Name: "inv_std_var", Opt: true}}, Types: map[string]Set{"T": Floats, "V": Floats}, Exact: Rounding,
	Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Default: int64(-1)}, {Name: "epsilon", Type: model.AttrFloat, Default: float32(1e-5)},
		{Name: "stash_type", Type: model.AttrInt, Default: int64(model.Float32)}},
	Infer: func(f *Inference) error {
		if err := inferLayerNorm(f); err != nil {
			return err
		}
		f.Out[0].DType = f.In[1].DType
		return nil
	},
	Eval: func(c *Call) error {
		g := *c
		g.Node = &model.Node{ID: c.Node.ID, Op: c.Node.Op, Attrs: c.Node.Attrs, Outputs: []string{"Y", "", ""}}
		g.Out = make([]*model.Tensor, 3)
		if c.Wants(1) {
			g.Node.Outputs[2] = "inv"
		}
		err := layerNorm(&g, false)
		c.Out[0] = g.Out[0]
		if len(c.Out) > 1 {
			c.Out[1] = g.Out[2]
		}
		return err
	}}

func inferBiasSplit(f *Inference) error {
	if err := inferBiased(f); err != nil || !f.In[0].Ranked {
		return err
	}
	s := append(model.Shape{}, f.In[0].Shape...)
	last := len(s) - 1
	if s[last].Known() && s[last].N%2 != 0 {
		return f.Bad("%d channels are not two halves", s[last].N)
	}
	s[last] = scaleDim(s[last], 1, 2)
	f.Out[0].Shape = s
	return nil
}

// biasSplit: after the bias, the left half of each line times the Gelu of the right half.
func biasSplit(c *Call) error {
	s := c.In[0].Shape
	n := s[len(s)-1]
	v := toFloat64(c.In[0])
	y := make([]float64, 0, len(v)/2)
	for at := 0; at < len(v); at += n {
		for i := range n / 2 {
			y = append(y, (v[at+i]+c.In[1].Float64At(i))*gelu(v[at+n/2+i]+c.In[1].Float64At(n/2+i)))
		}
	}
	var err error
	c.Out[0], err = c.fromFloat64(c.In[0].DType, append(append([]int{}, s[:len(s)-1]...), n/2), y)
	return err
}

// biasSoftmaxDef: softmax of data plus a bias that broadcasts, over all dimensions from axis on.
var biasSoftmaxDef = &Def{Name: "BiasSoftmax", Domain: microsoft, Since: []int{1}, In: []Port{{Name: "data", Type: "T"}, {Name: "bias", Type: "T"}}, Out: []Port{{Name: "output"}},
	Types: map[string]Set{"T": Floats}, Exact: Rounding,
	Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Default: int64(1)}, {Name: "is_inner_broadcast", Type: model.AttrInt, Required: true}},
	Infer: func(f *Inference) error {
		if f.In[0].Ranked && f.In[1].Ranked {
			if _, err := f.axisAttr(); err != nil {
				return err
			}
			s, err := broadcastShape(f, f.In[0].Shape, f.In[1].Shape)
			if err != nil {
				return err
			}
			for i, d := range s {
				if a := f.In[0].Shape; len(s) != len(a) || d.Known() && a[i].Known() && d.N != a[i].N {
					return f.Bad("the bias %s does not broadcast to %s", f.In[1].Shape, a)
				}
			}
		}
		return inferSame(f)
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		a, err := c.axisAttr()
		if err != nil {
			return err
		}
		v := toFloat64(x)
		w := newWalk(x.Shape, broadcastStride(c.In[1].Shape, x.Shape))
		for i := range v {
			v[i] += c.In[1].Float64At(w.off[0])
			w.next()
		}
		n := product(x.Shape[a:])
		for at := 0; at < len(v); at += n {
			softmaxLine(v[at:], n, 1, "Softmax")
		}
		c.Out[0], err = c.fromFloat64(x.DType, x.Shape, v)
		return err
	}}

// biasDropoutDef: data plus bias through a dropout, plus the residual. Only what is used after training is known: nothing drops.
var biasDropoutDef = &Def{Name: "BiasDropout", Domain: microsoft, Since: []int{1}, Out: []Port{{Name: "output"}, {Name: "mask", Opt: true}}, Exact: Rounding,
	In:    []Port{{Name: "data", Type: "T"}, {Name: "bias", Type: "T"}, {Name: "residual", Type: "T", Opt: true}, {Name: "ratio", Type: "T1", Opt: true}, {Name: "training_mode", Type: "bool", Opt: true}},
	Types: map[string]Set{"T": Floats, "T1": Floats}, Attrs: []AttrSpec{{Name: "seed", Type: model.AttrInt}},
	Infer: func(f *Inference) error {
		f.Out[0] = f.In[0]
		if len(f.Out) > 1 {
			f.Out[1] = f.In[0]
			f.Out[1].DType = model.Bool
		}
		for _, i := range []int{3, 4} {
			if err := f.single(i); err != nil {
				return err
			}
		}
		s := f.In[0].Shape
		if !f.In[0].Ranked {
			return nil
		}
		if len(s) == 0 {
			return f.Bad("a scalar takes no bias")
		}
		if err := f.shaped(2, sizes(s, 0)...); err != nil {
			return err
		}
		if f.In[1].Ranked && len(f.In[1].Shape) == 1 {
			return f.shaped(1, dimNumber(s[len(s)-1]))
		}
		return f.shaped(1, sizes(s, 0)...)
	},
	Eval: func(c *Call) error {
		if c.Has(4) && c.In[4].Raw[0] != 0 && !(c.Has(3) && c.In[3].Float64At(0) == 0) {
			return fail.New(fail.Unsupported, "BiasDropout while training").At(fail.Where{Node: string(c.Node.ID), Op: c.Node.Op})
		}
		if err := c.summed(2, c.In[1], func(v float64) float64 { return v }); err != nil {
			return err
		}
		if len(c.Out) > 1 {
			m, err := c.make(model.Bool, c.In[0].Shape)
			if err != nil {
				return err
			}
			for i := range m.Raw {
				m.Raw[i] = 1
			}
			c.Out[1] = m
		}
		return nil
	}}
