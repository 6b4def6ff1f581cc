package ops

import (
	"fettle/model"
)

// sequenceOps: lists of tensors, and values that may be absent.
func sequenceOps() []*Def {
	data := map[string]Set{"T": Any, "S": Seq, "I": Index}
	seq := Port{Name: "input_sequence", Type: "S"}
	position := Port{Name: "position", Type: "I", Opt: true}
	return []*Def{
		{Name: "SequenceEmpty", Since: []int{11}, Out: []Port{{Name: "output"}}, Attrs: []AttrSpec{{Name: "dtype", Type: model.AttrInt, Default: int64(model.Float32)}},
			Infer: func(f *Inference) error {
				d := f.Int("dtype")
				if d <= 0 || d > 255 || !Any.Has(model.DType(d)) {
					return f.BadAttr("dtype", "is %d, allowed: %s", d, Any)
				}
				f.Out[0] = sequenceType(model.Type{DType: model.DType(d)})
				return nil
			},
			Eval: func(c *Call) error {
				c.Out[0] = &model.Tensor{DType: model.Sequence, Elem: model.DType(c.Int("dtype"))}
				return nil
			}},
		{Name: "SequenceConstruct", Since: []int{11}, In: []Port{{Name: "inputs", Type: "T", Many: true}}, Out: []Port{{Name: "output_sequence"}}, Types: data,
			Infer: func(f *Inference) error {
				t := f.In[0]
				for _, o := range f.In[1:] {
					t = common(t, o)
				}
				f.Out[0] = sequenceType(t)
				return nil
			},
			Eval: func(c *Call) error {
				for i, t := range c.In {
					if t == nil {
						return c.Bad("input %d is absent", i)
					}
				}
				c.Out[0] = sequenceOf(c.In[0].DType, c.In...)
				return nil
			}},
		{Name: "SequenceLength", Since: []int{11}, In: []Port{seq}, Out: []Port{{Name: "length"}}, Types: data,
			Infer: func(f *Inference) error { f.Out[0] = model.TensorType(model.Int64, model.Shape{}); return nil },
			Eval: func(c *Call) error {
				c.Out[0] = model.FromSlice(model.Int64, []int64{int64(len(c.In[0].Elems))})
				return nil
			}},
		{Name: "SequenceAt", Since: []int{11}, In: []Port{seq, {Name: "position", Type: "I"}}, Out: []Port{{Name: "tensor"}}, Types: data,
			Infer: func(f *Inference) error { f.Out[0] = elementOf(f.In[0]); return f.single(1) },
			Eval: func(c *Call) error {
				i, err := c.position(1, len(c.In[0].Elems))
				if err == nil {
					c.Out[0] = c.In[0].Elems[i]
				}
				return err
			}},
		{Name: "SequenceErase", Since: []int{11}, In: []Port{seq, position}, Out: []Port{{Name: "output_sequence"}}, Types: data,
			Infer: func(f *Inference) error { f.Out[0] = f.In[0]; return f.single(1) },
			Eval: func(c *Call) error {
				e := c.In[0].Elems
				i, err := c.position(1, len(e))
				if err == nil {
					c.Out[0] = sequenceOf(c.In[0].Elem, append(append([]*model.Tensor{}, e[:i]...), e[i+1:]...)...)
				}
				return err
			}},
		{Name: "SequenceInsert", Since: []int{11}, In: []Port{seq, {Name: "tensor", Type: "T"}, position}, Out: []Port{{Name: "output_sequence"}}, Types: data,
			Infer: func(f *Inference) error {
				e := common(elementOf(f.In[0]), f.In[1])
				f.Out[0] = sequenceType(e)
				return f.single(2)
			},
			Eval: func(c *Call) error {
				e := c.In[0].Elems
				if d := c.In[0].Elem; d != model.Undefined && d != c.In[1].DType {
					return c.Bad("a %s into a sequence of %s", c.In[1].DType, d)
				}
				i, err := len(e), error(nil)
				if c.Has(2) { // a place after the last element is allowed
					if p := c.In[2].Int64At(0); p != int64(len(e)) {
						i, err = c.position(2, len(e))
					}
				}
				if err == nil {
					c.Out[0] = sequenceOf(c.In[1].DType, append(append(append([]*model.Tensor{}, e[:i]...), c.In[1]), e[i:]...)...)
				}
				return err
			}},
		splitToSequenceDef, concatFromSequenceDef, sequenceMapDef, optionalDef, optionalGetDef, optionalHasDef,
	}
}

func sequenceType(e model.Type) model.Type { return model.Type{Kind: model.KindSequence, Elem: &e} }

func sequenceOf(d model.DType, e ...*model.Tensor) *model.Tensor {
	return &model.Tensor{DType: model.Sequence, Elem: d, Elems: append([]*model.Tensor(nil), e...)}
}

func elementOf(t model.Type) model.Type {
	if t.Elem != nil {
		return *t.Elem
	}
	return model.Type{}
}

// position reads input i as a place among n, negative from the back; an absent one is the last.
func (c *Call) position(i, n int) (int, error) {
	p := int64(-1)
	if c.Has(i) {
		p = c.In[i].Int64At(0)
	}
	k, ok := axisOf(p, n)
	if !ok {
		return 0, c.Bad("position %d of a sequence of %d", p, n)
	}
	return k, nil
}

var splitToSequenceDef = &Def{Name: "SplitToSequence", Since: []int{11, 24}, In: []Port{{Name: "input", Type: "T"}, {Name: "split", Type: "I", Opt: true}},
	Out: []Port{{Name: "output_sequence"}}, Types: map[string]Set{"T": Any, "I": Index},
	Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Default: int64(0)}, {Name: "keepdims", Type: model.AttrInt, Default: int64(1)}},
	Infer: func(f *Inference) error {
		f.Out[0] = sequenceType(model.Type{DType: f.In[0].DType})
		if f.In[0].Ranked {
			if _, ok := axisOf(f.Int("axis"), len(f.In[0].Shape)); !ok {
				return f.BadAttr("axis", "is %d, the input has rank %d", f.Int("axis"), len(f.In[0].Shape))
			}
		}
		return f.ranked(1, 0, 1)
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		axis, ok := axisOf(c.Int("axis"), len(x.Shape))
		if !ok {
			return c.Bad("axis %d of rank %d", c.Int("axis"), len(x.Shape))
		}
		n := x.Shape[axis]
		var parts []int
		switch {
		case !c.Has(1):
			if err := c.room(n); err != nil {
				return err
			}
			for range n {
				parts = append(parts, 1)
			}
		case len(c.In[1].Shape) == 0:
			size := c.In[1].Int64At(0)
			if size < 1 {
				return c.Bad("parts of %d", size)
			}
			if err := c.room(n); err != nil {
				return err
			}
			for at := int64(0); at < int64(n); at += min(size, int64(n)-at) {
				parts = append(parts, int(min(size, int64(n)-at)))
			}
		default:
			sum := int64(0)
			for _, p := range ints64(c.In[1]) {
				if p < 0 || p > int64(n)-sum {
					return c.Bad("parts %v of %d", ints64(c.In[1]), n)
				}
				sum += p
				parts = append(parts, int(p))
			}
			if sum != int64(n) {
				return c.Bad("parts %v of %d", ints64(c.In[1]), n)
			}
		}
		out := sequenceOf(x.DType)
		at := 0
		for _, p := range parts {
			dims := append([]int(nil), x.Shape...)
			dims[axis] = p
			y, err := c.make(x.DType, dims)
			if err != nil {
				return err
			}
			inner := product(dims[axis+1:])
			for o := range product(dims[:axis]) {
				copyRun(y, o*p*inner, x, (o*n+at)*inner, p*inner)
			}
			at += p
			if !c.Has(1) && c.Int("keepdims") == 0 {
				y = y.Reshaped(append(append([]int{}, dims[:axis]...), dims[axis+1:]...)...)
			}
			out.Elems = append(out.Elems, y)
		}
		c.Out[0] = out
		return nil
	}}

var concatFromSequenceDef = &Def{Name: "ConcatFromSequence", Since: []int{11}, In: []Port{{Name: "input_sequence", Type: "S"}}, Out: []Port{{Name: "concat_result"}},
	Types: map[string]Set{"S": Seq}, Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Required: true}, {Name: "new_axis", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error { f.Out[0] = model.Type{DType: elementOf(f.In[0]).DType}; return nil },
	Eval: func(c *Call) error {
		if len(c.In[0].Elems) == 0 {
			return c.Bad("the sequence is empty")
		}
		if c.Int("new_axis") == 0 {
			return c.concat(c.In[0].Elems, c.Int("axis"))
		}
		s := stack{}
		for _, t := range c.In[0].Elems {
			if err := s.push(c, t); err != nil {
				return err
			}
		}
		var err error
		c.Out[0], err = s.join(c, c.Int("axis"), model.Type{})
		return err
	}}

// sequenceMapDef: the body for each element of the first sequence; other sequences go along, tensors stay.
var sequenceMapDef = &Def{Name: "SequenceMap", Since: []int{17}, In: []Port{{Name: "input_sequence", Type: "S"}, {Name: "additional_inputs", Type: "*V", Opt: true, Many: true}},
	Out: []Port{{Name: "out_sequence", Many: true}}, Types: map[string]Set{"S": Seq, "*V": Any | Seq}, Attrs: []AttrSpec{{Name: "body", Type: model.AttrGraph, Required: true}},
	Infer: func(f *Inference) error {
		g := f.Node.Attr("body").G
		if len(g.Inputs) != len(f.In) || len(g.Outputs) != len(f.Out) {
			return f.BadAttr("body", "has %d inputs and %d outputs, the node %d and %d", len(g.Inputs), len(g.Outputs), len(f.In), len(f.Out))
		}
		in := make([]model.Type, len(f.In))
		for i, t := range f.In {
			if in[i] = t; t.Kind == model.KindSequence {
				in[i] = elementOf(t)
			}
		}
		out, err := f.Sub(g, in)
		if err != nil {
			return err
		}
		for i := range f.Out {
			f.Out[i] = sequenceType(out[i])
		}
		return nil
	},
	Eval: func(c *Call) error {
		if c.Sub == nil {
			return c.Unsupported("a SequenceMap outside of a graph")
		}
		g := c.Node.Attr("body").G
		out := make([]*model.Tensor, len(c.Out))
		for i := range out {
			out[i] = sequenceOf(g.Outputs[i].Type.DType)
		}
		for k := range c.In[0].Elems {
			args := make([]*model.Tensor, len(c.In))
			for i, t := range c.In {
				switch {
				case t == nil:
					return c.Bad("input %d is absent", i)
				case t.DType != model.Sequence:
					args[i] = t
				case k < len(t.Elems):
					args[i] = t.Elems[k]
				default:
					return c.Bad("input %d is a sequence of %d, the first has %d", i, len(t.Elems), len(c.In[0].Elems))
				}
			}
			got, err := c.Sub(g, args)
			if err != nil {
				return err
			}
			for i := range out {
				out[i].Elem = got[i].DType
				out[i].Elems = append(out[i].Elems, got[i])
			}
		}
		copy(c.Out, out)
		return nil
	}}

// optionalDef wraps a value, or makes an empty optional of a type.
var optionalDef = &Def{Name: "Optional", Since: []int{15}, In: []Port{{Name: "input", Type: "V", Opt: true}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"V": Any | Seq},
	Attrs: []AttrSpec{{Name: "type", Type: model.AttrTypeProto}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{Kind: model.KindOptional}
		if f.Has(0) {
			e := f.In[0]
			f.Out[0].Elem = &e
		} else if a := f.Node.Attr("type"); a != nil && a.TP != nil {
			f.Out[0].Elem = a.TP
		} else {
			return f.Bad("has neither a value nor a type")
		}
		return nil
	},
	Eval: func(c *Call) error {
		if c.Out[0] = c.opt(0); c.Out[0] == nil {
			c.Out[0] = &model.Tensor{None: true}
		}
		return nil
	}}

var optionalGetDef = &Def{Name: "OptionalGetElement", Since: []int{15, 18}, In: []Port{{Name: "input", Type: "O"}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"O": anything},
	Infer: func(f *Inference) error {
		if f.Out[0] = f.In[0]; f.In[0].Kind == model.KindOptional {
			f.Out[0] = elementOf(f.In[0])
		}
		return nil
	},
	Eval: func(c *Call) error {
		if c.In[0].None {
			return c.Bad("the optional is empty")
		}
		c.Out[0] = c.In[0]
		return nil
	}}

var optionalHasDef = &Def{Name: "OptionalHasElement", Since: []int{15, 18}, In: []Port{{Name: "input", Type: "O", Opt: true}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"O": anything},
	Infer: func(f *Inference) error { f.Out[0] = model.TensorType(model.Bool, model.Shape{}); return nil },
	Eval: func(c *Call) error {
		c.Out[0] = model.FromSlice(model.Bool, []bool{c.Has(0) && !c.In[0].None})
		return nil
	}}
