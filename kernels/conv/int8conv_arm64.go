package conv

import (
	"math"
	"slices"
	"unsafe"

	"fettle/kernels/cpu"
)

// qcArgs is what the 8-bit kernels with 16 inputs along the vector read. The offsets are known to _asm/arm64gen/conv8.go; TestOffsetsNEON
// compares them.
type qcArgs struct {
	src, w, dst, scale unsafe.Pointer // scale: factors, addends, which are whole numbers, and the zero point eight times, of four outputs in turn
	_                  [8]byte
	deltas             *int32 // of each four outputs: steps that meet by twos, those that do not, the place of the first, distances from each to the next
	look               *[256]uint8
	half, quads        int64 // steps of 8 inputs, which come last; fours of outputs
	tiles              *tile
	nt, ps             int64
	lo, hi             uint8
	zero               int16
	rscale             float32
	clip               int64 // 1: lo and hi bound more than a byte does; 2: what comes out is looked up
	res                unsafe.Pointer
	rzero              uint8 // zero point of the residual
	_                  [7]byte
	_                  [64]byte // where fours of outputs meet
}

// flipArgs is what the copies of rows read.
type flipArgs struct {
	src, dst      unsafe.Pointer
	n, rows       int64 // vectors a row, rows
	inRow, outRow int64
	odd           int64 // from the row of the even vectors to that of the odd ones
}

// gatherArgs is what the gathering of windows reads.
type gatherArgs struct {
	src, dst  unsafe.Pointer
	n, rows   int64 // pixels, rows of a window
	inRow     int64
	len, tail int64 // bytes of a row of a window, and of these behind the first vector
	ps, size  int64 // bytes between windows in the input and in the copy
}

// neonConv is the 8-bit convolution for cores without dot products. The input is copied once with flipped top bits, and for stride 2 with
// even and odd columns apart, so that the kernel, which reads it once for every four outputs, has products and sums only.
// Of a first layer (fewer than 5 channels) windows are gathered, row by row of the output.
type neonConv struct {
	s     Shape
	first bool
	steps []int // 16 inputs each: block*taps + tap; of windows: one after the other
	half  int   // of the steps, those at the end with at most 8 inputs
	apart bool  // even and odd columns
}

func newNeonConv(s Shape, first bool) *neonConv {
	c := &neonConv{s: s, first: first}
	taps := s.KH * s.KW
	n, inputs := ceilDiv(s.C, qBlk)*taps, s.C
	if first {
		inputs = taps * s.C
		n, taps = ceilDiv(inputs, qBlk), 1
	}
	for i := range n {
		c.steps = append(c.steps, i)
	}
	if r := inputs % qBlk; r > 0 && r <= 8 && inputs > qBlk { // the first step is a whole one
		c.half = taps
	}
	c.apart = !first && s.SW == 2
	return c
}

// fits tells whether the tables of steps and distances can hold s.
func (c *neonConv) fits() bool {
	s := c.s
	return len(c.steps) < 1<<16 && float64(roundUp(s.C, qBlk))*float64(s.H+s.PadT+s.PadB)*float64(s.W+s.PadL+s.PadR) < 1<<30
}

// window bounds the rows that gatherRows takes.
const window = 32

func (c *neonConv) flips() bool { return true }

func (c *neonConv) looksUp() bool { return true }

// lookArgs is what look256 reads.
type lookArgs struct {
	dst   unsafe.Pointer
	table *[256]uint8
	n     int64 // lines of 16 bytes
}

// Words of four outputs: their weights, and the order of their steps, which lies behind all weights.
func (c *neonConv) quadLen() int      { return len(c.steps) * qBlk }
func (c *neonConv) orderLen() int     { return roundUp(1+len(c.steps), 2) / 2 }
func (c *neonConv) orderAt(m int) int { return ceilDiv(c.s.M, 4)*c.quadLen() + m/4*c.orderLen() }

func (c *neonConv) wordsLen() int { return max(c.orderAt(roundUp(c.s.M, 4)), c.smallLen()) }

// packWeights writes of each four outputs the weights, [step][output][16 inputs] bytes or, of two steps that meet, [output][step][16 inputs], and
// the order: how many pairs there are, then the steps, 16 bits each. For short sums it writes what their kernels read.
func (c *neonConv) packWeights(dst []float32, w []int8) {
	if c.smallWords() > 0 && !slices.Contains(w, -128) {
		c.packSmall(dst, w)
		return
	}
	s := c.s
	taps := s.KH * s.KW
	least := slices.Min(w)
	steps := make([][4 * qBlk]int8, len(c.steps))
	for m := 0; m < s.M; m += 4 {
		clear(steps)
		for i := range steps {
			for k := range qBlk {
				in, tap := i/taps*qBlk+k, i%taps
				if c.first {
					in, tap = (i*qBlk+k)%s.C, (i*qBlk+k)/s.C
				}
				if in < s.C && tap < s.KH*s.KW {
					for o := range min(4, s.M-m) {
						steps[i][o*qBlk+k] = w[((m+o)*s.C+in)*taps+tap]
					}
				}
			}
		}
		b := unsafe.Slice((*int8)(unsafe.Pointer(&dst[m/4*c.quadLen()])), 4*c.quadLen())
		order := unsafe.Slice((*uint16)(unsafe.Pointer(&dst[c.orderAt(m)])), 1+len(steps))[:1]
		var left []int
		whole := len(steps) - c.half
		pairs := [][2]int(nil)
		if least > -128 {
			pairs, left = twos(steps[:whole])
		} else {
			left = c.steps[:whole]
		}
		order[0] = uint16(len(pairs))
		for _, p := range pairs {
			for o := range 4 {
				for _, i := range p {
					b = b[copy(b, steps[i][o*qBlk:][:qBlk]):]
				}
			}
			order = append(order, uint16(p[0]), uint16(p[1]))
		}
		for _, i := range append(slices.Clone(left), c.steps[whole:]...) {
			b = b[copy(b, steps[i][:]):]
			order = append(order, uint16(i))
		}
	}
}

// twos finds pairs of steps whose products meet in 16 bits: the absolute weights of the four inputs that share a lane sum to 255 at most for each output.
// Heavy steps are hard to place: they come first, and each takes the heaviest that still fits.
func twos(steps [][4 * qBlk]int8) (pairs [][2]int, left []int) {
	sums := make([][8]uint64, len(steps)) // of 32 lanes, 16 bits each
	most, order := make([]int, len(steps)), make([]int, len(steps))
	for i := range steps {
		order[i] = i
		for k, v := range steps[i] {
			a := max(int(v), -int(v))
			lane := k/qBlk*8 + k%8
			sums[i][lane/4] += uint64(a) << (lane % 4 * 16)
			most[i] += a
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return most[b] - most[a] })
	fit := func(a, b *[8]uint64) bool {
		const above = 0xff00_ff00_ff00_ff00
		var all uint64
		for i := range a {
			all |= a[i] + b[i]
		}
		return all&above == 0
	}
	for len(order) > 0 {
		i := order[0]
		order = order[1:]
		j := slices.IndexFunc(order[:min(len(order), 256)], func(j int) bool { return fit(&sums[i], &sums[j]) })
		if j < 0 {
			left = append(left, i)
			continue
		}
		pairs = append(pairs, [2]int{min(i, order[j]), max(i, order[j])})
		order = slices.Delete(order, j, j+1)
	}
	slices.SortFunc(pairs, func(a, b [2]int) int { return a[0] - b[0] }) // as the input lies, near enough
	slices.Sort(left)
	return pairs, left
}

type neonConvBound struct {
	*neonConv
	packed  []float32
	scale   []float32 // factors and addends by fours of outputs
	in, out cpu.Layout
	res     *cpu.Layout
	places  []int       // of the steps
	deltas  []int32     // of four outputs after the other
	kinds   []neonTiles // of the whole picture; of one row for a first layer
	args    qcArgs
	copy    flipArgs
	gather  gatherArgs
	of, to  steps // of in and out
	too     steps // of res
	plane   int   // bytes of a block of channels in the copy
	from    int   // of the first pixel that is copied, in a plane of the input
	scratch int
	rowsOf  int // rows of the output as they are tiled, their length and distance in the copy
	rowLen  int
	rowDown int
	parts   int // pieces of the tiles
	work    int
	wide    bool
	small   *smallBound // not nil: the sums are short
}

// neonTiles are the tiles of a number of pixels.
type neonTiles struct {
	m     int
	tiles []tile
	per   int // tiles of a call
}

// zeros8 is a zero point in all words of a vector.
func zeros8(z int16) (v [4]float32) {
	w := uint32(uint16(z)) * 0x1_0001
	for i := range v {
		v[i] = math.Float32frombits(w)
	}
	return v
}

func (c *neonConv) bindQ(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) QBound {
	s := c.s
	b := &neonConvBound{neonConv: c, packed: packed, in: in, out: out, res: res, work: workers, wide: packed[3] != 0, of: stepsOf(in), to: stepsOf(out)}
	if res != nil {
		b.too = stepsOf(*res)
	}
	b.args = qcArgs{half: int64(c.half), zero: int16(packed[4]), rscale: packed[0], rzero: uint8(packed[5])}
	var clip bool
	if b.args.lo, b.args.hi, clip = bounds8(packed); clip {
		b.args.clip = 1
	}
	n := roundUp(s.M, qBlk)
	from := packed[qHead+c.wordsLen():]
	short := c.smallWords() > 0 && !b.wide
	zero := zeros8(b.args.zero)
	for i := 0; i < n; i += 4 {
		b.scale = append(append(append(b.scale, from[i:i+4]...), from[n+i:n+i+4]...), zero[:]...)
	}
	if c.first {
		b.bindWindows()
	} else {
		b.bindCopy()
	}
	if short {
		off := b.plane // of the next block of channels
		if c.first {
			off = qBlk
		}
		b.small = b.bindSmall(out, from[:n], from[n:2*n], off)
		b.small.h, b.small.w, b.small.down = b.rowsOf, b.rowLen, b.rowDown
	}
	if b.small == nil {
		b.order()
	}
	b.parts = 1
	if n := ceilDiv(s.M, qBlk); workers > 1 && n < 4*workers {
		b.parts = ceilDiv(4*workers, n)
	}
	return b
}

// order makes the tables of all fours of outputs.
func (b *neonConvBound) order() {
	n := len(b.steps)
	for m := 0; m < b.s.M; m += 4 {
		order := unsafe.Slice((*uint16)(unsafe.Pointer(&b.packed[qHead+b.orderAt(m)])), 1+n)
		pairs := min(int(order[0]), (n-b.half)/2) // a prepared file may hold anything
		b.deltas = append(b.deltas, int32(pairs), int32(n-b.half-2*pairs))
		from := 0
		for _, i := range order[1:] {
			to := b.places[min(int(i), n-1)]
			b.deltas, from = append(b.deltas, int32(to-from)), to
		}
		b.deltas = append(b.deltas, 0)
	}
}

// bindWindows: a row of the output at a time, the windows of its pixels side by side.
func (b *neonConvBound) bindWindows() {
	s := b.s
	size := len(b.steps) * qBlk
	for i := range b.steps {
		b.places = append(b.places, i*qBlk)
	}
	b.args.ps = int64(size)
	n := s.KW * s.C
	b.gather = gatherArgs{n: int64(b.out.W), rows: int64(s.KH), inRow: int64(s.DH * b.in.Row()), len: int64(n), tail: int64(max(0, n-qBlk)), ps: int64(s.SW * s.C), size: int64(size)}
	b.plane = roundUp(b.out.W*size+64, 64)
	b.scratch = b.work * b.plane
	b.tile(1, b.out.W, func(_, x int) int { return x * size })
}

// bindCopy lays out the copy: the rows and columns that the taps read.
func (b *neonConvBound) bindCopy() {
	s := b.s
	g := copyPlace{s: s, in: b.in, out: b.out, vec: qBlk, apart: b.apart}.place()
	b.from = b.in.Pixel(-s.PadT, -s.PadL)
	b.copy = flipArgs{n: int64(g.cols), rows: int64(g.rows), inRow: int64(g.step * b.in.Row()), outRow: int64(g.row), odd: int64(g.odd)}
	h, w := b.out.H, b.out.W
	if g.step*b.in.Row() == g.row && !b.apart { // one long row
		b.copy.n, b.copy.rows = int64(g.rows*g.cols), 1
	}
	b.plane = g.plane
	b.scratch = s.N*ceilDiv(s.C, qBlk)*b.plane + 64
	for i := range b.steps {
		b.places = append(b.places, int(g.at(i)))
	}
	down, across := g.down, g.across
	b.args.ps = int64(across)
	none := cpu.Border{}
	if down == w*across && b.out.Border() == none && (b.res == nil || b.res.Border() == none) {
		h, w = 1, h*w
	}
	b.rowsOf, b.rowLen, b.rowDown = h, w, down
	b.tile(h, w, func(y, x int) int { return y*down + x*across })
}

// tile cuts h rows of w pixels into tiles of up to four.
func (b *neonConvBound) tile(h, w int, at func(y, x int) int) {
	b.kinds = make([]neonTiles, 5)
	for y := range h {
		x := 0
		for _, m := range segments(w, 4) {
			t := tile{a: int64(at(y, x)), c: int64(b.out.Pixel(y, x))}
			if h == 1 && w > b.out.W { // one long row
				t.c = int64(x * qBlk)
			}
			if b.res != nil {
				t.r = int64(b.res.Pixel(y, x))
				if h == 1 && w > b.out.W {
					t.r = int64(x * qBlk)
				}
			}
			b.kinds[m].m, b.kinds[m].tiles = m, append(b.kinds[m].tiles, t)
			x += m
		}
	}
	b.kinds = slices.DeleteFunc(b.kinds, func(k neonTiles) bool { return k.m == 0 })
	for i := range b.kinds {
		k := &b.kinds[i]
		k.per = max(1, callMults/(8*k.m*len(b.steps)*qBlk/4))
	}
}

// Scratch is the bytes of a run's scratch.
func (b *neonConvBound) Scratch() int { return b.scratch }

func (b *neonConvBound) OnQ(buf QBuffers) Run {
	hold(buf.In, buf.Out, buf.Res, b.in, b.out, b.res)
	if len(buf.Scratch) < b.scratch {
		buf.Scratch = cpu.Aligned[uint8](b.scratch)
	}
	r := &neonConvRun{b: b, buf: buf, scratch: bytesPtr(buf.Scratch), in: bytesPtr(buf.In), out: bytesPtr(buf.Out), res: bytesPtr(buf.Res), args: slices.Repeat([]qcArgs{b.args}, b.work), copies: slices.Repeat([]flipArgs{b.copy}, b.work), gathers: slices.Repeat([]gatherArgs{b.gather}, b.work)}
	if b.small != nil {
		r.smalls = slices.Repeat([]qsArgs{b.small.args}, b.work)
	}
	if buf.Table != nil {
		for i := range r.args {
			r.args[i].clip, r.args[i].look = 2, buf.Table
		}
		for i := range r.smalls {
			r.smalls[i].look = buf.Table
		}
	}
	r.kerns = neonConvKerns(!b.first && b.args.ps == qBlk, b.wide)
	return r
}

func neonConvKerns(dense, wide bool) [5]func(*qcArgs) {
	switch {
	case dense && !wide:
		return qcs1()
	case dense:
		return qcs1w()
	case !wide:
		return qcany()
	}
	return qcanyw()
}

// neonConvRun has one argument block a worker: arguments of kernels in tables escape.
type neonConvRun struct {
	b       *neonConvBound
	buf     QBuffers
	scratch unsafe.Pointer
	in      unsafe.Pointer
	out     unsafe.Pointer
	res     unsafe.Pointer
	kerns   [5]func(*qcArgs)
	args    []qcArgs
	copies  []flipArgs
	gathers []gatherArgs
	smalls  []qsArgs
}

func (r *neonConvRun) Stages() int {
	if r.b.first {
		return 1
	}
	return 2
}

func (r *neonConvRun) Pieces(stage int) int {
	b := r.b
	switch {
	case b.first:
		return b.s.N * b.out.H
	case stage == 0:
		return b.s.N * ceilDiv(b.s.C, qBlk)
	case b.small != nil:
		return b.s.N * b.smallPieces()
	}
	return b.s.N * ceilDiv(b.s.M, qBlk) * b.parts
}

func (r *neonConvRun) Piece(stage, i, worker int) {
	b := r.b
	switch {
	case b.first:
		r.row(i, worker)
	case stage == 0:
		r.flip(i, worker)
	case b.small != nil:
		r.shortRows(i, worker)
	default:
		img, j, part := 0, i, 0
		if b.s.N > 1 {
			n := ceilDiv(b.s.M, qBlk) * b.parts
			img, j = i/n, i%n
		}
		if b.parts > 1 {
			j, part = j/b.parts, j%b.parts
		}
		src := unsafe.Add(r.scratch, img*b.of.blocks*b.plane)
		r.panel(&r.args[worker], src, img, 0, j, part, b.parts)
	}
}

// flip copies a block of channels.
func (r *neonConvRun) flip(i, worker int) {
	b := r.b
	img, c := 0, i
	if n := b.of.blocks; b.s.N > 1 {
		img, c = i/n, i%n
	}
	k := &r.copies[worker]
	k.src = unsafe.Add(r.in, img*b.of.image+c*b.of.plane+b.from)
	k.dst = unsafe.Add(r.scratch, i*b.plane)
	if b.apart {
		flipSplit(k)
	} else {
		flipRows(k)
	}
}

// row gathers the windows of a row of the output and runs all panels over them.
func (r *neonConvRun) row(i, worker int) {
	b := r.b
	img, y := i/b.out.H, i%b.out.H
	k := &r.gathers[worker]
	k.src = unsafe.Add(bytesPtr(r.buf.In), img*b.in.Image()+b.in.Pixel(y*b.s.SH-b.s.PadT, -b.s.PadL))
	k.dst = unsafe.Add(r.scratch, worker*b.plane)
	gatherRows(k)
	if b.small != nil {
		b.small.run(&r.smalls[worker], k.dst, unsafe.Add(bytesPtr(r.buf.Out), img*b.out.Image()+b.out.Pixel(y, 0)), b.out.W)
		return
	}
	for p := range ceilDiv(b.s.M, qBlk) {
		r.panel(&r.args[worker], k.dst, img, y, p, 0, 1)
	}
}

// panel runs part of of of the tiles, y rows further down, for 16 outputs.
func (r *neonConvRun) panel(k *qcArgs, src unsafe.Pointer, img, y, p, part, of int) {
	b := r.b
	k.src = src
	k.w = ptr(b.packed[qHead+p*4*b.quadLen():])
	k.deltas = &b.deltas[p*4*(len(b.steps)+3)]
	k.scale = ptr(b.scale[3*p*qBlk:])
	k.dst = unsafe.Add(r.out, img*b.to.image+p*b.to.plane+y*b.to.row)
	if b.res != nil {
		k.res = unsafe.Add(r.res, img*b.too.image+p*b.too.plane+y*b.too.row)
	}
	k.quads = int64(ceilDiv(min(qBlk, b.s.M-p*qBlk), 4))
	for i := range b.kinds {
		s := &b.kinds[i]
		t := s.tiles
		if of > 1 {
			t = t[len(t)*part/of : len(t)*(part+1)/of]
		}
		for len(t) > 0 {
			n := min(s.per, len(t))
			k.tiles, k.nt = &t[0], int64(n)
			r.kerns[s.m](k)
			t = t[n:]
		}
	}
}
