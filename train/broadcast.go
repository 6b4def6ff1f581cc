package train

import (
	"fmt"
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// pairing is a function of two numbers and its derivatives to both.
type pairing struct {
	f      func(a, b float64) float64
	slopes func(a, b, y float64) (da, db float64)
}

// pairings is the table of element-wise operators of several values that are stretched to one shape; more than two are paired from the left.
func pairings() map[string]pairing {
	return map[string]pairing{
		"Add": {func(a, b float64) float64 { return a + b }, func(_, _, _ float64) (float64, float64) { return 1, 1 }},
		"Sum": {func(a, b float64) float64 { return a + b }, func(_, _, _ float64) (float64, float64) { return 1, 1 }},
		"Sub": {func(a, b float64) float64 { return a - b }, func(_, _, _ float64) (float64, float64) { return 1, -1 }},
		"Mul": {func(a, b float64) float64 { return a * b }, func(a, b, _ float64) (float64, float64) { return b, a }},
		"Div": {func(a, b float64) float64 { return a / b }, func(_, b, y float64) (float64, float64) { return 1 / b, -y / b }},
		"Max": {math.Max, func(a, b, _ float64) (float64, float64) { return pick(a >= b, 1, 0), pick(a >= b, 0, 1) }},
		"Min": {math.Min, func(a, b, _ float64) (float64, float64) { return pick(a <= b, 1, 0), pick(a <= b, 0, 1) }},
		"PRelu": {func(a, b float64) float64 { return max(a, 0) + b*min(a, 0) }, func(a, b, _ float64) (float64, float64) {
			return pick(a > 0, 1, b), min(a, 0)
		}},
		"Pow": {math.Pow, func(a, b, y float64) (float64, float64) {
			if a <= 0 { // the exponent is no variable there
				return b * math.Pow(a, b-1), 0
			}
			return b * math.Pow(a, b-1), y * math.Log(a)
		}},
	}
}

// stretch says which number of a value of shape from stands at each number of a value of shape to, in memory; nil: the same one.
func (t *tape[T]) stretch(from, to []int) ([]int32, error) {
	if fmt.Sprint(from) == fmt.Sprint(to) {
		return nil, nil
	}
	key := fmt.Sprint(from, to)
	if m := t.stretched[key]; m != nil {
		return m, nil
	}
	if len(from) > len(to) {
		return nil, fail.New(fail.Invalid, "shapes %v and %v do not meet", from, to)
	}
	strides := make([]int, len(to))
	for i, s := len(from)-1, 1; i >= 0; i-- {
		k := len(to) - len(from) + i
		if from[i] != 1 {
			if from[i] != to[k] {
				return nil, fail.New(fail.Invalid, "shapes %v and %v do not meet", from, to)
			}
			strides[k] = s
		}
		s *= from[i]
	}
	n := 1
	for _, d := range to {
		n *= d
	}
	m, src, dst := make([]int32, n), positions(from), positions(to)
	for i := range n {
		at := 0
		for k, r := len(to)-1, i; k >= 0; k-- {
			at += r % to[k] * strides[k]
			r /= to[k]
		}
		m[dst(i)] = int32(src(at))
	}
	t.stretched[key] = m
	return m, nil
}

// together is the shape that shapes stretch to.
func together(a, b []int) []int {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := append([]int(nil), a...)
	for i := range b {
		k := len(a) - len(b) + i
		if out[k] == 1 {
			out[k] = b[i]
		}
	}
	return out
}

// paired is what a pair keeps: the values and where their numbers stand.
type paired[T float] struct {
	a, b, y *array[T]
	ma, mb  []int32
}

// elementwise is the rule of an operator of pairings.
func elementwise[T float](p pairing, mean bool) rule[T] {
	pair := func(t *tape[T], a, b *array[T]) (paired[T], error) {
		s := paired[T]{a: a, b: b, y: t.array(together(a.shape, b.shape)...)}
		var err error
		if s.ma, err = t.stretch(a.shape, s.y.shape); err != nil {
			return s, err
		}
		if s.mb, err = t.stretch(b.shape, s.y.shape); err != nil {
			return s, err
		}
		t.spread(len(s.y.v), func(from, to int) {
			for i := from; i < to; i++ {
				s.y.v[i] = T(p.f(float64(a.v[place32(s.ma, i)]), float64(b.v[place32(s.mb, i)])))
			}
		})
		return s, nil
	}
	return rule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
			for i, x := range in {
				if x == nil {
					return nil, nil, fail.New(fail.Unsupported, "training knows no value of %q", n.Inputs[i])
				}
			}
			if len(in) == 2 && len(in[0].v) == len(in[1].v) && len(in[0].shape) == len(in[1].shape) && (n.Op == "Add" || n.Op == "Sum") {
				return t.plus(in[0], in[1]), nil, nil // the common case has its kernel
			}
			var chain []paired[T]
			y := in[0]
			for _, x := range in[1:] {
				s, err := pair(t, y, x)
				if err != nil {
					return nil, nil, err
				}
				chain, y = append(chain, s), s.y
			}
			if mean || len(in) == 1 {
				c := t.array(y.shape...)
				for i, v := range y.v {
					c.v[i] = v / T(len(in))
				}
				y = c
			}
			return y, chain, nil
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
			if saved == nil {
				return []*array[T]{dy, dy}, nil
			}
			if mean || len(in) == 1 {
				c := t.array(dy.shape...)
				for i, v := range dy.v {
					c.v[i] = v / T(len(in))
				}
				dy = c
			}
			chain := saved.([]paired[T])
			out := make([]*array[T], len(in))
			for k := len(chain) - 1; k >= 0; k-- {
				s := chain[k]
				da, db := t.zeros(s.a.shape...), t.zeros(s.b.shape...)
				for i, d := range dy.v {
					ia, ib := place32(s.ma, i), place32(s.mb, i)
					ga, gb := p.slopes(float64(s.a.v[ia]), float64(s.b.v[ib]), float64(s.y.v[i]))
					da.v[ia] += T(float64(d) * ga)
					db.v[ib] += T(float64(d) * gb)
				}
				out[k+1], dy = db, da
			}
			out[0] = dy
			return out, nil
		},
	}
}

func place32(m []int32, i int) int {
	if m == nil {
		return i
	}
	return int(m[i])
}
