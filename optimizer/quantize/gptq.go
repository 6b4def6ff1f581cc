package quantize

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// factor is a Hessian made ready for rounding: with H = R·Rᵀ and R upper triangular the error of a row of weights is
// |Rᵀ·d|², d = w - rounded, and the choices of earlier columns can be made up for by later ones.
//
//	h [k, k] float64, symmetric, damped    t = Rᵀ in the given order of columns, lower triangular
//
// Source: Frantar et al. 2023, arXiv:2210.17323 (GPTQ). Their factor of the inverse of H is the inverse of R; taking R from H
// reversed needs no inverse.
type factor struct {
	k     int
	h     []float64
	t     []float64
	order []int // column of the weights at each place
}

// newFactor factors h with its columns in order. It is nil where h is not positive definite.
func newFactor(h []float64, k int, order []int) *factor {
	f := &factor{k: k, order: order, h: make([]float64, k*k), t: make([]float64, k*k)}
	back := mat.NewSymDense(k, nil)
	for i := range k {
		for j := range k {
			v := h[order[i]*k+order[j]]
			f.h[i*k+j] = v
			if i <= j {
				back.SetSym(k-1-i, k-1-j, v)
			}
		}
	}
	var c mat.Cholesky
	if !c.Factorize(back) {
		return nil
	}
	u := c.RawU()
	for i := range k {
		for j := range i + 1 {
			f.t[i*k+j] = u.At(k-1-i, k-1-j)
		}
	}
	return f
}

// damped is h with share of its mean diagonal added to the diagonal.
func damped(h []float64, k int, share float64) []float64 {
	out := append([]float64(nil), h...)
	mean := 0.0
	for i := range k {
		mean += h[i*k+i] / float64(k)
	}
	if mean == 0 {
		mean = 1
	}
	for i := range k {
		out[i*k+i] += share * mean
	}
	return out
}

// steps are the numbers that a row may take: s·q with q from lo to hi.
type steps struct {
	s      []float64 // of each place
	lo, hi float64
}

// round chooses q one place after another: each makes up for the errors of those before it. It gives up with +Inf once the
// error is above limit. d is w - s·q.
func (f *factor) round(w []float64, st steps, q, d []float64, limit float64) float64 {
	k, loss := f.k, 0.0
	for i := range k {
		row := f.t[i*k:]
		e := floats.Dot(row[:i], d[:i]) / row[i]
		v := math.RoundToEven((w[i] + e) / st.s[i])
		q[i] = min(max(v, st.lo), st.hi)
		d[i] = w[i] - q[i]*st.s[i]
		r := (d[i] + e) * row[i]
		if loss += r * r; loss > limit {
			return math.Inf(1)
		}
	}
	return loss
}

// loss is dᵀ·H·d.
func (f *factor) loss(d []float64) float64 {
	sum := 0.0
	for i := range f.k {
		row := f.t[i*f.k:]
		r := floats.Dot(row[:i+1], d[:i+1])
		sum += r * r
	}
	return sum
}

// polish moves single numbers by whole steps as long as that makes the error smaller. It changes q and d.
func (f *factor) polish(st steps, q, d []float64, sweeps int) {
	k := f.k
	g := make([]float64, k)
	for i := range k {
		g[i] = floats.Dot(f.h[i*k:][:k], d)
	}
	for range sweeps {
		moved := false
		for i := range k {
			s := st.s[i]
			to := q[i] + math.RoundToEven(g[i]/(f.h[i*k+i]*s))
			to = min(max(to, st.lo), st.hi)
			step := (q[i] - to) * s // of d
			if step == 0 || step*(2*g[i]+step*f.h[i*k+i]) >= 0 {
				continue
			}
			q[i], d[i], moved = to, d[i]+step, true
			floats.AddScaled(g, step, f.h[i*k:][:k])
		}
		if !moved {
			return
		}
	}
}

// rescale gives the scale with which q comes closest to w, 0 where there is none.
func (f *factor) rescale(w, q []float64) float64 {
	k, above, below := f.k, 0.0, 0.0
	for i := range k {
		hq := floats.Dot(f.h[i*k:][:k], q)
		above += w[i] * hq
		below += q[i] * hq
	}
	if !(below > 0) || !(above > 0) {
		return 0
	}
	return above / below
}

// row is how the weights of one output channel are stored.
type row struct {
	q     []int8    // in the order of the weights
	scale float64   // of the whole row; of no meaning where scales are fixed
	zero  int       // q - zero counts steps
	loss  float64   // dᵀ·H·d
	d     []float64 // w - dequantized, in the order of the weights
}

// choice are the grids that a row may choose from.
type choice struct {
	lo, hi int
	scale  float64   // of the row, where it is not free
	fixed  []float64 // scale of each column, nil: one of the row
	free   bool      // the scale may be smaller than what holds the largest weight, and the zero may move
	shifts []int     // zeros to try
}

// shrink are the parts of the full scale that are tried.
var shrink = []float64{1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55}

// best rounds a row in every way that c allows and keeps the one with the least error. orders share the same Hessian.
func (c choice) best(orders []*factor, w []float64) row {
	k := len(w)
	best := row{loss: math.Inf(1)}
	var from *factor
	q, d, pw, bq := make([]float64, k), make([]float64, k), make([]float64, k), make([]float64, k)
	for _, f := range orders {
		for i, col := range f.order {
			pw[i] = w[col]
		}
		for _, zero := range c.zeros() {
			full := c.full(w, zero)
			for _, part := range c.parts() {
				scale := float64(float32(full * part))
				st := c.steps(f, zero, scale)
				if l := f.round(pw, st, q, d, best.loss); l < best.loss {
					best.loss, best.zero, best.scale, from = l, zero, scale, f
					copy(bq, q)
				}
			}
		}
	}
	for i, col := range from.order {
		pw[i] = w[col]
	}
	return c.finish(from, pw, bq, best)
}

// finish polishes the integers and, where scales are free, the scale in turns.
func (c choice) finish(f *factor, pw, q []float64, best row) row {
	st := c.steps(f, best.zero, best.scale)
	d := make([]float64, len(q))
	set := func(scale float64) {
		for i := range q {
			if c.fixed == nil {
				st.s[i] = scale
			}
			d[i] = pw[i] - q[i]*st.s[i]
		}
	}
	set(best.scale)
	rounds := 1
	if c.free && c.fixed == nil {
		rounds = 4
	}
	for r := range rounds {
		f.polish(st, q, d, 8)
		if r+1 < rounds {
			s := float64(float32(f.rescale(pw, q)))
			if s == 0 || s < best.scale/2 || s > best.scale*2 {
				break
			}
			best.scale = s
			set(s)
		}
	}
	best.loss = f.loss(d)
	best.q, best.d = make([]int8, len(q)), make([]float64, len(q))
	for i, col := range f.order {
		best.q[col], best.d[col] = int8(q[i])+int8(best.zero), d[i]
	}
	return best
}

func (c choice) zeros() []int {
	if c.free && c.fixed == nil && len(c.shifts) > 0 {
		return c.shifts
	}
	return []int{0}
}

func (c choice) parts() []float64 {
	if c.free && c.fixed == nil {
		return shrink
	}
	return []float64{1}
}

// full is the scale that holds the largest weight.
func (c choice) full(w []float64, zero int) float64 {
	if !c.free || c.fixed != nil {
		return c.scale
	}
	s := 0.0
	for _, x := range w {
		if x > 0 {
			s = math.Max(s, x/float64(c.hi-zero))
		} else {
			s = math.Max(s, x/float64(c.lo-zero))
		}
	}
	if s < 1e-30 {
		return 1
	}
	return s
}

// steps are the numbers for the places of f.
func (c choice) steps(f *factor, zero int, scale float64) steps {
	st := steps{s: make([]float64, f.k), lo: float64(c.lo - zero), hi: float64(c.hi - zero)}
	for i, col := range f.order {
		if c.fixed != nil {
			st.s[i] = c.fixed[col]
		} else {
			st.s[i] = scale
		}
	}
	return st
}
