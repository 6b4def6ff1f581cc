package train

import "math"

// How says how weights follow from gradients.
type How struct {
	Optimizer string  // adamw or sgd
	Decay     float64 // pull of weights towards zero
	Clip      float64 // largest norm of all gradients together; 0: none
	Average   float64 // share of the averaged weights that a step keeps; 0: the weights themselves count
}

// stepper moves the parameters of a tape.
type stepper[T float] struct {
	t             *tape[T]
	how           How
	n             int         // steps taken
	first, second [][]float64 // moments by parameter; second is that of adamw
	average       [][]float64 // nil without How.Average
}

func newStepper[T float](t *tape[T], how How) *stepper[T] {
	s := &stepper[T]{t: t, how: how}
	for _, p := range t.params {
		n := 0
		if p.learn {
			n = len(p.v.v)
		}
		s.first = append(s.first, make([]float64, n))
		if how.Optimizer != "sgd" {
			s.second = append(s.second, make([]float64, n))
		}
		if how.Average > 0 {
			a := make([]float64, n)
			for i := range a {
				a[i] = float64(p.v.v[i])
			}
			s.average = append(s.average, a)
		}
	}
	return s
}

// step takes one step; gradients are scaled down first where their norm is above the bound.
//
// Source of the bound: Pascanu et al. 2013, arXiv:1211.5063.
func (s *stepper[T]) step(grads [][]T, rate float64) {
	scale := 1.0
	if s.how.Clip > 0 {
		sum := 0.0
		for i, p := range s.t.params {
			if p.learn {
				for _, g := range grads[i] {
					sum += float64(g) * float64(g)
				}
			}
		}
		if norm := math.Sqrt(sum); norm > s.how.Clip {
			scale = s.how.Clip / norm
		}
	}
	s.n++
	for i, p := range s.t.params {
		if !p.learn {
			continue
		}
		d := 0.0
		if isMatrix(p.v.shape) {
			d = s.how.Decay
		}
		if s.how.Optimizer == "sgd" {
			s.momentum(i, p.v.v, grads[i], scale, d, rate)
		} else {
			s.adam(i, p.v.v, grads[i], scale, d, rate)
		}
		s.follow(i, p.v.v)
	}
}

// follow moves the averaged weights of a parameter; the first steps count more, so that the start is forgotten soon.
func (s *stepper[T]) follow(i int, v []T) {
	if s.average == nil {
		return
	}
	keep := math.Min(s.how.Average, float64(1+s.n)/float64(10+s.n))
	for k, x := range v {
		s.average[i][k] = keep*s.average[i][k] + (1-keep)*float64(x)
	}
}

// momentum is SGD: v = m*v + g + d*w; w -= rate*v (Sutskever et al. 2013).
func (s *stepper[T]) momentum(i int, w, grad []T, scale, decay, rate float64) {
	const m = 0.9
	for k, g := range grad {
		v := m*s.first[i][k] + scale*float64(g) + decay*float64(w[k])
		s.first[i][k] = v
		w[k] -= T(rate * v)
	}
}

// adam is AdamW with the usual constants: the decay acts on the weights themselves.
//
// Source: Kingma and Ba 2015, arXiv:1412.6980; Loshchilov and Hutter 2019, arXiv:1711.05101.
func (s *stepper[T]) adam(i int, w, grad []T, scale, decay, rate float64) {
	const b1, b2, eps = 0.9, 0.999, 1e-8
	c1, c2 := 1-math.Pow(b1, float64(s.n)), 1-math.Pow(b2, float64(s.n))
	first, second := s.first[i], s.second[i]
	for k, gk := range grad {
		g := scale * float64(gk)
		first[k] = b1*first[k] + (1-b1)*g
		second[k] = b2*second[k] + (1-b2)*g*g
		x := float64(w[k])
		w[k] = T(x - rate*(first[k]/c1/(math.Sqrt(second[k]/c2)+eps)+decay*x))
	}
}
