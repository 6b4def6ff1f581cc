package train

import (
	"context"

	"fettle/internal/fail"
	"fettle/model"
)

// Estimate gives m with the running statistics of its normalisations taken anew from items, as Inputs makes them: each
// normalisation sees what those before it make of a batch by the statistics of that batch, and keeps the mean over batches.
func Estimate(ctx context.Context, m *model.Model, items [][]float32, shapes [][]int, batch int) (*model.Model, error) {
	if len(items) == 0 || batch < 1 {
		return nil, fail.New(fail.Invalid, "%d items, batch %d", len(items), batch)
	}
	t, err := newTape[float32](m)
	if err != nil {
		return nil, err
	}
	for k, from := 0, 0; from < len(items); k, from = k+1, from+batch {
		if err := ctx.Err(); err != nil {
			return nil, fail.From(err)
		}
		part := items[from:min(len(items), from+batch)]
		if len(part) < batch && k > 0 {
			break // a smaller batch would count as much as a whole one
		}
		xs, err := t.batch(part, shapes)
		if err != nil {
			return nil, err
		}
		t.keep = float64(k) / float64(k+1)
		if _, err := t.forward(xs...); err != nil {
			return nil, err
		}
	}
	return t.model(m)
}
