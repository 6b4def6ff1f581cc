package conv

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// qsArgs is what the 8-bit kernels for short sums read. The offsets are known to _asm/arm64gen/small8.go; TestOffsetsNEON compares them.
type qsArgs struct {
	src, w, dst, table   unsafe.Pointer // table: of eight outputs in turn the addends of four, twice, those of the other four, the factors, the zero point
	off, ps              int64          // to the fifth word of a pixel, to the next pixel
	pairs, blocks, plane int64          // pairs of pixels, blocks of 16 outputs and the distance of these in the output
	clip                 int64          // not 0: lo and hi bound more than a byte does
	lo, hi               uint8
	zero                 int16
	look                 *[256]uint8 // not nil: what the kernel has stored is looked up
}

// smallWords is the number of 4-input words of the kernel for short sums that does c, 0 if none does: all inputs of two pixels must fit in
// registers.
func (c *neonConv) smallWords() int {
	s := c.s
	inputs := s.KH * s.KW * s.C
	if s.Residual || s.OutW() < 2 || !c.first && s.KH*s.KW > 1 || inputs > 32 {
		return 0
	}
	for _, w := range []int{4, 6, 7, 8} {
		if inputs <= 4*w {
			return w
		}
	}
	return 0
}

// smallLen is the 32-bit words of the weights.
func (c *neonConv) smallLen() int { return roundUp(c.s.M, qBlk) * c.smallWords() }

// packSmall writes [4 outputs][word][output][4 inputs] bytes; 1x1 weights and windows are in the order of the inputs already, but for taps
// of several channels.
func (c *neonConv) packSmall(dst []float32, w []int8) {
	s := c.s
	words, taps := c.smallWords(), s.KH*s.KW
	b := unsafe.Slice((*int8)(unsafe.Pointer(&dst[0])), 4*c.smallLen())
	for m := range s.M {
		for i := range taps * s.C {
			in, tap := i%s.C, i/s.C
			b[((m/4*words+i/4)*4+m%4)*4+i%4] = w[(m*s.C+in)*taps+tap]
		}
	}
}

// smallBound is what a bound convolution has for short sums.
type smallBound struct {
	args  qsArgs
	kern  func(*qsArgs)
	table []float32
	per   int // pixels of a call, even: about 100 us of a Cortex-A72
	h, w  int // rows of pixels that lie at one distance, and their length
	down  int // bytes between such rows in the copy
}

func (b *neonConvBound) bindSmall(out cpu.Layout, scale, bias []float32, off int) *smallBound {
	words := b.smallWords()
	k := &smallBound{args: qsArgs{off: int64(off), ps: b.args.ps, blocks: int64(ceilDiv(b.s.M, qBlk)), plane: int64(out.Plane()), clip: b.args.clip, lo: b.args.lo, hi: b.args.hi, zero: b.args.zero}}
	k.kern = [9]func(*qsArgs){4: qs2x16k4, 6: qs2x16k6, 7: qs2x16k7, 8: qs2x16k8}[words]
	zero := zeros8(b.args.zero)
	for i := 0; i < roundUp(b.s.M, qBlk); i += 8 {
		for q := i; q < i+8; q += 4 {
			for range 2 { // pixels; a sum lies in two lanes
				k.table = append(k.table, bias[q], 0, bias[q+1], 0, bias[q+2], 0, bias[q+3], 0)
			}
		}
		k.table = append(append(k.table, scale[i:i+8]...), zero[:]...)
	}
	k.args.w, k.args.table = unsafe.Pointer(&b.packed[qHead]), ptr(k.table)
	k.per = max(2, callMults/(8*words*4*int(k.args.blocks))*2)
	return k
}

// smallPieces is the number of pieces of a picture: rows, or parts of one long row.
func (b *neonConvBound) smallPieces() int {
	if b.small.h > 1 {
		return b.small.h
	}
	return max(1, min(4*b.work, b.small.w/16))
}

// shortRows does a piece of the output.
func (r *neonConvRun) shortRows(i, worker int) {
	b := r.b
	k := b.small
	n := b.smallPieces()
	img, j := i/n, i%n
	src := unsafe.Add(r.scratch, img*ceilDiv(b.s.C, qBlk)*b.plane)
	dst := unsafe.Add(bytesPtr(r.buf.Out), img*b.out.Image())
	if k.h > 1 {
		k.run(&r.smalls[worker], unsafe.Add(src, j*k.down), unsafe.Add(dst, b.out.Pixel(j, 0)), k.w)
		return
	}
	x0, x1 := k.w/2*j/n*2, k.w/2*(j+1)/n*2 // pairs stay together
	if j == n-1 {
		x1 = k.w
	}
	k.run(&r.smalls[worker], unsafe.Add(src, x0*int(k.args.ps)), unsafe.Add(dst, b.out.Pixel(0, 0)+x0*qBlk), x1-x0)
}

// run does n pixels side by side; n is 2 at least. The last one of an odd number is done with the one before it, which comes out the same.
func (k *smallBound) run(a *qsArgs, src, dst unsafe.Pointer, n int) {
	a.src, a.dst = src, dst
	for left := n / 2; left > 0; {
		m := min(left, k.per/2)
		a.pairs = int64(m)
		k.kern(a)
		k.lookUp(a, 2*m)
		a.src, a.dst = unsafe.Add(a.src, 2*m*int(a.ps)), unsafe.Add(a.dst, 2*m*qBlk)
		left -= m
	}
	if n%2 == 1 {
		a.src, a.dst, a.pairs = unsafe.Add(src, (n-2)*int(a.ps)), unsafe.Add(dst, (n-2)*qBlk), 1
		k.kern(a)
		k.lookUp(a, 2)
	}
}

// lookUp passes n pixels that have just been stored through the table.
func (k *smallBound) lookUp(a *qsArgs, n int) {
	if a.look == nil {
		return
	}
	for b := range int(a.blocks) {
		look256(&lookArgs{unsafe.Add(a.dst, b*int(a.plane)), a.look, int64(n)})
	}
}
