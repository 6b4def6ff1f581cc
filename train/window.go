package train

import (
	"slices"

	"fettle/internal/fail"
	"fettle/model"
)

// window says where the places of a smaller value stand in a larger one: Slice reads through it, Pad writes through it.
type window struct {
	start, step []int // of [N, C, H, W]
	pad         bool  // the output is the larger one
}

// each calls f with the places of the inner value and of the outer one that belong together.
func (w window) each(inner, outer []int, f func(i, o int)) {
	i := 0
	for n := range inner[0] {
		for y := range inner[2] {
			for x := range inner[3] {
				at := (((n*w.step[0]+w.start[0])*outer[2]+y*w.step[2]+w.start[2])*outer[3] + x*w.step[3] + w.start[3]) * outer[1]
				for c := range inner[1] {
					f(i, at+c*w.step[1]+w.start[1])
					i++
				}
			}
		}
	}
}

func sliceForward[T float](t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	x := in[0]
	w := window{start: []int{0, 0, 0, 0}, step: []int{1, 1, 1, 1}}
	starts, ends, axes, steps := t.consts[inputOf(n, 1)], t.consts[inputOf(n, 2)], t.consts[inputOf(n, 3)], t.consts[inputOf(n, 4)]
	if len(x.shape) != 4 || starts == nil || ends == nil || axes == nil || inputOf(n, 4) != "" && steps == nil {
		return nil, nil, fail.New(fail.Unsupported, "training knows Slice of pictures [N, C, H, W] with constant places only")
	}
	shape := slices.Clone(x.shape)
	for i := range axes.Len() {
		a := (int(axes.Int64At(i)) + 4) % 4
		size, step := int64(shape[a]), int64(1)
		if steps != nil {
			step = steps.Int64At(i)
		}
		from, to := starts.Int64At(i), ends.Int64At(i)
		if from < 0 {
			from += size
		}
		if to < 0 {
			to += size
		}
		from, to = min(max(from, 0), size), min(to, size)
		if step < 1 || from >= to || a == 0 {
			return nil, nil, fail.New(fail.Unsupported, "training knows Slice forwards, of other dimensions than the batch, only")
		}
		w.start[a], w.step[a], shape[a] = int(from), int(step), int((to-from+step-1)/step)
	}
	y := t.array(shape...)
	w.each(shape, x.shape, func(i, o int) { y.v[i] = x.v[o] })
	return y, w, nil
}

func padForward[T float](t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	x, pads := in[0], []int(nil)
	for _, p := range n.Ints("pads") {
		pads = append(pads, int(p))
	}
	if c := t.consts[inputOf(n, 1)]; c != nil {
		for i := range c.Len() {
			pads = append(pads, int(c.Int64At(i)))
		}
	}
	fill := T(n.Float("value", 0))
	if name := inputOf(n, 2); name != "" {
		c := t.consts[name]
		if c == nil {
			return nil, nil, fail.New(fail.Unsupported, "training knows Pad with a constant value only")
		}
		fill = T(c.Float64At(0))
	}
	if len(x.shape) != 4 || len(pads) != 8 || slices.Min(pads) < 0 || inputOf(n, 3) != "" || n.Str("mode", "constant") != "constant" {
		return nil, nil, fail.New(fail.Unsupported, "training knows Pad of pictures [N, C, H, W] with constants only")
	}
	w := window{start: pads[:4], step: []int{1, 1, 1, 1}, pad: true}
	shape := slices.Clone(x.shape)
	for i := range shape {
		shape[i] += pads[i] + pads[4+i]
	}
	y := t.array(shape...)
	for i := range y.v {
		y.v[i] = fill
	}
	w.each(x.shape, shape, func(i, o int) { y.v[o] = x.v[i] })
	return y, w, nil
}

// windowBackward is that of Slice and Pad.
func windowBackward[T float](t *tape[T], _ *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	w, dx := saved.(window), t.zeros(in[0].shape...)
	if w.pad {
		w.each(dx.shape, dy.shape, func(i, o int) { dx.v[i] = dy.v[o] })
	} else {
		w.each(dy.shape, dx.shape, func(i, o int) { dx.v[o] = dy.v[i] })
	}
	return []*array[T]{dx}, nil
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
