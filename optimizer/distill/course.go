package distill

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"time"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
	"fettle/train"
)

// course is one training: the data, the teacher's sessions, the pupil.
type course struct {
	env      *optimizer.Env
	o        Options
	m        *model.Model
	pairs    []*pair
	pupil    *train.Pupil
	teachers []optimizer.Session // one a worker
	features []string
	input    string
	shape    []int // of one item: C, H, W
	items    [][]float32
	held     [][]float32 // they judge
	want     [][]float32 // what the teacher says of them
}

// newCourse reads the data and opens the teacher.
func newCourse(ctx context.Context, env *optimizer.Env, o Options, m *model.Model) (*course, error) {
	free := m.Graph.Free()
	if len(free) != 1 || len(m.Graph.Outputs) != 1 {
		return nil, fail.New(fail.Unsupported, "training needs one input and one output, the model has %d and %d", len(free), len(m.Graph.Outputs))
	}
	c := &course{env: env, o: o, m: m, input: free[0].Name}
	twin, pairs, err := fold(m)
	if err != nil {
		return nil, err
	}
	c.pairs = pairs
	workers := min(runtime.GOMAXPROCS(0), 8)
	if c.pupil, err = train.NewPupil(twin, workers, o.Optimizer, o.Decay); err != nil {
		return nil, err
	}
	if err := c.load(ctx); err != nil {
		return nil, err
	}
	if o.Features > 0 {
		c.features = stages(env.Base, twin, free[0], c.shape)
	}
	outputs := append([]string{env.Base.Graph.Outputs[0].Name}, c.features...)
	types := map[string]model.Type{}
	for _, f := range c.features {
		types[f] = model.Type{DType: model.Float32}
	}
	teacher, err := env.Base.Extract([]string{c.input}, outputs, types)
	if err != nil {
		return nil, err
	}
	for range workers {
		s, err := env.Open(ctx, teacher)
		if err != nil {
			c.close()
			return nil, err
		}
		c.teachers = append(c.teachers, s)
	}
	for _, x := range c.held {
		w, err := c.ask(ctx, 0, x)
		if err != nil {
			c.close()
			return nil, fail.In(err, "run the original", fail.Where{})
		}
		c.want = append(c.want, w.Output)
	}
	return c, nil
}

func (c *course) close() {
	for _, s := range c.teachers {
		_ = s.Close() // nothing of it is needed any more
	}
}

// mostHeld bounds the items that judge.
const mostHeld = 200

// load reads the items; a tenth of them judges.
func (c *course) load(ctx context.Context) error {
	err := c.env.Data.Each(ctx, min(c.o.Samples, c.env.Data.Len()), func(_ int, in map[string]*model.Tensor) error {
		t := in[c.input]
		if t == nil || t.DType != model.Float32 || t.Rank() < 2 || t.Shape[0] != 1 {
			return fail.New(fail.Unsupported, "training needs items of one float32 input with a batch of 1").At(fail.Where{Tensor: c.input})
		}
		if c.shape == nil {
			c.shape = append([]int(nil), t.Shape[1:]...)
		}
		if fmt.Sprint(c.shape) != fmt.Sprint(t.Shape[1:]) {
			return fail.New(fail.Invalid, "an item has shape %v, the first has %v", t.Shape[1:], c.shape)
		}
		c.items = append(c.items, append([]float32(nil), model.Data[float32](t)...))
		return nil
	})
	if err != nil {
		return err
	}
	if len(c.items) < 16 {
		return fail.New(fail.Usage, "%d data items are too few to learn from, at least 16 are needed", len(c.items)).Try("give more data")
	}
	all, n := c.items, min(max(len(c.items)/10, 4), mostHeld)
	c.items = nil
	for i, x := range all { // folders come class by class: those that judge are spread over all
		if i*n/len(all) != (i+1)*n/len(all) {
			c.held = append(c.held, x)
		} else {
			c.items = append(c.items, x)
		}
	}
	return nil
}

// stages lists the last value of each height and width that both models have in the same shape.
func stages(teacher, pupil *model.Model, in model.Value, shape []int) []string {
	typ := map[string]model.Type{in.Name: model.TensorType(model.Float32, model.FixedShape(append([]int{1}, shape...)...))}
	a, _, err := ops.Infer(teacher, typ)
	if err != nil {
		return nil
	}
	b, _, err := ops.Infer(pupil, typ)
	if err != nil {
		return nil
	}
	last := map[[2]int]string{}
	var order [][2]int
	for _, n := range pupil.Graph.Nodes {
		v := n.Outputs[0]
		t, u := a.Types[v], b.Types[v]
		dims, ok := t.Shape.Ints()
		other, same := u.Shape.Ints()
		if !ok || !same || len(dims) != 4 || fmt.Sprint(dims) != fmt.Sprint(other) || t.DType != model.Float32 || dims[2]*dims[3] == 1 || b.Consts[v] != nil || teacher.Graph.Producer(v) == nil || pupil.Graph.Output(v) != nil {
			continue
		}
		key := [2]int{dims[2], dims[3]}
		if last[key] == "" {
			order = append(order, key)
		}
		last[key] = v
	}
	var out []string
	for _, k := range order {
		out = append(out, last[k])
	}
	return out
}

// ask runs the teacher on an item.
func (c *course) ask(ctx context.Context, worker int, x []float32) (train.Want, error) {
	t := model.Float32s(x, append([]int{1}, c.shape...)...)
	out, err := c.teachers[worker].Run(ctx, map[string]*model.Tensor{c.input: t})
	if err != nil {
		return train.Want{}, err
	}
	w := train.Want{Features: map[string][]float32{}}
	for i, o := range out {
		if o == nil || o.DType != model.Float32 {
			return w, fail.New(fail.Unsupported, "the original gives no float32 numbers")
		}
		v := append([]float32(nil), model.Data[float32](o)...)
		if i == 0 {
			w.Output = v
		} else {
			w.Features[c.features[i-1]] = v
		}
	}
	return w, nil
}

// run trains until the passes are done or the time is over, and gives the best weights seen, or the model as it was.
func (c *course) run(ctx context.Context) (*model.Model, string, error) {
	before, err := c.judge(ctx, c.m)
	if err != nil {
		return nil, "", err
	}
	best, bestModel, at := before, c.m, 0
	rng := rand.New(rand.NewPCG(uint64(c.env.Seed), uint64(c.o.Seed)))
	order := rng.Perm(len(c.items))
	perEpoch := (len(order) + c.o.Batch - 1) / c.o.Batch
	total := perEpoch * c.o.Epochs
	limit := time.Duration(c.o.Minutes * float64(time.Minute))
	begin := time.Now()
	var training time.Duration
	first, last, seen, step, epoch := math.NaN(), math.NaN(), 0, 0, 0
	for done := false; !done; epoch++ {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		sum, n := 0.0, 0
		for from := 0; from < len(order) && !done; from += c.o.Batch {
			past := math.Max(float64(step)/float64(total), float64(time.Since(begin))/float64(limit))
			if past >= 1 {
				done = true
				break
			}
			part := order[from:min(len(order), from+c.o.Batch)]
			batch := make([][]float32, len(part))
			for i, k := range part {
				batch[i] = c.augment(rng, c.items[k])
			}
			start := time.Now()
			loss, err := c.pupil.Step(ctx, batch, c.shape, train.Lesson{Temperature: c.o.Temperature, Features: c.o.Features}, c.rate(step, past),
				func(ctx context.Context, worker, i int) (train.Want, error) { return c.ask(ctx, worker, batch[i]) })
			training += time.Since(start)
			if fail.Is(err, fail.Failed) {
				return bestModel, fmt.Sprintf("the loss was no number after %d steps: stopped; %s", step, c.say(before, best, at)), nil
			}
			if err != nil {
				return nil, "", err
			}
			sum, n, seen, step = sum+loss*float64(len(part)), n+len(part), seen+len(part), step+1
			c.env.Progress.Report(int64(past*1000), 1000, fmt.Sprintf("distilling, pass %d, loss %.3g", epoch+1, loss))
		}
		if n > 0 {
			last = sum / float64(n)
			if math.IsNaN(first) {
				first = last
			}
		}
		done = done || step >= total
		now, err := c.model()
		if err != nil {
			return nil, "", err
		}
		d, err := c.judge(ctx, now)
		if err != nil {
			return nil, "", err
		}
		if d.better(best) {
			best, bestModel, at = d, now, step
		}
	}
	return bestModel, fmt.Sprintf("%s; loss %.3g in the first pass, %.3g in the last of %d; %d items seen, %.0f a second", c.say(before, best, at), first, last, epoch, seen, float64(seen)/max(training.Seconds(), 1e-9)), nil
}

func (c *course) say(before, best distance, at int) string {
	if at == 0 {
		return fmt.Sprintf("on %d held-out items nothing came closer to the original than before (%s): reverted", len(c.held), before)
	}
	return fmt.Sprintf("distance to the original on %d held-out items: %s before, %s after step %d", len(c.held), before, best, at)
}

// rate falls along a cosine, after a few steps in which it rises.
func (c *course) rate(step int, past float64) float64 {
	const rise = 20
	return c.o.Rate * 0.5 * (1 + math.Cos(math.Pi*past)) * math.Min(1, float64(step+1)/rise)
}

// model is the pupil in the form of the model before.
func (c *course) model() (*model.Model, error) {
	twin, err := c.pupil.Model()
	if err != nil {
		return nil, err
	}
	return unfold(c.m, twin, c.pairs)
}

// augment mirrors and moves a picture; what moves in is what is mirrored at the edge.
func (c *course) augment(r *rand.Rand, x []float32) []float32 {
	flip, dy, dx := r.IntN(2) == 1, 0.0, 0.0
	dy, dx = r.Float64()*2-1, r.Float64()*2-1
	if c.o.Augment == "none" || len(c.shape) != 3 || c.shape[1] < 16 || c.shape[2] < 16 {
		return x
	}
	h, w := c.shape[1], c.shape[2]
	sy, sx := int(math.Round(dy*float64(h/8))), int(math.Round(dx*float64(w/8)))
	out := make([]float32, len(x))
	for p := range c.shape[0] {
		for i := range h {
			from := x[(p*h+mirror(i+sy, h))*w:][:w]
			to := out[(p*h+i)*w:][:w]
			for j := range to {
				k := mirror(j+sx, w)
				if flip && c.o.Augment == "flip-shift" {
					k = w - 1 - k
				}
				to[j] = from[k]
			}
		}
	}
	return out
}

func mirror(i, n int) int {
	if i < 0 {
		i = -i
	}
	if i >= n {
		i = 2*n - 2 - i
	}
	return i
}
