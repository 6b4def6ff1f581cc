package app

import (
	"context"

	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
	"fettle/optimizer/prune"
)

// Sensitivity gives, for every group of channels of m, what the layers behind lose as its channels go one by one; data is a folder or
// file of typical inputs.
func (a *App) Sensitivity(ctx context.Context, m *model.Model, data, preprocess string, samples int, progress task.Progress) ([]prune.Curve, error) {
	pre, err := preprocessOf(m, preprocess, data)
	if err != nil {
		return nil, err
	}
	env := &optimizer.Env{Runner: engineRunner{a}, Progress: progress, Seed: 1}
	if data != "" {
		set, err := a.openData(data, m, pre)
		if err != nil {
			return nil, err
		}
		env.Data = set
	}
	return prune.Curves(ctx, env, m, samples)
}
