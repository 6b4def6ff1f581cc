package prune

import (
	"context"
	"fmt"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
	"fettle/train"
)

// decide says which classes of channels go, by weights or by data.
func (s *space) decide(ctx context.Context, env *optimizer.Env, o Options, items []map[string]*model.Tensor) (map[int]bool, []optimizer.Finding, error) {
	if o.Allocation == "damage" {
		return s.allot(ctx, env, o, items)
	}
	switch o.Criterion {
	case "activation", "obc", "lasso", "discriminant":
		proof, err := s.gather(ctx, env, items, s.groups())
		if err != nil {
			return nil, nil, err
		}
		byFirst := map[int][]*evidence{} // groups are made anew: by their first class
		for g, l := range proof {
			byFirst[g.classes[0].root] = l
		}
		if o.Criterion == "discriminant" {
			list, targets, err := s.pool(ctx, env, items[:len(items)-held(len(items))])
			if err != nil {
				return nil, nil, err
			}
			says, err := s.discriminate(list, targets)
			if err != nil {
				return nil, nil, err
			}
			return s.chooseBy(env, o, func(g *Group) (map[int]float64, error) {
				return s.byBoth(ctx, g, byFirst[g.classes[0].root], says)
			})
		}
		return s.chooseBy(env, o, func(g *Group) (map[int]float64, error) {
			return s.rates(ctx, g, byFirst[g.classes[0].root], o.Criterion)
		})
	case "taylor", "fisher":
		sal, err := s.saliency(ctx, env, items)
		if err != nil {
			return nil, nil, err
		}
		return s.chooseBy(env, o, func(g *Group) (map[int]float64, error) { return s.byGradient(g, sal, o.Criterion == "taylor") })
	}
	gone, found := s.choose(env, o)
	return gone, found, nil
}

// saliency takes gradients of the answers on items to the values that layers read and to their weights.
func (s *space) saliency(ctx context.Context, env *optimizer.Env, items []map[string]*model.Tensor) (*train.Saliency, error) {
	in, err := train.InputsOf(s.v.M)
	if err != nil {
		return nil, err
	}
	var values, weights []string
	for _, r := range s.reads {
		values, weights = append(values, r.node.Inputs[0]), append(weights, r.weight)
	}
	var xs [][]float32
	for _, it := range items[:len(items)-held(len(items))] {
		x, err := in.Item(it)
		if err != nil {
			return nil, err
		}
		xs = append(xs, x)
	}
	env.Progress.Report(0, 0, "gradients of the answers")
	return train.Salient(ctx, s.v.M, xs, in.Shapes(), values, weights)
}

// byGradient rates the classes of g: how much the answers move with a channel, or with the weights that read it.
func (s *space) byGradient(g *Group, sal *train.Saliency, values bool) (map[int]float64, error) {
	out := map[int]float64{}
	for _, c := range g.classes {
		out[c.root] = 0
	}
	seen := 0
	for _, r := range s.reads {
		v := sal.Values[r.node.Inputs[0]]
		if !values {
			if grad := sal.Weights[r.weight]; grad != nil {
				w := s.v.Const(r.weight)
				t := model.NewTensor(model.Float32, w.Shape...)
				for i, x := range model.Data[float32](w) { // what the answers move when the weight goes, squared
					model.Data[float32](t)[i] = grad[i] * x * x
				}
				v = nil
				for _, l := range lines(t, r.axis) {
					sum := 0.0
					for _, x := range l {
						sum += float64(x)
					}
					v = append(v, sum)
				}
			}
		}
		if len(v) != len(r.atoms) {
			continue
		}
		mean := 0.0
		for _, x := range v {
			mean += x / float64(len(v))
		}
		for i, a := range r.atoms {
			root := find(s.same, a)
			if _, mine := out[root]; mine {
				out[root] += v[i] / max(mean, 1e-30)
				seen++
			}
		}
	}
	if seen == 0 {
		return nil, fail.New(fail.Unsupported, "no gradient reaches the channels of %s", g.Makers[0])
	}
	return out, nil
}

// tried are the criteria that best compares.
func tried() []string { return []string{"l1", "activation", "obc", "taylor"} }

// best prunes by several criteria and keeps the model whose outputs stay closest to those of the original on held-out items.
func (s *space) best(ctx context.Context, env *optimizer.Env, o Options, items []map[string]*model.Tensor) (*model.Model, []optimizer.Finding, error) {
	judge := items[len(items)-held(len(items)):]
	want, err := s.answers(ctx, env, s.v.M, judge)
	if err != nil {
		return nil, nil, err
	}
	var kept *model.Model
	var ledger []optimizer.Finding
	least, all, which := 0.0, "", ""
	for _, c := range tried() {
		p := o
		p.Criterion = c
		m, found, err := s.prune(ctx, env, p, items)
		if fail.Is(err, fail.Unsupported) {
			all += fmt.Sprintf("%s: %s; ", c, fail.From(err).Error())
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		got, err := s.answers(ctx, env, m, judge)
		if err != nil {
			return nil, nil, err
		}
		d := distance(want, got)
		all += fmt.Sprintf("%s %.4g; ", c, d)
		if kept == nil || d < least {
			kept, ledger, least, which = m, found, d, c
		}
	}
	if kept == nil {
		return nil, nil, fail.New(fail.Unsupported, "no criterion could be tried: %s", all)
	}
	f := optimizer.Finding{Rule: name, Label: "criterion", Outcome: optimizer.Applied,
		Reason: fmt.Sprintf("%s is kept; squared distance of the outputs on %d held-out items, of their size: %s", which, len(judge), all[:len(all)-2])}
	return kept, append(ledger, f), nil
}
