package ops

import (
	"fettle/model"
)

// controlOps: Constant, Identity, If, Loop, Scan.
func controlOps() []*Def {
	return []*Def{identityDef, ifDef}
}

var identityDef = &Def{
	Name: "Identity", Since: []int{1, 13, 14, 16, 19, 21, 23},
	In: []Port{{Name: "input", Type: "V"}}, Out: []Port{{Name: "output", Type: "V"}},
	Types: map[string]Set{"V": Any | Seq},
	Infer: func(f *Inference) error { f.Out[0] = f.In[0]; return nil },
	Eval:  func(c *Call) error { c.Out[0] = c.In[0]; return nil },
}

var ifDef = &Def{
	Name: "If", Since: []int{1, 11, 13, 16, 19, 21, 23},
	In: []Port{{Name: "cond", Type: "bool"}}, Out: []Port{{Name: "outputs", Many: true, Opt: true}},
	Attrs: []AttrSpec{{Name: "then_branch", Type: model.AttrGraph, Required: true}, {Name: "else_branch", Type: model.AttrGraph, Required: true}},
	Infer: func(f *Inference) error {
		then, err := f.Sub(f.Node.Attr("then_branch").G, nil)
		if err != nil {
			return err
		}
		other, err := f.Sub(f.Node.Attr("else_branch").G, nil)
		if err != nil {
			return err
		}
		if len(then) != len(f.Out) || len(other) != len(f.Out) {
			return f.Bad("has %d outputs, its branches give %d and %d", len(f.Out), len(then), len(other))
		}
		for i := range f.Out {
			f.Out[i] = common(then[i], other[i])
		}
		return nil
	},
	Eval: func(c *Call) error {
		if c.In[0].Len() != 1 {
			return c.Bad("the condition has %d elements, want 1", c.In[0].Len())
		}
		branch := "else_branch"
		if c.In[0].Raw[0] != 0 {
			branch = "then_branch"
		}
		out, err := c.Sub(c.Node.Attr(branch).G, nil)
		if err != nil {
			return err
		}
		copy(c.Out, out)
		return nil
	},
}

// common is what holds for both types: dimensions that differ become unknown.
func common(a, b model.Type) model.Type {
	if a.Kind != b.Kind {
		return model.Type{}
	}
	if a.DType != b.DType {
		a.DType = model.Undefined
	}
	if !a.Ranked || !b.Ranked || len(a.Shape) != len(b.Shape) {
		a.Ranked, a.Shape = false, nil
		return a
	}
	s := append(model.Shape(nil), a.Shape...)
	for i := range s {
		if s[i] != b.Shape[i] {
			s[i] = model.Sym("")
		}
	}
	a.Shape = s
	return a
}
