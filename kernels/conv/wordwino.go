package conv

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// wordWino is a 3x3 convolution of bytes with stride 1 by F(2x2,3x3) in whole numbers: with twice Lavin and Gray's G, which has halves, the
// transformed weights are whole, at most 9*128, transformed inputs at most 4*255, and the sums four times those of the direct product. Sums
// may pass 32 bits on the way, but wrap back, since the last one fits: the result is that of the direct product, bit for bit.
type wordWino struct {
	wordSum
	r *wordRows
}

// winoChannels is where four times a sum over all inputs could leave 32 bits.
const winoChannels = (1<<31 - 1) / (4 * 9 * 255 * 128)

func newWordWino(s Shape, r *wordRows) *wordWino {
	if s.KH != 3 || s.KW != 3 || s.SH*s.SW*s.DH*s.DW != 1 || s.Groups > 1 || s.C < 8 || s.C > winoChannels {
		return nil
	}
	return &wordWino{newWordSum(s), r}
}

// wins tells whether it is faster than products of bytes: the transforms must serve some products.
func (d *wordWino) wins() bool { return d.s.C >= 16 }

// border is what the input needs: whole tiles are read.
func (d *wordWino) border() cpu.Border {
	s := d.s
	return cpu.Border{Top: s.PadT, Left: s.PadL, Bottom: max(0, roundUp(s.OutH(), 2)+2-s.PadT-s.H), Right: max(0, roundUp(s.OutW(), 2)+2-s.PadL-s.W)}
}

func (d *wordWino) wordsLen() int { return ceilDiv(d.s.M, d.r.panel) * d.panelLen() }

// pointLen is the words of 32 bits of a panel at one point.
func (d *wordWino) pointLen() int {
	if d.r.lanes {
		return d.lines * half * d.r.panel / 2
	}
	return d.pairs * d.r.panel
}

func (d *wordWino) panelLen() int { return 16 * d.pointLen() }

// at is where the weight of output j of a panel and of input c lies, in words of 16 bits.
func (d *wordWino) at(j, c int) int {
	if d.r.lanes {
		return c*d.r.panel + j
	}
	return c/2*2*d.r.panel + 2*j + c%2
}

// packWeights writes [panel][point][pair][outputs][2 channels], or [panel][point][channel][outputs].
func (d *wordWino) packWeights(dst []float32, w []int8) {
	s := d.s
	to := unsafe.Slice((*int16)(unsafe.Pointer(&dst[0])), 2*d.wordsLen())
	for m := range s.M {
		panel := to[m/d.r.panel*2*d.panelLen():]
		for in := range s.C {
			g := w[(m*s.C+in)*9:][:9]
			var t [4][3]int16 // 2G g
			for x := range 3 {
				a, b, c := int16(g[x]), int16(g[3+x]), int16(g[6+x])
				t[0][x], t[1][x], t[2][x], t[3][x] = 2*a, a+b+c, a-b+c, 2*c
			}
			for i, r := range t {
				for j, v := range [4]int16{2 * r[0], r[0] + r[1] + r[2], r[0] - r[1] + r[2], 2 * r[2]} {
					panel[2*(4*i+j)*d.pointLen()+d.at(m%d.r.panel, in)] = v
				}
			}
		}
	}
}

type wordWinoBound struct {
	*wordWino
	packed   []float32
	in, out  cpu.Layout
	res      *cpu.Layout
	chunks   []wordWinoChunk
	pieces   []wordPiece
	groups   []group
	t        winoArgs
	g        kargs
	maxT     int // tiles of the largest chunk
	vps, mps int // bytes between points of the transformed input and of the sums
	work     int
}

type wordWinoChunk struct {
	tiles []winoTile
	mul   []mrTiles
}

func (d *wordWino) bindQ(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) QBound {
	s := d.s
	b := &wordWinoBound{wordWino: d, packed: packed, in: in, out: out, res: res, work: workers}
	ty, tx := ceilDiv(out.H, 2), ceilDiv(out.W, 2)
	per := max(1, min(ty, d.r.chunk/(16*line*d.lines*tx)))
	if inOne(ceilDiv(ty, per), 4*d.panelLen(), 16*line*d.lines*tx*ty) {
		per = ty
	}
	if k := ceilDiv(ty, per); workers > 1 && k < workers && 4*d.wordsLen() <= ownWeights {
		per = ceilDiv(ty, workers)
	}
	for img := range out.N {
		for y0 := 0; y0 < ty; y0 += per {
			var c wordWinoChunk
			for y := y0; y < min(ty, y0+per); y++ {
				for x := range tx {
					t := winoTile{
						a:  int64(img*in.Image() + in.Pixel(2*y-s.PadT, 2*x-s.PadL)),
						c:  int64(img*out.Image() + out.Pixel(2*y, 2*x)),
						nr: int64(min(2, out.H-2*y)), nc: int64(min(2, out.W-2*x)),
					}
					if res != nil {
						t.r = int64(img*res.Image() + res.Pixel(2*y, 2*x))
					}
					c.tiles = append(c.tiles, t)
				}
			}
			by, x := make([][]tile, d.r.maxMR+1), 0
			for _, n := range segments(len(c.tiles), d.r.maxMR) {
				by[n] = append(by[n], tile{a: int64(x * line), c: int64(x * 4 * d.r.panel)})
				x += n
			}
			for n, t := range by {
				if len(t) > 0 {
					c.mul = append(c.mul, mrTiles{n, d.r.raw[n], t})
				}
			}
			b.chunks = append(b.chunks, c)
			b.maxT = max(b.maxT, len(c.tiles))
		}
	}
	b.vps, b.mps = line*odd(roundUp(d.lines, 2)*b.maxT), 4*d.r.panel*odd(b.maxT) // the transform fills lines for whole groups of 16 channels
	for ln := range d.lines {
		b.groups = append(b.groups, group{int64(ln * b.maxT * line), int64(d.steps(ln))})
	}
	b.pieces = share(len(b.chunks), ceilDiv(s.M, d.r.panel), workers)
	b.g = kargs{groups: &b.groups[0], nk: int64(len(b.groups)), ps: line, cblk: int64(b.maxT * line)}
	b.t = winoArgs{lo: packed[1], hi: packed[2], rscale: packed[0], zero: int32(packed[4]), rzero: int32(packed[5]), c: [8]float32{.25}}
	if _, _, clip := bounds8(packed); clip {
		b.t.act = int64(cpu.Clamp)
	}
	return b
}

// slot is the bytes of a worker: transformed input, and the sums of one panel.
func (b *wordWinoBound) slot() int { return 16 * (b.vps + b.mps) }

func (b *wordWinoBound) Scratch() int { return b.work * b.slot() }

func (b *wordWinoBound) OnQ(buf QBuffers) Run {
	hold(buf.In, buf.Out, buf.Res, b.in, b.out, b.res)
	if len(buf.Scratch) < b.Scratch() {
		buf.Scratch = cpu.Aligned[uint8](b.Scratch())
	}
	return &wordWinoRun{b, buf, make([]winoScratch, b.work)}
}

type wordWinoRun struct {
	b    *wordWinoBound
	buf  QBuffers
	args []winoScratch
}

func (r *wordWinoRun) Stages() int    { return 1 }
func (r *wordWinoRun) Pieces(int) int { return len(r.b.pieces) }

func (r *wordWinoRun) Piece(_, i, worker int) {
	b, pc := r.b, r.b.pieces[i]
	c := &b.chunks[pc.chunk]
	scr := &r.args[worker]
	v := bytesPtr(r.buf.Scratch[worker*b.slot():])
	m := unsafe.Add(v, 16*b.vps)
	t, k := &scr.t, &scr.k
	*t = b.t
	t.tiles, t.nt, t.ps, t.row = &c.tiles[0], int64(len(c.tiles)), int64(b.vps), int64(b.in.Row())
	t.rrow = int64(b.maxT * line)
	for c := 0; c < b.s.C; c += 16 {
		t.src = bytesPtr(r.buf.In[c/qBlk*b.in.Plane()+c%qBlk:])
		t.dst = unsafe.Add(v, c/half*b.maxT*line+c%half*2)
		b.r.in(t)
	}
	*k = b.g
	t.rrow = 0
	t.src, t.ps, t.row = m, int64(b.mps), int64(b.out.Row())
	if b.res != nil {
		t.rrow = int64(b.res.Row())
	}
	scale := qHead + b.wordsLen()
	bias := scale + roundUp(b.s.M, qBlk)
	for p := pc.p0; p < pc.p1; p++ {
		for point := range 16 {
			k.a, k.c = unsafe.Add(v, point*b.vps), unsafe.Add(m, point*b.mps)
			k.b = ptr(b.packed[qHead+p*b.panelLen()+point*b.pointLen():])
			next, size := k.b, 4*b.pointLen()
			if point < 15 || p < pc.p1-1 {
				next = unsafe.Add(k.b, size)
			}
			runTiles(k, c.mul, next, size)
		}
		o := p * b.r.panel
		t.scale, t.bias = ptr(b.packed[scale+o:]), ptr(b.packed[bias+o:])
		t.dst = bytesPtr(r.buf.Out[o/qBlk*b.out.Plane()+o%qBlk:])
		if b.res != nil {
			t.res = bytesPtr(r.buf.Res[o/qBlk*b.res.Plane()+o%qBlk:])
		}
		b.r.out(t)
	}
}
