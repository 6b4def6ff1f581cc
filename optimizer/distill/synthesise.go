package distill

import (
	"context"
	"fmt"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/train"
)

// mostDreams bounds the inputs that are synthesised: each costs about as much as two hundred steps on it.
const mostDreams = 512

// synthesise makes items without data, from the statistics that the normalisations of the original have stored.
func (c *course) synthesise(ctx context.Context) error {
	in := c.env.Base.Graph.Free()[0]
	if len(c.in.Names()) > 1 || !in.Type.Ranked || len(in.Type.Shape) != 4 || in.Type.DType != model.Float32 {
		return fail.New(fail.Unsupported, "inputs can be synthesised for models whose only input is a picture").At(fail.Where{Tensor: in.Name})
	}
	var shape []int
	for _, d := range in.Type.Shape[1:] {
		if !d.Known() {
			return fail.New(fail.Unsupported, "inputs cannot be synthesised: the input has open sizes").At(fail.Where{Tensor: in.Name}).Try("fix them with fettle convert")
		}
		shape = append(shape, int(d.N))
	}
	c.in.Only(shape)
	items, first, last, err := train.Dream(ctx, c.env.Base, shape, train.Dreams{Items: min(c.o.Samples, mostDreams), Batch: 64, Steps: 200, Rate: 0.1, Seed: uint64(c.env.Seed)<<20 + uint64(c.o.Seed)}, c.env.Progress)
	if err != nil {
		return err
	}
	c.dreamed = fmt.Sprintf("data-free: %d inputs were synthesised from the statistics of the original's normalisations (distance %.3g to %.3g deviations squared); what is held out is of that kind too, real data may say otherwise; ", len(items), first, last)
	labels := make([]int, len(items))
	for i := range labels {
		labels[i] = -1
	}
	c.split(items, labels)
	return nil
}
