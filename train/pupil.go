package train

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync/atomic"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
)

// Want is what a pupil should give for one item.
type Want struct {
	Output   []float32            // of the only output
	Features map[string][]float32 // of inner values, as [C, H, W]
	Label    int                  // right class, where Lesson.Labels asks for it; negative: not known
}

// Lesson says how the distance of a pupil from what it should give is measured.
type Lesson struct {
	Temperature float64 // of the softmax of both; outputs that are no vector are compared by squares
	Labels      float64 // share of the right classes in the loss of the outputs, 0 to 1
	Features    float64 // weight of the squared distance of inner values, as a share of their squared size
}

// Pupil is a model in training by the outputs of another: batches come in items, each worker takes shares of a batch. Normalisations
// keep their statistics, so that shares do not depend on each other, and the same batches give the same bits for any number
// of workers.
type Pupil struct {
	base  *model.Model
	tapes []*tape[float32] // one a worker; their parameters are the same memory
	sums  [shares][][]float32
	step  *stepper[float32]
	masks [][]bool // of parameters: weights that stay zero; nil: none
}

// shares is how many parts a batch is cut into.
const shares = 8

// NewPupil prepares m. fail.Unsupported names an operator that has no gradient.
func NewPupil(m *model.Model, workers int, how How) (*Pupil, error) {
	p := &Pupil{base: m}
	for range max(workers, 1) {
		t, err := newTape[float32](m)
		if err != nil {
			return nil, err
		}
		t.frozen, t.recompute = true, how.Recompute
		if len(p.tapes) > 0 {
			for i, q := range t.params {
				q.v = p.tapes[0].params[i].v
			}
		}
		p.tapes = append(p.tapes, t)
	}
	for s := range p.sums {
		for _, q := range p.tapes[0].params {
			p.sums[s] = append(p.sums[s], make([]float32, len(q.v.v)))
		}
	}
	p.step = newStepper(p.tapes[0], how)
	return p, nil
}

// Step takes one step on a batch. items are as Inputs makes them, of the shapes given, an input each; teach is asked, on several workers at once, for what
// the pupil should give for one. It gives the mean loss of the batch before the step.
func (p *Pupil) Step(ctx context.Context, items [][]float32, shapes [][]int, l Lesson, rate float64, teach func(ctx context.Context, worker, item int) (Want, error)) (float64, error) {
	size := (len(items) + shares - 1) / shares
	var next atomic.Int64
	var losses [shares]float64
	g := task.NewGroup(ctx)
	for w, t := range p.tapes {
		g.Go("training", func(ctx context.Context) error {
			for {
				k := int(next.Add(1)) - 1
				from := k * size
				if k >= shares || from >= len(items) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return fail.From(err)
				}
				to := min(len(items), from+size)
				wants := make([]Want, 0, to-from)
				for i := from; i < to; i++ {
					want, err := teach(ctx, w, i)
					if err != nil {
						return err
					}
					wants = append(wants, want)
				}
				var err error
				if losses[k], err = p.share(t, k, items[from:to], shapes, wants, l, len(items)); err != nil {
					return err
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	loss := 0.0
	total := p.sums[0]
	for k := range shares {
		loss += losses[k]
		for i := range total {
			if k > 0 && k*size < len(items) {
				sum(p.tapes[0].muls, total[i], total[i], p.sums[k][i])
			}
		}
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return loss, fail.New(fail.Failed, "the loss is not a number").Try("lower the learning rate")
	}
	p.step.step(total, rate)
	p.hold()
	for _, t := range p.tapes {
		t.fast.changed()
	}
	return loss, nil
}

// share runs a part of a batch forward and backward and keeps its gradients.
func (p *Pupil) share(t *tape[float32], k int, items [][]float32, shapes [][]int, wants []Want, l Lesson, batch int) (float64, error) {
	xs, err := t.batch(items, shapes)
	if err != nil {
		return 0, err
	}
	t.show(slices.Sorted(maps.Keys(wants[0].Features)))
	y, err := t.forward(xs...)
	if err != nil {
		return 0, err
	}
	loss, seeds := 0.0, map[string]*array[float32]{}
	for name := range wants[0].Features {
		f := t.values[name]
		if f == nil {
			return 0, fail.New(fail.Internal, "the pupil has no value %q", name)
		}
		d := t.zeros(f.shape...)
		for i := range wants {
			part, err := squares(t, f, d, i, wants[i].Features[name], l.Features/float64(batch))
			if err != nil {
				return 0, err
			}
			loss += part
		}
		seeds[name] = d
	}
	dy := t.zeros(y.shape...)
	for i := range wants {
		part := 0.0
		if len(y.shape) == 2 && y.shape[1] > 1 {
			part, err = divergence(y, dy, i, wants[i].Output, l.Temperature, batch)
			if l.Labels > 0 && err == nil {
				part, err = withLabel(y, dy, i, wants[i].Label, part, l.Labels, batch)
			}
		} else {
			part, err = squares(t, y, dy, i, wants[i].Output, 1/float64(batch))
		}
		if err != nil {
			return 0, err
		}
		loss += part
	}
	seeds[t.output] = dy
	if err := t.backward(seeds); err != nil {
		return 0, err
	}
	for i, q := range t.params {
		if q.grad == nil {
			clear(p.sums[k][i])
		} else {
			copy(p.sums[k][i], q.grad.v)
		}
	}
	return loss, nil
}

// squares is weight times the squared distance of item i of v from want, as a share of the squared size of want; d gets the gradient.
func squares[T float](t *tape[T], v, d *array[T], i int, want []float32, weight float64) (float64, error) {
	size := len(v.v) / v.shape[0]
	if len(want) != size {
		return 0, fail.New(fail.Invalid, "the teacher gives %d numbers, the pupil %d", len(want), size)
	}
	defer t.release(t.mark())
	w := t.take(size)
	norm := 0.0
	for k, x := range want {
		w[k] = T(x)
		norm += float64(x) * float64(x)
	}
	if len(v.shape) == 4 {
		p := t.take(size)
		toPixels(p, w, append([]int{1}, v.shape[1:]...))
		w = p
	}
	f := weight / max(norm, 1e-12)
	sum := 0.0
	for k, x := range v.v[i*size:][:size] {
		e := float64(x - w[k])
		sum += e * e
		d.v[i*size+k] += T(2 * f * e)
	}
	return f * sum, nil
}

// divergence is T² KL(softmax(want/T) || softmax(y/T)) of row i over the batch; dy gets the gradient.
//
// Source: Hinton et al. 2015, arXiv:1503.02531.
func divergence[T float](y, dy *array[T], i int, want []float32, temperature float64, batch int) (float64, error) {
	classes := y.shape[1]
	if len(want) != classes {
		return 0, fail.New(fail.Invalid, "the teacher gives %d numbers, the pupil %d", len(want), classes)
	}
	got := make([]float64, classes)
	to := make([]float64, classes)
	for c := range classes {
		got[c], to[c] = float64(y.v[i*classes+c])/temperature, float64(want[c])/temperature
	}
	logSoftmax(got)
	logSoftmax(to)
	sum := 0.0
	for c := range classes {
		p := math.Exp(to[c])
		sum += p * (to[c] - got[c])
		dy.v[i*classes+c] = T(temperature * (math.Exp(got[c]) - p) / float64(batch))
	}
	return temperature * temperature * sum / float64(batch), nil
}

// withLabel blends the divergence of row i with the cross-entropy of its label; a row without one keeps the divergence.
func withLabel[T float](y, dy *array[T], i, label int, part, share float64, batch int) (float64, error) {
	classes := y.shape[1]
	if label >= classes {
		return 0, fail.New(fail.Invalid, "label %d, the outputs are %d classes", label, classes)
	}
	if label < 0 {
		return part, nil
	}
	got := make([]float64, classes)
	for c := range classes {
		got[c] = float64(y.v[i*classes+c])
	}
	logSoftmax(got)
	for c := range classes {
		p := math.Exp(got[c])
		if c == label {
			p--
		}
		at := i*classes + c
		dy.v[at] = T((1-share)*float64(dy.v[at]) + share*p/float64(batch))
	}
	return (1-share)*part - share*got[label]/float64(batch), nil
}

func logSoftmax(v []float64) {
	top, sum := math.Inf(-1), 0.0
	for _, x := range v {
		top = math.Max(top, x)
	}
	for _, x := range v {
		sum += math.Exp(x - top)
	}
	for i := range v {
		v[i] -= top + math.Log(sum)
	}
}
