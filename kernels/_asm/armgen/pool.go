package main

import (
	. "fettle/kernels/_asm/armgen/asm"
)

// Pooling: blocks of 16 bytes (4 floats or 16 u8), four columns or one a tile.
const pSrc, pDst, pTaps, pNT, pPS, pT, pLeft, pP X = 1, 2, 3, 4, 5, 6, 7, 8

func poolKernels(g *gen) {
	for _, k := range []struct {
		name string
		f    func(d, n Reg)
		avg  bool
	}{
		{"max", func(d, n Reg) { g.VMAXF(d, d, n) }, false},
		{"avg", func(d, n Reg) { g.VADDF(d, d, n) }, true},
		{"max8", func(d, n Reg) { g.VMAXU(0, d, d, n) }, false},
	} {
		for _, cols := range []int{4, 1} {
			g.kernel(map[int]string{4: k.name + "4N", 1: k.name + "1N"}[cols], "pargs", "pools nt tiles of columns over nk taps.", 4)
			g.load("src", pSrc, "dst", pDst, "taps", pTaps, "nt", pNT, "ps", pPS)
			if k.avg {
				g.G("ADD $%d, R0, %v", g.field("scale"), pT)
				g.VLD1R(2, Q(15), pT, Stay)
			}
			tile, tap, done := g.NewLabel("tile"), g.NewLabel("tap"), g.NewLabel("done")
			taps := func(to int) {
				g.G("MOVW.P 8(%v), %v", pT, pP)
				g.G("ADD %v, %v, %v", pSrc, pP, pP)
				for x := range cols {
					g.VLD1(2, Q(to+x), 2, pP, By(pPS))
				}
			}
			g.Label(tile)
			g.G("MOVW %v, %v", pTaps, pT)
			taps(0)
			g.load("nk", pLeft)
			g.G("SUB.S $1, %v, %v", pLeft, pLeft)
			g.G("BEQ %s", done)
			g.Label(tap)
			taps(4)
			for x := range cols {
				k.f(Q(x), Q(4+x))
			}
			g.G("SUB.S $1, %v, %v", pLeft, pLeft)
			g.G("BNE %s", tap)
			g.Label(done)
			if k.avg {
				for x := range cols {
					g.VMULF(Q(x), Q(x), Q(15))
				}
			}
			g.VSTM(Q(0), 2*cols, pDst, Next)
			g.G("ADD %v<<%d, %v, %v", pPS, log2(cols), pSrc, pSrc)
			g.G("SUB.S $1, %v, %v", pNT, pNT)
			g.G("BNE %s", tile)
			g.G("RET")
		}
	}
}
