package train

import "math"

// How says how weights follow from gradients.
type How struct {
	Optimizer string  // adamw or sgd
	Decay     float64 // pull of weights towards zero
	Clip      float64 // largest norm of all gradients together; 0: none
	Relative  bool    // the rate of adamw is in units of the size of each row of weights at the start, and of a tenth for other parameters
	Recompute Recompute
	Average   float64 // share of the averaged weights that a step keeps; 0: the weights themselves count
}

// stepper moves the parameters of a tape.
type stepper[T float] struct {
	t             *tape[T]
	how           How
	n             int         // steps taken
	first, second [][]float64 // moments by parameter; second is that of adamw
	average       [][]float64 // nil without How.Average
	sizes         [][]float64 // of the rows of each parameter, nil without How.Relative
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
		if how.Relative {
			s.sizes = append(s.sizes, t.rowSizes(p))
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
	size, each := 1.0, len(w)
	if s.sizes != nil {
		each = len(w) / len(s.sizes[i])
	}
	for k, gk := range grad {
		if s.sizes != nil && k%each == 0 {
			size = s.sizes[i][k/each]
		}
		g := scale * float64(gk)
		first[k] = b1*first[k] + (1-b1)*g
		second[k] = b2*second[k] + (1-b2)*g*g
		x := float64(w[k])
		w[k] = T(x - rate*(size*first[k]/c1/(math.Sqrt(second[k]/c2)+eps)+decay*x))
	}
}

// rowSizes are the root mean squares of the rows of a parameter: Adam moves every weight by about the rate, whatever its size, and where a
// normalisation is folded into a convolution the rows of neighbouring layers differ by a factor of thirty. A row counts at least as a
// tenth of the whole, so that rows of zeros can move.
//
// Source: Shazeer and Stern 2018, arXiv:1804.04235 (steps relative to the parameter).
func (t *tape[T]) rowSizes(p *param[T]) []float64 {
	if t.isStep(p) {
		sum := 0.0
		for _, x := range p.v.v {
			sum += math.Abs(float64(x))
		}
		return []float64{0.1 * sum / float64(len(p.v.v))}
	}
	if !isMatrix(p.v.shape) {
		return []float64{0.1}
	}
	rows := p.v.shape[0]
	if len(p.v.v)%rows != 0 || p.order {
		rows = 1
	}
	out, all := make([]float64, rows), 0.0
	each := len(p.v.v) / rows
	for r := range out {
		for _, x := range p.v.v[r*each : (r+1)*each] {
			out[r] += float64(x) * float64(x)
		}
		all += out[r]
	}
	all = math.Sqrt(all / float64(len(p.v.v)))
	for r := range out {
		out[r] = max(math.Sqrt(out[r]/float64(each)), 0.1*all, 1e-6)
	}
	return out
}

// isStep reports whether p is the step of a quantization: it moves slower than the numbers that it divides.
func (t *tape[T]) isStep(p *param[T]) bool {
	for _, a := range t.nodes {
		if (a.n.Op == "QuantizeLinear" || a.n.Op == "DequantizeLinear") && a.n.Inputs[1] == p.name {
			return true
		}
	}
	return false
}
