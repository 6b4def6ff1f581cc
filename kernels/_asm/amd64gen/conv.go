package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Byte offsets of the fields of kargs (conv/direct.go; a test there compares them).
const (
	fA, fB, fC, fBias, fRes, fGroups, fNk, fCblk = 0, 8, 16, 24, 32, 40, 48, 56
	fTiles, fNt, fRblk, fAct, fLo, fHi           = 64, 72, 80, 88, 96, 100
	fPf, fPfStep, fScale, fRscale, fPerm, fPs    = 104, 112, 120, 128, 136, 144
	fZero, fRzero                                = 184, 188
	fGap, fRgap                                  = 168, 176
)

var convAct = actArgs{fAct, fLo, fHi}

// convKernels: rows that the rules of conv/choose.go use.
//
//	s1, s2  distance of output pixels in the input 64 and 128 bytes, steps of 4 inputs
//	p       s1 with eight times the prefetch, for panels that few tiles share
//	b       s1 for tiles that a row of the output breaks: the pixels behind the break lie gap bytes further (residual: rgap)
//	any     any distance, steps of 1 input: first layers and other strides
func convKernels(s isa) {
	declareConsts("conv"+s.suffix, append(sigmoidConsts(), expConsts()...)...)
	type shape struct{ nb, max, npf int }
	shapes := []shape{{1, 28, 1}, {2, 14, 1}, {3, 9, 2}, {4, 7, 3}}
	if s == avx2 {
		shapes = []shape{{1, 6, 1}}
	}
	for _, h := range shapes {
		for mr := 1; mr <= h.max; mr++ {
			conv(s, "s1", mr, h.nb, 64, h.npf, h.max)
			if h.nb != 3 && (h.nb != 1 || mr <= 14) {
				conv(s, "s2", mr, h.nb, 128, h.npf, h.max)
			}
			if h.nb == 2 || h.nb == 4 || s == avx2 {
				conv(s, "p", mr, h.nb, 64, 8, h.max)
			}
			if s == avx2 && mr > 1 {
				conv(s, "b", mr, h.nb, 64, h.npf, h.max)
			}
		}
	}
	any := []int{14, 8, 4, 2, 1}
	nbs := []int{1, 2}
	if s == avx2 {
		any, nbs = []int{6, 4, 2, 1}, nbs[:1]
	}
	for _, nb := range nbs {
		for _, mr := range any {
			conv(s, "any", mr, nb, 0, 1, 14)
		}
	}
}

// conv emits one micro-kernel: mr output pixels x nb blocks of 16 output channels, for a list of tiles.
//
// Registers: mr*nb accumulators that start from the bias, weights in what is left (the rest are memory operands), two
// broadcasts that alternate. Per input: nb weight loads, mr broadcasts, mr*nb FMA: for 14x32 28 FMA in 44 instructions, bound by
// the FMA pipes. The sum runs over nk groups {byte offset, steps}; a step is 4 consecutive inputs (any: 1) of every pixel. ps is
// the distance of two output pixels in the input, 0: at run time. npf lines of the next panel are prefetched a step.
// Source of the scheme: oneDNN's batch-reduce products over address lists, with tiles as lists too.
func conv(s isa, variant string, mr, nb, ps, npf, size int) {
	name := fmt.Sprintf("c%dx%d%s%s", mr, nb, variant, s.suffix)
	text(name)
	inTable(fmt.Sprintf("conv%d%s%s", nb, variant, s.suffix), size+1, mr, name)
	p := arg()
	pl := s.perLine()
	nv := nb * pl
	acc := make([][]vec, mr)
	var all []vec
	for i := range acc {
		acc[i] = s.vecs(nv)
		all = append(all, acc[i]...)
	}
	bv := s.vecs(min(nv, s.regs-mr*nv-2))
	x := s.vecs(2)
	tiles, pf := load(p, fTiles), load(p, fPf)
	b, o, n, cnt := GP64(), GP64(), GP64(), GP64()
	mid := 0 // offset of the base register, so that all displacements fit one byte
	if ps == 64 && mr > 7 {
		mid = 448
	}
	unroll := 4
	var base []gp
	var step gp
	if ps == 0 {
		unroll, base, step = 1, bases(mr), load(p, fPs)
	} else {
		base = []gp{GP64()}
	}

	Label("tile")
	c, st := GP64(), GP64()
	brk := GP64()
	if variant == "b" { // offsets are whole lines: the low bits say how many pixels lie before the break
		MOVQ(Mem{Base: tiles}, brk)
		ANDQ(Imm(63), brk)
	}
	// every vector of the tile: block j/pl, pixel i, part j%pl
	each := func(field, stride, tileOff int, f func(m Mem, i, j int)) {
		MOVQ(Mem{Base: p, Disp: field}, c)
		ADDQ(Mem{Base: tiles, Disp: tileOff}, c)
		if variant == "b" {
			far, q := load(p, fGap+tileOff/16*(fRgap-fGap)), GP64()
			ADDQ(c, far)
			for i := range mr {
				MOVQ(c, q)
				CMPQ(brk, Imm(uint64(i)))
				CMOVQLE(far, q)
				for h := range pl {
					f(Mem{Base: q, Disp: i*64 + h*s.bytes}, i, h)
				}
			}
			return
		}
		if nb > 1 {
			MOVQ(Mem{Base: p, Disp: stride}, st)
		}
		for k := range nb {
			for i := range mr {
				for h := range pl {
					f(Mem{Base: c, Disp: i*64 + h*s.bytes}, i, k*pl+h)
				}
			}
			if k+1 < nb {
				ADDQ(st, c)
			}
		}
	}
	fetch := func(m Mem, _, j int) {
		if j%pl == 0 {
			PREFETCHT0(m)
		}
	}
	each(fC, fCblk, 8, fetch)
	MOVQ(Mem{Base: p, Disp: fRes}, c)
	TESTQ(c, c)
	JZ(LabelRef("nores"))
	each(fRes, fRblk, 16, fetch)
	Label("nores")
	t := GP64()
	MOVQ(Mem{Base: p, Disp: fBias}, t)
	for j := range nv {
		VMOVUPS(Mem{Base: t, Disp: j * s.bytes}, acc[0][j])
		for i := 1; i < mr; i++ {
			VMOVAPS(acc[0][j], acc[i][j])
		}
	}
	MOVQ(Mem{Base: p, Disp: fB}, b)
	MOVQ(Mem{Base: p, Disp: fGroups}, o)
	MOVQ(Mem{Base: p, Disp: fNk}, n)
	Label("group")
	MOVQ(Mem{Base: p, Disp: fA}, base[0])
	ADDQ(Mem{Base: tiles}, base[0])
	ADDQ(Mem{Base: o}, base[0])
	if variant == "b" {
		SUBQ(brk, base[0])
	}
	MOVQ(Mem{Base: o, Disp: 8}, cnt)
	if mid != 0 {
		ADDQ(U32(uint32(mid)), base[0])
	}
	if ps == 0 {
		chain(base, step)
	}
	Label("step")
	for u := range unroll {
		for q := u * npf / unroll; q < (u+1)*npf/unroll; q++ {
			PREFETCHT1(Mem{Base: pf, Disp: q * 64})
		}
		for j := range bv {
			VMOVUPS(Mem{Base: b, Disp: (u*nv + j) * s.bytes}, bv[j])
		}
		var rows []Mem
		if ps == 0 {
			rows = steps(base, step, mr, 4*u)
		}
		for i := range mr {
			m := Mem{Base: base[0], Disp: i*ps + u*4 - mid}
			if ps == 0 {
				m = rows[i]
			}
			VBROADCASTSS(m, x[i%2])
			for j := range nv {
				if j < len(bv) {
					VFMADD231PS(bv[j], x[i%2], acc[i][j])
				} else {
					VFMADD231PS(Mem{Base: b, Disp: (u*nv + j) * s.bytes}, x[i%2], acc[i][j])
				}
			}
		}
	}
	ADDQ(Mem{Base: p, Disp: fPfStep}, pf)
	for _, r := range base {
		ADDQ(Imm(uint64(4*unroll)), r)
	}
	ADDQ(U32(uint32(unroll*nb*64)), b)
	DECQ(cnt)
	JNZ(LabelRef("step"))
	ADDQ(Imm(16), o)
	DECQ(n)
	JNZ(LabelRef("group"))

	MOVQ(Mem{Base: p, Disp: fRes}, c)
	TESTQ(c, c)
	JZ(LabelRef("act"))
	each(fRes, fRblk, 16, func(m Mem, i, j int) { VADDPS(m, acc[i][j], acc[i][j]) })
	Label("act")
	maxMin(p, convAct, "", t, all, x[0], x[1])
	each(fC, fCblk, 8, func(m Mem, i, j int) { VMOVUPS(acc[i][j], m) })
	CMPQ(t, Imm(actClamp))
	JLE(LabelRef("next"))
	q := GP64()
	MOVQ(Mem{Base: p, Disp: fC}, c)
	ADDQ(Mem{Base: tiles, Disp: 8}, c)
	if variant == "b" { // the pixels before the break, then the rest
		MOVQ(brk, n)
		MOVQ(c, q)
		rest, lines := GP64(), GP64()
		MOVQ(U32(uint32(mr)), rest)
		SUBQ(n, rest)
		Label("run")
		MOVQ(n, lines)
		ADDQ(lines, lines) // vectors
		actLoop(s, p, convAct, "", t, q, lines)
		ADDQ(Mem{Base: p, Disp: fGap}, q) // it stands behind the lines done
		MOVQ(rest, n)
		XORQ(rest, rest)
		TESTQ(n, n)
		JNZ(LabelRef("run"))
	} else {
		MOVQ(U32(uint32(nb)), n)
		Label("block")
		MOVQ(c, q)
		actLines(s, p, convAct, "", t, q, mr)
		ADDQ(Mem{Base: p, Disp: fCblk}, c)
		DECQ(n)
		JNZ(LabelRef("block"))
	}
	Label("next")
	ADDQ(Imm(24), tiles)
	DECQ(Mem{Base: p, Disp: fNt})
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}
