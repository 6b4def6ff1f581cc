package ops

import (
	"math"

	"fettle/model"
)

// batchNormDef over its versions: before opset 7 is_test tells inference from training, up to 13 training is what has more
// outputs than one, since 14 training_mode says it. Up to opset 8, spatial = 0 has parameters for each place of a picture.
var batchNormDef = &Def{Name: "BatchNormalization", Since: []int{1, 6, 7, 9, 14, 15}, Exact: Rounding,
	In:    []Port{{Name: "X", Type: "T"}, {Name: "scale", Type: "T1"}, {Name: "B", Type: "T1"}, {Name: "input_mean", Type: "T2"}, {Name: "input_var", Type: "T2"}},
	Out:   []Port{{Name: "Y"}, {Name: "running_mean", Opt: true}, {Name: "running_var", Opt: true}, {Name: "saved_mean", Opt: true}, {Name: "saved_var", Opt: true}},
	Types: map[string]Set{"T": Floats, "T1": Floats, "T2": Floats},
	Attrs: []AttrSpec{{Name: "epsilon", Type: model.AttrFloat, Default: float32(1e-5)}, {Name: "momentum", Type: model.AttrFloat, Default: float32(0.9)},
		{Name: "training_mode", Type: model.AttrInt, Default: int64(0)}, {Name: "is_test", Type: model.AttrInt, Default: int64(0), Until: 7},
		{Name: "spatial", Type: model.AttrInt, Default: int64(1), Until: 9}, {Name: "consumed_inputs", Type: model.AttrInts, Until: 6}},
	Infer: func(f *Inference) error {
		if f.Opset >= 14 && len(f.Out) > 3 {
			return f.Bad("has %d outputs, at most 3 since opset 14", len(f.Out))
		}
		for i := 1; i < len(f.Out); i++ {
			f.Out[i] = f.In[3+(i-1)%2]
		}
		if f.Opset < 9 && f.Int("spatial") == 0 {
			if err := f.ranked(0, 2, anyRank); err != nil {
				return err
			}
			return inferSame(f)
		}
		return inferChannels(f, 1, 1, 2, 3, 4)
	},
	Eval: batchNorm}

// trains reports whether the node takes mean and variance from the batch.
func (c *Call) trains() bool {
	more := false
	for i := 1; i < len(c.Out); i++ {
		more = more || c.Wants(i)
	}
	switch {
	case c.Opset >= 14:
		return c.Int("training_mode") != 0 || c.Train
	case c.Opset >= 7 || c.Opset == 0:
		return more || c.Train
	}
	return c.Int("is_test") == 0 || c.Train
}

func batchNorm(c *Call) error {
	x := c.In[0]
	ch := 1
	if len(x.Shape) > 1 {
		ch = x.Shape[1]
	}
	size := 1
	if len(x.Shape) > 2 {
		size = product(x.Shape[2:])
	}
	if c.Opset < 9 && c.Int("spatial") == 0 {
		ch, size = ch*size, 1 // every place is a channel
	}
	for i := 1; i < 5; i++ {
		if c.In[i].Len() != ch {
			return c.Bad("input %d has %d elements, want %d", i, c.In[i].Len(), ch)
		}
	}
	v := toFloat64(x)
	scale, bias := toFloat64(c.In[1]), toFloat64(c.In[2])
	mean, variance := toFloat64(c.In[3]), toFloat64(c.In[4])
	if c.trains() {
		group := make([]int32, len(v))
		for i := range group {
			group[i] = int32(i / size % ch)
		}
		bm, bv := moments(v, group, ch)
		if err := c.statistics(mean, variance, bm, bv); err != nil {
			return err
		}
		mean, variance = bm, bv
	} else {
		for i := 1; i < len(c.Out); i++ {
			c.Out[i] = c.In[3+(i-1)%2] // nothing moves the statistics
		}
	}
	eps := float64(c.Float("epsilon"))
	k, b := make([]float64, ch), make([]float64, ch)
	for i := range k {
		k[i] = scale[i] / math.Sqrt(variance[i]+eps)
		b[i] = bias[i] - mean[i]*k[i]
	}
	for i := range v {
		p := i / size % ch
		v[i] = v[i]*k[p] + b[p]
	}
	var err error
	c.Out[0], err = c.fromFloat64(x.DType, x.Shape, v)
	return err
}

// statistics makes the outputs of training: the running mean and variance, and those of the batch.
func (c *Call) statistics(mean, variance, bm, bv []float64) error {
	m := float64(c.Float("momentum"))
	running := func(old, now []float64) []float64 {
		out := make([]float64, len(old))
		for i := range out {
			out[i] = old[i]*m + now[i]*(1-m)
		}
		return out
	}
	for i, v := range [][]float64{1: running(mean, bm), 2: running(variance, bv), 3: bm, 4: bv} {
		if i == 0 || !c.Wants(i) {
			continue
		}
		like := c.In[3+(i-1)%2]
		t, err := c.fromFloat64(like.DType, like.Shape, v)
		if err != nil {
			return err
		}
		c.Out[i] = t
	}
	return nil
}
