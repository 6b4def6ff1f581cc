package train

import (
	"slices"

	"fettle/internal/fail"
	"fettle/model"
)

// joined is Concat: channels of pictures are joined row by row, other dimensions by the general rule.
func joined[T float](general rule[T]) rule[T] {
	channels := func(n *model.Node, in []*array[T]) bool {
		a := n.Int("axis", 1)
		return len(in[0].shape) == 4 && (a == 1 || a == -3)
	}
	return rule[T]{many: &manyRule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) ([]*array[T], any, error) {
			if slices.Contains(in, nil) {
				return nil, nil, fail.New(fail.Unsupported, "training knows Concat of float32 values only")
			}
			if !channels(n, in) {
				return general.many.forward(t, n, in)
			}
			y, saved, err := concatForward(t, n, in)
			return []*array[T]{y}, saved, err
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], saved any, dys []*array[T]) ([]*array[T], error) {
			if saved != nil {
				return general.many.backward(t, n, in, saved, dys)
			}
			return concatBackward(t, n, in, nil, dys[0])
		},
	}}
}

// flat is Reshape or Flatten: to [N, rest] without a table, else by the general rule.
func flat[T float](general rule[T]) rule[T] {
	return rule[T]{many: &manyRule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) ([]*array[T], any, error) {
			x := in[0]
			to := t.consts[inputOf(n, 1)]
			if n.Op == "Flatten" && n.Int("axis", 1) == 1 || to != nil && to.Len() == 2 && to.Int64At(0) <= 1 && (to.Int64At(1) == -1 || int(to.Int64At(1)) == len(x.v)/x.shape[0]) {
				y := t.array(x.shape[0], len(x.v)/x.shape[0])
				toPlanes(y.v, x.v, x.shape)
				return []*array[T]{y}, nil, nil
			}
			return general.many.forward(t, n, in)
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], saved any, dys []*array[T]) ([]*array[T], error) {
			if saved != nil {
				return general.many.backward(t, n, in, saved, dys)
			}
			dx := t.array(in[0].shape...)
			toPixels(dx.v, dys[0].v, in[0].shape)
			return []*array[T]{dx}, nil
		},
	}}
}

// concatForward joins channels.
func concatForward[T float](t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	if a := n.Int("axis", 1); len(in[0].shape) != 4 || a != 1 && a != -3 {
		return nil, nil, fail.New(fail.Unsupported, "training knows Concat of channels of pictures only")
	}
	shape := slices.Clone(in[0].shape)
	shape[1] = 0
	for _, x := range in {
		if x == nil || len(x.shape) != 4 || x.shape[2] != shape[2] || x.shape[3] != shape[3] {
			return nil, nil, fail.New(fail.Unsupported, "training knows Concat of values of one height and width only")
		}
		shape[1] += x.shape[1]
	}
	y := t.array(shape...)
	at := 0
	for _, x := range in {
		c := x.shape[1]
		for p := range len(x.v) / c {
			copy(y.v[p*shape[1]+at:][:c], x.v[p*c:])
		}
		at += c
	}
	return y, nil, nil
}

func concatBackward[T float](t *tape[T], _ *model.Node, in []*array[T], _ any, dy *array[T]) ([]*array[T], error) {
	var out []*array[T]
	at := 0
	for _, x := range in {
		c, dx := x.shape[1], t.array(x.shape...)
		for p := range len(x.v) / c {
			copy(dx.v[p*c:][:c], dy.v[p*dy.shape[1]+at:])
		}
		at += c
		out = append(out, dx)
	}
	return out, nil
}
