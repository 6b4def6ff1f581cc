package conv

import (
	"fmt"
	"math"
	"unsafe"

	"fettle/kernels/cpu"
)

// Quant16 is what a convolution of 16-bit values by 8-bit weights needs beside its shape. real = scale * q: values are symmetric, their zero point is 0.
type Quant16 struct {
	InScale, OutScale, ResScale float32
	WScale                      []float32 // one an output channel, or one for all
	Bias                        []float32 // real, [M] or nil
}

// Algorithm16 is one way to run a Shape with s16 activations and s8 weights: exact 32-bit sums, then round(act(sum*scale + bias + residual)/OutScale) with
// ties to even, saturated to s16. All of them give the same bits. Activations None, ReLU, Clamp.
type Algorithm16 struct {
	Name    string
	ISA     cpu.ISA
	MACs    int64
	In, Out cpu.Need // borders hold zeros; the residual is like Out
	Shape   Shape

	impl impl16
}

type impl16 interface {
	wordsLen() int
	packWeights(dst []float32, w []int8)
	bind16(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) Bound16
}

// Bound16 is a bound 16-bit kernel, immutable.
type Bound16 interface {
	On16(b Buffers16) Run
}

// Buffers16 are the tensors of a 16-bit run; 64 bytes behind In must be readable.
type Buffers16 struct{ In, Out, Res []int16 }

// Block16 is the channels of a block of 16-bit values, as cpu.Features.BlockI16.
const Block16 = 2 * blk

// SumsFit tells whether sums of 16-bit values by these weights, per for each output, stay within 32 bits whatever the values are.
func SumsFit(w []int8, per int) bool {
	for len(w) > 0 {
		sum := int64(0)
		for _, v := range w[:per] {
			sum += int64(max(int(v), -int(v)))
		}
		if sum<<15 > math.MaxInt32 {
			return false
		}
		w = w[per:]
	}
	return true
}

// Plan16 returns the 16-bit algorithms for s, best first; the last one is portable Go. Their sums are right where SumsFit says so.
func Plan16(s Shape, f cpu.Features) ([]*Algorithm16, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	if s.Act.Kind > cpu.Clamp {
		return nil, fmt.Errorf("16-bit convolution: activation %v cannot be part of the store", s.Act.Kind)
	}
	var l []*Algorithm16
	add := func(name string, isa cpu.ISA, i impl16) {
		l = append(l, &Algorithm16{Name: name + "__" + isa.String(), ISA: isa, MACs: s.MACs(), In: cpu.Need{Block: Block16, Border: s.border()}, Out: cpu.Need{Block: Block16}, Shape: s, impl: i})
	}
	if s.Groups > 1 && s.Groups == s.C && s.M == s.C && !s.Residual {
		for _, r := range append(dw16Rows(f), &rows16{isa: cpu.Generic, n: Block16, maxMR: 4, f: dw16Go}) {
			add(fmt.Sprintf("qs16s8_dwconv_1x%d", r.maxMR), r.isa, &depthwise16{s, r})
		}
		return l, nil
	}
	portable := &rows{isa: cpu.Generic, nb: 1, maxMR: 4, single: true, any: []kern{nil, conv16Go, conv16Go, conv16Go, conv16Go}}
	for _, r := range append(conv16Rows(f), portable) {
		w := s
		w.C, w.M, w.Groups = ceilDiv(s.C, 2), roundUp(s.M, r.nb*blk), 1 // pairs of channels; groups multiply by zero weights
		add(fmt.Sprintf("qs16s8_conv_%dx%d", r.maxMR, r.nb*blk), r.isa, &direct16{newDirect(w, map[int]*rows{r.nb: r}, r.nb, false), s})
	}
	return l, nil
}

// PackedLen is the number of 32-bit words of a packed kernel.
func (a *Algorithm16) PackedLen() int {
	return qHead + a.impl.wordsLen() + 2*roundUp(a.Shape.M, qBlk)
}

// Pack writes weights w[M][C/Groups][KH][KW] and folds the scales into one factor and one addend an output channel. dst must be zero. Equal
// inputs give equal bytes.
func (a *Algorithm16) Pack(dst []float32, w []int8, q Quant16) error {
	s := a.Shape
	switch {
	case len(w) != s.WeightLen():
		return fmt.Errorf("%s: %d weights instead of %d", a.Name, len(w), s.WeightLen())
	case q.Bias != nil && len(q.Bias) != s.M:
		return fmt.Errorf("%s: %d bias values instead of %d", a.Name, len(q.Bias), s.M)
	case len(q.WScale) != 1 && len(q.WScale) != s.M:
		return fmt.Errorf("%s: %d weight scales instead of 1 or %d", a.Name, len(q.WScale), s.M)
	case !(q.InScale > 0) || !(q.OutScale > 0) || (s.Residual && !(q.ResScale > 0)):
		return fmt.Errorf("%s: scales %g, %g, %g must be positive", a.Name, q.InScale, q.OutScale, q.ResScale)
	case len(dst) < a.PackedLen():
		return fmt.Errorf("%s: %d words for packed weights, %d are needed", a.Name, len(dst), a.PackedLen())
	case !SumsFit(w, len(w)/s.M):
		return fmt.Errorf("%s: sums of these weights leave 32 bits", a.Name)
	}
	a.impl.packWeights(dst[qHead:], w)
	scale := dst[qHead+a.impl.wordsLen():]
	bias := scale[roundUp(s.M, qBlk):]
	for o := range s.M {
		scale[o] = float32(q.InScale*q.WScale[min(o, len(q.WScale)-1)]) / q.OutScale
		if q.Bias != nil {
			bias[o] = q.Bias[o] / q.OutScale
		}
	}
	lo, hi := float64(math.MinInt16), float64(math.MaxInt16)
	switch s.Act.Kind {
	case cpu.ReLU:
		lo = 0
	case cpu.Clamp: // rounded as a quantizer behind the clamp does it
		lo = max(lo, min(hi, math.RoundToEven(float64(s.Act.A/q.OutScale))))
		hi = min(hi, max(lo, math.RoundToEven(float64(s.Act.B/q.OutScale))))
	}
	if s.Residual {
		dst[0] = q.ResScale / q.OutScale
	}
	dst[1], dst[2] = float32(lo), float32(hi)
	return nil
}

// Bind prepares tables for the layouts (elements are words of 16 bits).
func (a *Algorithm16) Bind(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) (Bound16, error) {
	s := a.Shape
	check := func(what string, l cpu.Layout, n cpu.Need, c, h, w int) error {
		if l.N != s.N || l.C != c || l.H != h || l.W != w || !l.Meets(n) {
			return fmt.Errorf("%s: %s layout %+v is not [%d %d %d %d] with %+v", a.Name, what, l, s.N, c, h, w, n)
		}
		return nil
	}
	if len(packed) < a.PackedLen() || workers < 1 {
		return nil, fmt.Errorf("%s: %d words of packed weights (%d are needed), %d workers", a.Name, len(packed), a.PackedLen(), workers)
	}
	if err := check("input", in, a.In, s.C, s.H, s.W); err != nil {
		return nil, err
	}
	if err := check("output", out, a.Out, s.M, s.OutH(), s.OutW()); err != nil {
		return nil, err
	}
	if (res != nil) != s.Residual {
		return nil, fmt.Errorf("%s: residual layout given: %t, residual in the shape: %t", a.Name, res != nil, s.Residual)
	}
	if res != nil {
		if err := check("residual", *res, a.Out, s.M, s.OutH(), s.OutW()); err != nil {
			return nil, err
		}
	}
	return a.impl.bind16(packed, in, out, res, workers), nil
}

// direct16 is direct with two channels a 32-bit word: its inner Shape counts words.
type direct16 struct {
	*direct
	real Shape
}

func (d *direct16) wordsLen() int { return d.wLen }

// packWeights writes s16: [group][pair][nb*blk outputs][2 channels], or, for kernels that take lanes, [group][channel][nb*blk outputs].
func (d *direct16) packWeights(dst []float32, w []int8) {
	s := d.real
	taps := s.KH * s.KW
	cg, mg := s.C/s.Groups, s.M/s.Groups
	to := unsafe.Slice((*int16)(unsafe.Pointer(&dst[0])), 2*d.wLen)
	for _, p := range d.panels {
		at, n := 2*p.w, p.nb*blk
		for g := p.g0; g < p.g1; g++ {
			for u := range 2 * int(d.groups[g].steps) * d.unit {
				c, tap := 2*(g/taps*blk)+u, g%taps
				for j := range n {
					m := p.block*blk + j
					if m >= s.M || c >= s.C || m/mg != c/cg {
						continue
					}
					i := at + u/2*2*n + 2*j + u%2
					if d.main.lanes {
						i = at + u*n + j
					}
					to[i] = int16(w[(m*cg+c%cg)*taps+tap])
				}
			}
			at += 2 * int(d.groups[g].steps) * d.unit * n
		}
	}
}

type bound16 struct {
	*directBound
	packed []float32
	outC   int
}

func (d *direct16) bind16(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) Bound16 {
	b := d.bindSized(packed[qHead:], in, out, res, workers, 2, 2)
	b.args.rscale, b.args.lo, b.args.hi, b.args.full = packed[0], packed[1], packed[2], clips16(packed)
	return &bound16{b, packed, d.real.M}
}

// clips16 is not 0 where the bounds are closer than those of 16 bits.
func clips16(packed []float32) uint32 {
	if packed[1] > math.MinInt16 || packed[2] < math.MaxInt16 {
		return 1
	}
	return 0
}

func wordPtr(w []int16) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(w)) }

// On16 ties the kernel to the memory of one session.
func (b *bound16) On16(buf Buffers16) Run {
	hold(buf.In, buf.Out, buf.Res, b.in, b.out, b.res)
	r := &directRun{b: b.directBound, args: make([]kargs, b.work)}
	base := b.args
	base.a, base.c = wordPtr(buf.In), wordPtr(buf.Out)
	if b.res != nil {
		base.res = wordPtr(buf.Res)
	}
	base.b = ptr(b.packed[qHead:])
	base.scale = ptr(b.packed[qHead+b.wLen:])
	base.bias = ptr(b.packed[qHead+b.wLen+roundUp(b.outC, qBlk):])
	r.base = base
	return r
}

// fma32 is a*b + c rounded once, which is what the vector kernels compute. The product is exact in float64; where the sum is not, its last bit says so, and
// so the second rounding has the right answer.
func fma32(a, b, c float32) float32 {
	p, d := float64(a)*float64(b), float64(c)
	s := p + d
	t := s - p
	if rest := (p - (s - t)) + (d - t); rest != 0 {
		if u := math.Float64bits(s); u&1 == 0 {
			if (rest > 0) == (s > 0) {
				u++
			} else {
				u--
			}
			s = math.Float64frombits(u)
		}
	}
	return float32(s)
}

// round16 is the definition of the store.
func round16(k *kargs, acc int32, j int64, res *int16) int16 {
	v := fma32(float32(acc), *at(k.scale, 4*j), *at(k.bias, 4*j))
	if res != nil {
		v = fma32(float32(*res), k.rscale, v)
	}
	return int16(math.RoundToEven(float64(min(max(v, k.lo), k.hi))))
}

// conv16Go is the portable micro-kernel, steps of 1 word, blk outputs.
func conv16Go(k *kargs) {
	for _, t := range unsafe.Slice(k.tiles, k.nt) {
		for i := range k.mr {
			var acc [blk]int32
			w := k.b
			for _, g := range unsafe.Slice(k.groups, k.nk) {
				x := unsafe.Slice((*int16)(unsafe.Add(k.a, t.a+g.off+i*k.ps)), 2*g.steps)
				for u := 0; u < len(x); u += 2 {
					l := (*[blk][2]int16)(unsafe.Add(w, 2*blk*u))
					for j := range l {
						acc[j] += int32(x[u])*int32(l[j][0]) + int32(x[u+1])*int32(l[j][1])
					}
				}
				w = unsafe.Add(w, 2*blk*len(x))
			}
			for j := range int64(blk) {
				var r *int16
				if k.res != nil {
					r = (*int16)(unsafe.Add(k.res, t.r+2*(i*Block16+j)))
				}
				*(*int16)(unsafe.Add(k.c, t.c+2*(i*Block16+j))) = round16(k, acc[j], j, r)
			}
		}
	}
}

// rows16 are the depthwise kernels of 16-bit values of one instruction set. A call does n channels of all rows of a run of columns: groups are the taps,
// tiles the rows, mr the columns of a tile and rblk the number of tiles of a row. Weights are [tap][n], or of two taps [n][tap] in an order of their own.
type rows16 struct {
	isa      cpu.ISA
	n, maxMR int
	pairs    []int // not nil: taps come in pairs; where each of the n channels lies in a line of pairs
	f        kern
}

type depthwise16 struct {
	s Shape
	r *rows16
}

func (d *depthwise16) taps() int { return roundUp(d.s.KH*d.s.KW, 1+min(1, len(d.r.pairs))) }

func (d *depthwise16) wordsLen() int { return roundUp(d.s.C, Block16) * d.taps() / 2 }

func (d *depthwise16) packWeights(dst []float32, w []int8) {
	taps, n := d.s.KH*d.s.KW, d.r.n
	to := unsafe.Slice((*int16)(unsafe.Pointer(&dst[0])), 2*d.wordsLen())
	for c := range d.s.C {
		for t := range taps {
			i := t*n + c%n
			if d.r.pairs != nil {
				i = t/2*2*n + 2*d.r.pairs[c%n] + t%2
			}
			to[c/n*n*d.taps()+i] = int16(w[c*taps+t])
		}
	}
}

type dwBound16 struct {
	*depthwise16
	packed  []float32
	groups  []group
	calls   []qdwCall
	in, out cpu.Layout
	args    kargs
	work    int
}

func (d *depthwise16) bind16(packed []float32, in, out cpu.Layout, _ *cpu.Layout, workers int) Bound16 {
	s := d.s
	b := &dwBound16{depthwise16: d, packed: packed, in: in, out: out, work: workers}
	for t := range d.taps() {
		t = min(t, s.KH*s.KW-1) // what fills a pair has no weight
		b.groups = append(b.groups, group{off: int64(2 * (t/s.KW*s.DH*in.Row() + t%s.KW*s.DW*Block16))})
	}
	for x := 0; x < out.W; {
		cols := d.r.maxMR
		for cols > out.W-x {
			cols /= 2
		}
		c := qdwCall{cols: cols, n: (out.W - x) / cols}
		for y := range out.H {
			c.rows = append(c.rows, tile{a: int64(2 * in.Pixel(y*s.SH-s.PadT, x*s.SW-s.PadL)), c: int64(2 * out.Pixel(y, x))})
		}
		b.calls = append(b.calls, c)
		x += cols * c.n
	}
	b.args = kargs{groups: &b.groups[0], nk: int64(len(b.groups)), ps: int64(2 * s.SW * Block16), lo: packed[1], hi: packed[2], full: clips16(packed)}
	return b
}

func (b *dwBound16) On16(buf Buffers16) Run {
	hold(buf.In, buf.Out, nil, b.in, b.out, nil)
	return &dwRun16{b, wordPtr(buf.In), wordPtr(buf.Out), make([]kargs, b.work)}
}

type dwRun16 struct {
	b       *dwBound16
	in, out unsafe.Pointer
	args    []kargs
}

func (r *dwRun16) Stages() int    { return 1 }
func (r *dwRun16) Pieces(int) int { return r.b.s.N * ceilDiv(r.b.s.C, r.b.r.n) }

// Piece runs n channels of one picture.
func (r *dwRun16) Piece(_, i, worker int) {
	b := r.b
	n := b.r.n
	per := ceilDiv(b.s.C, n)
	img, c := i/per, i%per*n
	k := &r.args[worker]
	*k = b.args
	k.a = unsafe.Add(r.in, 2*(img*b.in.Image()+c/Block16*b.in.Plane()+c%Block16))
	k.c = unsafe.Add(r.out, 2*(img*b.out.Image()+c/Block16*b.out.Plane()+c%Block16))
	k.b = unsafe.Add(ptr(b.packed[qHead:]), 2*c*b.taps())
	k.scale = ptr(b.packed[qHead+b.wordsLen()+c:])
	k.bias = ptr(b.packed[qHead+b.wordsLen()+roundUp(b.s.M, qBlk)+c:])
	for j := range b.calls {
		call := &b.calls[j]
		k.tiles, k.nt, k.rblk, k.mr = &call.rows[0], int64(len(call.rows)), int64(call.n), int64(call.cols)
		b.r.f(k)
	}
}

// dw16Go is the portable kernel.
func dw16Go(k *kargs) {
	taps := unsafe.Slice(k.groups, k.nk)
	for _, t := range unsafe.Slice(k.tiles, k.nt) {
		for x := range k.rblk * k.mr {
			var acc [Block16]int32
			for i, g := range taps {
				in := (*[Block16]int16)(unsafe.Add(k.a, t.a+x*k.ps+g.off))
				w := (*[Block16]int16)(unsafe.Add(k.b, 2*Block16*i))
				for j := range acc {
					acc[j] += int32(in[j]) * int32(w[j])
				}
			}
			for j := range int64(Block16) {
				*(*int16)(unsafe.Add(k.c, t.c+2*(x*Block16+j))) = round16(k, acc[j], j, nil)
			}
		}
	}
}
