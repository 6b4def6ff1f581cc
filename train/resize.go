package train

import (
	"context"
	"math"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
)

// along says how an output place of one dimension mixes two input places: (1-w)*lo + w*hi.
type along struct {
	lo, hi []int
	w      []float64
}

// resizeAny is Resize or Upsample: nearest moves numbers, linear mixes neighbours of every dimension.
func resizeAny[T float](nearest rule[T]) rule[T] {
	return rule[T]{many: &manyRule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) ([]*array[T], any, error) {
			if n.Str("mode", "nearest") != "linear" {
				return nearest.many.forward(t, n, in)
			}
			dims, err := t.ramps(n, in[0].shape)
			if err != nil {
				return nil, nil, err
			}
			shape := make([]int, len(dims))
			for i, d := range dims {
				shape[i] = len(d.w)
			}
			y := t.zeros(shape...)
			mix(dims, in[0].shape, shape, func(out, at int, w float64) { y.v[out] += T(w) * in[0].v[at] })
			return []*array[T]{y}, dims, nil
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], saved any, dys []*array[T]) ([]*array[T], error) {
			dims, ok := saved.([]along)
			if !ok {
				return nearest.many.backward(t, n, in, saved, dys)
			}
			dx, out := t.zeros(in[0].shape...), make([]*array[T], len(in))
			mix(dims, in[0].shape, dys[0].shape, func(o, at int, w float64) { dx.v[at] += T(w) * dys[0].v[o] })
			out[0] = dx
			return out, nil
		},
	}}
}

// ramps asks the reference kernel where each place of an output stands in the input: it resizes, for every dimension, a value that
// counts along it.
func (t *tape[T]) ramps(n *model.Node, shape []int) ([]along, error) {
	if n.Int("antialias", 0) != 0 || n.Str("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize" {
		return nil, fail.New(fail.Unsupported, "training knows no antialias and no tf_crop_and_resize")
	}
	e := &ops.Evaluator{Model: t.m}
	var dims []along
	for axis := range shape {
		_, length, inner := lines(shape, axis)
		x := model.NewTensor(model.Float32, shape...)
		for i := range x.Len() {
			model.Data[float32](x)[i] = float32(i / inner % length)
		}
		args := make([]*model.Tensor, len(n.Inputs))
		args[0] = x
		for i, name := range n.Inputs[1:] {
			if name != "" {
				if args[i+1] = t.consts[name]; args[i+1] == nil {
					return nil, fail.New(fail.Unsupported, "training knows a constant %s only", name)
				}
			}
		}
		out, err := e.Node(context.Background(), t.m, n, args, nil)
		if err != nil {
			return nil, err
		}
		_, long, step := lines(out[0].Shape, axis)
		var d along
		for k := range long {
			at := float64(model.Data[float32](out[0])[k*step])
			lo := min(int(math.Floor(at+1e-4)), length-1)
			d.lo, d.hi, d.w = append(d.lo, lo), append(d.hi, min(lo+1, length-1)), append(d.w, max(0, at-float64(lo)))
		}
		dims = append(dims, d)
	}
	return dims, nil
}

// mix calls f for every output place and input place that it takes part of, both in memory.
func mix(dims []along, in, out []int, f func(out, at int, w float64)) {
	src, dst := positions(in), positions(out)
	var walk func(axis, o, i int, w float64)
	walk = func(axis, o, i int, w float64) {
		if axis == len(dims) {
			f(dst(o), src(i), w)
			return
		}
		d := dims[axis]
		for k := range d.w {
			if d.w[k] < 1 {
				walk(axis+1, o*out[axis]+k, i*in[axis]+d.lo[k], w*(1-d.w[k]))
			}
			if d.w[k] > 0 {
				walk(axis+1, o*out[axis]+k, i*in[axis]+d.hi[k], w*d.w[k])
			}
		}
	}
	walk(0, 0, 0, 1)
}
