package ops

import (
	"hash/fnv"
	"math"
	"math/rand/v2"

	"fettle/model"
)

// randomOps: draws. The same node with the same seed draws the same; without a seed the node's id is the seed, so that a
// run can be repeated.
func randomOps() []*Def {
	seed := AttrSpec{Name: "seed", Type: model.AttrFloat}
	dtype := AttrSpec{Name: "dtype", Type: model.AttrInt}
	shape := AttrSpec{Name: "shape", Type: model.AttrInts, Required: true}
	normal := []AttrSpec{{Name: "mean", Type: model.AttrFloat, Default: float32(0)}, {Name: "scale", Type: model.AttrFloat, Default: float32(1)}, seed, dtype}
	uniform := []AttrSpec{{Name: "low", Type: model.AttrFloat, Default: float32(0)}, {Name: "high", Type: model.AttrFloat, Default: float32(1)}, seed, dtype}
	drawNormal := func(c *Call, r *rand.Rand) func(int) float64 {
		m, s := float64(c.Float("mean")), float64(c.Float("scale"))
		return func(int) float64 { return m + s*r.NormFloat64() }
	}
	drawUniform := func(c *Call, r *rand.Rand) func(int) float64 {
		lo, hi := float64(c.Float("low")), float64(c.Float("high"))
		return func(int) float64 { return lo + (hi-lo)*r.Float64() }
	}
	fixed := func(name string, attrs []AttrSpec, draw func(*Call, *rand.Rand) func(int) float64) *Def {
		return &Def{Name: name, Since: []int{1, 22}, Out: []Port{{Name: "output"}}, Attrs: append(append([]AttrSpec{}, attrs...), shape), Exact: Random,
			Infer: func(f *Inference) error {
				s := model.Shape{}
				for _, d := range f.Ints("shape") {
					if d < 0 || d > 1<<30 {
						return f.BadAttr("shape", "has the dimension %d", d)
					}
					s = append(s, model.Fixed(int(d)))
				}
				f.Out[0] = model.TensorType(model.Float32, s)
				return drawnType(f, Floats)
			},
			Eval: func(c *Call) error {
				dims := []int{}
				for _, d := range c.Ints("shape") {
					dims = append(dims, int(d))
				}
				return c.draw(dims, model.Float32, draw)
			}}
	}
	like := func(name string, attrs []AttrSpec, allowed Set, draw func(*Call, *rand.Rand) func(int) float64) *Def {
		return &Def{Name: name, Since: []int{1, 22}, In: []Port{{Name: "input", Type: "T"}}, Out: []Port{{Name: "output"}}, Attrs: attrs, Exact: Random,
			Types: map[string]Set{"T": Any},
			Infer: func(f *Inference) error {
				f.Out[0] = f.In[0]
				return drawnType(f, allowed)
			},
			Eval: func(c *Call) error { return c.draw(c.In[0].Shape, c.In[0].DType, draw) }}
	}
	bernoulli := like("Bernoulli", []AttrSpec{seed, dtype}, Numeric|BoolSet, func(c *Call, r *rand.Rand) func(int) float64 {
		return func(i int) float64 {
			if r.Float64() < c.In[0].Float64At(i) {
				return 1
			}
			return 0
		}
	})
	bernoulli.Since = []int{15, 22}
	bernoulli.Types = map[string]Set{"T": Floats}
	return []*Def{
		fixed("RandomNormal", normal, drawNormal), fixed("RandomUniform", uniform, drawUniform),
		like("RandomNormalLike", normal, Floats, drawNormal), like("RandomUniformLike", uniform, Floats, drawUniform),
		bernoulli, multinomialDef,
	}
}

// drawnType puts the attribute dtype, where given, on output 0.
func drawnType(f *Inference, allowed Set) error {
	if d := f.Int("dtype"); d != 0 {
		if d < 0 || d > 255 || !allowed.Has(model.DType(d)) {
			return f.BadAttr("dtype", "is %d, allowed: %s", d, allowed)
		}
		f.Out[0].DType = model.DType(d)
	}
	if d := f.Out[0].DType; d != model.Undefined && !allowed.Has(d) {
		return f.Bad("draws of %s, allowed: %s", d, allowed)
	}
	return nil
}

// source is the generator of a node.
func (c *Call) source() *rand.Rand {
	if a := c.Node.Attr("seed"); a != nil {
		if a.Type == model.AttrInt { // of Dropout
			return rand.New(rand.NewPCG(uint64(a.I), 0x66657474))
		}
		return rand.New(rand.NewPCG(uint64(math.Float32bits(a.F)), 0x66657474))
	}
	h := fnv.New64a()
	h.Write([]byte(c.Node.ID))
	return rand.New(rand.NewPCG(h.Sum64(), 0x6c65))
}

func (c *Call) draw(dims []int, d model.DType, of func(*Call, *rand.Rand) func(int) float64) error {
	if v := c.Int("dtype"); v != 0 {
		d = model.DType(v)
	}
	y, err := c.make(d, dims)
	if err != nil {
		return err
	}
	next := of(c, c.source())
	for i := range y.Len() {
		y.SetFloat64(i, next(i))
	}
	c.Out[0] = y
	return nil
}

// multinomialDef draws classes from rows of unnormalised log probabilities.
var multinomialDef = &Def{Name: "Multinomial", Since: []int{7, 22}, In: []Port{{Name: "input", Type: "T"}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Floats}, Exact: Random,
	Attrs: []AttrSpec{{Name: "dtype", Type: model.AttrInt, Default: int64(model.Int32)}, {Name: "sample_size", Type: model.AttrInt, Default: int64(1)}, {Name: "seed", Type: model.AttrFloat}},
	Infer: func(f *Inference) error {
		if err := f.ranked(0, 2, 2); err != nil {
			return err
		}
		n := f.Int("sample_size")
		if n < 1 || n > 1<<30 {
			return f.BadAttr("sample_size", "is %d", n)
		}
		rows := model.Sym("")
		if f.In[0].Ranked {
			rows = f.In[0].Shape[0]
			if k := f.In[0].Shape[1]; k.Known() && k.N == 0 {
				return f.Bad("there is no class to draw")
			}
		}
		f.Out[0] = model.TensorType(model.Int32, model.Shape{rows, model.Fixed(int(n))})
		return drawnType(f, Index)
	},
	Eval: func(c *Call) error {
		rows, classes, n := c.In[0].Shape[0], c.In[0].Shape[1], int(c.Int("sample_size"))
		d := model.Int32
		if v := c.Int("dtype"); v != 0 {
			d = model.DType(v)
		}
		y, err := c.make(d, []int{rows, n})
		if err != nil {
			return err
		}
		r := c.source()
		p := toFloat64(c.In[0])
		for i := range rows {
			row := p[i*classes:][:classes]
			softmaxLine(row, classes, 1, "Softmax")
			for k := range n {
				u, at := r.Float64(), 0
				for at < classes-1 && u >= row[at] {
					u -= row[at]
					at++
				}
				y.SetInt64(i*n+k, int64(at))
			}
		}
		c.Out[0] = y
		return nil
	}}
