package main

import (
	"fmt"

	. "fettle/kernels/_asm/armgen/asm"
)

// Matrix product, float32: m rows by 12 columns of row-major C. A vector of A a row in Q0..., sums Q3..., three vectors a row, then four of the
// packed B: the same 36 VMLA a step of 4 k as the convolution.
const ( // R0 is the argument
	gA, gBp, gC, gLeft, gRS, gAp, gP, gCS, gNT, gTmp X = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12 // clamp takes 6 and 7
)

func gemmKernels(g *gen) {
	for m := 1; m <= 3; m++ {
		g.gemm(m)
	}
	g.table("gemmN", "gargs", 15, func(i int) string {
		if i < 1 || i > 3 {
			return ""
		}
		return fmt.Sprintf("gemm%dx12N", i)
	})
}

func (g *gen) gemm(m int) {
	const nb, w = 3, 12
	sum := func(p, j int) Reg { return Q(3 + p*nb + j) }
	g.kernel(fmt.Sprintf("gemm%dx12N", m), "gargs", fmt.Sprintf("sums %d rows by 12 columns a tile; all 12 columns must exist.", m), 4)
	g.load("a", gA, "c", gC, "rs", gRS, "cs", gCS, "nt", gNT)
	tile, zero, start, four, rest, one, done := g.NewLabel("tile"), g.NewLabel("zero"), g.NewLabel("start"), g.NewLabel("four"), g.NewLabel("rest"), g.NewLabel("one"), g.NewLabel("done")
	g.Label(tile)
	g.load("bias", gTmp)
	g.G("CMP $0, %v", gTmp)
	g.G("BEQ %s", zero)
	for p := range m {
		g.VLDM(sum(p, 0), 2*nb, gTmp, Stay)
	}
	g.G("B %s", start)
	g.Label(zero)
	for _, v := range qs(3, nb*m) {
		g.ZERO(v)
	}
	g.Label(start)
	g.load("b", gBp, "k", gLeft)
	g.G("MOVW %v, %v", gA, gAp)
	g.G("CMP $4, %v", gCS) // only neighbours in k can be loaded together
	g.G("BNE %s", rest)
	g.G("SUB.S $4, %v, %v", gLeft, gLeft)
	more := g.NewLabel("more")
	g.G("BLT %s", more)
	g.Label(four)
	g.G("MOVW %v, %v", gAp, gP)
	for p := range m {
		g.VLD1(2, Q(p), 2, gP, By(gRS))
	}
	g.G("ADD $16, %v, %v", gAp, gAp)
	for v := 0; v < 4*nb; v += 4 {
		g.VLDM(Q(w), 8, gBp, Next)
		for i := range 4 {
			k, j := (v+i)/nb, (v+i)%nb
			for p := range m {
				g.VMLAF(sum(p, j), Q(w+i), Q(p).S(k))
			}
		}
	}
	g.G("SUB.S $4, %v, %v", gLeft, gLeft)
	g.G("BGE %s", four)
	g.Label(more)
	g.G("ADD $4, %v, %v", gLeft, gLeft)
	g.Label(rest)
	g.G("CMP $0, %v", gLeft)
	g.G("BEQ %s", done)
	g.Label(one)
	g.G("MOVW %v, %v", gAp, gP)
	for p := range m {
		g.VLD1R(2, Q(p), gP, By(gRS))
	}
	g.G("ADD %v, %v, %v", gCS, gAp, gAp)
	g.VLDM(Q(w), 2*nb, gBp, Next)
	for j := range nb {
		for p := range m {
			g.VMLAF(sum(p, j), Q(w+j), Q(p))
		}
	}
	g.G("SUB.S $1, %v, %v", gLeft, gLeft)
	g.G("BNE %s", one)
	g.Label(done)
	noacc, noact := g.NewLabel("noacc"), g.NewLabel("noact")
	g.load("acc", gTmp, "ldc", gLeft)
	g.G("CMP $0, %v", gTmp)
	g.G("BEQ %s", noacc)
	g.G("MOVW %v, %v", gC, gP)
	for p := range m {
		g.VLDM(Q(w), 2*nb, gP, Stay)
		g.G("ADD %v, %v, %v", gLeft, gP, gP)
		for j := range nb {
			g.VADDF(sum(p, j), sum(p, j), Q(w+j))
		}
	}
	g.Label(noacc)
	g.clamp(qs(3, nb*m), noact)
	g.Label(noact)
	for p := range m {
		g.VSTM(sum(p, 0), 2*nb, gC, Stay)
		g.G("ADD %v, %v, %v", gLeft, gC, gC)
		g.G("ADD %v, %v, %v", gRS, gA, gA)
	}
	g.G("SUB.S $1, %v, %v", gNT, gNT)
	g.G("BNE %s", tile)
	g.G("RET")
}
