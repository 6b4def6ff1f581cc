package train

import (
	"context"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
)

// geometry of a two-dimensional convolution or pool.
type geometry struct {
	n, c, h, w, m, oh, ow int
	kh, kw, sh, sw        int
	pt, pl                int
	group                 int
}

func geometryOf(n *model.Node, x []int, kh, kw, m int) (geometry, error) {
	if len(x) != 4 {
		return geometry{}, fail.New(fail.Unsupported, "training knows pictures [N, C, H, W], not shape %v", x)
	}
	g := geometry{n: x[0], c: x[1], h: x[2], w: x[3], m: m, kh: kh, kw: kw, sh: 1, sw: 1, group: int(n.Int("group", 1))}
	if s := n.Ints("strides"); len(s) == 2 {
		g.sh, g.sw = int(s[0]), int(s[1])
	}
	for _, d := range n.Ints("dilations") {
		if d != 1 {
			return g, fail.New(fail.Unsupported, "training knows no dilation")
		}
	}
	if a := n.Str("auto_pad", "NOTSET"); a != "NOTSET" {
		return g, fail.New(fail.Unsupported, "training knows no auto_pad %s", a)
	}
	var pb, pr int
	if p := n.Ints("pads"); len(p) == 4 {
		g.pt, g.pl, pb, pr = int(p[0]), int(p[1]), int(p[2]), int(p[3])
	}
	g.oh, g.ow = (g.h+g.pt+pb-kh)/g.sh+1, (g.w+g.pl+pr-kw)/g.sw+1
	if g.oh < 1 || g.ow < 1 || g.c%g.group != 0 || g.m%g.group != 0 {
		return g, fail.New(fail.Invalid, "shape %v does not fit the %dx%d window", x, kh, kw)
	}
	return g, nil
}

// span gives the output columns x with 0 <= x*s + k - p < w.
func span(k, p, s, w, ow int) (int, int) {
	lo := 0
	if k < p {
		lo = (p - k + s - 1) / s
	}
	hi := ow
	if last := w - 1 - k + p; last < 0 {
		hi = 0
	} else {
		hi = min(ow, last/s+1)
	}
	return lo, max(lo, hi)
}

// each calls f for every (picture in [from, to), output channel, input channel, kernel position) with the rows that meet: out row offset,
// in row offset, first and end output column. All three passes of a convolution are this loop with another body.
func (g geometry) each(from, to int, f func(m, wi, outRow, inRow, lo, hi int)) {
	cg, mg := g.c/g.group, g.m/g.group
	for img := from; img < to; img++ {
		for m := range g.m {
			for ci := range cg {
				c := m/mg*cg + ci
				for ky := range g.kh {
					for kx := range g.kw {
						wi := ((m*cg+ci)*g.kh+ky)*g.kw + kx
						lo, hi := span(kx, g.pl, g.sw, g.w, g.ow)
						for oy := range g.oh {
							iy := oy*g.sh + ky - g.pt
							if iy < 0 || iy >= g.h {
								continue
							}
							f(m, wi, ((img*g.m+m)*g.oh+oy)*g.ow, ((img*g.c+c)*g.h+iy)*g.w+kx-g.pl, lo, hi)
						}
					}
				}
			}
		}
	}
}

// parts is how many shares a batch is cut into; fixed, so that sums do not depend on the number of processors.
const parts = 4

// shared runs f over the shares of the batch at the same time.
func (g geometry) shared(f func(part, from, to int)) error {
	t := task.NewGroup(context.Background())
	size := (g.n + parts - 1) / parts
	for p := range parts {
		from, to := min(g.n, p*size), min(g.n, (p+1)*size)
		if from < to {
			t.Go("convolution", func(context.Context) error { f(p, from, to); return nil })
		}
	}
	return t.Wait()
}

func convForward[T float](_ *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	x, w := in[0], in[1]
	if len(w.shape) != 4 {
		return nil, nil, fail.New(fail.Unsupported, "training knows two-dimensional convolutions, not weights %v", w.shape)
	}
	g, err := geometryOf(n, x.shape, w.shape[2], w.shape[3], w.shape[0])
	if err != nil {
		return nil, nil, err
	}
	y := newArray[T](g.n, g.m, g.oh, g.ow)
	if len(in) > 2 && in[2] != nil {
		size := g.oh * g.ow
		for i := range g.n * g.m {
			b := in[2].v[i%g.m]
			for k := range size {
				y.v[i*size+k] = b
			}
		}
	}
	err = g.shared(func(_, from, to int) {
		g.each(from, to, func(_, wi, o, i, lo, hi int) {
			k := w.v[wi]
			if g.sw == 1 {
				out, row := y.v[o+lo:o+hi], x.v[i+lo:i+hi]
				for j := range out {
					out[j] += k * row[j]
				}
				return
			}
			for j := lo; j < hi; j++ {
				y.v[o+j] += k * x.v[i+j*g.sw]
			}
		})
	})
	return y, g, err
}

func convBackward[T float](_ *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) []*array[T] {
	g := saved.(geometry)
	x, w := in[0], in[1]
	dx, dw := like(x), like(w)
	var share [parts][]T
	err := g.shared(func(part, from, to int) {
		sums := make([]T, len(dw.v))
		share[part] = sums
		g.each(from, to, func(_, wi, o, i, lo, hi int) {
			k := w.v[wi]
			var sum T
			if g.sw == 1 {
				grad, row, drow := dy.v[o+lo:o+hi], x.v[i+lo:i+hi], dx.v[i+lo:i+hi]
				for j, d := range grad {
					sum += d * row[j]
					drow[j] += k * d
				}
			} else {
				for j := lo; j < hi; j++ {
					d := dy.v[o+j]
					sum += d * x.v[i+j*g.sw]
					dx.v[i+j*g.sw] += k * d
				}
			}
			sums[wi] += sum
		})
	})
	if err != nil {
		panic(err) // a bug that a goroutine of its own has caught; it must not pass for a gradient
	}
	for _, sums := range share {
		for i, v := range sums {
			dw.v[i] += v
		}
	}
	out := []*array[T]{dx, dw}
	if len(in) > 2 && in[2] != nil {
		db := like(in[2])
		size := g.oh * g.ow
		for i := range g.n * g.m {
			var sum T
			for _, d := range dy.v[i*size : (i+1)*size] {
				sum += d
			}
			db.v[i%g.m] += sum
		}
		out = append(out, db)
	}
	return out
}
