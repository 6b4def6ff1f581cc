package conv

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// qdepthwise is the 8-bit depthwise convolution. Its kernels take a kargs: groups are the taps, tiles the rows, rblk the number of tiles of
// mr columns in a row; a call covers 16 of the 64 channels of a line.
type qdepthwise struct {
	s Shape
	f []kern // by columns: 8, 4, 2, 1
	n int    // channels of the 16 that one call covers
}

func (d *qdepthwise) wordsLen() int { return roundUp(d.s.C, qBlk) * d.s.KH * d.s.KW }

// packWeights writes [16 channels][tap][16] words, the weight in the low 16 bits.
func (d *qdepthwise) packWeights(dst []float32, w []int8) {
	taps := d.s.KH * d.s.KW
	words := unsafe.Slice((*uint32)(unsafe.Pointer(&dst[0])), d.wordsLen())
	for c := range d.s.C {
		for t := range taps {
			words[(c/blk*taps+t)*blk+c%blk] = uint32(uint16(int16(w[c*taps+t])))
		}
	}
}

type qdwBound struct {
	*qdepthwise
	packed  []float32
	taps    []group
	calls   []qdwCall
	in, out cpu.Layout
	args    kargs
	work    int
}

// qdwCall is a range of columns over all rows.
type qdwCall struct {
	cols, n int
	rows    []tile
}

func (d *qdepthwise) bindQ(packed []float32, in, out cpu.Layout, _ *cpu.Layout, workers int) QBound {
	s := d.s
	b := &qdwBound{qdepthwise: d, packed: packed, in: in, out: out, work: workers}
	for t := range s.KH * s.KW {
		b.taps = append(b.taps, group{off: int64(t/s.KW*s.DH*in.Row() + t%s.KW*s.DW*qBlk)})
	}
	for x := 0; x < out.W; {
		cols := 8
		for cols > out.W-x {
			cols /= 2
		}
		c := qdwCall{cols: cols, n: (out.W - x) / cols}
		for y := range out.H {
			c.rows = append(c.rows, tile{a: int64(in.Pixel(y*s.SH-s.PadT, x*s.SW-s.PadL)), c: int64(out.Pixel(y, x))})
		}
		b.calls = append(b.calls, c)
		x += cols * c.n
	}
	b.args = kargs{groups: &b.taps[0], nk: int64(len(b.taps)), ps: int64(s.SW * qBlk)}
	b.args.setStore(packed)
	return b
}

func (b *qdwBound) Scratch() int { return 0 }

func (b *qdwBound) OnQ(buf QBuffers) Run {
	hold(buf.In, buf.Out, nil, b.in, b.out, nil)
	return &qdwRun{b, bytesPtr(buf.In), bytesPtr(buf.Out), make([]kargs, b.work)}
}

type qdwRun struct {
	b       *qdwBound
	in, out unsafe.Pointer
	args    []kargs
}

func (r *qdwRun) Stages() int    { return 1 }
func (r *qdwRun) Pieces(int) int { return r.b.s.N * ceilDiv(r.b.s.C, blk) }

// Piece runs 16 channels of one picture.
func (r *qdwRun) Piece(_, i, worker int) {
	b := r.b
	n := ceilDiv(b.s.C, blk)
	img, c := i/n, i%n
	k := &r.args[worker]
	*k = b.args
	k.a = unsafe.Add(r.in, img*b.in.Image()+c/4*b.in.Plane()+c%4*blk)
	k.c = unsafe.Add(r.out, img*b.out.Image()+c/4*b.out.Plane()+c%4*blk)
	k.b = ptr(b.packed[qHead+c*len(b.taps)*blk:])
	scale := qHead + b.wordsLen()
	k.scale = ptr(b.packed[scale+c*blk:])
	k.bias = ptr(b.packed[scale+roundUp(b.s.M, qBlk)+c*blk:])
	for j := range b.calls {
		call := &b.calls[j]
		k.tiles, k.nt, k.rblk, k.mr = &call.rows[0], int64(len(call.rows)), int64(call.n), int64(call.cols)
		for h := 0; h < blk; h += b.n {
			m := *k
			k.a, k.c, k.b, k.scale, k.bias = unsafe.Add(m.a, h), unsafe.Add(m.c, h), unsafe.Add(m.b, 4*h), unsafe.Add(m.scale, 4*h), unsafe.Add(m.bias, 4*h)
			b.f[call.cols](k)
			*k = m
		}
	}
}

// qdwGo is the portable kernel.
func qdwGo(k *kargs) {
	taps := unsafe.Slice(k.groups, k.nk)
	for _, t := range unsafe.Slice(k.tiles, k.nt) {
		for x := range k.rblk * k.mr {
			var acc [blk]int32
			for i, g := range taps {
				in := (*[blk]uint8)(unsafe.Add(k.a, t.a+x*k.ps+g.off))
				w := (*[blk][2]int16)(unsafe.Add(k.b, 4*blk*i))
				for j := range acc {
					acc[j] += int32(in[j]) * int32(w[j][0])
				}
			}
			for j := range int64(blk) {
				*(*uint8)(unsafe.Add(k.c, t.c+x*qBlk+j)) = requantGo(k, acc[j], j, nil)
			}
		}
	}
}
