package grad

import (
	"slices"
	"unsafe"
)

// Window is a depthwise sum over a rectangle of taps in pictures: the result at row y and column x, both counted from 0, is the sum over
// taps of X[y*SY + ky - PT][x*SX + kx - PL] * B[ky*KW + kx]. It lies at pixel First + y*RowStep + x*Step of a picture of Pixels. So it is a
// convolution forward, and the gradient of the pixels of its input that the same taps read.
type Window struct {
	H, W                         int // of a picture that is read
	OH, OW                       int // rows and columns of results
	KH, KW, SY, SX, PT, PL       int
	First, RowStep, Step, Pixels int // of the results
}

// span is a run of columns that see the taps of a row from lo to hi, but for those beyond a border.
type span struct{ first, n, lo, hi, border int }

// borders are the columns of the input that a run misses before its first column and behind its last.
var borders = [5]struct{ left, right int }{{0, 0}, {1, 0}, {2, 0}, {0, 1}, {0, 2}}

// tile is the most columns of a run at a border.
const tile = 4

// window is how the kernels take a Window.
type window struct {
	Window
	spans  []span
	table  []int32 // by row of results and ky: where the row of the input begins, or -1
	outs   []int32 // by row of results, where it begins
	zeros  []float32
	images int
}

// NewWindow plans a window over images of c channels.
func (k *Kernels) NewWindow(c int, w Window, images int) *Depth {
	d := &Depth{k: k, Taps: w.KH * w.KW, C: c}
	if win, ok := k.window(c, w, images); ok {
		d.win = win
		if c%k.width == 0 {
			return d
		}
	}
	d.plan(w.places(c, images))
	return d
}

// window says false where the kernels have no way.
func (k *Kernels) window(c int, w Window, images int) (*window, bool) {
	q := &window{Window: w, images: images}
	var ok bool
	if q.spans, ok = k.thirds(w); !ok {
		q.spans = q.columns()
	}
	if w.KH*w.W*c > nearFloats {
		q.spans = narrow(q.spans)
	}
	for _, s := range q.spans {
		if s.hi <= s.lo || s.hi-s.lo > 5 || k.rowKernel(s, w.SX) == nil {
			return nil, false
		}
	}
	for y := range w.OH {
		for ky := range w.KH {
			at := int32(-1)
			if iy := y*w.SY + ky - w.PT; iy >= 0 && iy < w.H {
				at = int32(iy * w.W * c)
			}
			q.table = append(q.table, at)
		}
		q.outs = append(q.outs, int32(y*w.RowStep*c))
	}
	if q.zeros = k.zeros; c > len(q.zeros) {
		q.zeros = make([]float32, c)
	}
	return q, true
}

// nearFloats is how many floats of rows that a row of results reads stay in the first-level cache. Where there are more, columns are taken
// from top to bottom a few at a time, so that a row is still near when the next one reads it.
const nearFloats = 5000

// narrow cuts runs into tiles.
func narrow(l []span) []span {
	var out []span
	for _, s := range l {
		wide := tile
		if s.hi-s.lo > 3 { // one vector of channels at once, so more columns
			wide = 2 * tile
		}
		for ; s.border == 0 && s.n > wide; s.first, s.n = s.first+wide, s.n-wide {
			out = append(out, span{s.first, wide, s.lo, s.hi, 0})
		}
		out = append(out, s)
	}
	return out
}

// thirds are the columns at the left border, those that see all taps, and those at the right border; false where there are no such kernels.
func (k *Kernels) thirds(w Window) ([]span, bool) {
	left, right := w.PL, max(0, (w.OW-1)*w.SX-w.PL+w.KW-w.W)
	a := min(tile, (w.OW+1)/2)
	b := min(tile, w.OW-a)
	if w.OW < 2 || left > 2 || right > 2 || w.KW > 5 || (a-1)*w.SX-w.PL+w.KW > w.W || (w.OW-b)*w.SX < w.PL || a*w.SX < w.PL || (w.OW-b-1)*w.SX-w.PL+w.KW > w.W {
		return nil, false
	}
	l := []span{{0, a, 0, w.KW, left}, {a, w.OW - a - b, 0, w.KW, 0}, {w.OW - b, b, 0, w.KW, 0}}
	if right > 0 {
		l[2].border = 2 + right
	}
	l = slices.DeleteFunc(l, func(s span) bool { return s.n == 0 })
	return l, !slices.ContainsFunc(l, func(s span) bool { return k.rowKernel(s, w.SX) == nil })
}

// columns are runs that see the same taps.
func (w Window) columns() []span {
	var l []span
	for x := range w.OW {
		s := span{x, 1, max(0, w.PL-x*w.SX), min(w.KW, w.W+w.PL-x*w.SX), 0}
		if n := len(l); n > 0 && l[n-1].lo == s.lo && l[n-1].hi == s.hi {
			l[n-1].n++
			continue
		}
		l = append(l, s)
	}
	return l
}

// kernel is the place of a span's kernel.
func (s span) kernel() int { return 5*(s.hi-s.lo) + s.border }

// stride is that between the columns of a span: of one column there is none.
func (s span) stride(sx int) int {
	if s.n == 1 {
		return 1
	}
	return sx
}

func (k *Kernels) rowKernel(s span, sx int) func(*args) {
	st := s.stride(sx)
	if st > 2 {
		return nil
	}
	return k.win[1][st][s.kernel()]
}

// each hands a, with what both kernels read, to f for images, spans and channels from on that nv vectors at once fill. The kernels move its
// fields; it is one block for all calls, since it lies on the heap.
func (d *Depth) each(a *args, x []float32, f func(image, from, nv int, s span)) {
	q, ch := d.win, d.C
	whole := ch / d.k.width * d.k.width
	a.taps, a.ld, a.k = int64(q.KH), int64(4*ch), int64(4*q.KW*ch)
	for image := range q.images {
		for _, s := range q.spans {
			from, wide := 0, 0
			if d.k.win[2][s.stride(q.SX)][s.kernel()] != nil {
				wide = whole / line * line
			}
			for nv, to := 2, wide; nv > 0; nv, to = nv-1, whole {
				if from == to {
					continue
				}
				a.n, a.cur, a.chans = int64(q.OH), int64(s.n), int64(4*(to-from))
				a.x = at(x, image*q.H*q.W*ch+(s.first*q.SX-q.PL+s.lo+borders[s.border].left)*ch+from)
				a.table, a.outs = unsafe.Pointer(&q.table[0]), unsafe.Pointer(&q.outs[0])
				f(image, from, nv, s)
				from = to
			}
		}
	}
}

// at is where the results of a span begin.
func (q *window) at(image, from, ch int, s span) int {
	return (image*q.Pixels+q.First+s.first*q.Step)*ch + from
}

// runWindow is Run for whole vectors of channels.
func (d *Depth) runWindow(c, x, w, bias []float32) {
	q := d.win
	if bias == nil {
		bias = q.zeros
	}
	a := &args{step: int64(4 * q.Step * d.C)}
	d.each(a, x, func(image, from, nv int, s span) {
		a.b, a.bias, a.c = at(w, s.lo*d.C+from), at(bias, from), at(c, q.at(image, from, d.C, s))
		d.k.win[nv][s.stride(q.SX)][s.kernel()](a)
	})
}

// outerWindow is Outer for whole vectors of channels. Results lie densely.
func (d *Depth) outerWindow(dw, x, g []float32) {
	q, a := d.win, &args{}
	d.each(a, x, func(image, from, nv int, s span) {
		a.b, a.c = at(g, q.at(image, from, d.C, s)), at(dw, s.lo*d.C+from)
		d.k.winOuter[nv][s.stride(q.SX)][s.kernel()](a)
	})
}

// places lists what each result reads, for channels that fill no vector.
func (w Window) places(c, images int) []Place {
	var l []Place
	for image := range images {
		for y := range w.OH {
			for x := range w.OW {
				q := Place{Out: int32((image*w.Pixels + w.First + y*w.RowStep + x*w.Step) * c)}
				for ky := range w.KH {
					for kx := range w.KW {
						iy, ix, at := y*w.SY+ky-w.PT, x*w.SX+kx-w.PL, -1
						if iy >= 0 && ix >= 0 && iy < w.H && ix < w.W {
							at = ((image*w.H+iy)*w.W + ix) * c
						}
						q.In = append(q.In, int32(at))
					}
				}
				l = append(l, q)
			}
		}
	}
	return l
}
