package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Byte offsets of the fields of qargs (quant/quant.go).
const qDst, qSrc, qScale, qN, qScaleF, qZero, qLo, qHi, qScaleB, qZeroA, qZeroB = 0, 8, 16, 24, 32, 36, 40, 44, 48, 52, 56

func quantKernels(s isa) {
	declareConsts("quant"+s.suffix, 1e6, -1e6)
	quantize(s, "quantize")
	quantize(s, "requantize")
	dequantize(s)
	sumBytes(s)
	mulBytes(s)
	scaleLines(s)
	addLines(s)
	if s == avx512 {
		lookup()
	} else {
		lookupSteps()
	}
}

// quantize: 16 values an iteration to bytes. quantize divides floats by one scale; requantize multiplies int32 by a scale of each
// column and adds the zero point in float. Both round to even. The bounds are 0..255 or -128..127; the low byte is stored, so that
// one kernel serves u8 and s8.
func quantize(s isa, name string) {
	text(name + s.suffix)
	p := arg()
	dst, src, sc, n := load(p, qDst), load(p, qSrc), load(p, qScale), load(p, qN)
	scale, zero, lo, hi := s.vec(), s.vec(), s.vec(), s.vec()
	VBROADCASTSS(Mem{Base: p, Disp: qScaleF}, scale)
	VBROADCASTSS(Mem{Base: p, Disp: qZero}, zero)
	VBROADCASTSS(Mem{Base: p, Disp: qLo}, lo)
	VBROADCASTSS(Mem{Base: p, Disp: qHi}, hi)
	x := s.vecs(s.perLine())
	t := s.vec()
	Label("l")
	for i, v := range x {
		m := Mem{Base: src, Disp: i * s.bytes}
		if name == "quantize" { // round before the zero point is added: ties go to even of x/scale
			VMOVUPS(m, v)
			VDIVPS(scale, v, v)
			VMOVUPS(vconst(1e6), t)
			VMINPS(v, t, v)
			VMOVUPS(vconst(-1e6), t)
			VMAXPS(t, v, v) // in this order a NaN becomes the lower bound
			s.round(v, v)
			VADDPS(zero, v, v)
		} else {
			VCVTDQ2PS(m, v)
			VMULPS(Mem{Base: sc, Disp: i * s.bytes}, v, v)
			s.round(v, v)
			VADDPS(zero, v, v)
		}
		VMAXPS(lo, v, v)
		VMINPS(hi, v, v)
		VCVTPS2DQ(v, v)
	}
	storeBytes(s, x, dst)
	ADDQ(Imm(16), dst)
	ADDQ(Imm(64), src)
	ADDQ(Imm(64), sc)
	DECQ(n)
	JNZ(LabelRef("l"))
	VZEROUPPER()
	RET()
}

// storeBytes writes the low bytes of 16 int32.
func storeBytes(s isa, x []vec, dst gp) {
	if s == avx512 {
		VPMOVDB(x[0], Mem{Base: dst})
	} else { // low bytes: mask, then the unsigned packs cannot saturate
		VPSLLD(Imm(24), x[0], x[0])
		VPSRLD(Imm(24), x[0], x[0])
		VPSLLD(Imm(24), x[1], x[1])
		VPSRLD(Imm(24), x[1], x[1])
		VPACKUSDW(x[1], x[0], x[0])
		VPERMQ(Imm(0xd8), x[0], x[0])
		VEXTRACTI128(Imm(1), x[0], x[1].AsX())
		VPACKUSWB(x[1].AsX(), x[0].AsX(), x[0].AsX())
		VMOVDQU(x[0].AsX(), Mem{Base: dst})
	}
}

// sumBytes: 16 bytes an iteration, a*scale + b*scaleB + zero, rounded to even.
func sumBytes(s isa) {
	twoBytes(s, "sum", []int{qScaleF, qScaleB, qZero}, func(c []vec, v, y vec) {
		VFMADD213PS(c[2], c[0], v)
		VFMADD231PS(c[1], y, v)
	})
}

// mulBytes: 16 bytes an iteration, (a - zeroA)*(b - zeroB)*scale + zero, rounded to even.
func mulBytes(s isa) {
	twoBytes(s, "mul", []int{qScaleF, qZero, qZeroA, qZeroB}, func(c []vec, v, y vec) {
		VSUBPS(c[2], v, v)
		VSUBPS(c[3], y, y)
		VMULPS(y, v, v)
		VFMADD213PS(c[1], c[0], v)
	})
}

// twoBytes is a function of the bytes of two tensors: f leaves it in v, from v and y as floats and from fields of the arguments in every
// lane. It is bounded and then rounded: the bounds are integers.
func twoBytes(s isa, name string, fields []int, f func(c []vec, v, y vec)) {
	text(name + s.suffix)
	p := arg()
	dst, a, b, n := load(p, qDst), load(p, qSrc), load(p, qScale), load(p, qN)
	c := s.vecs(len(fields) + 2)
	for i, off := range append(fields, qLo, qHi) {
		VBROADCASTSS(Mem{Base: p, Disp: off}, c[i])
	}
	lo, hi := c[len(fields)], c[len(fields)+1]
	x, y := s.vecs(s.perLine()), s.vec()
	Label("l")
	for i, v := range x {
		VPMOVZXBD(Mem{Base: a, Disp: i * s.bytes / 4}, v)
		VPMOVZXBD(Mem{Base: b, Disp: i * s.bytes / 4}, y)
		VCVTDQ2PS(v, v)
		VCVTDQ2PS(y, y)
		f(c, v, y)
		VMAXPS(lo, v, v)
		VMINPS(hi, v, v)
		VCVTPS2DQ(v, v)
	}
	storeBytes(s, x, dst)
	for _, r := range []gp{dst, a, b} {
		ADDQ(Imm(16), r)
	}
	DECQ(n)
	JNZ(LabelRef("l"))
	VZEROUPPER()
	RET()
}

// dequantize: 16 bytes an iteration, (q - zero) * scale; dequantizeS for s8.
func dequantize(s isa) {
	for _, signed := range []bool{false, true} {
		name := "dequantizeU"
		if signed {
			name = "dequantizeS"
		}
		text(name + s.suffix)
		p := arg()
		dst, src, n := load(p, qDst), load(p, qSrc), load(p, qN)
		scale, zero := s.vec(), s.vec()
		VBROADCASTSS(Mem{Base: p, Disp: qScaleF}, scale)
		VBROADCASTSS(Mem{Base: p, Disp: qZero}, zero)
		v := s.vec()
		Label("l")
		for i := range s.perLine() {
			m := Mem{Base: src, Disp: i * s.bytes / 4}
			if signed {
				VPMOVSXBD(m, v)
			} else {
				VPMOVZXBD(m, v)
			}
			VCVTDQ2PS(v, v)
			VSUBPS(zero, v, v)
			VMULPS(scale, v, v)
			VMOVUPS(v, Mem{Base: dst, Disp: i * s.bytes})
		}
		ADDQ(Imm(64), dst)
		ADDQ(Imm(16), src)
		DECQ(n)
		JNZ(LabelRef("l"))
		VZEROUPPER()
		RET()
	}
}

// scaleLines: n lines of 64 bytes, each byte by the factor and the addend of its place in the line: 64 of each lie behind one another.
func scaleLines(s isa) {
	text("scale" + s.suffix)
	p := arg()
	dst, src, f, n := load(p, qDst), load(p, qSrc), load(p, qScale), load(p, qN)
	lo, hi := s.vec(), s.vec()
	VBROADCASTSS(Mem{Base: p, Disp: qLo}, lo)
	VBROADCASTSS(Mem{Base: p, Disp: qHi}, hi)
	k := s.vecs(4 * s.perLine())
	for i, v := range k {
		VMOVUPS(Mem{Base: f, Disp: i * s.bytes}, v)
	}
	x := s.vecs(s.perLine())
	Label("l")
	for g := range 4 {
		for i, v := range x {
			at := g*s.perLine() + i
			VPMOVZXBD(Mem{Base: src, Disp: at * s.bytes / 4}, v)
			VCVTDQ2PS(v, v)
			VFMADD213PS(Mem{Base: f, Disp: 256 + at*s.bytes}, k[at], v)
			VMAXPS(lo, v, v)
			VMINPS(hi, v, v)
			VCVTPS2DQ(v, v)
		}
		storeBytes(s, x, dst)
		ADDQ(Imm(16), dst)
	}
	ADDQ(Imm(64), src)
	DECQ(n)
	JNZ(LabelRef("l"))
	VZEROUPPER()
	RET()
}

// addLines adds n lines of 64 bytes to 64 sums of 32 bits at dst.
func addLines(s isa) {
	text("add" + s.suffix)
	p := arg()
	dst, src, n := load(p, qDst), load(p, qSrc), load(p, qN)
	sum := s.vecs(4 * s.perLine())
	for i, v := range sum {
		VMOVUPS(Mem{Base: dst, Disp: i * s.bytes}, v)
	}
	x := s.vecs(2)
	Label("l")
	for i, v := range sum {
		VPMOVZXBD(Mem{Base: src, Disp: i * s.bytes / 4}, x[i%2])
		VPADDD(x[i%2], v, v)
	}
	ADDQ(Imm(64), src)
	DECQ(n)
	JNZ(LabelRef("l"))
	for i, v := range sum {
		VMOVUPS(v, Mem{Base: dst, Disp: i * s.bytes})
	}
	VZEROUPPER()
	RET()
}

// lookup: n lines of 64 bytes through a table of 256 (VBMI): the low seven bits pick from its halves, the top bit the half.
func lookup() {
	text("lookupZ")
	p := arg()
	dst, src, table, n := load(p, qDst), load(p, qSrc), load(p, qScale), load(p, qN)
	t := avx512.vecs(4)
	for i, v := range t {
		VMOVDQU64(Mem{Base: table, Disp: 64 * i}, v)
	}
	x, low, high, top := ZMM(), ZMM(), ZMM(), K()
	Label("l")
	VMOVDQU64(Mem{Base: src}, x)
	VMOVDQA64(x, low)
	VMOVDQA64(x, high)
	VPMOVB2M(x, top)
	VPERMI2B(t[1], t[0], low)
	VPERMI2B(t[3], t[2], high)
	VMOVDQU8(high, top, low)
	VMOVDQU64(low, Mem{Base: dst})
	ADDQ(Imm(64), src)
	ADDQ(Imm(64), dst)
	DECQ(n)
	JNZ(LabelRef("l"))
	VZEROUPPER()
	RET()
}

// lookupSteps: n lines of 128 bytes through a table of 256 in sixteen rows of 16, of which all but the first and the ninth hold the
// difference (xor) from the row before. An index below 128 is read in each row up to its own, with 16 less each time; once it is
// negative, or where it is above 127, which counts as negative from the beginning, a shuffle gives 0. Indices above 127 go
// through the second eight rows with their top bit flipped.
func lookupSteps() {
	text("lookupY")
	p := arg()
	dst, src, table, n := load(p, qDst), load(p, qSrc), load(p, qScale), load(p, qN)
	s := avx2
	sixteen := GLOBL("sixteens", RODATA|NOPTR)
	for i := range 4 {
		DATA(8*i, U64(0x1010101010101010))
	}
	top := GLOBL("topBits", RODATA|NOPTR)
	for i := range 4 {
		DATA(8*i, U64(0x8080808080808080))
	}
	x, r, row, t := s.vecs(4), s.vecs(4), s.vec(), s.vecs(2)
	step := s.vec()
	VMOVDQU(sixteen, step)
	Label("l")
	for i := range x {
		VMOVDQU(Mem{Base: src, Disp: 32 * i}, x[i])
	}
	for i := range 16 {
		if i == 8 {
			for j := range x {
				VMOVDQU(Mem{Base: src, Disp: 32 * j}, x[j])
				VPXOR(top, x[j], x[j])
			}
		}
		VBROADCASTI128(Mem{Base: table, Disp: 16 * i}, row)
		for j := range x {
			if i == 0 {
				VPSHUFB(x[j], row, r[j])
				continue
			}
			if i != 8 {
				VPSUBSB(step, x[j], x[j])
			}
			VPSHUFB(x[j], row, t[j%2])
			VPXOR(t[j%2], r[j], r[j])
		}
	}
	for i := range r {
		VMOVDQU(r[i], Mem{Base: dst, Disp: 32 * i})
	}
	ADDQ(Imm(128), src)
	ADDQ(Imm(128), dst)
	DECQ(n)
	JNZ(LabelRef("l"))
	VZEROUPPER()
	RET()
}
