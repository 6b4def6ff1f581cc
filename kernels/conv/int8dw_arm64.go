package conv

import (
	"slices"
	"unsafe"

	"fettle/kernels/cpu"
)

// qdwArgs is what the 8-bit depthwise kernels read. The offsets are known to _asm/arm64gen/dw8.go; TestOffsetsNEON compares them.
type qdwArgs struct {
	src, w, dst, scale, bias unsafe.Pointer
	taps                     *int64 // bytes from the first tap
	pairs, singles           int64  // taps whose products meet in 16 bits two by two, and those that follow
	nt, nr                   int64  // tiles a row, rows
	inRow, outRow, ps        int64
	lo, hi                   uint8
}

// neonDW is the 8-bit depthwise convolution in blocks of 16 channels.
type neonDW struct{ s Shape }

func (d *neonDW) flips() bool { return true }

func (d *neonDW) wordsLen() int { return ceilDiv(d.s.C, qBlk) * d.s.KH * d.s.KW * qBlk / 4 }

// packWeights writes [16 channels][tap][16] bytes.
func (d *neonDW) packWeights(dst []float32, w []int8) {
	taps := d.s.KH * d.s.KW
	b := unsafe.Slice((*int8)(unsafe.Pointer(&dst[0])), 4*d.wordsLen())
	for c := range d.s.C {
		for t := range taps {
			b[(c/qBlk*taps+t)*qBlk+c%qBlk] = w[c*taps+t]
		}
	}
}

// neonDWCall is a run of tiles of a width over all rows.
type neonDWCall struct {
	f        func(*qdwArgs)
	src, dst int
	nt       int64
}

type neonDWBound struct {
	*neonDW
	packed  []float32
	in, out cpu.Layout
	taps    []int64
	calls   []neonDWCall
	rows    int // of a call: about 100 us of a Cortex-A72
	args    qdwArgs
	work    int
}

func (d *neonDW) bindQ(packed []float32, in, out cpu.Layout, _ *cpu.Layout, workers int) QBound {
	s := d.s
	b := &neonDWBound{neonDW: d, packed: packed, in: in, out: out, work: workers}
	for t := range s.KH * s.KW {
		b.taps = append(b.taps, int64(t/s.KW*s.DH*in.Row()+t%s.KW*s.DW*qBlk))
	}
	for x := 0; x < out.W; {
		cols := 4
		for cols > out.W-x {
			cols /= 2
		}
		n := (out.W - x) / cols
		b.calls = append(b.calls, neonDWCall{neonDWKern(cols, s.SW == 1), in.Pixel(-s.PadT, x*s.SW-s.PadL), out.Pixel(0, x), int64(n)})
		x += cols * n
	}
	b.rows = max(1, callMults/max(1, 2*out.W*len(b.taps)))
	b.args = qdwArgs{taps: &b.taps[0], singles: int64(len(b.taps)), inRow: int64(s.SH * in.Row()), outRow: int64(out.Row()), ps: int64(s.SW * qBlk), lo: uint8(packed[1]), hi: uint8(packed[2])}
	if packed[3] == 0 { // no weight is -128
		b.args.pairs, b.args.singles = b.args.singles/2, b.args.singles%2
	}
	return b
}

func neonDWKern(cols int, dense bool) func(*qdwArgs) {
	k := map[int][2]func(*qdwArgs){4: {qdw4s1, qdw4any}, 2: {qdw2s1, qdw2any}, 1: {qdw1s1, qdw1any}}[cols]
	if dense {
		return k[0]
	}
	return k[1]
}

func (b *neonDWBound) Scratch() int { return 0 }

func (b *neonDWBound) OnQ(buf QBuffers) Run {
	hold(buf.In, buf.Out, nil, b.in, b.out, nil)
	return &neonDWRun{b, bytesPtr(buf.In), bytesPtr(buf.Out), slices.Repeat([]qdwArgs{b.args}, b.work)}
}

type neonDWRun struct {
	b       *neonDWBound
	in, out unsafe.Pointer
	args    []qdwArgs // one a worker: arguments of kernels in tables escape
}

func (r *neonDWRun) Stages() int    { return 1 }
func (r *neonDWRun) Pieces(int) int { return r.b.s.N * ceilDiv(r.b.s.C, qBlk) }

// Piece runs 16 channels of one picture.
func (r *neonDWRun) Piece(_, i, worker int) {
	b := r.b
	n := ceilDiv(b.s.C, qBlk)
	img, c := i/n, i%n
	k := &r.args[worker]
	src := unsafe.Add(r.in, img*b.in.Image()+c*b.in.Plane())
	dst := unsafe.Add(r.out, img*b.out.Image()+c*b.out.Plane())
	k.w = unsafe.Add(unsafe.Pointer(&b.packed[qHead]), c*len(b.taps)*qBlk)
	scale := qHead + b.wordsLen()
	k.scale = ptr(b.packed[scale+c*qBlk:])
	k.bias = ptr(b.packed[scale+roundUp(b.s.M, qBlk)+c*qBlk:])
	for y := 0; y < b.out.H; y += b.rows {
		k.nr = int64(min(b.rows, b.out.H-y))
		for j := range b.calls {
			call := &b.calls[j]
			k.src, k.dst, k.nt = unsafe.Add(src, call.src+y*int(k.inRow)), unsafe.Add(dst, call.dst+y*int(k.outRow)), call.nt
			call.f(k)
		}
	}
}
