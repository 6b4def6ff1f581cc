package train

import (
	"fettle/internal/fail"
	"fettle/model"
)

// transposedGeometry is that of the convolution whose gradient to the input a ConvTranspose is: from its output to its input.
func transposedGeometry(n *model.Node, x, w []int) (geometry, error) {
	if len(x) != 4 || len(w) != 4 || n.Str("auto_pad", "NOTSET") != "NOTSET" || len(n.Ints("output_shape")) > 0 {
		return geometry{}, fail.New(fail.Unsupported, "training knows ConvTranspose of pictures with pads only")
	}
	group := int(n.Int("group", 1))
	two := func(name string, d int) (int, int) {
		if l := n.Ints(name); len(l) == 2 {
			return int(l[0]), int(l[1])
		}
		return d, d
	}
	g := geometry{n: x[0], m: x[1], oh: x[2], ow: x[3], c: w[1] * group, kh: w[2], kw: w[3], group: group}
	g.sh, g.sw = two("strides", 1)
	g.dh, g.dw = two("dilations", 1)
	oph, opw := two("output_padding", 0)
	var pb, pr int
	if p := n.Ints("pads"); len(p) == 4 {
		g.pt, g.pl, pb, pr = int(p[0]), int(p[1]), int(p[2]), int(p[3])
	}
	g.h = g.sh*(g.oh-1) + oph + (g.kh-1)*g.dh + 1 - g.pt - pb
	g.w = g.sw*(g.ow-1) + opw + (g.kw-1)*g.dw + 1 - g.pl - pr
	if w[0] != x[1] || g.h < 1 || g.w < 1 || g.m%group != 0 {
		return g, fail.New(fail.Invalid, "shape %v does not fit the weights %v", x, w)
	}
	return g, nil
}

// eachProduct calls f for every product of a convolution: places of a number of its input, of its output, and of the weight.
func (g geometry) eachProduct(f func(x, y, w int)) {
	cg, mg, taps := g.c/g.group, g.m/g.group, g.kh*g.kw
	g.taps(0, g.n*g.oh*g.ow, func(row, tap, pixel int) {
		if pixel < 0 {
			return
		}
		for m := range g.m {
			for c := range cg {
				f(pixel*g.c+m/mg*cg+c, row*g.m+m, (m*cg+c)*taps+tap)
			}
		}
	})
}

func convTransposeForward[T float](t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	x, w := in[0], t.kernel(n, in[1])
	g, err := transposedGeometry(n, x.shape, w.shape)
	if err != nil {
		return nil, nil, err
	}
	y := t.zeros(g.n, g.c, g.h, g.w)
	t.macs += g.macs()
	if t.fast.fits(g) {
		t.fast.backward(n.ID, g, single(y.v), nil, nil, single(w.v), single(x.v))
	} else {
		g.eachProduct(func(at, from, k int) { y.v[at] += x.v[from] * w.v[k] })
	}
	if len(in) > 2 && in[2] != nil {
		for i := range y.v {
			y.v[i] += in[2].v[i%g.c]
		}
	}
	return y, g, nil
}

func convTransposeBackward[T float](t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	g := saved.(geometry)
	x, w := in[0], t.kernel(n, in[1])
	dx, dw := t.zeros(x.shape...), t.zeros(w.shape...)
	out := []*array[T]{dx, dw}
	t.macs += 2 * g.macs()
	if t.fast.fits(g) {
		t.fast.forward(n.ID, g, single(dx.v), single(dy.v), single(w.v), nil)
		t.fast.backward(n.ID, g, nil, single(dw.v), single(dy.v), single(w.v), single(x.v))
	} else {
		g.eachProduct(func(at, from, k int) {
			dx.v[from] += dy.v[at] * w.v[k]
			dw.v[k] += dy.v[at] * x.v[from]
		})
	}
	if len(in) > 2 && in[2] != nil {
		out = append(out, t.columns(dy, g.c))
	}
	out[1] = t.home(n, dw)
	return out, nil
}
