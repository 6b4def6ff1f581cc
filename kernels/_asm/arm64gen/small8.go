package main

import (
	"fmt"

	. "fettle/kernels/_asm/arm64gen/asm"
)

// Convolution in 8 bit with sums of 16 to 32 inputs (1x1, windows of first layers), where folding sums that lie along the vector would be half
// of the work: a word of 4 inputs of a pixel lies in all lanes, a vector of weights is a word of 4 outputs, and one ADDP makes 4 results. All
// inputs of two pixels stay in registers while all outputs pass by, 16 at a time. Inputs are signed; no weight is -128.
//
// Registers: pixels V0-V15, words of the first and then of the second; sums of four outputs V16-V19; products V20-V23; weights V24-V27;
// results V28-V31.
const ( // general registers by role
	sSrc, sW, sOut, sTable, sOff, sPS, sPairs, sBlocks, sPlane, sClip X = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
	sSrc2, sWp, sTp, sOp, sLeft, sBound                               X = 11, 12, 13, 14, 15, 16
)

func small8Kernels(g *gen) {
	for _, words := range []int{4, 6, 7, 8} {
		g.small8(words)
	}
}

func (g *gen) small8(words int) {
	g.kernel(fmt.Sprintf("qs2x16k%d", words), "qsArgs", fmt.Sprintf("sums %d inputs of pairs of pixels by 16 channels at a time in 8 bit.", 4*words))
	for i, r := range []X{sSrc, sW, sOut, sTable, sOff, sPS, sPairs, sBlocks, sPlane, sClip} {
		g.load(8*i, r)
	}
	if words > 4 {
		g.G("ADD %v, %v, %v", sOff, sSrc, sSrc2)
	}
	pair, block := g.NewLabel("pair"), g.NewLabel("block")
	g.Label(pair)
	for p := range 2 {
		g.LDnRP(vr(p*words, 4), V[0].S4, sSrc, sPS)
	}
	for p := range 2 {
		at := p*words + 4
		switch words {
		case 6:
			g.LDnRP(vr(at, 2), V[0].S4, sSrc2, sPS)
		case 7: // there is no fourth register: the third word comes alone
			g.G("ADD $8, %v, %v", sSrc2, sBound)
			g.LDnR(vr(at+2, 1), V[0].S4, sBound)
			g.LDnRP(vr(at, 2), V[0].S4, sSrc2, sPS)
		case 8:
			g.LDnRP(vr(at, 4), V[0].S4, sSrc2, sPS)
		}
	}
	g.G("MOVD %v, %v", sW, sWp)
	g.G("MOVD %v, %v", sTable, sTp)
	g.G("MOVD %v, %v", sOut, sOp)
	g.G("MOVD %v, %v", sBlocks, sLeft)
	g.Label(block)
	next := 0 // vector of weights
	weight := func() VReg {
		if next%4 == 0 {
			g.LD1P(vr(24, 4), sWp, XZR)
		}
		next++
		return V[24+(next-1)%4]
	}
	for eight := range 2 {
		for quad := range 2 {
			g.LD1P(vr(16, 4), sTp, XZR) // the sums begin with the addends, the same for both pixels
			for w := 0; w < words; w++ {
				v := weight()
				mul := g.SMULL
				if w%2 == 1 {
					mul = g.SMLAL
				}
				for p := range 2 {
					x := V[p*words+w]
					mul(V[20+2*p].H8, x.B8, v.B8)
					mul(V[21+2*p].H8, x.B16, v.B16)
				}
				if w%2 == 0 && w+1 < words {
					continue
				}
				for i := range 4 {
					g.SADALP(V[16+i].S4, V[20+i].H8)
				}
			}
			for p := range 2 {
				g.ADDP(V[28+2*p+quad].S4, V[16+2*p].S4, V[17+2*p].S4)
			}
		}
		// round(sum*scale) + zero: the table goes on with the factors of eight outputs and the zero point
		g.LD1P(vr(18, 3), sTp, XZR)
		sums := vr(28, 4) // first pixel, second pixel
		for _, s := range sums {
			g.SCVTF(s.S4, s.S4)
		}
		for i, s := range sums {
			g.FMUL(s.S4, s.S4, V[18+i%2].S4)
		}
		for _, s := range sums {
			g.FCVTNS(s.S4, s.S4)
		}
		for p := range 2 {
			g.SQXTN(V[16+p].H4, V[28+2*p].S4)
			g.SQXTN(V[16+p].H8, V[29+2*p].S4)
		}
		for p := range 2 {
			g.SQADD(V[16+p].H8, V[16+p].H8, V[20].H8)
		}
		for p := range 2 {
			g.SQXTUN(V[16+p].B8, V[16+p].H8)
		}
		whole := g.NewLabel("whole")
		g.G("CBZ %v, %s", sClip, whole)
		g.G("ADD $80, R0, %v", sBound)
		g.LDnR(vr(18, 1), V[0].B16, sBound)
		g.G("ADD $81, R0, %v", sBound)
		g.LDnR(vr(19, 1), V[0].B16, sBound)
		for p := range 2 {
			g.UMAX(V[16+p].B16, V[16+p].B16, V[18].B16)
			g.UMIN(V[16+p].B16, V[16+p].B16, V[19].B16)
		}
		g.Label(whole)
		for p := range 2 {
			g.G("FMOVD F%d, %d(%v)", 16+p, 16*p+8*eight, sOp)
		}
	}
	g.G("ADD %v, %v, %v", sPlane, sOp, sOp)
	g.G("SUBS $1, %v, %v", sLeft, sLeft)
	g.G("BNE %s", block)
	g.G("ADD $32, %v, %v", sOut, sOut)
	g.G("SUBS $1, %v, %v", sPairs, sPairs)
	g.G("BNE %s", pair)
	g.G("RET")
}
