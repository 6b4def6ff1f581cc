package train

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// cell is what a recurrent operator does at one step for one item, and its derivative.
type cell struct {
	gates, states int // parts of the weights; values that go from step to step
	// forward gets x·Wᵀ + bias and h·Rᵀ + bias of all gates and the states; it gives the new states, and keeps in keep what back needs.
	forward func(px, ph, state, next, keep []float64, linear bool)
	// back gets the derivatives of the new states and gives those of the products and of the states.
	back func(keep, state, dnext, dpx, dph, dstate []float64, linear bool)
	keep int // numbers of keep for each hidden one
}

// lstm is LSTM with its usual activations: gates i, o, f, c; states h, c.
func lstm() cell {
	return cell{gates: 4, states: 2, keep: 5,
		forward: func(px, ph, s, next, keep []float64, _ bool) {
			h := len(s) / 2
			for k := range h {
				i, o, f, c := sigmoid(px[k]+ph[k]), sigmoid(px[h+k]+ph[h+k]), sigmoid(px[2*h+k]+ph[2*h+k]), math.Tanh(px[3*h+k]+ph[3*h+k])
				next[h+k] = f*s[h+k] + i*c
				th := math.Tanh(next[h+k])
				next[k] = o * th
				copy(keep[5*k:], []float64{i, o, f, c, th})
			}
		},
		back: func(keep, s, dn, dpx, dph, ds []float64, _ bool) {
			h := len(s) / 2
			for k := range h {
				i, o, f, c, th := keep[5*k], keep[5*k+1], keep[5*k+2], keep[5*k+3], keep[5*k+4]
				dc := dn[h+k] + dn[k]*o*(1-th*th)
				for g, d := range []float64{dc * c * i * (1 - i), dn[k] * th * o * (1 - o), dc * s[h+k] * f * (1 - f), dc * i * (1 - c*c)} {
					dpx[g*h+k], dph[g*h+k] = d, d
				}
				ds[h+k] = dc * f
			}
		}}
}

// gru is GRU with its usual activations: gates z, r, h. linear: the reset acts behind the product, which is simple here; before it the
// product of the last gate depends on the reset, so recurrent runs that product itself.
func gru() cell {
	return cell{gates: 3, states: 1, keep: 4,
		forward: func(px, ph, s, next, keep []float64, linear bool) {
			h := len(s)
			for k := range h {
				z, r := sigmoid(px[k]+ph[k]), sigmoid(px[h+k]+ph[h+k])
				scale := 1.0
				if linear {
					scale = r
				}
				n := math.Tanh(px[2*h+k] + scale*ph[2*h+k])
				next[k] = (1-z)*n + z*s[k]
				copy(keep[4*k:], []float64{z, r, n, ph[2*h+k]})
			}
		},
		back: func(keep, s, dn, dpx, dph, ds []float64, linear bool) {
			h := len(s)
			for k := range h {
				z, r, n, p := keep[4*k], keep[4*k+1], keep[4*k+2], keep[4*k+3]
				dnew := dn[k] * (1 - z) * (1 - n*n)
				dz := dn[k] * (s[k] - n) * z * (1 - z)
				dpx[k], dph[k] = dz, dz
				dpx[2*h+k], dph[2*h+k] = dnew, dnew
				dpx[h+k], dph[h+k] = 0, 0
				if linear {
					dr := dnew * p * r * (1 - r)
					dpx[h+k], dph[h+k], dph[2*h+k] = dr, dr, dnew*r
				}
				ds[k] = dn[k] * z
			}
		}}
}

// strip is one direction of a run: what each step of each item kept.
type strip struct {
	states, keeps, resets [][]float64 // states before each step, and after the last; by step and item
}

// recurrentRule is LSTM or GRU: sequences [steps, batch, inputs].
func recurrentRule[T float](c cell) rule[T] {
	linearOf := func(n *model.Node) bool { return c.gates == 4 || n.Int("linear_before_reset", 0) == 1 }
	return rule[T]{many: &manyRule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) ([]*array[T], any, error) {
			if err := usual(n, in, c); err != nil {
				return nil, nil, err
			}
			x := in[0]
			seq, batch, dirs, h := x.shape[0], x.shape[1], in[1].shape[0], in[2].shape[2]
			ys := []*array[T]{t.zeros(seq, dirs, batch, h)}
			for range c.states {
				ys = append(ys, t.array(dirs, batch, h))
			}
			out := t.take(len(ys[0].v))
			var all []strip
			for d := range dirs {
				r := newRunner(c, n, in, d, linearOf(n))
				s := strip{}
				for b := range batch {
					state := make([]float64, c.states*h)
					for k := range c.states {
						if init := inputAt(in, 5+k); init != nil {
							for i, v := range init.v[(d*batch+b)*h:][:h] {
								state[k*h+i] = float64(v)
							}
						}
					}
					s.states = append(s.states, state)
				}
				for step := range seq {
					at := r.time(step, seq)
					for b := range batch {
						next, keep, reset := r.forward(x.v[(at*batch+b)*r.inputs:][:r.inputs], s.states[step*batch+b])
						s.states, s.keeps, s.resets = append(s.states, next), append(s.keeps, keep), append(s.resets, reset)
						for i, v := range next[:h] {
							out[((at*dirs+d)*batch+b)*h+i] = T(v)
						}
					}
				}
				for b := range batch {
					for k := range c.states {
						for i, v := range s.states[seq*batch+b][k*h:][:h] {
							ys[1+k].v[(d*batch+b)*h+i] = T(v)
						}
					}
				}
				all = append(all, s)
			}
			ys[0] = t.back(out, ys[0].shape)
			return ys, all, nil
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], saved any, dys []*array[T]) ([]*array[T], error) {
			x := in[0]
			seq, batch, dirs, h := x.shape[0], x.shape[1], in[1].shape[0], in[2].shape[2]
			out := make([]*array[T], len(in))
			for i, v := range in {
				if v != nil {
					out[i] = t.zeros(v.shape...)
				}
			}
			var dy []T
			if dys[0] != nil {
				dy = t.planes(dys[0])
			}
			for d, s := range saved.([]strip) {
				r := newRunner(c, n, in, d, linearOf(n))
				g := newGradients(r)
				for b := range batch {
					ds := make([]float64, c.states*h)
					for k := range c.states {
						if k+1 < len(dys) && dys[1+k] != nil {
							for i, v := range dys[1+k].v[(d*batch+b)*h:][:h] {
								ds[k*h+i] += float64(v)
							}
						}
					}
					for step := seq - 1; step >= 0; step-- {
						at := r.time(step, seq)
						if dy != nil {
							for i, v := range dy[((at*dirs+d)*batch+b)*h:][:h] {
								ds[i] += float64(v)
							}
						}
						i := step*batch + b
						var dx []float64
						dx, ds = g.back(x.v[(at*batch+b)*r.inputs:][:r.inputs], s.states[i], s.keeps[i], s.resets[i], ds)
						for k, v := range dx {
							out[0].v[(at*batch+b)*r.inputs+k] += T(v)
						}
					}
					for k := range c.states {
						if o := inputAt(out, 5+k); o != nil {
							for i, v := range ds[k*h:][:h] {
								o.v[(d*batch+b)*h+i] += T(v)
							}
						}
					}
				}
				add := func(to *array[T], from []float64) {
					if to != nil {
						for i, v := range from {
							to.v[d*len(from)+i] += T(v)
						}
					}
				}
				add(out[1], g.w)
				add(out[2], g.r)
				add(inputAt(out, 3), g.b)
			}
			return out, nil
		},
	}}
}

func inputAt[T float](in []*array[T], i int) *array[T] {
	if i < len(in) {
		return in[i]
	}
	return nil
}

// usual refuses what the cells do not know.
func usual[T float](n *model.Node, in []*array[T], c cell) error {
	switch {
	case n.Attr("activations") != nil && !usualNames(n, c):
		return fail.New(fail.Unsupported, "training knows recurrent operators with their usual activations only")
	case n.Attr("clip") != nil || n.Int("input_forget", 0) != 0 || n.Int("layout", 0) != 0:
		return fail.New(fail.Unsupported, "training knows recurrent operators without clip, input_forget and layout only")
	case inputAt(in, 7) != nil || inputOf(n, 4) != "":
		return fail.New(fail.Unsupported, "training knows recurrent operators without peepholes and lengths of sequences only")
	case len(in[0].shape) != 3 || in[1] == nil || in[2] == nil:
		return fail.New(fail.Unsupported, "training knows sequences [steps, batch, inputs] only")
	}
	return nil
}

func usualNames(n *model.Node, c cell) bool {
	want := []string{"Sigmoid", "Tanh"}
	if c.gates == 4 {
		want = append(want, "Tanh")
	}
	for i, s := range n.Attr("activations").Strings {
		if string(s) != want[i%len(want)] {
			return false
		}
	}
	return true
}

// runner is one direction with its weights in float64.
type runner[T float] struct {
	cell
	w, r, bw, br    []float64
	inputs, h       int
	reverse, linear bool
}

func newRunner[T float](c cell, n *model.Node, in []*array[T], d int, linear bool) *runner[T] {
	h := in[2].shape[2]
	r := &runner[T]{cell: c, inputs: in[0].shape[2], h: h, linear: linear}
	r.reverse = n.Str("direction", "forward") == "reverse" || d == 1
	wide := func(v []T, n int) []float64 {
		out := make([]float64, n)
		for i, x := range v[d*n:][:n] {
			out[i] = float64(x)
		}
		return out
	}
	r.w, r.r = wide(in[1].v, c.gates*h*r.inputs), wide(in[2].v, c.gates*h*h)
	b := make([]float64, 2*c.gates*h)
	if v := inputAt(in, 3); v != nil {
		b = wide(v.v, len(b))
	}
	r.bw, r.br = b[:c.gates*h], b[c.gates*h:]
	return r
}

func (r *runner[T]) time(step, seq int) int {
	if r.reverse {
		return seq - 1 - step
	}
	return step
}

// early reports whether the reset gate acts before the product of the last gate.
func (r *runner[T]) early() bool { return r.gates == 3 && !r.linear }

func (r *runner[T]) forward(x []T, state []float64) (next, keep, reset []float64) {
	rows := r.gates * r.h
	px, ph := append([]float64(nil), r.bw...), append([]float64(nil), r.br...)
	for g := range rows {
		for k, v := range x {
			px[g] += r.w[g*r.inputs+k] * float64(v)
		}
	}
	hidden := state[:r.h]
	product := func(from, to int, h []float64) {
		for g := from; g < to; g++ {
			for k, v := range h {
				ph[g] += r.r[g*r.h+k] * v
			}
		}
	}
	if r.early() {
		product(0, 2*r.h, hidden)
		reset = make([]float64, r.h)
		for k := range reset {
			reset[k] = sigmoid(px[r.h+k] + ph[r.h+k])
		}
		scaled := make([]float64, r.h)
		for k := range scaled {
			scaled[k] = reset[k] * hidden[k]
		}
		product(2*r.h, rows, scaled)
	} else {
		product(0, rows, hidden)
	}
	next, keep = make([]float64, len(state)), make([]float64, r.keep*r.h)
	r.cell.forward(px, ph, state, next, keep, r.linear)
	return next, keep, reset
}

// gradients are those of one direction's weights.
type gradients[T float] struct {
	*runner[T]
	w, r, b []float64
}

func newGradients[T float](r *runner[T]) *gradients[T] {
	return &gradients[T]{r, make([]float64, len(r.w)), make([]float64, len(r.r)), make([]float64, 2*len(r.bw))}
}

// back goes one step back: it gives the derivatives of x and of the states before.
func (g *gradients[T]) back(x []T, state, keep, reset, dnext []float64) (dx, dstate []float64) {
	rows := g.gates * g.h
	dpx, dph := make([]float64, rows), make([]float64, rows)
	dx, dstate = make([]float64, g.inputs), make([]float64, len(state))
	g.cell.back(keep, state, dnext, dpx, dph, dstate, g.linear)
	hidden := state[:g.h]
	through := func(from, to int, h, dh []float64) {
		for q := from; q < to; q++ {
			for k, v := range h {
				g.r[q*g.h+k] += dph[q] * v
				dh[k] += dph[q] * g.runner.r[q*g.h+k]
			}
		}
	}
	if g.early() {
		scaled, dscaled := make([]float64, g.h), make([]float64, g.h)
		for k := range scaled {
			scaled[k] = reset[k] * hidden[k]
		}
		through(2*g.h, rows, scaled, dscaled)
		for k, d := range dscaled {
			dr := d * hidden[k] * reset[k] * (1 - reset[k])
			dpx[g.h+k], dph[g.h+k] = dr, dr
			dstate[k] += d * reset[k]
		}
		through(0, 2*g.h, hidden, dstate)
	} else {
		through(0, rows, hidden, dstate)
	}
	for q := range rows {
		g.b[q] += dpx[q]
		g.b[rows+q] += dph[q]
		for k, v := range x {
			g.w[q*g.inputs+k] += dpx[q] * float64(v)
			dx[k] += dpx[q] * g.runner.w[q*g.inputs+k]
		}
	}
	return dx, dstate
}
