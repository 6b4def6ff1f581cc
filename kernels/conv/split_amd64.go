package conv

import (
	"fmt"
	"unsafe"

	"fettle/kernels/cpu"
)

// split is a direct convolution in three products of bf16: x = x1 + x2 and w = w1 + w2 up to 2^-17, and x*w is x1*w1 + x1*w2 + x2*w1 with
// sums in float32. Source: Henry, Tang and Heinecke 2019, arXiv:1904.06376. A first stage splits the input into scratch; pixels of the two
// planes are 32 channels of two bytes, in the order that costs no permutation: word i holds channels i and 16+i.
type split struct {
	s Shape
	r *splitRows
	d *direct // its Shape counts words of two channels
}

// splitRows are the kernels: the product, the split of lines, activations in place.
type splitRows struct {
	mul, cut kern
	span     dwKern
}

// pair is the channels of a split pixel.
const pair = 2 * blk

func newSplit(s Shape, r *splitRows) *split {
	w := s
	w.C, w.M = ceilDiv(s.C, pair)*blk, roundUp(s.M, pair)
	t := &rows{isa: cpu.AMXBF16, nb: 2, maxMR: 16, single: true, whole: true, wide: 2, any: tileKerns(r.mul)}
	return &split{s, r, newDirect(w, map[int]*rows{2: t}, 2, false)}
}

func (d *split) packedLen() int { return d.d.wLen + d.d.s.M }

// tileKerns is a table for a kernel that reads the number of pixels, 1 to 16, from its arguments.
func tileKerns(f kern) []kern {
	l := make([]kern, 17)
	for i := range l[1:] {
		l[i+1] = f
	}
	return l
}

// pack writes [panel][group][upper, lower][16 words][32 outputs][2 channels] and then the bias.
func (d *split) pack(dst, w, bias []float32) {
	s, taps := d.s, d.s.KH*d.s.KW
	b16 := unsafe.Slice((*uint16)(unsafe.Pointer(&dst[0])), 2*d.d.wLen)
	for _, p := range d.d.panels {
		at := 2 * p.w
		for g := p.g0; g < p.g1; g++ {
			for i := range pair {
				c, tap := g/taps*pair+i, g%taps
				for j := range pair {
					if m := p.block*blk + j; m < s.M && c < s.C {
						o := at + (i%blk*pair+j)*2 + i/blk
						b16[o], b16[o+pair*pair] = cpu.Halves(w[(m*s.C+c)*taps+tap])
					}
				}
			}
			at += 2 * pair * pair
		}
	}
	copy(dst[d.d.wLen:], bias)
}

type splitBound struct {
	*split
	*directBound
	from, mid cpu.Layout // the input, and one plane of its halves
	act       dwArgs
	slabs     int // pieces of a plane in the first stage
}

func (d *split) bind(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) Bound {
	mid := cpu.NewLayout(in.N, in.C, in.H, in.W, pair, in.Border())
	b := &splitBound{split: d, from: in, mid: mid}
	b.directBound = d.d.bindSized(packed, mid, out, res, workers, 2, 4)
	b.args.low = 2 * int64(mid.Len())
	b.act = dwArgs{act: int64(d.s.Act.Kind), lo: d.s.Act.A, hi: d.s.Act.B}
	const slab = 1 << 10 // pixels
	b.slabs = max(1, mid.Plane()/pair/slab)
	return b
}

// Scratch is both planes: four bytes an element.
func (b *splitBound) Scratch() int { return b.mid.Len() }

func (b *splitBound) On(buf Buffers) Run {
	hold(buf.In, buf.Out, buf.Res, b.from, b.out, b.res)
	if len(buf.Scratch) < b.Scratch() {
		panic(fmt.Sprintf("conv: scratch has %d floats, %d are needed", len(buf.Scratch), b.Scratch()))
	}
	m := &directRun{b: b.directBound, args: make([]kargs, b.work), buf: tileBuffers(b.work)}
	m.base = b.args
	m.base.a, m.base.c = ptr(buf.Scratch), ptr(buf.Out)
	if b.split.s.Residual {
		m.base.res = ptr(buf.Res)
	}
	m.base.b, m.base.bias = ptr(b.packed), ptr(b.packed[b.wLen:])
	return &splitRun{b, m, ptr(buf.In), make([]dwArgs, b.work)}
}

type splitRun struct {
	b   *splitBound
	mul *directRun
	in  unsafe.Pointer
	act []dwArgs
}

func (r *splitRun) Stages() int { return 2 }

func (r *splitRun) Pieces(stage int) int {
	if stage == 0 {
		return r.b.mid.N * r.b.mid.Blocks() * r.b.slabs
	}
	return r.mul.Pieces(0)
}

func (r *splitRun) Piece(stage, i, worker int) {
	if stage == 0 {
		r.cut(i, &r.mul.args[worker])
		return
	}
	r.mul.Piece(0, i, worker)
	if r.b.act.act > int64(cpu.Clamp) {
		r.activate(i, &r.act[worker])
	}
}

// cut splits a part of the planes of two blocks, borders too. Where the second block does not exist the first stands for it: its weights are zero.
func (r *splitRun) cut(i int, k *kargs) {
	b := r.b
	blocks := b.mid.Blocks()
	img, c, part := i/b.slabs/blocks, i/b.slabs%blocks, i%b.slabs
	n := b.mid.Plane() / pair
	n0, n1 := n*part/b.slabs, n*(part+1)/b.slabs
	src := unsafe.Add(r.in, 4*(img*b.from.Image()+2*c*b.from.Plane()+n0*blk))
	dst := unsafe.Add(r.mul.base.a, 2*(img*b.mid.Image()+c*b.mid.Plane()+n0*pair))
	*k = kargs{a: src, b: src, c: dst, res: unsafe.Add(dst, b.args.low), nt: int64(n1 - n0), ps: line}
	if 2*c+1 < b.from.Blocks() {
		k.b = unsafe.Add(src, 4*b.from.Plane())
	}
	b.r.cut(k)
}

// activate applies the activation functions that the product's store does not know to the tiles of a piece.
func (r *splitRun) activate(i int, d *dwArgs) {
	b, pc := r.b, r.b.pieces[i]
	*d = b.act
	for _, p := range b.panels[pc.p0:pc.p1] {
		for j := p.block; j < min(p.block+p.nb, b.out.Blocks()); j++ {
			c := unsafe.Add(r.mul.base.c, j*int(b.args.cblk))
			for _, s := range b.chunks[pc.chunk].by[p.nb] {
				for _, t := range s.tiles[len(s.tiles)*pc.part/pc.of : len(s.tiles)*(pc.part+1)/pc.of] {
					d.dst, d.nt = unsafe.Add(c, t.c), int64(s.mr)
					b.r.span(d)
				}
			}
		}
	}
}
