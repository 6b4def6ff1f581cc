// Package train fits the weights of a model to data: forward and backward passes over the operators of networks, cross-entropy and
// the distance from a teacher, SGD with momentum and AdamW.
//
// It reads no files and knows no pictures: batches come in as numbers. The arithmetic is generic over float32, for training,
// and float64, for checking every gradient against central differences. Start reading at Fit, then tape; rules is the table of
// operators, a new one is a line there and a case in operators_test.go.
package train

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/kernels/team"
	"fettle/model"
)

// Options are the choices of a training run.
type Options struct {
	Epochs      int     `opt:"epochs" min:"1" help:"passes over the data"`
	Batch       int     `opt:"batch" min:"1" help:"pictures a step"`
	Rate        float64 `opt:"rate" min:"0" help:"learning rate at the start; it falls to zero along a cosine"`
	Momentum    float64 `opt:"momentum" min:"0" max:"1" help:"share of the last step that is kept"`
	WeightDecay float64 `opt:"weight_decay" min:"0" help:"pull of weights towards zero; not for biases and BatchNormalization"`
	Seed        uint64  `opt:"seed" help:"order of the data"`
	Recompute   Recompute
}

// NewOptions are sensible for a small convolutional network.
func NewOptions() Options {
	return Options{Epochs: 10, Batch: 32, Rate: 0.05, Momentum: 0.9, WeightDecay: 5e-4, Seed: 1}
}

// Data is a labelled set in memory.
type Data struct {
	Shape  []int // of one item: C, H, W
	Items  []float32
	Labels []int
}

// Len is the number of items.
func (d Data) Len() int { return len(d.Labels) }

// Report says how an epoch went.
type Report struct {
	Epoch    int
	Loss     float64 // mean cross-entropy of the epoch
	Accuracy float64 // share of the epoch's items that were right while training
}

// Fit trains the float32 weights of m on d by cross-entropy of its only output and gives a new model. Running statistics of
// BatchNormalization are estimated on the way. each, if not nil, hears of every epoch. The same seed gives the same bits.
func Fit(ctx context.Context, m *model.Model, d Data, o Options, progress task.Progress, each func(Report)) (*model.Model, error) {
	if d.Len() == 0 || o.Batch < 1 || o.Epochs < 1 {
		return nil, fail.New(fail.Invalid, "%d items, batch %d, %d epochs", d.Len(), o.Batch, o.Epochs)
	}
	t, err := newTape[float32](m)
	if err != nil {
		return nil, err
	}
	t.recompute = o.Recompute
	t.fuse()
	size := len(d.Items) / d.Len()
	rng := rand.New(rand.NewPCG(o.Seed, 1))
	order := rng.Perm(d.Len())
	steps := o.Epochs * ((d.Len() + o.Batch - 1) / o.Batch)
	if t.fast != nil {
		t.fast.cuts, t.fast.crew = shares, team.New(min(runtime.GOMAXPROCS(0), shares))
		defer t.fast.crew.Close()
	}
	sgd := newSGD[float32](t, o)
	step := 0
	for epoch := range o.Epochs {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		var loss float64
		right := 0
		for at := 0; at < len(order); at += o.Batch {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			part := order[at:min(len(order), at+o.Batch)]
			x := newArray[float32](append([]int{len(part)}, d.Shape...)...)
			labels := make([]int, len(part))
			for i, k := range part {
				toPixels(x.v[i*size:(i+1)*size], d.Items[k*size:(k+1)*size], append([]int{1}, d.Shape...))
				labels[i] = d.Labels[k]
			}
			y, err := t.forward(x)
			if err != nil {
				return nil, err
			}
			l, ok, dy, err := crossEntropy(y, labels)
			if err != nil {
				return nil, err
			}
			if math.IsNaN(l) || math.IsInf(l, 0) {
				return nil, fail.New(fail.Failed, "the loss is not a number after %d steps", step).Try("lower the learning rate")
			}
			loss += l * float64(len(part))
			right += ok
			if err := t.backward(map[string]*array[float32]{t.output: dy}); err != nil {
				return nil, err
			}
			sgd.step(o.Rate * 0.5 * (1 + math.Cos(math.Pi*float64(step)/float64(steps))))
			t.fast.changed()
			step++
			progress.Report(int64(step), int64(steps), "training")
		}
		if each != nil {
			each(Report{epoch, loss / float64(d.Len()), float64(right) / float64(d.Len())})
		}
	}
	return t.model(m)
}

// array is a dense tensor.
type array[T float] struct {
	shape []int
	v     []T
}

type float interface{ ~float32 | ~float64 }

func newArray[T float](shape ...int) *array[T] {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return &array[T]{shape, make([]T, n+slack)[:n:n]}
}

func like[T float](a *array[T]) *array[T] { return newArray[T](a.shape...) }

// crossEntropy is the mean of -log softmax(y)[label] over the rows of y [N, classes], the number of rows whose largest
// entry is the label, and the gradient.
func crossEntropy[T float](y *array[T], labels []int) (loss float64, right int, dy *array[T], err error) {
	if len(y.shape) != 2 || y.shape[0] != len(labels) {
		return 0, 0, nil, fail.New(fail.Invalid, "the output has shape %v, want [%d, classes]", y.shape, len(labels))
	}
	classes := y.shape[1]
	dy = like(y)
	for i, label := range labels {
		if label < 0 || label >= classes {
			return 0, 0, nil, fail.New(fail.Invalid, "label %d of item %d, the output has %d classes", label, i, classes)
		}
		row, grad := y.v[i*classes:][:classes], dy.v[i*classes:][:classes]
		best, top := 0, math.Inf(-1)
		for c, v := range row {
			if float64(v) > top {
				best, top = c, float64(v)
			}
		}
		if best == label {
			right++
		}
		sum := 0.0
		for _, v := range row {
			sum += math.Exp(float64(v) - top)
		}
		loss += math.Log(sum) + top - float64(row[label])
		for c, v := range row {
			p := math.Exp(float64(v)-top) / sum
			if c == label {
				p--
			}
			grad[c] = T(p / float64(len(labels)))
		}
	}
	return loss / float64(len(labels)), right, dy, nil
}

// sgd is stochastic gradient descent with momentum: v = m*v + g + d*w; w -= rate*v (Sutskever et al. 2013).
type sgd[T float] struct {
	t   *tape[T]
	o   Options
	vel [][]T
}

func newSGD[T float](t *tape[T], o Options) *sgd[T] {
	s := &sgd[T]{t: t, o: o}
	for _, p := range t.params {
		s.vel = append(s.vel, make([]T, len(p.v.v)))
	}
	return s
}

func (s *sgd[T]) step(rate float64) {
	for i, p := range s.t.params {
		if p.grad == nil {
			continue
		}
		decay := T(0)
		if isMatrix(p.v.shape) {
			decay = T(s.o.WeightDecay)
		}
		vel, m, r := s.vel[i], T(s.o.Momentum), T(rate)
		for k := range vel {
			vel[k] = m*vel[k] + p.grad.v[k] + decay*p.v.v[k]
			p.v.v[k] -= r * vel[k]
		}
	}
}

// isMatrix reports whether a parameter has more than one dimension: weights, which decay; not biases nor factors of channels.
func isMatrix(shape []int) bool {
	n := 0
	for _, d := range shape {
		if d > 1 {
			n++
		}
	}
	return n > 1
}
