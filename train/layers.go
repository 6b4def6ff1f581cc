package train

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// normSaved is what BatchNormalization keeps: the normalised input and 1/sqrt(var+eps) of each channel.
type normSaved[T float] struct {
	hat *array[T]
	inv []float64
}

// normForward normalises each channel by the statistics of the batch and moves the running ones towards them
// (Ioffe and Szegedy 2015, arXiv:1502.03167). The running variance is the unbiased one, as exporters expect.
func normForward[T float](t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	x := in[0]
	if len(x.shape) != 4 {
		return nil, nil, fail.New(fail.Unsupported, "training knows pictures [N, C, H, W], not shape %v", x.shape)
	}
	batch, c, size := x.shape[0], x.shape[1], x.shape[2]*x.shape[3]
	eps := float64(n.Float("epsilon", 1e-5))
	const keep = 0.9
	y := like(x)
	s := normSaved[T]{like(x), make([]float64, c)}
	count := float64(batch * size)
	for ch := range c {
		var sum, sq float64
		for b := range batch {
			for _, v := range x.v[(b*c+ch)*size:][:size] {
				sum += float64(v)
			}
		}
		mean := sum / count
		for b := range batch {
			for _, v := range x.v[(b*c+ch)*size:][:size] {
				sq += (float64(v) - mean) * (float64(v) - mean)
			}
		}
		variance := sq / count
		s.inv[ch] = 1 / math.Sqrt(variance+eps)
		scale, shift := float64(in[1].v[ch]), float64(in[2].v[ch])
		for b := range batch {
			at := (b*c + ch) * size
			for i := at; i < at+size; i++ {
				h := (float64(x.v[i]) - mean) * s.inv[ch]
				s.hat.v[i] = T(h)
				y.v[i] = T(h*scale + shift)
			}
		}
		in[3].v[ch] = T(keep*float64(in[3].v[ch]) + (1-keep)*mean)
		in[4].v[ch] = T(keep*float64(in[4].v[ch]) + (1-keep)*sq/max(1, count-1))
	}
	return y, s, nil
}

func normBackward[T float](_ *tape[T], _ *model.Node, in []*array[T], saved any, dy *array[T]) []*array[T] {
	s := saved.(normSaved[T])
	x := in[0]
	batch, c, size := x.shape[0], x.shape[1], x.shape[2]*x.shape[3]
	dx, dscale, dshift := like(x), like(in[1]), like(in[2])
	count := float64(batch * size)
	for ch := range c {
		var sum, dot float64
		for b := range batch {
			at := (b*c + ch) * size
			for i := at; i < at+size; i++ {
				sum += float64(dy.v[i])
				dot += float64(dy.v[i]) * float64(s.hat.v[i])
			}
		}
		dscale.v[ch], dshift.v[ch] = T(dot), T(sum)
		k := float64(in[1].v[ch]) * s.inv[ch]
		for b := range batch {
			at := (b*c + ch) * size
			for i := at; i < at+size; i++ {
				dx.v[i] = T(k * (float64(dy.v[i]) - sum/count - float64(s.hat.v[i])*dot/count))
			}
		}
	}
	return []*array[T]{dx, dscale, dshift}
}

func reluForward[T float](_ *tape[T], _ *model.Node, in []*array[T]) (*array[T], any, error) {
	y := like(in[0])
	for i, v := range in[0].v {
		y.v[i] = max(v, 0)
	}
	return y, nil, nil
}

func reluBackward[T float](_ *tape[T], _ *model.Node, in []*array[T], _ any, dy *array[T]) []*array[T] {
	dx := like(dy)
	for i, v := range in[0].v {
		if v > 0 {
			dx.v[i] = dy.v[i]
		}
	}
	return []*array[T]{dx}
}

func addForward[T float](_ *tape[T], _ *model.Node, in []*array[T]) (*array[T], any, error) {
	if len(in[0].v) != len(in[1].v) {
		return nil, nil, fail.New(fail.Unsupported, "training knows no broadcast of %v and %v", in[0].shape, in[1].shape)
	}
	return plus(in[0], in[1]), nil, nil
}

func addBackward[T float](_ *tape[T], _ *model.Node, _ []*array[T], _ any, dy *array[T]) []*array[T] {
	return []*array[T]{dy, dy}
}

func maxPoolForward[T float](_ *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	k := n.Ints("kernel_shape")
	if len(k) != 2 {
		return nil, nil, fail.New(fail.Unsupported, "training knows two-dimensional pools, not a window %v", k)
	}
	if n.Int("ceil_mode", 0) != 0 {
		return nil, nil, fail.New(fail.Unsupported, "training knows no ceil_mode")
	}
	x := in[0]
	g, err := geometryOf(n, x.shape, int(k[0]), int(k[1]), 1)
	if err != nil {
		return nil, nil, err
	}
	y := newArray[T](g.n, g.c, g.oh, g.ow)
	from := make([]int, len(y.v)) // where each maximum came from
	for p := range g.n * g.c {
		for oy := range g.oh {
			for ox := range g.ow {
				best, at := T(math.Inf(-1)), -1
				for ky := range g.kh {
					for kx := range g.kw {
						iy, ix := oy*g.sh+ky-g.pt, ox*g.sw+kx-g.pl
						if iy < 0 || ix < 0 || iy >= g.h || ix >= g.w {
							continue
						}
						if i := (p*g.h+iy)*g.w + ix; at < 0 || x.v[i] > best {
							best, at = x.v[i], i
						}
					}
				}
				if at < 0 {
					return nil, nil, fail.New(fail.Invalid, "a pool window lies in the padding only")
				}
				o := (p*g.oh+oy)*g.ow + ox
				y.v[o], from[o] = best, at
			}
		}
	}
	return y, from, nil
}

func maxPoolBackward[T float](_ *tape[T], _ *model.Node, in []*array[T], saved any, dy *array[T]) []*array[T] {
	dx := like(in[0])
	for o, i := range saved.([]int) {
		dx.v[i] += dy.v[o]
	}
	return []*array[T]{dx}
}

func gapForward[T float](_ *tape[T], _ *model.Node, in []*array[T]) (*array[T], any, error) {
	x := in[0]
	if len(x.shape) != 4 {
		return nil, nil, fail.New(fail.Unsupported, "training knows pictures [N, C, H, W], not shape %v", x.shape)
	}
	size := x.shape[2] * x.shape[3]
	y := newArray[T](x.shape[0], x.shape[1], 1, 1)
	for p := range y.v {
		sum := 0.0
		for _, v := range x.v[p*size:][:size] {
			sum += float64(v)
		}
		y.v[p] = T(sum / float64(size))
	}
	return y, nil, nil
}

func gapBackward[T float](_ *tape[T], _ *model.Node, in []*array[T], _ any, dy *array[T]) []*array[T] {
	dx := like(in[0])
	size := len(dx.v) / len(dy.v)
	for p, d := range dy.v {
		for i := range size {
			dx.v[p*size+i] = d / T(size)
		}
	}
	return []*array[T]{dx}
}

func flattenForward[T float](_ *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	if n.Int("axis", 1) != 1 {
		return nil, nil, fail.New(fail.Unsupported, "training flattens from axis 1 only")
	}
	x := in[0]
	return &array[T]{[]int{x.shape[0], len(x.v) / x.shape[0]}, x.v}, nil, nil
}

func flattenBackward[T float](_ *tape[T], _ *model.Node, in []*array[T], _ any, dy *array[T]) []*array[T] {
	return []*array[T]{{in[0].shape, dy.v}}
}

// gemmForward is y = x·wᵀ + b: the form that classifiers have (transB = 1, alpha = beta = 1).
func gemmForward[T float](_ *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	if n.Int("transB", 0) != 1 || n.Int("transA", 0) != 0 || n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1 {
		return nil, nil, fail.New(fail.Unsupported, "training knows Gemm with transB = 1 and no factors")
	}
	x, w := in[0], in[1]
	rows, k, cols := x.shape[0], w.shape[1], w.shape[0]
	y := newArray[T](rows, cols)
	for r := range rows {
		for c := range cols {
			sum := 0.0
			for i, v := range x.v[r*k:][:k] {
				sum += float64(v) * float64(w.v[c*k+i])
			}
			if len(in) > 2 && in[2] != nil {
				sum += float64(in[2].v[c])
			}
			y.v[r*cols+c] = T(sum)
		}
	}
	return y, nil, nil
}

func gemmBackward[T float](_ *tape[T], _ *model.Node, in []*array[T], _ any, dy *array[T]) []*array[T] {
	x, w := in[0], in[1]
	rows, k, cols := x.shape[0], w.shape[1], w.shape[0]
	dx, dw := like(x), like(w)
	out := []*array[T]{dx, dw}
	var db *array[T]
	if len(in) > 2 && in[2] != nil {
		db = like(in[2])
		out = append(out, db)
	}
	for r := range rows {
		for c := range cols {
			d := dy.v[r*cols+c]
			if db != nil {
				db.v[c] += d
			}
			for i := range k {
				dx.v[r*k+i] += d * w.v[c*k+i]
				dw.v[c*k+i] += d * x.v[r*k+i]
			}
		}
	}
	return out
}
