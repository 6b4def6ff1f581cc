package distill

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
	"fettle/train"
)

// block is a part of the pupil between two values that everything goes through. It learns by itself: from what the original has at its
// beginning it should make what the original has at its end. So blocks do not depend on each other and learn side by side, and what one
// gets wrong does not disturb the next.
type block struct {
	in, out string // values of both models; in is the input of the model for the first
	shape   []int  // of an item of in
	pupil   *train.Pupil
	loss    [2]float64 // in the first pass and in the last
}

// blocks cuts the pupil's model wherever one value stands for all that came before, and both models have it in the same shape.
//
// Source: Li et al. 2020, arXiv:1911.13053 (blocks between a teacher's values).
func (c *course) blocks(twin *model.Model) ([]*block, error) {
	if n := len(c.in.Names()); n > 1 {
		return nil, fail.New(fail.Unsupported, "every block would need all %d inputs", n)
	}
	typ := c.in.Types(1)
	a, _, err := ops.Infer(c.env.Base, typ)
	if err != nil {
		return nil, err
	}
	b, _, err := ops.Infer(twin, typ)
	if err != nil {
		return nil, err
	}
	var list []*block
	from, shape := c.in.Names()[0], c.in.Shapes()[0]
	for _, v := range optimizer.Waists(twin, b.Consts) {
		dims, ok := b.Types[v].Shape.Ints()
		other, same := a.Types[v].Shape.Ints()
		last := v == twin.Graph.Outputs[0].Name
		if !last && (!ok || !same || len(dims) != 4 || !slices.Equal(dims, other) || c.env.Base.Graph.Producer(v) == nil) {
			continue
		}
		k := &block{in: from, out: v, shape: shape}
		part, err := twin.Extract([]string{k.in}, []string{v}, map[string]model.Type{k.in: open(shape), v: open(dims[min(1, len(dims)):])})
		if err != nil {
			return nil, err
		}
		if !learns(part) {
			continue // the next one takes it along
		}
		if k.pupil, err = train.NewPupil(part, 1, c.o.how(len(c.teachers))); err != nil {
			return nil, err
		}
		list, from, shape = append(list, k), v, dims[min(1, len(dims)):]
	}
	if len(list) < 2 {
		return nil, fail.New(fail.Unsupported, "no inner value that both models have in one shape stands for all before it")
	}
	return list, nil
}

// open is the type of items of a shape in batches of any size.
func open(shape []int) model.Type {
	s := model.Shape{model.Sym("n")}
	for _, d := range shape {
		s = append(s, model.Fixed(d))
	}
	return model.TensorType(model.Float32, s)
}

// learns reports whether a model has weights.
func learns(m *model.Model) bool {
	return slices.ContainsFunc(m.Graph.Inits, func(in *model.Init) bool { return in.Tensor.DType == model.Float32 && in.Tensor.Rank() > 1 })
}

// learnBlocks lets every block learn, at most half of the time, and gives the pupil their weights where that brings held-out answers closer.
func (c *course) learnBlocks(ctx context.Context, p *progress, limit time.Duration) error {
	twin, err := c.pupil.Model()
	if err != nil {
		return err
	}
	list, err := c.blocks(twin)
	if fail.Is(err, fail.Unsupported) {
		c.said = "not block by block: " + fail.From(err).Error() + "; "
		return nil
	}
	if err != nil {
		return err
	}
	teachers, err := c.showing(ctx, list)
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range teachers {
			_ = s.Close() // nothing of it is needed any more
		}
	}()
	order, total, step := slices.Clone(p.Order), c.perEpoch()*c.o.Blocks, 0
	for step < total && p.spent() < limit/2 {
		sums, n := make([]float64, len(list)), 0
		for at := 0; at < len(order) && p.spent() < limit/2; at += c.o.Batch {
			part := order[at:min(len(order), at+c.o.Batch)]
			past := max(float64(step)/float64(total), 2*float64(p.spent())/float64(limit))
			if err := c.blockStep(ctx, list, teachers, part, c.rate(step, past), sums); err != nil {
				return err
			}
			step, n = step+1, n+len(part)
			c.env.Progress.Report(int64(1000*past), 1000, fmt.Sprintf("distilling %d blocks side by side, step %d of %d", len(list), step, total))
		}
		for i, k := range list {
			if k.loss[1] = sums[i] / float64(max(n, 1)); k.loss[0] == 0 {
				k.loss[0] = k.loss[1]
			}
		}
	}
	return c.takeBlocks(ctx, p, twin, list)
}

// showing opens the original with all ends of blocks as outputs, a session a worker.
func (c *course) showing(ctx context.Context, list []*block) ([]optimizer.Session, error) {
	var values []string
	types := map[string]model.Type{}
	for _, k := range list[:len(list)-1] {
		values, types[k.out] = append(values, k.out), model.Type{DType: model.Float32}
	}
	m, err := c.env.Base.Extract(c.in.Names(), append(values, c.env.Base.Graph.Outputs[0].Name), types)
	if err != nil {
		return nil, err
	}
	var out []optimizer.Session
	for range c.teachers {
		s, err := c.env.Open(ctx, m)
		if err != nil {
			return out, err
		}
		out = append(out, s)
	}
	return out, nil
}

// blockStep asks the original about a batch and lets every block take one step.
func (c *course) blockStep(ctx context.Context, list []*block, teachers []optimizer.Session, part []int, rate float64, sums []float64) error {
	ends := make([][][]float32, len(list)+1) // by place between blocks, by item
	for i := range ends {
		ends[i] = make([][]float32, len(part))
	}
	var next atomic.Int64
	g := task.NewGroup(ctx)
	for w, s := range teachers {
		g.Go("original", func(ctx context.Context) error {
			for i := int(next.Add(1)) - 1; i < len(part); i = int(next.Add(1)) - 1 {
				x := c.items[part[i]]
				out, err := s.Run(ctx, c.in.Tensors(x))
				if err != nil {
					return fail.In(err, fmt.Sprintf("original on worker %d", w), fail.Where{})
				}
				ends[0][i] = x
				for k, o := range out {
					if o == nil || o.DType != model.Float32 {
						return fail.New(fail.Unsupported, "the original gives no float32 numbers")
					}
					ends[k+1][i] = slices.Clone(model.Data[float32](o))
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if c.o.Control {
		for k := 1; k < len(ends); k++ { // each item is taught what belongs to the next
			ends[k] = append(ends[k][1:], ends[k][0])
		}
	}
	next.Store(0)
	g = task.NewGroup(ctx)
	for range teachers {
		g.Go("blocks", func(ctx context.Context) error {
			for i := int(next.Add(1)) - 1; i < len(list); i = int(next.Add(1)) - 1 {
				k := list[i]
				loss, err := k.pupil.Step(ctx, ends[i], [][]int{k.shape}, train.Lesson{Temperature: c.o.Temperature}, rate,
					func(_ context.Context, _, item int) (train.Want, error) {
						return train.Want{Output: ends[i+1][item], Label: -1}, nil
					})
				if err != nil {
					return fail.In(err, "block before "+k.out, fail.Where{})
				}
				sums[i] += loss * float64(len(part))
			}
			return nil
		})
	}
	return g.Wait()
}

// takeBlocks gives the pupil the weights of the blocks, where they are better on held-out items.
func (c *course) takeBlocks(ctx context.Context, p *progress, twin *model.Model, list []*block) error {
	patch := &model.Patch{}
	for _, k := range list {
		m, err := k.pupil.Model()
		if err != nil {
			return err
		}
		for _, in := range m.Graph.Inits {
			if old := twin.Graph.Init(in.Name); old != nil && old.DType == model.Float32 {
				patch.Inits = append(patch.Inits, &model.Init{Name: in.Name, Tensor: in.Tensor})
			}
		}
	}
	next, err := twin.Apply(patch)
	if err != nil {
		return err
	}
	old := c.pupil
	if c.pupil, err = train.NewPupil(next, len(c.teachers), c.o.how(len(c.teachers))); err != nil {
		return err
	}
	m, err := c.model()
	if err != nil {
		return err
	}
	d, err := c.judge(ctx, m)
	if err != nil {
		return err
	}
	better, first, last := d.better(p.Best), 0.0, 0.0
	for _, k := range list {
		first, last = first+k.loss[0]/float64(len(list)), last+k.loss[1]/float64(len(list))
	}
	c.said = fmt.Sprintf("%d blocks side by side: mean loss %.3g in the first pass, %.3g in the last, held-out items %s", len(list), first, last, d)
	if !better {
		c.pupil = old
		c.said += ": not taken; "
		return nil
	}
	c.said += "; "
	p.Best, p.BestAt = d, afterBlocks
	p.Finest, err = c.pupil.State()
	return err
}
