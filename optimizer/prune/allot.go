package prune

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// allotment is which channels of each group go where the damage to the outputs is to be small and a budget is to be met.
type allotment struct {
	s      *space
	o      Options
	groups []*Group
	paths  map[*Group]*path
	weight map[*Group]float64 // damage to the outputs of the model for damage to the layers behind
	least  map[*Group]int     // channels that stay at least
}

// costs is what a model weighs against budgets.
type costs struct{ macs, bytes, ns float64 }

func (s *space) weigh(env *optimizer.Env, m *model.Model, timed bool) (costs, error) {
	size, err := optimizer.Measure(m)
	if err != nil {
		return costs{}, err
	}
	c := costs{macs: float64(size.MACs), bytes: float64(size.WeightBytes)}
	if timed && env.Cost != nil {
		c.ns, err = env.Cost.PredictNs(m)
	} else if timed {
		c.ns, err = measured(env, m)
	}
	return c, err
}

// measured is the median time of runs of m on this computer: where no board is there to predict for.
func measured(env *optimizer.Env, m *model.Model) (float64, error) {
	in, err := optimizer.RandomInputs(m, 1, 1)
	if err != nil {
		return 0, err
	}
	s, err := env.Open(context.Background(), m)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	var l []float64
	for i := range 24 {
		begin := time.Now()
		if _, err := s.Run(context.Background(), in[0]); err != nil {
			return 0, err
		}
		if i >= 3 {
			l = append(l, float64(time.Since(begin)))
		}
	}
	slices.Sort(l)
	return l[len(l)/2], nil
}

// allot decides on the channels: the order is that of the least damage for each multiply-add saved, the number as small as the budget allows.
func (s *space) allot(ctx context.Context, env *optimizer.Env, o Options, items []map[string]*model.Tensor) (map[int]bool, []optimizer.Finding, error) {
	a := &allotment{s: s, o: o, paths: map[*Group]*path{}, weight: map[*Group]float64{}, least: map[*Group]int{}}
	all := s.groups()
	var found []optimizer.Finding
	probe := o
	probe.Allocation, probe.Ratio, probe.Multiple = "uniform", 0.5, 1
	for i, g := range all {
		if n, why := probe.removed(env, g, i == 0, i == len(all)-1); why != "" || n == 0 {
			f := optimizer.Describe(name, g.nodes...)
			f.Outcome, f.Reason = optimizer.Refused, why
			if why == "" {
				f.Reason = "it has too few channels"
			}
			found = append(found, f)
			continue
		}
		a.groups = append(a.groups, g)
	}
	if len(a.groups) == 0 {
		return nil, found, nil
	}
	goal, err := a.goal(env)
	if err != nil {
		return nil, nil, err
	}
	proof, err := s.gather(ctx, env, items, a.groups)
	if err != nil {
		return nil, nil, err
	}
	judge := items[len(items)-held(len(items)):]
	want, err := s.answers(ctx, env, s.v.M, judge)
	if err != nil {
		return nil, nil, err
	}
	for i, g := range a.groups {
		env.Progress.Report(int64(i), int64(len(a.groups)), "how much "+g.Makers[0]+" matters")
		if len(proof[g]) == 0 {
			continue
		}
		if a.paths[g], _, err = s.pathOf(ctx, g, proof[g]); err != nil {
			return nil, nil, err
		}
		if a.weight[g], err = a.matters(ctx, env, g, proof[g], judge, want); err != nil {
			return nil, nil, err
		}
	}
	steps := a.order()
	n, reached, err := a.shortest(ctx, env, steps, goal)
	if err != nil {
		return nil, nil, err
	}
	gone := a.gone(steps[:n])
	for _, g := range a.groups {
		f := optimizer.Describe(name, g.nodes...)
		cut := 0
		for _, c := range g.classes {
			if gone[c.root] {
				cut++
			}
		}
		f.Outcome, f.Reason = optimizer.Applied, fmt.Sprintf("%d of %d channels removed (least damage, weight %.3g): %s; group: %s", cut, g.Channels, a.weight[g], a.paths[g], g)
		if cut == 0 {
			f.Outcome, f.Reason = optimizer.Refused, "other groups do less damage for the same work"
			if a.paths[g] == nil {
				f.Reason = "the layers behind are too large to take moments of"
			}
		}
		found = append(found, f)
	}
	found = append(found, optimizer.Finding{Rule: name, Label: "budget", Outcome: optimizer.Applied, Reason: reached})
	return gone, found, nil
}

// goal is what the pruned model may weigh; 0: no bound.
func (a *allotment) goal(env *optimizer.Env) (costs, error) {
	o := a.o
	whole, err := a.s.weigh(env, a.s.v.M, o.Ms > 0)
	if err != nil {
		return costs{}, err
	}
	c := costs{macs: o.MACs * whole.macs, bytes: o.KB * 1e3, ns: o.Ms * 1e6}
	if c != (costs{}) {
		return c, nil
	}
	// as many as the same ratio everywhere would leave
	p := o
	p.Allocation, p.Criterion = "uniform", "l1"
	gone, _ := a.s.choose(env, p)
	m, err := a.s.cut(gone)
	if err != nil {
		return c, err
	}
	uniform, err := a.s.weigh(env, m, false)
	return costs{macs: uniform.macs}, err
}

// matters measures how far the outputs move when half of the channels of g go, for each unit of damage behind the group.
func (a *allotment) matters(ctx context.Context, env *optimizer.Env, g *Group, list []*evidence, judge []map[string]*model.Tensor, want [][]float32) (float64, error) {
	p := a.paths[g]
	half := max((len(p.damage)-1)/2, 1)
	if len(p.roots) < half || p.damage[half] <= 0 {
		return 0, nil
	}
	inits := map[string]*model.Tensor{}
	for _, e := range list {
		r, err := newRemover(e)
		if err != nil {
			return 0, err
		}
		for _, root := range p.roots[:half] {
			if len(e.columns[root]) > 0 {
				r.remove(root)
			}
		}
		inits[e.weight] = written(e.node, a.s.v.Const(e.weight), r.w.RawMatrix().Data)
	}
	m, err := rewrite(a.s.v.M, inits, nil, nil)
	if err != nil {
		return 0, err
	}
	got, err := a.s.answers(ctx, env, m, judge)
	if err != nil {
		return 0, err
	}
	return distance(want, got) / p.damage[half], nil
}

// written is the weight of a layer from outputs x columns.
func written(n *model.Node, w *model.Tensor, v []float64) *model.Tensor {
	t := model.NewTensor(model.Float32, w.Shape...)
	d := model.Data[float32](t)
	outs := w.Shape[outAxis(n)]
	width := len(v) / outs
	for i, x := range v {
		if outAxis(n) == 0 {
			d[i] = float32(x)
		} else {
			d[i%width*outs+i/width] = float32(x)
		}
	}
	return t
}

// answers are the first outputs of items.
func (s *space) answers(ctx context.Context, env *optimizer.Env, m *model.Model, items []map[string]*model.Tensor) ([][]float32, error) {
	out := make([][]float32, len(items))
	err := each(ctx, env, m, items, func(i int, y []*model.Tensor) error {
		if y[0] == nil || y[0].DType != model.Float32 {
			return fail.New(fail.Unsupported, "the model gives no float32 numbers")
		}
		out[i] = append([]float32(nil), model.Data[float32](y[0])...)
		return nil
	})
	return out, err
}

// distance is the squared difference as a share of the squared size.
func distance(want, got [][]float32) float64 {
	d, size := 0.0, 0.0
	for i, w := range want {
		for k, v := range w {
			e := float64(v) - float64(got[i][k])
			d, size = d+e*e, size+float64(v)*float64(v)
		}
	}
	return d / max(size, 1e-30)
}

// step is some channels of a group that go together.
type step struct {
	g        *Group
	from, to int // of its path
}

// order lists steps by damage for each multiply-add, along the lower hull of each group's curve: what comes after a step of a group
// costs more for its work.
func (a *allotment) order() []step {
	at := map[*Group]int{}
	var steps []step
	for {
		var best step
		rate := math.Inf(1)
		for _, g := range a.groups {
			p := a.paths[g]
			if p == nil {
				continue
			}
			for to := at[g] + 1; to < len(p.damage); to++ {
				if kept := g.Channels - to; kept%a.o.Multiple != 0 || kept < 1 {
					continue
				}
				work := a.work(g, at, to)
				if r := a.weight[g] * (p.damage[to] - p.damage[at[g]]) / max(work, 1e-9); r < rate {
					rate, best = r, step{g, at[g], to}
				}
			}
		}
		if best.g == nil {
			return steps
		}
		steps = append(steps, best)
		at[best.g] = best.to
	}
}

// work is how many multiply-adds less there are when to channels of g are gone instead of at[g], others as they are.
func (a *allotment) work(g *Group, at map[*Group]int, to int) float64 {
	share := func(atoms []int) float64 { // of channels that stay
		if len(atoms) == 0 {
			return 1
		}
		f := find(a.s.family, atoms[0])
		for _, o := range a.groups {
			if find(a.s.family, o.classes[0].root) == f {
				return 1 - float64(at[o])/float64(o.Channels)
			}
		}
		return 1
	}
	mine := find(a.s.family, g.classes[0].root)
	part := float64(to-at[g]) / float64(g.Channels)
	sum := 0.0
	for _, m := range g.makers { // its own layers make fewer
		in := 1.0
		for _, r := range a.s.reads {
			if r.node == m.node {
				in = share(r.atoms)
			}
		}
		sum += part * in * a.macs(m.node)
	}
	for _, r := range a.s.reads { // layers behind read fewer
		if find(a.s.family, r.atoms[0]) != mine {
			continue
		}
		out := 1.0
		for _, m := range a.s.makers {
			if m.node == r.node {
				out = share(m.atoms)
			}
		}
		sum += part * out * a.macs(r.node)
	}
	return sum
}

// macs is the number of multiply-adds of a layer as it is.
func (a *allotment) macs(n *model.Node) float64 {
	w, y := a.s.v.Const(n.Inputs[1]), a.s.shape(n.Outputs[0])
	if w == nil || y == nil {
		return 1
	}
	all := 1.0
	for _, d := range y {
		all *= float64(d)
	}
	return all * float64(w.Len()) / float64(w.Shape[outAxis(n)])
}

func (a *allotment) gone(steps []step) map[int]bool {
	gone := map[int]bool{}
	for _, st := range steps {
		for _, root := range a.paths[st.g].roots[st.from:st.to] {
			gone[root] = true
		}
	}
	return gone
}

// shortest is the least number of steps after which the model meets the goal, found by halving, and what it weighs then.
func (a *allotment) shortest(ctx context.Context, env *optimizer.Env, steps []step, goal costs) (int, string, error) {
	meets := func(n int) (bool, costs, error) {
		if err := ctx.Err(); err != nil {
			return false, costs{}, fail.From(err)
		}
		m, err := a.s.cut(a.gone(steps[:n]))
		if err != nil {
			return false, costs{}, err
		}
		c, err := a.s.weigh(env, m, goal.ns > 0)
		c.bytes += a.biases(a.gone(steps[:n]))
		ok := (goal.macs == 0 || c.macs <= goal.macs) && (goal.bytes == 0 || c.bytes <= goal.bytes) && (goal.ns == 0 || c.ns <= goal.ns)
		return ok, c, err
	}
	ok, c, err := meets(len(steps))
	if err != nil {
		return 0, "", err
	}
	if !ok {
		return 0, "", fail.New(fail.Invalid, "impossible: with all channels gone that may go the model still has %.3g multiply-adds and %.3g kB%s", c.macs, c.bytes/1e3, inMs(c)).
			Doing("prune channels").Try("raise the budget, skip fewer layers, or set sums = true")
	}
	lo, hi := 0, len(steps)
	for lo < hi {
		mid := (lo + hi) / 2
		if ok, _, err := meets(mid); err != nil {
			return 0, "", err
		} else if ok {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	_, c, err = meets(lo)
	return lo, fmt.Sprintf("%d steps: %.4g multiply-adds, %.4g kB of weights%s", lo, c.macs, c.bytes/1e3, inMs(c)), err
}

// biases is how many bytes the refit adds: a layer that loses inputs gets a bias.
func (a *allotment) biases(gone map[int]bool) float64 {
	sum := 0.0
	for _, r := range a.s.reads {
		if a.o.Refit != "none" && r.node.Op != "MatMul" && input(r.node, 2) == "" && len(a.s.kept(r.atoms, gone)) < len(r.atoms) {
			sum += 4 * float64(a.s.v.Const(r.weight).Shape[outAxis(r.node)])
		}
	}
	return sum
}

func inMs(c costs) string {
	if c.ns == 0 {
		return ""
	}
	return fmt.Sprintf(", %.3g ms", c.ns/1e6)
}
