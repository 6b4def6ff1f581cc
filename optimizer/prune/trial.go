package prune

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// Trial makes whole choices real: channels of many groups go at once, the layers behind are fitted one after the other as the pass does it, and
// the answers are held against the original's on items that nothing was fitted to. What a study expects of a choice can be checked with it.
type Trial struct {
	Judges int // items that judge

	s       *space
	env     *optimizer.Env
	x       *examiner
	items   []map[string]*model.Tensor // to fit on, then those by which a fit is kept or not
	groups  map[string]*path           // by the first layer that makes the channels
	targets []*target
	known   map[string]judged
	mu      sync.Mutex
}

// NewTrial takes moments of samples items and the order in which channels of each group go, and asks the original about judges further items.
func NewTrial(ctx context.Context, env *optimizer.Env, m *model.Model, samples, judges int) (*Trial, error) {
	const what = "try whole choices"
	if env.Data == nil || env.Data.Len() == 0 {
		return nil, fail.New(fail.Usage, "whole choices are fitted and judged on data").Doing(what).Try("give a folder of typical inputs with --data")
	}
	s, err := newSpace(m)
	if err != nil {
		return nil, err
	}
	all, err := load(ctx, env.Data, samples+judges)
	if err != nil {
		return nil, err
	}
	judges = min(judges, len(all)/2)
	t := &Trial{s: s, env: env, groups: map[string]*path{}, known: map[string]judged{}}
	t.x = &examiner{s: s, env: env}
	for i, it := range all { // spread over all, folders come class by class
		if i*judges/len(all) != (i+1)*judges/len(all) {
			t.x.judge = append(t.x.judge, it)
		} else {
			t.items = append(t.items, it)
		}
	}
	t.Judges = len(t.x.judge)
	groups := s.groups()
	proof, err := s.gather(ctx, env, t.items, groups)
	if err != nil {
		return nil, err
	}
	for i, g := range groups {
		env.Progress.Report(int64(i), int64(len(groups)), "order of the channels of "+g.Makers[0])
		if unfit(env, g, proof[g]) != "" {
			continue
		}
		if t.groups[g.Makers[0]], _, err = s.pathOf(ctx, g, proof[g]); err != nil {
			return nil, err
		}
	}
	for _, r := range s.reads {
		t.targets = append(t.targets, &target{reader: r, origin: r.node})
	}
	if err := s.record(ctx, env, t.items, t.targets); err != nil {
		return nil, fail.In(err, what, fail.Where{})
	}
	if t.x.want, err = s.answers(ctx, env, m, t.x.judge); err != nil {
		return nil, err
	}
	t.x.kl = len(m.Graph.Outputs) > 0 && len(s.shape(m.Graph.Outputs[0].Name)) == 2 && len(t.x.want[0]) > 1
	return t, nil
}

// judged is how far answers moved, with the standard error that comes from the items that judge being a few of many.
type judged struct{ damage, err float64 }

// Damage cuts so many channels of each group, named by its first layer, fits the layers behind, and says how far the answers moved.
func (t *Trial) Damage(ctx context.Context, cut map[string]int) (float64, error) {
	j, err := t.judge(ctx, cut)
	return j.damage, err
}

// Spread is the standard error of Damage over the items that judge.
func (t *Trial) Spread(ctx context.Context, cut map[string]int) (float64, error) {
	j, err := t.judge(ctx, cut)
	return j.err, err
}

func (t *Trial) judge(ctx context.Context, cut map[string]int) (judged, error) {
	key := fmt.Sprint(cut) // maps print in order
	t.mu.Lock()
	j, ok := t.known[key]
	t.mu.Unlock()
	if ok {
		return j, nil
	}
	m, err := t.Model(ctx, cut)
	if err != nil {
		return j, err
	}
	got, err := t.x.answered(ctx, &start{m, t.x.judge}, nil)
	if err != nil {
		return j, err
	}
	j = judged{t.x.far(t.x.want, got), t.x.spread(t.x.want, got)}
	t.mu.Lock()
	t.known[key] = j
	t.mu.Unlock()
	return j, nil
}

// Runs is how many different choices were run.
func (t *Trial) Runs() int { return len(t.known) }

// Model is the choice made real.
func (t *Trial) Model(ctx context.Context, cut map[string]int) (*model.Model, error) {
	gone := map[int]bool{}
	for name, n := range cut {
		p := t.groups[name]
		if n == 0 {
			continue
		}
		if p == nil || n > len(p.roots) {
			return nil, fail.New(fail.Invalid, "%d channels of %q cannot go", n, name).Doing("try a whole choice")
		}
		for _, root := range p.roots[:n] {
			gone[root] = true
		}
	}
	m, err := t.s.cut(gone)
	if err != nil {
		return nil, err
	}
	for _, r := range t.targets {
		if len(t.s.kept(r.atoms, gone)) == len(r.atoms) {
			continue
		}
		c := *r // the rows are shared, what is done to them is not
		c.want = slices.Clone(r.want)
		t.s.keepOutputs(&c, gone)
		if m, _, err = t.s.fit(ctx, t.env, m, t.items, &c); err != nil {
			return nil, fail.In(err, "refit", fail.Where{Node: string(r.node.ID), Op: r.node.Op})
		}
	}
	return m, nil
}
