package rewrite

import (
	"context"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// eliminate-dead
//
//	Before:     y = Identity(x)   y = Dropout(x)   y = Cast(x) to its own type   y = Reshape(x) to its own shape
//	            y = Transpose(x) in order   y = Pad(x) by nothing   y = Concat(x)   y = x * 1   y = x + 0
//	            and nodes and constants that nothing reads
//	After:      readers of y read x; what nothing reads is gone
//	Conditions: Dropout in inference mode with an unread mask; shapes and types are known; a graph output keeps
//	            its name, so the node that makes x must be free to make y.
//	Exactness:  exact.
//	Paper:      none; onnx/optimizer's eliminate_nop_* rules are the same idea.

// EliminateDead are the options of eliminate-dead.
type EliminateDead struct {
	InputWeights string `opt:"input_weights" enum:"required fix keep" help:"weights that are also graph inputs: make them constants where the file's version required the listing (required), always, so that callers can no longer replace them (fix), or never (keep)"`
}

// NewEliminateDead makes the pass with its defaults.
func NewEliminateDead() optimizer.Pass {
	return &eliminateDead{o: EliminateDead{InputWeights: "required"}}
}

type eliminateDead struct{ o EliminateDead }

func (p *eliminateDead) Info() optimizer.Info {
	return optimizer.Info{Name: "eliminate-dead", Title: "Remove what does nothing", Exactness: optimizer.Exact,
		Promise: "Removes nodes that change nothing, and nodes and weights whose result nobody reads."}
}

func (p *eliminateDead) Options() any { return &p.o }

func (p *eliminateDead) Check(env *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	rp := &optimizer.RulePass{About: p.Info(), Rules: nopRules}
	found, err := rp.Check(env, m)
	if err != nil {
		return nil, err
	}
	_, dead := deadNodes(env, m, 0)
	return merge(found, dead), nil
}

func (p *eliminateDead) Apply(ctx context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	start := m
	var found []optimizer.Finding
	if f, patch := p.unlist(m); patch != nil {
		next, err := m.Apply(patch)
		if err != nil {
			return nil, nil, err
		}
		m, found = next, append(found, f)
	}
	m, nops, err := optimizer.Sweep(ctx, env, m, "eliminate-dead", nopRules())
	if err != nil {
		return nil, nil, err
	}
	found = append(found, nops...)
	left := 0
	if env.Limit > 0 {
		left = env.Limit - count(found)
	}
	if env.Limit == 0 || left > 0 {
		patch, dead := deadNodes(env, m, left)
		if patch != nil {
			if m, err = m.Apply(patch); err != nil {
				return nil, nil, fail.In(err, "pass eliminate-dead", fail.Where{})
			}
		}
		found = append(found, dead...)
	}
	if count(found) == 0 {
		m = start
	}
	if len(found) == 0 {
		found = []optimizer.Finding{{Rule: "eliminate-dead", Outcome: optimizer.Nothing, Reason: "everything in the graph is used"}}
	}
	return m, found, nil
}

func count(fs []optimizer.Finding) int {
	n := 0
	for _, f := range fs {
		if f.Outcome == optimizer.Applied {
			n++
		}
	}
	return n
}

func merge(a, b []optimizer.Finding) []optimizer.Finding {
	if len(b) == 0 {
		return a
	}
	if len(a) == 1 && a[0].Outcome == optimizer.Nothing {
		return b
	}
	return append(a, b...)
}

// unlist takes initializers out of the graph inputs.
func (p *eliminateDead) unlist(m *model.Model) (optimizer.Finding, *model.Patch) {
	if p.o.InputWeights == "keep" || p.o.InputWeights == "required" && m.IRVersion >= 4 {
		return optimizer.Finding{}, nil
	}
	patch := &model.Patch{}
	for _, in := range m.Graph.Inits {
		if m.Graph.Input(in.Name) != nil {
			patch.DropInits = append(patch.DropInits, in.Name)
			patch.Inits = append(patch.Inits, in)
		}
	}
	if patch.Inits == nil {
		return optimizer.Finding{}, nil
	}
	why := "weights were listed as inputs, as IR version 3 required; they are constants"
	if m.IRVersion >= 4 {
		why = "weights that callers could replace are constants now"
	}
	return optimizer.Finding{Rule: "input-weights", Label: "graph inputs", Outcome: optimizer.Applied, Reason: why}, patch
}

// deadNodes finds nodes and initializers that no graph output depends on. limit 0: all.
func deadNodes(env *optimizer.Env, m *model.Model, limit int) (*model.Patch, []optimizer.Finding) {
	g := m.Graph
	need := map[string]bool{}
	for _, o := range g.Outputs {
		need[o.Name] = true
	}
	patch := &model.Patch{}
	var found []optimizer.Finding
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		n := g.Nodes[i]
		live := false
		for _, o := range n.Outputs {
			live = live || need[o]
		}
		if !live {
			f := optimizer.Describe("dead-node", n)
			if why, ok := env.Scope.Allows(n); !ok {
				f.Outcome, f.Reason, live = optimizer.Refused, why, true
			} else if limit > 0 && len(patch.Drop) == limit {
				live = true
				f.Label = ""
			} else {
				f.Outcome, f.Reason, f.Gain.Nodes = optimizer.Applied, "nothing reads its result", 1
				patch.Drop = append(patch.Drop, n.ID)
			}
			if f.Outcome != "" {
				found = append(found, f)
			}
		}
		if live {
			for _, r := range model.Reads(n) {
				need[r] = true
			}
		}
	}
	var bytes int64
	for _, in := range g.Inits {
		// A listed input stays: callers may give it.
		if !need[in.Name] && g.Input(in.Name) == nil {
			patch.DropInits = append(patch.DropInits, in.Name)
			bytes += int64(len(in.Tensor.Raw))
		}
	}
	if len(patch.DropInits) > 0 {
		found = append(found, optimizer.Finding{Rule: "dead-weights", Label: "constants", Outcome: optimizer.Applied,
			Reason: "nothing reads them", Gain: optimizer.Gain{Bytes: bytes}})
	}
	if len(patch.Drop)+len(patch.DropInits) == 0 {
		return nil, found
	}
	return patch, found
}

// nopRules are the nodes that give out what they get in.
func nopRules() []optimizer.Rule {
	return []optimizer.Rule{{
		Name: "eliminate-nop",
		Pattern: func(v *optimizer.View, n *model.Node) []*model.Node {
			if x, ok := nop(v, n); ok && x != "" && len(n.Outputs) > 0 && n.Outputs[0] != "" {
				return []*model.Node{n}
			}
			return nil
		},
		Check: func(v *optimizer.View, nodes []*model.Node) string {
			n := nodes[0]
			for _, o := range n.Outputs[1:] {
				if o != "" && (len(v.G.Users(o)) > 0 || v.G.Output(o) != nil) {
					return "its second output is read"
				}
			}
			return ""
		},
		Replace: bypass,
	}}
}

// bypass sends the readers of n's output to its input; an output of the graph keeps its name, so there the node
// before takes it over.
func bypass(v *optimizer.View, nodes []*model.Node) (*optimizer.Rewrite, string) {
	n := nodes[0]
	x, _ := nop(v, n)
	y := n.Outputs[0]
	rw := &optimizer.Rewrite{Gain: optimizer.Gain{Nodes: 1}}
	rw.Patch.Drop = []model.NodeID{n.ID}
	if v.G.Output(y) == nil {
		rw.Patch.Redirect = map[string]string{y: x}
		return rw, ""
	}
	p := v.G.Producer(x)
	if p == nil {
		return nil, "it gives an input or constant of the graph out under another name"
	}
	if v.G.Output(x) != nil {
		return nil, "both its input and its result are outputs of the graph"
	}
	c := *p
	c.Raw = nil
	c.Outputs = append([]string(nil), p.Outputs...)
	for i := range c.Outputs {
		if c.Outputs[i] == x {
			c.Outputs[i] = y
		}
	}
	rw.Patch.Drop = append(rw.Patch.Drop, p.ID)
	rw.Patch.Add = []*model.Node{&c}
	rw.Patch.Redirect = map[string]string{x: y}
	return rw, ""
}

// nop gives the value that n passes through unchanged.
func nop(v *optimizer.View, n *model.Node) (string, bool) {
	if n.Domain != "" && n.Domain != "ai.onnx" || len(n.Inputs) == 0 || len(n.Outputs) == 0 {
		return "", false
	}
	x := n.Inputs[0]
	switch n.Op {
	case "Identity":
		return x, true
	case "Dropout":
		if name := input(n, 2); name != "" {
			t := v.Const(name)
			return x, t != nil && t.Len() == 1 && t.Int64At(0) == 0
		}
		return x, v.M.Opset("") >= 7 || n.Int("is_test", 0) == 1
	case "Cast":
		t := v.Type(x)
		return x, t.DType.Valid() && t.DType == model.DType(n.Int("to", 0))
	case "Transpose":
		t := v.Type(x)
		perm := n.Ints("perm")
		if !t.Ranked || perm == nil && len(t.Shape) > 1 {
			return "", false
		}
		for i, p := range perm {
			if int(p) != i {
				return "", false
			}
		}
		return x, true
	case "Reshape", "Flatten", "Expand", "Tile":
		return x, sameDims(v.Type(x), v.Type(n.Outputs[0]))
	case "Slice":
		if t := v.Const(input(n, 4)); input(n, 4) != "" && (t == nil || anyOther(t, 1)) {
			return "", false
		}
		return x, sameDims(v.Type(x), v.Type(n.Outputs[0]))
	case "Pad":
		if a := n.Ints("pads"); a != nil {
			return x, !anyOther(model.Int64s(a...), 0)
		}
		t := v.Const(input(n, 1))
		return x, t != nil && !anyOther(t, 0)
	case "Concat", "Sum", "Max", "Min", "Mean":
		return x, len(n.Inputs) == 1
	case "Mul", "Div", "Add", "Sub":
		return neutral(v, n)
	}
	return "", false
}

// neutral finds x in x*1, 1*x, x/1, x+0, 0+x and x-0 where the constant does not widen the shape.
func neutral(v *optimizer.View, n *model.Node) (string, bool) {
	if len(n.Inputs) != 2 {
		return "", false
	}
	unit := 0.0
	if n.Op == "Mul" || n.Op == "Div" {
		unit = 1
	}
	for side := 1; side >= 0; side-- {
		if side == 0 && (n.Op == "Div" || n.Op == "Sub") {
			break
		}
		c, x := v.Const(n.Inputs[side]), n.Inputs[1-side]
		if c == nil || c.DType.Composite() || c.DType == model.String || c.Len() == 0 || anyOther(c, unit) {
			continue
		}
		if c.Rank() == 0 && v.Type(x).Ranked || sameDims(v.Type(x), v.Type(n.Outputs[0])) {
			return x, true
		}
	}
	return "", false
}

func anyOther(t *model.Tensor, value float64) bool {
	for i := range t.Len() {
		if t.Float64At(i) != value {
			return true
		}
	}
	return false
}
