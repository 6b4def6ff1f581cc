package prune

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"time"

	"fettle/dataset"
	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
	"fettle/train"
)

// shrink-channels
//
//	Before:     y = Conv(x, W); z = Relu(y); u = Conv(z, V)
//	After:      the same, trained, without the channels c whose W[c] and V[:, c] the training made zero
//	Conditions: as prune-channels; every operator between the input and the output has a gradient; data.
//	Formula:    after each step of AdamW on the distance to the answers before, or on right classes, every channel's parameters g become
//	            g * max(0, 1 - rate * strength / |g|); the strength rises over the first fifth of the steps.
//	Exactness:  scored; removing what is zero changes no answer.
//	Paper:      Yuan and Lin 2006 (group lasso); Liu et al. 2017, arXiv:1708.06519; Fang et al. 2023, arXiv:2301.12900.

// Shrink are the options of shrink-channels.
type Shrink struct {
	Strength float64 `opt:"strength" min:"0" max:"1000" help:"how hard channels are pulled towards zero: at 1 a channel that nothing holds is gone after about the default length" paper:"Fang et al. 2023, arXiv:2301.12900"`
	Sums     bool    `opt:"sums" help:"also channels that go through sums, in all layers at once"`
	Labels   float64 `opt:"labels" min:"0" max:"1" help:"share of the right classes in the loss, where data lie in folders, one a class; 0: none are needed"`
	Samples  int     `opt:"samples" min:"16" max:"1000000" help:"data items to learn from; an eighth of them judges"`
	Minutes  float64 `opt:"minutes" min:"0.01" max:"10000" step:"0.5" unit:"min" help:"time after which it stops at the latest"`
	Epochs   int     `opt:"epochs" min:"1" max:"10000" help:"passes over the data, where the time allows"`
	Rate     float64 `opt:"rate" min:"0.0000001" max:"10" help:"learning rate at the start; it falls to zero along a cosine. That of AdamW is a share of the size of each row of weights"`
	Batch    int     `opt:"batch" min:"1" max:"4096" help:"items a step"`
}

// NewShrink makes the pass with its defaults.
func NewShrink() optimizer.Pass {
	return &shrink{o: Shrink{Strength: 1, Samples: 2000, Minutes: 3, Epochs: 8, Rate: 0.0125, Batch: 64}}
}

type shrink struct{ o Shrink }

const shrinkName = "shrink-channels"

// Info describes the pass.
func (p *shrink) Info() optimizer.Info {
	return optimizer.Info{Name: shrinkName, Title: "Shrink channels", Exactness: optimizer.Scored, NeedsData: true,
		Promise: "Trains with a pull that makes whole channels exactly zero where the answers need them least, and removes these.",
		Paper:   "Yuan and Lin 2006; Fang et al. 2023, arXiv:2301.12900", Undo: "the weights of the channels, and those before the training"}
}

// Options is the struct of options.
func (p *shrink) Options() any { return &p.o }

// Check says which groups would be pulled, and whether the model can be trained.
func (p *shrink) Check(env *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	s, err := newSpace(m)
	if err != nil {
		return nil, err
	}
	if _, err := train.NewPupil(m, 1, train.How{}); err != nil {
		f := optimizer.Finding{Rule: shrinkName, Label: "training", Outcome: optimizer.Refused, Reason: fail.From(err).Error()}
		return []optimizer.Finding{f}, nil
	}
	_, found := s.pulled(env, p.o.Sums)
	return found, nil
}

// pulled lists the classes of channels that are pulled.
func (s *space) pulled(env *optimizer.Env, sums bool) (map[int]*Group, []optimizer.Finding) {
	of := map[int]*Group{}
	var found []optimizer.Finding
	o := Options{Ratio: 0.5, Allocation: "uniform", Multiple: 1, Sums: sums}
	for _, g := range s.groups() {
		f := optimizer.Describe(shrinkName, g.nodes...)
		f.Outcome = optimizer.Applied
		if n, why := o.removed(env, g, false, false); why != "" || n == 0 {
			f.Outcome, f.Reason = optimizer.Refused, why
			found = append(found, f)
			continue
		}
		for _, c := range g.classes {
			if c.why == "" {
				of[c.root] = g
			}
		}
		f.Reason = fmt.Sprintf("pulled towards zero: %s", g)
		found = append(found, f)
	}
	return of, found
}

// lines are the slices of constants that belong to classes, in the order of the classes.
func (s *space) lines(roots []int) [][]train.Line {
	at := map[int]int{}
	for i, r := range roots {
		at[r] = i
	}
	out := make([][]train.Line, len(roots))
	for _, c := range s.cuts {
		for i, a := range c.atoms {
			if k, ok := at[find(s.same, a)]; ok {
				out[k] = append(out[k], train.Line{Param: c.init, Axis: c.axis, At: i})
			}
		}
	}
	return out
}

// lessons are what a training reads: inputs, what the model said before, right classes.
type lessons struct {
	in     *train.Inputs
	items  [][]float32
	wants  []train.Want
	judges []map[string]*model.Tensor
}

// labelled are data with right classes.
type labelled interface {
	Labelled() bool
	EachSample(ctx context.Context, limit int, visit func(dataset.Sample) error) error
}

func (p *shrink) read(ctx context.Context, env *optimizer.Env, s *space, m *model.Model) (*lessons, error) {
	if len(m.Graph.Outputs) != 1 {
		return nil, fail.New(fail.Unsupported, "training needs one output, the model has %d", len(m.Graph.Outputs))
	}
	inputs, err := train.InputsOf(m)
	if err != nil {
		return nil, err
	}
	l := &lessons{in: inputs}
	var numbers [][]float32
	var all []map[string]*model.Tensor
	var labels []int
	n := min(p.o.Samples, env.Data.Len())
	take := func(in map[string]*model.Tensor, label int) error {
		x, err := l.in.Item(in)
		if err != nil {
			return err
		}
		numbers, all, labels = append(numbers, x), append(all, l.in.Tensors(x)), append(labels, label)
		return nil
	}
	if p.o.Labels > 0 {
		d, ok := env.Data.(labelled)
		if !ok || !d.Labelled() {
			return nil, fail.New(fail.Usage, "labels = %g asks for right classes, the data have none", p.o.Labels).Try("sort the items into folders, one a class, or set labels = 0")
		}
		err = d.EachSample(ctx, n, func(x dataset.Sample) error { return take(x.Inputs, x.Label) })
	} else {
		err = env.Data.Each(ctx, n, func(_ int, in map[string]*model.Tensor) error { return take(in, -1) })
	}
	if err != nil {
		return nil, err
	}
	if len(all) < 16 {
		return nil, fail.New(fail.Usage, "%d data items are too few to learn from, at least 16 are needed", len(all)).Try("give more data")
	}
	answers, err := s.answers(ctx, env, m, all)
	if err != nil {
		return nil, err
	}
	for i, x := range all {
		if k := held(len(all)); i*k/len(all) != (i+1)*k/len(all) {
			l.judges = append(l.judges, x)
			continue
		}
		l.items = append(l.items, numbers[i])
		l.wants = append(l.wants, train.Want{Output: answers[i], Label: labels[i]})
	}
	return l, nil
}

// Apply trains and removes. fail.Usage without data, fail.Unsupported naming the operator that has no gradient.
func (p *shrink) Apply(ctx context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	if env.Data == nil || env.Data.Len() == 0 {
		return nil, nil, fail.New(fail.Usage, "shrinking channels needs data").Doing("shrink channels").Try("give a folder of typical inputs with --data; labels are not needed")
	}
	s, err := newSpace(m)
	if err != nil {
		return nil, nil, err
	}
	of, found := s.pulled(env, p.o.Sums)
	if len(of) == 0 {
		return m, found, nil
	}
	l, err := p.read(ctx, env, s, m)
	if err != nil {
		return nil, nil, fail.In(err, "shrink channels", fail.Where{})
	}
	trained, zeros, err := p.train(ctx, env, s, m, l, of)
	if fail.Is(err, fail.Failed) {
		return m, append(found[:0:0], optimizer.Finding{Rule: shrinkName, Label: "training", Outcome: optimizer.Refused, Reason: fail.From(err).Error() + "; reverted"}), nil
	}
	if err != nil {
		return nil, nil, fail.In(err, "shrink channels", fail.Where{})
	}
	gone := s.zeros(trained, of)
	out, err := s.without(trained, gone)
	if err != nil {
		return nil, nil, err
	}
	if err := s.unchanged(ctx, env, trained, out, l.judges); err != nil {
		return nil, nil, err
	}
	want, err := s.answers(ctx, env, m, l.judges)
	if err != nil {
		return nil, nil, err
	}
	got, err := s.answers(ctx, env, out, l.judges)
	if err != nil {
		return nil, nil, err
	}
	for i := range found {
		if found[i].Outcome == optimizer.Applied {
			found[i].Gain.Bytes = s.saved(gone, found[i].Nodes)
			found[i].Reason = s.told(gone, of, found[i].Nodes)
		}
	}
	f := optimizer.Finding{Rule: shrinkName, Label: "channels", Outcome: optimizer.Applied, Reason: fmt.Sprintf("%d of %d channels became zero and %d were removed; squared distance of the answers on %d held-out items: %.3g of their size",
		zeros, len(of), len(gone), len(l.judges), distance(want, got))}
	return out, append(found, f), nil
}

// train takes the steps and gives the model, zeros in place, with their number.
func (p *shrink) train(ctx context.Context, env *optimizer.Env, s *space, m *model.Model, l *lessons, of map[int]*Group) (*model.Model, int, error) {
	pupil, err := train.NewPupil(m, min(runtime.GOMAXPROCS(0), 8), train.How{Relative: true})
	if err != nil {
		return nil, 0, err
	}
	var roots []int
	for a := range s.same { // in order
		if of[a] != nil {
			roots = append(roots, a)
		}
	}
	shrinker, err := train.NewShrinker(pupil, s.lines(roots))
	if err != nil {
		return nil, 0, err
	}
	rng := rand.New(rand.NewPCG(uint64(env.Seed), 5))
	order := rng.Perm(len(l.items))
	total := p.o.Epochs * ((len(order) + p.o.Batch - 1) / p.o.Batch)
	limit, begin := time.Duration(p.o.Minutes*float64(time.Minute)), time.Now()
	lesson := train.Lesson{Temperature: 4, Labels: p.o.Labels}
	zeros := 0
	for step, at := 0, 0; step < total; step++ {
		past := float64(step) / float64(total)
		if t := float64(time.Since(begin)) / float64(limit); t > float64(step+1)/float64(total) {
			past = t
		}
		if past >= 1 {
			break
		}
		if at == 0 {
			rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		part := order[at:min(len(order), at+p.o.Batch)]
		if at += len(part); at >= len(order) {
			at = 0
		}
		batch := make([][]float32, len(part))
		for i, k := range part {
			batch[i] = l.items[k]
		}
		rate := p.o.Rate * 0.5 * (1 + math.Cos(math.Pi*past))
		loss, err := pupil.Step(ctx, batch, l.in.Shapes(), lesson, rate, func(_ context.Context, _, i int) (train.Want, error) { return l.wants[part[i]], nil })
		if err != nil {
			return nil, 0, err
		}
		zeros = shrinker.Step(rate * p.o.Strength * math.Min(1, past/0.2))
		env.Progress.Report(int64(1000*past), 1000, fmt.Sprintf("shrinking, loss %.3g, %d channels are zero", loss, zeros))
	}
	out, err := pupil.Model()
	return out, zeros, err
}

// zeros are the classes whose every learned line is zero in m; a channel of each group stays.
func (s *space) zeros(m *model.Model, of map[int]*Group) map[int]bool {
	gone := map[int]bool{}
	for root := range of {
		gone[root] = true
	}
	for _, r := range s.reads { // what nobody reads is zero for the answers
		w := lines(m.Graph.Init(r.weight), r.axis)
		for i, a := range r.atoms {
			for _, v := range w[i] {
				if v != 0 {
					delete(gone, find(s.same, a))
				}
			}
		}
	}
	may := s.sparing()
	for a := range s.same { // in order, so that always the same ones stay
		if gone[a] && !may(a) {
			delete(gone, a)
		}
	}
	return gone
}

// without cuts classes out of m, a model with the constants of the space's own but other numbers.
func (s *space) without(m *model.Model, gone map[int]bool) (*model.Model, error) {
	if len(gone) == 0 {
		return m, nil
	}
	t, err := newSpace(m)
	if err != nil {
		return nil, err
	}
	return t.cut(gone) // atoms are numbered by the graph alone
}

// unchanged holds the cut model against the one with zeros.
func (s *space) unchanged(ctx context.Context, env *optimizer.Env, with, without *model.Model, items []map[string]*model.Tensor) error {
	a, err := s.answers(ctx, env, with, items)
	if err != nil {
		return err
	}
	b, err := s.answers(ctx, env, without, items)
	if err != nil {
		return err
	}
	if d := distance(a, b); d > 1e-8 {
		return fail.New(fail.Internal, "removing channels of zeros moves the answers by %.3g of their squared size", d)
	}
	return nil
}

func (s *space) told(gone map[int]bool, of map[int]*Group, nodes []model.NodeID) string {
	n, all := 0, 0
	for root, g := range of {
		for _, k := range g.nodes {
			if len(nodes) > 0 && k.ID == nodes[0] {
				all++
				if gone[root] {
					n++
				}
				break
			}
		}
	}
	return fmt.Sprintf("%d of %d channels became zero and were removed", n, all)
}
