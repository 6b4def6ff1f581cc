package main

import (
	"fmt"

	. "fettle/kernels/_asm/arm64gen/asm"
)

// Matrix product, float32: m rows by 12 columns of row-major C. Sums V0..., three vectors a row, then one vector of A a row and four
// of the packed B; the same 84 FMLA a step of 4 k as the convolution.
const ( // R0 is the argument
	gA, gB, gC, gBias, gK, gRS, gCS, gLDC, gNT X = 1, 2, 3, 4, 5, 6, 7, 8, 9
	gAcc, gBp, gAp, gP, gLeft, gTmp            X = 10, 11, 12, 13, 14, 15
	gAct                                       X = 16
)

func gemmKernels(g *gen) {
	for m := 1; m <= 7; m++ {
		g.gemm(m)
	}
	g.table("gemmN", "gargs", 15, func(i int) string {
		if i < 1 || i > 7 {
			return ""
		}
		return fmt.Sprintf("gemm%dx12N", i)
	})
}

func (g *gen) gemm(m int) {
	const nb = 3
	g.kernel(fmt.Sprintf("gemm%dx12N", m), "gargs", fmt.Sprintf("sums %d rows by 12 columns a tile; all 12 columns must exist.", m))
	for i, r := range []X{gA, gB, gC, gBias, gK, gRS, gCS, gLDC, gNT} {
		g.load(8*i, r)
	}
	g.load(72, gAct)
	g.load(88, gAcc)
	g.G("ADD $80, R0, %v", rLo)
	g.G("ADD $84, R0, %v", rHi)
	acc := m * nb
	tile, zero, start, four, short, rest, one, done := g.NewLabel("tile"), g.NewLabel("zero"), g.NewLabel("start"), g.NewLabel("four"), g.NewLabel("short"), g.NewLabel("rest"), g.NewLabel("one"), g.NewLabel("done")
	g.Label(tile)
	g.G("CBZ %v, %s", gBias, zero)
	g.LD1(vr(0, nb), gBias)
	for p := 1; p < m; p++ {
		for j := range nb {
			g.MOV(V[p*nb+j], V[j])
		}
	}
	g.G("B %s", start)
	g.Label(zero)
	for i := range acc {
		g.ZERO(V[i])
	}
	g.Label(start)
	g.G("MOVD %v, %v", gB, gBp)
	g.G("MOVD %v, %v", gA, gAp)
	g.G("MOVD %v, %v", gK, gLeft)
	g.G("CMP $4, %v", gCS) // only neighbours in k can be loaded together
	g.G("BNE %s", rest)
	if m == 1 { // one load for the inputs of 16 steps
		many, few := g.NewLabel("many"), g.NewLabel("few")
		g.G("SUBS $16, %v, %v", gLeft, gLeft)
		g.G("BLT %s", few)
		g.Label(many)
		g.LD1P(vr(acc, 4), gAp, XZR)
		for k := range 16 {
			b := acc + 4 + k/4%2*4*nb
			if k%4 == 0 {
				g.loadRun(b, 4*nb, gBp, XZR)
			}
			for j := range nb {
				g.FMLA(V[j].S4, V[b+k%4*nb+j].S4, V[acc+k/4].S(k%4))
			}
		}
		g.G("SUBS $16, %v, %v", gLeft, gLeft)
		g.G("BGE %s", many)
		g.Label(few)
		g.G("ADD $16, %v, %v", gLeft, gLeft)
	}
	g.G("SUBS $4, %v, %v", gLeft, gLeft)
	g.G("BLT %s", short)
	g.Label(four)
	if m == 1 {
		g.LD1P(vr(acc, 1), gAp, XZR)
	} else {
		g.G("MOVD %v, %v", gAp, gP)
		for p := range m {
			g.LD1P(vr(acc+p, 1), gP, gRS)
		}
		g.G("ADD $16, %v, %v", gAp, gAp)
	}
	whole := acc+m+4*nb <= 32 // all four rows of b have registers
	if whole {
		g.loadRun(acc+m, 4*nb, gBp, XZR)
	}
	for k := range 4 {
		b := acc + m
		if whole {
			b += k * nb
		} else {
			g.LD1P(vr(b, nb), gBp, XZR)
		}
		for j := range nb {
			for p := range m {
				g.FMLA(V[p*nb+j].S4, V[b+j].S4, V[acc+p].S(k))
			}
		}
	}
	g.G("SUBS $4, %v, %v", gLeft, gLeft)
	g.G("BGE %s", four)
	g.Label(short)
	g.G("ADD $4, %v, %v", gLeft, gLeft)
	g.Label(rest)
	g.G("CBZ %v, %s", gLeft, done)
	g.Label(one)
	g.G("MOVD %v, %v", gAp, gP)
	for p := range m {
		g.LDnRP(vr(acc+p, 1), V[0].S4, gP, gRS)
	}
	g.G("ADD %v, %v, %v", gCS, gAp, gAp)
	g.LD1P(vr(acc+m, nb), gBp, XZR)
	for j := range nb {
		for p := range m {
			g.FMLA(V[p*nb+j].S4, V[acc+m+j].S4, V[acc+p].S4)
		}
	}
	g.G("SUBS $1, %v, %v", gLeft, gLeft)
	g.G("BNE %s", one)
	g.Label(done)
	noacc, noact, clamp := g.NewLabel("noacc"), g.NewLabel("noact"), g.NewLabel("clamp")
	g.G("CBZ %v, %s", gAcc, noacc)
	g.G("MOVD %v, %v", gC, gP)
	for p := range m {
		g.LD1P(vr(acc, nb), gP, gLDC)
		for j := range nb {
			g.FADD(V[p*nb+j].S4, V[p*nb+j].S4, V[acc+j].S4)
		}
	}
	g.Label(noacc)
	g.clamp(acc, acc, gAct, noact, clamp)
	g.Label(noact)
	for p := range m {
		g.ST1P(vr(p*nb, nb), gC, gLDC)
	}
	g.G("MOVD $%d, %v", m, gTmp)
	g.G("MADD %v, %v, %v, %v", gTmp, gA, gRS, gA)
	g.G("SUBS $1, %v, %v", gNT, gNT)
	g.G("BNE %s", tile)
	g.G("RET")
}
