package main

import (
	"fmt"

	. "fettle/kernels/_asm/arm64gen/asm"
)

// Matrix product in half precision (FEAT_FP16): m rows by 24 columns. A lies in rows of halves, whole vectors of 8 elements of the sum; sums as in
// half.go, with the float32 ones in rows of 24 at buf.
const ( // R0 is the argument
	hgA, hgB, hgC, hgBias, hgSteps, hgRS, hgBuf, hgLDC, hgNT X = 1, 2, 3, 4, 5, 6, 7, 8, 9
	hgAcc, hgLeft, hgK, hgBase, hgTmp, hgOut                 X = 10, 12, 13, 14, 15, 26

	hgChunk = 8 // steps whose sums stay in halves
)

func halfGemmKernels(g *gen) {
	for m := 1; m <= 7; m++ {
		g.halfGemm(m)
	}
	g.table("gemmHalf", "gargs", 8, func(i int) string {
		if i < 1 {
			return ""
		}
		return fmt.Sprintf("gemm%dx24H", i)
	})
	g.narrowLine()
}

func (g *gen) halfGemm(m int) {
	const nb = 3
	g.kernel(fmt.Sprintf("gemm%dx24H", m), "gargs", fmt.Sprintf("sums %d rows by 24 columns a tile in half precision; all 24 columns must exist.", m))
	for i, r := range []X{hgA, hgB, hgC, hgBias, hgSteps, hgRS} {
		g.load(8*i, r)
	}
	g.load(56, hgLDC)
	g.load(64, hgNT)
	g.load(88, hgAcc)
	g.load(gargsBuf, hgBuf)
	g.G("ADD $80, R0, %v", rLo)
	g.G("ADD $84, R0, %v", rHi)
	rows := []X{17, 19, 20, 23, 24, 25, 11}[:m]
	const bp X = 16 // the weights; the activation is read again at the end
	acc := func(p, j int) VReg { return V[32-m*nb+p*nb+j] }
	step := func(first bool) {
		for p := range m {
			g.LDRP(V[p], rows[p], 16)
		}
		for c := range 2 * nb {
			b := m + 4*(c%((32-m-m*nb)/4))
			g.LD1P(vr(b, 4), bp, XZR)
			for i := range 4 {
				k, j := (4*c+i)/nb, (4*c+i)%nb
				for p := range m {
					if first && k == 0 {
						g.FMUL(acc(p, j).H8, V[b+i].H8, V[p].H(k))
					} else {
						g.FMLA(acc(p, j).H8, V[b+i].H8, V[p].H(k))
					}
				}
			}
		}
	}
	tile, chunk, loop, flush := g.NewLabel("tile"), g.NewLabel("chunk"), g.NewLabel("k"), g.NewLabel("flush")
	g.Label(tile)
	g.G("MOVD %v, %v", hgA, rows[0])
	for p := 1; p < m; p++ {
		g.G("ADD %v, %v, %v", hgRS, rows[p-1], rows[p])
	}
	g.G("MOVD %v, %v", hgB, bp)
	g.G("MOVD %v, %v", hgSteps, hgLeft)
	g.G("MOVD %v, %v", hgBias, hgBase) // every row begins with it
	g.G("MOVD $-96, %v", hgTmp)
	g.Label(chunk)
	g.G("MOVD $%d, %v", hgChunk, hgK)
	g.G("CMP %v, %v", hgK, hgLeft)
	g.G("CSEL LT, %v, %v, %v", hgLeft, hgK, hgK)
	g.G("SUB %v, %v, %v", hgK, hgLeft, hgLeft)
	step(true)
	g.G("SUBS $1, %v, %v", hgK, hgK)
	g.G("BEQ %s", flush)
	g.Label(loop)
	step(false)
	g.G("SUBS $1, %v, %v", hgK, hgK)
	g.G("BNE %s", loop)
	g.Label(flush)
	g.G("MOVD %v, %v", hgBuf, hgOut)
	for p := range m {
		g.loadRun(0, 2*nb, hgBase, XZR)
		g.G("ADD %v, %v, %v", hgTmp, hgBase, hgBase) // back to the bias, or on to the next row
		for j := range nb {
			g.FCVTL(V[6].S4, acc(p, j).H4)
			g.FCVTL(V[7].S4, acc(p, j).H8)
			g.FADD(V[2*j].S4, V[2*j].S4, V[6].S4)
			g.FADD(V[2*j+1].S4, V[2*j+1].S4, V[7].S4)
		}
		g.storeRun(0, 2*nb, hgOut, XZR)
	}
	g.G("MOVD %v, %v", hgBuf, hgBase)
	g.G("MOVD $0, %v", hgTmp)
	g.G("CBNZ %v, %s", hgLeft, chunk)
	g.load(72, gAct)
	for range m {
		noacc, noact, clamp := g.NewLabel("noacc"), g.NewLabel("noact"), g.NewLabel("clamp")
		g.loadRun(0, 2*nb, hgBase, XZR)
		g.G("CBZ %v, %s", hgAcc, noacc)
		g.G("MOVD %v, %v", hgC, hgOut)
		g.loadRun(8, 2*nb, hgOut, XZR)
		for i := range 2 * nb {
			g.FADD(V[i].S4, V[i].S4, V[8+i].S4)
		}
		g.Label(noacc)
		g.clamp(2*nb, 8, gAct, noact, clamp)
		g.Label(noact)
		g.G("MOVD %v, %v", hgC, hgOut)
		g.storeRun(0, 2*nb, hgOut, XZR)
		g.G("ADD %v, %v, %v", hgLDC, hgC, hgC)
	}
	g.G("MOVD $%d, %v", m, hgTmp)
	g.G("MADD %v, %v, %v, %v", hgTmp, hgA, hgRS, hgA)
	g.G("SUBS $1, %v, %v", hgNT, hgNT)
	g.G("BNE %s", tile)
	g.G("RET")
}

// gargsBuf is where gargs.buf lies.
const gargsBuf = 200

// narrowLine writes nt vectors of 8 elements of a as halves to c. What is too large becomes the largest half.
func (g *gen) narrowLine() {
	g.kernel("narrowLine", "gargs", "writes nt times 8 elements of a as halves to c.")
	g.load(0, hgA)
	g.load(16, hgC)
	g.load(64, hgNT)
	g.G("MOVD $0x7bff7bff, %v", hgTmp)
	g.DUPX(V[30].S4, hgTmp)
	g.G("MOVD $0xfbfffbff, %v", hgTmp)
	g.DUPX(V[31].S4, hgTmp)
	loop := g.NewLabel("line")
	g.Label(loop)
	g.LD1P(vr(0, 2), hgA, XZR)
	g.FCVTN(V[2].H4, V[0].S4)
	g.FCVTN(V[2].H8, V[1].S4)
	g.FMIN(V[2].H8, V[2].H8, V[30].H8)
	g.FMAX(V[2].H8, V[2].H8, V[31].H8)
	g.ST1P(vr(2, 1), hgC, XZR)
	g.G("SUBS $1, %v, %v", hgNT, hgNT)
	g.G("BNE %s", loop)
	g.G("RET")
}
