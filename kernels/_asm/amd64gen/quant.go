package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Byte offsets of the fields of qargs (quant/quant.go).
const qDst, qSrc, qScale, qN, qScaleF, qZero, qLo, qHi, qScaleB = 0, 8, 16, 24, 32, 36, 40, 44, 48

func quantKernels(s isa) {
	declareConsts("quant"+s.suffix, 1e6, -1e6)
	quantize(s, "quantize")
	quantize(s, "requantize")
	dequantize(s)
	sumBytes(s)
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
	text("sum" + s.suffix)
	p := arg()
	dst, a, b, n := load(p, qDst), load(p, qSrc), load(p, qScale), load(p, qN)
	ra, rb, zero, lo, hi := s.vec(), s.vec(), s.vec(), s.vec(), s.vec()
	VBROADCASTSS(Mem{Base: p, Disp: qScaleF}, ra)
	VBROADCASTSS(Mem{Base: p, Disp: qScaleB}, rb)
	VBROADCASTSS(Mem{Base: p, Disp: qZero}, zero)
	VBROADCASTSS(Mem{Base: p, Disp: qLo}, lo)
	VBROADCASTSS(Mem{Base: p, Disp: qHi}, hi)
	x, y := s.vecs(s.perLine()), s.vec()
	Label("l")
	for i, v := range x {
		VPMOVZXBD(Mem{Base: a, Disp: i * s.bytes / 4}, v)
		VPMOVZXBD(Mem{Base: b, Disp: i * s.bytes / 4}, y)
		VCVTDQ2PS(v, v)
		VCVTDQ2PS(y, y)
		VFMADD213PS(zero, ra, v)
		VFMADD231PS(rb, y, v)
		s.round(v, v)
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
