package main

import (
	"fmt"

	. "fettle/kernels/_asm/arm64gen/asm"
)

// Depthwise convolution in 8 bit: 16 channels a call, cols pixels a tile, any taps. Inputs become signed by flipping their top bit. Two taps
// meet in 16 bits (SMULL, SMLAL), then SADDW widens; where a weight is -128 the caller gives all taps as single ones.
//
// Registers: sums V0-V15, four a pixel; products V16-V23, two a pixel; pixels V24-V27; weights V28, V29; V31 flips.
const ( // general registers by role
	bSrc, bW, bDst, bScale, bBias, bTaps, bPairs, bSingles X = 1, 2, 3, 4, 5, 6, 7, 8
	bNT, bNR, bInRow, bOutRow, bPS, bSp, bDp, bLeft        X = 9, 10, 11, 12, 13, 14, 15, 16
	bTp, bCount, bA, bB, bWp, bLo, bHi                     X = 17, 19, 20, 21, 22, 23, 24
)

func dw8Kernels(g *gen) {
	for _, cols := range []int{4, 2, 1} {
		g.dw8(cols, true)
		g.dw8(cols, false)
	}
}

func dw8Name(cols int, dense bool) string {
	if dense {
		return fmt.Sprintf("qdw%ds1", cols)
	}
	return fmt.Sprintf("qdw%dany", cols)
}

func (g *gen) dw8(cols int, dense bool) {
	how := "pixels at any distance"
	if dense {
		how = "pixels side by side"
	}
	g.kernel(dw8Name(cols, dense), "qdwArgs", fmt.Sprintf("does a depthwise convolution of 16 channels in 8 bit, %d pixels a tile; %s.", cols, how))
	for i, r := range []X{bSrc, bW, bDst, bScale, bBias, bTaps, bPairs, bSingles, bNT, bNR, bInRow, bOutRow, bPS} {
		g.load(8*i, r)
	}
	g.G("ADD $104, R0, %v", bLo)
	g.G("ADD $105, R0, %v", bHi)
	row, tile, pair, single, odd, done := g.NewLabel("row"), g.NewLabel("tile"), g.NewLabel("pair"), g.NewLabel("single"), g.NewLabel("odd"), g.NewLabel("done")
	pixels := func(at X) {
		if dense {
			g.LD1(vr(24, cols), at)
		} else {
			for p := range cols {
				g.LD1P(vr(24+p, 1), at, bPS)
			}
		}
		for p := range cols {
			g.EOR(V[24+p].B16, V[24+p].B16, V[31].B16)
		}
	}
	widen := func() {
		for p := range cols {
			for h := range 2 {
				g.SADDW(V[4*p+2*h].S4, V[4*p+2*h].S4, V[16+2*p+h].H4)
				g.SADDW(V[4*p+2*h+1].S4, V[4*p+2*h+1].S4, V[16+2*p+h].H8)
			}
		}
	}
	g.Label(row)
	g.G("MOVD %v, %v", bSrc, bSp)
	g.G("MOVD %v, %v", bDst, bDp)
	g.G("MOVD %v, %v", bNT, bLeft)
	g.Label(tile)
	g.G("MOVD $0x80, %v", bA)
	g.DUPX(V[31].B16, bA)
	g.G("MOVD %v, %v", bTaps, bTp)
	g.G("MOVD %v, %v", bW, bWp)
	twoTaps := func() {
		g.G("LDP.P 16(%v), (%v, %v)", bTp, bA, bB)
		g.G("ADD %v, %v, %v", bSp, bA, bA)
		g.G("ADD %v, %v, %v", bSp, bB, bB)
		g.LD1P(vr(28, 2), bWp, XZR)
		pixels(bA)
		for p := range cols {
			g.SMULL(V[16+2*p].H8, V[24+p].B8, V[28].B8)
			g.SMULL(V[17+2*p].H8, V[24+p].B16, V[28].B16)
		}
		pixels(bB)
		for p := range cols {
			g.SMLAL(V[16+2*p].H8, V[24+p].B8, V[29].B8)
			g.SMLAL(V[17+2*p].H8, V[24+p].B16, V[29].B16)
		}
	}
	zero := g.NewLabel("zero")
	g.G("CBZ %v, %s", bPairs, zero)
	twoTaps() // the first two begin the sums
	for p := range cols {
		for h := range 2 {
			g.SXTL(V[4*p+2*h].S4, V[16+2*p+h].H4)
			g.SXTL(V[4*p+2*h+1].S4, V[16+2*p+h].H8)
		}
	}
	g.G("SUBS $1, %v, %v", bPairs, bCount)
	g.G("BEQ %s", odd)
	g.Label(pair)
	twoTaps()
	widen()
	g.G("SUBS $1, %v, %v", bCount, bCount)
	g.G("BNE %s", pair)
	g.G("B %s", odd)
	g.Label(zero)
	for i := range 4 * cols {
		g.ZERO(V[i])
	}
	g.Label(odd)
	g.G("MOVD %v, %v", bSingles, bCount)
	g.G("CBZ %v, %s", bCount, done)
	g.Label(single)
	g.G("MOVD.P 8(%v), %v", bTp, bA)
	g.G("ADD %v, %v, %v", bSp, bA, bA)
	g.LD1P(vr(28, 1), bWp, XZR)
	pixels(bA)
	for p := range cols {
		g.SMULL(V[16+2*p].H8, V[24+p].B8, V[28].B8)
		g.SMULL(V[17+2*p].H8, V[24+p].B16, V[28].B16)
	}
	widen()
	g.G("SUBS $1, %v, %v", bCount, bCount)
	g.G("BNE %s", single)
	g.Label(done)
	for i := range 4 { // round(sum*scale + bias)
		g.LDR(V[30], bScale, 16*i)
		g.LDR(V[29], bBias, 16*i)
		for p := range cols {
			v, t := V[4*p+i], V[20+p]
			g.SCVTF(v.S4, v.S4)
			g.MOV(t, V[29])
			g.FMLA(t.S4, v.S4, V[30].S4)
			g.FCVTNS(v.S4, t.S4)
		}
	}
	g.LDnR(vr(28, 1), V[0].B16, bLo)
	g.LDnR(vr(29, 1), V[0].B16, bHi)
	for p := range cols {
		a, b, o := V[20+p], V[24+p], V[16+p]
		g.SQXTN(a.H4, V[4*p].S4)
		g.SQXTN(a.H8, V[4*p+1].S4)
		g.SQXTN(b.H4, V[4*p+2].S4)
		g.SQXTN(b.H8, V[4*p+3].S4)
		g.SQXTUN(o.B8, a.H8)
		g.SQXTUN(o.B16, b.H8)
		g.UMAX(o.B16, o.B16, V[28].B16)
		g.UMIN(o.B16, o.B16, V[29].B16)
	}
	g.ST1P(vr(16, cols), bDp, XZR)
	g.G("ADD %v<<%d, %v, %v", bPS, log2(cols), bSp, bSp)
	g.G("SUBS $1, %v, %v", bLeft, bLeft)
	g.G("BNE %s", tile)
	g.G("ADD %v, %v, %v", bInRow, bSrc, bSrc)
	g.G("ADD %v, %v, %v", bOutRow, bDst, bDst)
	g.G("SUBS $1, %v, %v", bNR, bNR)
	g.G("BNE %s", row)
	g.G("RET")
}
