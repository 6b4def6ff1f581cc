package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Byte offset of the field of pargs (peak/peak.go).
const pkN = 0

// peakKernel is n rounds of one instruction on independent accumulators in registers: what the multipliers of this core give, with
// nothing else in the way.
func peakKernel(s isa, name string, regs int, op func(a, b, acc, tmp vec)) {
	text(name)
	p := arg()
	n := load(p, pkN)
	acc := s.vecs(regs)
	a, b, t := s.vec(), s.vec(), s.vec()
	for _, v := range append(acc, a, b) {
		s.zero(v)
	}
	Label("l")
	for _, v := range acc {
		op(a, b, v, t)
	}
	DECQ(n)
	JNZ(LabelRef("l"))
	VZEROUPPER()
	RET()
}

func fmaOp(a, b, acc, _ vec) { VFMADD231PS(a, b, acc) }

func peakAVX2() {
	peakKernel(avx2, "fmaY", 12, fmaOp)
	// Exact 8-bit products without VNNI: pairs of 16-bit numbers, then a sum.
	peakKernel(avx2, "maddY", 12, func(a, b, acc, t vec) { VPMADDWD(a, b, t); VPADDD(t, acc, acc) })
}

func peakAVX512() {
	peakKernel(avx512, "fmaZ", 24, fmaOp)
	peakKernel(avx512, "vnniZ", 24, func(a, b, acc, _ vec) { VPDPBUSD(a, b, acc) })
}
