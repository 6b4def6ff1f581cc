package prune

import (
	"context"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// Curve is how much a group of channels matters: what the layers behind lose, as a share of the variance of their outputs and with
// their weights fitted to what is left, when 0, 1, 2, … of its channels are gone. No model is run for a point of it.
type Curve struct {
	Group   *Group    `json:"group"`
	Damage  []float64 `json:"damage"`
	Problem string    `json:"problem,omitempty"` // why there is none
}

// Curves gives the curve of every group of m that can lose channels, from the second moments of samples items.
func Curves(ctx context.Context, env *optimizer.Env, m *model.Model, samples int) ([]Curve, error) {
	if env.Data == nil || env.Data.Len() == 0 {
		return nil, fail.New(fail.Usage, "sensitivity needs data").Doing("look at groups").Try("give a folder of typical inputs with --data")
	}
	s, err := newSpace(m)
	if err != nil {
		return nil, err
	}
	items, err := load(ctx, env.Data, samples)
	if err != nil {
		return nil, err
	}
	groups := s.groups()
	proof, err := s.gather(ctx, env, items, groups)
	if err != nil {
		return nil, err
	}
	var out []Curve
	for i, g := range groups {
		env.Progress.Report(int64(i), int64(len(groups)), "sensitivity of "+g.Makers[0])
		c := Curve{Group: g}
		switch {
		case len(g.Locked) > 0 && !hasFree(g):
			c.Problem = "all channels stay"
		case len(proof[g]) == 0:
			c.Problem = "the layers behind are too large to take moments of, or there are none"
		default:
			p, _, err := s.pathOf(ctx, g, proof[g])
			if err != nil {
				return nil, err
			}
			c.Damage = p.damage
		}
		out = append(out, c)
	}
	return out, nil
}

func hasFree(g *Group) bool {
	for _, c := range g.classes {
		if c.why == "" {
			return true
		}
	}
	return false
}
