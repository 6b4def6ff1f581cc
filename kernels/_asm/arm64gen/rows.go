package main

import (
	. "fettle/kernels/_asm/arm64gen/asm"
)

// Passes over rows that do two things at once, for softmax and normalisation. c is a line: sums of a pass, or addends.
const rC X = 10

// exp2Vecs computes y[i] = 2^x[i] of two vectors, x <= 0, exactly 0 below -126. x is destroyed, n and s are temporaries. The coefficients and
// the bound are those of sigHead in V18-V22 and V27, ones in V28, zeros in V24; V23 and V29 are temporaries.
func (g *gen) exp2Vecs(x, y, n, s []VReg) {
	each := func(f func(i int)) {
		for i := range x {
			f(i)
		}
	}
	t := []VReg{V[23], V[29]}
	each(func(i int) { g.FMAX(y[i].S4, x[i].S4, V[18].S4) })
	each(func(i int) { g.FRINTN(n[i].S4, y[i].S4) })
	each(func(i int) { g.FSUB(y[i].S4, y[i].S4, n[i].S4) })
	each(func(i int) { g.FCVTNS(n[i].S4, n[i].S4) })
	each(func(i int) { g.SHL(n[i].S4, n[i].S4, 23) })
	each(func(i int) { g.MOV(t[i], V[20]) })
	each(func(i int) { g.FMLA(t[i].S4, y[i].S4, V[19].S4) })
	each(func(i int) { g.FCMGT(x[i].S4, V[18].S4, x[i].S4) }) // false for NaN, which stays
	for k, c := range []VReg{V[21], V[22], V[27], V[28]} {    // Horner between two registers, as in sigmoid
		from, to := t, s
		if k%2 == 1 {
			from, to = s, t
		}
		each(func(i int) { g.MOV(to[i], c) })
		each(func(i int) { g.FMLA(to[i].S4, from[i].S4, y[i].S4) })
	}
	each(func(i int) { g.ADD(y[i].S4, t[i].S4, n[i].S4) }) // times 2^n, as in sigmoid
	each(func(i int) { g.BIT(y[i].B16, V[24].B16, x[i].B16) })
}

func (g *gen) rowPasses() {
	// sums in V0-V3, lo in V25, hi in V26
	sums := func(name, doc string, head, body func()) {
		g.eltHead(name, doc)
		g.load(48, rC)
		g.LDnR(vr(25, 1), V[0].S4, eLo)
		g.LDnR(vr(26, 1), V[0].S4, eHi)
		for i := range 4 {
			g.ZERO(V[i])
		}
		head()
		loop := g.NewLabel("line")
		g.Label(loop)
		body()
		g.G("SUBS $1, %v, %v", eN, eN)
		g.G("BNE %s", loop)
		g.ST1(vr(0, 4), rC)
		g.G("RET")
	}
	sums("expSumN", "is dst = 2^((a - lo) hi), for no positive exponents; the sums of each place of a line go to c.", func() {
		g.sigHead()
		g.G("FMOVS $1.0, F28")
		g.DUP(V[28].S4, V[28].S(0))
		g.ZERO(V[24])
	}, func() {
		g.LD1P(vr(4, 4), eA, XZR)
		for i := range 4 {
			g.FSUB(V[4+i].S4, V[4+i].S4, V[25].S4)
			g.FMUL(V[4+i].S4, V[4+i].S4, V[26].S4)
		}
		for i := 0; i < 4; i += 2 {
			g.exp2Vecs(vr(4+i, 2), vr(8+i, 2), vr(16, 2), vr(12, 2))
		}
		for i := range 4 {
			g.FADD(V[i].S4, V[i].S4, V[8+i].S4)
		}
		g.ST1P(vr(8, 4), eDst, XZR)
	})
	sums("addSumN", "is dst = a + b; the sums of each place of a line go to c.", func() {}, func() {
		g.LD1P(vr(4, 4), eA, XZR)
		g.LD1P(vr(8, 4), eB, XZR)
		for i := range 4 {
			g.FADD(V[4+i].S4, V[4+i].S4, V[8+i].S4)
			g.FADD(V[i].S4, V[i].S4, V[4+i].S4)
		}
		g.ST1P(vr(4, 4), eDst, XZR)
	})
	sums("devSumN", "folds the squares of a - lo; the sums of each place of a line go to c.", func() {}, func() {
		g.LD1P(vr(4, 4), eA, XZR)
		for i := range 4 {
			g.FSUB(V[4+i].S4, V[4+i].S4, V[25].S4)
			g.FMLA(V[i].S4, V[4+i].S4, V[4+i].S4)
		}
	})
	g.eltHead("normN", "is dst = (a - lo) hi b + c.")
	g.load(48, rC)
	g.LDnR(vr(25, 1), V[0].S4, eLo)
	g.LDnR(vr(26, 1), V[0].S4, eHi)
	g.eltLoop(func() {
		g.LD1P(vr(0, 4), eA, XZR)
		g.LD1P(vr(4, 4), eB, XZR)
		g.LD1P(vr(8, 4), rC, XZR)
		for i := range 4 {
			g.FSUB(V[i].S4, V[i].S4, V[25].S4)
			g.FMUL(V[i].S4, V[i].S4, V[26].S4)
			g.FMLA(V[8+i].S4, V[i].S4, V[4+i].S4)
		}
		g.ST1P(vr(8, 4), eDst, XZR)
	})
}
