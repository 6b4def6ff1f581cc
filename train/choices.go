package train

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// Operators on whole numbers and truth values that come from the data: ids of words choose rows, masks choose numbers. They have no gradient
// themselves; what they choose has.

// judgements is the table of operators whose values are true or false.
func judgements() map[string]func(a, b float64) bool {
	return map[string]func(a, b float64) bool{
		"Equal":          func(a, b float64) bool { return a == b },
		"Greater":        func(a, b float64) bool { return a > b },
		"GreaterOrEqual": func(a, b float64) bool { return a >= b },
		"Less":           func(a, b float64) bool { return a < b },
		"LessOrEqual":    func(a, b float64) bool { return a <= b },
		"And":            func(a, b float64) bool { return a != 0 && b != 0 },
		"Or":             func(a, b float64) bool { return a != 0 || b != 0 },
		"Xor":            func(a, b float64) bool { return (a != 0) != (b != 0) },
	}
}

// judged is the rule of an operator of judgements.
func judged[T float](f func(a, b float64) bool) rule[T] {
	r := elementwise[T](pairing{f: func(a, b float64) float64 { return pick(f(a, b), 1, 0) }}, false)
	r.backward = without[T]
	return r
}

// without is the way back through what has no gradient.
func without[T float](_ *tape[T], _ *model.Node, in []*array[T], _ any, _ *array[T]) ([]*array[T], error) {
	return make([]*array[T], len(in)), nil
}

// not is the rule of Not.
func not[T float]() rule[T] {
	r := unary[T](func(*model.Node) curve { return curve{f: func(x float64) float64 { return pick(x == 0, 1, 0) }} })
	r.backward = without[T]
	return r
}

// cast is the rule of Cast: to floats numbers stay, to others they are cut off or judged, and nothing comes back.
func cast[T float]() rule[T] {
	plain := func(n *model.Node) bool {
		switch model.DType(n.Int("to", int64(model.Float32))) {
		case model.Float32, model.Float64, model.Float16, model.BFloat16:
			return true
		}
		return false
	}
	return rule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
			if plain(n) {
				return in[0], nil, nil
			}
			y := t.array(in[0].shape...)
			for i, v := range in[0].v {
				if y.v[i] = T(math.Trunc(float64(v))); model.DType(n.Int("to", 0)) == model.Bool {
					y.v[i] = T(pick(v != 0, 1, 0))
				}
			}
			return y, nil, nil
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], _ any, dy *array[T]) ([]*array[T], error) {
			if plain(n) {
				return []*array[T]{dy}, nil
			}
			return []*array[T]{nil}, nil
		},
	}
}

// chosen is what a Where on data keeps.
type chosen struct{ at [3][]int32 }

// where is Where with a condition from the data; others move numbers by the general rule.
func where[T float](general rule[T]) rule[T] {
	return rule[T]{many: &manyRule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) ([]*array[T], any, error) {
			if t.consts[n.Inputs[0]] != nil {
				return general.many.forward(t, n, in)
			}
			for i, x := range in {
				if x == nil {
					return nil, nil, fail.New(fail.Unsupported, "training knows no value of %q", n.Inputs[i])
				}
			}
			y := t.array(together(together(in[0].shape, in[1].shape), in[2].shape)...)
			var c chosen
			for k := range in {
				var err error
				if c.at[k], err = t.stretch(in[k].shape, y.shape); err != nil {
					return nil, nil, err
				}
			}
			for i := range y.v {
				from := in[2].v[place32(c.at[2], i)]
				if in[0].v[place32(c.at[0], i)] != 0 {
					from = in[1].v[place32(c.at[1], i)]
				}
				y.v[i] = from
			}
			return []*array[T]{y}, c, nil
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], saved any, dys []*array[T]) ([]*array[T], error) {
			c, ok := saved.(chosen)
			if !ok {
				return general.many.backward(t, n, in, saved, dys)
			}
			ds := []*array[T]{nil, t.zeros(in[1].shape...), t.zeros(in[2].shape...)}
			for i, d := range dys[0].v {
				k := 2
				if in[0].v[place32(c.at[0], i)] != 0 {
					k = 1
				}
				ds[k].v[place32(c.at[k], i)] += d
			}
			return ds, nil
		},
	}}
}

// picked says how Gather takes apart its data: slices of inner numbers, length of them along the axis, for each of outer.
type picked struct{ outer, length, inner int }

// gatherRows is Gather with indices from the data, as embeddings of words are; others move numbers by the general rule.
func gatherRows[T float](general rule[T]) rule[T] {
	index := func(v T, length int) (int, error) {
		i := int(v)
		if i < 0 {
			i += length
		}
		if i < 0 || i >= length {
			return 0, fail.New(fail.Invalid, "index %d is outside of %d rows", int(v), length)
		}
		return i, nil
	}
	return rule[T]{many: &manyRule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) ([]*array[T], any, error) {
			if t.consts[n.Inputs[1]] != nil {
				return general.many.forward(t, n, in)
			}
			x, ids := in[0], in[1]
			if x == nil || ids == nil || len(x.shape) == 4 || len(ids.shape) == 4 {
				return nil, nil, fail.New(fail.Unsupported, "training knows indices from data into values of float32 of at most three dimensions")
			}
			axis := (int(n.Int("axis", 0)) + len(x.shape)) % len(x.shape)
			p := picked{count(x.shape[:axis]), x.shape[axis], count(x.shape[axis+1:])}
			shape := append(append(append([]int{}, x.shape[:axis]...), ids.shape...), x.shape[axis+1:]...)
			y := t.take(count(shape))
			for o := range p.outer {
				for i, v := range ids.v {
					at, err := index(v, p.length)
					if err != nil {
						return nil, nil, err
					}
					copy(y[(o*len(ids.v)+i)*p.inner:][:p.inner], x.v[(o*p.length+at)*p.inner:])
				}
			}
			return []*array[T]{t.back(y, shape)}, p, nil
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], saved any, dys []*array[T]) ([]*array[T], error) {
			p, ok := saved.(picked)
			if !ok {
				return general.many.backward(t, n, in, saved, dys)
			}
			dx, ids, d := t.zeros(in[0].shape...), in[1], t.planes(dys[0])
			for o := range p.outer {
				for i, v := range ids.v {
					at, err := index(v, p.length)
					if err != nil {
						return nil, err
					}
					to := dx.v[(o*p.length+at)*p.inner:][:p.inner]
					for k, g := range d[(o*len(ids.v)+i)*p.inner:][:p.inner] {
						to[k] += g
					}
				}
			}
			return []*array[T]{dx, nil}, nil
		},
	}}
}
