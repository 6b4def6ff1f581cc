package conv

import (
	"fmt"
	"math"
	"slices"
	"unsafe"

	"fettle/kernels/cpu"
)

// Quant is what an 8-bit convolution needs beside its shape. real = scale * (q - zero).
//
// Activations are u8, in blocks of 64 channels. A model with s8 activations runs with q + 128 and zero + 128 (flip the top bit of
// every byte), which is the same numbers.
type Quant struct {
	InScale, OutScale, ResScale float32
	InZero, OutZero, ResZero    uint8
	WScale                      []float32 // one an output channel, or one for all
	Bias                        []float32 // real, [M] or nil; it is rounded to steps of the sums, InScale*WScale
	Steps                       []int32   // the bias in these steps, if known: instead of Bias
}

// QAlgorithm is one way to run a Shape in 8 bit: u8 activations, s8 weights, exact 32-bit sums, then
// round(act((sum+bias)*scale + residual)) + OutZero with ties to even, saturated; bias and zero points are whole numbers, so the result is that of
// ONNX Runtime, tie for tie. Activations None, ReLU, Clamp; others are a
// table look-up afterwards (kernels/quant).
type QAlgorithm struct {
	Name    string
	ISA     cpu.ISA
	MACs    int64
	In, Out cpu.Need // borders hold the zero point of the input
	Shape   Shape

	impl qimpl
}

type qimpl interface {
	wordsLen() int
	packWeights(dst []float32, w []int8)
	bindQ(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) QBound
}

// QBound is a bound 8-bit kernel, immutable.
type QBound interface {
	Scratch() int // bytes of scratch a run needs
	OnQ(b QBuffers) Run
}

// QBuffers are the tensors of an 8-bit run; 64 bytes behind In must be readable. A run without scratch makes its own. Where the algorithm looks up, what it
// stores goes through Table if there is one.
type QBuffers struct {
	In, Out, Res, Scratch []uint8
	Table                 *[256]uint8
}

const (
	// MostSteps bounds a bias: the sum of products and it fits in 32 bits.
	MostSteps = 1 << 30

	qBlk  = 4 * blk // channels a block in 8 bit, as cpu.Features.BlockI8
	qHead = 16      // words before the weights: residual scale, bounds less the zero point, 1 if a weight is -128, zero points of output and residual
)

// PlanQ returns the 8-bit algorithms for s, best first; the last one is portable Go.
func PlanQ(s Shape, f cpu.Features) ([]*QAlgorithm, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	if s.Act.Kind > cpu.Clamp {
		return nil, fmt.Errorf("8-bit convolution: activation %v cannot be part of the store", s.Act.Kind)
	}
	var l []*QAlgorithm
	add := func(name string, isa cpu.ISA, block int, i qimpl) {
		l = append(l, &QAlgorithm{Name: name + "__" + isa.String(), ISA: isa, MACs: s.MACs(), In: cpu.Need{Block: block, Border: s.border()}, Out: cpu.Need{Block: qBlk}, Shape: s, impl: i})
	}
	for _, a := range archQ(s, f) {
		add(a.Name, a.ISA, a.In.Block, a.impl)
	}
	if s.Groups > 1 && s.Groups == s.C && s.M == s.C && !s.Residual {
		if f.Has(cpu.AVX512VNNI) {
			if k := vnniDWKerns(); k != nil {
				add("qu8s8_dwconv_1x8", cpu.AVX512VNNI, qBlk, &qdepthwise{s, k, blk})
			}
		}
		if d := newDWRows(s, f); d != nil {
			add("qu8s8_dwconv_2x8", cpu.AVX2, qBlk, d)
		}
		if k := avx2DWKerns(f); k != nil {
			add("qu8s8_dwconv_1x8", cpu.AVX2, qBlk, &qdepthwise{s, k, blk / 2})
		}
		add("qu8s8_dwconv_1x8", cpu.Generic, qBlk, &qdepthwise{s, []kern{1: qdwGo, 2: qdwGo, 4: qdwGo, 8: qdwGo}, blk})
		return l, nil
	}
	first := s.C < 5 && s.DW == 1 && s.KH*s.KW > 1
	for _, fam := range append(qFamilies(f), qPortable()) {
		for _, nb := range []int{4, 2, 1} {
			r := fam[nb]
			if r == nil || (nb == 4 && s.M <= 2*blk) {
				continue
			}
			for _, nhwc := range []bool{true, false} {
				d := newQDirect(s, fam, nb, nhwc)
				if (nhwc && !first) || d.main == nil || d.table(r, 1) == nil {
					continue
				}
				if nhwc {
					add(fmt.Sprintf("qu8s8_conv_first_%dx%d", r.maxMR, nb*blk), r.isa, 4, d)
				} else {
					add(fmt.Sprintf("qu8s8_conv_%dx%d", r.maxMR, nb*blk), r.isa, qBlk, d)
				}
			}
		}
	}
	if plans := wordPlans(s, f); len(plans) > 0 {
		at := slices.IndexFunc(l, func(a *QAlgorithm) bool { return a.ISA == plans[0].ISA })
		bytes := at >= 0 // there is a product of bytes, or one of their own for first layers
		at = max(at, 0)
		for _, a := range plans {
			if bytes && (first || !a.impl.(interface{ wins() bool }).wins()) {
				l = slices.Insert(l, at+1, a) // behind the product of bytes
				continue
			}
			l = slices.Insert(l, at, a)
			at++
		}
	}
	tiled := 0
	for tiled < len(l) && l[tiled].ISA == cpu.AMXInt8 {
		tiled++
	}
	if tiled > 0 && !s.tilesWin8() {
		l = late(l, tiled)
	}
	return l, nil
}

// PackedLen is the number of 32-bit words of a packed kernel.
func (a *QAlgorithm) PackedLen() int {
	return qHead + a.impl.wordsLen() + 2*roundUp(a.Shape.M, qBlk)
}

// Pack writes weights w[M][C/Groups][KH][KW], and folds the scales into one factor and bias and zero point of the input into one whole number an
// output channel. dst must be zero. Equal inputs give equal bytes.
func (a *QAlgorithm) Pack(dst []float32, w []int8, q Quant) error {
	s := a.Shape
	switch {
	case len(w) != s.WeightLen():
		return fmt.Errorf("%s: %d weights instead of %d", a.Name, len(w), s.WeightLen())
	case q.Bias != nil && len(q.Bias) != s.M, q.Steps != nil && len(q.Steps) != s.M:
		return fmt.Errorf("%s: %d and %d bias values instead of %d", a.Name, len(q.Bias), len(q.Steps), s.M)
	case len(q.WScale) != 1 && len(q.WScale) != s.M:
		return fmt.Errorf("%s: %d weight scales instead of 1 or %d", a.Name, len(q.WScale), s.M)
	case !(q.InScale > 0) || !(q.OutScale > 0) || (s.Residual && !(q.ResScale > 0)):
		return fmt.Errorf("%s: scales %g, %g, %g must be positive", a.Name, q.InScale, q.OutScale, q.ResScale)
	case len(dst) < a.PackedLen():
		return fmt.Errorf("%s: %d words for packed weights, %d are needed", a.Name, len(dst), a.PackedLen())
	}
	a.impl.packWeights(dst[qHead:], w)
	n := roundUp(s.M, qBlk)
	scale := dst[qHead+a.impl.wordsLen():]
	bias := unsafe.Slice((*int32)(unsafe.Pointer(&scale[n])), n)
	per := len(w) / s.M
	zero := int(q.InZero)
	if d, ok := a.impl.(interface{ flips() bool }); ok && d.flips() {
		zero -= 128
	}
	for o := range s.M {
		ws, sum := q.WScale[min(o, len(q.WScale)-1)], 0
		for _, v := range w[o*per : (o+1)*per] {
			sum += int(v)
		}
		step := float32(q.InScale * ws)
		scale[o] = step / q.OutScale // in the precision that ONNX Runtime has it in
		b := 0
		switch {
		case q.Steps != nil:
			b = int(q.Steps[o])
		case q.Bias != nil:
			r := math.RoundToEven(float64(q.Bias[o]) / float64(step))
			if !(math.Abs(r) <= MostSteps) {
				return fmt.Errorf("%s: bias %g of channel %d does not fit in 32 bits of steps of %g", a.Name, q.Bias[o], o, step)
			}
			b = int(r)
		}
		bias[o] = int32(b - zero*sum)
	}
	lo, hi := 0.0, 255.0
	switch s.Act.Kind {
	case cpu.ReLU:
		lo = float64(q.OutZero)
	case cpu.Clamp:
		// The bounds are rounded before the zero point is added, as a quantizer behind the clamp does it.
		lo = max(lo, min(hi, math.RoundToEven(float64(s.Act.A/q.OutScale))+float64(q.OutZero)))
		hi = min(hi, max(lo, math.RoundToEven(float64(s.Act.B/q.OutScale))+float64(q.OutZero)))
	}
	if s.Residual {
		dst[0], dst[5] = q.ResScale/q.OutScale, float32(q.ResZero)
	}
	dst[1], dst[2], dst[4] = float32(lo)-float32(q.OutZero), float32(hi)-float32(q.OutZero), float32(q.OutZero)
	if slices.Contains(w, -128) {
		dst[3] = 1
	}
	return nil
}

// LooksUp tells whether the store can pass its bytes through a table. The shape must have no activation.
func (a *QAlgorithm) LooksUp() bool {
	l, ok := a.impl.(interface{ looksUp() bool })
	return ok && l.looksUp() && a.Shape.Act.Kind == cpu.None
}

// Bind prepares tables for the layouts (elements are bytes).
func (a *QAlgorithm) Bind(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) (QBound, error) {
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
	return a.impl.bindQ(packed, in, out, res, workers), nil
}

// qdirect is direct with four channels a 32-bit word: its inner Shape counts words.
type qdirect struct {
	*direct
	real Shape
}

func newQDirect(s Shape, fam map[int]*rows, nb int, nhwc bool) *qdirect {
	w := s
	w.C, w.M, w.Groups = ceilDiv(s.C, 4), s.M, 1 // groups multiply by zero weights
	if nb > 1 {
		w.M = roundUp(s.M, 2*blk)
	}
	if d := newDirectIf(w, fam, nb, nhwc); d != nil {
		return &qdirect{d, s}
	}
	return &qdirect{direct: &direct{s: w, unit: 4}, real: s}
}

// newDirectIf is newDirect, or nil where the family has no kernel for the stride.
func newDirectIf(s Shape, fam map[int]*rows, nb int, nhwc bool) *direct {
	probe := &direct{s: s, unit: 4}
	if nhwc || s.SW > 2 || fam[nb].single {
		probe.unit = 1
	}
	if probe.table(fam[nb], 1) == nil {
		return nil
	}
	return newDirect(s, fam, nb, nhwc)
}

func (d *qdirect) wordsLen() int { return d.wLen }

// flips tells that the kernel subtracts 128 from the inputs.
func (d *qdirect) flips() bool { return d.main.flip }

// packWeights writes [group][word][nb*16 outputs][4 channels] s8, for widened weights [group][word][even, odd][16 outputs][2 channels] s16, in pairs
// [group][16 channels][half][output][8 channels] s8.
func (d *qdirect) packWeights(dst []float32, w []int8) {
	s := d.real
	taps := s.KH * s.KW
	cg, mg := s.C/s.Groups, s.M/s.Groups
	b8 := unsafe.Slice((*int8)(unsafe.Pointer(&dst[0])), 4*d.wLen)
	b16 := unsafe.Slice((*int16)(unsafe.Pointer(&dst[0])), 2*d.wLen)
	for _, p := range d.panels {
		at := p.w
		for g := p.g0; g < p.g1; g++ {
			for u := range int(d.groups[g].steps) * d.unit {
				for j := range p.nb * blk {
					for q := range 4 {
						m, c, tap := p.block*blk+j, (g/taps*blk+u)*4+q, g%taps
						if d.nhwc {
							c, tap = q, g*s.KW+u
							if u >= s.KW {
								continue
							}
						}
						if m >= s.M || c >= s.C || m/mg != c/cg {
							continue
						}
						v := w[(m*cg+c%cg)*taps+tap]
						switch {
						case d.main.pairs:
							step := at - u%4*p.nb*blk
							b8[4*step+u%4/2*8*p.nb*blk+j*8+u%2*4+q] = v
						case d.main.wide == 2:
							b16[2*at+q%2*2*blk+2*j+q/2] = int16(v)
						default:
							b8[4*(at+j)+q] = v
						}
					}
				}
				at += p.nb * blk * max(1, d.main.wide)
			}
		}
	}
}

type qBound struct {
	*directBound
	packed []float32
	outC   int
}

func (d *qdirect) bindQ(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) QBound {
	b := d.bindSized(packed[qHead:], in, out, res, workers, 1, 1)
	b.args.setStore(packed)
	b.args.full = uint32(packed[3])
	return &qBound{b, packed, d.real.M}
}

// setStore takes from the packed head what the store needs.
func (k *kargs) setStore(packed []float32) {
	k.rscale, k.lo, k.hi, k.zero, k.rzero = packed[0], packed[1], packed[2], int32(packed[4]), int32(packed[5])
}

// bounds8 are the bounds that a packed head puts on bytes, and whether they are any.
func bounds8(packed []float32) (lo, hi uint8, clip bool) {
	l, h := packed[1]+packed[4], packed[2]+packed[4]
	return uint8(l), uint8(h), l > 0 || h < 255
}

// looksUp is so where a tile is whole blocks of channels, so that a pass over tiles that were just stored is one over whole lines.
func (d *qdirect) looksUp() bool {
	return qBlk == 4*blk && blk == 4 && d.real.M%qBlk == 0 && d.main.nb == 4 && d.main.isa != cpu.Generic
}

func bytesPtr(b []uint8) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// OnQ ties the kernel to the memory of one session.
func (b *qBound) OnQ(buf QBuffers) Run {
	hold(buf.In, buf.Out, buf.Res, b.in, b.out, b.res)
	r := &directRun{b: b.directBound, args: make([]kargs, b.work)}
	base := b.args
	base.a, base.c = bytesPtr(buf.In), bytesPtr(buf.Out)
	if b.s.Residual {
		base.res = bytesPtr(buf.Res)
	}
	base.b = ptr(b.packed[qHead:])
	base.scale = ptr(b.packed[qHead+b.wLen:])
	base.bias = ptr(b.packed[qHead+b.wLen+b.scaleLen():])
	if buf.Table != nil {
		base.perm = unsafe.Pointer(buf.Table)
	}
	r.base = base
	if b.main.whole {
		r.buf = tileBuffers(b.work)
	}
	return r
}

func (b *qBound) scaleLen() int { return roundUp(b.outC, qBlk) }

// requantGo is the definition of the store.
func requantGo(k *kargs, acc int32, j int64, res *uint8) uint8 {
	v := float32(acc+*(*int32)(unsafe.Add(k.bias, 4*j))) * *at(k.scale, 4*j)
	if res != nil {
		v += float32(int32(*res)-k.rzero) * k.rscale
	}
	return uint8(int32(math.RoundToEven(float64(min(max(v, k.lo), k.hi)))) + k.zero)
}

// qGo is the portable micro-kernel, steps of 1 word, 16 outputs.
func qGo(k *kargs) {
	for _, t := range unsafe.Slice(k.tiles, k.nt) {
		for i := range k.mr {
			var acc [blk]int32
			w := k.b
			for _, g := range unsafe.Slice(k.groups, k.nk) {
				x := unsafe.Slice((*uint8)(unsafe.Add(k.a, t.a+g.off+i*k.ps)), 4*g.steps)
				for u := 0; u < len(x); u += 4 {
					line := (*[blk][4]int8)(unsafe.Add(w, blk*u))
					for j := range line {
						acc[j] += int32(x[u])*int32(line[j][0]) + int32(x[u+1])*int32(line[j][1]) + int32(x[u+2])*int32(line[j][2]) + int32(x[u+3])*int32(line[j][3])
					}
				}
				w = unsafe.Add(w, blk*len(x))
			}
			for j := range int64(blk) {
				var r *uint8
				if k.res != nil {
					r = (*uint8)(unsafe.Add(k.res, t.r+i*qBlk+j))
				}
				*(*uint8)(unsafe.Add(k.c, t.c+i*qBlk+j)) = requantGo(k, acc[j], j, r)
			}
		}
	}
}

func qPortable() map[int]*rows {
	return map[int]*rows{1: {isa: cpu.Generic, nb: 1, maxMR: 4, single: true, any: []kern{nil, qGo, qGo, qGo, qGo}}}
}
