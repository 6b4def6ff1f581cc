package quantize

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// smooth
//
//	Before:     n = LayerNormalization(x, g, b); y = MatMul(n, W)      a few columns of n are far larger than the others
//	After:      n' = LayerNormalization(x, g/s, b/s); y = MatMul(n', s·W)
//	Conditions: g, b and every W are constants that nothing else reads; only matrix products read n.
//	Formula:    s[j] = max|n[j]|^a / max|W[j]|^(1-a), with the a of 0.3 to 0.9 that gives the products of held-out rows the least
//	            error with 8-bit rows and 8-bit weights.
//	Exactness:  the same function up to rounding; a group is changed where that error falls, and all of them are reverted where the
//	            outputs of the int8 model come no closer.
//	Paper:      Xiao et al. 2023, arXiv:2211.10438 (SmoothQuant).

// SmoothOptions are the options of smooth.
type SmoothOptions struct {
	Samples int `opt:"samples" min:"2" max:"100000" help:"calibration items to measure columns on and to try the result on"`
}

// NewSmooth makes the pass with its defaults.
func NewSmooth() optimizer.Pass { return &smooth{SmoothOptions{Samples: 64}} }

type smooth struct{ o SmoothOptions }

// Info describes the pass.
func (s *smooth) Info() optimizer.Info {
	return optimizer.Info{Name: "smooth", Title: "Smooth columns", Exactness: optimizer.Scored, NeedsData: true,
		Promise: "Moves the large columns behind layer normalisations into the weights that read them, so that one scale fits all columns.",
		Paper:   "Xiao et al. 2023, arXiv:2211.10438", Undo: "the scale of single columns"}
}

// Options is the struct of options.
func (s *smooth) Options() any { return &s.o }

// smoothed is a normalisation and the products that read it.
type smoothed struct {
	norm   *model.Node
	layers []*layer
	s      []float64
}

// Check lists the groups.
func (s *smooth) Check(env *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	_, found, err := s.groups(env, m)
	return found, err
}

// groups finds the normalisations, with a finding for each.
func (s *smooth) groups(env *optimizer.Env, m *model.Model) ([]*smoothed, []optimizer.Finding, error) {
	sel, err := selectNodes(env, m, Options{Weights: "int8", Activations: "none"}, plan{})
	if err != nil {
		return nil, nil, err
	}
	var out []*smoothed
	var found []optimizer.Finding
	for _, n := range m.Graph.Nodes {
		if !is(n, "LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization") {
			continue
		}
		g, why := s.group(sel, n)
		f := optimizer.Describe("smooth", n)
		if f.Outcome = optimizer.Applied; why != "" {
			f.Outcome, f.Reason = optimizer.Refused, why
		} else {
			out = append(out, g)
			nodes := []*model.Node{n}
			for _, l := range g.layers {
				nodes = append(nodes, l.node)
			}
			f = optimizer.Describe("smooth", nodes...)
			f.Outcome = optimizer.Applied
		}
		found = append(found, f)
	}
	if len(found) == 0 {
		found = []optimizer.Finding{{Rule: "smooth", Outcome: optimizer.Nothing, Reason: "no layer normalisation"}}
	}
	return out, found, nil
}

// group checks normalisation n.
func (s *smooth) group(sel *selection, n *model.Node) (*smoothed, string) {
	graph := sel.view.G
	out := &smoothed{norm: n}
	scale := graph.Init(input(n, 1))
	if scale == nil || scale.DType != model.Float32 || scale.Rank() != 1 {
		return nil, "its scale is no vector of constants"
	}
	for _, c := range n.Inputs[1:] {
		if c == "" {
			continue
		}
		if graph.Init(c) == nil || graph.Init(c).DType != model.Float32 {
			return nil, fmt.Sprintf("%q is no constant of float32", c)
		}
		if len(graph.Users(c)) > 1 {
			return nil, fmt.Sprintf("%q is read by more than one node", c)
		}
	}
	v := n.Outputs[0]
	if graph.Output(v) != nil {
		return nil, "its result is an output of the model"
	}
	for _, u := range graph.Users(v) {
		l := sel.layers[u.ID]
		if l == nil || !is(u, "MatMul", "Gemm") || input(u, 0) != v {
			return nil, u.Label() + " reads it too, which has no weights to take the scales"
		}
		w := graph.Init(l.weight)
		if w == nil || len(graph.Users(l.weight)) > 1 {
			return nil, fmt.Sprintf("the weight %q is read by more than one node", l.weight)
		}
		if w.Shape[l.reduced] != scale.Len() {
			return nil, fmt.Sprintf("%d columns become %d inputs", scale.Len(), w.Shape[l.reduced])
		}
		out.layers = append(out.layers, l)
	}
	if len(out.layers) == 0 {
		return nil, "nothing reads it"
	}
	return out, ""
}

// smoothRows is how many rows behind a normalisation are looked at, and as many again judge.
const smoothRows = 256

// Apply scales the columns of every group that gains from it.
func (s *smooth) Apply(ctx context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	groups, found, err := s.groups(env, m)
	if err != nil || len(groups) == 0 {
		return m, found, err
	}
	if env.Data == nil || env.Data.Len() == 0 {
		return nil, nil, fail.New(fail.Usage, "smoothing needs calibration data").Doing("smooth").Try("give a folder of typical inputs with --data")
	}
	before, err := tryInt8(ctx, env, m, s.o.Samples, nil)
	if err != nil {
		return nil, nil, err
	}
	w, err := newWalk(env, m, before.job.batch.all)
	if err != nil {
		return nil, nil, err
	}
	ed := &edits{inits: map[string]*model.Tensor{}, nodes: map[model.NodeID]*model.Node{}}
	at := 0
	for i := range found {
		if found[i].Outcome != optimizer.Applied {
			continue
		}
		g := groups[at]
		at++
		env.Progress.Report(int64(at-1), int64(len(groups)), "smooth columns")
		if err := w.to(ctx, m.Graph.Position(g.layers[0].node.ID)); err != nil {
			return nil, nil, fail.In(err, "smooth", fail.Where{Node: string(g.norm.ID)})
		}
		a, plain, best := g.search(m, w, before.job.batch, env.Seed)
		found[i].Reason = fmt.Sprintf("error of its products with 8 bits %.3g %%, %.3g %% with a = %.1f", 100*plain, 100*best, a)
		if !(best < plain) {
			found[i].Outcome = optimizer.Refused
			continue
		}
		g.write(m, ed)
	}
	if len(ed.inits) == 0 {
		return m, found, nil
	}
	out := ed.apply(m)
	after, err := tryInt8(ctx, env, out, s.o.Samples, before)
	if err != nil {
		return nil, nil, err
	}
	last := optimizer.Finding{Rule: "smooth", Label: "smoothing", Outcome: optimizer.Applied,
		Reason: fmt.Sprintf("as int8, outputs on %s: %s before, %s after", before.job.where(), before.f, after.f)}
	if !after.f.better(before.f) {
		last.Outcome, last.Reason = optimizer.Refused, last.Reason+": reverted"
		out = m
		revert(found)
	}
	return out, append(found, last), nil
}

// revert says of all that was applied that it is not.
func revert(found []optimizer.Finding) {
	for i := range found {
		if found[i].Outcome == optimizer.Applied {
			found[i].Outcome, found[i].Reason = optimizer.Refused, "tried and reverted, see the last line"
		}
	}
}

// search finds the scales with the least error of the products of rows that judge; plain is the error without.
func (g *smoothed) search(m *model.Model, w *walk, items *batch, seed int64) (a, plain, best float64) {
	v := g.norm.Outputs[0]
	columns := m.Graph.Init(input(g.norm, 1)).Len()
	var rows [2]*mat.Dense
	r := rand.New(rand.NewPCG(uint64(seed), 0x736d6f6f7468))
	for side := range rows {
		var data []float64
		var from []int
		for i := range w.have {
			if items.held == 0 || items.isHeld(i) == (side == 1) {
				from = append(from, i)
			}
		}
		for _, i := range from {
			x := model.Data[float32](w.have[i][v])
			for _, at := range spread(len(x)/columns, (smoothRows+len(from)-1)/len(from), r) {
				for _, f := range x[at*columns:][:columns] {
					data = append(data, float64(f))
				}
			}
		}
		rows[side] = mat.NewDense(len(data)/columns, columns, data)
	}
	var weights, want []*mat.Dense
	tallest := make([]float64, columns)
	for _, l := range g.layers {
		t := m.Graph.Init(l.weight)
		d := mat.NewDense(t.Shape[0], t.Shape[1], nil)
		for i, f := range model.Data[float32](t) {
			d.Set(i/t.Shape[1], i%t.Shape[1], float64(f))
		}
		k := mat.DenseCopyOf(d)
		if l.reduced == 1 {
			k = mat.DenseCopyOf(d.T())
		}
		y := &mat.Dense{}
		y.Mul(rows[1], k)
		weights, want = append(weights, k), append(want, y)
		for j := range columns {
			tallest[j] = math.Max(tallest[j], largest(k.RawRowView(j)))
		}
	}
	reach := make([]float64, columns)
	for i := range rows[0].RawMatrix().Rows {
		for j, x := range rows[0].RawRowView(i) {
			reach[j] = math.Max(reach[j], math.Abs(x))
		}
	}
	one := make([]float64, columns)
	for j := range one {
		one[j] = 1
	}
	plain = smoothError(rows, weights, want, one)
	best = math.Inf(1)
	for k := 3; k <= 9; k++ {
		s := make([]float64, columns)
		for j := range s {
			s[j] = 1
			if reach[j] > 1e-8 && tallest[j] > 1e-8 {
				s[j] = math.Pow(reach[j], float64(k)/10) / math.Pow(tallest[j], 1-float64(k)/10)
			}
		}
		if e := smoothError(rows, weights, want, s); e < best {
			a, best, g.s = float64(k)/10, e, s
		}
	}
	return a, plain, best
}

// smoothError is the share of error in the products of the rows that judge, where rows by s and weights times s have 8 bits: one
// step for all rows, from the range of the others, and one for each output column.
func smoothError(rows [2]*mat.Dense, weights, want []*mat.Dense, s []float64) float64 {
	low, high := 0.0, 0.0
	for i := range rows[0].RawMatrix().Rows {
		for j, x := range rows[0].RawRowView(i) {
			low, high = math.Min(low, x/s[j]), math.Max(high, x/s[j])
		}
	}
	st := asymmetric(low, high, -128, 127)
	x := mat.DenseCopyOf(rows[1])
	x.Apply(func(_, j int, v float64) float64 {
		q := min(max(math.RoundToEven(v/s[j]/float64(st.scale))+float64(st.zero), -128), 127)
		return (q - float64(st.zero)) * float64(st.scale)
	}, x)
	signal, noise := 0.0, 0.0
	for n, w := range weights {
		rowsOf, outs := w.Dims()
		step := make([]float64, outs)
		for j := range rowsOf {
			for o, v := range w.RawRowView(j) {
				step[o] = math.Max(step[o], math.Abs(v*s[j])/127)
			}
		}
		k := mat.DenseCopyOf(w)
		k.Apply(func(j, o int, v float64) float64 {
			if step[o] == 0 {
				return 0
			}
			return math.RoundToEven(v*s[j]/step[o]) * step[o]
		}, k)
		var y mat.Dense
		y.Mul(x, k)
		for i, v := range want[n].RawMatrix().Data {
			d := y.RawMatrix().Data[i] - v
			signal, noise = signal+v*v, noise+d*d
		}
	}
	if signal == 0 {
		return 0
	}
	return math.Sqrt(noise / signal)
}

func largest(x []float64) float64 {
	most := 0.0
	for _, v := range x {
		most = math.Max(most, math.Abs(v))
	}
	return most
}

// write puts the scales into the constants of the group.
func (g *smoothed) write(m *model.Model, ed *edits) {
	for _, name := range g.norm.Inputs[1:] {
		if name == "" {
			continue
		}
		t := m.Graph.Init(name).Clone()
		for j, v := range model.Data[float32](t) {
			model.Data[float32](t)[j] = float32(float64(v) / g.s[j])
		}
		ed.inits[name] = t
	}
	for _, l := range g.layers {
		t := m.Graph.Init(l.weight).Clone()
		inner := stride(t, l.reduced)
		for i, v := range model.Data[float32](t) {
			model.Data[float32](t)[i] = float32(float64(v) * g.s[i/inner%t.Shape[l.reduced]])
		}
		ed.inits[l.weight] = t
	}
}
