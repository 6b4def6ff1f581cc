package conv

import (
	"slices"
	"unsafe"

	"fettle/kernels/cpu"
)

// windowArgs is what the gathering of windows reads.
type windowArgs struct {
	src, dst unsafe.Pointer
	n, rows  int64 // pixels, rows of a window
	inRow    int64
	len      int64 // bytes that a row of a window takes in the copy
	ps, size int64 // bytes between windows in the input and in the copy
}

// window bounds the bytes of a row of a window.
const window = 32

// wordFirst is an 8-bit convolution of fewer than 5 channels: the windows of a row of the output are gathered as words, side by side, so that the sum has
// no input but theirs.
type wordFirst struct {
	s     Shape
	r     *wordRows
	lines int // of a window
}

func newWordFirst(s Shape, r *wordRows) *wordFirst {
	return &wordFirst{s, r, ceilDiv(s.KH*s.KW*s.C, half)}
}

// panelLen is the words of 32 bits of 8 outputs.
func (d *wordFirst) panelLen() int { return d.lines * half * d.r.panel / 2 }

func (d *wordFirst) wordsLen() int { return ceilDiv(d.s.M, d.r.panel) * d.panelLen() }

// packWeights writes [panel][input of a window][outputs].
func (d *wordFirst) packWeights(dst []float32, w []int8) {
	s := d.s
	to := unsafe.Slice((*int16)(unsafe.Pointer(&dst[0])), 2*d.wordsLen())
	taps := s.KH * s.KW
	for m := range s.M {
		panel := to[m/d.r.panel*2*d.panelLen()+m%d.r.panel:]
		for i := range taps * s.C {
			panel[i*d.r.panel] = int16(w[(m*s.C+i%s.C)*taps+i/s.C])
		}
	}
}

type wordFirstBound struct {
	*wordFirst
	packed  []float32
	in, out cpu.Layout
	res     *cpu.Layout
	groups  []group
	tiles   []mrTiles
	args    kargs
	gather  windowArgs
	slot    int // bytes of a worker's copy
	work    int
}

func (d *wordFirst) bindQ(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) QBound {
	s := d.s
	b := &wordFirstBound{wordFirst: d, packed: packed, in: in, out: out, res: res, work: workers}
	size := d.lines * line
	for i := range d.lines {
		b.groups = append(b.groups, group{int64(i * line), half / 2})
	}
	by, x := make([][]tile, d.r.maxMR+1), 0
	for _, m := range segments(out.W, d.r.maxMR) {
		by[m] = append(by[m], tile{int64(x * size), int64(x * qBlk), int64(x * qBlk)})
		x += m
	}
	for m, t := range by {
		if len(t) > 0 {
			b.tiles = append(b.tiles, mrTiles{m, d.r.mul[m], t})
		}
	}
	b.args = kargs{groups: &b.groups[0], nk: int64(d.lines), ps: int64(size)}
	b.args.setStore(packed)
	b.gather = windowArgs{n: int64(out.W), rows: int64(s.KH), inRow: int64(s.DH * in.Row()), len: int64(2 * s.KW * s.C), ps: int64(s.SW * s.C), size: int64(size)}
	b.slot = roundUp(out.W*size+2*window, 64)
	return b
}

// Scratch is the bytes of a run's scratch.
func (b *wordFirstBound) Scratch() int { return b.work * b.slot }

func (b *wordFirstBound) OnQ(buf QBuffers) Run {
	hold(buf.In, buf.Out, buf.Res, b.in, b.out, b.res)
	if len(buf.Scratch) < b.Scratch() {
		buf.Scratch = cpu.Aligned[uint8](b.Scratch())
	}
	return &wordFirstRun{b, buf, slices.Repeat([]kargs{b.args}, b.work), slices.Repeat([]windowArgs{b.gather}, b.work)}
}

type wordFirstRun struct {
	b       *wordFirstBound
	buf     QBuffers
	args    []kargs // one a worker: arguments of kernels in tables escape
	gathers []windowArgs
}

func (r *wordFirstRun) Stages() int    { return 1 }
func (r *wordFirstRun) Pieces(int) int { return r.b.s.N * r.b.out.H }

// Piece makes a row of the output.
func (r *wordFirstRun) Piece(_, i, worker int) {
	b, s := r.b, r.b.s
	img, y := i/b.out.H, i%b.out.H
	g, k := &r.gathers[worker], &r.args[worker]
	g.src = unsafe.Add(bytesPtr(r.buf.In), img*b.in.Image()+b.in.Pixel(y*s.SH-s.PadT, -s.PadL))
	g.dst = bytesPtr(r.buf.Scratch[worker*b.slot:])
	if s.KW*s.C <= 16 {
		windows16(g)
	} else {
		windows32(g)
	}
	k.a = g.dst
	scale := qHead + b.wordsLen()
	bias := scale + roundUp(s.M, qBlk)
	for p := range ceilDiv(s.M, b.r.panel) {
		o := p * b.r.panel
		k.b = ptr(b.packed[qHead+p*b.panelLen():])
		k.scale, k.bias = ptr(b.packed[scale+o:]), ptr(b.packed[bias+o:])
		at := func(l cpu.Layout) int { return img*l.Image() + o/qBlk*l.Plane() + l.Pixel(y, 0) + o%qBlk }
		k.c = bytesPtr(r.buf.Out[at(b.out):])
		if b.res != nil {
			k.res = bytesPtr(r.buf.Res[at(*b.res):])
		}
		for _, t := range b.tiles {
			k.tiles, k.nt = &t.tiles[0], int64(len(t.tiles))
			t.f(k)
		}
	}
}
