// Package pool holds maximum and average pooling, windowed and global, on blocked layouts: NCHWc16 in float32 and NCHWc64 in u8 (arm64: 4 and 16).
//
// Windows that reach over the edge are cut to the picture, so the input needs no border. One kernel takes a list of taps; a
// global pool is a window as large as the picture.
package pool

import (
	"fmt"
	"unsafe"

	"fettle/kernels/cpu"
)

// Shape describes a pooling layer; the output size is given, for it depends on rounding modes that belong to the operator.
type Shape struct {
	N, C, H, W             int
	KH, KW, SH, SW, DH, DW int
	PadT, PadL, PadB, PadR int
	OutH, OutW             int
	Avg                    bool // else maximum
	CountPad               bool // Avg: padding counts in the divisor
	Int8                   bool // u8, maximum only
}

// Global is the shape of a pool over the whole picture.
func Global(n, c, h, w int, avg bool) Shape {
	return Shape{N: n, C: c, H: h, W: w, KH: h, KW: w, SH: 1, SW: 1, DH: 1, DW: 1, OutH: 1, OutW: 1, Avg: avg}
}

const maxDim = 1 << 18

func (s Shape) check() error {
	for _, v := range []int{s.N, s.C, s.H, s.W, s.KH, s.KW, s.SH, s.SW, s.DH, s.DW, s.OutH, s.OutW} {
		if v < 1 || v > maxDim {
			return fmt.Errorf("pooling %+v: %d is not in 1..%d", s, v, maxDim)
		}
	}
	for _, v := range []int{s.PadT, s.PadL, s.PadB, s.PadR} {
		if v < 0 || v > maxDim {
			return fmt.Errorf("pooling %+v: padding %d is not in 0..%d", s, v, maxDim)
		}
	}
	if s.Int8 && s.Avg {
		return fmt.Errorf("pooling: the average of 8-bit tensors is not a kernel")
	}
	inside := func(n, out, k, st, d, pad int) bool { // every window touches the picture
		for o := range out {
			if a, b := span(o, n, k, st, d, pad); a >= b {
				return false
			}
		}
		return true
	}
	if !inside(s.H, s.OutH, s.KH, s.SH, s.DH, s.PadT) || !inside(s.W, s.OutW, s.KW, s.SW, s.DW, s.PadL) {
		return fmt.Errorf("pooling %+v: a window lies outside the picture", s)
	}
	return nil
}

// span is the range of taps of output o that lie in 0..n-1.
func span(o, n, k, st, d, pad int) (a, b int) {
	first := o*st - pad
	if first < 0 {
		a = (-first + d - 1) / d
	}
	return a, min(k, (n-first+d-1)/d)
}

// pargs is what a kernel reads. The offsets are known to _asm/amd64gen/pool.go; TestOffsets compares them.
type pargs struct {
	src, dst   unsafe.Pointer
	taps       *int64
	nk, nt, ps int64
	scale      float32
	cols       int64 // for portable kernels
}

// Block is the number of channels a block: 16, or 64 in 8 bit (arm64: 4 and 16).
func (s Shape) Block() int {
	if s.Int8 {
		return lineBytes
	}
	return lineBytes / 4
}

// Kernel is a pooling layer bound to layouts, immutable.
type Kernel struct {
	s       Shape
	Name    string
	in, out cpu.Layout
	size    int // bytes of an element
	calls   []call
	taps    []int64
	work    int
	wide    func(*pargs) // 4 columns
	one     func(*pargs)
}

// call is a run of outputs with the same taps.
type call struct {
	src, dst, tap, nk, n int
	scale                float32
}

// Bind prepares a layer; layouts have the blocks of Block.
func Bind(s Shape, f cpu.Features, in, out cpu.Layout, workers int) (*Kernel, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	want := func(l cpu.Layout, h, w int) bool {
		return l.N == s.N && l.C == s.C && l.H == h && l.W == w && l.Block == s.Block()
	}
	if !want(in, s.H, s.W) || !want(out, s.OutH, s.OutW) || workers < 1 {
		return nil, fmt.Errorf("pooling %+v: layouts %+v and %+v do not fit, or %d workers", s, in, out, workers)
	}
	k := &Kernel{s: s, in: in, out: out, size: 4, work: workers}
	if s.Int8 {
		k.size = 1
	}
	isa := k.pick(f)
	kind := map[bool]string{false: "max", true: "avg"}[s.Avg]
	k.Name = fmt.Sprintf("%s_%spool_4x%d__%v", map[bool]string{false: "f32", true: "qu8"}[s.Int8], kind, s.Block(), isa)
	lists := map[[4]int]int{}
	for y := range s.OutH {
		y0, y1 := span(y, s.H, s.KH, s.SH, s.DH, s.PadT)
		for x := range s.OutW {
			x0, x1 := span(x, s.W, s.KW, s.SW, s.DW, s.PadL)
			key := [4]int{y0, y1, x0, x1}
			at, ok := lists[key]
			if !ok {
				at = len(k.taps)
				lists[key] = at
				for i := y0; i < y1; i++ {
					for j := x0; j < x1; j++ {
						k.taps = append(k.taps, int64(k.size*((i-y0)*s.DH*in.Row()+(j-x0)*s.DW*in.Block)))
					}
				}
			}
			n := (y1 - y0) * (x1 - x0)
			div := n
			if s.CountPad { // the window cut to the padded picture
				yy := min(s.KH, (s.H+s.PadB-y*s.SH+s.PadT+s.DH-1)/s.DH)
				xx := min(s.KW, (s.W+s.PadR-x*s.SW+s.PadL+s.DW-1)/s.DW)
				div = yy * xx
			}
			c := call{
				src: k.size * in.Pixel(y*s.SH-s.PadT+y0*s.DH, x*s.SW-s.PadL+x0*s.DW), dst: k.size * out.Pixel(y, x),
				tap: at, nk: n, n: 1, scale: 1 / float32(div),
			}
			if last := len(k.calls) - 1; x > 0 && k.calls[last].tap == at && k.calls[last].scale == c.scale {
				k.calls[last].n++
				continue
			}
			k.calls = append(k.calls, c)
		}
	}
	return k, nil
}

// Run is a bound layer in the memory of one session; it satisfies team.Task.
type Run struct {
	k       *Kernel
	in, out unsafe.Pointer
	args    []pargs
}

// hold panics if a tensor is shorter than its layout: kernels have no bounds, so a bug of the caller must not reach them.
func (k *Kernel) hold(in, out int, int8 bool) {
	if in < k.in.Used() || out < k.out.Used() || int8 != k.s.Int8 {
		panic(fmt.Sprintf("pool: tensors of %d and %d elements, the layouts need %d and %d, 8 bit: %t", in, out, k.in.Used(), k.out.Used(), k.s.Int8))
	}
}

// On ties a float32 layer to its tensors.
func (k *Kernel) On(in, out []float32) *Run {
	k.hold(len(in), len(out), false)
	return &Run{k, unsafe.Pointer(unsafe.SliceData(in)), unsafe.Pointer(unsafe.SliceData(out)), make([]pargs, k.work)}
}

// On8 ties an 8-bit layer to its tensors.
func (k *Kernel) On8(in, out []uint8) *Run {
	k.hold(len(in), len(out), true)
	return &Run{k, unsafe.Pointer(unsafe.SliceData(in)), unsafe.Pointer(unsafe.SliceData(out)), make([]pargs, k.work)}
}

// Stages is 1.
func (r *Run) Stages() int { return 1 }

// Pieces are the channel blocks of all pictures.
func (r *Run) Pieces(int) int { return r.k.s.N * r.k.in.Blocks() }

// Piece pools one channel block.
func (r *Run) Piece(_, i, worker int) {
	k := r.k
	n := k.in.Blocks()
	img, c := i/n, i%n
	in := unsafe.Add(r.in, k.size*(img*k.in.Image()+c*k.in.Plane()))
	out := unsafe.Add(r.out, k.size*(img*k.out.Image()+c*k.out.Plane()))
	a := &r.args[worker]
	ps := k.s.SW * k.in.Block * k.size
	for j := range k.calls {
		c := &k.calls[j]
		*a = pargs{src: unsafe.Add(in, c.src), dst: unsafe.Add(out, c.dst), taps: &k.taps[c.tap], nk: int64(c.nk), ps: int64(ps), scale: c.scale}
		if n := c.n / 4; n > 0 {
			a.nt, a.cols = int64(n), 4
			k.wide(a)
			if c.n == 4*n {
				continue
			}
			a.src, a.dst = unsafe.Add(a.src, 4*n*ps), unsafe.Add(a.dst, 4*n*lineBytes)
		}
		a.nt, a.cols = int64(c.n%4), 1
		k.one(a)
	}
}

// poolGo is the portable kernel for float32.
func poolGo(a *pargs, avg bool) {
	for o := range a.nt * a.cols {
		dst := (*[lineBytes / 4]float32)(unsafe.Add(a.dst, o*lineBytes))
		for i, off := range unsafe.Slice(a.taps, a.nk) {
			in := (*[lineBytes / 4]float32)(unsafe.Add(a.src, o*a.ps+off))
			switch {
			case i == 0:
				*dst = *in
			case avg:
				for j := range dst {
					dst[j] += in[j]
				}
			default:
				for j := range dst {
					dst[j] = max(dst[j], in[j])
				}
			}
		}
		if avg {
			for j := range dst {
				dst[j] *= a.scale
			}
		}
	}
}

func maxGo(a *pargs) { poolGo(a, false) }
func avgGo(a *pargs) { poolGo(a, true) }

// max8Go is the portable kernel for u8.
func max8Go(a *pargs) {
	for o := range a.nt * a.cols {
		dst := (*[lineBytes]uint8)(unsafe.Add(a.dst, o*lineBytes))
		for i, off := range unsafe.Slice(a.taps, a.nk) {
			in := (*[lineBytes]uint8)(unsafe.Add(a.src, o*a.ps+off))
			if i == 0 {
				*dst = *in
				continue
			}
			for j := range dst {
				dst[j] = max(dst[j], in[j])
			}
		}
	}
}

// portable sets the portable kernels.
func (k *Kernel) portable() cpu.ISA {
	switch {
	case k.s.Int8:
		k.wide, k.one = max8Go, max8Go
	case k.s.Avg:
		k.wide, k.one = avgGo, avgGo
	default:
		k.wide, k.one = maxGo, maxGo
	}
	return cpu.Generic
}
