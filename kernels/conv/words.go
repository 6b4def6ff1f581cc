package conv

import (
	"fmt"
	"unsafe"

	"fettle/kernels/cpu"
)

// wordRows are the kernels for products of 16-bit words, sums of pairs in 32 bits: exact for bytes, and twice as many products an
// instruction as float32 where nothing multiplies bytes exactly.
type wordRows struct {
	isa     cpu.ISA
	maxMR   int
	panel   int    // outputs of a panel
	lanes   bool   // products of a vector of outputs by one input: weights are not in pairs of inputs, and lines of inputs are whole
	mul     []kern // by pixels: sums, then the store of 8 bit; nil: only raw
	raw     []kern // sums as they are
	widen   []kern // by quarters of lines of 64 bytes: into lines of 32 words
	in, out winoKern
	chunk   int // bytes of widened input that a worker holds at a time
}

// half is the channels of a line of words.
const half = qBlk / 2

// wordPlans are the convolutions of bytes through words, best first.
func wordPlans(s Shape, f cpu.Features) []*QAlgorithm {
	r := wordKernels(f)
	if r == nil || (s.Groups > 1 && s.C/s.Groups < half) {
		return nil
	}
	var l []*QAlgorithm
	add := func(name string, b cpu.Border, i qimpl) {
		l = append(l, &QAlgorithm{Name: name + "__" + r.isa.String(), ISA: r.isa, MACs: s.MACs(), In: cpu.Need{Block: qBlk, Border: b}, Out: cpu.Need{Block: qBlk}, Shape: s, impl: i})
	}
	if d := newWordWino(s, r); d != nil {
		add(fmt.Sprintf("qu8s8_wino2_%dx%d", r.maxMR, r.panel), d.border(), d)
	}
	if r.mul == nil {
		return l
	}
	add(fmt.Sprintf("qu8s8_conv_words_%dx%d", r.maxMR, r.panel), s.border(), &words{newWordSum(s), r})
	return l
}

// wordSum is how the sum of a convolution over words is laid out: groups of at most 16 pairs, one a tap of a line of 32 channels.
type wordSum struct {
	s     Shape
	taps  int
	lines int // of 32 channels
	pairs int // of channels
}

func newWordSum(s Shape) wordSum {
	return wordSum{s: s, taps: s.KH * s.KW, lines: ceilDiv(s.C, half), pairs: ceilDiv(s.C, 2)}
}

// steps is the number of pairs of a line.
func (w wordSum) steps(line int) int { return ceilDiv(min(half, w.s.C-line*half), 2) }

// words is a direct convolution over a widened copy of the input, which a worker makes chunk by chunk in its own scratch.
type words struct {
	wordSum
	r *wordRows
}

func (d *words) wordsLen() int { return d.panels() * d.panelLen() }

func (d *words) panels() int { return ceilDiv(d.s.M, d.r.panel) }

// panelLen is the words of 32 bits of a panel.
func (d *words) panelLen() int {
	if d.r.lanes {
		return d.taps * d.lines * half * d.r.panel / 2
	}
	return d.taps * d.pairs * d.r.panel
}

// wins tells whether it is faster than products of bytes: the copy must serve some panels. Measured on a Zen 3, `go test ./kernels/conv -bench Int8`.
func (d *words) wins() bool { return d.s.M > 2*blk }

// packWeights writes [panel][line][tap][pair][16 outputs][2 channels], or [panel][line][tap][channel][outputs].
func (d *words) packWeights(dst []float32, w []int8) {
	s := d.s
	if d.r.lanes {
		d.packLanes(dst, w)
		return
	}
	to := unsafe.Slice((*int16)(unsafe.Pointer(&dst[0])), 2*d.wordsLen())
	cg, mg := s.C/s.Groups, s.M/s.Groups
	at := 0
	for p := range d.panels() {
		for ln := range d.lines {
			for tap := range d.taps {
				for u := range d.steps(ln) {
					for q := range 2 {
						c := ln*half + 2*u + q
						for j := range min(blk, s.M-p*blk) {
							if m := p*blk + j; c < s.C && m/mg == c/cg {
								to[at+2*j+q] = int16(w[(m*cg+c%cg)*d.taps+tap])
							}
						}
					}
					at += 2 * blk
				}
			}
		}
	}
}

func (d *words) packLanes(dst []float32, w []int8) {
	s := d.s
	to := unsafe.Slice((*int16)(unsafe.Pointer(&dst[0])), 2*d.wordsLen())
	cg, mg := s.C/s.Groups, s.M/s.Groups
	for m := range s.M {
		panel := to[m/d.r.panel*2*d.panelLen()+m%d.r.panel:]
		for c := m / mg * cg; c < (m/mg+1)*cg; c++ {
			for tap := range d.taps {
				panel[((c/half*d.taps+tap)*half+c%half)*d.r.panel] = int16(w[(m*cg+c%cg)*d.taps+tap])
			}
		}
	}
}

// wordChunk is a part of the output that one widened copy serves: rows of one picture.
type wordChunk struct{ img, y0, rows int }

// wordPiece is what a worker claims: panels p0..p1 of a chunk.
type wordPiece struct{ chunk, p0, p1 int }

// inOne tells whether it is cheaper to read a copy of the input, of so many bytes, for every panel than all weights for every chunk.
func inOne(chunks, panel, size int) bool { return chunks > 1 && chunks*panel > size }

// share cuts the work so that every worker has some: by chunks, or by panels too where there are few.
func share(chunks, panels, workers int) []wordPiece {
	cut := 1
	if workers > 1 && chunks < 3*workers && chunks%workers != 0 {
		cut = min(panels, ceilDiv(2*workers, chunks))
	}
	var l []wordPiece
	for c := range chunks {
		for i := range cut {
			l = append(l, wordPiece{c, panels * i / cut, panels * (i + 1) / cut})
		}
	}
	return l
}

// odd makes a number of lines odd: planes at a power of two would share the sets of a cache.
func odd(n int) int { return n | 1 }

type wordsBound struct {
	*words
	packed     []float32
	in, out    cpu.Layout
	res        *cpu.Layout
	stepY      int // rows and pixels of the input from one that is copied to the next
	stepX      int
	dense      bool // the input of a chunk is one run of memory
	cols, copy int  // pixels of a row of the copy, rows of it
	plane      int  // lines of the copy from one line of channels to the next
	groups     []group
	tiles      map[int][]mrTiles // by rows of the chunk
	chunks     []wordChunk
	pieces     []wordPiece
	args       kargs
	work       int
}

func (d *words) bindQ(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) QBound {
	s := d.s
	b := &wordsBound{words: d, packed: packed, out: out, res: res, stepY: 1, stepX: 1, tiles: map[int][]mrTiles{}, work: workers}
	if d.taps*s.SH*s.SW == 1 && flat(in) && flat(out) && (res == nil || flat(*res)) { // pixels are rows of one, which chunks may part anywhere
		b.dense = true
		in, b.out = pixels(in), pixels(out)
		if res != nil {
			r := pixels(*res)
			b.res = &r
		}
		s.W = 1
	}
	b.in, out = in, b.out
	sy, sx := s.SH, s.SW
	b.cols = s.PadL + s.W + s.PadR
	if d.taps == 1 { // only the pixels that are read
		b.stepY, b.stepX, sy, sx, b.cols = sy, sx, 1, 1, out.W
	}
	span := (s.KH-1)*s.DH + 1
	rowLen := b.cols * line * d.lines
	rows := max(1, min(out.H, (d.r.chunk/rowLen-span)/sy+1))
	if b.dense && rows < out.H {
		rows = roundUp(ceilDiv(out.H, ceilDiv(out.H, rows)), d.r.maxMR)
	}
	if inOne(ceilDiv(out.H, rows), 4*d.panelLen(), rowLen*((out.H-1)*sy+span)) {
		rows = out.H
	}
	if k := ceilDiv(out.H, rows); workers > 1 && k > 1 && k < workers {
		k = workers
		rows = ceilDiv(out.H, k)
	}
	b.copy = (rows-1)*sy + span
	b.plane = odd(b.copy * b.cols)
	for ln := range d.lines {
		for t := range d.taps {
			b.groups = append(b.groups, group{int64(line * (ln*b.plane + t/s.KW*s.DH*b.cols + t%s.KW*s.DW)), int64(d.steps(ln))})
		}
	}
	for img := range out.N {
		for y := 0; y < out.H; y += rows {
			c := wordChunk{img, y, min(rows, out.H-y)}
			b.chunks = append(b.chunks, c)
			if b.tiles[c.rows] == nil {
				b.tiles[c.rows] = b.cut(c.rows, sy, sx)
			}
		}
	}
	b.pieces = share(len(b.chunks), d.panels(), workers)
	b.args = kargs{groups: &b.groups[0], nk: int64(len(b.groups)), ps: int64(line * sx)}
	b.args.setStore(packed)
	return b
}

// flat tells that rows follow each other without a border.
func flat(l cpu.Layout) bool { return l.Row() == l.W*l.Block && l.Top+l.Bottom == 0 }

// pixels is a flat layout with a pixel a row.
func pixels(l cpu.Layout) cpu.Layout {
	l.H, l.W = l.H*l.W, 1
	return l
}

// cut makes the tiles of so many rows of the output, relative to the first.
func (b *wordsBound) cut(rows, sy, sx int) []mrTiles {
	out, n := b.out, b.out.W
	if b.taps == 1 && flat(out) && (b.res == nil || flat(*b.res)) {
		n, rows = n*rows, 1
	}
	by := make([][]tile, b.r.maxMR+1)
	for y := range rows {
		x := 0
		for _, m := range segments(n, b.r.maxMR) {
			t := tile{a: int64(line * (y*sy*b.cols + x*sx)), c: int64(y*out.Row() + x*qBlk)}
			if b.res != nil {
				t.r = int64(y*b.res.Row() + x*qBlk)
			}
			by[m] = append(by[m], t)
			x += m
		}
	}
	var l []mrTiles
	for m, t := range by {
		if len(t) > 0 {
			l = append(l, mrTiles{m, b.r.mul[m], t})
		}
	}
	return l
}

// slot is the bytes of a worker's copy.
func (b *wordsBound) slot() int { return line * b.lines * b.plane }

func (b *wordsBound) Scratch() int { return b.work * b.slot() }

func (b *wordsBound) OnQ(buf QBuffers) Run {
	hold(buf.In, buf.Out, buf.Res, b.in, b.out, b.res)
	if len(buf.Scratch) < b.Scratch() {
		buf.Scratch = cpu.Aligned[uint8](b.Scratch())
	}
	return &wordsRun{b, buf, make([]kargs, b.work)}
}

type wordsRun struct {
	b    *wordsBound
	buf  QBuffers
	args []kargs
}

func (r *wordsRun) Stages() int      { return 1 }
func (r *wordsRun) Pieces(int) int   { return len(r.b.pieces) }
func (b *wordsBound) scaleAt() int   { return qHead + b.wordsLen() }
func (b *wordsBound) biasAt() int    { return b.scaleAt() + roundUp(b.s.M, qBlk) }
func (r *wordsRun) own(w int) []byte { return r.buf.Scratch[w*r.b.slot():] }

func (r *wordsRun) Piece(_, i, worker int) {
	b, pc := r.b, r.b.pieces[i]
	c := b.chunks[pc.chunk]
	k := &r.args[worker]
	r.widen(k, c, worker)
	*k = b.args
	k.a = bytesPtr(r.own(worker))
	for p := pc.p0; p < pc.p1; p++ {
		k.b = ptr(b.packed[qHead+p*b.panelLen():])
		o := p * b.r.panel
		k.scale, k.bias = ptr(b.packed[b.scaleAt()+o:]), ptr(b.packed[b.biasAt()+o:])
		at := func(l cpu.Layout) int { return c.img*l.Image() + o/qBlk*l.Plane() + l.Pixel(c.y0, 0) + o%qBlk }
		k.c = bytesPtr(r.buf.Out[at(b.out):])
		if b.res != nil {
			k.res = bytesPtr(r.buf.Res[at(*b.res):])
		}
		next := k.b
		if p < pc.p1-1 {
			next = unsafe.Add(k.b, 4*b.panelLen())
		}
		runTiles(k, b.tiles[c.rows], next, 4*b.panelLen())
	}
}

// runTiles runs one panel over tiles and meanwhile brings the next one, of so many bytes, into the second-level cache.
func runTiles(k *kargs, tiles []mrTiles, next unsafe.Pointer, size int) {
	n := 0
	for _, t := range tiles {
		n += len(t.tiles)
	}
	steps := size / line // of a tile
	k.pf, k.pfStep = uintptr(next), int64(roundUp(ceilDiv(size, n*steps), line))
	if next == k.b {
		k.pfStep = 0
	}
	for _, t := range tiles {
		k.tiles, k.nt = &t.tiles[0], int64(len(t.tiles))
		t.f(k)
		k.pf += uintptr(k.pfStep) * uintptr(len(t.tiles)*steps)
	}
}

// widen copies what a chunk reads.
func (r *wordsRun) widen(k *kargs, c wordChunk, worker int) {
	b := r.b
	s := b.s
	dst := bytesPtr(r.own(worker))
	rows := (c.rows-1)*s.SH + (s.KH-1)*s.DH + 1
	cols := b.cols
	switch {
	case b.dense:
		rows, cols = 1, c.rows
	case b.taps == 1:
		rows = c.rows
	}
	for l := range b.in.Blocks() {
		quarters := ceilDiv(min(qBlk, s.C-l*qBlk), blk)
		src := r.buf.In[c.img*b.in.Image()+l*b.in.Plane():]
		for y := range rows {
			at := b.in.Pixel(c.y0*s.SH-s.PadT+y*b.stepY, -s.PadL)
			*k = kargs{a: bytesPtr(src[at:]), c: unsafe.Add(dst, line*(2*l*b.plane+y*b.cols)), nt: int64(cols), ps: int64(qBlk * b.stepX), cblk: int64(line * b.plane)}
			b.r.widen[quarters](k)
		}
	}
}
