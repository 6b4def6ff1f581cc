package train

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// poolOf is the geometry of a pool over x.
func poolOf(n *model.Node, x []int) (geometry, error) {
	k := n.Ints("kernel_shape")
	if len(k) != 2 {
		return geometry{}, fail.New(fail.Unsupported, "training knows two-dimensional pools, not a window %v", k)
	}
	g, err := geometryOf(n, x, int(k[0]), int(k[1]), 1)
	if err != nil || n.Int("ceil_mode", 0) == 0 {
		return g, err
	}
	if n.Int("count_include_pad", 0) != 0 {
		return g, fail.New(fail.Unsupported, "training knows no ceil_mode with count_include_pad")
	}
	var pb, pr int
	if p := n.Ints("pads"); len(p) == 4 {
		pb, pr = int(p[2]), int(p[3])
	}
	up := func(size, before, after, window, stride int) int {
		o := (size+before+after-window+stride-1)/stride + 1
		if (o-1)*stride >= size+before { // a window must begin inside
			o--
		}
		return o
	}
	g.oh, g.ow = up(g.h, g.pt, pb, (g.kh-1)*g.dh+1, g.sh), up(g.w, g.pl, pr, (g.kw-1)*g.dw+1, g.sw)
	return g, nil
}

func maxPoolForward[T float](t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	x := in[0]
	g, err := poolOf(n, x.shape)
	if err != nil {
		return nil, nil, err
	}
	y := t.array(g.n, g.c, g.oh, g.ow)
	from := make([]int, len(y.v)) // where each maximum came from
	for i := range y.v {
		y.v[i], from[i] = T(math.Inf(-1)), -1
	}
	g.taps(0, g.n*g.oh*g.ow, func(row, _, pixel int) {
		if pixel < 0 {
			return
		}
		for c, v := range x.v[pixel*g.c:][:g.c] {
			if o := row*g.c + c; from[o] < 0 || v > y.v[o] {
				y.v[o], from[o] = v, pixel*g.c+c
			}
		}
	})
	for _, i := range from {
		if i < 0 {
			return nil, nil, fail.New(fail.Invalid, "a pool window lies in the padding only")
		}
	}
	return y, from, nil
}

func maxPoolBackward[T float](t *tape[T], _ *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	dx := t.zeros(in[0].shape...)
	for o, i := range saved.([]int) {
		dx.v[i] += dy.v[o]
	}
	return []*array[T]{dx}, nil
}

// avgSaved is a pool with the factor of each output position.
type avgSaved[T float] struct {
	g     geometry
	share []T
}

func avgPoolForward[T float](t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	x := in[0]
	g, err := poolOf(n, x.shape)
	if err != nil {
		return nil, nil, err
	}
	y := t.zeros(g.n, g.c, g.oh, g.ow)
	s := avgSaved[T]{g, make([]T, g.n*g.oh*g.ow)}
	g.taps(0, len(s.share), func(row, _, pixel int) {
		if pixel >= 0 || n.Int("count_include_pad", 0) != 0 {
			s.share[row]++
		}
		if pixel >= 0 {
			for c, v := range x.v[pixel*g.c:][:g.c] {
				y.v[row*g.c+c] += v
			}
		}
	})
	for row := range s.share {
		s.share[row] = 1 / s.share[row]
		for c := range g.c {
			y.v[row*g.c+c] *= s.share[row]
		}
	}
	return y, s, nil
}

func avgPoolBackward[T float](t *tape[T], _ *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	s := saved.(avgSaved[T])
	dx := t.zeros(in[0].shape...)
	s.g.taps(0, len(s.share), func(row, _, pixel int) {
		if pixel >= 0 {
			for c, d := range dy.v[row*s.g.c:][:s.g.c] {
				dx.v[pixel*s.g.c+c] += d * s.share[row]
			}
		}
	})
	return []*array[T]{dx}, nil
}

func gapForward[T float](t *tape[T], _ *model.Node, in []*array[T]) (*array[T], any, error) {
	x := in[0]
	if len(x.shape) != 4 {
		return nil, nil, fail.New(fail.Unsupported, "training knows pictures [N, C, H, W], not shape %v", x.shape)
	}
	c, size := x.shape[1], x.shape[2]*x.shape[3]
	y := t.array(x.shape[0], c, 1, 1)
	sums := make([]float64, c)
	for n := range x.shape[0] {
		clear(sums)
		for p := range size {
			for ch, v := range x.v[(n*size+p)*c:][:c] {
				sums[ch] += float64(v)
			}
		}
		for ch, v := range sums {
			y.v[n*c+ch] = T(v / float64(size))
		}
	}
	return y, nil, nil
}

func gapBackward[T float](t *tape[T], _ *model.Node, in []*array[T], _ any, dy *array[T]) ([]*array[T], error) {
	dx := t.array(in[0].shape...)
	c, size := in[0].shape[1], in[0].shape[2]*in[0].shape[3]
	for p := range len(dx.v) / c {
		for ch, d := range dy.v[p/size*c:][:c] {
			dx.v[p*c+ch] = d / T(size)
		}
	}
	return []*array[T]{dx}, nil
}

// globalMax is a maximum over all dimensions behind the channels.
func globalMax[T float]() rule[T] {
	r := extreme(func(a, b T) bool { return a > b })
	over := func(n *model.Node, rank int) *model.Node {
		axes := make([]int64, 0, rank)
		for a := 2; a < rank; a++ {
			axes = append(axes, int64(a))
		}
		return &model.Node{ID: n.ID, Op: "ReduceMax", Inputs: n.Inputs[:1], Outputs: n.Outputs, Attrs: []model.Attr{model.IntsAttr("axes", axes...)}}
	}
	return rule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
			return r.forward(t, over(n, len(in[0].shape)), in)
		},
		backward: r.backward,
	}
}
