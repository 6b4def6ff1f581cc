package prune

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"

	"fettle/internal/fail"
	"fettle/internal/stats"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
)

// Study is how much a model suffers where channels go: from moments, from runs with one group cut at a time, and from runs with
// many, by which the sum of single damages is corrected.
type Study struct {
	Groups []Studied `json:"groups"`
	Unit   string    `json:"unit"` // of damages: KL of the answers, or share of the squared outputs
	Items  int       `json:"items"`
	MACs   float64   `json:"macs"` // of the whole model
	Bytes  float64   `json:"bytes"`
	Ns     float64   `json:"ns,omitempty"` // predicted for a board or measured here; 0: not asked for
	Law    *Law      `json:"law,omitempty"`
}

// Studied is a group with the damage of its cuts.
type Studied struct {
	Curve
	Cuts   []Cut          `json:"cuts,omitempty"` // the first leaves all channels
	Layers []model.NodeID `json:"layers"`
}

// Cut is one way to treat a group, alone.
type Cut struct {
	Gone   int     `json:"gone"`
	Damage float64 `json:"damage"`
	MACs   float64 `json:"macs"` // of the whole model then
	Bytes  float64 `json:"bytes"`
	Ns     float64 `json:"ns,omitempty"`

	weights map[string]*model.Tensor // of the layers behind, fitted to what is left
}

// Law says what many cuts at once cost: factor * (sum of single damages)^power, with the spread of the logarithm of what it misses.
type Law struct {
	Factor float64 `json:"factor"`
	Power  float64 `json:"power"`
	Spread float64 `json:"spread"`
	Fitted int     `json:"fitted"`         // joint cuts that it was fitted to
	Tested int     `json:"tested"`         // others, that it had not seen
	Rank   float64 `json:"rank,omitempty"` // Spearman's correlation over these
}

// Joint is the damage that the law expects, and its bounds: two thirds of joint cuts lie between.
func (l *Law) Joint(sum float64) (mid, low, high float64) {
	if l == nil || sum <= 0 {
		return sum, sum, sum
	}
	mid = l.Factor * math.Pow(sum, l.Power)
	return mid, mid * math.Exp(-l.Spread), mid * math.Exp(l.Spread)
}

// StudyOptions say how far a study goes.
type StudyOptions struct {
	Samples  int       // items for moments; an eighth of them judges
	Tier     int       // 1: moments alone; 2: runs with one group cut; 3: and with many
	Ratios   []float64 // that are tried of each group
	Multiple int       // channels that stay are rounded up to a multiple of this
	Timed    bool      // each cut is timed: predicted for the board, or measured on this computer where none is given
	Joint    int       // joint cuts to fit the law to
	Test     int       // joint cuts to test it on
}

// NewStudyOptions are sensible for a few seconds.
func NewStudyOptions() StudyOptions {
	return StudyOptions{Samples: 256, Tier: 3, Ratios: []float64{0.125, 0.25, 0.375, 0.5, 0.625, 0.75}, Multiple: 1, Joint: 12}
}

// examiner makes a study.
type examiner struct {
	s     *space
	o     StudyOptions
	env   *optimizer.Env
	judge []map[string]*model.Tensor
	want  [][]float32
	kl    bool
}

// Examine studies m. Each tier reports its progress; what came before is in the result.
func Examine(ctx context.Context, env *optimizer.Env, m *model.Model, o StudyOptions) (*Study, error) {
	if env.Data == nil || env.Data.Len() == 0 {
		return nil, fail.New(fail.Usage, "sensitivity needs data").Doing("look at groups").Try("give a folder of typical inputs with --data")
	}
	s, err := newSpace(m)
	if err != nil {
		return nil, err
	}
	items, err := load(ctx, env.Data, o.Samples)
	if err != nil {
		return nil, err
	}
	groups := s.groups()
	proof, err := s.gather(ctx, env, items, groups)
	if err != nil {
		return nil, err
	}
	x := &examiner{s: s, o: o, env: env, judge: items[len(items)-held(len(items)):]}
	st := &Study{Items: len(x.judge)}
	whole, err := s.weigh(env, m, o.Timed)
	if err != nil {
		return nil, err
	}
	st.MACs, st.Bytes = whole.macs, whole.bytes
	st.Ns = whole.ns
	for i, g := range groups {
		env.Progress.Report(int64(i), int64(len(groups)), "sensitivity of "+g.Makers[0])
		d := Studied{Curve: Curve{Group: g}}
		for _, n := range g.nodes {
			d.Layers = append(d.Layers, n.ID)
		}
		if d.Problem = unfit(env, g, proof[g]); d.Problem == "" {
			if err := x.paths(ctx, &d, proof[g]); err != nil {
				return nil, err
			}
		}
		st.Groups = append(st.Groups, d)
	}
	if o.Tier < 2 {
		return st, nil
	}
	if x.want, err = s.answers(ctx, env, m, x.judge); err != nil {
		return nil, err
	}
	x.kl = len(m.Graph.Outputs) > 0 && len(s.shape(m.Graph.Outputs[0].Name)) == 2 && len(x.want[0]) > 1
	st.Unit = "share of the squared outputs"
	if x.kl {
		st.Unit = "KL of the answers"
	}
	if err := x.alone(ctx, st); err != nil {
		return nil, err
	}
	if o.Tier > 2 {
		st.Law, err = x.together(ctx, st)
	}
	return st, err
}

// unfit says why a group cannot be studied.
func unfit(env *optimizer.Env, g *Group, list []*evidence) string {
	if why, ok := env.Scope.Allows(g.nodes...); !ok {
		return why
	}
	switch {
	case !hasFree(g):
		return "all channels stay"
	case len(list) == 0:
		return "the layers behind are too large to take moments of, or there are none"
	case g.Joint != "":
		return "its channels go through the sum " + g.Joint
	}
	return ""
}

// paths takes the channels of a group away one by one and keeps the fitted weights at each ratio that is tried.
func (x *examiner) paths(ctx context.Context, d *Studied, list []*evidence) error {
	g := d.Group
	p, _, err := x.s.pathOf(ctx, g, list)
	if err != nil {
		return err
	}
	d.Damage = p.damage
	if x.o.Tier < 2 {
		return nil
	}
	var rs []*remover
	for _, e := range list {
		r, err := newRemover(e)
		if err != nil {
			return err
		}
		rs = append(rs, r)
	}
	d.Cuts = []Cut{{}}
	at := 0
	for _, ratio := range x.o.Ratios {
		kept := g.Channels - int(math.Floor(ratio*float64(g.Channels)+1e-9))
		kept = max((kept+x.o.Multiple-1)/x.o.Multiple*x.o.Multiple, 1)
		gone := min(g.Channels-kept, len(p.roots))
		if gone <= at {
			continue
		}
		c := Cut{Gone: gone, weights: map[string]*model.Tensor{}}
		for _, root := range p.roots[at:gone] {
			for _, r := range rs {
				if len(r.e.columns[root]) > 0 {
					r.remove(root)
				}
			}
		}
		at = gone
		for _, r := range rs {
			c.weights[r.e.weight] = written(r.e.node, x.s.v.Const(r.e.weight), r.w.RawMatrix().Data)
		}
		all := map[int]bool{}
		for _, root := range p.roots[:gone] {
			all[root] = true
		}
		m, err := x.s.cut(all)
		if err != nil {
			return err
		}
		size, err := x.s.weigh(x.env, m, x.o.Timed)
		if err != nil {
			return err
		}
		c.MACs, c.Bytes, c.Ns = size.macs, size.bytes, size.ns
		d.Cuts = append(d.Cuts, c)
	}
	return nil
}

// alone runs the model with each cut of each group: what lies before the first layer that changes is run once.
func (x *examiner) alone(ctx context.Context, st *Study) error {
	type job struct {
		g *Studied
		c *Cut
	}
	var jobs []job
	for i := range st.Groups {
		d := &st.Groups[i]
		if len(d.Cuts) > 0 {
			d.Cuts[0].MACs, d.Cuts[0].Bytes, d.Cuts[0].Ns = st.MACs, st.Bytes, st.Ns
		}
		for k := 1; k < len(d.Cuts); k++ {
			jobs = append(jobs, job{d, &d.Cuts[k]})
		}
	}
	starts := map[*Studied]*start{}
	for _, j := range jobs {
		if starts[j.g] == nil {
			var err error
			if starts[j.g], err = x.startOf(ctx, j.c.weights); err != nil {
				return err
			}
		}
	}
	err := x.parallel(ctx, len(jobs), "cuts run alone", func(ctx context.Context, i int) (err error) {
		jobs[i].c.Damage, err = x.damage(ctx, starts[jobs[i].g], jobs[i].c.weights)
		return err
	})
	for i := range st.Groups {
		rising(st.Groups[i].Cuts)
	}
	return err
}

// rising replaces damages that fall while more channels go by the mean of their neighbours: with few items that is noise.
func rising(cuts []Cut) {
	type block struct {
		sum float64
		n   int
	}
	var l []block
	for _, c := range cuts {
		l = append(l, block{c.Damage, 1})
		for k := len(l) - 1; k > 0 && l[k-1].sum/float64(l[k-1].n) > l[k].sum/float64(l[k].n); k-- {
			l[k-1] = block{l[k-1].sum + l[k].sum, l[k-1].n + l[k].n}
			l = l[:k]
		}
	}
	at := 0
	for _, b := range l {
		for range b.n {
			cuts[at].Damage = max(b.sum/float64(b.n), 0)
			at++
		}
	}
}

// parallel calls f for 0..n-1 on all processors.
func (x *examiner) parallel(ctx context.Context, n int, what string, f func(ctx context.Context, i int) error) error {
	g := task.NewGroup(ctx)
	var next atomic.Int64
	for range min(runtime.GOMAXPROCS(0), n) {
		g.Go(what, func(ctx context.Context) error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return fail.From(err)
				}
				x.env.Progress.Report(int64(i), int64(n), what)
				if err := f(ctx, i); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// start is the rest of a model behind some values, and these values for each item that judges.
type start struct {
	rest  *model.Model
	items []map[string]*model.Tensor
}

// startOf cuts the model before the first layer whose weights change.
func (x *examiner) startOf(ctx context.Context, weights map[string]*model.Tensor) (*start, error) {
	g := x.s.v.G
	first := len(g.Nodes)
	for i, n := range g.Nodes {
		if i < first && slices.ContainsFunc(n.Inputs, func(in string) bool { return weights[in] != nil }) {
			first = i
		}
	}
	whole := &start{x.s.v.M, x.judge}
	made := map[string]bool{}
	for _, n := range g.Nodes[:first] {
		for _, o := range n.Outputs {
			made[o] = o != "" && x.s.constant(o) == nil
		}
	}
	var border, inputs []string
	seen := map[string]bool{}
	types := map[string]model.Type{}
	for _, n := range g.Nodes[first:] {
		for _, r := range model.Reads(n) {
			if made[r] && !seen[r] {
				seen[r] = true
				border, types[r] = append(border, r), x.s.inf.Types[r]
				if x.s.inf.Types[r].DType != model.Float32 {
					return whole, nil
				}
			}
		}
	}
	for _, o := range g.Outputs {
		if made[o.Name] {
			return whole, nil
		}
	}
	if len(border) == 0 {
		return whole, nil
	}
	for _, v := range g.Free() {
		inputs = append(inputs, v.Name)
	}
	rest, err := x.s.v.M.Extract(append(slices.Clone(border), inputs...), []string{g.Outputs[0].Name}, types)
	if err != nil { // inputs that the rest does not read are no inputs of it
		if rest, err = x.s.v.M.Extract(border, []string{g.Outputs[0].Name}, types); err != nil {
			return whole, nil
		}
	}
	front, err := x.s.showing(x.s.v.M, border)
	if err != nil {
		return nil, err
	}
	st := &start{rest: rest, items: make([]map[string]*model.Tensor, len(x.judge))}
	return st, each(ctx, x.env, front, x.judge, func(i int, out []*model.Tensor) error {
		st.items[i] = map[string]*model.Tensor{}
		for k, name := range border {
			st.items[i][name] = out[k].Clone()
		}
		for _, in := range rest.Graph.Free() {
			if t := x.judge[i][in.Name]; t != nil {
				st.items[i][in.Name] = t
			}
		}
		return nil
	})
}

// damage is how far the answers move with other weights.
func (x *examiner) damage(ctx context.Context, st *start, weights map[string]*model.Tensor) (float64, error) {
	got, err := x.answered(ctx, st, weights)
	if err != nil {
		return 0, err
	}
	return x.far(x.want, got), nil
}

// answered are the answers with other weights.
func (x *examiner) answered(ctx context.Context, st *start, weights map[string]*model.Tensor) ([][]float32, error) {
	m, err := rewrite(st.rest, weights, nil, nil)
	if err != nil {
		return nil, err
	}
	s, err := x.env.Open(ctx, m)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	got := make([][]float32, len(st.items))
	for i, it := range st.items {
		out, err := s.Run(ctx, it)
		if err != nil {
			return nil, err
		}
		if out[0] == nil || out[0].DType != model.Float32 || out[0].Len() != len(x.want[i]) {
			return nil, fail.New(fail.Unsupported, "the model gives no float32 numbers of one shape")
		}
		got[i] = append([]float32(nil), model.Data[float32](out[0])...)
	}
	return got, nil
}

// far is how far answers are from those that are wanted, over all items.
func (x *examiner) far(want, got [][]float32) float64 {
	if !x.kl {
		return distance(want, got)
	}
	sum := 0.0
	for i := range got {
		sum += divergence(want[i], got[i]) / float64(len(got))
	}
	return sum
}

// spread is the standard error of far by the jackknife: each item is left out in turn.
func (x *examiner) spread(want, got [][]float32) float64 {
	n := len(got)
	if n < 2 {
		return math.Inf(1)
	}
	without := make([]float64, n)
	mean := 0.0
	for i := range got {
		w, g := slices.Concat(want[:i], want[i+1:]), slices.Concat(got[:i], got[i+1:])
		without[i] = x.far(w, g)
		mean += without[i] / float64(n)
	}
	sum := 0.0
	for _, v := range without {
		sum += (v - mean) * (v - mean)
	}
	return math.Sqrt(sum * float64(n-1) / float64(n))
}

// divergence is KL(softmax(a) || softmax(b)).
func divergence(a, b []float32) float64 {
	logs := func(v []float32) []float64 {
		top, sum := math.Inf(-1), 0.0
		for _, x := range v {
			top = math.Max(top, float64(x))
		}
		for _, x := range v {
			sum += math.Exp(float64(x) - top)
		}
		out := make([]float64, len(v))
		for i, x := range v {
			out[i] = float64(x) - top - math.Log(sum)
		}
		return out
	}
	p, q := logs(a), logs(b)
	sum := 0.0
	for i := range p {
		sum += math.Exp(p[i]) * (p[i] - q[i])
	}
	return sum
}

// together runs random cuts of all groups at once and fits the law to them.
func (x *examiner) together(ctx context.Context, st *Study) (*Law, error) {
	rng := rand.New(rand.NewPCG(uint64(x.env.Seed), 77))
	n := x.o.Joint + x.o.Test
	sums, truth := make([]float64, n), make([]float64, n)
	weights := make([]map[string]*model.Tensor, n)
	for i := range n {
		weights[i] = map[string]*model.Tensor{}
		share := rng.Float64() // of groups that are cut: joint cuts of all strengths
		for k := range st.Groups {
			d := &st.Groups[k]
			if len(d.Cuts) < 2 || rng.Float64() > share {
				continue
			}
			c := d.Cuts[1+rng.IntN(len(d.Cuts)-1)]
			clash := false
			for w := range c.weights { // a layer behind two groups: its weights are fitted to one of them
				clash = clash || weights[i][w] != nil
			}
			if clash {
				continue
			}
			sums[i] += c.Damage
			for w, t := range c.weights {
				weights[i][w] = t
			}
		}
	}
	whole := &start{x.s.v.M, x.judge}
	err := x.parallel(ctx, n, "joint cuts", func(ctx context.Context, i int) (err error) {
		truth[i], err = x.damage(ctx, whole, weights[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	l := fitLaw(sums[:x.o.Joint], truth[:x.o.Joint])
	if l != nil && x.o.Test > 2 {
		l.Tested = x.o.Test
		if r := stats.Spearman(sums[x.o.Joint:], truth[x.o.Joint:]); !math.IsNaN(r) {
			l.Rank = r
		}
	}
	return l, nil
}

// fitLaw is the straight line through the logarithms; nil where there are too few points.
func fitLaw(sums, truth []float64) *Law {
	var a, b []float64
	for i, s := range sums {
		if s > 1e-9 && truth[i] > 1e-9 {
			a, b = append(a, math.Log(s)), append(b, math.Log(truth[i]))
		}
	}
	n := float64(len(a))
	if n < 4 {
		return nil
	}
	ma, mb, aa, ab := 0.0, 0.0, 0.0, 0.0
	for i := range a {
		ma, mb = ma+a[i]/n, mb+b[i]/n
	}
	for i := range a {
		aa, ab = aa+(a[i]-ma)*(a[i]-ma), ab+(a[i]-ma)*(b[i]-mb)
	}
	l := &Law{Power: 1, Fitted: len(a)}
	if aa > 1e-9 {
		l.Power = min(max(ab/aa, 0.3), 3)
	}
	l.Factor = math.Exp(mb - l.Power*ma)
	for i := range a {
		e := b[i] - math.Log(l.Factor) - l.Power*a[i]
		l.Spread += e * e / (n - 2)
	}
	l.Spread = math.Sqrt(l.Spread)
	return l
}
