package quantize

import (
	"context"
	"fmt"
	"math"
	"slices"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// reestimate-batchnorm
//
//	Before:     y = BatchNormalization(x̂, s, b, mean, var)      x̂ differs from the x that mean and var were taken of
//	After:      var' = var · r, mean' = E[x̂] - (E[x] - mean) · √r      r = Var[x̂] / Var[x]
//	Conditions: the model that the recipe began with has the same normalisation with as many channels; its constants are read by
//	            nothing else.
//	Formula:    x of the first model and x̂ of this one on the same items, normalisation after normalisation from the front. Taking
//	            the difference instead of new statistics leaves what few items say about the data themselves out.
//	Exactness:  tried on held-out items and kept where the outputs come closer to those of the first model.
//	Paper:      Finkelstein et al. 2019, arXiv:1906.03193 (the shift of means).

// StatisticsOptions are the options of reestimate-batchnorm.
type StatisticsOptions struct {
	Samples int `opt:"samples" min:"4" max:"100000" help:"calibration items to take statistics of and to try the result on"`
}

// NewStatistics makes the pass with its defaults.
func NewStatistics() optimizer.Pass { return &statistics{StatisticsOptions{Samples: 128}} }

type statistics struct{ o StatisticsOptions }

// Info describes the pass.
func (s *statistics) Info() optimizer.Info {
	return optimizer.Info{Name: "reestimate-batchnorm", Title: "Re-estimate normalisations", Exactness: optimizer.Scored, NeedsData: true,
		Promise: "Moves the statistics of normalisations by what the steps before did to the values they normalise.",
		Paper:   "Finkelstein et al. 2019, arXiv:1906.03193", Undo: "the statistics of the training"}
}

// Options is the struct of options.
func (s *statistics) Options() any { return &s.o }

// normed is a normalisation of this model and of the first one.
type normed struct{ here, first *model.Node }

// pairs finds the normalisations, with a finding for each.
func (s *statistics) pairs(env *optimizer.Env, m *model.Model) ([]normed, []optimizer.Finding) {
	var out []normed
	var found []optimizer.Finding
	for _, n := range m.Graph.Nodes {
		if !is(n, "BatchNormalization") {
			continue
		}
		f := optimizer.Describe("reestimate-batchnorm", n)
		p, why := s.pair(env, m, n)
		if reason, ok := env.Scope.Allows(n); !ok {
			why = reason
		}
		if f.Outcome = optimizer.Applied; why != "" {
			f.Outcome, f.Reason = optimizer.Refused, why
		} else {
			out = append(out, p)
		}
		found = append(found, f)
	}
	if len(found) == 0 {
		found = []optimizer.Finding{{Rule: "reestimate-batchnorm", Outcome: optimizer.Nothing, Reason: "no normalisation; one that is folded into a convolution has no statistics any more"}}
	}
	return out, found
}

func (s *statistics) pair(env *optimizer.Env, m *model.Model, n *model.Node) (normed, string) {
	for _, name := range n.Inputs[min(3, len(n.Inputs)):] {
		t := m.Graph.Init(name)
		if t == nil || t.DType != model.Float32 {
			return normed{}, "its statistics are no constants of float32"
		}
		if len(m.Graph.Users(name)) > 1 {
			return normed{}, fmt.Sprintf("%q is read by more than one node", name)
		}
	}
	if len(n.Outputs) > 1 && n.Outputs[1] != "" || n.Int("training_mode", 0) != 0 {
		return normed{}, "it normalises by the statistics of each run"
	}
	if env.Base == nil {
		return normed{here: n}, ""
	}
	for _, b := range env.Base.Graph.Nodes {
		if is(b, "BatchNormalization") && slices.Equal(b.Origin, n.Origin) {
			if t := env.Base.Graph.Init(input(b, 3)); t == nil || t.Len() != m.Graph.Init(input(n, 3)).Len() {
				return normed{}, "it has another number of channels than in the model before"
			}
			return normed{here: n, first: b}, ""
		}
	}
	return normed{}, "the model before has no such normalisation"
}

// Check lists the normalisations.
func (s *statistics) Check(env *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	_, found := s.pairs(env, m)
	return found, nil
}

// Apply corrects the statistics.
func (s *statistics) Apply(ctx context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	pairs, found := s.pairs(env, m)
	if len(pairs) == 0 {
		return m, found, nil
	}
	if env.Data == nil || env.Data.Len() == 0 {
		return nil, nil, fail.New(fail.Usage, "statistics need calibration data").Doing("re-estimate normalisations").Try("give a folder of typical inputs with --data")
	}
	if env.Base == nil || env.Base.Hash() == m.Hash() {
		for i := range found {
			found[i].Outcome, found[i].Reason = optimizer.Nothing, "no step before changed the model"
		}
		return m, found, nil
	}
	items, err := s.items(ctx, env, m, pairs)
	if err != nil {
		return nil, nil, err
	}
	out, notes, err := s.correct(ctx, env, m, pairs, items)
	if err != nil {
		return nil, nil, err
	}
	j := &job{env: env, batch: items}
	if j.want, err = outputs(ctx, env, env.Base, items.judges()); err != nil {
		return nil, nil, err
	}
	before, err := j.judge(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	after, err := j.judge(ctx, out)
	if err != nil {
		return nil, nil, err
	}
	for i := range found {
		if len(found[i].Nodes) > 0 && notes[found[i].Nodes[0]] != "" {
			found[i].Reason = notes[found[i].Nodes[0]]
		}
	}
	last := optimizer.Finding{Rule: "reestimate-batchnorm", Label: "statistics", Outcome: optimizer.Applied,
		Reason: fmt.Sprintf("outputs on %s: %s before, %s after", j.where(), before, after)}
	if !after.better(before) {
		last.Outcome, last.Reason = optimizer.Refused, last.Reason+": reverted"
		out = m
		revert(found)
	}
	return out, append(found, last), nil
}

// items reads as many as memory allows.
func (s *statistics) items(ctx context.Context, env *optimizer.Env, m *model.Model, pairs []normed) (*batch, error) {
	one, err := loadItems(ctx, env.Data, 1, 1)
	if err != nil {
		return nil, err
	}
	w, err := newWalk(env, m, one.all)
	if err != nil {
		return nil, err
	}
	var at []int
	for _, p := range pairs {
		at = append(at, m.Graph.Position(p.here.ID))
	}
	return loadItems(ctx, env.Data, s.o.Samples, int(max(memory/w.each(at), 4)))
}

// correct walks both models side by side; each normalisation sees the values behind those that are corrected already.
func (s *statistics) correct(ctx context.Context, env *optimizer.Env, m *model.Model, pairs []normed, items *batch) (*model.Model, map[model.NodeID]string, error) {
	fs, err := newWalk(env, env.Base, items.all)
	if err != nil {
		return nil, nil, err
	}
	qs, err := newWalk(env, m, items.all)
	if err != nil {
		return nil, nil, err
	}
	ed := &edits{inits: map[string]*model.Tensor{}, nodes: map[model.NodeID]*model.Node{}}
	notes := map[model.NodeID]string{}
	for i, p := range pairs {
		env.Progress.Report(int64(i), int64(len(pairs)), "statistics of normalisations")
		if err := fs.to(ctx, env.Base.Graph.Position(p.first.ID)); err != nil {
			return nil, nil, err
		}
		if err := qs.to(ctx, m.Graph.Position(p.here.ID)); err != nil {
			return nil, nil, err
		}
		want, got := moments(fs, p.first.Inputs[0], items), moments(qs, p.here.Inputs[0], items)
		mean, variance := m.Graph.Init(p.here.Inputs[3]).Clone(), m.Graph.Init(p.here.Inputs[4]).Clone()
		if len(want) != mean.Len() || len(got) != mean.Len() {
			continue // a value that follows from constants
		}
		moved, ratio := 0.0, 1.0
		for c := range want {
			r := 1.0
			if want[c].deviation > 0 && got[c].deviation > 0 {
				moved = math.Max(moved, math.Abs(got[c].mean-want[c].mean)/want[c].deviation)
				r = min(max(math.Pow(got[c].deviation/want[c].deviation, 2), 1.0/16), 16)
				if math.Abs(math.Log(r)) > math.Abs(math.Log(ratio)) {
					ratio = r
				}
			}
			old := float64(model.Data[float32](mean)[c])
			model.Data[float32](mean)[c] = float32(got[c].mean - (want[c].mean-old)*math.Sqrt(r))
			model.Data[float32](variance)[c] *= float32(r)
		}
		ed.inits[p.here.Inputs[3]], ed.inits[p.here.Inputs[4]] = mean, variance
		notes[p.here.ID] = fmt.Sprintf("means moved by up to %.2g deviations, variances times up to %.3g", moved, ratio)
		qs.m = ed.apply(m)
	}
	return ed.apply(m), notes, nil
}

// moments are mean and deviation of each channel of value on the items that do not judge.
func moments(w *walk, value string, items *batch) []channelStat {
	var sums channelSums
	for i := range w.have {
		if items.held == 0 || !items.isHeld(i) {
			if t := w.have[i][value]; t != nil && t.DType == model.Float32 && t.Rank() > 1 {
				sums.add(t)
			}
		}
	}
	return sums.stats()
}
