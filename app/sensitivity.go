package app

import (
	"context"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer/prune"
)

// SensitivityRequest says how a model is studied.
type SensitivityRequest struct {
	Data       string // typical inputs, no labels
	Preprocess string
	prune.StudyOptions
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
	return prune.Examine(ctx, &env, m, q.StudyOptions)
}
