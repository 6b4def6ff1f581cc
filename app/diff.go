package app

import (
	"context"
	"math"
	"sort"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
	"fettle/runtimes"
)

// DiffRequest compares two models on the same inputs.
type DiffRequest struct {
	A, B       string
	Inputs     []string
	Preprocess string
	Tolerance  float64 // largest allowed difference relative to the largest value of an output
}

// Diff says how far B is from A, over all and layer by layer.
type Diff struct {
	MaxAbs    float64     `json:"max_abs"`
	MaxRel    float64     `json:"max_rel"` // of the largest value of the output
	Cosine    float64     `json:"cosine"`
	First     *LayerDiff  `json:"first_difference"` // first layer above the tolerance; nil: none
	Layers    []LayerDiff `json:"layers"`
	Tolerance float64     `json:"tolerance"`
	Within    bool        `json:"within"`
}

// LayerDiff compares the value that the same imported nodes give in A and in B.
type LayerDiff struct {
	Origin []string `json:"origin"`
	A      string   `json:"a"` // names of the values
	B      string   `json:"b"`
	Op     string   `json:"op"`
	MaxAbs float64  `json:"max_abs"`
	MaxRel float64  `json:"max_rel"`
	Cosine float64  `json:"cosine"`
	SQNR   *float64 `json:"sqnr_db"` // nil where A is all zero or nothing differs
}

// Diff runs both models and compares the outputs, and every inner value that exists in both: named alike, or the last
// value of nodes that stand for the same imported nodes.
func (a *App) Diff(ctx context.Context, q DiffRequest) (*Diff, error) {
	ma, err := a.Load(ctx, q.A)
	if err != nil {
		return nil, err
	}
	mb, err := a.Load(ctx, q.B)
	if err != nil {
		return nil, err
	}
	in, err := a.inputs(ctx, ma, q.Inputs, q.Preprocess)
	if err != nil {
		return nil, err
	}
	return a.DiffModels(ctx, ma, mb, in, q.Tolerance)
}

// pair is a value of A with the one of B that should equal it.
type pair struct {
	a, b   string
	node   *model.Node
	output bool
}

// DiffModels is Diff for models that are open.
func (a *App) DiffModels(ctx context.Context, ma, mb *model.Model, in map[string]*model.Tensor, tolerance float64) (*Diff, error) {
	if len(ma.Graph.Outputs) != len(mb.Graph.Outputs) {
		return nil, fail.New(fail.Invalid, "A has %d outputs, B has %d", len(ma.Graph.Outputs), len(mb.Graph.Outputs)).Doing("compare models")
	}
	pairs := alignValues(ma, mb)
	for i, o := range ma.Graph.Outputs {
		pairs = append(pairs, pair{a: o.Name, b: mb.Graph.Outputs[i].Name, node: ma.Graph.Producer(o.Name), output: true})
	}
	va, err := a.values(ctx, ma, in, pairs, func(p pair) string { return p.a })
	if err != nil {
		return nil, err
	}
	vb, err := a.values(ctx, mb, in, pairs, func(p pair) string { return p.b })
	if err != nil {
		return nil, err
	}
	d := &Diff{Cosine: 1, Tolerance: tolerance, Within: true, Layers: []LayerDiff{}}
	for _, p := range pairs {
		l, err := difference(p, va[p.a], vb[p.b])
		if err != nil {
			return nil, err
		}
		if l == nil {
			continue
		}
		if p.output {
			d.MaxAbs, d.MaxRel, d.Cosine = math.Max(d.MaxAbs, l.MaxAbs), math.Max(d.MaxRel, l.MaxRel), math.Min(d.Cosine, l.Cosine)
			d.Within = d.Within && l.MaxRel <= tolerance
		} else {
			d.Layers = append(d.Layers, *l)
		}
		if d.First == nil && l.MaxRel > tolerance {
			first := *l
			d.First = &first
		}
	}
	return d, nil
}

// alignValues pairs inner values of both models in the order of A.
func alignValues(ma, mb *model.Model) []pair {
	last := map[string]string{} // origin set -> last value of B that stands for it
	for _, n := range mb.Graph.Nodes {
		if len(n.Outputs) > 0 && n.Outputs[0] != "" {
			last[originKey(n)] = n.Outputs[0]
		}
	}
	var out []pair
	for _, n := range ma.Graph.Nodes {
		if len(n.Outputs) == 0 || n.Outputs[0] == "" || ma.Graph.Output(n.Outputs[0]) != nil {
			continue
		}
		v := n.Outputs[0]
		if p := mb.Graph.Producer(v); p != nil {
			out = append(out, pair{a: v, b: v, node: n})
		} else if b := last[originKey(n)]; b != "" {
			out = append(out, pair{a: v, b: b, node: n})
		}
	}
	return out
}

func originKey(n *model.Node) string {
	ids := make([]string, len(n.Origin))
	for i, o := range n.Origin {
		ids[i] = string(o)
	}
	sort.Strings(ids)
	key := ""
	for _, id := range ids {
		key += id + "\x00"
	}
	return key
}

// values runs m with the wanted inner values as outputs. Values that are no tensor are left out.
func (a *App) values(ctx context.Context, m *model.Model, in map[string]*model.Tensor, pairs []pair, name func(pair) string) (map[string]*model.Tensor, error) {
	inf, _, err := ops.Infer(m, nil)
	if err != nil {
		return nil, err
	}
	g := m.Graph.Shallow()
	g.Outputs = nil
	seen := map[string]bool{}
	for _, p := range pairs {
		v := name(p)
		t, ok := inf.Types[v]
		if seen[v] || ok && t.Kind != model.KindTensor {
			continue
		}
		seen[v] = true
		g.Outputs = append(g.Outputs, model.Value{Name: v, Type: t})
	}
	return a.evaluate(ctx, m.WithGraph(g), in)
}

// evaluate runs m on the engine, or where that lacks an operator on the reference, and gives its outputs.
func (a *App) evaluate(ctx context.Context, m *model.Model, in map[string]*model.Tensor) (map[string]*model.Tensor, error) {
	return a.evaluateBy(ctx, m, in, runOptions(in, 1))
}

// evaluateBy is evaluate with what else is to be said of how.
func (a *App) evaluateBy(ctx context.Context, m *model.Model, in map[string]*model.Tensor, opt runtimes.Options) (map[string]*model.Tensor, error) {
	s, err := a.engine.Prepare(ctx, m, opt)
	var outs []*model.Tensor
	if fail.Is(err, fail.Unsupported) {
		outs, err = reference(ctx, m, in)
	} else if err == nil {
		defer s.Close()
		if err = s.Feed(in); err == nil {
			if err = s.Exec(ctx, nil); err == nil {
				outs = s.Result()
			}
		}
	}
	if err != nil {
		return nil, err
	}
	out := map[string]*model.Tensor{}
	for i, o := range m.Graph.Outputs {
		out[o.Name] = outs[i]
	}
	return out, nil
}

func reference(ctx context.Context, m *model.Model, in map[string]*model.Tensor) ([]*model.Tensor, error) {
	s, err := optimizer.Reference{}.Open(ctx, m)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Run(ctx, in)
}

// difference compares two tensors; nil for what cannot be compared layer by layer (other shape: a pass moved the value).
func difference(p pair, x, y *model.Tensor) (*LayerDiff, error) {
	same := x != nil && y != nil && x.DType == y.DType && len(x.Shape) == len(y.Shape)
	for i := 0; same && i < len(x.Shape); i++ {
		same = x.Shape[i] == y.Shape[i]
	}
	if !same || x.DType == model.String || x.DType.Composite() {
		if p.output {
			return nil, fail.New(fail.Invalid, "output %s of A and %s of B have different types or shapes", p.a, p.b).Doing("compare models")
		}
		return nil, nil
	}
	l := &LayerDiff{A: p.a, B: p.b, Origin: []string{}, Cosine: 1}
	if p.node != nil {
		l.Op = opName(p.node)
		for _, o := range p.node.Origin {
			l.Origin = append(l.Origin, string(o))
		}
	}
	var largest, dot, xx, yy, ee float64
	for i := range x.Len() {
		u, v := x.Float64At(i), y.Float64At(i)
		if u == v || math.IsNaN(u) && math.IsNaN(v) {
			u, v = finite(u), finite(v)
		} else {
			l.MaxAbs = math.Max(l.MaxAbs, math.Abs(u-v))
			if math.IsNaN(u-v) || math.IsInf(u-v, 0) {
				l.MaxAbs = math.MaxFloat64 // JSON has no infinity
				u, v = finite(u), finite(v)
			}
		}
		largest = math.Max(largest, math.Abs(u))
		dot, xx, yy, ee = dot+u*v, xx+u*u, yy+v*v, ee+(u-v)*(u-v)
	}
	if l.MaxAbs > 0 {
		l.MaxRel = math.Min(l.MaxAbs/math.Max(largest, 1e-6), math.MaxFloat64)
	}
	if xx > 0 && yy > 0 {
		l.Cosine = dot / math.Sqrt(xx*yy)
	}
	if xx > 0 && ee > 0 {
		db := 10 * math.Log10(xx/ee)
		l.SQNR = &db
	}
	return l, nil
}

func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}
