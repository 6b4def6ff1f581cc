package app

import (
	"context"

	"fettle/dataset"
	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/score"
)

// EvalRequest says what to score.
type EvalRequest struct {
	Model      string // file
	Reference  string // file of a model to agree with; "": none
	Data       string
	Preprocess string
	Task       string // "classify" or "" for it
	Limit      int    // items, 0: all
	Levels     Levels // of nested weights
	Progress   task.Progress
}

// Eval scores a model file on data it was not tuned on.
func (a *App) Eval(ctx context.Context, q EvalRequest) (*score.Result, error) {
	if q.Task != "" && q.Task != "classify" {
		return nil, fail.New(fail.Unsupported, "task %q is not supported", q.Task).Try("use classify")
	}
	m, err := a.Load(ctx, q.Model)
	if err != nil {
		return nil, err
	}
	var ref *model.Model
	if q.Reference != "" {
		if ref, err = a.Load(ctx, q.Reference); err != nil {
			return nil, err
		}
	}
	pre, err := preprocessOf(m, q.Preprocess, q.Data)
	if err != nil {
		return nil, err
	}
	if q.Levels.Level != "" {
		return a.evalLevels(ctx, m, ref, pre, q)
	}
	return a.evalModel(ctx, m, ref, q.Data, pre, q.Limit, q.Progress)
}

// EvalModel scores m on data, and against ref where there is one.
func (a *App) EvalModel(ctx context.Context, m, ref *model.Model, data, preprocess string, limit int, p task.Progress) (*score.Result, error) {
	pre, err := preprocessOf(m, preprocess, data)
	if err != nil {
		return nil, err
	}
	return a.evalModel(ctx, m, ref, data, pre, limit, p)
}

func (a *App) evalModel(ctx context.Context, m, ref *model.Model, data string, pre *dataset.Preprocess, limit int, p task.Progress) (*score.Result, error) {
	set, err := a.openData(data, m, pre)
	if err != nil {
		return nil, err
	}
	run, done, err := a.scoreRun(ctx, m)
	if err != nil {
		return nil, err
	}
	defer done()
	return a.evalRun(ctx, set, run, ref, limit, p)
}

// evalRun scores run on set, and against ref where there is one.
func (a *App) evalRun(ctx context.Context, set *dataset.Set, run score.Run, ref *model.Model, limit int, p task.Progress) (*score.Result, error) {
	total := int64(set.Len())
	if limit > 0 {
		total = min(total, int64(limit))
	}
	var n int64
	counted := func(ctx context.Context, in map[string]*model.Tensor) ([]*model.Tensor, error) {
		out, err := run(ctx, in)
		n++
		p.Report(n, total, "score")
		return out, err
	}
	var reference score.Run
	if ref != nil {
		r, closeRef, err := a.scoreRun(ctx, ref)
		if err != nil {
			return nil, err
		}
		defer closeRef()
		reference = r
	}
	return score.Classify(ctx, set, limit, counted, reference)
}

func (a *App) scoreRun(ctx context.Context, m *model.Model) (score.Run, func(), error) {
	s, err := engineRunner{a}.Open(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	return s.Run, func() { _ = s.Close() }, nil // closing frees memory and cannot lose anything
}
