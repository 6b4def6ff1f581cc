package conv

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// dwArgs is what a depthwise kernel reads. The offsets are known to _asm/amd64gen/dw.go; TestOffsets compares them.
type dwArgs struct {
	src, dst, w, bias  unsafe.Pointer
	irow, orow, nt, nr int64
	act                int64
	lo, hi             float32
	taps               *int64 // kernels for any taps only, as the rest
	nk                 int64
	res                unsafe.Pointer
	rrow, ps           int64
	cols               int64      // for the portable kernel
	cur                [3]uintptr // row pointers of the kernel; they end behind the tensors, so they are no pointers
	// arm64 only: blocks of channels that one call makes, counted down, and bytes from one to the next
	blocks, splane, dplane, rplane int64
}

type dwKern func(*dwArgs)

// dwRows are the depthwise kernels of one instruction set; index is the number of columns.
type dwRows struct {
	isa            cpu.ISA
	s1pair, s1, s2 [8]func(*dwArgs) // 3x3; two rows, one row, stride 2
	any            [9]func(*dwArgs) // 8, 4, 2, 1 columns, where it gains also others
	vecBytes       int              // of a line that one call of any covers
	span           dwKern           // activation in place
	late           bool             // the kernels know no activations beyond Clamp: span applies them
	many           int              // a call makes several blocks of channels, about this many multiplications; 0: one
}

// depthwise is a convolution with one input and one output channel a group.
type depthwise struct {
	s    Shape
	r    *dwRows
	fast bool // the 3x3 kernels
}

func newDepthwise(s Shape, r *dwRows) *depthwise {
	d := &depthwise{s: s, r: r}
	d.fast = r.s1[1] != nil && s.KH == 3 && s.KW == 3 && s.DH*s.DW == 1 && s.SH == s.SW && s.SH <= 2 && !s.Residual
	return d
}

func (d *depthwise) packedLen() int { return roundUp(d.s.C, blk) * (d.s.KH*d.s.KW + 1) }

// pack writes [block][tap][16] and then the bias.
func (d *depthwise) pack(dst, w, bias []float32) {
	taps := d.s.KH * d.s.KW
	for c := range d.s.C {
		for t := range taps {
			dst[(c/blk*taps+t)*blk+c%blk] = w[c*taps+t]
		}
	}
	copy(dst[roundUp(d.s.C, blk)*taps:], bias)
}

type dwBound struct {
	*depthwise
	packed  []float32
	bands   []dwBand
	taps    []int64
	in, out cpu.Layout
	res     *cpu.Layout
	rplane  int
	work    int

	per      int   // blocks of channels in a piece
	from, to steps // of in and out
	spans    bool  // the activation is a pass of its own, by bands
}

// steps are distances in a layout, once for all pieces: its methods copy it.
type steps struct{ blocks, image, plane, row int }

func stepsOf(l cpu.Layout) steps { return steps{l.Blocks(), l.Image(), l.Plane(), l.Row()} }

// dwBand is rows y0..y1 of the output and the calls that make them.
type dwBand struct {
	y0, y1 int
	calls  []dwCall
}

// dwBytes bounds the input and output of a band: what several passes touch must stay in the first-level cache.
const dwBytes = 24 << 10

// dwCall is one kernel call of a channel block; offsets in bytes.
type dwCall struct {
	f             dwKern
	src, dst, res int
	a             dwArgs
}

func (d *depthwise) bind(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) Bound {
	s := d.s
	b := &dwBound{depthwise: d, packed: packed, in: in, out: out, res: res, work: workers, from: stepsOf(in), to: stepsOf(out), spans: (d.r.vecBytes < line || d.r.late) && s.Act.Kind > cpu.Clamp}
	b.per = 1
	if workers == 1 && !b.spans { // workers share blocks
		b.per = max(1, min(b.from.blocks, d.r.many/(s.KH*s.KW*max(1, out.H*out.W))))
	}
	for t := range s.KH * s.KW {
		b.taps = append(b.taps, int64(4*(t/s.KW*s.DH*in.Row()+t%s.KW*s.DW*in.Block)))
	}
	base := dwArgs{irow: int64(4 * in.Row() * s.SH), orow: int64(4 * out.Row()), act: int64(s.Act.Kind), lo: s.Act.A, hi: s.Act.B, nk: int64(len(b.taps)), ps: int64(4 * s.SW * in.Block)}
	base.splane, base.dplane = int64(4*b.from.plane), int64(4*b.to.plane)
	if d.fast {
		base.irow = int64(4 * in.Row())
	}
	if res != nil {
		base.rrow, b.rplane, base.rplane = int64(4*res.Row()), res.Plane(), int64(4*res.Plane())
	}
	add := func(y, n, per, x, cols, tiles int, f dwKern) {
		c := dwCall{f: f, src: 4 * in.Pixel(y*s.SH-s.PadT, x*s.SW-s.PadL), dst: 4 * out.Pixel(y, x), a: base}
		c.a.nt, c.a.nr, c.a.cols = int64(tiles), int64(n/per), int64(cols)
		if res != nil {
			c.res = 4 * res.Pixel(y, x)
		}
		last := &b.bands[len(b.bands)-1]
		last.calls = append(last.calls, c)
	}
	if !d.fast {
		rows := max(1, dwBytes/(4*(in.Row()*s.SH+out.Row())))
		for y := 0; y < out.H; y += rows {
			n := min(rows, out.H-y)
			b.bands = append(b.bands, dwBand{y0: y, y1: y + n})
			for x := 0; x < out.W; {
				left := out.W - x
				cols := 8
				for cols > left || cols == 8 && left%8 != 0 && left%7 == 0 && d.r.any[7] != nil || d.r.any[cols] == nil {
					cols--
				}
				k := left / cols
				add(y, n, 1, x, cols, k, d.r.any[cols])
				x += k * cols
			}
		}
		return b
	}
	rows := out.H
	if d.r.late && s.Act.Kind > cpu.Clamp {
		rows = max(2, dwBytes/(4*(in.Row()*s.SH+out.Row()))&^1)
	}
	seg := segments(out.W, 7)
	band := func(y, n, per int, table *[8]func(*dwArgs)) {
		for x, i := 0, 0; n > 0 && i < len(seg); {
			j := i
			for j < len(seg) && seg[j] == seg[i] {
				j++
			}
			add(y, n, per, x, seg[i], j-i, table[seg[i]])
			x += seg[i] * (j - i)
			i = j
		}
	}
	for y := 0; y < out.H; y += rows {
		n := min(rows, out.H-y)
		b.bands = append(b.bands, dwBand{y0: y, y1: y + n})
		if s.SH == 1 {
			band(y, n&^1, 2, &d.r.s1pair)
			band(y+n&^1, n&1, 1, &d.r.s1)
		} else {
			band(y, n, 1, &d.r.s2)
		}
	}
	return b
}

func (b *dwBound) Scratch() int { return 0 }

func (b *dwBound) On(buf Buffers) Run {
	hold(buf.In, buf.Out, buf.Res, b.in, b.out, b.res)
	r := &dwRun{b: b, args: make([][]dwArgs, b.work), in: ptr(buf.In), out: ptr(buf.Out)}
	for w := range r.args {
		for i := range b.bands {
			for j := range b.bands[i].calls {
				a := b.bands[i].calls[j].a
				a.taps = &b.taps[0]
				r.args[w] = append(r.args[w], a)
			}
		}
		r.args[w] = append(r.args[w], dwArgs{act: int64(b.s.Act.Kind), lo: b.s.Act.A, hi: b.s.Act.B}) // of span
	}
	if b.s.Residual {
		r.res = ptr(buf.Res)
	}
	return r
}

type dwRun struct {
	b            *dwBound
	in, out, res unsafe.Pointer
	args         [][]dwArgs // by worker and call of all bands: what no piece changes stays
}

func (r *dwRun) Stages() int    { return 1 }
func (r *dwRun) Pieces(int) int { return r.b.s.N * ceilDiv(r.b.from.blocks, r.b.per) }

// Piece runs some channel blocks of one picture.
func (r *dwRun) Piece(_, i, worker int) {
	b := r.b
	img, c := 0, i
	if b.s.N > 1 {
		n := ceilDiv(b.from.blocks, b.per)
		img, c = i/n, i%n
	}
	c *= b.per
	blocks := int64(min(b.per, b.from.blocks-c))
	in := unsafe.Add(r.in, 4*(img*b.from.image+c*b.from.plane))
	out := unsafe.Add(r.out, 4*(img*b.to.image+c*b.to.plane))
	w := unsafe.Add(ptr(b.packed), 4*blk*c*len(b.taps))
	bias := unsafe.Add(ptr(b.packed), 4*blk*(b.from.blocks*len(b.taps)+c))
	args := r.args[worker]
	at := 0
	for j := range b.bands {
		bd := &b.bands[j]
		for n := range bd.calls {
			call, k := &bd.calls[n], &args[at]
			at++
			k.w, k.bias, k.nr, k.blocks = w, bias, call.a.nr, blocks // kernels count rows there, and blocks
			k.src, k.dst = unsafe.Add(in, call.src), unsafe.Add(out, call.dst)
			if r.res != nil {
				k.res = unsafe.Add(r.res, 4*(img*b.from.blocks+c)*b.rplane+call.res)
			}
			call.f(k)
			if !b.fast && b.r.vecBytes < line {
				r.rest(call, k)
			}
		}
		if b.spans {
			r.span(bd, &args[len(args)-1], out)
		}
	}
}

// rest makes the other parts of a line, for kernels that see vecBytes of it.
func (r *dwRun) rest(call *dwCall, k *dwArgs) {
	step := r.b.r.vecBytes
	for h := step; h < line; h += step {
		k.nr = call.a.nr
		for _, p := range []*unsafe.Pointer{&k.src, &k.dst, &k.w, &k.bias, &k.res} {
			if *p != nil {
				*p = unsafe.Add(*p, step)
			}
		}
		call.f(k)
	}
}

// span applies activations to the rows of a band that the kernels leave because they see half a line or know none.
func (r *dwRun) span(bd *dwBand, k *dwArgs, out unsafe.Pointer) {
	b := r.b
	rows, lines := bd.y1-bd.y0, b.out.W
	if b.out.Row() == lines*blk {
		rows, lines = 1, rows*lines
	}
	for y := range rows {
		k.dst, k.nt = unsafe.Add(out, 4*b.out.Pixel(bd.y0+y, 0)), int64(lines)
		b.r.span(k)
	}
}

// dwGo is the portable kernel for any taps, cols columns of 16 channels.
func dwGo(k *dwArgs) {
	act := cpu.Act{Kind: cpu.ActKind(k.act), A: k.lo, B: k.hi}
	taps := unsafe.Slice(k.taps, k.nk)
	for y := range k.nr {
		for x := range k.nt * k.cols {
			src := unsafe.Add(k.src, y*k.irow+x*k.ps)
			acc := *(*[blk]float32)(k.bias)
			for t, off := range taps {
				in := (*[blk]float32)(unsafe.Add(src, off))
				w := (*[blk]float32)(unsafe.Add(k.w, 4*blk*t))
				for j := range acc {
					acc[j] += in[j] * w[j]
				}
			}
			if k.res != nil {
				in := (*[blk]float32)(unsafe.Add(k.res, y*k.rrow+x*4*blk))
				for j := range acc {
					acc[j] += in[j]
				}
			}
			out := (*[blk]float32)(unsafe.Add(k.dst, y*k.orow+x*4*blk))
			for j := range acc {
				out[j] = applyGo(act, acc[j])
			}
		}
	}
}

func portableDW() *dwRows {
	r := &dwRows{isa: cpu.Generic, vecBytes: line}
	for _, c := range []int{1, 2, 4, 8} {
		r.any[c] = dwGo
	}
	return r
}
