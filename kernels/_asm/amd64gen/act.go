package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Activation codes are those of cpu.ActKind.
const (
	actClamp       = 2
	actLeaky       = 3
	actHardSwish   = 4
	actSiLU        = 5
	actSigmoid     = 6
	actHardSigmoid = 7
)

var constCache = map[float32]Mem{}

// declareConsts puts one line of each value into read-only data; avo wants data before the first kernel that uses it.
func declareConsts(prefix string, xs ...float32) {
	for i, x := range xs {
		if _, ok := constCache[x]; ok {
			continue
		}
		constCache[x] = GLOBL(fmt.Sprintf("%sc%d", prefix, i), RODATA|NOPTR)
		for j := range 16 {
			DATA(4*j, U32(math.Float32bits(x))) // bits: the assembler knows no infinity
		}
	}
}

// vconst is a memory operand of one line of x.
func vconst(x float32) Mem {
	m, ok := constCache[x]
	if !ok {
		panic(fmt.Sprint("constant not declared: ", x))
	}
	return m
}

// expConsts are the constants of expVec and of the activation loop.
func expConsts() []float32 {
	return []float32{88.72, -87.33, 1.44269504088896341, 0.693359375, -2.12194440e-4, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3,
		4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1}
}

// expVec computes e = exp(z) for z in -87.3..88.7 (clamped); z is destroyed. Source: the argument reduction and
// polynomial of Cephes' expf (relative error 2e-7).
func expVec(s isa, z, e vec, n vec) {
	VMOVUPS(vconst(88.72), n) // in this operand order a NaN stays one
	VMINPS(z, n, z)
	VMOVUPS(vconst(-87.33), n)
	VMAXPS(z, n, z)
	VMULPS(vconst(1.44269504088896341), z, n)
	s.round(n, n)
	VFNMADD231PS(vconst(0.693359375), n, z)
	VFNMADD231PS(vconst(-2.12194440e-4), n, z)
	VMOVUPS(vconst(1.9875691500e-4), e)
	for _, c := range []float32{1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1} {
		VFMADD213PS(vconst(c), z, e)
	}
	// exp z = 1 + z + z^2 q(z) = 1 + z (1 + z q)
	VFMADD213PS(vconst(1), z, e)
	VFMADD213PS(vconst(1), z, e)
	VCVTPS2DQ(n, n)
	VPSLLD(Imm(23), n, n) // times 2^n: e lies in 0.7..1.5, so adding to the exponent cannot overflow
	VPADDD(n, e, e)
}

// actArgs are the offsets of activation code and parameters in the argument block.
type actArgs struct{ kind, lo, hi int }

// maxMin applies codes 1 and 2 to registers: lo and hi are free vectors; above jumps are by label.
func maxMin(p reg.Register, a actArgs, label string, kind gp, acc []vec, lo, hi vec) {
	MOVQ(Mem{Base: p, Disp: a.kind}, kind)
	TESTQ(kind, kind)
	JZ(LabelRef("store" + label))
	CMPQ(kind, Imm(actClamp))
	JG(LabelRef("store" + label))
	VBROADCASTSS(Mem{Base: p, Disp: a.lo}, lo)
	for _, v := range acc {
		VMAXPS(v, lo, v)
	}
	JNE(LabelRef("store" + label))
	VBROADCASTSS(Mem{Base: p, Disp: a.hi}, hi)
	for _, v := range acc {
		VMINPS(v, hi, v)
	}
	Label("store" + label)
}

// actLines applies codes 3 to 7 in place to n contiguous lines at ptr, which is destroyed: the tile has just been stored and
// lies in L1, so that a loop costs less code than an epilogue for every accumulator. kind is loaded; n is a constant.
func actLines(s isa, p reg.Register, a actArgs, label string, kind, ptr gp, n int) {
	cnt := GP64()
	MOVQ(U32(uint32(n*s.perLine())), cnt)
	actLoop(s, p, a, label, kind, ptr, cnt)
}

func actLoop(s isa, p reg.Register, a actArgs, label string, kind, ptr, cnt gp) {
	m := Mem{Base: ptr}
	x, y, z, t := s.vec(), s.vec(), s.vec(), s.vec()
	next := func(top string) {
		VMOVUPS(y, m)
		ADDQ(Imm(uint64(s.bytes)), ptr)
		DECQ(cnt)
		JNZ(LabelRef(top + label))
	}
	lo, hi := s.vec(), s.vec()
	VBROADCASTSS(Mem{Base: p, Disp: a.lo}, lo)
	VBROADCASTSS(Mem{Base: p, Disp: a.hi}, hi)
	CMPQ(kind, Imm(actLeaky))
	JE(LabelRef("leaky" + label))
	CMPQ(kind, Imm(actHardSwish))
	JE(LabelRef("hard" + label))
	CMPQ(kind, Imm(actHardSigmoid))
	JE(LabelRef("hard" + label))
	Label("sig" + label)
	VMOVUPS(m, x)
	s.zero(z)
	VSUBPS(x, z, z)
	expVec(s, z, y, t)
	VADDPS(vconst(1), y, y)
	VMOVUPS(vconst(1), z)
	CMPQ(kind, Imm(actSiLU))
	JNE(LabelRef("nomul" + label))
	VMOVAPS(x, z)
	Label("nomul" + label)
	VDIVPS(y, z, y)
	next("sig")
	JMP(LabelRef("actend" + label))
	Label("hard" + label)
	VMOVUPS(m, x)
	VMOVAPS(hi, y)
	VFMADD231PS(x, lo, y)
	s.zero(z)
	VMAXPS(z, y, y)
	VMINPS(vconst(1), y, y)
	CMPQ(kind, Imm(actHardSwish))
	JNE(LabelRef("nohmul" + label))
	VMULPS(x, y, y)
	Label("nohmul" + label)
	next("hard")
	JMP(LabelRef("actend" + label))
	Label("leaky" + label)
	VMOVUPS(m, x)
	s.zero(z)
	VMAXPS(x, z, y)
	VMINPS(x, z, x)
	VFMADD231PS(x, lo, y)
	next("leaky")
	Label("actend" + label)
}
