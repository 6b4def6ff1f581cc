package main

import (
	"math"

	. "fettle/kernels/_asm/armgen/asm"
)

// Activation functions of up to four vectors. x lies in Q0..., the result is left there; Q4-Q11 are temporaries, Q12-Q15 constants.
// Codes are those of cpu.ActKind.
const (
	actReLU        = 1
	actClamp       = 2
	actLeaky       = 3
	actHardSwish   = 4
	actSiLU        = 5
	actSigmoid     = 6
	actHardSigmoid = 7
)

// magic is 1.5 * 2^23: added to a float of at most 2^22 it rounds it to a whole number, halves to even, which is then the lower part of the bits.
const magic = 12582912

// Registers of actSpan and of the element-wise functions: the place of constants and of x.
const aConst, aX X = 12, 1

// data declares float32 constants as read-only data, each four times.
func (g *gen) data(name string, c []float32) {
	g.Raw("\n")
	for i, v := range c {
		for j := range 4 {
			g.Raw("DATA %s<>+%d(SB)/4, $0x%08x\n", name, 16*i+4*j, math.Float32bits(v))
		}
	}
	g.Raw("GLOBL %s<>(SB), RODATA|NOPTR, $%d\n", name, 16*len(c))
}

// sigConsts are the constants of sigmoid in the order of their use: -log2 e, the bounds of the exponent, magic, the coefficients of 2^f for f in
// -0.5..0.5, the fifth to the first, and one. Source: interpolation of (2^f-1)/f at Chebyshev nodes; relative error 2e-7.
func sigConsts() []float32 {
	return []float32{-1.44269504088896341, 126, -126, magic, 0.0013381302123889327, 0.00966636836528778, 0.055503811687231064, 0.2402234971523285, 0.6931471824645996, 1}
}

// hardConsts are zero and one, behind the two parameters.
func hardConsts() []float32 { return []float32{0, 1} }

// bounds loads the two parameters of the argument to Q12 and Q13, and zero and one to Q14 and Q15.
func (g *gen) bounds() {
	g.G("ADD $%d, R0, %v", g.field("lo"), aConst)
	g.VLD1R(2, Q(12), aConst, Next)
	g.VLD1R(2, Q(13), aConst, Stay)
	g.G("MOVW $hardConst<>(SB), %v", aConst)
	g.VLDM(Q(14), 4, aConst, Stay)
}

func (g *gen) each(n int, f func(x, y, z Reg)) {
	for i := range n {
		f(Q(i), Q(4+i), Q(8+i))
	}
}

func (g *gen) relu(n int) { g.each(n, func(x, _, _ Reg) { g.VMAXF(x, x, Q(14)) }) }

func (g *gen) clampVecs(n int) {
	g.each(n, func(x, _, _ Reg) { g.VMAXF(x, x, Q(12)) })
	g.each(n, func(x, _, _ Reg) { g.VMINF(x, x, Q(13)) })
}

func (g *gen) leaky(n int) {
	g.each(n, func(x, y, _ Reg) { g.VMINF(y, x, Q(14)) })
	g.each(n, func(x, _, _ Reg) { g.VMAXF(x, x, Q(14)) })
	g.each(n, func(x, y, _ Reg) { g.VMLAF(x, y, Q(12)) })
}

// hardVecs is y = min(max(lo*x+hi, 0), 1), times x.
func (g *gen) hardVecs(n int, times bool) {
	g.each(n, func(x, y, _ Reg) { g.VMULF(y, x, Q(12)) })
	g.each(n, func(_, y, _ Reg) { g.VADDF(y, y, Q(13)) })
	g.each(n, func(_, y, _ Reg) { g.VMAXF(y, y, Q(14)) })
	if times {
		g.each(n, func(_, y, _ Reg) { g.VMINF(y, y, Q(15)) })
		g.each(n, func(x, y, _ Reg) { g.VMULF(x, x, y) })
		return
	}
	g.each(n, func(x, y, _ Reg) { g.VMINF(x, y, Q(15)) })
}

// sigmoid is 1 / (1 + 2^(-x log2 e)), times x, which is read again from p. There is no division: an estimate and two steps of Newton's method,
// within 2e-7.
func (g *gen) sigmoid(n int, p X, times bool) {
	g.G("MOVW $sigConst<>(SB), %v", aConst)
	g.VLDM(Q(12), 8, aConst, Next)
	g.each(n, func(z, _, _ Reg) { g.VMULF(z, z, Q(12)) })
	g.each(n, func(z, _, _ Reg) { g.VMINF(z, z, Q(13)) })
	g.each(n, func(z, _, _ Reg) { g.VMAXF(z, z, Q(14)) })
	g.each(n, func(z, e, _ Reg) { g.VADDF(e, z, Q(15)) })
	g.each(n, func(_, e, t Reg) { g.VSUBF(t, e, Q(15)) })
	g.each(n, func(z, _, t Reg) { g.VSUBF(z, z, t) })
	g.each(n, func(_, e, _ Reg) { g.VSHL(2, e, e, 23) })
	g.VLDM(Q(12), 8, aConst, Next)
	g.each(n, func(z, _, t Reg) { g.VMULF(t, z, Q(12)) })
	for k := 13; k <= 15; k++ {
		g.each(n, func(_, _, t Reg) { g.VADDF(t, t, Q(k)) })
		g.each(n, func(z, _, t Reg) { g.VMULF(t, t, z) })
	}
	g.VLDM(Q(12), 4, aConst, Stay)
	g.each(n, func(_, _, t Reg) { g.VADDF(t, t, Q(12)) })
	g.each(n, func(z, _, t Reg) { g.VMULF(t, t, z) })
	g.each(n, func(_, _, t Reg) { g.VADDF(t, t, Q(13)) })
	g.each(n, func(_, e, t Reg) { g.VADD(2, e, t, e) }) // times 2^n: t lies in 0.7..1.5, so adding to the exponent cannot overflow
	g.each(n, func(_, e, _ Reg) { g.VADDF(e, e, Q(13)) })
	g.each(n, func(z, e, _ Reg) { g.VRECPEF(z, e) })
	for range 2 {
		g.each(n, func(z, e, t Reg) { g.VRECPSF(t, e, z) })
		g.each(n, func(z, _, t Reg) { g.VMULF(z, z, t) })
	}
	if times {
		g.VLDM(Q(4), 2*n, p, Stay)
		g.each(n, func(z, x, _ Reg) { g.VMULF(z, z, x) })
	}
}

// actVecs applies act to n vectors that were loaded from p.
func (g *gen) actVecs(act, n int, p X) {
	switch act {
	case actReLU:
		g.relu(n)
	case actClamp:
		g.clampVecs(n)
	case actLeaky:
		g.leaky(n)
	case actHardSwish, actHardSigmoid:
		g.hardVecs(n, act == actHardSwish)
	case actSigmoid, actSiLU:
		g.sigmoid(n, p, act == actSiLU)
	}
}

// actSpan applies an activation in place to nt vectors: by fours, then one by one.
func (g *gen) actSpan() {
	g.data("sigConst", sigConsts())
	g.data("hardConst", hardConsts())
	const left, kind X = 2, 3
	g.kernel("actSpan", "dwArgs", "applies the activation act to nt lines of 4 floats at dst, in place.", 4)
	g.load("dst", aX, "nt", left, "act", kind)
	g.bounds()
	none := g.NewLabel("none")
	g.G("CMP $0, %v", kind)
	g.G("BEQ %s", none)
	for act := actReLU; act <= actHardSigmoid; act++ {
		skip, one, four, last := g.NewLabel("not"), g.NewLabel("one"), g.NewLabel("four"), g.NewLabel("last")
		g.G("CMP $%d, %v", act, kind)
		g.G("BNE %s", skip)
		g.G("SUB.S $4, %v, %v", left, left)
		g.G("BLT %s", one)
		g.Label(four)
		g.VLDM(Q(0), 8, aX, Stay)
		g.actVecs(act, 4, aX)
		g.VSTM(Q(0), 8, aX, Next)
		g.G("SUB.S $4, %v, %v", left, left)
		g.G("BGE %s", four)
		g.Label(one)
		g.G("ADD.S $4, %v, %v", left, left)
		g.G("BEQ %s", none)
		g.Label(last)
		g.VLDM(Q(0), 2, aX, Stay)
		g.actVecs(act, 1, aX)
		g.VSTM(Q(0), 2, aX, Next)
		g.G("SUB.S $1, %v, %v", left, left)
		g.G("BNE %s", last)
		g.G("RET")
		g.Label(skip)
	}
	g.Label(none)
	g.G("RET")
}
