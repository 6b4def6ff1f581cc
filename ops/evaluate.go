package ops

import (
	"context"

	"fettle/internal/fail"
	"fettle/model"
)

// Evaluate runs m with the reference kernels: slow, plain, the oracle for every engine. inputs are by name;
// outputs come in the order of the graph. Errors name the node.
func Evaluate(ctx context.Context, m *model.Model, inputs map[string]*model.Tensor) ([]*model.Tensor, error) {
	m, err := WithGradients(m)
	if err != nil {
		return nil, err
	}
	e := &Evaluator{Model: m}
	env, err := e.Values(ctx, inputs)
	if err != nil {
		return nil, err
	}
	out := make([]*model.Tensor, len(m.Graph.Outputs))
	for i, o := range m.Graph.Outputs {
		out[i] = env[o.Name]
	}
	return out, nil
}

// Evaluator runs graphs of one model with reference kernels. Visit, where set, sees each node's outputs.
type Evaluator struct {
	Model *model.Model
	Visit func(n *model.Node, out []*model.Tensor)
	Limit int // most bytes of one value that a node makes; 0: 2 GB
	Body  BodyRunner
	depth int
}

// BodyRunner runs a subgraph in the place of the reference kernels; false: they have to.
type BodyRunner func(ctx context.Context, m *model.Model, g *model.Graph, args []*model.Tensor, scope map[string]*model.Tensor) ([]*model.Tensor, bool, error)

// Values runs the main graph and gives every value by name.
func (e *Evaluator) Values(ctx context.Context, inputs map[string]*model.Tensor) (map[string]*model.Tensor, error) {
	env := make(map[string]*model.Tensor, len(e.Model.Graph.Nodes)+len(inputs))
	for _, in := range e.Model.Graph.Inits {
		env[in.Name] = in.Tensor
	}
	for _, v := range e.Model.Graph.Inputs {
		t := inputs[v.Name]
		if t == nil {
			if env[v.Name] == nil {
				return nil, fail.New(fail.Invalid, "input is not given").At(fail.Where{Tensor: v.Name})
			}
			continue
		}
		env[v.Name] = t
	}
	for name := range inputs {
		if e.Model.Graph.Input(name) == nil {
			return nil, fail.New(fail.Invalid, "the model has no such input").At(fail.Where{Tensor: name})
		}
	}
	return env, e.run(ctx, e.Model, e.Model.Graph, env)
}

// Node applies one node to given tensors (nil: absent). scope resolves outer names of its subgraphs.
func (e *Evaluator) Node(ctx context.Context, m *model.Model, n *model.Node, in []*model.Tensor, scope map[string]*model.Tensor) ([]*model.Tensor, error) {
	where := fail.Where{Node: string(n.ID), Op: n.Op}
	if f := m.Function(n.Domain, n.Op, n.Overload); f != nil {
		if _, err := Lookup(n.Domain, n.Op, 0); err != nil {
			return e.function(ctx, m, n, f, in)
		}
	}
	opset := m.Opset(n.Domain)
	d, err := Lookup(n.Domain, n.Op, opset)
	if err != nil {
		return nil, fail.In(err, "", where)
	}
	types := make([]model.Type, len(in))
	for i, t := range in {
		if t != nil {
			types[i] = model.TypeOf(t)
		}
	}
	if err := d.Check(n, opset, types); err != nil {
		return nil, fail.In(err, "", where)
	}
	sub := func(g *model.Graph, args []*model.Tensor) ([]*model.Tensor, error) {
		return e.Subgraph(ctx, m, g, args, scope)
	}
	if d.Infer != nil {
		f := &Inference{Node: n, Def: d, Opset: opset, In: types, Out: make([]model.Type, len(n.Outputs)),
			Const: func(i int) *model.Tensor { return in[i] }}
		f.Sub = func(g *model.Graph, _ []model.Type) ([]model.Type, error) {
			return make([]model.Type, len(g.Outputs)), nil
		}
		if err := d.Infer(f); err != nil {
			return nil, fail.In(err, "", where)
		}
	}
	c := &Call{Node: n, Def: d, Opset: opset, In: in, Out: make([]*model.Tensor, len(n.Outputs)), Sub: sub, Limit: e.Limit}
	if err := d.Eval(c); err != nil {
		return nil, fail.In(err, "", where)
	}
	return c.Out, nil
}

// Subgraph runs g with args for its inputs inside scope.
func (e *Evaluator) Subgraph(ctx context.Context, m *model.Model, g *model.Graph, args []*model.Tensor, scope map[string]*model.Tensor) ([]*model.Tensor, error) {
	if e.depth++; e.depth > 64 {
		return nil, fail.New(fail.TooBig, "subgraphs or functions are nested more than 64 deep")
	}
	defer func() { e.depth-- }()
	if err := ctx.Err(); err != nil { // a body without nodes would not ask
		return nil, err
	}
	if e.Body != nil {
		if out, done, err := e.Body(ctx, m, g, args, scope); done || err != nil {
			return out, err
		}
	}
	env := make(map[string]*model.Tensor, len(scope)+len(g.Nodes))
	for k, v := range scope {
		env[k] = v
	}
	for _, in := range g.Inits {
		env[in.Name] = in.Tensor
	}
	if len(args) > len(g.Inputs) {
		return nil, fail.New(fail.Invalid, "a subgraph with %d inputs is given %d", len(g.Inputs), len(args))
	}
	for i, v := range g.Inputs {
		if i < len(args) {
			env[v.Name] = args[i]
		}
	}
	if err := e.run(ctx, m, g, env); err != nil {
		return nil, err
	}
	out := make([]*model.Tensor, len(g.Outputs))
	for i, o := range g.Outputs {
		if out[i] = env[o.Name]; out[i] == nil {
			return nil, fail.New(fail.Invalid, "a subgraph makes no value %q", o.Name)
		}
	}
	return out, nil
}

func (e *Evaluator) function(ctx context.Context, m *model.Model, n *model.Node, f *model.Function, in []*model.Tensor) ([]*model.Tensor, error) {
	if e.depth++; e.depth > 64 {
		return nil, fail.New(fail.TooBig, "subgraphs or functions are nested more than 64 deep")
	}
	defer func() { e.depth-- }()
	g, fm, err := Body(m, n, f)
	if err != nil {
		return nil, err
	}
	env := map[string]*model.Tensor{}
	for i, name := range f.Inputs {
		env[name] = nil // an optional input that is absent stays a known name
		if i < len(in) {
			env[name] = in[i]
		}
	}
	if err := e.run(ctx, fm, g, env); err != nil {
		return nil, fail.In(err, "", fail.Where{Node: string(n.ID), Op: n.Op})
	}
	out := make([]*model.Tensor, len(n.Outputs))
	for i, o := range f.Outputs {
		if i < len(out) {
			out[i] = env[o]
		}
	}
	return out, nil
}

func (e *Evaluator) run(ctx context.Context, m *model.Model, g *model.Graph, env map[string]*model.Tensor) error {
	for _, n := range g.Nodes {
		if err := ctx.Err(); err != nil {
			return err
		}
		in := make([]*model.Tensor, len(n.Inputs))
		for i, name := range n.Inputs {
			if name == "" {
				continue
			}
			t, ok := env[name]
			if !ok {
				return fail.New(fail.Invalid, "reads value %q, which nothing makes", name).At(fail.Where{Node: string(n.ID), Op: n.Op})
			}
			in[i] = t // nil inside a function whose optional input is absent
		}
		out, err := e.Node(ctx, m, n, in, env)
		if err != nil {
			return err
		}
		for i, o := range n.Outputs {
			if o != "" && i < len(out) {
				env[o] = out[i]
			}
		}
		if e.Visit != nil {
			e.Visit(n, out)
		}
	}
	return nil
}
