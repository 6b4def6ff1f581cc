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

// exp2Poly are c1..c5 of 2^f = 1 + c1 f + ... + c5 f^5 for |f| <= 1/2, the least relative error at c0 = 1: 9.2e-8.
var exp2Poly = []float32{6.931469775965e-1, 2.402224208357e-1, 5.550733747139e-2, 9.671512722302e-3, 1.326472602739e-3}

// sigmoidConsts are those of sigmoidLoop: bounds of x, -log2 e, 1.5 * 2^23 (adding it rounds to an integer), exp2Poly, 1, 2.
func sigmoidConsts() []float32 {
	return append([]float32{87.33, -88, -1.44269504088896341, 12582912, 1, 2}, exp2Poly...)
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
	next := func(y vec, top string) {
		VMOVUPS(y, m)
		ADDQ(Imm(uint64(s.bytes)), ptr)
		DECQ(cnt)
		JNZ(LabelRef(top + label))
	}
	params := func() (lo, hi vec) {
		lo, hi = s.vec(), s.vec()
		VBROADCASTSS(Mem{Base: p, Disp: a.lo}, lo)
		VBROADCASTSS(Mem{Base: p, Disp: a.hi}, hi)
		return lo, hi
	}
	zero := s.vec() // one for all loops: the allocator takes a zeroing for a use, so that it lives from the start of the kernel
	CMPQ(kind, Imm(actLeaky))
	JE(LabelRef("leaky" + label))
	CMPQ(kind, Imm(actHardSwish))
	JE(LabelRef("hard" + label))
	CMPQ(kind, Imm(actHardSigmoid))
	JE(LabelRef("hard" + label))
	sigmoidLoop(s, label, kind, m, next)
	JMP(LabelRef("actend" + label))
	Label("hard" + label)
	lo, hi := params()
	one, x, y := s.vec(), s.vec(), s.vec()
	s.zero(zero)
	VMOVUPS(vconst(1), one)
	Label("hardline" + label)
	VMOVUPS(m, x)
	VMOVAPS(hi, y)
	VFMADD231PS(x, lo, y)
	VMAXPS(zero, y, y)
	VMINPS(one, y, y)
	CMPQ(kind, Imm(actHardSwish))
	JNE(LabelRef("nohmul" + label))
	VMULPS(x, y, y)
	Label("nohmul" + label)
	next(y, "hardline")
	JMP(LabelRef("actend" + label))
	Label("leaky" + label)
	lo, _ = params()
	s.zero(zero)
	x, y = s.vec(), s.vec()
	Label("leakyline" + label)
	VMOVUPS(m, x)
	VMAXPS(x, zero, y)
	VMINPS(x, zero, x)
	VFMADD231PS(x, lo, y)
	next(y, "leakyline")
	Label("actend" + label)
}

// sigmoidLoop is the loop of the codes SiLU and sigmoid, x/(1 + exp -x) and 1/(1 + exp -x), with exp -x = 2^n 2^f and the constants
// in registers: 13 operations a vector against 20 of expVec, which the stores of large layers feel. The error of exp -x is 3e-8 |x|
// relative, what the rounding of log2 e costs.
func sigmoidLoop(s isa, label string, kind gp, m Mem, next func(vec, string)) {
	c := map[float32]vec{}
	for _, v := range sigmoidConsts() {
		if v == 2 && s.bytes < 64 {
			continue
		}
		c[v] = s.vec()
		VMOVUPS(vconst(v), c[v])
	}
	top := func(name string, silu bool) {
		z, e, n, x := s.vec(), s.vec(), s.vec(), s.vec()
		Label(name + label)
		VMOVUPS(m, x)
		VMINPS(x, c[87.33], z) // in this operand order a NaN stays one
		VMAXPS(z, c[-88], z)
		VMOVAPS(c[12582912], n)
		VFMADD231PS(c[-1.44269504088896341], z, n) // its low bits are the exponent
		VSUBPS(c[12582912], n, e)
		VFMSUB132PS(c[-1.44269504088896341], e, z)
		VMOVAPS(c[exp2Poly[4]], e)
		for _, v := range []float32{exp2Poly[3], exp2Poly[2], exp2Poly[1], exp2Poly[0], 1} {
			VFMADD213PS(c[v], z, e)
		}
		VPSLLD(Imm(23), n, n)
		VPADDD(n, e, e)
		VADDPS(c[1], e, e)
		switch {
		case s.bytes == 64: // 14 bits and a step of Newton: a division of 16 numbers takes 16 cycles, as long as all before it
			VRCP14PS(e, n)
			VFNMADD213PS(c[2], n, e)
			VMULPS(n, e, e)
			if silu {
				VMULPS(x, e, e)
			}
		case silu:
			VDIVPS(e, x, e)
		default:
			VDIVPS(e, c[1], e)
		}
		next(e, name)
	}
	CMPQ(kind, Imm(actSiLU))
	JNE(LabelRef("sig" + label))
	top("silu", true)
	JMP(LabelRef("actend" + label))
	top("sig", false)
}
