package main

import (
	"fmt"

	. "fettle/kernels/_asm/arm64gen/asm"
)

// Convolution by taps, u8 x s8: m pixels by nb blocks of 4 channels. A word is 4 input channels; the weights are [word][4*nb outputs][4].
// Inputs become signed by flipping their top bit; the packer shifts the zero point to match.
//
// Plain NEON: a word of a pixel goes to all lanes, SMULL and SMLAL sum two words in 16 bits, SADALP widens: two sums a
// pixel and block, folded by ADDP at the end. Two products fit in 16 bits unless both weights and inputs are -128: weights with -128
// take the kernels of the suffix w, which widen each word. 8 multiplies for 64 products, as with 16 channels along the vector.
// SDOT: the weights times a lane of the pixel.
//
// SMMLA: two pixels by two outputs, 8 inputs along each half of a vector; the weights are [8 inputs][pair of outputs][output][8], 16 inputs a step.
const rScale, rRS, rWords X = 24, 25, 26

// kZero and kRzero are where the argument has the zero points of the output and of the residual.
const kZero, kRzero = 184, 188

func int8Kernels(g *gen) {
	for _, k := range []struct {
		name string
		maxM int
		nbs  []int
	}{{"q", 4, []int{1, 2}}, {"w", 4, []int{1, 2}}, {"d", 5, []int{1, 2, 4}}, {"m", 4, []int{1, 2, 4}}} {
		for _, nb := range k.nbs {
			for _, unit := range []int{4, 1} {
				if k.name == "m" && unit == 1 {
					continue // the kernels of SDOT do these
				}
				name := func(m int) string { return fmt.Sprintf("%s%dx%du%d", k.name, m, 4*nb, unit) }
				for m := 1; m <= k.maxM; m++ {
					g.qconv(k.name, name(m), m, nb, unit)
				}
				g.table(fmt.Sprintf("%s%dunit%d", k.name, nb, unit), "kargs", 8, func(i int) string {
					if i < 1 || i > k.maxM {
						return ""
					}
					return name(i)
				})
			}
		}
	}
}

func (g *gen) qconv(kind, name string, m, nb, unit int) {
	how := map[string]string{"q": "SMULL, SMLAL, SADALP", "w": "SMULL, SADALP: any weights", "d": "SDOT", "m": "SMMLA"}[kind]
	g.kernel(name, "kargs", fmt.Sprintf("sums %d pixels by %d channels a tile in 8 bit; steps of %d words; %s.", m, 4*nb, unit, how))
	for _, l := range []struct {
		off int
		r   X
	}{{0, rIn}, {8, rW}, {16, rOut}, {24, rBias}, {32, rRes}, {40, rGroups}, {48, rNK}, {64, rTile}, {72, rTiles}, {120, rScale}, {144, rPS}} {
		g.load(l.off, l.r)
	}
	for i, r := range []X{rLo, rHi} {
		g.G("FMOVS %d(R0), F0", 96+4*i)
		g.G("FCVTZSSW F0, %v", r)
	}
	g.G("MOVW %d(R0), %v", kZero, rP)
	for _, r := range []X{rLo, rHi} {
		g.G("ADD %v, %v, %v", rP, r, r)
	}
	g.G("ADD $128, R0, %v", rRS)
	sums := m * nb
	switch kind {
	case "q", "w":
		sums *= 2
	case "m":
		sums = roundUp(m, 2) * nb
	}
	tile, group, step := g.NewLabel("tile"), g.NewLabel("group"), g.NewLabel("step")
	g.Label(tile)
	g.G("MOVD $0x80, %v", rP)
	g.DUPX(V[31].B16, rP)
	for i := range sums {
		g.ZERO(V[i])
	}
	g.G("MOVD 0(%v), %v", rTile, rPix)
	g.G("ADD %v, %v, %v", rIn, rPix, rPix)
	g.G("MOVD %v, %v", rW, rWp)
	g.G("MOVD %v, %v", rGroups, rGp)
	g.G("MOVD %v, %v", rNK, rK)
	g.Label(group)
	g.G("MOVD.P 8(%v), %v", rGp, rP)
	g.G("MOVD.P 8(%v), %v", rGp, rSteps)
	g.G("ADD %v, %v, %v", rPix, rP, rP)
	words := g.pairWords
	if kind == "w" {
		words = g.wideWords
	}
	if kind == "d" {
		words = g.dotWords
	}
	if kind == "m" {
		words = g.matrixWords
	}
	if unit == 4 {
		g.Label(step)
		words(m, nb, 4)
		g.G("SUBS $1, %v, %v", rSteps, rSteps)
		g.G("BNE %s", step)
	} else {
		rest, one, next := g.NewLabel("rest"), g.NewLabel("one"), g.NewLabel("next")
		g.G("SUBS $4, %v, %v", rSteps, rSteps)
		g.G("BLT %s", rest)
		g.Label(step)
		words(m, nb, 4)
		g.G("SUBS $4, %v, %v", rSteps, rSteps)
		g.G("BGE %s", step)
		g.Label(rest)
		g.G("ADDS $4, %v, %v", rSteps, rSteps)
		g.G("BEQ %s", next)
		g.Label(one)
		words(m, nb, 1)
		g.G("SUBS $1, %v, %v", rSteps, rSteps)
		g.G("BNE %s", one)
		g.Label(next)
	}
	g.G("SUBS $1, %v, %v", rK, rK)
	g.G("BNE %s", group)
	switch kind {
	case "q", "w": // sums of block j of pixel p lie in 2*(j*m+p) and the next: fold into j*m+p
		for i := range m * nb {
			g.ADDP(V[i].S4, V[2*i].S4, V[2*i+1].S4)
		}
	case "m": // the pairs of outputs of block j of pixels p, p+1 lie in j*m2+p and the next: part the pixels, without gaps
		m2 := roundUp(m, 2)
		for j := range nb {
			for p := 0; p < m2; p += 2 {
				a, b := V[j*m2+p], V[j*m2+p+1]
				if p+1 < m {
					g.ZIP2(V[28].D2, a.D2, b.D2)
				}
				g.ZIP1(V[j*m+p].D2, a.D2, b.D2)
				if p+1 < m {
					g.MOV(V[j*m+p+1], V[28])
				}
			}
		}
	}
	g.requant(m, nb)
	g.G("ADD $24, %v, %v", rTile, rTile)
	g.G("SUBS $1, %v, %v", rTiles, rTiles)
	g.G("BNE %s", tile)
	g.G("RET")
}

// dotWords takes 4 words of each pixel, or one, by SDOT.
func (g *gen) dotWords(m, nb, n int) {
	acc := m * nb
	g.G("MOVD %v, %v", rP, rP2)
	for p := range m {
		if n == 4 {
			g.LD1P(vr(acc+p, 1), rP2, rPS)
		} else {
			g.LDnRP(vr(acc+p, 1), V[0].S4, rP2, rPS)
		}
	}
	g.G("ADD $%d, %v, %v", 4*n, rP, rP)
	for p := range m {
		g.EOR(V[acc+p].B16, V[acc+p].B16, V[31].B16)
	}
	for k := range n {
		g.LD1P(vr(acc+m, nb), rWp, XZR)
		for j := range nb {
			for p := range m {
				g.SDOT(V[j*m+p].S4, V[acc+m+j].B16, V[acc+p].S(k))
			}
		}
	}
}

// matrixWords takes 16 inputs of each pixel by SMMLA: pixels V16-V19, zipped by pairs into V20-V23 (low half, high half), weights V24-V27.
func (g *gen) matrixWords(m, nb, _ int) {
	m2 := roundUp(m, 2)
	g.G("MOVD %v, %v", rP, rP2)
	for p := range m {
		g.LD1P(vr(16+p, 1), rP2, rPS)
	}
	g.G("ADD $16, %v, %v", rP, rP)
	for p := range m {
		g.EOR(V[16+p].B16, V[16+p].B16, V[31].B16)
	}
	for p := 0; p < m; p += 2 {
		a, b := V[16+p], V[16+min(p+1, m-1)] // an odd one meets itself
		g.ZIP1(V[20+p].D2, a.D2, b.D2)
		g.ZIP2(V[21+p].D2, a.D2, b.D2)
	}
	for half := range 2 {
		for o := 0; o < 2*nb; o += 4 { // pairs of outputs
			n := min(4, 2*nb-o)
			g.LD1P(vr(24, n), rWp, XZR)
			for i := range n {
				for p := 0; p < m; p += 2 {
					g.SMMLA(V[(o+i)/2*m2+p+(o+i)%2].S4, V[20+p+half].B16, V[24+i].B16)
				}
			}
		}
	}
}

func roundUp(n, m int) int { return (n + m - 1) / m * m }

// pairWords takes words two by two: inputs V16-V23, weights V24-V27, products V28, V29.
func (g *gen) pairWords(m, nb, n int) {
	if n == 1 {
		g.wideWords(m, nb, 1)
		return
	}
	for range n / 2 {
		g.G("MOVD %v, %v", rP, rP2)
		for p := range m {
			g.LDnRP(vr(16+2*p, 2), V[0].S4, rP2, rPS)
		}
		g.G("ADD $8, %v, %v", rP, rP)
		g.LD1P(vr(24, 2*nb), rWp, XZR)
		for i := range 2 * m {
			g.EOR(V[16+i].B16, V[16+i].B16, V[31].B16)
		}
		for j := range nb {
			w0, w1 := V[24+j], V[24+nb+j]
			for p := range m {
				a0, a1, s := V[16+2*p], V[17+2*p], 2*(j*m+p)
				g.SMULL(V[28].H8, w0.B8, a0.B8)
				g.SMULL(V[29].H8, w0.B16, a0.B16)
				g.SMLAL(V[28].H8, w1.B8, a1.B8)
				g.SMLAL(V[29].H8, w1.B16, a1.B16)
				g.SADALP(V[s].S4, V[28].H8)
				g.SADALP(V[s+1].S4, V[29].H8)
			}
		}
	}
}

// wideWords takes words one by one.
func (g *gen) wideWords(m, nb, n int) {
	for range n {
		g.G("MOVD %v, %v", rP, rP2)
		for p := range m {
			g.LDnRP(vr(16+p, 1), V[0].S4, rP2, rPS)
		}
		g.G("ADD $4, %v, %v", rP, rP)
		g.LD1P(vr(24, nb), rWp, XZR)
		for p := range m {
			g.EOR(V[16+p].B16, V[16+p].B16, V[31].B16)
		}
		for j := range nb {
			for p := range m {
				s := 2 * (j*m + p)
				g.SMULL(V[28].H8, V[24+j].B8, V[16+p].B8)
				g.SMULL(V[29].H8, V[24+j].B16, V[16+p].B16)
				g.SADALP(V[s].S4, V[28].H8)
				g.SADALP(V[s+1].S4, V[29].H8)
			}
		}
	}
}

// requant stores round((sum + bias)*scale + residual*rscale) + zero, clamped. Bounds are whole numbers, so they are applied to the bytes. Temporaries
// V20-V31.
func (g *gen) requant(m, nb int) {
	fmov := map[int]string{1: "FMOVS", 2: "FMOVD", 4: "FMOVQ"}[nb]
	nores := g.NewLabel("nores")
	for j := range nb {
		g.LDR(V[30], rScale, 16*j)
		g.LDR(V[29], rBias, 16*j)
		for _, v := range vr(j*m, m) {
			g.ADD(v.S4, v.S4, V[29].S4)
		}
		for _, v := range vr(j*m, m) {
			g.SCVTF(v.S4, v.S4)
		}
		for _, v := range vr(j*m, m) {
			g.FMUL(v.S4, v.S4, V[30].S4)
		}
	}
	g.G("CBZ %v, %s", rRes, nores)
	g.G("MOVD 16(%v), %v", rTile, rP)
	g.G("ADD %v, %v, %v", rRes, rP, rP)
	g.LDnR(vr(30, 1), V[0].S4, rRS)
	g.G("ADD $%d, R0, %v", kRzero, rP2)
	g.LDnR(vr(31, 1), V[0].B16, rP2)
	for p := range m {
		g.G("%s %d(%v), F29", fmov, 16*p, rP)
		for h := range (nb + 1) / 2 { // 8 channels
			if h == 0 {
				g.USUBL(V[28].H8, V[29].B8, V[31].B8)
			} else {
				g.USUBL(V[28].H8, V[29].B16, V[31].B16)
			}
			for i := range min(2, nb-2*h) {
				if i == 0 {
					g.SXTL(V[27].S4, V[28].H4)
				} else {
					g.SXTL(V[27].S4, V[28].H8)
				}
				g.SCVTF(V[27].S4, V[27].S4)
				v := V[(2*h+i)*m+p]
				g.FMLA(v.S4, V[27].S4, V[30].S4)
			}
		}
	}
	g.Label(nores)
	for _, v := range vr(0, m*nb) {
		g.FCVTNS(v.S4, v.S4)
	}
	g.G("ADD $%d, R0, %v", kZero, rP)
	g.LDnR(vr(26, 1), V[0].H8, rP)
	g.DUPX(V[30].B16, rLo)
	g.DUPX(V[31].B16, rHi)
	g.G("MOVD 8(%v), %v", rTile, rP)
	g.G("ADD %v, %v, %v", rOut, rP, rP)
	for p := range m {
		for j := range nb {
			h := V[28+j/2]
			if j%2 == 0 {
				g.SQXTN(h.H4, V[j*m+p].S4)
			} else {
				g.SQXTN(h.H8, V[j*m+p].S4)
			}
		}
		g.SQADD(V[28].H8, V[28].H8, V[26].H8)
		g.SQXTUN(V[27].B8, V[28].H8)
		if nb == 4 {
			g.SQADD(V[29].H8, V[29].H8, V[26].H8)
			g.SQXTUN(V[27].B16, V[29].H8)
		}
		g.UMAX(V[27].B16, V[27].B16, V[30].B16)
		g.UMIN(V[27].B16, V[27].B16, V[31].B16)
		g.G("%s F27, %d(%v)", fmov, 16*p, rP)
	}
}
