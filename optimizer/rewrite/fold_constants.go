package rewrite

import (
	"context"
	"fmt"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

// fold-constants
//
//	Before:     y = Op(c1, c2, …), all inputs constants        y = Shape(x), the shape of x is known
//	After:      initializer y
//	Conditions: Op is deterministic and has no subgraph; y is no graph output; y is not larger than max_bytes or
//	            than what it is made of; DequantizeLinear stays, as it keeps weights in 8 bits.
//	Exactness:  exact: the reference kernel computes the value that the node would compute.
//	Paper:      none; every compiler does it.

// FoldConstants are the options of fold-constants.
type FoldConstants struct {
	MaxBytes int `opt:"max_bytes" min:"0" max:"1073741824" unit:"B" help:"largest constant to make where it is larger than what it is made of"`
}

// NewFoldConstants makes the pass with its defaults.
func NewFoldConstants() optimizer.Pass { return &foldConstants{o: FoldConstants{MaxBytes: 1 << 20}} }

type foldConstants struct{ o FoldConstants }

func (p *foldConstants) Info() optimizer.Info {
	return optimizer.Info{Name: "fold-constants", Title: "Fold constants", Exactness: optimizer.Exact,
		Promise: "Computes once, here, what would be computed anew in every run though it never changes."}
}

func (p *foldConstants) Options() any { return &p.o }

func (p *foldConstants) Check(env *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	_, found, err := p.run(context.Background(), env, m)
	return found, err
}

func (p *foldConstants) Apply(ctx context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	patches, found, err := p.run(ctx, env, m)
	if err != nil || len(patches) == 0 {
		return m, found, err
	}
	tidy(m, patches)
	out, err := m.Apply(patches...)
	return out, found, err
}

// tidy makes no constant that only folded nodes would read, and drops those that only they read.
func tidy(m *model.Model, patches []*model.Patch) {
	gone := map[model.NodeID]bool{}
	for _, p := range patches {
		gone[p.Drop[0]] = true
	}
	unread := func(value string) bool {
		users := m.Graph.Users(value)
		for _, u := range users {
			if !gone[u.ID] {
				return false
			}
		}
		return len(users) > 0 && m.Graph.Output(value) == nil
	}
	for _, p := range patches {
		var keep []*model.Init
		for _, in := range p.Inits {
			if !unread(in.Name) {
				keep = append(keep, in)
			}
		}
		p.Inits = keep
	}
	for _, in := range m.Graph.Inits {
		if unread(in.Name) && m.Graph.Input(in.Name) == nil {
			patches[0].DropInits = append(patches[0].DropInits, in.Name)
		}
	}
}

func (p *foldConstants) run(ctx context.Context, env *optimizer.Env, m *model.Model) ([]*model.Patch, []optimizer.Finding, error) {
	v := optimizer.NewView(m, "fold-constants")
	eval := &ops.Evaluator{Model: m}
	known := map[string]*model.Tensor{} // made by this run
	var patches []*model.Patch
	var found []optimizer.Finding
	for _, n := range m.Graph.Nodes {
		if err := ctx.Err(); err != nil {
			return nil, nil, fail.From(err)
		}
		in, ok := p.inputs(v, n, known)
		if !ok {
			continue
		}
		f := optimizer.Describe("fold-constants", n)
		out, why := p.value(ctx, env, v, eval, n, in)
		if why == "" && env.Limit > 0 && len(patches) == env.Limit {
			continue
		}
		if why != "" {
			f.Outcome, f.Reason = optimizer.Refused, why
			found = append(found, f)
			continue
		}
		patch := &model.Patch{Drop: []model.NodeID{n.ID}}
		for i, o := range n.Outputs {
			if o == "" {
				continue
			}
			known[o] = out[i]
			f.Gain.Bytes -= int64(len(out[i].Raw))
			patch.Inits = append(patch.Inits, &model.Init{Name: o, Tensor: out[i]})
		}
		f.Outcome, f.Gain.Nodes = optimizer.Applied, 1
		patches = append(patches, patch)
		found = append(found, f)
	}
	if len(found) == 0 {
		found = []optimizer.Finding{{Rule: "fold-constants", Outcome: optimizer.Nothing, Reason: "no node has only constants to read"}}
	}
	return patches, found, nil
}

// inputs gives the values of n's inputs where all are constants; the shape of a value counts for Shape and Size.
func (p *foldConstants) inputs(v *optimizer.View, n *model.Node, known map[string]*model.Tensor) ([]*model.Tensor, bool) {
	if standard(n, "Shape") || standard(n, "Size") {
		t := v.Type(input(n, 0))
		dims, ok := t.Shape.Ints()
		if count, err := model.Count(dims); !ok || !t.Ranked || err != nil || int64(count) > 1<<40 {
			return nil, false
		}
		return nil, true
	}
	in := make([]*model.Tensor, len(n.Inputs))
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		if in[i] = known[name]; in[i] == nil {
			in[i] = v.Const(name)
		}
		if in[i] == nil {
			return nil, false
		}
	}
	return in, true
}

// value computes the outputs of n, or says why it stays.
func (p *foldConstants) value(ctx context.Context, env *optimizer.Env, v *optimizer.View, eval *ops.Evaluator, n *model.Node, in []*model.Tensor) ([]*model.Tensor, string) {
	if why, ok := env.Scope.Allows(n); !ok {
		return nil, why
	}
	for _, o := range n.Outputs {
		if o != "" && v.G.Output(o) != nil {
			return nil, "its value is an output of the graph, which a node has to make"
		}
	}
	if standard(n, "DequantizeLinear") {
		return nil, "it keeps its weights in few bits"
	}
	for i := range n.Attrs {
		if n.Attrs[i].G != nil {
			return nil, "it holds a subgraph"
		}
	}
	d, err := ops.Lookup(n.Domain, n.Op, v.M.Opset(n.Domain))
	if err != nil {
		return nil, err.Error()
	}
	if d.Exact == ops.Random {
		return nil, "its result is random"
	}
	if in == nil {
		return shapeOf(v, n), ""
	}
	size := 0
	for _, t := range in {
		if t != nil {
			size += len(t.Raw)
		}
	}
	limit := max(size, p.o.MaxBytes)
	for _, o := range n.Outputs { // before computing: a huge Expand must not be made at all
		if t := v.Type(o); o != "" && t.Ranked {
			if dims, ok := t.Shape.Ints(); ok {
				if c, err := model.Count(dims); err != nil || t.DType.Bytes(c) > limit {
					return nil, fmt.Sprintf("the constant would take more than max_bytes = %d", p.o.MaxBytes)
				}
			}
		}
	}
	out, err := eval.Node(ctx, v.M, n, in, nil)
	if err != nil {
		return nil, "cannot be computed: " + err.Error()
	}
	for i, o := range n.Outputs {
		if o == "" {
			continue
		}
		if i >= len(out) || out[i] == nil || out[i].DType.Composite() {
			return nil, "its result is no tensor"
		}
		if len(out[i].Raw) > limit {
			return nil, fmt.Sprintf("the constant of %d bytes is larger than max_bytes = %d", len(out[i].Raw), p.o.MaxBytes)
		}
	}
	return out, ""
}

func shapeOf(v *optimizer.View, n *model.Node) []*model.Tensor {
	dims, _ := v.Type(input(n, 0)).Shape.Ints()
	if n.Op == "Size" {
		c, _ := model.Count(dims)
		return []*model.Tensor{model.FromSlice(model.Int64, []int64{int64(c)})}
	}
	start, end := ops.ShapeRange(n, len(dims))
	s := make([]int64, 0, len(dims))
	for i := start; i < end; i++ {
		s = append(s, int64(dims[i]))
	}
	return []*model.Tensor{model.Int64s(s...)}
}
