// Package prune owns the pass prune-channels: which channels of a model have to go together, which of them matter least, their
// removal from the weights, and the refit of the layers that read what is left.
//
// It runs no model itself: a runner and data come with the environment. Start reading at Options, then at newSpace (what goes
// together), cutting (removal) and refit.
package prune

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// prune-channels
//
//	Before:     y = Conv(x, W); z = Relu(y); u = Conv(z, V)
//	After:      y = Conv(x, W[kept]); z = Relu(y); u = Conv(z, V'[:, kept])
//	Conditions: W and V are stored float32 constants that nobody else reads; every operator between maps channels by a known rule.
//	            Channels that go through a sum belong to all its layers and stay unless sums = true.
//	Formula:    V' and a bias c solve min |X V'^T + c - Y|^2 + lambda |V' - V[:, kept]|^2, lambda = 1e-3 of the mean diagonal of
//	            the centred X^T X, with X the rows that the pruned network gives and Y the outputs of the original one.
//	Exactness:  scored: only data says how good it is.
//	Paper:      Fang et al. 2023, arXiv:2301.12900 (groups); He et al. 2017, arXiv:1707.06168 (refit).

// Options are the options of prune-channels.
type Options struct {
	Ratio      float64            `opt:"ratio" min:"0" max:"0.99" step:"0.05" help:"share of the channels of each group that goes"`
	Criterion  string             `opt:"criterion" enum:"l1 l2 bn geometric-median activation obc lasso taylor fisher discriminant best" help:"which channels matter least: small weights (l1, l2), a small scale of the normalisation, weights that others can stand in for; by data: what a channel adds behind, what its loss costs after the refit (obc), the lasso, gradients of the answers to values or to weights (taylor, fisher), what it adds and what that says about the answer, half and half (discriminant); best: tries several and keeps the one whose outputs stay closest" paper:"Li et al. 2017, arXiv:1608.08710; He et al. 2019, arXiv:1811.00250; Frantar and Alistarh 2022, arXiv:2208.11580; He et al. 2017, arXiv:1707.06168; Molchanov et al. 2017, arXiv:1611.06440; Theis et al. 2018, arXiv:1801.05787; Zhuang et al. 2018, arXiv:1810.11809"`
	Allocation string             `opt:"allocation" enum:"uniform list damage" help:"the same ratio for all groups, one for each layer that is listed, or where the outputs suffer least for the work that is saved"`
	MACs       float64            `opt:"macs" min:"0" max:"1" step:"0.05" help:"share of the multiply-adds that stays; all budgets at 0: as many as the ratio leaves" when:"allocation=damage"`
	KB         float64            `opt:"kb" min:"0" max:"1000000000" unit:"kB" help:"most bytes of weights; 0: no bound" when:"allocation=damage"`
	Ms         float64            `opt:"ms" min:"0" max:"1000000" unit:"ms" help:"longest time: predicted for the board, or measured on this computer where none is given; 0: no bound" when:"allocation=damage"`
	Ratios     map[string]float64 `opt:"ratios" help:"ratio of the group of each layer named" when:"allocation=list"`
	Multiple   int                `opt:"multiple" min:"1" max:"64" help:"channels that stay are rounded up to a multiple of this: the tile of the board's kernels"`
	Sums       bool               `opt:"sums" help:"also cut channels that go through sums, in all layers at once"`
	Skip       []string           `opt:"skip" help:"layers whose channels stay; first and last stand for the first and the last layer"`
	Refit      string             `opt:"refit" enum:"none least-squares" help:"fits the layers that read the channels left to the outputs that they had, on unlabelled data" paper:"He et al. 2017, arXiv:1707.06168"`
	Statistics bool               `opt:"statistics" help:"takes the statistics of normalisations anew from the data, where that brings held-out outputs closer: it helps what was not refitted"`
	Slower     string             `opt:"slower" enum:"refuse keep" help:"what becomes of a result that takes longer on this computer than the model before, measured in turns"`
	Samples    int                `opt:"samples" min:"8" max:"100000" help:"data items to fit on"`
}

// New makes the pass with its defaults.
func New() optimizer.Pass {
	return &pass{o: Options{Ratio: 0.25, Criterion: "l1", Allocation: "uniform", Ratios: map[string]float64{}, Multiple: 1, Refit: "least-squares", Slower: "refuse", Samples: 256}}
}

type pass struct{ o Options }

const name = "prune-channels"

// Info describes the pass.
func (p *pass) Info() optimizer.Info {
	return optimizer.Info{Name: name, Title: "Prune channels", Exactness: optimizer.Scored, NeedsData: true,
		Promise: "Removes the channels that matter least from the weights and fits the layers behind them to what is left: fewer parameters, less work, a smaller file.",
		Paper:   "Fang et al. 2023, arXiv:2301.12900; He et al. 2017, arXiv:1707.06168", Undo: "the weights of the channels"}
}

// Options is the struct of options.
func (p *pass) Options() any { return &p.o }

// Check predicts which groups would lose channels; it needs no data.
func (p *pass) Check(env *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	s, err := newSpace(m)
	if err != nil {
		return nil, err
	}
	o := p.o
	if o.looks() { // what data decide is not known yet: as many of each group
		o.Criterion, o.Allocation = "l1", "uniform"
	}
	_, found := s.choose(env, o)
	return found, nil
}

// looks reports whether data decide which channels go.
func (o *Options) looks() bool {
	switch o.Criterion {
	case "l1", "l2", "bn", "geometric-median":
		return o.Allocation == "damage"
	}
	return true
}

// Apply cuts and refits. fail.Usage without data where a refit is asked for.
func (p *pass) Apply(ctx context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	s, err := newSpace(m)
	if err != nil {
		return nil, nil, err
	}
	fits := p.o.Refit == "least-squares" || p.o.Statistics
	if (fits || p.o.looks()) && (env.Data == nil || env.Data.Len() == 0) {
		return nil, nil, fail.New(fail.Usage, "fitting what is left needs data").Doing("prune channels").
			Try("give a folder of typical inputs with --data, or set refit = \"none\", statistics = false and a criterion that looks at weights alone")
	}
	var items []map[string]*model.Tensor
	if fits || p.o.looks() {
		if items, err = load(ctx, env.Data, p.o.Samples); err != nil {
			return nil, nil, err
		}
	}
	cut := s.prune
	if p.o.Criterion == "best" && p.o.Allocation != "damage" {
		cut = s.best
	}
	out, found, err := cut(ctx, env, p.o, items)
	if err != nil {
		return nil, nil, err
	}
	return env.KeepFaster(ctx, name, p.o.Slower, m, out, found)
}

// prune cuts and refits as the options say.
func (s *space) prune(ctx context.Context, env *optimizer.Env, o Options, items []map[string]*model.Tensor) (*model.Model, []optimizer.Finding, error) {
	m := s.v.M
	gone, found, err := s.decide(ctx, env, o, items)
	if err != nil || len(gone) == 0 {
		return m, found, err
	}
	env.Progress.Report(0, 0, "cutting channels")
	out, err := s.cut(gone)
	if err != nil {
		return nil, nil, err
	}
	for i := range found {
		if found[i].Outcome == optimizer.Applied {
			found[i].Gain.Bytes = s.saved(gone, found[i].Nodes)
		}
	}
	if o.Refit == "least-squares" {
		var more []optimizer.Finding
		if out, more, err = s.refit(ctx, env, items, out, gone); err != nil {
			return nil, nil, err
		}
		found = append(found, more...)
	}
	if o.Statistics {
		var f optimizer.Finding
		if out, f, err = s.statistics(ctx, env, items, out); err != nil {
			return nil, nil, err
		}
		found = append(found, f)
	}
	return out, found, nil
}

// choose decides which classes of channels go, by root, from weights alone.
func (s *space) choose(env *optimizer.Env, o Options) (map[int]bool, []optimizer.Finding) {
	gone, found, _ := s.chooseBy(env, o, func(g *Group) (map[int]float64, error) { return s.scores(g, o.Criterion), nil })
	return gone, found
}

// chooseBy is choose with the numbers that rate gives the classes of a group; small ones go first.
func (s *space) chooseBy(env *optimizer.Env, o Options, rate func(g *Group) (map[int]float64, error)) (map[int]bool, []optimizer.Finding, error) {
	gone := map[int]bool{}
	var found []optimizer.Finding
	groups, may := s.groups(), s.sparing()
	for i, g := range groups {
		f := optimizer.Describe(name, g.nodes...)
		n, why := o.removed(env, g, i == 0, i == len(groups)-1)
		if why == "" && n == 0 {
			why = "the ratio leaves all channels"
		}
		if why != "" {
			f.Outcome, f.Reason = optimizer.Refused, why
			found = append(found, f)
			continue
		}
		score, err := rate(g)
		if fail.Is(err, fail.Unsupported) { // one layer that cannot be looked at is no reason to leave the others
			f.Outcome, f.Reason = optimizer.Refused, fail.From(err).Error()
			found = append(found, f)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		var free []int
		for _, c := range g.classes {
			if c.why == "" {
				free = append(free, c.root)
			}
		}
		sort.SliceStable(free, func(a, b int) bool { return score[free[a]] < score[free[b]] })
		cut := 0
		for _, r := range free {
			if cut < n && may(r) {
				gone[r] = true
				cut++
			}
		}
		if n = cut; n == 0 {
			f.Outcome, f.Reason = optimizer.Refused, "each of its channels is the last one of some layer"
			found = append(found, f)
			continue
		}
		f.Outcome, f.Reason = optimizer.Applied, fmt.Sprintf("%d of %d channels removed (%s); group: %s", n, g.Channels, o.Criterion, g)
		found = append(found, f)
	}
	if len(found) == 0 {
		found = append(found, optimizer.Finding{Rule: name, Outcome: optimizer.Nothing, Reason: "no layer makes channels that could be followed"})
	}
	return gone, found, nil
}

// removed is how many channels of g go, or why none may.
func (o *Options) removed(env *optimizer.Env, g *Group, first, last bool) (int, string) {
	if why, ok := env.Scope.Allows(g.nodes...); !ok {
		return 0, why
	}
	for _, s := range o.Skip {
		if s == "first" && first || s == "last" && last || slices.ContainsFunc(g.nodes, func(n *model.Node) bool { return n.Label() == s || string(n.ID) == s }) {
			return 0, "skipped by " + s
		}
	}
	ratio := o.Ratio
	if o.Allocation == "list" {
		listed := false
		for _, n := range g.nodes {
			for _, key := range []string{n.Label(), string(n.ID)} {
				if r, ok := o.Ratios[key]; ok {
					ratio, listed = r, true
				}
			}
		}
		if !listed {
			return 0, "not in the list of ratios"
		}
	}
	free := 0
	for _, c := range g.classes {
		if c.why == "" {
			free++
		}
	}
	if free == 0 {
		why := "all channels stay"
		for w := range g.Locked {
			why = max(why, w) // one of them, always the same
		}
		if len(g.Locked) == 1 {
			for w := range g.Locked {
				why = w
			}
		}
		return 0, why
	}
	if g.Joint != "" && !o.Sums {
		return 0, "its channels go through the sum " + g.Joint + " and belong to all layers there; sums = true cuts them too"
	}
	kept := g.Channels - int(math.Floor(ratio*float64(g.Channels)+1e-9))
	kept = max((kept+o.Multiple-1)/o.Multiple*o.Multiple, 1)
	return max(min(g.Channels-kept, free, g.Channels-1), 0), ""
}
