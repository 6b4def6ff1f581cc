package conv

import (
	"slices"
	"unsafe"

	"fettle/kernels/cpu"
)

// halfArgs is what the kernels in half precision read. The offsets are known to _asm/arm64gen/half.go; TestOffsetsNEON compares them.
type halfArgs struct {
	src, w, dst, bias unsafe.Pointer
	deltas            *int64 // from the place of one step to that of the next
	steps, chunk      int64  // steps of 8 inputs; those whose sums stay in halves
	tiles             *tile
	nt                int64
	outBlk, blocks    int64 // bytes from block to block; blocks of 4 outputs that are stored
	res               unsafe.Pointer
	resBlk            int64
	lo, hi            float32
	act               int64
	_                 [8]byte
	biases, sums      [7 * 6 * 4]float32
}

// narrowArgs is what the copies of rows as halves read.
type narrowArgs struct {
	a, b, dst     unsafe.Pointer // two blocks of channels; b nil: zeros
	n, rows       int64          // pixels a row, rows
	inRow, outRow int64
	odd           int64 // from the row of the even pixels to that of the odd ones
}

const (
	hBlk   = 8  // channels of a pixel in the copy, a vector of halves
	hPanel = 24 // outputs of a panel
	// halfChunk is the steps whose sums stay in halves: 64 products.
	halfChunk = 8
)

// halfConv is a convolution whose products and sums are halves. A first stage copies the input as halves, for stride 2 even and odd columns apart.
type halfConv struct {
	s     Shape
	steps int // of 8 inputs: block*taps + tap
}

// halfAlgorithms are those in half precision, where the shape allows them and the processor has them.
func halfAlgorithms(s Shape, f cpu.Features) []*Algorithm {
	if !s.Half || s.Groups > 1 || s.C < hBlk || s.SW > 2 || s.C*s.KH*s.KW > 1<<20 || !f.Has(cpu.NEONFP16) {
		return nil
	}
	c := &halfConv{s: s, steps: ceilDiv(s.C, hBlk) * s.KH * s.KW}
	return []*Algorithm{{Name: "f32_conv_half_7x24__" + cpu.NEONFP16.String(), ISA: cpu.NEONFP16, MACs: s.MACs(),
		In: cpu.Need{Block: blk, Border: s.border()}, Out: cpu.Need{Block: blk}, Shape: s, impl: c}}
}

func (c *halfConv) weights() int { return c.steps * hBlk * roundUp(c.s.M, hBlk) } // halves

func (c *halfConv) packedLen() int { return c.weights()/2 + roundUp(c.s.M, hPanel) }

// pack writes [panel of up to 24 outputs][step][8 inputs][outputs] halves, and then the bias.
func (c *halfConv) pack(dst, w, bias []float32) {
	s, taps := c.s, c.s.KH*c.s.KW
	h := unsafe.Slice((*uint16)(unsafe.Pointer(&dst[0])), c.weights())
	for m0 := 0; m0 < s.M; m0 += hPanel {
		n := min(hPanel, roundUp(s.M-m0, hBlk))
		at := h[c.steps*hBlk*m0:]
		for i := range c.steps {
			for k := range hBlk {
				in, tap := i/taps*hBlk+k, i%taps
				if in >= s.C {
					break
				}
				for j := range min(n, s.M-m0) {
					at[(i*hBlk+k)*n+j] = cpu.Float16(w[((m0+j)*s.C+in)*taps+tap])
				}
			}
		}
	}
	if bias != nil {
		copy(dst[c.weights()/2:], bias)
	}
}

type halfBound struct {
	*halfConv
	packed  []float32
	in, out cpu.Layout
	res     *cpu.Layout
	deltas  []int64
	kinds   []neonTiles
	args    halfArgs
	copy    narrowArgs
	apart   bool
	plane   int // bytes of 8 channels in the copy
	from    int // of the first pixel that is copied, in a plane of the input
	parts   int // pieces of the tiles
	work    int
}

func (c *halfConv) bind(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) Bound {
	s := c.s
	b := &halfBound{halfConv: c, packed: packed, in: in, out: out, res: res, work: workers, apart: s.SW == 2, parts: 1}
	g := copyPlace{s: s, in: in, out: out, vec: 2 * hBlk, apart: b.apart}.place()
	b.plane, b.from = g.plane, in.Pixel(-s.PadT, -s.PadL)
	b.copy = narrowArgs{n: int64(g.cols), rows: int64(g.rows), inRow: int64(4 * g.step * in.Row()), outRow: int64(g.row), odd: int64(g.odd)}
	if g.step*in.Row()*2*hBlk == g.row*blk && !b.apart { // one long row
		b.copy.n, b.copy.rows = int64(g.rows*g.cols), 1
	}
	b.deltas = g.deltas(c.steps)
	b.args = halfArgs{deltas: &b.deltas[0], steps: int64(c.steps), chunk: halfChunk, outBlk: int64(4 * out.Plane()), act: int64(s.Act.Kind), lo: s.Act.A, hi: s.Act.B}
	if res != nil {
		b.args.resBlk = int64(4 * res.Plane())
	}
	h, w := out.H, out.W
	none := cpu.Border{}
	if g.down == w*g.across && out.Border() == none && (res == nil || res.Border() == none) {
		h, w = 1, h*w
	}
	b.kinds = make([]neonTiles, 8)
	for y := range h {
		x := 0
		for _, m := range segments(w, 7) {
			t := tile{a: int64(y*g.down + x*g.across), c: int64(4 * (out.Pixel(y, 0) + x*blk))}
			if res != nil {
				t.r = int64(4 * (res.Pixel(y, 0) + x*blk))
			}
			b.kinds[m].m, b.kinds[m].tiles = m, append(b.kinds[m].tiles, t)
			x += m
		}
	}
	b.kinds = slices.DeleteFunc(b.kinds, func(k neonTiles) bool { return k.m == 0 })
	if n := ceilDiv(s.M, hPanel); workers > 1 && n < 4*workers {
		b.parts = ceilDiv(4*workers, n)
	}
	return b
}

// Scratch is the floats of the copy.
func (b *halfBound) Scratch() int { return (b.s.N*ceilDiv(b.s.C, hBlk)*b.plane + 64) / 4 }

func (b *halfBound) On(buf Buffers) Run {
	hold(buf.In, buf.Out, buf.Res, b.in, b.out, b.res)
	if len(buf.Scratch) < b.Scratch() {
		panic("conv: no room for the input in halves")
	}
	return &halfRun{b: b, buf: buf, kerns: [4][8]func(*halfArgs){1: half1(), 2: half2(), 3: half3()}, args: slices.Repeat([]halfArgs{b.args}, b.work), copies: slices.Repeat([]narrowArgs{b.copy}, b.work)}
}

// halfRun has one argument block a worker: arguments of kernels in tables escape.
type halfRun struct {
	b      *halfBound
	buf    Buffers
	kerns  [4][8]func(*halfArgs)
	args   []halfArgs
	copies []narrowArgs
}

func (r *halfRun) Stages() int { return 2 }

func (r *halfRun) Pieces(stage int) int {
	b := r.b
	if stage == 0 {
		return b.s.N * ceilDiv(b.s.C, hBlk)
	}
	return b.s.N * ceilDiv(b.s.M, hPanel) * b.parts
}

func (r *halfRun) Piece(stage, i, worker int) {
	b := r.b
	if stage == 0 {
		r.narrow(i, worker)
		return
	}
	n := ceilDiv(b.s.M, hPanel)
	img, j := i/(n*b.parts), i%(n*b.parts)
	r.panel(&r.args[worker], img, j/b.parts, j%b.parts)
}

// narrow copies 8 channels.
func (r *halfRun) narrow(i, worker int) {
	b := r.b
	n := ceilDiv(b.s.C, hBlk)
	k := &r.copies[worker]
	from := r.buf.In[i/n*b.in.Image()+2*(i%n)*b.in.Plane()+b.from:]
	k.a, k.b = ptr(from), nil
	if 2*(i%n)+1 < b.in.Blocks() {
		k.b = ptr(from[b.in.Plane():])
	}
	k.dst = unsafe.Add(unsafe.Pointer(ptr(r.buf.Scratch)), i*b.plane)
	if b.apart {
		narrowSplit(k)
	} else {
		narrowRows(k)
	}
}

// panel runs a part of the tiles for up to 24 outputs.
func (r *halfRun) panel(k *halfArgs, img, p, part int) {
	b, s := r.b, r.b.s
	m := p * hPanel
	nb := min(3, ceilDiv(s.M-m, hBlk))
	k.src = unsafe.Add(ptr(r.buf.Scratch), img*ceilDiv(s.C, hBlk)*b.plane)
	k.w = unsafe.Add(ptr(b.packed), 2*b.halfConv.steps*hBlk*m)
	k.bias = ptr(b.packed[b.weights()/2+m:])
	k.dst = ptr(r.buf.Out[img*b.out.Image()+m/blk*b.out.Plane():])
	if b.res != nil {
		k.res = ptr(r.buf.Res[img*b.res.Image()+m/blk*b.res.Plane():])
	}
	k.blocks = int64(min(2*nb, ceilDiv(s.M-m, blk)))
	for _, kind := range b.kinds {
		t := kind.tiles[len(kind.tiles)*part/b.parts : len(kind.tiles)*(part+1)/b.parts]
		per := max(1, callMults/(hBlk*nb*kind.m*b.halfConv.steps))
		for len(t) > 0 {
			n := min(per, len(t))
			k.tiles, k.nt = &t[0], int64(n)
			r.kerns[nb][kind.m](k)
			if cpu.ActKind(k.act) > cpu.Clamp {
				actTiles(&kargs{c: k.dst, cblk: k.outBlk, tiles: k.tiles, nt: k.nt, act: k.act, lo: k.lo, hi: k.hi}, int64(kind.m), k.blocks)
			}
			t = t[n:]
		}
	}
}
