package ops

import (
	"fettle/internal/fail"
	"fettle/model"
)

// controlOps: constants, the copy, and the choice between two subgraphs.
func controlOps() []*Def {
	return []*Def{constantDef, identityDef, ifDef}
}

var constantDef = &Def{
	Name: "Constant", Since: []int{1, 9, 11, 12, 13, 19, 21, 23, 24}, Out: []Port{{Name: "output"}},
	Attrs: []AttrSpec{{Name: "value", Type: model.AttrTensor}, {Name: "sparse_value", Type: model.AttrSparse}, {Name: "value_float", Type: model.AttrFloat},
		{Name: "value_floats", Type: model.AttrFloats}, {Name: "value_int", Type: model.AttrInt}, {Name: "value_ints", Type: model.AttrInts},
		{Name: "value_string", Type: model.AttrString}, {Name: "value_strings", Type: model.AttrStrings}},
	Infer: func(f *Inference) error {
		t, err := ConstantValue(f.Node)
		if err != nil {
			return err
		}
		f.Out[0] = model.TypeOf(t)
		return nil
	},
	Eval: func(c *Call) error {
		t, err := ConstantValue(c.Node)
		c.Out[0] = t
		return err
	},
}

// ConstantValue is the tensor that a Constant node holds, shared with the node where it is an attribute.
func ConstantValue(n *model.Node) (*model.Tensor, error) {
	w := fail.Where{Node: string(n.ID), Op: n.Op}
	var got *model.Tensor
	for i := range n.Attrs {
		a := &n.Attrs[i]
		var t *model.Tensor
		switch a.Name {
		case "value":
			if t = a.T; t == nil {
				return nil, fail.New(fail.Invalid, "has no value").At(w).At(fail.Where{Attr: a.Name})
			}
			if err := t.Check(); err != nil {
				return nil, fail.In(err, "", w)
			}
		case "sparse_value":
			return nil, fail.New(fail.Unsupported, "a constant with sparse_value").At(w)
		case "value_float":
			t = model.Scalar32(a.F)
		case "value_floats":
			t = model.Float32s(a.Floats, len(a.Floats))
		case "value_int":
			t = model.FromSlice(model.Int64, []int64{a.I})
		case "value_ints":
			t = model.Int64s(a.Ints...)
		case "value_string":
			t = model.Strings([]string{string(a.S)})
		case "value_strings":
			t = model.Strings(make([]string, len(a.Strings)), len(a.Strings))
			for k, s := range a.Strings {
				t.Strs[k] = string(s)
			}
		default:
			continue
		}
		if got != nil {
			return nil, fail.New(fail.Invalid, "has two values, want one of value, value_float, value_ints and so on").At(w).At(fail.Where{Attr: a.Name})
		}
		got = t
	}
	if got == nil {
		return nil, fail.New(fail.Invalid, "has no value").At(w)
	}
	return got, nil
}

var identityDef = &Def{
	Name: "Identity", Since: []int{1, 13, 14, 16, 19, 21, 23, 24},
	In: []Port{{Name: "input", Type: "V"}}, Out: []Port{{Name: "output", Type: "V"}},
	Types: map[string]Set{"V": Any | Seq | Maybe},
	Infer: func(f *Inference) error { f.Out[0] = f.In[0]; return nil },
	Eval:  func(c *Call) error { c.Out[0] = c.In[0]; return nil },
}

var ifDef = &Def{
	Name: "If", Since: []int{1, 11, 13, 16, 19, 21, 23, 24},
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
	if a.Kind != model.KindTensor {
		if a.Elem != nil && b.Elem != nil {
			e := common(*a.Elem, *b.Elem)
			return model.Type{Kind: a.Kind, Elem: &e}
		}
		return model.Type{Kind: a.Kind}
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
