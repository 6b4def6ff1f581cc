package main

import (
	"fmt"

	. "fettle/kernels/_asm/arm64gen/asm"
)

// Convolution of 16-bit values by 8-bit weights that were widened when packed (conv/int16.go): SMLAL by lane, 8 outputs a vector pair, exact sums in
// 32 bits. 8 inputs of m pixels by 8 outputs are 16m products for at most m + 2 loads.
//
// Registers: pixels V0-V7, weights V8-V15, sums V16-V31, two a pixel.
const iSrc, iW, iOut, iRes, iGroups, iNK, iTile, iTiles, iScale, iBias, iPS, iClip X = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
const iPix, iP, iWp, iGp, iK, iTmp, iOutP, iResP X = 13, 14, 15, 16, 17, 19, 20, 21

func int16Kernels(g *gen) {
	for _, dense := range []bool{true, false} {
		name := func(m int) string { return fmt.Sprintf("h%dx8%s", m, map[bool]string{true: "s1", false: "any"}[dense]) }
		for m := 1; m <= 8; m++ {
			g.conv16(name(m), m, dense)
		}
		g.table(map[bool]string{true: "h16s1", false: "h16any"}[dense], "kargs", 9, func(i int) string {
			if i == 0 {
				return ""
			}
			return name(i)
		})
	}
	for _, cols := range []int{4, 2, 1} {
		g.dw16(cols, true)
		g.dw16(cols, false)
	}
}

// words loads m pixels at p, side by side or iPS apart; it moves p.
func (g *gen) words(m int, dense bool, p X) {
	if dense {
		g.loadRun(0, m, p, XZR)
		return
	}
	for i := range m {
		g.LD1P(vr(i, 1), p, iPS)
	}
}

func (g *gen) conv16(name string, m int, dense bool) {
	how := "pixels at any distance"
	if dense {
		how = "pixels side by side"
	}
	g.kernel(name, "kargs", fmt.Sprintf("sums %d pixels by 8 outputs a tile over words, 8 inputs a group, and stores words; %s.", m, how))
	for _, l := range []struct {
		off int
		r   X
	}{{0, iSrc}, {8, iW}, {16, iOut}, {24, iBias}, {32, iRes}, {40, iGroups}, {48, iNK}, {64, iTile}, {72, iTiles}, {120, iScale}, {144, iPS}} {
		g.load(l.off, l.r)
	}
	g.G("MOVWU 132(R0), %v", iClip)
	products := func(first bool) {
		g.G("MOVD.P 16(%v), %v", iGp, iP)
		g.G("ADD %v, %v, %v", iPix, iP, iP)
		g.words(m, dense, iP)
		g.loadRun(8, 8, iWp, XZR)
		for k := range 8 {
			for i := range m {
				f := g.SMLAL
				if first && k == 0 {
					f = g.SMULL
				}
				f(V[16+2*i].S4, V[8+k].H4, V[i].H(k))
				f(V[17+2*i].S4, V[8+k].H8, V[i].H(k))
			}
		}
	}
	tile, group, done := g.NewLabel("tile"), g.NewLabel("group"), g.NewLabel("done")
	g.Label(tile)
	g.G("MOVD 0(%v), %v", iTile, iPix)
	g.G("ADD %v, %v, %v", iSrc, iPix, iPix)
	g.G("MOVD %v, %v", iW, iWp)
	g.G("MOVD %v, %v", iGroups, iGp)
	products(true)
	g.G("SUBS $1, %v, %v", iNK, iK)
	g.G("BEQ %s", done)
	g.Label(group)
	products(false)
	g.G("SUBS $1, %v, %v", iK, iK)
	g.G("BNE %s", group)
	g.Label(done)
	g.G("MOVD 8(%v), %v", iTile, iOutP)
	g.G("ADD %v, %v, %v", iOut, iOutP, iOutP)
	g.G("MOVD 16(%v), %v", iTile, iResP)
	g.G("ADD %v, %v, %v", iRes, iResP, iResP)
	g.LDP(V[0], V[1], iScale, 0)
	g.LDP(V[2], V[3], iBias, 0)
	g.store16(m)
	g.G("ADD $24, %v, %v", iTile, iTile)
	g.G("SUBS $1, %v, %v", iTiles, iTiles)
	g.G("BNE %s", tile)
	g.G("RET")
}

// store16 rounds sum*scale + bias + residual*rscale of 8 outputs of m pixels from V16-V31 to words at iOutP. Factors are in V0, V1, addends in V2, V3;
// temporaries V4-V15.
func (g *gen) store16(m int) {
	nores, round, whole := g.NewLabel("nores"), g.NewLabel("round"), g.NewLabel("whole")
	for i := range 2 * m {
		g.SCVTF(V[16+i].S4, V[16+i].S4)
	}
	scaled := func(p int, f func(h int, v VReg)) {
		for h := range 2 {
			g.MOV(V[4+2*(p%4)+h], V[2+h])
		}
		for h := range 2 {
			g.FMLA(V[4+2*(p%4)+h].S4, V[16+2*p+h].S4, V[h].S4)
		}
		for h := range 2 {
			f(h, V[4+2*(p%4)+h])
		}
	}
	g.G("CBZ %v, %s", iRes, nores)
	g.G("ADD $128, R0, %v", iTmp)
	g.LDnR(vr(14, 1), V[0].S4, iTmp)
	for p := range m {
		g.LDR(V[12], iResP, 16*p)
		g.SXTL(V[13].S4, V[12].H8)
		g.SXTL(V[12].S4, V[12].H4)
		g.SCVTF(V[12].S4, V[12].S4)
		g.SCVTF(V[13].S4, V[13].S4)
		scaled(p, func(h int, v VReg) {
			g.FMLA(v.S4, V[12+h].S4, V[14].S4)
			g.FCVTNS(V[16+2*p+h].S4, v.S4)
		})
	}
	g.G("B %s", round)
	g.Label(nores)
	for p := range m {
		scaled(p, func(h int, v VReg) { g.FCVTNS(V[16+2*p+h].S4, v.S4) })
	}
	g.Label(round)
	for p := range m {
		g.SQXTN(V[4+p].H4, V[16+2*p].S4)
		g.SQXTN(V[4+p].H8, V[17+2*p].S4)
	}
	g.G("CBZ %v, %s", iClip, whole)
	for i := range 2 { // whole numbers: they bound the words as they bound what was rounded
		g.G("FMOVS %d(R0), F%d", 96+4*i, 12+i)
		g.G("FCVTZSSW F%d, %v", 12+i, iTmp)
		g.DUPX(V[12+i].H8, iTmp)
	}
	for p := range m {
		g.SMAX(V[4+p].H8, V[4+p].H8, V[12].H8)
		g.SMIN(V[4+p].H8, V[4+p].H8, V[13].H8)
	}
	g.Label(whole)
	g.storeRun(4, m, iOutP, XZR)
}

// dw16: depthwise, 8 channels, cols pixels a tile, any taps; tiles are rows of rblk tiles.
func (g *gen) dw16(cols int, dense bool) {
	how, suffix := "pixels at any distance", "any"
	if dense {
		how, suffix = "pixels side by side", "s1"
	}
	g.kernel(fmt.Sprintf("hdw%d%s", cols, suffix), "kargs", fmt.Sprintf("does a depthwise convolution of 8 channels of words, %d pixels a tile; %s.", cols, how))
	const left, rowP, hop X = 22, 23, 24
	for _, l := range []struct {
		off int
		r   X
	}{{0, iSrc}, {8, iW}, {16, iOut}, {24, iBias}, {40, iGroups}, {48, iNK}, {64, iTile}, {72, iTiles}, {120, iScale}, {144, iPS}} {
		g.load(l.off, l.r)
	}
	g.G("MOVD $0, %v", iRes)
	g.G("MOVWU 132(R0), %v", iClip)
	g.G("MOVD $%d, %v", cols, hop)
	g.G("MUL %v, %v, %v", iPS, hop, hop)
	taps := func(first bool) {
		g.G("MOVD.P 16(%v), %v", iGp, iP)
		g.G("ADD %v, %v, %v", iPix, iP, iP)
		g.words(cols, dense, iP)
		g.LD1P(vr(8, 1), iWp, XZR)
		f := g.SMLAL
		if first {
			f = g.SMULL
		}
		for i := range cols {
			f(V[16+2*i].S4, V[i].H4, V[8].H4)
			f(V[17+2*i].S4, V[i].H8, V[8].H8)
		}
	}
	row, tile, tap, done := g.NewLabel("row"), g.NewLabel("tile"), g.NewLabel("tap"), g.NewLabel("done")
	g.Label(row)
	g.G("MOVD 0(%v), %v", iTile, iPix)
	g.G("ADD %v, %v, %v", iSrc, iPix, iPix)
	g.G("MOVD 8(%v), %v", iTile, iOutP)
	g.G("ADD %v, %v, %v", iOut, iOutP, iOutP)
	g.load(80, left)
	g.Label(tile)
	g.G("MOVD %v, %v", iW, iWp)
	g.G("MOVD %v, %v", iGroups, iGp)
	taps(true)
	g.G("SUBS $1, %v, %v", iNK, iK)
	g.G("BEQ %s", done)
	g.Label(tap)
	taps(false)
	g.G("SUBS $1, %v, %v", iK, iK)
	g.G("BNE %s", tap)
	g.Label(done)
	g.LDP(V[0], V[1], iScale, 0)
	g.LDP(V[2], V[3], iBias, 0)
	g.store16(cols)
	g.G("ADD %v, %v, %v", hop, iPix, iPix)
	g.G("SUBS $1, %v, %v", left, left)
	g.G("BNE %s", tile)
	g.G("ADD $24, %v, %v", iTile, iTile)
	g.G("SUBS $1, %v, %v", iTiles, iTiles)
	g.G("BNE %s", row)
	g.G("RET")
}
