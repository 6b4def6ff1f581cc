package app

import (
	"context"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/profiler/predict"
	"fettle/remote/deploy"
)

// Staircase is a layer's time by its output channels.
type Staircase = predict.Staircase

// Roofline is a run's layers under the roof of its target.
type Roofline = predict.Roofline

// NewRoofline places the layers of a run under the roof of its target.
func NewRoofline(p *Profile) *Roofline { return predict.NewRoofline(p) }

// Staircases are those of the layers of a model on a target: predicted where the target's kernels were measured and, where measure is set,
// measured. layer is a name, or "" for all convolutions.
func (a *App) Staircases(ctx context.Context, q ProfileRequest, layer string, measure bool) ([]Staircase, error) {
	out, g, err := a.foretellStairs(ctx, &q, layer)
	if err != nil && !(measure && fail.Is(err, fail.NotFound) && len(out) > 0) {
		return nil, err
	}
	if !measure {
		return out, nil
	}
	return out, a.measuring(ctx, q, func(c *deploy.Conn) error {
		for i := range out {
			q.Progress.Report(int64(i), int64(len(out)), "measure "+out[i].Label)
			if err := a.climb(ctx, c, q, g, &out[i]); err != nil {
				return fail.In(err, drawStairs, fail.Where{})
			}
		}
		tidy(ctx, c)
		return nil
	})
}

const drawStairs = "draw the staircase"

// foretellStairs are the staircases of a model as far as the target's table of kernels tells. Without a table they come with the error NotFound, and
// with nothing told.
func (a *App) foretellStairs(ctx context.Context, q *ProfileRequest, layer string) ([]Staircase, *predict.Graph, error) {
	if len(q.Shapes) == 0 {
		var err error
		if q.Shapes, err = a.openShapes(ctx, q.Model); err != nil {
			return nil, nil, err
		}
	}
	g, err := predict.NewGraph(q.Model, q.Shapes)
	if err != nil {
		return nil, nil, fail.In(err, drawStairs, fail.Where{})
	}
	var ids []model.NodeID
	var names []string
	for _, id := range g.Convolutions() {
		n := q.Model.Graph.Node(id)
		if names = append(names, n.Label()); layer == "" || n.Label() == layer || string(id) == layer {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, nil, fail.New(fail.NotFound, "the model has no convolution %q", layer).Doing(drawStairs).Try("it has %s", strings.Join(names[:min(len(names), 12)], ", "))
	}
	p := a.predictor(q.Target, q.Threads)
	var out []Staircase
	for _, id := range ids {
		s, err := g.NewStaircase(id)
		if err != nil {
			return nil, nil, fail.In(err, drawStairs, fail.Where{})
		}
		if p != nil {
			p.mu.Lock()
			p.p.Fill(g, s)
			p.mu.Unlock()
		}
		out = append(out, *s)
	}
	if p == nil {
		return out, g, fail.New(fail.NotFound, "the kernels of %s with %d thread(s) were never measured", targetName(q.Target), max(q.Threads, 1)).Doing(drawStairs).
			Try("measure the staircase itself, or run fettle target learn %s first", targetName(q.Target))
	}
	return out, g, nil
}

// climb measures the treads of one staircase, all in one network.
func (a *App) climb(ctx context.Context, c *deploy.Conn, q ProfileRequest, g *predict.Graph, s *Staircase) error {
	ladder, by, err := g.Ladder(s)
	if err != nil {
		return err
	}
	b, err := pack("staircase", ladder)
	if err != nil {
		return err
	}
	lg, err := predict.NewGraph(ladder, nil)
	if err != nil {
		return err
	}
	opt := deploy.NewProfileOptions()
	opt.Threads, opt.ISA, opt.Fresh, opt.Launches, opt.Runs = max(q.Threads, 1), q.ISA, true, 1, max(q.Runs, probeRuns)
	t, err := c.Profile(ctx, deploy.FromBundle(b), opt, nil)
	if err != nil {
		return err
	}
	units, _, err := lg.Split(t)
	if err == nil {
		s.Take(by, units)
	}
	return err
}
