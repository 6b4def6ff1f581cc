package app

import (
	"context"
	"fmt"
	"math"
	"slices"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer/prune"
	"fettle/optimizer/search"
)

// Refined says how a choice fared that was improved by runs of whole choices.
type Refined struct {
	Single float64 `json:"single"` // damage of the exact choice from single damages, run as a whole
	Even   float64 `json:"even"`   // of the mildest equal share of every group within the limit
	Best   float64 `json:"best"`   // of the choice that was taken

	// Standard errors: other items would have judged otherwise by as much.
	SingleErr float64 `json:"single_error"`
	EvenErr   float64 `json:"even_error"`
	BestErr   float64 `json:"best_error"`

	Runs  int `json:"runs"`
	Items int `json:"items"` // that judged; nothing was fitted to them
}

// trial runs whole choices.
type trial interface {
	Damage(ctx context.Context, cut map[string]int) (float64, error)
	Spread(ctx context.Context, cut map[string]int) (float64, error) // standard error of the damage
	Runs() int                                                       // different ones so far
}

// refiner moves a choice to where whole choices, fitted as the recipe will be, do least damage.
type refiner struct {
	t     *Tradeoff
	try   trial
	limit float64
	most  int // runs
}

// Refine improves the choice for a limit: it begins at the better of the exact choice from single damages and the same share of every group, runs
// each neighbour with one group cut a step more or less, chooses exactly among all combinations of such steps, and goes on from what is better
// when run as a whole. Only calibration data are used.
func (a *App) Refine(ctx context.Context, m *model.Model, q SensitivityRequest, t *Tradeoff, limit float64, runs int) (*Choice, *Refined, error) {
	if runs < 2 {
		return nil, nil, fail.New(fail.Usage, "%d runs", runs).Doing("improve the choice").Try("two are the least: one of each start")
	}
	env, err := a.studyEnv(ctx, m, q)
	if err != nil {
		return nil, nil, err
	}
	trial, err := prune.NewTrial(ctx, env, m, q.Samples, max(q.Samples, 32))
	if err != nil {
		return nil, nil, err
	}
	first, err := t.At(limit)
	if err != nil {
		return nil, nil, err
	}
	r := &refiner{t, trial, limit, runs}
	f := &Refined{Items: trial.Judges}
	at, err := r.improve(ctx, t.levels(first), f, q.Progress)
	if err != nil {
		return nil, nil, err
	}
	c := t.choice(at, f.Best)
	c.Low, c.High = max(f.Best-f.BestErr, 0), f.Best+f.BestErr
	return c, f, nil
}

// improve goes from the better of two starts to where no step does less damage, or the runs are used up.
func (r *refiner) improve(ctx context.Context, at []int, f *Refined, p task.Progress) (_ []int, err error) {
	if f.Single, err = r.damage(ctx, at); err != nil {
		return nil, err
	}
	even := r.t.even(r.limit)
	if f.Even, err = r.damage(ctx, even); err != nil {
		return nil, err
	}
	if f.SingleErr, err = r.try.Spread(ctx, r.cut(at)); err != nil {
		return nil, err
	}
	if f.EvenErr, err = r.try.Spread(ctx, r.cut(even)); err != nil {
		return nil, err
	}
	f.Best = f.Single
	if f.Even < f.Single && r.t.choice(even, 0).Cost <= r.limit {
		at, f.Best = even, f.Even
	}
	for reach := 2; reach >= 1 && r.try.Runs() < r.most; { // far steps first, then near ones
		p.Report(int64(r.try.Runs()), int64(r.most), fmt.Sprintf("whole choices, damage %.3g", f.Best))
		next, d, err := r.step(ctx, at, f.Best, reach)
		if err != nil {
			return nil, err
		}
		if next == nil {
			reach--
			continue
		}
		at, f.Best = next, d
	}
	f.Runs = r.try.Runs()
	f.BestErr, err = r.try.Spread(ctx, r.cut(at))
	return at, err
}

// damage runs the choice of a cut of each group as a whole.
func (r *refiner) damage(ctx context.Context, at []int) (float64, error) {
	return r.try.Damage(ctx, r.cut(at))
}

func (r *refiner) cut(at []int) map[string]int {
	cut := map[string]int{}
	for k, g := range r.t.groups {
		cut[g.Group.Makers[0]] = g.Cuts[at[k]].Gone
	}
	return cut
}

// step gives a better choice near at, nil where none was found.
func (r *refiner) step(ctx context.Context, at []int, now float64, reach int) ([]int, float64, error) {
	groups := make([][]search.Option, len(at))
	levels := make([][]int, len(at))
	for k, g := range r.t.groups {
		for _, by := range []int{0, -reach, reach} {
			l := at[k] + by
			if l < 0 || l >= len(g.Cuts) {
				continue
			}
			o := search.Option{Cost: r.t.cost(g, l)}
			if by != 0 {
				if r.try.Runs() >= r.most {
					continue
				}
				moved := slices.Clone(at)
				moved[k] = l
				d, err := r.damage(ctx, moved)
				if err != nil {
					return nil, 0, err
				}
				o.Damage = d - now
			}
			groups[k], levels[k] = append(groups[k], o), append(levels[k], l)
		}
	}
	for _, share := range []float64{1, 0.5, 0.25} { // single steps promise too much together: then fewer of them
		picks, ok := r.solve(groups, share)
		if !ok {
			return nil, 0, nil
		}
		next := make([]int, len(at))
		for k, j := range picks {
			next[k] = levels[k][j]
		}
		if slices.Equal(next, at) {
			return nil, 0, nil
		}
		d, err := r.damage(ctx, next)
		if err != nil {
			return nil, 0, err
		}
		if d < now {
			return next, d, nil
		}
	}
	return nil, 0, nil
}

// solve chooses exactly among steps. With a share below 1 only those steps stay that promise most.
func (r *refiner) solve(groups [][]search.Option, share float64) ([]int, bool) {
	g := make([][]search.Option, len(groups))
	type gain struct{ k, j int }
	for k := range groups {
		g[k] = slices.Clone(groups[k])
	}
	picks, ok := search.Knapsack(g, r.limit-r.t.whole, math.Inf(1))
	if !ok || share >= 1 {
		return picks, ok
	}
	var moves []gain
	for k, j := range picks {
		if j != 0 {
			moves = append(moves, gain{k, j})
		}
	}
	slices.SortStableFunc(moves, func(a, b gain) int {
		return sign(groups[b.k][b.j].Damage*groups[b.k][b.j].Damage - groups[a.k][a.j].Damage*groups[a.k][a.j].Damage)
	})
	for i, m := range moves {
		if float64(i) >= share*float64(len(moves)) {
			g[m.k] = g[m.k][:1] // this group stays as it is
		}
	}
	return search.Knapsack(g, r.limit-r.t.whole, math.Inf(1))
}

func sign(x float64) int {
	switch {
	case x < 0:
		return -1
	case x > 0:
		return 1
	}
	return 0
}

// cost is what a cut of a group saves, below zero, in the units of the limit.
func (t *Tradeoff) cost(g *prune.Studied, level int) float64 {
	c := g.Cuts[level]
	return t.saving * (t.of(c.MACs, c.Bytes, c.Ns) - t.whole)
}

// levels are the places of a choice's cuts.
func (t *Tradeoff) levels(c *Choice) []int {
	at := make([]int, len(t.groups))
	for k, g := range t.groups {
		at[k] = slices.IndexFunc(g.Cuts, func(x prune.Cut) bool { return x.Gone == c.Picks[k].Gone })
	}
	return at
}

// even is the mildest equal share of every group that holds the limit, the strongest where none does.
func (t *Tradeoff) even(limit float64) []int {
	at := make([]int, len(t.groups))
	for level := 0; ; level++ {
		sum, more := t.whole, false
		for k, g := range t.groups {
			at[k] = min(level, len(g.Cuts)-1)
			more = more || level < len(g.Cuts)-1
			sum += t.cost(g, at[k])
		}
		if sum <= limit || !more {
			return at
		}
	}
}

// choice is what a cut of each group comes to.
func (t *Tradeoff) choice(at []int, damage float64) *Choice {
	c := &Choice{Cost: t.whole, Damage: damage, Low: damage, High: damage}
	for k, g := range t.groups {
		cut := g.Cuts[at[k]]
		c.sum += cut.Damage
		c.Cost += t.cost(g, at[k])
		c.Picks = append(c.Picks, Pick{Layer: g.Group.Makers[0], Gone: cut.Gone, Channels: g.Group.Channels, id: string(g.Layers[0])})
	}
	return c
}
