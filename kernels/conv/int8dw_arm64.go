package conv

import (
	"slices"
	"unsafe"

	"fettle/kernels/cpu"
)

// qdwArgs is what the 8-bit depthwise kernels read. The offsets are known to _asm/arm64gen/dw8.go; TestOffsetsNEON compares them.
type qdwArgs struct {
	src, w, dst, table unsafe.Pointer // table: the addends of 16 channels, whole numbers, and their factors
	deltas             *int64         // from the pixel to the first tap, then from one tap to the next
	threes, twos, ones int64          // groups of taps whose products meet in 16 bits
	nt, nr             int64          // tiles a row, rows
	inRow, outRow, ps  int64
	clip               int64 // 1: lo and hi bound more than a byte does; 2: what comes out is looked up
	lo, hi             uint8
	zero               int16
	look               *[256]uint8
}

// neonDW is the 8-bit depthwise convolution in blocks of 16 channels. Some rows at a time are copied with flipped top bits, for stride 2 with
// even and odd columns apart; the copy stays in the first-level cache.
type neonDW struct{ s Shape }

func (d *neonDW) flips() bool   { return true }
func (d *neonDW) looksUp() bool { return true }

// Words of the packed order of taps of a block (numbers of groups, then taps, 16 bits each), and of its weights.
func (d *neonDW) orderLen() int  { return roundUp(4+d.s.KH*d.s.KW, 8) / 2 }
func (d *neonDW) weightLen() int { return d.s.KH * d.s.KW * qBlk / 4 }
func (d *neonDW) wordsLen() int  { return ceilDiv(d.s.C, qBlk) * (d.orderLen() + d.weightLen()) }

// packWeights writes of each 16 channels the order of the taps and [tap][16] bytes.
func (d *neonDW) packWeights(dst []float32, w []int8) {
	taps := d.s.KH * d.s.KW
	size := d.orderLen() + d.weightLen()
	for c0 := 0; c0 < d.s.C; c0 += qBlk {
		at := dst[c0/qBlk*size:]
		n := min(qBlk, d.s.C-c0)
		groups := meeting(w[c0*taps:][:n*taps], taps)
		order := unsafe.Slice((*uint16)(unsafe.Pointer(&at[0])), 2*d.orderLen())
		b := unsafe.Slice((*int8)(unsafe.Pointer(&at[d.orderLen()])), 4*d.weightLen())
		i := 0
		for _, g := range groups {
			order[3-len(g)]++
			for _, t := range g {
				order[4+i] = uint16(t)
				for c := range n {
					b[i*qBlk+c] = w[(c0+c)*taps+t]
				}
				i++
			}
		}
	}
}

// lanes are the absolute weights of a tap in up to 16 channels, 16 bits each.
type lanes [4]uint64

// fits tells whether the weights of three taps sum to at most 255 in every channel.
func fits(a, b, c *lanes) bool {
	const above = 0xff00_ff00_ff00_ff00
	return ((a[0]+b[0]+c[0])|(a[1]+b[1]+c[1])|(a[2]+b[2]+c[2])|(a[3]+b[3]+c[3]))&above == 0
}

// meeting sorts the taps of up to 16 channels into groups of up to three, largest first, so that sums of products of each stay within 16
// bits: their weights' absolute values sum to at most 255 in every channel. It looks for few groups with a bounded effort.
func meeting(w []int8, taps int) [][]int {
	abs, most, left := make([]lanes, taps), make([]int, taps), make([]int, taps)
	for t := range taps {
		left[t] = t
		for c := 0; c < len(w); c += taps {
			v := max(int(w[c+t]), -int(w[c+t]))
			most[t] += v // heavy taps are hard to place: they come first
			abs[t][c/taps/4] |= uint64(v) << (c / taps % 4 * 16)
		}
	}
	slices.SortStableFunc(left, func(a, b int) int { return most[b] - most[a] })
	var best, now [][]int
	tries := 20_000
	var place func(left []int)
	place = func(left []int) {
		if best != nil && len(now)+ceilDiv(len(left), 3) >= len(best) {
			return
		}
		if len(left) == 0 {
			best = slices.Clone(now)
			return
		}
		with := func(rest []int, g ...int) {
			now = append(now, g)
			place(rest)
			now = now[:len(now)-1]
		}
		first, rest := left[0], left[1:]
		pair := -1
		for i, a := range rest {
			if tries < 0 && best != nil {
				return
			}
			if !fits(&abs[first], &abs[a], &lanes{}) {
				continue
			}
			if pair < 0 {
				pair = i
			}
			for j := i + 1; j < len(rest); j++ {
				if tries--; fits(&abs[first], &abs[a], &abs[rest[j]]) {
					with(slices.Delete(slices.Delete(slices.Clone(rest), j, j+1), i, i+1), first, a, rest[j])
				}
			}
		}
		if pair >= 0 {
			with(slices.Delete(slices.Clone(rest), pair, pair+1), first, rest[pair])
		} else {
			with(rest, first)
		}
	}
	place(left)
	slices.SortStableFunc(best, func(a, b []int) int { return len(b) - len(a) })
	return best
}

// neonDWCall is a run of tiles of a width over some rows.
type neonDWCall struct {
	f        func(*qdwArgs)
	src, dst int
	nt       int64
}

// neonDWBlock is what kernels read of 16 channels.
type neonDWBlock struct {
	deltas             []int64
	threes, twos, ones int64
	w                  unsafe.Pointer
	table              []float32
}

type neonDWBound struct {
	*neonDW
	packed  []float32
	in, out cpu.Layout
	blocks  []neonDWBlock
	calls   []neonDWCall
	rows    int // of a call: about 100 us of a Cortex-A72
	args    qdwArgs
	copy    flipArgs // of rows rows
	apart   bool     // even and odd columns
	size    int      // bytes of the copy
	work    int

	from, to steps // of in and out
	first    int   // of the first pixel that is copied, in a plane of the input
	down     int   // from a row of the output to the next, in the input
}

// dwCopy bounds the copy of rows, so that it stays in a first-level cache of 32 KB.
const dwCopy = 24 << 10

func (d *neonDW) bindQ(packed []float32, in, out cpu.Layout, _ *cpu.Layout, workers int) QBound {
	s := d.s
	b := &neonDWBound{neonDW: d, packed: packed, in: in, out: out, work: workers, apart: s.SW == 2}
	cols := (out.W-1)*s.SW + (s.KW-1)*s.DW + 1
	row, odd, ps := cols*qBlk, 0, s.SW*qBlk
	if b.apart {
		odd, ps = (cols+1)/2*qBlk, qBlk
	}
	window := (s.KH-1)*s.DH + 1
	b.rows = min(out.H, max(4, (dwCopy/row-window)/s.SH+1))
	b.rows = max(1, min(b.rows, callMults/max(1, 2*out.W*s.KH*s.KW)))
	height := (b.rows-1)*s.SH + window
	b.size = roundUp(height*row+4*qBlk, 64) // a tile of four pixels reads on behind the last tap
	b.copy = flipArgs{n: int64(cols), inRow: int64(in.Row()), outRow: int64(row), odd: int64(odd)}
	place := func(t int) int64 {
		ky, kx := t/s.KW*s.DH, t%s.KW*s.DW
		if b.apart {
			return int64(ky*row + kx%2*odd + kx/2*qBlk)
		}
		return int64(ky*row + kx*qBlk)
	}
	size, scale := d.orderLen()+d.weightLen(), packed[qHead+d.wordsLen():]
	for c := 0; c < s.C; c += qBlk {
		at := packed[qHead+c/qBlk*size:]
		order := unsafe.Slice((*uint16)(unsafe.Pointer(&at[0])), 4+s.KH*s.KW)
		k := neonDWBlock{threes: int64(order[0]), twos: int64(order[1]), ones: int64(order[2]), w: unsafe.Pointer(&at[d.orderLen()])}
		from := int64(0)
		for _, t := range order[4:] {
			to := place(min(int(t), s.KH*s.KW-1))
			k.deltas, from = append(k.deltas, to-from), to
		}
		k.deltas = append(k.deltas, 0)
		k.table = append(append(k.table, scale[roundUp(s.M, qBlk)+c:][:qBlk]...), scale[c:c+qBlk]...)
		b.blocks = append(b.blocks, k)
	}
	for x := 0; x < out.W; {
		cols := min(4, out.W-x)
		n := (out.W - x) / cols
		b.calls = append(b.calls, neonDWCall{neonDWKern(cols, ps == qBlk), x * ps, out.Pixel(0, x), int64(n)})
		x += cols * n
	}
	b.from, b.to, b.first, b.down = stepsOf(in), stepsOf(out), in.Pixel(-s.PadT, -s.PadL), s.SH*in.Row()
	b.args = qdwArgs{inRow: int64(s.SH * row), outRow: int64(out.Row()), ps: int64(ps), zero: int16(packed[4])}
	var clip bool
	if b.args.lo, b.args.hi, clip = bounds8(packed); clip {
		b.args.clip = 1
	}
	return b
}

func neonDWKern(cols int, dense bool) func(*qdwArgs) {
	k := [5][2]func(*qdwArgs){4: {qdw4s1, qdw4any}, 3: {qdw3s1, qdw3any}, 2: {qdw2s1, qdw2any}, 1: {qdw1s1, qdw1any}}[cols]
	if dense {
		return k[0]
	}
	return k[1]
}

// Scratch is the bytes of a run's scratch.
func (b *neonDWBound) Scratch() int { return b.size * b.work }

func (b *neonDWBound) OnQ(buf QBuffers) Run {
	hold(buf.In, buf.Out, nil, b.in, b.out, nil)
	if len(buf.Scratch) < b.Scratch() {
		buf.Scratch = cpu.Aligned[uint8](b.Scratch())
	}
	args := b.args
	if buf.Table != nil {
		args.clip, args.look = 2, buf.Table
	}
	return &neonDWRun{b, bytesPtr(buf.In), bytesPtr(buf.Out), bytesPtr(buf.Scratch), slices.Repeat([]qdwArgs{args}, b.work), slices.Repeat([]flipArgs{b.copy}, b.work)}
}

type neonDWRun struct {
	b                *neonDWBound
	in, out, scratch unsafe.Pointer
	args             []qdwArgs // one a worker: arguments of kernels in tables escape
	copies           []flipArgs
}

func (r *neonDWRun) Stages() int    { return 1 }
func (r *neonDWRun) Pieces(int) int { return r.b.s.N * len(r.b.blocks) }

// Piece runs 16 channels of one picture, some rows at a time.
func (r *neonDWRun) Piece(_, i, worker int) {
	b := r.b
	s := b.s
	img, c := i/len(b.blocks), i%len(b.blocks)
	k, f, block := &r.args[worker], &r.copies[worker], &b.blocks[c]
	src := unsafe.Add(r.in, img*b.from.image+c*b.from.plane+b.first)
	dst := unsafe.Add(r.out, img*b.to.image+c*b.to.plane)
	f.dst = unsafe.Add(r.scratch, worker*b.size)
	k.w, k.table, k.deltas, k.threes, k.twos, k.ones = block.w, ptr(block.table), &block.deltas[0], block.threes, block.twos, block.ones
	for y := 0; y < b.out.H; y += b.rows {
		k.nr = int64(min(b.rows, b.out.H-y))
		f.src, f.rows = unsafe.Add(src, y*b.down), (k.nr-1)*int64(s.SH)+int64((s.KH-1)*s.DH+1)
		if b.apart {
			flipSplit(f)
		} else {
			flipRows(f)
		}
		for j := range b.calls {
			call := &b.calls[j]
			k.src, k.dst, k.nt = unsafe.Add(f.dst, call.src), unsafe.Add(dst, call.dst+y*int(k.outRow)), call.nt
			call.f(k)
		}
	}
}
