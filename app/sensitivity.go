package app

import (
	"context"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
	"fettle/optimizer/prune"
)

// SensitivityRequest says how a model is studied.
type SensitivityRequest struct {
	Data       string // typical inputs, no labels
	Preprocess string
	prune.StudyOptions
	Target   string // whose times cuts have, where they are timed; "": this computer, in this program
	Threads  int    // on the target
	Asks     Asks
	Seed     int64
	Progress task.Progress
}

// Study is what a study found.
type Study = prune.Study

// NewSensitivityRequest has sensible options.
func NewSensitivityRequest(data string) SensitivityRequest {
	return SensitivityRequest{Data: data, StudyOptions: prune.NewStudyOptions(), Seed: 1}
}

// Sensitivity studies what the answers of m lose where channels go: from second moments alone, with one group cut at a time, with many.
func (a *App) Sensitivity(ctx context.Context, m *model.Model, q SensitivityRequest) (*prune.Study, error) {
	if q.Tier < 1 || q.Tier > 3 || q.Samples < 8 || q.Multiple < 1 || q.Test < 0 {
		return nil, fail.New(fail.Usage, "tier %d, %d samples, multiple %d, %d tests", q.Tier, q.Samples, q.Multiple, q.Test).Doing("look at groups").
			Try("tiers are 1, 2 and 3; give at least 8 samples")
	}
	env, err := a.studyEnv(ctx, m, q)
	if err != nil {
		return nil, err
	}
	return prune.Examine(ctx, env, m, q.StudyOptions)
}

// studyEnv opens the data of a study and says what cuts cost.
func (a *App) studyEnv(ctx context.Context, m *model.Model, q SensitivityRequest) (*optimizer.Env, error) {
	pre, err := preprocessOf(m, q.Preprocess, q.Data)
	if err != nil {
		return nil, err
	}
	env := a.passEnv(q.Progress)
	env.Seed = q.Seed
	if q.Data != "" {
		set, err := a.openData(q.Data, m, pre)
		if err != nil {
			return nil, err
		}
		env.Data = set
	}
	if q.Target != "" && q.Timed {
		env.Cost = &runCost{a: a, ctx: ctx, q: q, known: map[string]float64{}}
	}
	return &env, nil
}

// runCost times whole models on a target: each cut is sent there and run, which is the only way to see the steps that a board's time has.
type runCost struct {
	a     *App
	ctx   context.Context // of the study: the interface of passes carries none
	q     SensitivityRequest
	known map[string]float64
}

// PredictNs is part of optimizer.Cost.
func (c *runCost) PredictNs(m *model.Model) (float64, error) {
	if ns, ok := c.known[m.Hash()]; ok {
		return ns, nil
	}
	ns, err := c.a.timeOn(c.ctx, m, c.q)
	if err == nil {
		c.known[m.Hash()] = ns
	}
	return ns, err
}

// timeOn is the median time of m on the target of q.
func (a *App) timeOn(ctx context.Context, m *model.Model, q SensitivityRequest) (float64, error) {
	if q.Target == "" {
		in, err := a.verifyInputs(ctx, m, 1)
		if err != nil || len(in) == 0 {
			return 0, fail.New(fail.Unsupported, "the model cannot be run on inputs made here").Doing("time a model")
		}
		ms, _, err := a.timeRuns(ctx, m, in[0])
		return ms * 1e6, err
	}
	size, err := optimizer.Measure(m)
	if err != nil {
		return 0, err
	}
	p, err := a.Profile(ctx, ProfileRequest{Model: m, Name: "cut", Target: q.Target, Threads: q.Threads, Runs: defaultRuns(max(size.MACs, 0)) / 4, Launches: 1, Asks: q.Asks, Manner: Wait})
	if err != nil {
		return 0, fail.In(err, "time a cut on "+q.Target, fail.Where{})
	}
	if p.Clean.P50Ns == nil {
		return 0, fail.New(fail.Invalid, "the runs on %s have no median", q.Target).Doing("time a cut")
	}
	return *p.Clean.P50Ns, nil
}

// Cut is one way to treat a group of channels.
type Cut = prune.Cut
