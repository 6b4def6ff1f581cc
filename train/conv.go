package train

import (
	"fettle/internal/fail"
	"fettle/kernels/gemm"
	"fettle/model"
)

// geometry of a two-dimensional convolution or pool.
type geometry struct {
	n, c, h, w, m, oh, ow  int
	kh, kw, sh, sw, dh, dw int
	pt, pl                 int
	group                  int
}

func geometryOf(n *model.Node, x []int, kh, kw, m int) (geometry, error) {
	if len(x) != 4 {
		return geometry{}, fail.New(fail.Unsupported, "training knows pictures [N, C, H, W], not shape %v", x)
	}
	g := geometry{n: x[0], c: x[1], h: x[2], w: x[3], m: m, kh: kh, kw: kw, sh: 1, sw: 1, dh: 1, dw: 1, group: int(n.Int("group", 1))}
	if s := n.Ints("strides"); len(s) == 2 {
		g.sh, g.sw = int(s[0]), int(s[1])
	}
	if d := n.Ints("dilations"); len(d) == 2 {
		g.dh, g.dw = int(d[0]), int(d[1])
	}
	var pb, pr int
	switch auto := n.Str("auto_pad", "NOTSET"); auto {
	case "NOTSET", "VALID":
	case "SAME_UPPER", "SAME_LOWER":
		g.pt, pb = samePads(g.h, (kh-1)*g.dh+1, g.sh, auto == "SAME_LOWER")
		g.pl, pr = samePads(g.w, (kw-1)*g.dw+1, g.sw, auto == "SAME_LOWER")
	default:
		return g, fail.New(fail.Unsupported, "training knows no auto_pad %s", auto)
	}
	if p := n.Ints("pads"); len(p) == 4 && n.Str("auto_pad", "NOTSET") == "NOTSET" {
		g.pt, g.pl, pb, pr = int(p[0]), int(p[1]), int(p[2]), int(p[3])
	}
	g.oh, g.ow = (g.h+g.pt+pb-(kh-1)*g.dh-1)/g.sh+1, (g.w+g.pl+pr-(kw-1)*g.dw-1)/g.sw+1
	if g.oh < 1 || g.ow < 1 || g.c%g.group != 0 || g.m%g.group != 0 {
		return g, fail.New(fail.Invalid, "shape %v does not fit the %dx%d window", x, kh, kw)
	}
	return g, nil
}

// samePads is the padding before and behind that gives one output for each stride of the input; lower puts the odd one before.
func samePads(size, window, stride int, lower bool) (before, behind int) {
	total := max(((size+stride-1)/stride-1)*stride+window-size, 0)
	if lower {
		return total - total/2, total / 2
	}
	return total / 2, total - total/2
}

// macs is the number of multiply-adds of the convolution.
func (g geometry) macs() int64 {
	return int64(g.n*g.oh*g.ow) * int64(g.m*g.kh*g.kw) * int64(g.c/g.group)
}

// columns bounds the numbers of the rows that are gathered at once, so that they stay in the second-level cache.
const columns = 1 << 15

// tile is how many output positions are worked on at once.
func (g geometry) tile() int {
	return max(16, columns/(g.kh*g.kw*g.c/g.group))
}

// taps calls f for every tap of output positions from..to (over the batch): the place of the row, of the tap in it, and of the
// pixel in the input, or -1 in the padding.
func (g geometry) taps(from, to int, f func(row, tap, pixel int)) {
	for p := from; p < to; p++ {
		img, oy, ox := p/(g.oh*g.ow), p/g.ow%g.oh, p%g.ow
		for ky := range g.kh {
			iy := oy*g.sh + ky*g.dh - g.pt
			for kx := range g.kw {
				ix := ox*g.sw + kx*g.dw - g.pl
				at := -1
				if iy >= 0 && iy < g.h && ix >= 0 && ix < g.w {
					at = (img*g.h+iy)*g.w + ix
				}
				f(p-from, ky*g.kw+kx, at)
			}
		}
	}
}

// gather writes what output positions from..to of a group sum over, a row each: taps, then channels.
func gather[T float](g geometry, dst, x []T, from, to, group int) {
	cg := g.c / g.group
	width, run := g.kh*g.kw*cg, g.kw*cg
	whole := g.group == 1 && g.dw == 1
	img, oy, ox := from/(g.oh*g.ow), from/g.ow%g.oh, from%g.ow
	for ; from < to; from++ {
		row := dst[:width]
		dst = dst[width:]
		ix := ox*g.sw - g.pl
		inside := whole && ix >= 0 && ix+g.kw <= g.w
		for ky := range g.kh {
			iy := oy*g.sh + ky*g.dh - g.pt
			line := row[ky*run:][:run]
			switch {
			case iy < 0 || iy >= g.h:
				clear(line)
			case inside: // a run of pixels
				copy(line, x[((img*g.h+iy)*g.w+ix)*g.c:][:run])
			default:
				for kx := range g.kw {
					px := line[kx*cg:][:cg]
					if at := ix + kx*g.dw; at >= 0 && at < g.w {
						copy(px, x[((img*g.h+iy)*g.w+at)*g.c+group*cg:])
					} else {
						clear(px)
					}
				}
			}
		}
		if ox++; ox == g.ow {
			if ox, oy = 0, oy+1; oy == g.oh {
				oy, img = 0, img+1
			}
		}
	}
}

// scatter adds rows as gather makes them back to the pixels.
func scatter[T float](u *muls, g geometry, dx, rows []T, from, to, group int) {
	cg := g.c / g.group
	width := g.kh * g.kw * cg
	for p := from; p < to; p++ {
		img, oy, ox := p/(g.oh*g.ow), p/g.ow%g.oh, p%g.ow
		row := rows[(p-from)*width:][:width]
		for ky := range g.kh {
			iy := oy*g.sh + ky*g.dh - g.pt
			if iy < 0 || iy >= g.h {
				continue
			}
			line, ix := row[ky*g.kw*cg:][:g.kw*cg], ox*g.sw-g.pl
			if g.group == 1 && g.dw == 1 && ix >= 0 && ix+g.kw <= g.w {
				d := dx[((img*g.h+iy)*g.w+ix)*g.c:][:len(line)]
				sum(u, d, d, line)
				continue
			}
			for kx := range g.kw {
				if at := ix + kx*g.dw; at >= 0 && at < g.w {
					d := dx[((img*g.h+iy)*g.w+at)*g.c+group*cg:][:cg]
					for c, v := range line[kx*cg:][:cg] {
						d[c] += v
					}
				}
			}
		}
	}
}

// depthwise reports whether each channel has one filter of its own.
func (g geometry) depthwise() bool { return g.group > 1 && g.group == g.c && g.group == g.m }

// byTap reorders the weights [M, C/group, kh, kw] of a group to [taps, channels, outputs].
func byTap[T float](g geometry, dst, w []T, group int) {
	cg, mg, taps := g.c/g.group, g.m/g.group, g.kh*g.kw
	for m := range mg {
		for c := range cg {
			from := w[((group*mg+m)*cg+c)*taps:][:taps]
			for t, v := range from {
				dst[(t*cg+c)*mg+m] = v
			}
		}
	}
}

// addByTap adds a gradient in the order of byTap to one in the order of the weights.
func addByTap[T float](g geometry, dw, from []T, group int) {
	cg, mg, taps := g.c/g.group, g.m/g.group, g.kh*g.kw
	for m := range mg {
		for c := range cg {
			to := dw[((group*mg+m)*cg+c)*taps:][:taps]
			for t := range to {
				to[t] += from[(t*cg+c)*mg+m]
			}
		}
	}
}

// part copies the channels of a group of rows from..to out of y, or back.
func part[T float](g geometry, dst, y []T, from, to, group int) {
	mg := g.m / g.group
	for p := from; p < to; p++ {
		copy(dst[(p-from)*mg:][:mg], y[p*g.m+group*mg:])
	}
}

func convForward[T float](t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	if in[1] == nil {
		return nil, nil, fail.New(fail.Unsupported, "training knows weights that are float32 numbers only")
	}
	x, w := in[0], t.kernel(n, in[1])
	if len(w.shape) != 4 {
		return nil, nil, fail.New(fail.Unsupported, "training knows two-dimensional convolutions, not weights %v", w.shape)
	}
	g, err := geometryOf(n, x.shape, w.shape[2], w.shape[3], w.shape[0])
	if err != nil {
		return nil, nil, err
	}
	y := t.array(g.n, g.m, g.oh, g.ow)
	t.macs += g.macs()
	var bias []T
	if len(in) > 2 && in[2] != nil {
		bias = in[2].v
	}
	if t.fast.fits(g) {
		t.fast.forward(n.ID, g, single(y.v), single(x.v), single(w.v), single(bias))
		return y, g, nil
	}
	if g.depthwise() {
		depthwiseForward(g, y.v, x.v, w.v, bias)
		return y, g, nil
	}
	mg, width, rows := g.m/g.group, g.kh*g.kw*g.c/g.group, g.n*g.oh*g.ow
	defer t.release(t.mark())
	size := min(g.tile(), rows)
	col, wt, out := t.take(size*width), t.take(width*mg), y.v
	if g.group > 1 {
		out = t.take(size * mg)
	}
	for k := range g.group {
		byTap(g, wt, w.v, k)
		for from := 0; from < rows; from += size {
			to := min(rows, from+size)
			a := col[:(to-from)*width]
			if g.direct() {
				a = x.v[from*width : to*width]
			} else {
				gather(g, a, x.v, from, to, k)
			}
			s := gemm.Shape{M: to - from, N: mg, K: width, Bias: bias != nil}
			if g.group == 1 {
				if err := mul(t.muls, s, a, wt, y.v[from*mg:to*mg], bias); err != nil {
					return nil, nil, err
				}
				continue
			}
			var b []T
			if bias != nil {
				b = bias[k*mg:][:mg]
			}
			if err := mul(t.muls, s, a, wt, out[:(to-from)*mg], b); err != nil {
				return nil, nil, err
			}
			for p := from; p < to; p++ {
				copy(y.v[p*g.m+k*mg:][:mg], out[(p-from)*mg:])
			}
		}
	}
	return y, g, nil
}

// single is v as float32, which it is on a tape with vector kernels.
func single[T float](v []T) []float32 { return any(v).([]float32) }

// columns is the sum of each of the c columns of d.
func (t *tape[T]) columns(d *array[T], c int) *array[T] {
	out := t.zeros(c)
	if t.fast != nil {
		v, shift := single(d.v), make([]float32, c)
		sums := t.fast.bySums(v, c, func(from, to int, a, b []float64) { t.fast.Moments(v[from:to], shift, a, b) })
		for i, s := range sums.a {
			out.v[i] = T(s)
		}
		return out
	}
	for p := 0; p < len(d.v); p += c {
		sum(t.muls, out.v, out.v, d.v[p:p+c])
	}
	return out
}

// direct reports whether the rows are the pixels themselves: a 1x1 convolution.
func (g geometry) direct() bool {
	return g.kh*g.kw == 1 && g.sh*g.sw == 1 && g.group == 1 && g.pt+g.pl == 0 && g.oh == g.h && g.ow == g.w
}

func convBackward[T float](t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	g := saved.(geometry)
	x, w := in[0], t.kernel(n, in[1])
	dw := t.zeros(w.shape...)
	t.macs += g.macs()
	var dx *array[T] // not for the data itself
	if t.wants(n.Inputs[0]) {
		dx = t.array(x.shape...)
		t.macs += g.macs()
		if !t.fast.fits(g) {
			clear(dx.v)
		}
	}
	out := []*array[T]{dx, dw}
	if len(in) > 2 && in[2] != nil {
		out = append(out, t.columns(dy, g.m))
	}
	if t.fast.fits(g) {
		var to []float32
		if dx != nil {
			to = single(dx.v)
		}
		t.fast.backward(n.ID, g, to, single(dw.v), single(x.v), single(w.v), single(dy.v))
		out[1] = t.home(n, dw)
		return out, nil
	}
	if g.depthwise() {
		depthwiseBackward(g, dx, dw.v, x.v, w.v, dy.v)
		out[1] = t.home(n, dw)
		return out, nil
	}
	if dx != nil && g.group == 1 && g.sh*g.sw == 1 && !g.direct() {
		if err := backThrough(t, g, dx.v, dy.v, w.v); err != nil {
			return nil, err
		}
		dx = nil // done; out has it
	}
	mg, width, rows := g.m/g.group, g.kh*g.kw*g.c/g.group, g.n*g.oh*g.ow
	defer t.release(t.mark())
	size := min(g.tile(), rows)
	col, wt, dwt := t.take(size*width), t.take(width*mg), t.take(width*mg)
	grad := dy.v
	if g.group > 1 {
		grad = t.take(size * mg)
	}
	for k := range g.group {
		byTap(g, wt, w.v, k)
		clear(dwt)
		for from := 0; from < rows; from += size {
			to := min(rows, from+size)
			d := grad[:(to-from)*mg]
			if g.group == 1 {
				d = dy.v[from*mg : to*mg]
			} else {
				part(g, d, dy.v, from, to, k)
			}
			a := col[:(to-from)*width]
			if g.direct() {
				a = x.v[from*width : to*width]
			} else {
				gather(g, a, x.v, from, to, k)
			}
			if err := mul(t.muls, gemm.Shape{M: width, N: mg, K: to - from, TransA: true, Accumulate: true}, a, d, dwt, nil); err != nil {
				return nil, err
			}
			if dx == nil {
				continue
			}
			s := gemm.Shape{M: to - from, N: width, K: mg, TransB: true}
			if g.direct() {
				if err := mul(t.muls, s, d, wt, dx.v[from*width:to*width], nil); err != nil {
					return nil, err
				}
				continue
			}
			if err := mul(t.muls, s, d, wt, col[:(to-from)*width], nil); err != nil {
				return nil, err
			}
			scatter(t.muls, g, dx.v, col, from, to, k)
		}
		addByTap(g, dw.v, dwt, k)
	}
	out[1] = t.home(n, dw)
	return out, nil
}

// backThrough writes the gradient of the input of a convolution of stride 1: the convolution of dy with the weights turned round.
func backThrough[T float](t *tape[T], g geometry, dx, dy, w []T) error {
	defer t.release(t.mark())
	b := g
	b.c, b.h, b.w, b.m, b.oh, b.ow = g.m, g.oh, g.ow, g.c, g.h, g.w
	b.pt, b.pl = (g.kh-1)*g.dh-g.pt, (g.kw-1)*g.dw-g.pl
	taps := g.kh * g.kw
	width, rows := taps*b.c, b.n*b.oh*b.ow
	size := min(b.tile(), rows)
	col, wt := t.take(size*width), t.take(width*b.m)
	for m := range g.m {
		for c := range g.c {
			for k, v := range w[(m*g.c+c)*taps:][:taps] {
				wt[((taps-1-k)*g.m+m)*g.c+c] = v
			}
		}
	}
	for from := 0; from < rows; from += size {
		to := min(rows, from+size)
		a := col[:(to-from)*width]
		gather(b, a, dy, from, to, 0)
		if err := mul(t.muls, gemm.Shape{M: to - from, N: b.m, K: width}, a, wt, dx[from*b.m:to*b.m], nil); err != nil {
			return err
		}
	}
	return nil
}

func depthwiseForward[T float](g geometry, y, x, w, bias []T) {
	taps := g.kh * g.kw
	for p := range g.n * g.oh * g.ow {
		row := y[p*g.m:][:g.m]
		clear(row)
		if bias != nil {
			copy(row, bias)
		}
		g.taps(p, p+1, func(_, tap, pixel int) {
			if pixel < 0 {
				return
			}
			for c, v := range x[pixel*g.c:][:g.c] {
				row[c] += v * w[c*taps+tap]
			}
		})
	}
}

func depthwiseBackward[T float](g geometry, dx *array[T], dw, x, w, dy []T) {
	taps := g.kh * g.kw
	for p := range g.n * g.oh * g.ow {
		row := dy[p*g.m:][:g.m]
		g.taps(p, p+1, func(_, tap, pixel int) {
			if pixel < 0 {
				return
			}
			for c, v := range x[pixel*g.c:][:g.c] {
				dw[c*taps+tap] += row[c] * v
			}
			if dx == nil {
				return
			}
			d := dx.v[pixel*g.c:][:g.c]
			for c := range d {
				d[c] += row[c] * w[c*taps+tap]
			}
		})
	}
}
