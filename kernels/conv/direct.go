package conv

import (
	"slices"
	"unsafe"

	"fettle/kernels/cpu"
)

// kargs is what a micro-kernel reads. The offsets are known to _asm/amd64gen/conv.go; TestOffsets compares them.
type kargs struct {
	a, b, c, bias, res unsafe.Pointer
	groups             *group
	nk, cblk           int64 // groups; bytes between channel blocks of the output
	tiles              *tile
	nt, rblk, act      int64
	lo, hi             float32
	pf                 uintptr // next weights; may run past them, so it is no pointer
	pfStep             int64
	scale              unsafe.Pointer // 8 bit only, as the rest
	rscale             float32
	full               uint32 // 8 bit, arm64: some weight is -128
	perm               unsafe.Pointer
	ps                 int64          // bytes between two output pixels in the input
	mr, nb             int64          // for portable kernels
	gap, rgap          int64          // tiles that a row of the output breaks: bytes between the rows, and in the residual
	zero, rzero        int32          // zero points of the output and of the residual
	buf                unsafe.Pointer // AMX: sums of two tiles on their way to the store
	low                int64          // AMX: bytes from the upper parts of split pixels to the lower
}

type (
	tile  struct{ a, c, r int64 }    // byte offsets of a tile's first pixel in input, output and residual
	group struct{ off, steps int64 } // byte offset from that pixel and number of steps of one part of the sum
	kern  func(*kargs)
)

// rows are the micro-kernels of one tile shape.
type rows struct {
	isa        cpu.ISA
	nb, maxMR  int
	s1, s2, p  []kern // by pixels; nil entries are absent; p prefetches hard
	one        []kern // s1 for groups that lie at one distance from each other; nil: s1 does these too
	any        []kern
	b          []kern // s1 for tiles that a row of the output breaks; nil: tiles end with the row
	single     bool   // only any exists
	calm       bool   // nothing is prefetched
	gather     bool   // strided 1x1: copy the pixels that are read, then stride 1
	wide       int    // words a weight takes if not 1: 8-bit weights widened to 16
	flip       bool   // the kernel subtracts 128 from 8-bit inputs
	lanes      bool   // 16-bit weights by input: the kernel multiplies by lanes
	pairs      bool   // 8-bit weights in pairs of outputs by 8 inputs, 16 inputs a step
	lightTiles int    // with at least this many tiles a panel the light prefetch covers the next one
	chunk      int    // input bytes of one pass over all panels, if more than chunkBytes
	whole      bool   // groups of 16 words, the rest zero weights: tiles have no shorter sums
	slice      int    // groups of 16 inputs that a pass over the tiles takes at most, so that weights stay in the first-level cache; 0: all
}

// direct is the direct algorithm on blocked layouts, or on NHWC when nhwc is set (then one group is a row of taps).
type direct struct {
	s    Shape
	main *rows
	tail map[int]*rows // by blocks, for what is left of the output channels
	nhwc bool
	unit int // steps are of 4 inputs, or of 1 (variant any)

	from *Shape // a 1x1 convolution with strides as asked for: s is the one of stride 1 over the pixels that it reads, gathered first

	groups []group // offsets are filled in by bind; here: block*taps + tap
	panels []panel
	wLen   int
}

// panel is a run of output blocks with the part of the sum that they need: grouped convolutions read only some inputs.
type panel struct {
	block, nb  int
	g0, g1     int // range of groups
	w          int // offset of its weights, floats
	steps, len int // steps of the sum; floats of weights
}

const line = 4 * blk // bytes of a pixel of one block

// newDirect lays out panels. family lists the tile shapes of one instruction set by blocks.
func newDirect(s Shape, family map[int]*rows, nb int, nhwc bool) *direct {
	d := &direct{s: s, main: family[nb], tail: map[int]*rows{}, nhwc: nhwc, unit: 4}
	if d.main.gather && s.thin() {
		from := s
		d.from, d.s.H, d.s.W, d.s.SH, d.s.SW = &from, s.OutH(), s.OutW(), 1, 1
		s = d.s
	}
	if nhwc || s.SW > 2 || d.main.single {
		d.unit = 1
	}
	for n, r := range family {
		if d.table(r, 1) != nil {
			d.tail[n] = r
		}
	}
	ic, oc := ceilDiv(s.C, blk), ceilDiv(s.M, blk)
	taps := s.KH * s.KW
	d.groups, d.panels = make([]group, 0, max(s.KH, ic*taps)), make([]panel, 0, oc/nb+1)
	if nhwc {
		n := s.KW * s.C
		if d.main.whole {
			n = roundUp(n, blk)
		}
		for range s.KH {
			d.groups = append(d.groups, group{steps: int64(n)})
		}
	} else {
		for b := range ic {
			n := int64(ceilDiv(min(blk, s.C-b*blk), d.unit))
			if d.main.whole {
				n = int64(blk / d.unit)
			}
			for range taps {
				d.groups = append(d.groups, group{steps: n})
			}
		}
	}
	cg, mg := s.C/s.Groups, s.M/s.Groups
	for b := 0; b < oc; {
		n := min(nb, oc-b)
		for d.tail[n] == nil {
			n--
		}
		p := panel{block: b, nb: n, g0: 0, g1: len(d.groups), w: d.wLen}
		if s.Groups > 1 {
			first := b * blk / mg * cg
			last := ((min(s.M, (b+n)*blk)-1)/mg + 1) * cg
			p.g0, p.g1 = first/blk*taps, ceilDiv(last, blk)*taps
		}
		for _, g := range d.groups[p.g0:p.g1] {
			p.steps += int(g.steps)
		}
		p.len = p.steps * d.unit * n * blk * max(1, d.main.wide)
		d.wLen += p.len
		d.panels = append(d.panels, p)
		b += n
	}
	return d
}

// thin says that a convolution reads one pixel a window and not all of them: lines of every second pixel use half of the cache's sets.
func (s Shape) thin() bool {
	return s.KH*s.KW == 1 && s.SH*s.SW > 1 && s.PadT+s.PadL == 0 && s.M >= 64
}

func (d *direct) packedLen() int { return d.wLen + roundUp(d.s.M, blk) }

// pack writes all panels, [group][input][nb*16], and then the bias.
func (d *direct) pack(dst, w, bias []float32) {
	s := d.s
	taps := s.KH * s.KW
	cg, mg := s.C/s.Groups, s.M/s.Groups
	for _, p := range d.panels {
		at := p.w
		for g := p.g0; g < p.g1; g++ {
			for u := range int(d.groups[g].steps) * d.unit {
				c, tap := g/taps*blk+u, g%taps
				if d.nhwc {
					c, tap = u%s.C, g*s.KW+u/s.C
				}
				for j := range p.nb * blk {
					m := p.block*blk + j
					if m < s.M && c < s.C && m/mg == c/cg {
						dst[at+j] = w[(m*cg+c%cg)*taps+tap]
					}
				}
				at += p.nb * blk
			}
		}
	}
	copy(dst[d.wLen:], bias)
}

// directBound is a direct convolution with its tables.
type directBound struct {
	*direct
	packed  []float32
	groups  []group
	chunks  []chunk
	args    kargs
	in, out cpu.Layout
	thin    cpu.Layout // of the gathered input
	res     *cpu.Layout
	work    int
	slice   int // groups a pass, 0: all in one
	row     int // pixels after which the output's rows break, where the input is one long row; 0: tiles end with the row
	zeros   []float32
	blocks  int     // of the output
	lines   int     // output blocks in a line of 64 bytes: 1, or 4 in 8 bit
	pieces  []piece // what workers claim
}

// chunk is a part of the output whose input stays in the second-level cache: tiles by panel width and number of pixels.
type chunk struct{ by [maxBlocks + 1][]mrTiles }

// maxBlocks is the most blocks of output channels of a panel.
const maxBlocks = 4

type mrTiles struct {
	mr    int
	f     kern
	tiles []tile
}

// piece is panels p0..p1 over share part of of of a chunk's tiles.
type piece struct{ chunk, p0, p1, part, of int }

// chunkBytes bounds the input bytes that one pass over all panels touches. It must leave room for weights in a second-level
// cache of 512 KB: with 384 KB 1x1 layers lost 12 % on a Zen 3, with 64 KB 5 %. A cache of 1 MB or more takes three eighths of it, which won
// on a Zen 5.
const chunkBytes = 128 << 10

func chunkFor(l2 int) int {
	if l2 < 1<<20 {
		return chunkBytes
	}
	return min(l2, 4<<20) / 8 * 3
}

// segments splits n pixels into runs of at most m of nearly equal length.
func segments(n, m int) []int {
	k := ceilDiv(n, m)
	s := make([]int, k)
	for i := range s {
		s[i] = n*(i+1)/k - n*i/k
	}
	return s
}

func (d *direct) bind(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) Bound {
	return d.bindSized(packed, in, out, res, workers, 4, 4)
}

// bindSized is bind for elements of inSize and outSize bytes.
func (d *direct) bindSized(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers, inSize, outSize int) *directBound {
	s := d.s
	b := &directBound{direct: d, packed: packed, in: in, out: out, res: res, work: workers, blocks: ceilDiv(out.C, blk), lines: 4 / outSize}
	if d.from != nil {
		in = cpu.NewLayout(in.N, in.C, s.H, s.W, in.Block, cpu.Border{})
		b.thin = in
	}
	irow, px := inSize*in.Row(), inSize*in.Block
	b.groups = append([]group(nil), d.groups...)
	for g := range b.groups {
		if d.nhwc {
			b.groups[g].off = int64(g * s.DH * irow)
			continue
		}
		taps := s.KH * s.KW
		t := g % taps
		b.groups[g].off = int64(inSize*(g/taps)*in.Plane() + t/s.KW*s.DH*irow + t%s.KW*s.DW*px)
	}
	b.args = kargs{act: int64(s.Act.Kind), lo: s.Act.A, hi: s.Act.B, cblk: int64(outSize * out.Plane()), ps: int64(s.SW * px)}
	if res != nil {
		b.args.rblk = int64(outSize * res.Plane())
	}
	// Passes after the first add to the output itself, through the residual: it must lie as the output does.
	if d.main.slice > 0 && !d.nhwc && outSize == 4 && (res == nil || *res == out) {
		b.slice, b.zeros = d.main.slice, make([]float32, blk*d.main.nb)
		b.args.rblk = b.args.cblk
		res = &out
	}
	b.tile(in, out, res, inSize, outSize)
	b.share(workers)
	return b
}

// region is a part of the output of one picture.
type region struct{ img, y0, y1, x0, x1 int }

// tile cuts the output into chunks and these into tiles.
func (b *directBound) tile(in, out cpu.Layout, res *cpu.Layout, inSize, outSize int) {
	s := b.s
	h, w := out.H, out.W
	none := cpu.Border{}
	if s.KH*s.KW*s.SH*s.SW == 1 && in.Border() == none {
		switch {
		case out.Border() == none && (res == nil || res.Border() == none):
			h, w = 1, h*w // one long row
		case b.main.b != nil && w >= b.main.maxMR && b.unit == 4:
			h, w, b.row = 1, h*w, w // one long row of the input
			b.args.gap = int64(outSize * (out.Row() - out.W*out.Block))
			if res != nil {
				b.args.rgap = int64(outSize * (res.Row() - res.W*res.Block))
			}
		}
	}
	rowsPer, colsPer := b.chunkSize(in, h, w, inSize)
	place := func(img, y, x int) tile {
		t := tile{a: int64(inSize * (img*in.Image() + in.Pixel(y*s.SH-s.PadT, -s.PadL) + x*s.SW*in.Block))}
		if b.row > 0 {
			y, x = x/b.row, x%b.row
		}
		t.c = int64(outSize * (img*out.Image() + out.Pixel(y, x)))
		if res != nil {
			t.r = int64(outSize * (img*res.Image() + res.Pixel(y, x)))
		}
		return t
	}
	for img := range out.N {
		for y := 0; y < h; y += rowsPer {
			for x := 0; x < w; x += colsPer {
				b.chunks = append(b.chunks, b.cut(region{img, y, min(h, y+rowsPer), x, min(w, x+colsPer)}, place))
			}
		}
	}
}

// chunkSize is the number of rows and columns of the output h x w that one chunk covers. Chunks read the weights again, panels the
// input: the smaller traffic wins.
func (b *directBound) chunkSize(in cpu.Layout, h, w, inSize int) (rows, cols int) {
	s := b.s
	inBytes := roundUp(in.C, in.Block) * in.H * in.W * inSize
	if s.KH*s.KW == 1 {
		inBytes /= s.SH * s.SW // only these pixels are read
	}
	limit := max(chunkBytes, b.main.chunk)
	if n := b.passes(&b.panels[0]); s.Groups == 1 && n > 1 {
		inBytes /= n // a pass over all panels reads this part; the sums wait in the output
		limit += limit / 2
	}
	n := inBytes / limit
	switch {
	case n == 0 || n*4*b.wLen >= (len(b.panels)-1)*inBytes:
		return h, w
	case h > 1:
		return max(1, h*limit/inBytes), w
	}
	mr := b.main.maxMR
	return h, mr * max(1, w/mr*limit/inBytes)
}

// cut makes the tiles of a region for every panel width that occurs.
func (b *directBound) cut(r region, place func(img, y, x int) tile) chunk {
	var c chunk
	for _, p := range b.panels {
		if c.by[p.nb] != nil {
			continue
		}
		shape := b.tail[p.nb]
		table := b.table(shape, 1)
		type form struct {
			mr     int
			breaks bool
		}
		type kind struct {
			form
			tiles []tile
		}
		var kinds []kind // a few
		n := 0
		for y := r.y0; y < r.y1; y++ {
			x := r.x0
			for _, m := range segments(r.x1-r.x0, shape.maxMR) {
				for end := x + m; x < end; n++ {
					mr := end - x
					for mr >= len(table) || table[mr] == nil {
						mr--
					}
					f, t := form{mr: mr}, place(r.img, y, x)
					if b.row > 0 && b.row-x%b.row < mr {
						f.breaks = true
						t.a += int64(b.row - x%b.row) // in the low bits, which are free: pixels before the break
					}
					i := slices.IndexFunc(kinds, func(k kind) bool { return k.form == f })
					if i < 0 {
						i = len(kinds)
						room := r.y1 - r.y0 // of what a row has left over
						if mr == shape.maxMR && !f.breaks {
							room *= max(1, (r.x1-r.x0)/mr)
						}
						kinds = append(kinds, kind{f, make([]tile, 0, room)})
					}
					kinds[i].tiles = append(kinds[i].tiles, t)
					x += mr
				}
			}
		}
		table = b.table(shape, n)
		for _, f := range kinds {
			k := table[f.mr]
			if f.breaks {
				k = shape.b[f.mr]
			}
			c.by[p.nb] = append(c.by[p.nb], mrTiles{f.mr, k, f.tiles})
		}
	}
	return c
}

// table chooses the variant of a tile shape.
func (d *direct) table(r *rows, tiles int) []kern {
	switch {
	case d.unit == 1:
		return r.any
	case d.s.SW == 2:
		return r.s2
	case r.p != nil && tiles < r.lightTiles:
		return r.p
	case r.one != nil && d.s.KH*d.s.KW == 1:
		return r.one
	}
	return r.s1
}

// share decides what workers claim: panels if there are enough of them and the weights are larger than the input, else
// ranges of tiles.
func (b *directBound) share(workers int) {
	np := len(b.panels)
	if workers == 1 {
		for c := range b.chunks {
			b.pieces = append(b.pieces, piece{c, 0, np, 0, 1})
		}
		return
	}
	s := b.s
	if np >= 2*workers && b.wLen >= s.C*s.H*s.W {
		for c := range b.chunks {
			for p := range np {
				b.pieces = append(b.pieces, piece{c, p, p + 1, 0, 1})
			}
		}
		return
	}
	cut := workers
	if len(b.chunks) < 4 {
		cut = 3 * workers
	}
	for c := range b.chunks {
		for i := range cut {
			b.pieces = append(b.pieces, piece{c, 0, np, i, cut})
		}
	}
}

func (b *directBound) Scratch() int {
	if b.from == nil {
		return 0
	}
	return b.thin.Len()
}

func (b *directBound) On(buf Buffers) Run {
	hold(buf.In, buf.Out, buf.Res, b.in, b.out, b.res)
	r := &directRun{b: b, args: make([]kargs, b.work)}
	base := b.args
	base.a, base.c = ptr(buf.In), ptr(buf.Out)
	if b.from != nil {
		if len(buf.Scratch) < b.Scratch() {
			panic("conv: no room for the gathered input")
		}
		r.from, r.thin = buf.In, buf.Scratch
		base.a = ptr(buf.Scratch)
	}
	if b.s.Residual {
		base.res = ptr(buf.Res)
	}
	base.b = ptr(b.packed)
	base.bias = ptr(b.packed[b.wLen:])
	r.base = base
	return r
}

func ptr(f []float32) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(f)) }

// directRun has one argument block a worker: arguments of kernels in tables escape, and a fresh block a call would cost memory.
type directRun struct {
	b          *directBound
	base       kargs
	args       []kargs
	from, thin []float32 // where the input is gathered first
	buf        []uint8   // AMX: tileBuffer bytes a worker
}

func (r *directRun) Stages() int {
	if r.from != nil {
		return 2
	}
	return 1
}

func (r *directRun) Pieces(stage int) int {
	if r.from != nil && stage == 0 {
		return r.b.thin.N * r.b.thin.Blocks()
	}
	return len(r.b.pieces)
}

// gather copies the pixels of one channel block that the convolution reads.
func (r *directRun) gather(i int) {
	b := r.b
	img, c := i/b.thin.Blocks(), i%b.thin.Blocks()
	to := r.thin[img*b.thin.Image()+c*b.thin.Plane():]
	from := r.from[img*b.in.Image()+c*b.in.Plane()+b.in.Pixel(0, 0):]
	step, row, w := b.from.SW*blk, b.from.SH*b.in.Row(), b.thin.W
	for y := range b.thin.H {
		line := from[y*row:][:(w-1)*step+blk]
		copyPixels(to[y*w*blk:][:w*blk], line, step)
	}
}

// copyPixels copies every step-th of the pixels of from to to.
func copyPixels(to, from []float32, step int) {
	if len(to) == 0 {
		return
	}
	d, p := unsafe.Pointer(&to[0]), unsafe.Pointer(&from[0])
	for i := range uintptr(len(to) / blk) { // without checks: the caller has cut both
		*(*[blk]float32)(unsafe.Add(d, i*line)) = *(*[blk]float32)(unsafe.Add(p, i*uintptr(4*step)))
	}
}

func (r *directRun) Piece(stage, i, worker int) {
	if r.from != nil && stage == 0 {
		r.gather(i)
		return
	}
	b, pc := r.b, r.b.pieces[i]
	k := &r.args[worker]
	*k = r.base
	if r.buf != nil {
		k.buf = unsafe.Pointer(&r.buf[worker*tileBuffer])
	}
	n := b.passes(&b.panels[pc.p0])
	if b.s.Groups > 1 { // panels have passes of their own
		for p := pc.p0; p < pc.p1; p++ {
			n := b.passes(&b.panels[p])
			for i := range n {
				r.pass(k, pc, p, i, n)
			}
		}
		return
	}
	for i := range n { // over all panels, so that this part of the input stays in the second-level cache
		for p := pc.p0; p < pc.p1; p++ {
			r.pass(k, pc, p, i, n)
		}
	}
}

// passes is the number of parts in which the sum of a panel is made.
func (b *directBound) passes(pn *panel) int {
	if n := pn.g1 - pn.g0; b.slice > 0 && n > b.slice+b.slice/2 {
		return ceilDiv(n, b.slice)
	}
	return 1
}

// part is where part i of n of a panel's sum begins in the groups and the packed weights (floats), and its length in groups and steps.
func (b *directBound) part(p, i, n int) (g0, g1, w, steps int) {
	pn := &b.panels[p]
	if n == 1 {
		return pn.g0, pn.g1, pn.w, pn.steps
	}
	g0, g1 = pn.g0+(pn.g1-pn.g0)*i/n, pn.g0+(pn.g1-pn.g0)*(i+1)/n
	before := 0
	for _, g := range b.groups[pn.g0:g0] {
		before += int(g.steps)
	}
	for _, g := range b.groups[g0:g1] {
		steps += int(g.steps)
	}
	return g0, g1, pn.w + before*b.unit*pn.nb*blk, steps
}

// pass runs part i of n of the sum of panel p over the tiles of a piece.
func (r *directRun) pass(k *kargs, pc piece, p, i, n int) {
	b := r.b
	pn := &b.panels[p]
	sets := b.chunks[pc.chunk].by[pn.nb]
	outBlock, block := pn.block, 0
	if b.lines > 1 {
		outBlock, block = pn.block/b.lines, pn.block%b.lines*(line/b.lines)
	}
	k.c = unsafe.Add(r.base.c, outBlock*int(r.base.cblk)+block)
	k.bias = unsafe.Add(r.base.bias, pn.block*blk*4)
	if r.base.scale != nil {
		k.scale = unsafe.Add(r.base.scale, pn.block*blk*4)
	}
	k.res, k.act = nil, r.base.act
	if r.base.res != nil {
		k.res = unsafe.Add(r.base.res, outBlock*int(r.base.rblk)+block)
	}
	k.nb = int64(min(pn.nb, b.blocks-pn.block))
	g0, g1, w, steps := pn.g0, pn.g1, pn.w, pn.steps
	if n > 1 {
		g0, g1, w, steps = b.part(p, i, n)
	}
	k.b = unsafe.Add(r.base.b, 4*w)
	if i < n-1 {
		k.act = int64(cpu.None)
	}
	if i > 0 {
		k.bias, k.res = ptr(b.zeros), k.c
	}
	k.groups, k.nk = &b.groups[g0], int64(g1-g0)
	if !b.main.calm {
		r.ahead(k, pc, p, i, n, sets, steps)
	}
	for j := range sets {
		s := &sets[j]
		t := s.tiles
		if pc.of > 1 {
			t = t[len(t)*pc.part/pc.of : len(t)*(pc.part+1)/pc.of]
		}
		if len(t) == 0 {
			continue
		}
		k.tiles, k.nt, k.mr = &t[0], int64(len(t)), int64(s.mr)
		ahead := int(k.pfStep) * len(t) * steps
		s.f(k)
		if !b.main.whole { // tiles move the mark themselves
			k.pf += uintptr(ahead)
		}
	}
}

// ahead marks what comes next and is prefetched: this part of the next panel, or the next part of the first one.
func (r *directRun) ahead(k *kargs, pc piece, p, i, n int, sets []mrTiles, steps int) {
	b := r.b
	k.pf, k.pfStep = uintptr(k.b), 0
	np, ni := p+1, i
	if b.s.Groups > 1 && i < n-1 {
		np, ni = p, i+1
	} else if b.s.Groups == 1 && np == pc.p1 && i < n-1 {
		np, ni = pc.p0, i+1
	}
	if np < len(b.panels) {
		m := n
		if b.s.Groups > 1 && np != p {
			m, ni = b.passes(&b.panels[np]), 0
		}
		_, _, follow, next := b.part(np, ni, m)
		next *= b.unit * b.panels[np].nb * blk * max(1, b.main.wide)
		all := 0
		for _, s := range sets {
			n := len(s.tiles)*(pc.part+1)/pc.of - len(s.tiles)*pc.part/pc.of
			if b.main.whole { // two tiles and sixteen words at a time
				n = ceilDiv(n, 2)
			}
			all += n * steps
		}
		k.pf = uintptr(r.base.b) + uintptr(4*follow)
		if b.main.whole {
			k.pfStep = int64(ceilDiv(4*next, max(1, all/blk)))
		} else {
			k.pfStep = int64(roundUp(4*next/max(1, all), 64))
		}
	}
}
