package app

import (
	"context"
	"sync"

	"fettle/internal/fail"
	"fettle/internal/stats"
	"fettle/model"
	"fettle/profiler/predict"
	"fettle/remote/bundle"
	"fettle/remote/deploy"
)

// Prediction is the time of a model on a target, with its layers.
type Prediction = predict.Prediction

// predictors keeps prepared tables: preparing one takes a second, an answer from it a millisecond.
type predictors struct {
	mu  sync.Mutex
	all map[string]*prepared
}

type prepared struct {
	taken int64
	nets  int
	mu    sync.Mutex
	p     *predict.Predictor
}

// predictor is the prepared table of a target; nil where there is none.
func (a *App) predictor(target string, threads int) *prepared {
	t := a.latencyTable(target, threads)
	if t == nil {
		return nil
	}
	key := a.tablePath(target, threads)
	a.predicts.mu.Lock()
	defer a.predicts.mu.Unlock()
	if a.predicts.all == nil {
		a.predicts.all = map[string]*prepared{}
	}
	if p := a.predicts.all[key]; p != nil && p.taken == t.Taken && p.nets == t.Probes {
		return p
	}
	p := &prepared{taken: t.Taken, nets: t.Probes, p: predict.NewPredictor(t)}
	a.predicts.all[key] = p
	return p
}

// predict answers from a prepared table.
func (p *prepared) predict(m *model.Model, shapes map[string][]int) (*Prediction, error) {
	g, err := predict.NewGraph(m, shapes)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.p.Predict(g)
}

// Predict foretells how long a model takes on a target, from the target's table of kernels. NotFound where there is none, Unsupported naming the
// layer where the table does not reach.
func (a *App) Predict(ctx context.Context, m *model.Model, target string, threads int, shapes map[string][]int) (*Prediction, error) {
	const what = "predict the time"
	p := a.predictor(target, threads)
	if p == nil {
		return nil, fail.New(fail.NotFound, "the kernels of %s with %d thread(s) were never measured", targetName(target), max(threads, 1)).Doing(what).
			Try("run fettle target learn %s --threads %d", targetName(target), max(threads, 1))
	}
	if len(shapes) == 0 {
		var err error
		if shapes, err = a.openShapes(ctx, m); err != nil {
			return nil, err
		}
	}
	out, err := p.predict(m, shapes)
	return out, fail.In(err, what, fail.Where{})
}

// PredictionCheck is a prediction held against a measurement.
type PredictionCheck = predict.Check

// CheckPredictions predicts the times of models, measures them on the same target in so many rounds, one model after the other in each, and
// compares both, layer by layer. What disturbs a round meets all models; the quieter rounds count.
func (a *App) CheckPredictions(ctx context.Context, qs []ProfileRequest, rounds int) ([]PredictionCheck, error) {
	if len(qs) == 0 || rounds < 1 || rounds > maxLaunches {
		return nil, fail.New(fail.Usage, "%d models, %d rounds", len(qs), rounds).Doing("check predictions").Try("give at least one model and 1 to %d rounds", maxLaunches)
	}
	type side struct {
		p      *Prediction
		g      *predict.Graph
		bundle *bundle.Bundle
		opt    deploy.ProfileOptions
		all    [][]predict.Measured
		whole  []float64
	}
	sides := make([]side, len(qs))
	for i, q := range qs {
		s := &sides[i]
		var err error
		if s.p, err = a.Predict(ctx, q.Model, q.Target, q.Threads, q.Shapes); err != nil {
			return nil, fail.In(err, q.Name, fail.Where{})
		}
		if s.bundle, err = pack(q.Name, q.Model); err != nil {
			return nil, err
		}
		if s.opt, err = a.profileOptions(ctx, q.Model, q); err != nil {
			return nil, err
		}
		if s.g, err = predict.NewGraph(q.Model, s.opt.Shapes); err != nil {
			return nil, err
		}
	}
	err := a.measuring(ctx, qs[0], func(c *deploy.Conn) error {
		for r := range rounds {
			for i := range sides {
				s := &sides[i]
				qs[0].Progress.Report(int64(r*len(sides)+i), int64(rounds*len(sides)), "measure "+qs[i].Name)
				t, err := c.Profile(ctx, deploy.FromBundle(s.bundle), s.opt, nil)
				if err != nil {
					return err
				}
				units, ns, err := s.g.Split(t)
				if err != nil {
					return err
				}
				s.all, s.whole = append(s.all, units), append(s.whole, ns)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []PredictionCheck
	for i := range sides {
		s := &sides[i]
		out = append(out, predict.Hold(qs[i].Name, s.p, predict.Quiet(s.all), stats.Quantile(s.whole, 0.25)))
	}
	return out, nil
}

// PredictedLayer is one layer of a prediction.
type PredictedLayer = predict.Layer

// Median is the middle of v.
func Median(v []float64) float64 { return stats.Median(v) }
