package app

import (
	"context"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/optimizer"
	"fettle/optimizer/quantize"
)

// DebugRequest says which quantized model to compare with the float model that it was made from.
type DebugRequest struct {
	Float, Quantized string // files
	Data             string
	Preprocess       string  // file of the preprocessing block; "": the one in the model
	Limit            int     // items
	Least            float64 // decibels below which a value is called broken
	Progress         task.Progress
}

// DebugMatch is one value or weight of both models.
type DebugMatch = quantize.Match

// DebugQuantized compares values and weights of both models on data, the worst first.
func (a *App) DebugQuantized(ctx context.Context, q DebugRequest) (*quantize.Debugging, error) {
	float, err := a.Load(ctx, q.Float)
	if err != nil {
		return nil, err
	}
	quant, err := a.Load(ctx, q.Quantized)
	if err != nil {
		return nil, err
	}
	pre, err := preprocessOf(quant, q.Preprocess, q.Data)
	if err != nil {
		return nil, err
	}
	set, err := a.openData(q.Data, float, pre)
	if err != nil {
		return nil, err
	}
	if q.Limit < 1 {
		return nil, fail.New(fail.Usage, "%d items", q.Limit).Try("give at least 1")
	}
	return quantize.Debug(ctx, &optimizer.Env{Data: set, Runner: engineRunner{a}, Progress: q.Progress}, float, quant, q.Limit, q.Least)
}
