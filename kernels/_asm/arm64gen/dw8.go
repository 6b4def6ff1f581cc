package main

import (
	"fmt"
	"slices"

	. "fettle/kernels/_asm/arm64gen/asm"
)

// Depthwise convolution in 8 bit: 16 channels a call, cols pixels a tile, any taps. Inputs are signed already (the driver copies rows with
// flipped top bits, for stride 2 even and odd columns apart). As many taps meet in 16 bits as their weights allow: the packer sorts them into
// triples, pairs and single ones (SMULL, SMLAL), then SADDW widens. The place moves from tap to tap by a table of distances.
//
// Registers: sums V0-V15, four a pixel; products V16-V23, two a pixel; pixels V24-V27; weights V28-V30.
const ( // general registers by role
	bSrc, bW, bDst, bTable, bDeltas, bThrees, bTwos, bOnes X = 1, 2, 3, 4, 5, 6, 7, 8
	bNT, bNR, bInRow, bOutRow, bPS, bClip                  X = 9, 10, 11, 12, 13, 14
	bSp, bDp, bLeft, bTp, bCount, bP, bWp, bTmp, bPix      X = 15, 16, 17, 19, 20, 21, 22, 23, 24
	bD1, bD2, bD3, bLo                                     X = 25, 26, 6, 7 // the last two take registers that are read again
)

// Offsets in the argument of what is read again.
const nDWThrees, nDWTwos, nDWLo, nDWHi, nDWZero, nDWLook = 40, 48, 112, 113, 114, 120

func dw8Kernels(g *gen) {
	for _, cols := range []int{4, 3, 2, 1} {
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
	for i, r := range []X{bSrc, bW, bDst, bTable, bDeltas, bTmp, bTmp, bOnes, bNT, bNR, bInRow, bOutRow, bPS, bClip} {
		if r != bTmp {
			g.load(8*i, r)
		}
	}
	// begin loads the addends of the channels, the same for each pixel
	begin := func() {
		for p := range cols {
			g.LD1(vr(4*p, 4), bTable)
		}
	}
	// taps loads the next n taps' weights and distances, multiplies them with cols pixels each, and adds them to the sums
	taps := func(n int, first bool) {
		if first {
			begin()
		}
		d := []X{bD1, bD2, bD3}
		if n == 1 {
			g.G("MOVD.P 8(%v), %v", bTp, bD1)
		} else {
			g.G("LDP.P 16(%v), (%v, %v)", bTp, bD1, bD2)
		}
		if n == 3 {
			g.G("MOVD.P 8(%v), %v", bTp, bD3)
		}
		g.LD1P(vr(28, n), bWp, XZR)
		for t := range n {
			if dense {
				g.LD1P(vr(24, cols), bP, d[t])
			} else {
				g.G("MOVD %v, %v", bP, bPix)
				for p := range cols {
					g.LD1P(vr(24+p, 1), bPix, bPS)
				}
				g.G("ADD %v, %v, %v", d[t], bP, bP)
			}
			mul := g.SMULL
			if t > 0 {
				mul = g.SMLAL
			}
			for p := range cols {
				mul(V[16+2*p].H8, V[24+p].B8, V[28+t].B8)
				mul(V[17+2*p].H8, V[24+p].B16, V[28+t].B16)
			}
		}
		for p := range cols {
			for h := range 2 {
				lo, hi, x := V[4*p+2*h], V[4*p+2*h+1], V[16+2*p+h]
				g.SADDW(lo.S4, lo.S4, x.H4)
				g.SADDW(hi.S4, hi.S4, x.H8)
			}
		}
	}
	row, tile, done := g.NewLabel("row"), g.NewLabel("tile"), g.NewLabel("done")
	g.Label(row)
	g.G("MOVD %v, %v", bSrc, bSp)
	g.G("MOVD %v, %v", bDst, bDp)
	g.G("MOVD %v, %v", bNT, bLeft)
	g.Label(tile)
	g.G("MOVD %v, %v", bDeltas, bTp)
	g.G("MOVD.P 8(%v), %v", bTp, bP)
	g.G("ADD %v, %v, %v", bSp, bP, bP)
	g.G("MOVD %v, %v", bW, bWp)
	threes, twos, pairs, ones, single := g.NewLabel("threes"), g.NewLabel("twos"), g.NewLabel("pairs"), g.NewLabel("ones"), g.NewLabel("single")
	begin2, begin1 := g.NewLabel("begintwo"), g.NewLabel("beginone")
	// the first group begins the sums
	g.G("MOVD %d(R0), %v", nDWThrees, bCount)
	g.G("CBZ %v, %s", bCount, begin2)
	taps(3, true)
	g.G("SUBS $1, %v, %v", bCount, bCount)
	g.G("BEQ %s", twos)
	g.Label(threes)
	taps(3, false)
	g.G("SUBS $1, %v, %v", bCount, bCount)
	g.G("BNE %s", threes)
	g.Label(twos)
	g.G("MOVD %d(R0), %v", nDWTwos, bCount)
	g.G("CBZ %v, %s", bCount, ones)
	g.Label(pairs)
	taps(2, false)
	g.G("SUBS $1, %v, %v", bCount, bCount)
	g.G("BNE %s", pairs)
	g.Label(ones)
	g.G("CBZ %v, %s", bOnes, done)
	g.G("MOVD %v, %v", bOnes, bCount)
	g.Label(single)
	taps(1, false)
	g.G("SUBS $1, %v, %v", bCount, bCount)
	g.G("BNE %s", single)
	g.G("B %s", done)
	g.Label(begin2)
	g.G("MOVD %d(R0), %v", nDWTwos, bCount)
	g.G("CBZ %v, %s", bCount, begin1)
	taps(2, true)
	g.G("SUBS $1, %v, %v", bCount, bCount)
	g.G("BNE %s", pairs)
	g.G("B %s", ones)
	g.Label(begin1)
	taps(1, true)
	g.G("SUBS $1, %v, %v", bOnes, bCount)
	g.G("BNE %s", single)
	g.Label(done)
	// round(sum*scale) + zero: the sums began with the bias; the table has addends and then factors of 16 channels
	for i := range 4 {
		g.LDR(V[28], bTable, 64+16*i)
		for p := range cols {
			g.SCVTF(V[4*p+i].S4, V[4*p+i].S4)
		}
		for p := range cols {
			g.FMUL(V[4*p+i].S4, V[4*p+i].S4, V[28].S4)
		}
		for p := range cols {
			g.FCVTNS(V[4*p+i].S4, V[4*p+i].S4)
		}
	}
	zero := g.NewLabel("zero")
	for p := range cols {
		a, b := V[20+p], V[24+p]
		g.SQXTN(a.H4, V[4*p].S4)
		g.SQXTN(a.H8, V[4*p+1].S4)
		g.SQXTN(b.H4, V[4*p+2].S4)
		g.SQXTN(b.H8, V[4*p+3].S4)
		if p == cols-1 { // behind a relu it mostly is 0
			g.G("MOVHU %d(R0), %v", nDWZero, bLo)
			g.G("CBZ %v, %s", bLo, zero)
			g.DUPX(V[30].H8, bLo)
			for _, v := range append(slices.Clone(vr(20, cols)), vr(24, cols)...) {
				g.SQADD(v.H8, v.H8, V[30].H8)
			}
			g.Label(zero)
		}
	}
	for p := range cols {
		a, b, o := V[20+p], V[24+p], V[16+p]
		g.SQXTUN(o.B8, a.H8)
		g.SQXTUN(o.B16, b.H8)
	}
	whole, look, stored := g.NewLabel("whole"), g.NewLabel("look"), g.NewLabel("stored")
	g.G("CBZ %v, %s", bClip, whole)
	g.G("TBNZ $1, %v, %s", bClip, look)
	g.G("ADD $%d, R0, %v", nDWLo, bLo)
	g.LDnR(vr(28, 1), V[0].B16, bLo)
	g.G("ADD $%d, R0, %v", nDWHi, bLo)
	g.LDnR(vr(29, 1), V[0].B16, bLo)
	for p := range cols {
		g.UMAX(V[16+p].B16, V[16+p].B16, V[28].B16)
		g.UMIN(V[16+p].B16, V[16+p].B16, V[29].B16)
	}
	g.Label(whole)
	g.ST1P(vr(16, cols), bDp, XZR)
	g.Label(stored)
	switch {
	case dense:
		g.G("ADD $%d, %v, %v", 16*cols, bSp, bSp)
	default:
		for range cols {
			g.G("ADD %v, %v, %v", bPS, bSp, bSp)
		}
	}
	g.G("SUBS $1, %v, %v", bLeft, bLeft)
	g.G("BNE %s", tile)
	g.G("ADD %v, %v, %v", bInRow, bSrc, bSrc)
	g.G("ADD %v, %v, %v", bOutRow, bDst, bDst)
	g.G("SUBS $1, %v, %v", bNR, bNR)
	g.G("BNE %s", row)
	g.G("RET")
	g.Label(look) // the sums are gone: their registers take the table
	g.G("MOVD %d(R0), %v", nDWLook, bLo)
	g.table256(bLo, 0, V[28])
	g.find(vr(20, cols), vr(16, cols), 0, V[28])
	g.ST1P(vr(20, cols), bDp, XZR)
	g.G("B %s", stored)
}
