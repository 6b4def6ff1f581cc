package app

import (
	"context"
	"time"

	"fettle/dataset"
	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer/quantize"
	"fettle/score"
)

// Levels chooses the precision of nested weights at run time.
type Levels struct {
	Level    string        // int4, int8, auto; "": the file as it is, which is int8
	Tau      *float64      // of auto: int8 is asked where int4's margin is below it; nil: what the file suggests
	Deadline time.Duration // of auto: int8 is not asked where it would end later after the start; 0: none
}

// ask reports whether the rule wants int8, too. Both levels run on the same kernels, so int8 takes as long as int4 took.
func (l Levels) ask(margin float64, took time.Duration) bool {
	return margin < *l.Tau && (l.Deadline == 0 || 2*took <= l.Deadline)
}

// levelsOf gives the models of both levels and the rule with its margin.
func levelsOf(m *model.Model, l Levels) (low, high *model.Model, rule Levels, err error) {
	n, err := quantize.NestedOf(m)
	if err != nil {
		return nil, nil, l, err
	}
	if low, err = quantize.Level(m, "int4"); err != nil {
		return nil, nil, l, err
	}
	if l.Level == "auto" && l.Tau == nil {
		if l.Tau = n.Tau; n.Tau == nil {
			return nil, nil, l, fail.New(fail.Usage, "the file suggests no margin, as it was made without data for it").At(fail.Where{Option: "tau"}).Try("give --tau")
		}
	}
	return low, m, l, nil
}

// levelFile is m with one level alone.
func levelFile(m *model.Model, level string) (*model.Model, error) {
	if level != "int4" {
		return nil, fail.New(fail.Usage, "%q is no level that is a file of its own", level).At(fail.Where{Option: "level"}).Try("use int4")
	}
	return quantize.LevelFile(m)
}

// runLevels is Run with a level. The sum of both times is the time of an item that both compute.
func (a *App) runLevels(ctx context.Context, m *model.Model, in map[string]*model.Tensor, q RunRequest) (*RunResult, error) {
	low, high, rule, err := levelsOf(m, q.Levels)
	if err != nil {
		return nil, err
	}
	if rule.Level == "int8" {
		r, err := a.runModel(ctx, high, in, q, "")
		if err == nil {
			r.Level = "int8"
		}
		return r, err
	}
	first, err := a.runModel(ctx, low, in, q, " int4")
	if err != nil {
		return nil, err
	}
	first.Level = "int4"
	if rule.Level == "int4" {
		return first, nil
	}
	margin, err := quantize.Margin(tensorsOf(first))
	if err != nil {
		return nil, err
	}
	first.Margin = &margin
	if !rule.ask(margin, time.Duration(first.TotalNs)) {
		return first, nil
	}
	r, err := a.runModel(ctx, high, in, q, "")
	if err != nil {
		return nil, err
	}
	r.Level, r.Margin = "int8", &margin
	r.TotalNs, r.LoadNs = r.TotalNs+first.TotalNs, r.LoadNs+first.LoadNs
	return r, nil
}

func tensorsOf(r *RunResult) []*model.Tensor {
	var out []*model.Tensor
	for _, n := range r.Names {
		out = append(out, r.Tensors[n])
	}
	return out
}

// evalLevels scores a level, or the rule.
func (a *App) evalLevels(ctx context.Context, m, ref *model.Model, pre *dataset.Preprocess, q EvalRequest) (*score.Result, error) {
	low, high, rule, err := levelsOf(m, q.Levels)
	if err != nil {
		return nil, err
	}
	if rule.Level != "auto" {
		return a.evalModel(ctx, map[string]*model.Model{"int4": low, "int8": high}[rule.Level], ref, q.Data, pre, q.Limit, q.Progress)
	}
	set, err := a.openData(q.Data, m, pre)
	if err != nil {
		return nil, err
	}
	first, closeFirst, err := a.scoreRun(ctx, low)
	if err != nil {
		return nil, err
	}
	defer closeFirst()
	second, closeSecond, err := a.scoreRun(ctx, high)
	if err != nil {
		return nil, err
	}
	defer closeSecond()
	twice := 0
	run := func(ctx context.Context, in map[string]*model.Tensor) ([]*model.Tensor, error) {
		out, err := first(ctx, in)
		if err != nil {
			return nil, err
		}
		margin, err := quantize.Margin(out)
		if err != nil || !rule.ask(margin, 0) {
			return out, err
		}
		twice++
		return second(ctx, in)
	}
	r, err := a.evalRun(ctx, set, run, ref, q.Limit, q.Progress)
	if err == nil {
		r.Twice = &twice
	}
	return r, err
}
