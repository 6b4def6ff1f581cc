package quantize

import (
	"context"
	"fmt"
	"math"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

// equalize
//
//	Before:     y = B(relu(A(x)))                with channels of very different ranges between A and B
//	After:      y = B'(relu(A'(x)))              A' = A/s, b' = b/s, B' = B·s for each channel between them
//	Conditions: weights and bias of A and the weights of B are constants that nothing else reads; between A and B are only
//	            nodes f with f(s·x) = s·f(x) for s > 0 that keep channels apart, and nothing else reads their values.
//	Formula:    s = sqrt(range of A's channel / range of B's), again and again until no s is far from 1. A depthwise B
//	            has one weight filter a channel; a chain A, depthwise, C ends with three equal ranges, as by the formula for triples.
//	Exactness:  the same function up to rounding; tried as int8 on held-out data and kept where its outputs come closer.
//	Paper:      Nagel et al. 2019, arXiv:1906.04721.

// EqualizeOptions are the options of equalize.
type EqualizeOptions struct {
	Samples int  `opt:"samples" min:"2" max:"100000" help:"calibration items to try the result on"`
	Absorb  bool `opt:"absorb" help:"moves what every value of a channel lies above zero into the next bias, where held-out outputs come closer" paper:"Nagel et al. 2019, arXiv:1906.04721, section 4.1.3"`
}

// NewEqualize makes the pass with its defaults.
func NewEqualize() optimizer.Pass { return &equalize{EqualizeOptions{Samples: 64, Absorb: true}} }

type equalize struct{ o EqualizeOptions }

// Info describes the pass.
func (e *equalize) Info() optimizer.Info {
	return optimizer.Info{Name: "equalize", Title: "Equalize channels", Exactness: optimizer.Scored, NeedsData: true,
		Promise: "Gives the channels between two layers alike ranges, so that one scale fits them all.",
		Paper:   "Nagel et al. 2019, arXiv:1906.04721", Undo: "the scale of single channels"}
}

// Options is the struct of options.
func (e *equalize) Options() any { return &e.o }

// pair is two layers and the nodes between them.
type pair struct {
	a, b     *model.Node
	from, to *layer
	per      int // inputs of b for each channel of a
}

// Check lists the pairs.
func (e *equalize) Check(env *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	_, found, err := e.pairs(env, m)
	return found, err
}

// Apply scales the channels of every pair.
func (e *equalize) Apply(ctx context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	pairs, found, err := e.pairs(env, m)
	if err != nil || len(pairs) == 0 {
		return m, found, err
	}
	ed := &edits{inits: map[string]*model.Tensor{}, nodes: map[model.NodeID]*model.Node{}}
	spread, changed := e.scale(m, pairs, ed)
	at := 0
	for i := range found {
		if found[i].Outcome == optimizer.Applied {
			found[i].Reason = fmt.Sprintf("the ranges of its channels differed by up to %.3g times", spread[at])
			at++
		}
	}
	hasData := env.Data != nil && env.Data.Len() > 0
	var best *trial
	if hasData {
		if best, err = tryInt8(ctx, env, m, e.o.Samples, nil); err != nil {
			return nil, nil, err
		}
	}
	out := m
	if !changed {
		found = append(found, optimizer.Finding{Rule: "equalize", Outcome: optimizer.Nothing, Reason: "all channels have alike ranges"})
	} else {
		out = ed.apply(m)
		last := optimizer.Finding{Rule: "equalize", Label: "equalisation", Outcome: optimizer.Applied, Reason: "kept untried: there is no calibration data"}
		if hasData {
			after, err := tryInt8(ctx, env, out, e.o.Samples, best)
			if err != nil {
				return nil, nil, err
			}
			last.Reason = fmt.Sprintf("as int8, outputs on %s: %s before, %s after", best.job.where(), best.f, after.f)
			if after.f.better(best.f) {
				best = after
			} else {
				last.Outcome, last.Reason = optimizer.Refused, last.Reason+": reverted"
				out = m
				revert(found)
			}
		}
		found = append(found, last)
	}
	if !e.o.Absorb || !hasData {
		return out, found, nil
	}
	absorbed, more, err := e.absorb(ctx, env, out, pairs, best)
	return absorbed, append(found, more...), err
}

// trial is a model as int8.
type trial struct {
	job *job
	f   fidelity
}

// tryInt8 quantizes m to int8 and compares with the float model, on the items and outputs of like where it is given.
func tryInt8(ctx context.Context, env *optimizer.Env, m *model.Model, samples int, like *trial) (*trial, error) {
	o := *New().Options().(*Options)
	o.Samples, o.CorrectBias = samples, false
	j, err := newJob(ctx, env, o, m)
	if err != nil {
		return nil, err
	}
	if j == nil {
		return nil, fail.New(fail.Invalid, "has no layer that int8 is for")
	}
	if like != nil {
		j.batch, j.want = like.job.batch, like.job.want
	} else if err := j.load(ctx); err != nil {
		return nil, err
	}
	f, err := j.trial(ctx, plan{})
	return &trial{j, f}, err
}

// pairs finds the layers to equalise, with a finding for each layer that is followed by another.
func (e *equalize) pairs(env *optimizer.Env, m *model.Model) ([]pair, []optimizer.Finding, error) {
	s, err := selectNodes(env, m, Options{Weights: "int8", Activations: "none"}, plan{})
	if err != nil {
		return nil, nil, err
	}
	inf, _, err := ops.Infer(m, nil)
	if err != nil {
		return nil, nil, err
	}
	var pairs []pair
	var found []optimizer.Finding
	for _, n := range m.Graph.Nodes {
		l := s.layers[n.ID]
		if l == nil {
			continue
		}
		p, why := follow(s, inf, n)
		if p == nil && why == "" {
			continue
		}
		f := optimizer.Describe("equalize", n)
		if f.Outcome = optimizer.Applied; p == nil {
			f.Outcome, f.Reason = optimizer.Refused, why
		} else {
			pairs = append(pairs, *p)
			f = optimizer.Describe("equalize", p.a, p.b)
			f.Outcome = optimizer.Applied
		}
		found = append(found, f)
	}
	if len(found) == 0 {
		found = []optimizer.Finding{{Rule: "equalize", Outcome: optimizer.Nothing, Reason: "no layer feeds another"}}
	}
	return pairs, found, nil
}

// follow goes from layer n to the next one. Both results are empty where no layer follows.
func follow(s *selection, inf *ops.Inferred, n *model.Node) (*pair, string) {
	g, l := s.view.G, s.layers[n.ID]
	if act := n.Str("activation", "none"); n.Domain == fettle && act != "none" && act != "relu" && act != "leakyrelu" {
		return nil, act + " does not scale with its input"
	}
	if n.Domain == fettle && input(n, 3) != "" {
		return nil, "a sum is added to its output"
	}
	if input(n, 2) != "" && l.bias == "" {
		return nil, "its bias is no vector of constants"
	}
	channels := s.view.Const(l.weight).Shape[l.axis]
	for v, at := n.Outputs[0], n; ; {
		users := g.Users(v)
		if len(users) == 0 {
			return nil, ""
		}
		if g.Output(v) != nil || len(users) > 1 {
			return nil, fmt.Sprintf("%d nodes read its output", len(users))
		}
		next := users[0]
		if b := s.layers[next.ID]; b != nil && input(next, 0) == v {
			for _, shared := range []string{l.weight, l.bias, b.weight} {
				if shared != "" && len(g.Users(shared)) > 1 {
					return nil, fmt.Sprintf("%q is read by more than one node", shared)
				}
			}
			w := s.view.Const(b.weight)
			in := w.Shape[b.reduced]
			if is(next, "Conv") {
				in *= int(next.Int("group", 1))
			} else if is(next, "ConvTranspose") {
				return nil, "a ConvTranspose follows"
			}
			if in%channels != 0 || is(next, "Conv") && in != channels {
				return nil, fmt.Sprintf("%d channels become %d inputs", channels, in)
			}
			return &pair{a: n, b: next, from: l, to: b, per: in / channels}, ""
		}
		switch {
		case is(next, "Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Identity", "Dropout") && len(next.Outputs) == 1:
		case is(next, "Flatten") && next.Int("axis", 1) == 1:
		case is(next, "Reshape") && flattens(inf.Types[v], inf.Types[next.Outputs[0]]):
		default:
			return nil, next.Op + " follows, which does not scale channel by channel"
		}
		if input(next, 0) != v {
			return nil, "its output decides more than the values of " + next.Op
		}
		at = next
		v = at.Outputs[0]
	}
}

// flattens reports whether a matrix holds all but the first dimension of x in each row.
func flattens(x, matrix model.Type) bool {
	if !x.Ranked || !matrix.Ranked || len(matrix.Shape) != 2 || len(x.Shape) < 2 {
		return false
	}
	n := 1
	for _, d := range x.Shape[1:] {
		n *= d.N
		if !d.Known() {
			return false
		}
	}
	return matrix.Shape[1].N == n
}

// scale makes the new constants; it gives how far the ranges of each pair were apart and whether anything changed.
func (e *equalize) scale(m *model.Model, pairs []pair, ed *edits) (spread []float64, changed bool) {
	get := func(name string) []float32 {
		if ed.inits[name] == nil {
			ed.inits[name] = m.Graph.Init(name).Clone()
		}
		return model.Data[float32](ed.inits[name])
	}
	spread = make([]float64, len(pairs))
	for sweep := range 64 {
		far := 0.0
		for k, p := range pairs {
			wa, wb := m.Graph.Init(p.from.weight), m.Graph.Init(p.to.weight)
			if wa == nil || wb == nil {
				continue // a Constant node; fold-constants makes an initializer of it
			}
			a, b := get(p.from.weight), get(p.to.weight)
			channels := wa.Shape[p.from.axis]
			r1, r2 := make([]float64, channels), make([]float64, channels)
			from := func(i int) int { return i / stride(wa, p.from.axis) % channels }
			for i, x := range a {
				r1[from(i)] = math.Max(r1[from(i)], math.Abs(float64(x)))
			}
			to := p.reader(wb)
			for i, x := range b {
				r2[to(i)] = math.Max(r2[to(i)], math.Abs(float64(x)))
			}
			s := make([]float64, channels)
			least, most := math.Inf(1), 0.0
			for c := range s {
				s[c] = 1
				if r1[c] > 1e-20 && r2[c] > 1e-20 {
					s[c] = math.Sqrt(r1[c] / r2[c])
					least, most = math.Min(least, s[c]), math.Max(most, s[c])
				}
				far = math.Max(far, math.Abs(math.Log(s[c])))
			}
			if sweep == 0 && most > 0 {
				spread[k] = most / least
			}
			for i := range a {
				a[i] = float32(float64(a[i]) / s[from(i)])
			}
			for i := range b {
				b[i] = float32(float64(b[i]) * s[to(i)])
			}
			if p.from.bias != "" {
				bias := get(p.from.bias)
				for c := range bias {
					bias[c] = float32(float64(bias[c]) / s[c])
				}
			}
		}
		changed = changed || far > 1e-3
		if far < 1e-3 {
			break
		}
	}
	return spread, changed
}

// reader gives the channel that an element of the reading weight is multiplied with.
func (p pair) reader(w *model.Tensor) func(i int) int {
	inner := stride(w, p.to.reduced)
	if groups := int(p.b.Int("group", 1)); is(p.b, "Conv") && groups > 1 {
		in, rows := w.Shape[1], w.Shape[0]/groups
		return func(i int) int { return i/(in*inner)/rows*in + i/inner%in }
	}
	return func(i int) int { return i / inner % w.Shape[p.to.reduced] / p.per }
}

// stride is the number of elements from one index of an axis to the next.
func stride(t *model.Tensor, axis int) int {
	n := 1
	for _, d := range t.Shape[axis+1:] {
		n *= d
	}
	return n
}
