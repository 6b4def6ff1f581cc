package main

import (
	"fmt"

	. "fettle/kernels/_asm/arm64gen/asm"
)

// Sums of products in half precision (FEAT_FP16): m pixels, or rows of a matrix, by nb vectors of 8 outputs. A copy of the input holds 8
// channels of a pixel in a vector; the sums of a chunk of steps stay in halves and are then added to float32 ones in the argument, so that the
// error does not grow with the length of the sum.
//
// Registers: inputs V0... (only V0-V15 have lanes of halves), weights behind them, sums at the end. The step of 8 inputs of 7 pixels x 24 outputs
// is 168 FMLA for 11 other instructions.
const ( // general registers by role; R0 is the argument
	hSrc, hW, hDst, hBias, hDeltas, hSteps, hChunk, hTile X = 1, 2, 3, 4, 5, 6, 7, 8
	hTiles, hOutBlk, hBlocks, hRes, hResBlk, hP, hWp, hD  X = 9, 10, 11, 12, 13, 14, 15, 16
	hStep, hLeft, hK, hBase, hStash, hBiases, hAct        X = 17, 19, 20, 23, 24, 25, 26 // rLo and rHi lie between
	hT, hT2                                                 = hP, hWp

	hArgLo, hArgBiases, hMost = 104, 128, 7 * 3 * 2 * 16 // hMost: bytes of the float32 sums of a tile
)

func halfKernels(g *gen) {
	for nb := 1; nb <= 3; nb++ {
		for m := 1; m <= 7; m++ {
			g.half(m, nb)
		}
		g.table(fmt.Sprintf("half%d", nb), "halfArgs", 8, func(i int) string {
			if i == 0 {
				return ""
			}
			return halfName(i, nb)
		})
	}
	g.narrowRows("narrowRows", false)
	g.narrowRows("narrowSplit", true)
}

func halfName(m, nb int) string { return fmt.Sprintf("h%dx%d", m, 8*nb) }

func (g *gen) half(m, nb int) {
	g.kernel(halfName(m, nb), "halfArgs", fmt.Sprintf("sums %d pixels by %d channels a tile in half precision.", m, 8*nb))
	for i, r := range []X{hSrc, hW, hDst, hBias, hDeltas, hSteps, hChunk, hTile, hTiles, hOutBlk, hBlocks, hRes, hResBlk} {
		g.load(8*i, r)
	}
	g.load(112, hAct)
	g.G("ADD $%d, R0, %v", hArgLo, rLo)
	g.G("ADD $%d, R0, %v", hArgLo+4, rHi)
	g.G("ADD $%d, R0, %v", hArgBiases, hBiases)
	g.G("ADD $%d, R0, %v", hArgBiases+hMost, hStash)
	if m > 4 { // the first chunk of a run has stepped by 64 already
		g.G("SUB $64, %v, %v", hOutBlk, hOutBlk)
		g.G("SUB $64, %v, %v", hResBlk, hResBlk)
	}
	for b := range 2 * nb {
		g.LDR(V[0], hBias, 16*b)
		for p := range m {
			g.STR(V[0], hBiases, 16*(b*m+p))
		}
	}
	acc := func(p, j int) VReg { return V[32-m*nb+j*m+p] }
	step := func(first bool) {
		g.G("MOVD.P 8(%v), %v", hD, hStep)
		if m > 4 {
			g.G("SUB $64, %v, %v", hStep, hStep)
		}
		g.loadRun(0, m, hP, hStep)
		slots := (32 - m - m*nb) / 4
		for c := range 2 * nb {
			b := m + 4*(c%slots)
			g.LD1P(vr(b, 4), hWp, XZR)
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
	g.G("MOVD 0(%v), %v", hTile, hP)
	g.G("ADD %v, %v, %v", hSrc, hP, hP)
	g.G("MOVD %v, %v", hW, hWp)
	g.G("MOVD %v, %v", hDeltas, hD)
	g.G("MOVD %v, %v", hSteps, hLeft)
	g.G("MOVD %v, %v", hBiases, hBase)
	g.Label(chunk)
	g.G("CMP %v, %v", hChunk, hLeft)
	g.G("CSEL LT, %v, %v, %v", hLeft, hChunk, hK)
	g.G("SUB %v, %v, %v", hK, hLeft, hLeft)
	step(true)
	g.G("SUBS $1, %v, %v", hK, hK)
	g.G("BEQ %s", flush)
	g.Label(loop)
	step(false)
	g.G("SUBS $1, %v, %v", hK, hK)
	g.G("BNE %s", loop)
	g.Label(flush)
	for j := range nb { // two pixels at a time, lower and upper outputs a block each
		for p := 0; p < m; p += 2 {
			lo, hi := 16*(2*j*m+p), 16*((2*j+1)*m+p)
			n := min(2, m-p)
			if n == 2 {
				g.LDP(V[0], V[1], hBase, lo)
				g.LDP(V[2], V[3], hBase, hi)
			} else {
				g.LDR(V[0], hBase, lo)
				g.LDR(V[2], hBase, hi)
			}
			for i := range n {
				g.FCVTL(V[4+i].S4, acc(p+i, j).H4)
				g.FCVTL(V[6+i].S4, acc(p+i, j).H8)
			}
			for i := range n {
				g.FADD(V[i].S4, V[i].S4, V[4+i].S4)
				g.FADD(V[2+i].S4, V[2+i].S4, V[6+i].S4)
			}
			if n == 2 {
				g.STP(V[0], V[1], hStash, lo)
				g.STP(V[2], V[3], hStash, hi)
			} else {
				g.STR(V[0], hStash, lo)
				g.STR(V[2], hStash, hi)
			}
		}
	}
	g.G("MOVD %v, %v", hStash, hBase)
	g.G("CBNZ %v, %s", hLeft, chunk)
	g.halfStore(m)
	g.G("ADD $24, %v, %v", hTile, hTile)
	g.G("SUBS $1, %v, %v", hTiles, hTiles)
	g.G("BNE %s", tile)
	g.G("RET")
}

// halfStore adds the residual, clamps and stores blocks of 4 outputs.
func (g *gen) halfStore(m int) {
	block, nores, noact, clamp := g.NewLabel("block"), g.NewLabel("nores"), g.NewLabel("noact"), g.NewLabel("clamp")
	g.G("MOVD 8(%v), %v", hTile, hT)
	g.G("ADD %v, %v, %v", hDst, hT, hT)
	g.G("MOVD 16(%v), %v", hTile, hT2)
	g.G("ADD %v, %v, %v", hRes, hT2, hT2)
	g.G("MOVD %v, %v", hBlocks, hK)
	g.Label(block)
	g.loadRun(0, m, hBase, XZR)
	g.G("CBZ %v, %s", hRes, nores)
	g.loadRun(8, m, hT2, hResBlk)
	for p := range m {
		g.FADD(V[p].S4, V[p].S4, V[8+p].S4)
	}
	g.Label(nores)
	g.clamp(m, 8, hAct, noact, clamp)
	g.Label(noact)
	g.storeRun(0, m, hT, hOutBlk)
	g.G("SUBS $1, %v, %v", hK, hK)
	g.G("BNE %s", block)
}

// narrowRows copies rows of pixels as halves: 4 channels from one block and 4 from the next, which may be missing (zeros). What is too large
// becomes the largest half: the channels behind the last one hold any finite number, and infinity times a weight of zero is none.
func (g *gen) narrowRows(name string, split bool) {
	const a, b, dst, n, rows, inRow, outRow, off, left, pa, pb, d, d2, tmp X = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14
	doc := "copies rows of pixels of two blocks as halves."
	if split {
		doc = "copies rows of pixels of two blocks as halves, the odd ones to a row of their own."
	}
	g.kernel(name, "narrowArgs", doc)
	for i, r := range []X{a, b, dst, n, rows, inRow, outRow, off} {
		g.load(8*i, r)
	}
	g.G("MOVD $0x7bff7bff, %v", tmp)
	g.DUPX(V[30].S4, tmp)
	g.G("MOVD $0xfbfffbff, %v", tmp)
	g.DUPX(V[31].S4, tmp)
	for _, v := range vr(4, 4) {
		g.ZERO(v)
	}
	row, four, rest, one, next := g.NewLabel("row"), g.NewLabel("four"), g.NewLabel("rest"), g.NewLabel("one"), g.NewLabel("next")
	narrow := func(k int, missing string) {
		g.LD1P(vr(0, k), pa, XZR)
		g.G("CBZ %v, %s", b, missing)
		g.LD1P(vr(4, k), pb, XZR)
		g.Label(missing)
		each := func(f func(i int)) {
			for i := range k {
				f(i)
			}
		}
		each(func(i int) { g.FCVTN(V[i].H4, V[i].S4) })
		each(func(i int) { g.FCVTN(V[i].H8, V[4+i].S4) })
		each(func(i int) { g.FMIN(V[i].H8, V[i].H8, V[30].H8) })
		each(func(i int) { g.FMAX(V[i].H8, V[i].H8, V[31].H8) })
	}
	g.Label(row)
	g.G("MOVD %v, %v", a, pa)
	g.G("MOVD %v, %v", b, pb)
	g.G("MOVD %v, %v", dst, d)
	if split {
		g.G("ADD %v, %v, %v", off, dst, d2)
	}
	g.G("SUBS $4, %v, %v", n, left)
	g.G("BLT %s", rest)
	g.Label(four)
	narrow(4, g.NewLabel("lone"))
	if split {
		g.STPP(V[0], V[2], d, 32)
		g.STPP(V[1], V[3], d2, 32)
	} else {
		g.ST1P(vr(0, 4), d, XZR)
	}
	g.G("SUBS $4, %v, %v", left, left)
	g.G("BGE %s", four)
	g.Label(rest)
	g.G("ADDS $4, %v, %v", left, left)
	g.G("BEQ %s", next)
	g.Label(one)
	narrow(1, g.NewLabel("lone"))
	g.ST1P(vr(0, 1), d, XZR)
	if split { // odd and even in turn
		g.G("MOVD %v, %v", d, tmp)
		g.G("MOVD %v, %v", d2, d)
		g.G("MOVD %v, %v", tmp, d2)
	}
	g.G("SUBS $1, %v, %v", left, left)
	g.G("BNE %s", one)
	g.Label(next)
	g.G("ADD %v, %v, %v", inRow, a, a)
	skip := g.NewLabel("skip")
	g.G("CBZ %v, %s", b, skip)
	g.G("ADD %v, %v, %v", inRow, b, b)
	g.Label(skip)
	g.G("ADD %v, %v, %v", outRow, dst, dst)
	g.G("SUBS $1, %v, %v", rows, rows)
	g.G("BNE %s", row)
	g.G("RET")
}
