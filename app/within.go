package app

import (
	"context"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
)

// WithinRequest asks for a model with as few layers on fewer bits as a time on a target needs.
type WithinRequest struct {
	Model      *model.Model
	Data       string // calibration
	Preprocess string
	Target     string // "": this computer
	Threads    int
	Ms         float64 // what one inference may take
	Asks       Asks
	Progress   task.Progress
}

// Within is such a model.
type Within struct {
	Recipe optimizer.Recipe `json:"-"`
	Model  *model.Model     `json:"-"`
	Float  float64          `json:"float_ms"` // as it was
	Ms     float64          `json:"ms"`       // as it is now
	Limit  float64          `json:"limit_ms"`
	Holds  bool             `json:"holds"`
	Times  string           `json:"times"` // where they come from
	Why    string           `json:"why"`   // what was chosen
}

// QuantizeWithin chooses for each layer whether it stays in floats or computes on 8-bit integers, so that the whole takes at most so long on a target
// and the answers lose least. Times are those of the target's table of kernels where it reaches, else measured there.
func (a *App) QuantizeWithin(ctx context.Context, q WithinRequest) (*Within, error) {
	const what = "quantize within a time"
	if q.Ms <= 0 {
		return nil, fail.New(fail.Usage, "a limit of %g ms", q.Ms).Doing(what).Try("give milliseconds, for example --budget 5")
	}
	q.Target = targetName(q.Target)
	pre, err := preprocessOf(q.Model, q.Preprocess, q.Data)
	if err != nil {
		return nil, err
	}
	set, err := a.openData(q.Data, q.Model, pre)
	if err != nil {
		return nil, err
	}
	cost := &targetCost{a: a, ctx: ctx, data: set, q: timesQuery{target: q.Target, threads: max(q.Threads, 1), asks: q.Asks, progress: q.Progress}}
	float, err := cost.PredictNs(q.Model)
	if err != nil {
		return nil, fail.In(err, what, fail.Where{})
	}
	out := &Within{Model: q.Model, Float: float / 1e6, Ms: float / 1e6, Limit: q.Ms, Times: cost.times.how}
	if out.Float <= q.Ms {
		out.Holds, out.Why = true, "in floats it holds the limit already"
		return out, nil
	}
	out.Recipe = optimizer.Recipe{Schema: 1, Seed: 1, Steps: []optimizer.RecipeStep{{Pass: "quantize",
		Options: map[string]any{"weights": "mixed", "budget": "time", "time": max(100*q.Ms/out.Float, 1)}}}}
	o, err := a.Optimize(ctx, q.Model, &out.Recipe, OptimizeOptions{Data: q.Data, Preprocess: q.Preprocess, Target: q.Target, Threads: max(q.Threads, 1), Asks: q.Asks, Progress: q.Progress, Unproven: true})
	if err != nil {
		return nil, err
	}
	out.Model = o.Model
	for _, s := range o.Steps {
		for _, f := range s.Findings {
			if f.Label == "mixed" {
				out.Why = f.Reason
			}
		}
	}
	ns, err := cost.PredictNs(o.Model)
	out.Ms, out.Holds = ns/1e6, ns <= q.Ms*1e6*1.001 // the choice counts in steps of a thousandth
	return out, err
}
