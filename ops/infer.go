package ops

import (
	"fettle/internal/fail"
	"fettle/model"
)

// Inferred holds what is known about the values of a model before it runs.
type Inferred struct {
	Types  map[string]model.Type
	Consts map[string]*model.Tensor // initializers, and small values computed from constants and shapes
}

// constLimit bounds the elements of values that inference computes: enough for shapes and axes.
const constLimit = 4096

// Infer finds types and shapes of every value of m. Symbolic dimensions are kept. inputs overrides declared
// input types, for a run with given shapes. A node whose operator is not supported leaves its outputs
// unknown and is listed in unsupported; a node that its schema or shape rule refuses is an error.
func Infer(m *model.Model, inputs map[string]model.Type) (inf *Inferred, unsupported []*model.Node, err error) {
	w := &inferrer{m: m}
	inf, err = w.graph(m.Graph, inputs, nil)
	return inf, w.unsupported, err
}

type inferrer struct {
	m           *model.Model
	unsupported []*model.Node
	depth       int
}

func (w *inferrer) graph(g *model.Graph, inputs map[string]model.Type, outer *Inferred) (*Inferred, error) {
	if w.depth++; w.depth > 64 {
		return nil, fail.New(fail.TooBig, "subgraphs or functions are nested more than 64 deep")
	}
	defer func() { w.depth-- }()
	inf := &Inferred{Types: make(map[string]model.Type, len(g.Nodes)), Consts: map[string]*model.Tensor{}}
	if outer != nil {
		for k, v := range outer.Types {
			inf.Types[k] = v
		}
		for k, v := range outer.Consts {
			inf.Consts[k] = v
		}
	}
	for _, v := range g.Inputs {
		inf.Types[v.Name] = v.Type
		delete(inf.Consts, v.Name)
	}
	for _, in := range g.Inits {
		inf.Types[in.Name] = model.TypeOf(in.Tensor)
		inf.Consts[in.Name] = in.Tensor
	}
	for k, t := range inputs {
		inf.Types[k] = t
		delete(inf.Consts, k)
	}
	for _, n := range g.Nodes {
		if err := w.node(n, inf); err != nil {
			return nil, err
		}
		for _, o := range n.Outputs {
			if o == "" {
				continue
			}
			if d, ok := g.Declared(o); ok {
				inf.Types[o] = refine(inf.Types[o], d)
			}
		}
	}
	return inf, nil
}

func (w *inferrer) node(n *model.Node, inf *Inferred) error {
	where := fail.Where{Node: string(n.ID), Op: n.Op}
	if f := w.m.Function(n.Domain, n.Op, n.Overload); f != nil {
		if _, err := Lookup(n.Domain, n.Op, 0); err != nil {
			return w.function(n, f, inf)
		}
	}
	opset := w.m.Opset(n.Domain)
	d, err := Lookup(n.Domain, n.Op, opset)
	if err != nil {
		if fail.Is(err, fail.Unsupported) {
			w.unsupported = append(w.unsupported, n)
			for _, o := range n.Outputs {
				if o != "" {
					inf.Types[o] = model.Type{}
				}
			}
			return nil
		}
		return fail.In(err, "", where)
	}
	ctx := &Inference{Node: n, Def: d, Opset: opset, In: make([]model.Type, len(n.Inputs)), Out: make([]model.Type, len(n.Outputs))}
	for i, name := range n.Inputs {
		if name != "" {
			ctx.In[i] = inf.Types[name]
		}
	}
	ctx.Const = func(i int) *model.Tensor {
		if i < len(n.Inputs) {
			return inf.Consts[n.Inputs[i]]
		}
		return nil
	}
	ctx.Sub = func(g *model.Graph, in []model.Type) ([]model.Type, error) {
		given := map[string]model.Type{}
		for i, v := range g.Inputs {
			if i < len(in) {
				given[v.Name] = refine(in[i], v.Type)
			}
		}
		sub, err := w.graph(g, given, inf)
		if err != nil {
			return nil, err
		}
		out := make([]model.Type, len(g.Outputs))
		for i, o := range g.Outputs {
			out[i] = refine(sub.Types[o.Name], o.Type)
		}
		return out, nil
	}
	if err := d.Check(n, opset, ctx.In); err != nil {
		return fail.In(err, "", where)
	}
	if d.Infer != nil {
		if err := d.Infer(ctx); err != nil {
			return fail.In(err, "", where)
		}
	}
	for i, o := range n.Outputs {
		if o != "" {
			inf.Types[o] = ctx.Out[i]
		}
	}
	return w.fold(n, d, opset, ctx, inf)
}

// fold computes small outputs whose inputs are constants, so that shapes made of constants are known.
func (w *inferrer) fold(n *model.Node, d *Def, opset int, ctx *Inference, inf *Inferred) error {
	if n.Op == "Shape" && n.Domain == "" {
		if dims, ok := ctx.In[0].Shape.Ints(); ok && ctx.In[0].Ranked {
			v := make([]int64, 0, len(dims))
			start, end := ShapeRange(n, len(dims))
			for i := start; i < end; i++ {
				v = append(v, int64(dims[i]))
			}
			inf.Consts[n.Outputs[0]] = model.Int64s(v...)
		}
		return nil
	}
	if d.Exact == Random {
		return nil
	}
	if n.Op == "Constant" && n.Domain == "" { // nothing to compute, so no limit: it may hold weights
		t, err := ConstantValue(n)
		inf.Consts[n.Outputs[0]] = t
		return err
	}
	for i := range n.Attrs {
		if n.Attrs[i].G != nil {
			return nil
		}
	}
	for i, o := range n.Outputs {
		if o == "" {
			continue
		}
		dims, ok := ctx.Out[i].Shape.Ints()
		if !ok || !ctx.Out[i].Ranked {
			return nil
		}
		if c, err := model.Count(dims); err != nil || c > constLimit {
			return nil
		}
	}
	in := make([]*model.Tensor, len(n.Inputs))
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		if in[i] = inf.Consts[name]; in[i] == nil || in[i].Len() > constLimit {
			return nil
		}
	}
	c := &Call{Node: n, Def: d, Opset: opset, In: in, Out: make([]*model.Tensor, len(n.Outputs))}
	if err := d.Eval(c); err != nil {
		return fail.In(err, "", fail.Where{Node: string(n.ID), Op: n.Op})
	}
	for i, o := range n.Outputs {
		if o != "" && c.Out[i] != nil {
			inf.Consts[o] = c.Out[i]
			inf.Types[o] = model.TypeOf(c.Out[i])
		}
	}
	return nil
}

func (w *inferrer) function(n *model.Node, f *model.Function, inf *Inferred) error {
	g, fm, err := Body(w.m, n, f)
	if err != nil {
		return err
	}
	given := map[string]model.Type{}
	consts := &Inferred{Types: map[string]model.Type{}, Consts: map[string]*model.Tensor{}}
	for i, name := range f.Inputs {
		if i < len(n.Inputs) && n.Inputs[i] != "" {
			given[name] = inf.Types[n.Inputs[i]]
			if c := inf.Consts[n.Inputs[i]]; c != nil {
				consts.Consts[name] = c
			}
			consts.Types[name] = given[name]
		}
	}
	sub := &inferrer{m: fm, depth: w.depth}
	g.Inputs = nil
	got, err := sub.graph(g, nil, consts)
	if err != nil {
		return fail.In(err, "", fail.Where{Node: string(n.ID), Op: n.Op})
	}
	w.unsupported = append(w.unsupported, sub.unsupported...)
	for i, o := range f.Outputs {
		if i < len(n.Outputs) && n.Outputs[i] != "" {
			inf.Types[n.Outputs[i]] = got.Types[o]
		}
	}
	return nil
}

// refine fills what a does not know from b.
func refine(a, b model.Type) model.Type {
	if a.Kind != b.Kind {
		if a.DType == model.Undefined && !a.Ranked && a.Elem == nil {
			return b
		}
		return a
	}
	if a.DType == model.Undefined {
		a.DType = b.DType
	}
	if a.Elem == nil {
		a.Elem = b.Elem
	}
	if !b.Ranked {
		return a
	}
	if !a.Ranked {
		a.Ranked, a.Shape = true, b.Shape
		return a
	}
	if len(a.Shape) != len(b.Shape) {
		return a
	}
	s := append(model.Shape(nil), a.Shape...)
	for i := range s {
		if !s[i].Known() && (b.Shape[i].Known() || s[i].Sym == "") {
			s[i] = b.Shape[i]
		}
	}
	a.Shape = s
	return a
}

// ShapeRange gives the half-open range of dimensions that a Shape node of a rank-r input returns
// (attributes start and end since opset 15, negative from the back, clamped).
func ShapeRange(n *model.Node, r int) (int, int) {
	clamp := func(v int64) int {
		if v < 0 {
			v += int64(r)
		}
		return int(min(max(v, 0), int64(r)))
	}
	start, end := clamp(n.Int("start", 0)), r
	if n.Attr("end") != nil {
		end = clamp(n.Int("end", 0))
	}
	return start, max(start, end)
}
