package distill

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"time"

	"fettle/dataset"
	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
	"fettle/train"
)

// course is one training: the data, the teacher's sessions, the pupil.
type course struct {
	env       *optimizer.Env
	o         Options
	m         *model.Model
	floats    *model.Model // m with floats for stored integers
	thawed    []*thawed
	pairs     []*pair
	pupil     *train.Pupil
	keepEvery time.Duration
	resumed   int // step after which it went on; 0: from the start
	teacher   *model.Model
	teachers  []optimizer.Session // one a worker
	features  []string
	in        *train.Inputs
	items     [][]float32
	labels    []int       // of items; nil: none are used
	held      [][]float32 // they judge
	want      [][]float32 // what the teacher says of them
	said      string      // how blocks went
	dreamed   string      // how inputs were synthesised
}

// newCourse reads the data and opens the teacher.
func newCourse(ctx context.Context, env *optimizer.Env, o Options, m *model.Model) (*course, error) {
	if len(m.Graph.Outputs) != 1 {
		return nil, fail.New(fail.Unsupported, "training needs one output, the model has %d", len(m.Graph.Outputs))
	}
	in, err := train.InputsOf(m)
	if err != nil {
		return nil, err
	}
	c := &course{env: env, o: o, m: m, keepEvery: keepEvery, in: in}
	twin, err := c.twin()
	if err != nil {
		return nil, err
	}
	workers := min(runtime.GOMAXPROCS(0), 8)
	if c.pupil, err = train.NewPupil(twin, workers, o.how(workers)); err != nil {
		return nil, err
	}
	if o.Inputs == "synthesised" {
		err = c.synthesise(ctx)
	} else {
		err = c.load(ctx)
	}
	if err != nil {
		return nil, err
	}
	if o.Features > 0 {
		c.features = stages(env.Base, twin, c.in.Types(1))
	}
	outputs := append([]string{env.Base.Graph.Outputs[0].Name}, c.features...)
	types := map[string]model.Type{}
	for _, f := range c.features {
		types[f] = model.Type{DType: model.Float32}
	}
	c.teacher, err = env.Base.Extract(train.Reaching(env.Base, outputs), outputs, types)
	if err != nil {
		return nil, err
	}
	if c.teacher, _, err = fold(c.teacher); err != nil { // the same function, a sixth less work for each answer
		return nil, err
	}
	for range workers {
		s, err := env.Open(ctx, c.teacher)
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

// twin is the model in the form that is trained.
func (c *course) twin() (twin *model.Model, err error) {
	if c.floats, c.thawed, err = thaw(c.m); err != nil {
		return nil, err
	}
	twin, c.pairs, err = fold(c.floats)
	return twin, err
}

// model is the pupil in the form of the model before.
func (c *course) model() (*model.Model, error) {
	twin, err := c.pupil.Model()
	if err != nil {
		return nil, err
	}
	m, err := unfold(c.floats, twin, c.pairs)
	if err != nil || c.thawed == nil {
		return m, err
	}
	return freeze(c.m, m, c.thawed)
}

func (c *course) close() {
	for _, s := range c.teachers {
		_ = s.Close() // nothing of it is needed any more
	}
}

// labelled are data with right classes.
type labelled interface {
	Labelled() bool
	EachSample(ctx context.Context, limit int, visit func(dataset.Sample) error) error
}

// mostHeld bounds the items that judge.
const mostHeld = 200

// load reads the items; a tenth of them judges.
func (c *course) load(ctx context.Context) error {
	var labels []int
	take := func(in map[string]*model.Tensor, label int) error {
		x, err := c.in.Item(in)
		c.items, labels = append(c.items, x), append(labels, label)
		return err
	}
	n := min(c.o.Samples, c.env.Data.Len())
	var err error
	if c.o.Labels > 0 {
		d, ok := c.env.Data.(labelled)
		if !ok || !d.Labelled() {
			return fail.New(fail.Usage, "labels = %g asks for right classes, the data have none", c.o.Labels).Try("sort the items into folders, one a class, or set labels = 0")
		}
		err = d.EachSample(ctx, n, func(s dataset.Sample) error { return take(s.Inputs, s.Label) })
	} else {
		err = c.env.Data.Each(ctx, n, func(_ int, in map[string]*model.Tensor) error { return take(in, -1) })
	}
	if err != nil {
		return err
	}
	if len(c.items) < 16 {
		return fail.New(fail.Usage, "%d data items are too few to learn from, at least 16 are needed", len(c.items)).Try("give more data")
	}
	c.split(c.items, labels)
	return nil
}

// split keeps a tenth of the items to judge by.
func (c *course) split(all [][]float32, labels []int) {
	n := min(max(len(all)/10, 4), mostHeld)
	c.items = nil
	for i, x := range all { // folders come class by class: those that judge are spread over all
		if i*n/len(all) != (i+1)*n/len(all) {
			c.held = append(c.held, x)
		} else {
			c.items, c.labels = append(c.items, x), append(c.labels, labels[i])
		}
	}
}

// stages lists the last value of each height and width that both models have in the same shape.
func stages(teacher, pupil *model.Model, typ map[string]model.Type) []string {
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
	out, err := c.teachers[worker].Run(ctx, train.Only(c.teacher, c.in.Tensors(x)))
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

// augment mirrors and moves a picture; what moves in is what is mirrored at the edge.
func (c *course) augment(r *rand.Rand, x []float32) []float32 {
	flip, dy, dx := r.IntN(2) == 1, 0.0, 0.0
	dy, dx = r.Float64()*2-1, r.Float64()*2-1
	shape := c.in.Picture()
	if c.o.Augment == "none" || shape == nil || shape[1] < 16 || shape[2] < 16 {
		return x
	}
	h, w := shape[1], shape[2]
	sy, sx := int(math.Round(dy*float64(h/8))), int(math.Round(dx*float64(w/8)))
	out := make([]float32, len(x))
	for p := range shape[0] {
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
