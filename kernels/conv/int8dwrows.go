package conv

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// qdwRows is the 8-bit depthwise convolution with square windows and stride 1 by kernels that make two rows of the output at once; the last
// row alone where their number is odd.
type qdwRows struct {
	s Shape
	f []kern // by rows
}

// newDWRows is nil where no kernel has the window.
func newDWRows(s Shape, f cpu.Features) *qdwRows {
	if s.KH != s.KW || s.SH*s.SW*s.DH*s.DW != 1 {
		return nil
	}
	if k := dwRowKernels(f, s.KH); k != nil {
		return &qdwRows{s, k}
	}
	return nil
}

// perChannel is the words of a channel: a pair of weights for each column, pair of rows of the input, and row of the output.
func (d *qdwRows) perChannel() int { return d.s.KW * (d.s.KH + 1) / 2 * 2 }

func (d *qdwRows) wordsLen() int { return roundUp(d.s.C, qBlk) * d.perChannel() }

// packWeights writes [8 channels][column][pair][row of the output][8][2] int16: row r of the output takes rows 2q-r and 2q+1-r of the window from
// pair q.
func (d *qdwRows) packWeights(dst []float32, w []int8) {
	k, pairs := d.s.KH, (d.s.KH+1)/2
	to := unsafe.Slice((*int16)(unsafe.Pointer(&dst[0])), 2*d.wordsLen())
	for c := range d.s.C {
		g := to[c/8*8*2*d.perChannel():]
		for x := range k {
			for q := range pairs {
				for r := range 2 {
					for i := range 2 {
						if y := 2*q + i - r; y >= 0 && y < k {
							g[((x*pairs+q)*2+r)*16+c%8*2+i] = int16(w[c*k*k+y*k+x])
						}
					}
				}
			}
		}
	}
}

type qdwRowsBound struct {
	*qdwRows
	packed  []float32
	in, out cpu.Layout
	tiles   []tile // pairs of rows, and the last row
	args    kargs
	work    int
}

func (d *qdwRows) bindQ(packed []float32, in, out cpu.Layout, _ *cpu.Layout, workers int) QBound {
	b := &qdwRowsBound{qdwRows: d, packed: packed, in: in, out: out, work: workers}
	for y := 0; y < out.H; y += 2 {
		b.tiles = append(b.tiles, tile{a: int64(in.Pixel(y-d.s.PadT, -d.s.PadL)), c: int64(out.Pixel(y, 0))})
	}
	b.args = kargs{ps: int64(in.Row()), gap: int64(out.Row()), rblk: int64(out.W)}
	b.args.setStore(packed)
	return b
}

func (b *qdwRowsBound) Scratch() int { return 0 }

func (b *qdwRowsBound) OnQ(buf QBuffers) Run {
	hold(buf.In, buf.Out, nil, b.in, b.out, nil)
	return &qdwRowsRun{b, bytesPtr(buf.In), bytesPtr(buf.Out), make([]kargs, b.work)}
}

type qdwRowsRun struct {
	b       *qdwRowsBound
	in, out unsafe.Pointer
	args    []kargs
}

func (r *qdwRowsRun) Stages() int    { return 1 }
func (r *qdwRowsRun) Pieces(int) int { return r.b.s.N * ceilDiv(r.b.s.C, 8) }

// Piece runs 8 channels of one picture.
func (r *qdwRowsRun) Piece(_, i, worker int) {
	b := r.b
	n := ceilDiv(b.s.C, 8)
	img, c := i/n, i%n*8
	k := &r.args[worker]
	*k = b.args
	k.a = unsafe.Add(r.in, img*b.in.Image()+c/qBlk*b.in.Plane()+c%qBlk)
	k.c = unsafe.Add(r.out, img*b.out.Image()+c/qBlk*b.out.Plane()+c%qBlk)
	k.b = ptr(b.packed[qHead+c*b.perChannel():])
	scale := qHead + b.wordsLen()
	k.scale, k.bias = ptr(b.packed[scale+c:]), ptr(b.packed[scale+roundUp(b.s.M, qBlk)+c:])
	if n := b.out.H / 2; n > 0 {
		k.tiles, k.nt = &b.tiles[0], int64(n)
		b.f[2](k)
	}
	if b.out.H%2 == 1 {
		k.tiles, k.nt = &b.tiles[len(b.tiles)-1], 1
		b.f[1](k)
	}
}
