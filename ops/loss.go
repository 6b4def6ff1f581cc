package ops

import (
	"math"

	"fettle/model"
)

// lossOps: what training minimises, with class indices as targets.
func lossOps() []*Def {
	attrs := []AttrSpec{{Name: "ignore_index", Type: model.AttrInt}, {Name: "reduction", Type: model.AttrString, Default: "mean", Enum: []string{"none", "sum", "mean"}}}
	types := map[string]Set{"T": Floats, "I": Index}
	return []*Def{
		{Name: "NegativeLogLikelihoodLoss", Since: []int{12, 13, 22}, In: []Port{{Name: "input", Type: "T"}, {Name: "target", Type: "I"}, {Name: "weight", Type: "T", Opt: true}},
			Out: []Port{{Name: "loss"}}, Types: types, Attrs: attrs, Exact: Rounding, Infer: inferLoss,
			Eval: func(c *Call) error {
				var err error
				c.Out[0], err = c.pickLoss(toFloat64(c.In[0]))
				return err
			}},
		{Name: "SoftmaxCrossEntropyLoss", Since: []int{12, 13}, In: []Port{{Name: "scores", Type: "T"}, {Name: "labels", Type: "I"}, {Name: "weights", Type: "T", Opt: true}},
			Out: []Port{{Name: "output"}, {Name: "log_prob", Opt: true}}, Types: types, Attrs: attrs, Exact: Rounding,
			Infer: func(f *Inference) error {
				if len(f.Out) > 1 {
					f.Out[1] = f.In[0]
				}
				return inferLoss(f)
			},
			Eval: func(c *Call) error {
				s := c.In[0].Shape
				v := toFloat64(c.In[0])
				inner := product(s[2:])
				for n := range s[0] {
					for i := range inner {
						if s[1] > 0 {
							softmaxLine(v[n*s[1]*inner+i:], s[1], inner, "LogSoftmax")
						}
					}
				}
				var err error
				if c.Wants(1) {
					if c.Out[1], err = c.fromFloat64(c.In[0].DType, s, v); err != nil {
						return err
					}
				}
				c.Out[0], err = c.pickLoss(v)
				return err
			}},
	}
}

// inferLoss: scores [N, C, d1, ...], labels [N, d1, ...], weights [C].
func inferLoss(f *Inference) error {
	f.Out[0] = model.Type{DType: f.In[0].DType}
	if err := f.ranked(0, 2, anyRank); err != nil {
		return err
	}
	x, t := f.In[0], f.In[1]
	if x.Ranked {
		want := append(sizes(x.Shape[:1], 0), sizes(x.Shape, 2)...)
		if err := f.shaped(1, want...); err != nil {
			return err
		}
		if err := f.shaped(2, x.Shape[1].N); err != nil {
			return err
		}
	}
	if f.Str("reduction") != "none" {
		f.Out[0] = model.TensorType(x.DType, model.Shape{})
	} else if t.Ranked {
		f.Out[0] = model.TensorType(x.DType, t.Shape)
	}
	return nil
}

// pickLoss takes minus the weighted log probability of each label from v, which has the shape of input 0.
func (c *Call) pickLoss(v []float64) (*model.Tensor, error) {
	s := c.In[0].Shape
	classes, inner := s[1], product(s[2:])
	ignore := c.Node.Attr("ignore_index")
	out := make([]float64, c.In[1].Len())
	sum, total := 0.0, 0.0
	for i := range out {
		label := c.In[1].Int64At(i)
		if ignore != nil && label == ignore.I {
			continue
		}
		if label < 0 || label >= int64(classes) {
			return nil, c.Bad("label %d is %d, there are %d classes", i, label, classes)
		}
		w := 1.0
		if c.Has(2) {
			w = c.In[2].Float64At(int(label))
		}
		out[i] = -w * v[(i/inner*classes+int(label))*inner+i%inner]
		sum += out[i]
		total += w
	}
	switch c.Str("reduction") {
	case "none":
		return c.fromFloat64(c.In[0].DType, c.In[1].Shape, out)
	case "mean":
		sum /= total
		if total == 0 {
			sum = math.NaN()
		}
	}
	return c.fromFloat64(c.In[0].DType, nil, []float64{sum})
}
