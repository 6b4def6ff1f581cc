package ops

import (
	"math"

	"fettle/model"
)

// descentOps: steps of optimizers, from ONNX's training domain. Adam is not among them: the ONNX test of its form with
// several tensors takes another epsilon than the specification's default, so no kernel satisfies both.
func descentOps() []*Def {
	f := func(name string, def float32) AttrSpec {
		return AttrSpec{Name: name, Type: model.AttrFloat, Default: def}
	}
	must := func(name string) AttrSpec { return AttrSpec{Name: name, Type: model.AttrFloat, Required: true} }
	return []*Def{
		descentDef("Adagrad", 1, []AttrSpec{f("decay_factor", 0), f("epsilon", 1e-6), f("norm_coefficient", 0)},
			func(c *Call, rate, count float64) func(x, g float64, s []float64) float64 {
				rate /= 1 + count*float64(c.Float("decay_factor"))
				eps, norm := float64(c.Float("epsilon")), float64(c.Float("norm_coefficient"))
				return func(x, g float64, s []float64) float64 {
					g += norm * x
					s[0] += g * g
					return x - rate*g/(math.Sqrt(s[0])+eps)
				}
			}),
		descentDef("Momentum", 1, []AttrSpec{must("alpha"), must("beta"), must("norm_coefficient"), {Name: "mode", Type: model.AttrString, Required: true, Enum: []string{"standard", "nesterov"}}},
			func(c *Call, rate, count float64) func(x, g float64, s []float64) float64 {
				a, b, norm := float64(c.Float("alpha")), float64(c.Float("beta")), float64(c.Float("norm_coefficient"))
				if count <= 0 {
					b = 1
				}
				ahead := c.Str("mode") == "nesterov"
				return func(x, g float64, s []float64) float64 {
					g += norm * x
					s[0] = a*s[0] + b*g
					if ahead {
						return x - rate*(g+a*s[0])
					}
					return x - rate*s[0]
				}
			}),
	}
}

// descentDef: inputs are rate, count of updates, then all tensors, all gradients and all states of each kind; outputs are the
// new tensors and states. next moves one number and its states.
func descentDef(name string, states int, attrs []AttrSpec, next func(c *Call, rate, count float64) func(x, g float64, s []float64) float64) *Def {
	groups := 2 + states
	return &Def{Name: name, Domain: "ai.onnx.preview.training", Since: []int{1}, Attrs: attrs, Exact: Rounding, Types: map[string]Set{"T1": Floats, "T2": I64, "*T3": Floats},
		In:  []Port{{Name: "R", Type: "T1"}, {Name: "T", Type: "T2"}, {Name: "inputs", Type: "*T3", Many: true}},
		Out: []Port{{Name: "outputs", Many: true}},
		Infer: func(f *Inference) error {
			n := (len(f.In) - 2) / groups
			if n < 1 || (len(f.In)-2)%groups != 0 || len(f.Out) > n*(1+states) {
				return f.Bad("has %d inputs and %d outputs, want 2 and %d for each tensor, and %d for each", len(f.In), len(f.Out), groups, 1+states)
			}
			for i := range f.In {
				if i < 2 {
					if err := f.single(i); err != nil {
						return err
					}
					continue
				}
				if !f.Has(i) {
					return f.Bad("input %d is absent", i)
				}
				x, o := f.In[2+(i-2)%n], f.In[i]
				if x.Ranked && o.Ranked {
					if err := f.shaped(i, sizes(x.Shape, 0)...); err != nil {
						return err
					}
				}
				if x.DType != o.DType && x.DType != model.Undefined && o.DType != model.Undefined {
					return f.Bad("input %d is %s, its tensor %s", i, o.DType, x.DType)
				}
			}
			for i := range f.Out {
				f.Out[i] = f.In[2+i%n]
			}
			return nil
		},
		Eval: func(c *Call) error {
			n := (len(c.In) - 2) / groups
			step := next(c, c.In[0].Float64At(0), float64(c.In[1].Int64At(0)))
			for k := range n {
				at := func(group int) *model.Tensor { return c.In[2+group*n+k] }
				out := make([]*model.Tensor, 1+states)
				for i := range out {
					var err error
					if out[i], err = c.make(at(0).DType, at(0).Shape); err != nil {
						return err
					}
				}
				s := make([]float64, states)
				for i := range at(0).Len() {
					for j := range s {
						s[j] = at(2 + j).Float64At(i)
					}
					out[0].SetFloat64(i, step(at(0).Float64At(i), at(1).Float64At(i), s))
					for j := range s {
						out[1+j].SetFloat64(i, s[j])
					}
				}
				for j, t := range out {
					if p := j*n + k; p < len(c.Out) {
						c.Out[p] = t
					}
				}
			}
			return nil
		}}
}
