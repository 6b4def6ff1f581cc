package train

import (
	"context"
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// Saliency is how much the answers of a model depend on inner channels and on weights.
type Saliency struct {
	Values  map[string][]float64 // by value: of each channel, the mean over items of (sum of value times gradient)²
	Weights map[string][]float32 // by parameter: the sum over batches of the squared gradient of each weight
}

// Salient takes the gradients of the cross-entropy of m's own answers on items, no labels needed: of the largest output where there is one
// number a class, of half the squared output else. Normalisations keep their statistics.
//
// Source: Molchanov et al. 2017, arXiv:1611.06440; Theis et al. 2018, arXiv:1801.05787 (squared, an item at a time).
func Salient(ctx context.Context, m *model.Model, items [][]float32, shapes [][]int, values, weights []string) (*Saliency, error) {
	t, err := newTape[float32](m)
	if err != nil {
		return nil, err
	}
	t.frozen = true
	t.watch = map[string]*array[float32]{}
	for _, v := range values {
		t.watch[v] = nil
	}
	s := &Saliency{Values: map[string][]float64{}, Weights: map[string][]float32{}}
	const batch = 16
	for from := 0; from < len(items); from += batch {
		if err := ctx.Err(); err != nil {
			return nil, fail.From(err)
		}
		part := items[from:min(len(items), from+batch)]
		xs, err := t.batch(part, shapes)
		if err != nil {
			return nil, err
		}
		y, err := t.forward(xs...)
		if err != nil {
			return nil, err
		}
		dy := like(y)
		copy(dy.v, y.v)
		if len(y.shape) == 2 && y.shape[1] > 1 {
			labels := make([]int, len(part))
			for i := range labels {
				for c, v := range y.v[i*y.shape[1]:][:y.shape[1]] {
					if v > y.v[i*y.shape[1]+labels[i]] {
						labels[i] = c
					}
				}
			}
			if _, _, dy, err = crossEntropy(y, labels); err != nil {
				return nil, err
			}
		}
		if err := t.backward(map[string]*array[float32]{t.output: dy}); err != nil {
			return nil, err
		}
		for name, g := range t.watch {
			if v := t.values[name]; v != nil && g != nil {
				s.Values[name] = addSalient(s.Values[name], v, g)
			}
		}
		for _, name := range weights {
			p := t.byName[name]
			if p == nil || p.grad == nil {
				continue
			}
			if s.Weights[name] == nil {
				s.Weights[name] = make([]float32, len(p.grad.v))
			}
			for i, g := range p.grad.v {
				s.Weights[name][i] += g * g
			}
		}
	}
	for name, v := range s.Values {
		for i := range v {
			if v[i] /= float64(len(items)); math.IsNaN(v[i]) {
				return nil, fail.New(fail.Failed, "gradients at %s are no numbers", name)
			}
		}
	}
	return s, nil
}

// addSalient adds the square of the sum of value times gradient of each item and channel.
func addSalient(to []float64, v, g *array[float32]) []float64 {
	n, last := v.shape[0], len(v.shape)-1
	c := v.shape[last]
	if len(v.shape) == 4 { // pixels before channels
		c = v.shape[1]
	} else if len(v.shape) == 3 {
		return to // which dimension counts channels is not known here
	}
	if to == nil {
		to = make([]float64, c)
	}
	size := len(v.v) / n
	sums := make([]float64, c)
	for i := range n {
		clear(sums)
		for k, x := range v.v[i*size:][:size] {
			sums[k%c] += float64(x) * float64(g.v[i*size+k])
		}
		for ch, s := range sums {
			to[ch] += s * s
		}
	}
	return to
}
