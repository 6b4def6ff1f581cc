package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Byte offsets of the fields of eargs (eltwise/eltwise.go).
const eDst, eA, eB, eN, eStep, eLo, eHi, eC = 0, 8, 16, 24, 32, 40, 44, 48

// Kernels over whole lines of 16 floats; tails are the caller's.
func eltwiseKernels(s isa) {
	consts := append(append(expConsts(), erfSmall()...), 0.625, -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1,
		0.5, 0.70710678118654752, 0.3275911, 1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592, 2, float32(math.Inf(1)), 88.722839, 10)
	consts = append(append(append(consts, sigmoidConsts()...), geluPoly...), geluMost, -126, -127, 126)
	declareConsts("elt"+s.suffix, consts...)
	for _, op := range []string{"add", "sub", "mul", "div", "max", "min"} {
		binary(s, op)
	}
	for _, f := range []string{"clamp", "leaky", "hardswish", "silu", "sigmoid", "hardsigmoid", "tanh", "gelu", "exp", "erf"} {
		unary(s, f)
	}
	reduce(s, "sum")
	reduce(s, "max")
	reduce(s, "dot")
	axpy(s)
	expsum(s)
	addsum(s)
	devsum(s)
	norm(s)
}

// binary: dst = a op b; eStep is the distance of lines in b: 64, or 0 for one line that repeats.
func binary(s isa, op string) {
	text(op + s.suffix)
	p := arg()
	dst, a, b, n, st := load(p, eDst), load(p, eA), load(p, eB), load(p, eN), load(p, eStep)
	x := s.vecs(s.perLine())
	Label("l")
	for i, v := range x {
		m := Mem{Base: b, Disp: i * s.bytes}
		VMOVUPS(Mem{Base: a, Disp: i * s.bytes}, v)
		switch op {
		case "add":
			VADDPS(m, v, v)
		case "sub":
			VSUBPS(m, v, v)
		case "mul":
			VMULPS(m, v, v)
		case "div":
			VDIVPS(m, v, v)
		case "max":
			VMAXPS(m, v, v)
		case "min":
			VMINPS(m, v, v)
		}
		VMOVUPS(v, Mem{Base: dst, Disp: i * s.bytes})
	}
	ADDQ(Imm(64), dst)
	ADDQ(Imm(64), a)
	ADDQ(st, b)
	DECQ(n)
	JNZ(LabelRef("l"))
	VZEROUPPER()
	RET()
}

// axpy: dst += a * lo.
func axpy(s isa) {
	text("axpy" + s.suffix)
	p := arg()
	dst, a, n := load(p, eDst), load(p, eA), load(p, eN)
	k := s.vec()
	VBROADCASTSS(Mem{Base: p, Disp: eLo}, k)
	x := s.vecs(s.perLine())
	Label("l")
	for i, v := range x {
		VMOVUPS(Mem{Base: dst, Disp: i * s.bytes}, v)
		VFMADD231PS(Mem{Base: a, Disp: i * s.bytes}, k, v)
		VMOVUPS(v, Mem{Base: dst, Disp: i * s.bytes})
	}
	ADDQ(Imm(64), dst)
	ADDQ(Imm(64), a)
	DECQ(n)
	JNZ(LabelRef("l"))
	VZEROUPPER()
	RET()
}

// reduce leaves one line of partial results at dst: sum of a, or sum of a*b; or the maximum of a in all places, as comparing
// 16 numbers costs a scalar loop mispredicted branches.
func reduce(s isa, op string) {
	text("reduce_" + op + s.suffix)
	p := arg()
	dst, a, b, n := load(p, eDst), load(p, eA), load(p, eB), load(p, eN)
	acc := s.vecs(s.perLine())
	for i, v := range acc {
		if op == "max" {
			VMOVUPS(Mem{Base: a, Disp: i * s.bytes}, v)
		} else {
			s.zero(v)
		}
	}
	x := s.vec()
	Label("l")
	for i, v := range acc {
		m := Mem{Base: a, Disp: i * s.bytes}
		switch op {
		case "sum":
			VADDPS(m, v, v)
		case "max":
			VMAXPS(m, v, v)
		case "dot":
			VMOVUPS(m, x)
			VFMADD231PS(Mem{Base: b, Disp: i * s.bytes}, x, v)
		}
	}
	ADDQ(Imm(64), a)
	ADDQ(Imm(64), b)
	DECQ(n)
	JNZ(LabelRef("l"))
	if op == "max" {
		s.spreadMax(acc, x)
	}
	for i, v := range acc {
		VMOVUPS(v, Mem{Base: dst, Disp: i * s.bytes})
	}
	VZEROUPPER()
	RET()
}

// spreadMax puts the maximum of a line into all places; x is free.
func (s isa) spreadMax(line []vec, x vec) {
	m := line[0]
	if s == avx2 {
		VMAXPS(line[1], m, m)
	} else {
		VEXTRACTF64X4(Imm(1), m, x.AsY())
		VMAXPS(x.AsY(), m.AsY(), m.AsY())
	}
	VEXTRACTF128(Imm(1), m.AsY(), x.AsX())
	VMAXPS(x.AsX(), m.AsX(), m.AsX())
	for _, order := range []uint64{0x4e, 0xb1} { // halves, then neighbours
		VPERMILPS(Imm(order), m.AsX(), x.AsX())
		VMAXPS(x.AsX(), m.AsX(), m.AsX())
	}
	for _, v := range line {
		VBROADCASTSS(m.AsX(), v)
	}
}

// less writes yes to dst where a < b.
func (s isa) less(a, b, yes, dst vec) {
	if s.bytes == 64 {
		k := K()
		VCMPPS(Imm(1), b, a, k)
		VMOVAPS(yes, k, dst)
		return
	}
	m := s.vec()
	VCMPPS(Imm(1), b, a, m)
	VBLENDVPS(m, yes, dst, dst)
}

func (s isa) poly(z, y vec, c ...float32) {
	VMOVUPS(vconst(c[0]), y)
	for _, v := range c[1:] {
		VFMADD213PS(vconst(v), z, y)
	}
}

// unary: dst = f(a); eStep is the distance of lines in both.
func unary(s isa, f string) {
	text(f + s.suffix)
	p := arg()
	dst, a, n, st := load(p, eDst), load(p, eA), load(p, eN), load(p, eStep)
	lo, hi := s.vec(), s.vec()
	VBROADCASTSS(Mem{Base: p, Disp: eLo}, lo)
	VBROADCASTSS(Mem{Base: p, Disp: eHi}, hi)
	Label("l")
	for i := range s.perLine() {
		x, y := s.vec(), s.vec()
		VMOVUPS(Mem{Base: a, Disp: i * s.bytes}, x)
		function(s, f, x, y, lo, hi)
		VMOVUPS(y, Mem{Base: dst, Disp: i * s.bytes})
	}
	ADDQ(st, dst)
	ADDQ(st, a)
	DECQ(n)
	JNZ(LabelRef("l"))
	VZEROUPPER()
	RET()
}

// function computes y = f(x); x keeps its value.
func function(s isa, f string, x, y, lo, hi vec) {
	z, t, u := s.vec(), s.vec(), s.vec()
	switch f {
	case "clamp":
		VMAXPS(x, lo, y)
		VMINPS(y, hi, y)
	case "leaky":
		s.zero(z)
		VMAXPS(x, z, y)
		VMINPS(x, z, z)
		VFMADD231PS(z, lo, y)
	case "hardswish", "hardsigmoid":
		VMOVAPS(hi, y)
		VFMADD231PS(x, lo, y)
		s.zero(z)
		VMAXPS(y, z, y)
		VMOVUPS(vconst(1), z)
		VMINPS(y, z, y)
		if f == "hardswish" {
			VMULPS(x, y, y)
		}
	case "silu", "sigmoid":
		s.zero(z)
		VSUBPS(x, z, z)
		expVec(s, z, y, t)
		VADDPS(vconst(1), y, y)
		if f == "silu" {
			VDIVPS(y, x, y)
		} else {
			VMOVUPS(vconst(1), z)
			VDIVPS(y, z, y)
		}
	case "exp":
		VMOVAPS(x, z)
		expVec(s, z, y, t)
		s.zero(z)
		VMOVUPS(vconst(-87.33), t)
		s.less(x, t, z, y)
		VMOVUPS(vconst(88.722839), t)
		VMOVUPS(vconst(float32(math.Inf(1))), z)
		s.less(t, x, z, y)
	case "tanh": // small: odd polynomial (Cephes tanhf); else 1 - 2/(exp 2a + 1) with the sign of x
		a := s.vec()
		s.zero(u)
		VSUBPS(x, u, a)
		VMAXPS(a, x, a)
		VADDPS(a, a, z)
		expVec(s, z, y, t)
		VADDPS(vconst(1), y, y)
		VMOVUPS(vconst(2), z)
		VDIVPS(y, z, y)
		VMOVUPS(vconst(1), z)
		VSUBPS(y, z, y)
		VSUBPS(y, u, z)
		s.less(x, u, z, y)
		VMULPS(x, x, z)
		s.poly(z, t, -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
		VMULPS(z, t, t)
		VMOVAPS(x, z)
		VFMADD213PS(x, x, t) // t*x + x
		VMOVUPS(vconst(0.625), z)
		s.less(a, z, t, y)
	case "gelu":
		geluVec(s, x, y, z, t, u)
	case "erf": // by Abramowitz and Stegun 7.1.26, error 1.5e-7
		a := s.vec()
		VMOVAPS(x, u)
		s.zero(z)
		VSUBPS(u, z, a)
		VMAXPS(a, u, a) // |x|
		VMOVUPS(vconst(10), z)
		VMINPS(a, z, a)
		VMOVUPS(vconst(1), t)
		VFMADD231PS(vconst(0.3275911), a, t)
		VMOVUPS(vconst(1), z)
		VDIVPS(t, z, u) // t of the book
		s.zero(z)
		VFNMADD231PS(a, a, z)
		expVec(s, z, y, t)
		s.poly(u, t, 1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
		VMULPS(u, t, t)
		VMULPS(t, y, t) // 1 - erf |x|
		VMOVUPS(vconst(1), y)
		VSUBPS(t, y, y) // erf |x|
		s.zero(z)
		VSUBPS(y, z, t)
		s.less(x, z, t, y)
		// near zero the relative error counts: x times a polynomial
		VMULPS(x, x, z)
		s.poly(z, t, erfSmall()...)
		VMULPS(x, t, t)
		VMOVUPS(vconst(0.5), z)
		s.less(a, z, t, y)
	}
}

// erfSmall are the first terms of the series of erf(x)/x in x*x, highest first; below 1/2 the next term is under 1e-9.
func erfSmall() []float32 {
	return []float32{1.2055332982e-4, -8.5483270234e-4, 5.2239776254e-3, -2.6866170645e-2, 0.11283791671, -0.37612638903, 1.1283791671}
}

// geluPoly is P, lowest coefficient first, in 1 - cdf(x) = 1/(1 + 2^(-x P(x*x))) of the normal distribution: the logarithm of cdf/(1 - cdf)
// is odd and nearly linear. Fitted for the least error of x cdf(x) up to |x| = 5.2, 7e-8; beyond, x*x counts as geluMost.
var geluPoly = []float32{-2.302207232e+00, -1.048385948e-01, 9.560240869e-05, 1.593863126e-04, -1.145196256e-05, 3.850131804e-07, -5.209124687e-09}

const geluMost = 27

// geluVec: y = x cdf(x) = x/(1 + 2^(x P(x*x))): a division and 21 other operations.
func geluVec(s isa, x, y, z, n, e vec) {
	VMULPS(x, x, z)
	VMINPS(vconst(geluMost), z, z)
	s.polyUp(z, e, geluPoly)
	VMULPS(x, e, z)
	VMINPS(vconst(126), z, z)
	VMAXPS(vconst(-126), z, z)
	exp2Vec(s, z, y, n, e)
	VADDPS(vconst(1), y, y)
	VDIVPS(y, x, y)
}

// polyUp is poly with the lowest coefficient first.
func (s isa) polyUp(z, y vec, c []float32) {
	VMOVUPS(vconst(c[len(c)-1]), y)
	for i := len(c) - 2; i >= 0; i-- {
		VFMADD213PS(vconst(c[i]), z, y)
	}
}

// exp2Vec computes y = 2^z for z in -127..127, with 2^-127 = 0; z, n and e are destroyed.
func exp2Vec(s isa, z, y, n, e vec) {
	VADDPS(vconst(12582912), z, n) // its low bits are the exponent
	VSUBPS(vconst(12582912), n, e)
	VSUBPS(e, z, z)
	VMOVUPS(vconst(exp2Poly[4]), y)
	for _, v := range []float32{exp2Poly[3], exp2Poly[2], exp2Poly[1], exp2Poly[0], 1} {
		VFMADD213PS(vconst(v), z, y)
	}
	VPSLLD(Imm(23), n, n)
	VPADDD(n, y, y)
}

// expsum: dst = 2^((a - lo) hi), and a line of partial sums at eC. What is smaller than 2^-127 becomes 0.
func expsum(s isa) {
	text("expsum" + s.suffix)
	p := arg()
	dst, a, n, c := load(p, eDst), load(p, eA), load(p, eN), load(p, eC)
	lo, hi := s.vec(), s.vec()
	VBROADCASTSS(Mem{Base: p, Disp: eLo}, lo)
	VBROADCASTSS(Mem{Base: p, Disp: eHi}, hi)
	acc := s.vecs(s.perLine())
	for _, v := range acc {
		s.zero(v)
	}
	Label("l")
	for i, v := range acc {
		z, y, k, e := s.vec(), s.vec(), s.vec(), s.vec()
		VMOVUPS(Mem{Base: a, Disp: i * s.bytes}, z)
		VSUBPS(lo, z, z)
		VMULPS(hi, z, z)
		VMOVUPS(vconst(-127), y)
		VMAXPS(z, y, z) // in this operand order a NaN stays one
		exp2Vec(s, z, y, k, e)
		VMOVUPS(y, Mem{Base: dst, Disp: i * s.bytes})
		VADDPS(y, v, v)
	}
	ADDQ(Imm(64), dst)
	ADDQ(Imm(64), a)
	DECQ(n)
	JNZ(LabelRef("l"))
	for i, v := range acc {
		VMOVUPS(v, Mem{Base: c, Disp: i * s.bytes})
	}
	VZEROUPPER()
	RET()
}

// addsum: dst = a + b, and a line of partial sums of it at eC.
func addsum(s isa) {
	text("addsum" + s.suffix)
	p := arg()
	dst, a, b, n, c := load(p, eDst), load(p, eA), load(p, eB), load(p, eN), load(p, eC)
	acc, x := s.vecs(s.perLine()), s.vecs(s.perLine())
	for _, v := range acc {
		s.zero(v)
	}
	Label("l")
	for i, v := range acc {
		VMOVUPS(Mem{Base: a, Disp: i * s.bytes}, x[i])
		VADDPS(Mem{Base: b, Disp: i * s.bytes}, x[i], x[i])
		VMOVUPS(x[i], Mem{Base: dst, Disp: i * s.bytes})
		VADDPS(x[i], v, v)
	}
	ADDQ(Imm(64), dst)
	ADDQ(Imm(64), a)
	ADDQ(Imm(64), b)
	DECQ(n)
	JNZ(LabelRef("l"))
	for i, v := range acc {
		VMOVUPS(v, Mem{Base: c, Disp: i * s.bytes})
	}
	VZEROUPPER()
	RET()
}

// devsum: a line of partial sums of (a - lo)^2 at eC.
func devsum(s isa) {
	text("devsum" + s.suffix)
	p := arg()
	a, n, c := load(p, eA), load(p, eN), load(p, eC)
	lo := s.vec()
	VBROADCASTSS(Mem{Base: p, Disp: eLo}, lo)
	acc, x := s.vecs(s.perLine()), s.vecs(s.perLine())
	for _, v := range acc {
		s.zero(v)
	}
	Label("l")
	for i, v := range acc {
		VMOVUPS(Mem{Base: a, Disp: i * s.bytes}, x[i])
		VSUBPS(lo, x[i], x[i])
		VFMADD231PS(x[i], x[i], v)
	}
	ADDQ(Imm(64), a)
	DECQ(n)
	JNZ(LabelRef("l"))
	for i, v := range acc {
		VMOVUPS(v, Mem{Base: c, Disp: i * s.bytes})
	}
	VZEROUPPER()
	RET()
}

// norm: dst = (a - lo) hi b + c, where c lies at eC.
func norm(s isa) {
	text("norm" + s.suffix)
	p := arg()
	dst, a, b, n, c := load(p, eDst), load(p, eA), load(p, eB), load(p, eN), load(p, eC)
	lo, hi := s.vec(), s.vec()
	VBROADCASTSS(Mem{Base: p, Disp: eLo}, lo)
	VBROADCASTSS(Mem{Base: p, Disp: eHi}, hi)
	x, g := s.vecs(s.perLine()), s.vecs(s.perLine())
	Label("l")
	for i, v := range x {
		VMOVUPS(Mem{Base: a, Disp: i * s.bytes}, v)
		VMOVUPS(Mem{Base: b, Disp: i * s.bytes}, g[i])
		VSUBPS(lo, v, v)
		VMULPS(hi, v, v)
		VFMADD213PS(Mem{Base: c, Disp: i * s.bytes}, g[i], v)
		VMOVUPS(v, Mem{Base: dst, Disp: i * s.bytes})
	}
	ADDQ(Imm(64), dst)
	ADDQ(Imm(64), a)
	ADDQ(Imm(64), b)
	ADDQ(Imm(64), c)
	DECQ(n)
	JNZ(LabelRef("l"))
	VZEROUPPER()
	RET()
}
