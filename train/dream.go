package train

import (
	"context"
	"math"
	"math/rand/v2"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
)

// Dreams says how inputs are synthesised.
type Dreams struct {
	Items, Batch int
	Steps        int // of Adam on each batch
	Rate         float64
	Seed         uint64
}

// Dream makes inputs from nothing but m: noise that is moved until the mean and the deviation of every channel in front of a normalisation
// are those that the normalisation has stored. It gives them as [C, H, W], with the loss at the start and at the end: the mean over
// channels of the squared distances of both, in deviations. fail.Unsupported where m has no such normalisation.
//
// Source: Cai et al. 2020, arXiv:2001.00281; Yin et al. 2020, arXiv:1912.08795.
func Dream(ctx context.Context, m *model.Model, shape []int, d Dreams, progress task.Progress) (items [][]float32, first, last float64, err error) {
	t, err := newTape[float32](m)
	if err != nil {
		return nil, 0, 0, err
	}
	t.frozen, t.keepInput = true, true
	var norms []*model.Node
	for _, a := range t.nodes {
		if a.n.Op == "BatchNormalization" {
			norms = append(norms, a.n)
		}
	}
	if len(norms) == 0 {
		return nil, 0, 0, fail.New(fail.Unsupported, "the model has no normalisation with stored statistics to synthesise inputs from").Try("give data; normalisations that were folded into convolutions have no statistics")
	}
	rng := rand.New(rand.NewPCG(d.Seed, 17))
	batches := (d.Items + d.Batch - 1) / d.Batch
	for b := range batches {
		n := min(d.Batch, d.Items-b*d.Batch)
		x := newArray[float32](append([]int{n}, shape...)...)
		for i := range x.v {
			x.v[i] = float32(rng.NormFloat64())
		}
		mean, square := make([]float64, len(x.v)), make([]float64, len(x.v))
		for step := range d.Steps {
			if err := ctx.Err(); err != nil {
				return nil, 0, 0, fail.From(err)
			}
			loss, err := t.dream(x, norms)
			if err != nil {
				return nil, 0, 0, err
			}
			if math.IsNaN(loss) || math.IsInf(loss, 0) {
				return nil, 0, 0, fail.New(fail.Failed, "the statistics of synthesised inputs are no numbers after %d steps", step)
			}
			switch step {
			case 0:
				first += loss / float64(batches)
			case d.Steps - 1:
				last += loss / float64(batches)
			}
			g := t.grads[t.input]
			if g == nil {
				return nil, 0, 0, fail.New(fail.Unsupported, "no gradient reaches the input")
			}
			rate := d.Rate * 0.5 * (1 + math.Cos(math.Pi*float64(step)/float64(d.Steps)))
			c1, c2 := 1-math.Pow(0.9, float64(step+1)), 1-math.Pow(0.999, float64(step+1))
			for i, v := range g.v {
				mean[i] = 0.9*mean[i] + 0.1*float64(v)
				square[i] = 0.999*square[i] + 0.001*float64(v)*float64(v)
				x.v[i] -= float32(rate * mean[i] / c1 / (math.Sqrt(square[i]/c2) + 1e-12))
			}
			progress.Report(int64(b*d.Steps+step), int64(batches*d.Steps), "synthesising inputs from statistics of normalisations")
		}
		size := len(x.v) / n
		for i := range n {
			it := make([]float32, size)
			toPlanes(it, x.v[i*size:][:size], append([]int{1}, shape...))
			items = append(items, it)
		}
	}
	return items, first, last, nil
}

// dream runs x forward and gives its gradient of the distance of statistics.
func (t *tape[T]) dream(x *array[T], norms []*model.Node) (float64, error) {
	if _, err := t.forward(x); err != nil {
		return 0, err
	}
	loss, seeds := 0.0, map[string]*array[T]{}
	for _, n := range norms {
		v, want, wide := t.values[n.Inputs[0]], t.value(n.Inputs[3]), t.value(n.Inputs[4])
		if v == nil || len(v.shape) != 4 || want == nil || wide == nil {
			continue
		}
		c := v.shape[1]
		count := float64(len(v.v) / c)
		mean, square := make([]float64, c), make([]float64, c)
		for i, u := range v.v {
			mean[i%c] += float64(u)
			square[i%c] += float64(u) * float64(u)
		}
		shift, slope := make([]float64, c), make([]float64, c) // of the gradient: shift + slope (x - mean)
		for ch := range c {
			mean[ch] /= count
			s := math.Sqrt(math.Max(float64(wide.v[ch]), 1e-10))
			got := math.Sqrt(math.Max(square[ch]/count-mean[ch]*mean[ch], 1e-20))
			dm, ds := (mean[ch]-float64(want.v[ch]))/s, got/s-1
			loss += (dm*dm + ds*ds) / float64(c*len(norms))
			k := 2 / (count * float64(c*len(norms)))
			shift[ch], slope[ch] = k*dm/s, k*ds/(s*math.Max(got, 1e-6*s))
		}
		d := t.array(v.shape...)
		for i, u := range v.v {
			ch := i % c
			d.v[i] = T(shift[ch] + slope[ch]*(float64(u)-mean[ch]))
		}
		if old := seeds[n.Inputs[0]]; old != nil { // two normalisations of one value
			for i := range d.v {
				d.v[i] += old.v[i]
			}
		}
		seeds[n.Inputs[0]] = d
	}
	return loss, t.backward(seeds)
}
