package conv

import (
	"fmt"
	"math"
	"unsafe"

	"fettle/kernels/cpu"
)

// winoArgs is what the transform kernels read. The offsets are known to _asm/amd64gen/winograd.go; TestOffsets compares them.
type winoArgs struct {
	src, dst    unsafe.Pointer
	tiles       *winoTile
	nt, row, ps int64
	bias, res   unsafe.Pointer
	rrow, act   int64
	lo, hi      float32
	tmp         unsafe.Pointer
	c           [8]float32
	scale       unsafe.Pointer // 8 bit only, as the rest
	rscale      float32
	zero, rzero int32
}

// winoTile: byte offsets in input, output and residual; rows and columns that exist in the output.
type winoTile struct{ a, c, r, nr, nc int64 }

type winoKern func(*winoArgs)

// winoRows are the transforms F(4x4,3x3) and F(2x2,3x3); edge writes only the pixels that exist.
type winoRows struct {
	isa                                cpu.ISA
	in4, out4, edge4, in2, out2, edge2 winoKern
	span                               dwKern
	half                               int // bytes of a line that one call covers, if not all
}

// call runs a transform, for kernels of half a line twice.
func (r *winoRows) call(f winoKern, t *winoArgs) {
	f(t)
	if r.half == 0 {
		return
	}
	for _, p := range []*unsafe.Pointer{&t.src, &t.dst, &t.bias, &t.res, &t.tmp} {
		if *p != nil {
			*p = unsafe.Add(*p, r.half)
		}
	}
	f(t)
	for _, p := range []*unsafe.Pointer{&t.src, &t.dst, &t.bias, &t.res, &t.tmp} {
		if *p != nil {
			*p = unsafe.Add(*p, -r.half)
		}
	}
}

// F(4x4,3x3) uses the points 0, +-a, +-b, infinity: a = sqrt(1/2), b = sqrt(2) halve the error of 1 and 2
// (1.1e-6 of the largest output at 64 channels; direct 0.9e-6).
const winoP, winoQ = 0.5, 2.0

// winoG is G of F(m,3): filter to m+2 points. Source: Lavin and Gray 2015, arXiv:1509.09308.
func winoG(m int) [][3]float64 {
	if m == 2 {
		return [][3]float64{{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}}
	}
	a, b, p, q := math.Sqrt(winoP), math.Sqrt(winoQ), winoP, winoQ
	na, nb := 2*p*(p-q), 2*q*(q-p)
	return [][3]float64{{1 / (p * q), 0, 0}, {1 / na, a / na, p / na}, {1 / na, -a / na, p / na}, {1 / nb, b / nb, q / nb}, {1 / nb, -b / nb, q / nb}, {0, 0, 1}}
}

// winoWeights computes u = G g G^T for one 3x3 filter.
func winoWeights(u []float32, gm [][3]float64, g []float32) {
	var t [6][3]float64
	for i := range gm {
		for x := range 3 {
			t[i][x] = gm[i][0]*float64(g[x]) + gm[i][1]*float64(g[3+x]) + gm[i][2]*float64(g[6+x])
		}
	}
	for i := range gm {
		for j := range gm {
			u[i*len(gm)+j] = float32(t[i][0]*gm[j][0] + t[i][1]*gm[j][1] + t[i][2]*gm[j][2])
		}
	}
}

// ownWeights bounds the bytes of transformed weights that every worker reads by itself. Beyond, workers share the points of a chunk, and meet
// after each of its phases: with 16 channels that made two workers twice as slow as one.
const ownWeights = 1 << 20

// winograd is a 3x3 convolution of stride 1 by F(m x m, 3x3): input transform, (m+2)^2 products, output transform.
type winograd struct {
	s        Shape
	r        *winoRows
	mul      *rows
	m        int
	maxTiles int // tiles a chunk, about
	ob       int // output blocks, a multiple of mul.nb
}

func newWinograd(s Shape, r *winoRows, mul *rows, m, maxTiles int) *winograd {
	return &winograd{s: s, r: r, mul: mul, m: m, maxTiles: maxTiles, ob: roundUp(ceilDiv(s.M, blk), mul.nb)}
}

func (d *winograd) points() int { return (d.m + 2) * (d.m + 2) }
func (d *winograd) ic() int     { return roundUp(d.s.C, blk) }

// border is what the input needs: whole tiles are read.
func (d *winograd) border() cpu.Border {
	s, m := d.s, d.m
	return cpu.Border{Top: s.PadT, Left: s.PadL, Bottom: max(0, roundUp(s.OutH(), m)+2-s.PadT-s.H), Right: max(0, roundUp(s.OutW(), m)+2-s.PadL-s.W)}
}

func (d *winograd) packedLen() int { return d.points()*d.ic()*d.ob*blk + d.ob*blk }

// pack writes [point][panel][input][nb*16] and then the bias.
func (d *winograd) pack(dst, w, bias []float32) {
	ic, oc, nbb := d.ic(), d.ob*blk, d.mul.nb*blk
	u, g := make([]float32, d.points()), winoG(d.m)
	lines := make([]float32, d.points()*nbb) // of one input and a panel of outputs: dst is written by whole lines
	for o := 0; o < d.s.M; o += nbb {
		n := min(nbb, d.s.M-o)
		for i := range d.s.C {
			for j := range n {
				winoWeights(u, g, w[((o+j)*d.s.C+i)*9:][:9])
				for t, v := range u {
					lines[t*nbb+j] = v
				}
			}
			for t := range u {
				copy(dst[t*ic*oc+(o/nbb*ic+i)*nbb:][:n], lines[t*nbb:])
			}
		}
	}
	copy(dst[d.points()*ic*oc:], bias)
}

type winoBound struct {
	*winograd
	packed      []float32
	in, out     cpu.Layout
	res         *cpu.Layout
	chunks      []winoChunk
	groups      []group
	t           winoArgs
	g           kargs
	maxT, steps int // tiles of the largest chunk; steps of the sum of one product
	vps, mps    int // bytes between points of the transformed input and of the products
	work        int
	whole       bool // workers claim whole chunks
	slot        int  // floats of a worker's buffers: a tile, the transformed input, the products
}

type winoChunk struct {
	tiles []winoTile
	full  int // the first full tiles need no mask
	mul   []mrTiles
	n     int // tiles of mul
}

func (d *winograd) bind(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) Bound {
	s, m := d.s, d.m
	b := &winoBound{winograd: d, packed: packed, in: in, out: out, res: res, work: workers}
	ty, tx := ceilDiv(out.H, m), ceilDiv(out.W, m)
	per := max(1, min(ty, d.maxTiles/tx))
	if workers > 1 && 4*d.packedLen() <= ownWeights && ty >= workers {
		// As many chunks as workers, or a multiple: each does its own from the input to the output.
		rounds := ceilDiv(ceilDiv(ty, per), workers)
		per = ceilDiv(ty, rounds*workers)
		b.whole = ceilDiv(ty, per)*out.N >= workers
	}
	for img := range out.N {
		for y0 := 0; y0 < ty; y0 += per {
			var full, part []winoTile
			for y := y0; y < min(ty, y0+per); y++ {
				for x := range tx {
					t := winoTile{
						a:  int64(4 * (img*in.Image() + in.Pixel(m*y-s.PadT, m*x-s.PadL))),
						c:  int64(4 * (img*out.Image() + out.Pixel(m*y, m*x))),
						nr: int64(min(m, out.H-m*y)), nc: int64(min(m, out.W-m*x)),
					}
					if res != nil {
						t.r = int64(4 * (img*res.Image() + res.Pixel(m*y, m*x)))
					}
					if t.nr == int64(m) && t.nc == int64(m) {
						full = append(full, t)
					} else {
						part = append(part, t)
					}
				}
			}
			b.chunks = append(b.chunks, winoChunk{tiles: append(full, part...), full: len(full)})
			b.maxT = max(b.maxT, len(full)+len(part))
		}
	}
	cb := d.ic() / blk
	b.vps, b.mps = (cb*b.maxT+5)*line, (d.ob*b.maxT+5)*line // odd strides: no two points in one cache set
	for i := range cb {
		n := ceilDiv(min(blk, s.C-i*blk), 4)
		b.groups = append(b.groups, group{int64(i * b.maxT * line), int64(n)})
		b.steps += n
	}
	for i := range b.chunks {
		c := &b.chunks[i]
		seg := segments(len(c.tiles), d.mul.maxMR)
		table := d.mul.s1
		if d.mul.one != nil {
			table = d.mul.one
		}
		if d.mul.p != nil && len(seg) < d.mul.lightTiles {
			table = d.mul.p
		}
		byMR := make([][]tile, d.mul.maxMR+1)
		x := 0
		for _, n := range seg {
			byMR[n] = append(byMR[n], tile{a: int64(x * line), c: int64(x * line)})
			x += n
		}
		for mr, t := range byMR {
			if len(t) > 0 {
				c.mul = append(c.mul, mrTiles{mr, table[mr], t})
				c.n += len(t)
			}
		}
	}
	b.t = winoArgs{act: int64(s.Act.Kind), lo: s.Act.A, hi: s.Act.B, row: int64(4 * in.Row())}
	switch s.Act.Kind {
	case cpu.ReLU:
		b.t.hi = math.MaxFloat32 // the transforms always apply both bounds
	case cpu.None, cpu.Clamp:
	default:
		b.t.act = 0 // by span
	}
	a, q := math.Sqrt(winoP), math.Sqrt(winoQ)
	b.t.c = [8]float32{winoP + winoQ, winoP, winoQ, float32(a), float32(q), float32(a * winoP), float32(q * winoQ)}
	b.g = kargs{groups: &b.groups[0], nk: int64(cb), cblk: int64(b.maxT * line), ps: line, nb: int64(d.mul.nb)}
	b.whole = b.whole || workers == 1 || len(b.chunks) >= 3*workers
	b.slot = 36*blk + d.points()*(b.vps+b.mps)/4
	return b
}

func (b *winoBound) Scratch() int { return b.slot * b.work }

func (b *winoBound) On(buf Buffers) Run {
	hold(buf.In, buf.Out, buf.Res, b.in, b.out, b.res)
	if len(buf.Scratch) < b.Scratch() {
		panic(fmt.Sprintf("conv: scratch has %d floats, %d are needed", len(buf.Scratch), b.Scratch()))
	}
	return &winoRun{b: b, buf: buf, args: make([]winoScratch, b.work), zeros: cpu.Floats(4 * blk)}
}

type winoScratch struct {
	t winoArgs
	k kargs
	d dwArgs
}

type winoRun struct {
	b     *winoBound
	buf   Buffers
	args  []winoScratch
	zeros []float32 // the bias of the products
}

func (r *winoRun) Stages() int {
	if r.b.whole {
		return 1
	}
	return 3 * len(r.b.chunks)
}

func (r *winoRun) Pieces(stage int) int {
	if r.b.whole {
		return len(r.b.chunks)
	}
	return r.b.parts(stage % 3)
}

// parts is the number of pieces of a phase: channel blocks, points, output blocks.
func (b *winoBound) parts(phase int) int {
	switch phase {
	case 0:
		return b.ic() / blk
	case 1:
		return b.points()
	}
	return ceilDiv(b.s.M, blk)
}

func (r *winoRun) Piece(stage, piece, worker int) {
	if !r.b.whole {
		r.part(stage/3, stage%3, piece, worker, 0) // the team shares the first buffers
		return
	}
	for phase := range 3 {
		for i := range r.b.parts(phase) {
			r.part(piece, phase, i, worker, worker)
		}
	}
}

// part runs piece i of a phase of a chunk; v and m of buffer slot buf, the small tile buffer of the worker.
func (r *winoRun) part(chunk, phase, i, worker, buf int) {
	b := r.b
	c := &b.chunks[chunk]
	scr := &r.args[worker]
	slot := b.slot * buf
	v := ptr(r.buf.Scratch[slot+36*blk:])
	m := unsafe.Add(v, b.points()*b.vps)
	tmp := ptr(r.buf.Scratch[b.slot*worker:])
	in, out, edge := b.r.in4, b.r.out4, b.r.edge4
	if b.m == 2 {
		in, out, edge = b.r.in2, b.r.out2, b.r.edge2
	}
	switch phase {
	case 0:
		t := &scr.t
		*t = b.t
		t.tmp = tmp
		t.tiles, t.nt, t.ps = &c.tiles[0], int64(len(c.tiles)), int64(b.vps)
		t.src = ptr(r.buf.In[i*b.in.Plane():])
		t.dst = unsafe.Add(v, i*b.maxT*line)
		b.r.call(in, t)
	case 1:
		panels, panel := b.ob/b.mul.nb, b.ic()*b.mul.nb*line
		k := &scr.k
		*k = b.g
		k.bias = ptr(r.zeros)
		k.a = unsafe.Add(v, i*b.vps)
		if b.mul.calm {
			from, to := unsafe.Add(ptr(b.packed), i*panels*panel), unsafe.Add(m, i*b.mps)
			for range panels {
				k.b, k.c = from, to
				for j := range c.mul {
					g := &c.mul[j]
					k.tiles, k.nt = &g.tiles[0], int64(len(g.tiles))
					g.f(k)
				}
				from, to = unsafe.Add(from, panel), unsafe.Add(to, b.mul.nb*b.maxT*line)
			}
			return
		}
		step := roundUp(ceilDiv(panel, c.n*b.steps), 64)
		for p := range panels {
			n := i*panels + p
			k.b = unsafe.Add(ptr(b.packed), n*panel)
			k.c = unsafe.Add(m, i*b.mps+p*b.mul.nb*b.maxT*line)
			k.pf, k.pfStep = uintptr(k.b)+uintptr(panel), int64(step)
			if n == b.points()*panels-1 {
				k.pf, k.pfStep = uintptr(k.b), 0
			}
			for _, g := range c.mul {
				k.tiles, k.nt, k.mr = &g.tiles[0], int64(len(g.tiles)), int64(g.mr)
				g.f(k)
				k.pf += uintptr(step * len(g.tiles) * b.steps)
			}
		}
	case 2:
		t := &scr.t
		*t = b.t
		t.tmp = tmp
		t.row, t.ps = int64(4*b.out.Row()), int64(b.mps)
		t.bias = ptr(b.packed[b.points()*b.ic()*b.ob*blk+i*blk:])
		t.dst = ptr(r.buf.Out[i*b.out.Plane():])
		t.src = unsafe.Add(m, i*b.maxT*line)
		if b.res != nil {
			t.res, t.rrow = ptr(r.buf.Res[i*b.res.Plane():]), int64(4*b.res.Row())
		}
		if c.full > 0 {
			t.tiles, t.nt = &c.tiles[0], int64(c.full)
			b.r.call(out, t)
		}
		if n := len(c.tiles) - c.full; n > 0 {
			t.tiles, t.nt, t.src = &c.tiles[c.full], int64(n), unsafe.Add(m, (i*b.maxT+c.full)*line)
			b.r.call(edge, t)
		}
		r.activate(c, i, scr)
	}
}

// activate applies the activation functions that the transforms do not know, tile row by tile row.
func (r *winoRun) activate(c *winoChunk, i int, scr *winoScratch) {
	b := r.b
	if b.t.act == int64(b.s.Act.Kind) {
		return
	}
	d := &scr.d
	*d = dwArgs{act: int64(b.s.Act.Kind), lo: b.s.Act.A, hi: b.s.Act.B}
	base := ptr(r.buf.Out[i*b.out.Plane():])
	for j := range c.tiles {
		t := &c.tiles[j]
		for y := range int(t.nr) {
			d.dst, d.nt = unsafe.Add(base, int(t.c)+y*4*b.out.Row()), t.nc
			b.r.span(d)
		}
	}
}
