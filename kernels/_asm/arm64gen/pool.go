package main

import (
	. "fettle/kernels/_asm/arm64gen/asm"
)

// Pooling: blocks of 16 bytes (4 floats or 16 u8), four columns or one a tile.
const pSrc, pDst, pTaps, pNK, pNT, pPS, pT, pLeft, pP, pOff X = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10

func poolKernels(g *gen) {
	for _, k := range []struct {
		name string
		f    func(d, n Arr)
		avg  bool
		arr  func(v VReg) Arr
	}{
		{"max", func(d, n Arr) { g.FMAX(d, d, n) }, false, func(v VReg) Arr { return v.S4 }},
		{"avg", func(d, n Arr) { g.FADD(d, d, n) }, true, func(v VReg) Arr { return v.S4 }},
		{"max8", func(d, n Arr) { g.UMAX(d, d, n) }, false, func(v VReg) Arr { return v.B16 }},
	} {
		for _, cols := range []int{4, 1} {
			g.kernel(map[int]string{4: k.name + "4N", 1: k.name + "1N"}[cols], "pargs", "pools nt tiles of columns over nk taps.")
			for i, r := range []X{pSrc, pDst, pTaps, pNK, pNT, pPS} {
				g.load(8*i, r)
			}
			if k.avg {
				g.G("ADD $48, R0, %v", pT)
				g.LDnR(vr(31, 1), V[0].S4, pT)
			}
			tile, tap, done := g.NewLabel("tile"), g.NewLabel("tap"), g.NewLabel("done")
			taps := func(to int) {
				g.G("MOVD.P 8(%v), %v", pT, pOff)
				g.G("ADD %v, %v, %v", pSrc, pOff, pP)
				for x := range cols {
					g.LD1P(vr(to+x, 1), pP, pPS)
				}
			}
			g.Label(tile)
			g.G("MOVD %v, %v", pTaps, pT)
			taps(0)
			g.G("SUBS $1, %v, %v", pNK, pLeft)
			g.G("BEQ %s", done)
			g.Label(tap)
			taps(4)
			for x := range cols {
				k.f(k.arr(V[x]), k.arr(V[4+x]))
			}
			g.G("SUBS $1, %v, %v", pLeft, pLeft)
			g.G("BNE %s", tap)
			g.Label(done)
			if k.avg {
				for x := range cols {
					g.FMUL(V[x].S4, V[x].S4, V[31].S4)
				}
			}
			g.ST1P(vr(0, cols), pDst, XZR)
			g.G("ADD %v<<%d, %v, %v", pPS, log2(cols), pSrc, pSrc)
			g.G("SUBS $1, %v, %v", pNT, pNT)
			g.G("BNE %s", tile)
			g.G("RET")
		}
	}
}
