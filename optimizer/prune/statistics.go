package prune

import (
	"context"
	"fmt"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
	"fettle/train"
)

// statistics takes the running statistics of normalisations anew from the items to fit on, and keeps them where that brings the
// outputs of held-out items closer to those of the original.
func (s *space) statistics(ctx context.Context, env *optimizer.Env, items []map[string]*model.Tensor, m *model.Model) (*model.Model, optimizer.Finding, error) {
	var norms []*model.Node
	for _, n := range m.Graph.Nodes {
		if n.Op == "BatchNormalization" {
			norms = append(norms, n)
		}
	}
	f := optimizer.Describe("statistics", norms...)
	f.Label, f.Outcome = "statistics of normalisations", optimizer.Refused
	in, err := train.InputsOf(m)
	if len(norms) == 0 || err != nil || m.Graph.Outputs[0].Type.DType != model.Float32 {
		f.Reason = "the model has no normalisation with statistics, or other inputs and outputs than numbers"
		return m, f, nil
	}
	env.Progress.Report(0, 0, "statistics of normalisations")
	last := len(items) - held(len(items))
	var fit [][]float32
	for _, it := range items[:last] {
		x, err := in.Item(it)
		if err != nil {
			f.Reason = fail.From(err).Error()
			return m, f, nil
		}
		fit = append(fit, x)
	}
	next, err := train.Estimate(ctx, m, fit, in.Shapes(), 64)
	if fail.Is(err, fail.Unsupported) {
		f.Reason = fail.From(err).Error()
		return m, f, nil
	}
	if err != nil {
		return nil, f, err
	}
	var errs [2]float64
	for k, p := range []*model.Model{m, next} {
		if errs[k], err = s.apart(ctx, env, p, items[last:]); err != nil {
			return nil, f, err
		}
	}
	f.Reason = fmt.Sprintf("squared distance of the outputs on %d held-out items: %.3g before, %.3g after", len(items)-last, errs[0], errs[1])
	if !(errs[1] < errs[0]) {
		f.Reason += ": reverted"
		return m, f, nil
	}
	f.Outcome = optimizer.Applied
	return next, f, nil
}

// apart is the squared distance of the outputs of m from those of the original.
func (s *space) apart(ctx context.Context, env *optimizer.Env, m *model.Model, items []map[string]*model.Tensor) (float64, error) {
	want := make([][]float32, len(items))
	sums := make([]float64, len(items))
	err := each(ctx, env, s.v.M, items, func(i int, out []*model.Tensor) error {
		want[i] = append([]float32(nil), model.Data[float32](out[0])...)
		return nil
	})
	if err != nil {
		return 0, err
	}
	err = each(ctx, env, m, items, func(i int, out []*model.Tensor) error {
		for k, v := range model.Data[float32](out[0]) {
			d := float64(v) - float64(want[i][k])
			sums[i] += d * d
		}
		return nil
	})
	sum := 0.0
	for _, v := range sums {
		sum += v
	}
	return sum, err
}
