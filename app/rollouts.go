package app

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"fettle/dataset"
	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
	"fettle/optimizer/prune"
	"fettle/optimizer/quantize"
	"fettle/optimizer/search"
)

// Rollout is one point that a sampler proposed, made real and judged.
type Rollout struct {
	N      int      `json:"n"`
	Name   string   `json:"name"` // of the experiment
	Point  []int    `json:"point"`
	Damage *float64 `json:"damage,omitempty"` // KL of the answers, or the share of noise; nil: the recipe failed
	Reward float64  `json:"reward"`
	Best   float64  `json:"best"` // reward so far
}

// mostRollouts bounds a search that somebody has to wait for.
const mostRollouts = 10000

// What a roll-out is fitted to, and how many other items judge it.
const rolloutItems, rolloutJudges = 128, 128

// plane is what roll-outs choose in: for each group of channels how many go, and whether layers become low-rank and integers.
type plane struct {
	groups []*prune.Studied // that can be cut
	study  *prune.Study
	space  search.Space
}

// rollouts asks a sampler for points, makes each a file, and tells the sampler what it was worth. The sampler depends on nothing but the
// seed and what it was told, and what it was told lies in the folder: a search that was killed goes on as if nothing had happened.
func (h *hunt) rollouts(ctx context.Context) error {
	set, err := h.data()
	if err != nil {
		return err
	}
	p, err := h.plane(ctx, set)
	if err != nil {
		return err
	}
	env := h.a.passEnv(h.q.Progress)
	judge, err := quantize.NewJudge(ctx, &env, h.base, unseenBy(set, rolloutItems), rolloutJudges)
	if err != nil {
		return err
	}
	s := search.NewSampler(h.q.Optimizer, p.space, h.q.Seed)
	starts := p.starts(h.limits)
	best := math.Inf(-1)
	for i := range h.q.Rollouts {
		if h.late() {
			h.r.Untried = h.q.Rollouts - i
			return nil
		}
		point, x := h.next(s, p, starts)
		x.Name = h.q.rolloutName(i)
		h.q.Progress.Report(int64(i), int64(h.q.Rollouts), "roll-out "+x.Name)
		x, err = h.try(ctx, x, h.recipeOf(p, x.Point), func(x *Experiment, m *model.Model) error {
			f, err := judge.Of(ctx, m)
			if err != nil {
				return err
			}
			d := f.Damage()
			if math.IsNaN(d) || math.IsInf(d, 0) {
				return fail.New(fail.Invalid, "its answers are no numbers")
			}
			x.Damage = &d
			return nil
		})
		if err != nil {
			return err
		}
		now := Rollout{N: i + 1, Name: x.Name, Point: x.Point, Damage: x.Damage, Reward: h.reward(x)}
		best = max(best, now.Reward)
		now.Best = best
		h.r.Rollouts = append(h.r.Rollouts, now)
		s.Tell(point, now.Reward)
		h.r.judge(h.all, h.limits, h.impossible)
		h.tell()
		if err := h.save(); err != nil {
			return err
		}
	}
	return nil
}

func (q SearchRequest) rolloutName(i int) string {
	return fmt.Sprintf("%s-%d-%03d", q.Optimizer, q.Seed, i+1)
}

// next is one of the starts that was not tried, then a point that the sampler asks for and whose recipe was not tried. Where the budget made a
// known one of it, the sampler is told what that was worth.
func (h *hunt) next(s search.Sampler, p *plane, starts [][]int) (asked []int, x Experiment) {
	tried := func(point []int) int {
		return slices.IndexFunc(h.r.Rollouts, func(r Rollout) bool { return slices.Equal(r.Point, point) })
	}
	for _, point := range starts {
		if tried(point) < 0 {
			return point, Experiment{Point: point}
		}
	}
	for range 100 {
		asked = s.Ask()
		x.Point = p.within(asked, h.limits)
		i := tried(x.Point)
		if i < 0 {
			break
		}
		s.Tell(asked, h.r.Rollouts[i].Reward)
	}
	return asked, x
}

// starts are the points that come first: what the exact choice from single damages gives, and the same share of every group.
func (p *plane) starts(l limits) [][]int {
	var out [][]int
	add := func(cuts []int) {
		x := p.within(append(slices.Clone(cuts), 0, 0), l)
		if !slices.ContainsFunc(out, func(y []int) bool { return slices.Equal(x, y) }) {
			out = append(out, x)
		}
	}
	if l.macs <= 0 || len(p.groups) == 0 {
		return nil
	}
	if t, err := NewTradeoff(p.study, "macs"); err == nil {
		if c, err := t.At(l.macs * t.Whole()); err == nil {
			cuts := make([]int, len(p.groups))
			for k, g := range p.groups {
				cuts[k] = slices.IndexFunc(g.Cuts, func(x prune.Cut) bool { return x.Gone == c.Picks[k].Gone })
			}
			add(cuts)
		}
	}
	for even := 0; ; even++ { // the mildest that holds the limit
		cuts, sum, more := make([]int, len(p.groups)), p.study.MACs, false
		for k, g := range p.groups {
			cuts[k] = min(even, len(g.Cuts)-1)
			more = more || even < len(g.Cuts)-1
			sum += g.Cuts[cuts[k]].MACs - p.study.MACs
		}
		if sum <= l.macs*p.study.MACs || !more {
			add(cuts)
			return out
		}
	}
}

// worst is the reward of a recipe that fails: less than any that does not.
const worst = -100

// reward is what a roll-out is worth: little damage, and a penalty for what it is over each limit. The scored data have no say: a search
// that saw them would be tuned on them.
func (h *hunt) reward(x Experiment) float64 {
	if x.Problem != "" || x.Damage == nil {
		return worst
	}
	const penalty = 10
	r := -*x.Damage
	over := func(have, limit float64) {
		if limit > 0 {
			r -= penalty * max(have/limit-1, 0)
		}
	}
	over(x.Ms, h.limits.ms)
	over(x.P99, h.limits.p99)
	over(float64(x.Bytes), h.limits.bytes)
	over(float64(x.MACs), h.limits.macs*float64(h.r.Base.MACs))
	return max(r, worst)
}

// recipeOf is what a point means.
func (h *hunt) recipeOf(p *plane, x []int) optimizer.Recipe {
	c := &Choice{}
	gone := 0
	for k, g := range p.groups {
		n := g.Cuts[x[k]].Gone
		gone += n
		c.Picks = append(c.Picks, Pick{Layer: g.Group.Makers[0], Gone: n, Channels: g.Group.Channels, id: string(g.Layers[0])})
	}
	r := optimizer.Recipe{Schema: 1, Seed: h.q.Seed}
	if gone > 0 {
		r.Steps = append(r.Steps, c.Recipe(h.q.Seed, rolloutItems).Steps...)
	}
	n := len(p.groups)
	if x[n] == 1 {
		r.Steps = append(r.Steps, optimizer.RecipeStep{Pass: "factorize", Options: map[string]any{"error": 0.03}})
	}
	if h.q.Distil > 0 && len(r.Steps) > 0 {
		r.Steps = append(r.Steps, optimizer.RecipeStep{Pass: "distill", Options: map[string]any{"minutes": h.q.Distil}})
	}
	if x[n+1] == 1 {
		r.Steps = append(r.Steps, optimizer.RecipeStep{Pass: "quantize", Options: map[string]any{"samples": int64(64)}})
	}
	if len(r.Steps) == 0 {
		r.Steps = append(r.Steps, optimizer.RecipeStep{Pass: "eliminate-dead"})
	}
	return r
}

// within takes more channels until the multiply-adds that are expected hold the limit: first where little damage saves much work. All
// samplers are held to the same budget in this way.
func (p *plane) within(x []int, l limits) []int {
	x = slices.Clone(x)
	for l.macs > 0 {
		sum := p.study.MACs
		for k, g := range p.groups {
			sum += g.Cuts[x[k]].MACs - p.study.MACs
		}
		if sum <= l.macs*p.study.MACs {
			break
		}
		at, least := -1, math.Inf(1)
		for k, g := range p.groups {
			if x[k]+1 < len(g.Cuts) {
				now, next := g.Cuts[x[k]], g.Cuts[x[k]+1]
				if rate := (next.Damage - now.Damage) / max(now.MACs-next.MACs, 1); rate < least {
					at, least = k, rate
				}
			}
		}
		if at < 0 {
			break // the verdict will say that it is impossible
		}
		x[at]++
	}
	return x
}

// plane studies the model, or takes the study of before.
func (h *hunt) plane(ctx context.Context, set *dataset.Set) (*plane, error) {
	type kept struct {
		Of    string
		Study *prune.Study
	}
	file := filepath.Join(h.q.Out, "study.json")
	k := kept{Of: fmt.Sprint("1 ", h.base.Hash(), " ", h.q.Data, " ", h.q.Seed)}
	var old kept
	if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &old) == nil && old.Of == k.Of && old.Study != nil {
		k.Study = old.Study
	} else {
		env := h.a.passEnv(h.q.Progress)
		env.Seed, env.Data = h.q.Seed, set
		o := prune.NewStudyOptions()
		o.Tier, o.Samples = 2, rolloutItems
		if k.Study, err = prune.Examine(ctx, &env, h.base, o); err != nil {
			return nil, err
		}
		b, err := json.Marshal(k)
		if err != nil {
			return nil, fail.New(fail.Internal, "%v", err).Doing("search")
		}
		if err := exportFile(file, b); err != nil {
			return nil, err
		}
	}
	p := &plane{study: k.Study}
	for i := range k.Study.Groups {
		if g := &k.Study.Groups[i]; len(g.Cuts) > 1 {
			p.groups = append(p.groups, g)
			p.space = append(p.space, len(g.Cuts))
		}
	}
	p.space = append(p.space, 2, 2) // low rank, integers
	return p, nil
}

// unseen is data without the items that recipes are fitted to.
type unseen struct {
	*dataset.Set
	fit int // how many items a pass reads that is fitted
}

// fitted reports whether item i is one of those: they are spread evenly.
func (u unseen) fitted(i int) bool {
	n := u.Set.Len()
	k := (i*u.fit + n - 1) / n
	return k < u.fit && k*n/u.fit == i
}

// Len is how many items are left.
func (u unseen) Len() int { return u.Set.Len() - u.fit }

// Hash names the data and the part of it.
func (u unseen) Hash() string { return u.Set.Hash() + " unseen" }

// Each reads items that no recipe is fitted to.
func (u unseen) Each(ctx context.Context, limit int, visit func(i int, inputs map[string]*model.Tensor) error) error {
	n := 0
	spread := 0 // all
	if limit > 0 && limit < u.Len() {
		spread = min(limit+u.fit, u.Set.Len())
	}
	return u.EachSample(ctx, spread, func(s dataset.Sample) error {
		if u.fitted(s.Index) || limit > 0 && n >= limit {
			return nil
		}
		n++
		return visit(n-1, s.Inputs)
	})
}

// unseenBy are the items that a pass does not read which asks for fit of them; all where there are too few to hold any out.
func unseenBy(set *dataset.Set, fit int) optimizer.Data {
	if set.Len() < fit+16 {
		return set
	}
	return unseen{set, fit}
}

// data opens what recipes are fitted to.
func (h *hunt) data() (*dataset.Set, error) {
	pre, err := preprocessOf(h.base, h.q.Preprocess, h.q.Data)
	if err != nil {
		return nil, err
	}
	return h.a.openData(h.q.Data, h.base, pre)
}
