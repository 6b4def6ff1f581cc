package conv

import (
	"slices"
	"unsafe"

	"fettle/kernels/cpu"
)

// wdwArgs is what the 8-bit depthwise kernels read. The offsets are known to _asm/armgen; the generated files check them.
type wdwArgs struct {
	src, dst, w, scale, bias unsafe.Pointer
	taps                     *int64
	nk, nt, nr               int64 // taps, columns, rows
	irow, orow               int64 // bytes from what one row of the output reads to what the next one does, and between these rows
	ps                       int64 // bytes between rows of the input; of the kernel of any taps: between the inputs of neighbours
	lo, hi, rscale           float32
	zero, rzero              int32
}

// wordDW is the 8-bit depthwise convolution over words of 16 bits, 8 channels at a time. Some rows at a time are widened; the copy stays in the
// first-level cache.
type wordDW struct{ s Shape }

func (d *wordDW) wordsLen() int { return ceilDiv(d.s.C, half) * d.s.KH * d.s.KW * half / 2 }

// packWeights writes [8 channels][tap][channel] words.
func (d *wordDW) packWeights(dst []float32, w []int8) {
	taps := d.s.KH * d.s.KW
	to := unsafe.Slice((*int16)(unsafe.Pointer(&dst[0])), 2*d.wordsLen())
	for c := range d.s.C {
		for t := range taps {
			to[(c/half*taps+t)*half+c%half] = int16(w[c*taps+t])
		}
	}
}

type wordDWBound struct {
	*wordDW
	packed  []float32
	in, out cpu.Layout
	taps    []int64
	kern    func(*wdwArgs)
	args    wdwArgs
	row     int // bytes of a row of the copy
	plane   int // of one line of channels
	rows    int // of the output at a time
	work    int
}

// dwCopy bounds the copy of rows, so that it stays in a first-level cache of 32 KB.
const dwCopy = 20 << 10

func (d *wordDW) bindQ(packed []float32, in, out cpu.Layout, _ *cpu.Layout, workers int) QBound {
	s := d.s
	b := &wordDWBound{wordDW: d, packed: packed, in: in, out: out, work: workers}
	cols := (out.W-1)*s.SW + (s.KW-1)*s.DW + 1
	b.row = cols * line
	window := (s.KH-1)*s.DH + 1
	b.rows = min(out.H, max(2, (dwCopy/(2*b.row)-window)/s.SH+1))
	b.rows = max(1, min(b.rows, callMults/max(1, 2*out.W*s.KH*s.KW)))
	b.plane = ((b.rows-1)*s.SH+window)*b.row + 4*line // a tile of four columns reads on behind the last tap
	for t := range s.KH * s.KW {
		b.taps = append(b.taps, int64(t/s.KW*s.DH*b.row+t%s.KW*s.DW*line))
	}
	b.args = wdwArgs{nk: int64(len(b.taps)), nt: int64(out.W), irow: int64(s.SH * b.row), orow: int64(out.Row()), ps: int64(b.row), lo: packed[1], hi: packed[2], zero: int32(packed[4])}
	switch {
	case s.KH == 3 && s.KW == 3 && s.DH*s.DW == 1 && s.SW == 1:
		b.kern = wdw3s1
	case s.KH == 3 && s.KW == 3 && s.DH*s.DW == 1 && s.SW == 2:
		b.kern = wdw3s2
	default:
		b.kern, b.args.ps = wdwAny, int64(s.SW*line)
	}
	return b
}

// Scratch is the bytes of a run's scratch: two lines of channels a worker.
func (b *wordDWBound) Scratch() int { return b.work * 2 * b.plane }

func (b *wordDWBound) OnQ(buf QBuffers) Run {
	hold(buf.In, buf.Out, nil, b.in, b.out, nil)
	if len(buf.Scratch) < b.Scratch() {
		buf.Scratch = cpu.Aligned[uint8](b.Scratch())
	}
	return &wordDWRun{b, bytesPtr(buf.In), bytesPtr(buf.Out), bytesPtr(buf.Scratch), slices.Repeat([]wdwArgs{b.args}, b.work), make([]kargs, b.work)}
}

type wordDWRun struct {
	b                *wordDWBound
	in, out, scratch unsafe.Pointer
	args             []wdwArgs // one a worker: arguments of kernels in tables escape
	copies           []kargs
}

func (r *wordDWRun) Stages() int    { return 1 }
func (r *wordDWRun) Pieces(int) int { return r.b.s.N * ceilDiv(r.b.s.C, qBlk) }

// Piece runs 16 channels of one picture, some rows at a time.
func (r *wordDWRun) Piece(_, i, worker int) {
	b, s := r.b, r.b.s
	blocks, taps := ceilDiv(s.C, qBlk), len(b.taps)
	img, c := i/blocks, i%blocks
	k, w := &r.args[worker], &r.copies[worker]
	src := unsafe.Add(r.in, img*b.in.Image()+c*b.in.Plane())
	dst := unsafe.Add(r.out, img*b.out.Image()+c*b.out.Plane())
	own := unsafe.Add(r.scratch, worker*2*b.plane)
	lines := min(2, ceilDiv(s.C-c*qBlk, half))
	scale := qHead + b.wordsLen()
	k.taps = &b.taps[0]
	for y := 0; y < b.out.H; y += b.rows {
		n := min(b.rows, b.out.H-y)
		for row := range (n-1)*s.SH + (s.KH-1)*s.DH + 1 {
			*w = kargs{a: unsafe.Add(src, b.in.Pixel(y*s.SH-s.PadT+row, -s.PadL)), c: unsafe.Add(own, row*b.row), nt: int64(b.row / line), ps: qBlk, cblk: int64(b.plane)}
			if lines == 2 {
				widen2(w)
			} else {
				widen1(w)
			}
		}
		for l := range lines {
			first := c*qBlk + l*half
			k.src, k.dst = unsafe.Add(own, l*b.plane), unsafe.Add(dst, b.out.Pixel(y, 0)+l*half)
			k.w = unsafe.Pointer(&b.packed[qHead+first/half*taps*half/2])
			k.scale, k.bias = unsafe.Pointer(&b.packed[scale+first]), unsafe.Pointer(&b.packed[scale+roundUp(s.M, qBlk)+first])
			k.nr = int64(n)
			b.kern(k)
		}
	}
}
