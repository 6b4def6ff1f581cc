package main

import (
	"fmt"

	. "fettle/kernels/_asm/arm64gen/asm"
)

// Winograd F(2x2,3x3) of bytes in whole numbers (conv/wordwino.go): 4 products an instruction, 2.25 times fewer products than the direct
// convolution, which has 5.3 an instruction without SDOT.

func wino8Kernels(g *gen) {
	g.winoIn8()
	for m := 1; m <= 8; m++ {
		g.mul16(m)
	}
	g.table("mul16Raw", "kargs", 9, func(i int) string {
		if i == 0 {
			return ""
		}
		return mul16Name(i)
	})
	g.winoOut8()
}

// winoIn8: 4x4 pixels of 16 channels in bytes -> 16 points in words of 8 channels, twice, rrow bytes apart.
func (g *gen) winoIn8() {
	const far, ps4 X = 7, 8
	g.kernel("winoIn8", "winoArgs", "transforms 4x4 inputs of 16 channels of each tile to 16 points in words for F(2x2); rrow is the way to the upper channels.")
	for i, r := range []X{wSrc, wDst, wTile, wNT, wRow, wPS} {
		g.load(8*i, r)
	}
	g.load(64, far)
	g.G("LSL $2, %v, %v", wPS, ps4)
	g.Label("tile")
	g.G("MOVD 0(%v), %v", wTile, wP)
	g.G("ADD %v, %v, %v", wSrc, wP, wP)
	for i := range 4 {
		g.LD1P(vr(4*i, 4), wP, wRow)
	}
	for h := range 2 {
		b := func(i, j int) Arr {
			if h == 1 {
				return V[4*i+j].B16
			}
			return V[4*i+j].B8
		}
		t := func(i, j int) VReg { return V[16+4*i+j] }
		for i := range 4 {
			g.USUBL(t(i, 0).H8, b(i, 0), b(i, 2))
			g.UADDL(t(i, 1).H8, b(i, 1), b(i, 2))
			g.USUBL(t(i, 2).H8, b(i, 2), b(i, 1))
			g.USUBL(t(i, 3).H8, b(i, 1), b(i, 3))
		}
		g.G("MOVD %v, %v", wDst, wR)
		if h == 1 {
			g.G("ADD %v, %v, %v", far, wR, wR)
		}
		for j := range 4 {
			a, b, c, d := t(0, j), t(1, j), t(2, j), t(3, j)
			if j < 3 {
				g.G("ADD %v, %v, %v", wPS, wR, wQ)
			}
			g.SUB(a.H8, a.H8, c.H8)
			g.SUB(d.H8, b.H8, d.H8)
			g.ST1P([]VReg{a}, wR, ps4)
			g.ADD(a.H8, b.H8, c.H8)
			g.SUB(c.H8, c.H8, b.H8)
			g.ST1P([]VReg{a}, wR, ps4)
			g.ST1P([]VReg{c}, wR, ps4)
			g.ST1([]VReg{d}, wR)
			if j < 3 {
				g.G("MOVD %v, %v", wQ, wR)
			}
		}
	}
	g.nextTile("tile", 16)
}

func mul16Name(m int) string { return fmt.Sprintf("mul16x%d", m) }

// mul16: m pixels x 8 outputs of words, 8 inputs a step; sums in 32 bits. Steps are cblk bytes apart.
func (g *gen) mul16(m int) {
	const src, w, dst, tiles, nt, steps, step, p, wp, n, c X = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	g.kernel(mul16Name(m), "kargs", fmt.Sprintf("sums %d pixels by 8 outputs a tile over words, 8 inputs a step; the sums leave as they are.", m))
	for _, l := range []struct {
		off int
		r   X
	}{{0, src}, {8, w}, {16, dst}, {48, steps}, {56, step}, {64, tiles}, {72, nt}} {
		g.load(l.off, l.r)
	}
	if m > 4 {
		g.G("SUB $64, %v, %v", step, step)
	}
	load := func() {
		g.loadRun(0, m, p, step)
		g.loadRun(8, 8, wp, XZR)
	}
	products := func(first bool) {
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
	g.Label("tile")
	g.G("MOVD 0(%v), %v", tiles, p)
	g.G("ADD %v, %v, %v", src, p, p)
	g.G("MOVD %v, %v", w, wp)
	load()
	products(true)
	g.G("SUBS $1, %v, %v", steps, n)
	g.G("BEQ done")
	g.Label("step")
	load()
	products(false)
	g.G("SUBS $1, %v, %v", n, n)
	g.G("BNE step")
	g.Label("done")
	g.G("MOVD 8(%v), %v", tiles, c)
	g.G("ADD %v, %v, %v", dst, c, c)
	g.storeRun(16, 2*m, c, XZR)
	g.G("ADD $24, %v, %v", tiles, tiles)
	g.G("SUBS $1, %v, %v", nt, nt)
	g.G("BNE tile")
	g.G("RET")
}

// winoOut8: 16 points of 8 sums -> 2x2 pixels of 8 bytes; the sums are four times those of the direct product.
func (g *gen) winoOut8() {
	const scale, rscale X = 20, 21
	g.kernel("winoOut8", "winoArgs", "transforms 8 sums of the points of each tile back, scales, adds bias and residual, and stores bytes; it clamps unless act is 0, and writes only pixels that exist.")
	for i, r := range []X{wSrc, wDst, wTile, wNT, wRow, wPS, wBias, wRes, wResRow, wAct} {
		g.load(8*i, r)
	}
	g.load(128, scale)
	g.LDP(V[24], V[25], scale, 0)
	g.LDP(V[26], V[27], wBias, 0)
	g.G("ADD $136, R0, %v", rscale)
	g.LDnR(vr(28, 1), V[0].S4, rscale)
	g.G("ADD $140, R0, %v", rscale)
	g.LDnR(vr(29, 1), V[0].H8, rscale)
	g.G("ADD $144, R0, %v", rscale)
	g.G("ADD $80, R0, %v", wLo)
	g.G("ADD $84, R0, %v", wHi)
	g.LDnR(vr(30, 1), V[0].S4, wLo)
	g.LDnR(vr(31, 1), V[0].S4, wHi)
	back := func(m [4]VReg) { // m0 + m1 + m2 in m0, m1 - m2 - m3 in m1
		g.ADD(m[0].S4, m[0].S4, m[1].S4)
		g.SUB(m[1].S4, m[1].S4, m[2].S4)
		g.ADD(m[0].S4, m[0].S4, m[2].S4)
		g.SUB(m[1].S4, m[1].S4, m[3].S4)
	}
	g.Label("tile")
	g.G("MOVD 8(%v), %v", wTile, wOut)
	g.G("ADD %v, %v, %v", wDst, wOut, wOut)
	g.G("MOVD 16(%v), %v", wTile, wRP)
	g.G("ADD %v, %v, %v", wRes, wRP, wRP)
	g.G("MOVD 24(%v), %v", wTile, wN)
	g.G("MOVD 32(%v), %v", wTile, wNC)
	g.G("MOVD %v, %v", wSrc, wP)
	z := func(i, j, h int) VReg { return V[8+4*i+2*j+h] }
	for i := range 4 {
		for j := range 4 {
			d := 2 * j
			if j < 2 { // what stays is made in place
				d = 8 + 4*i + 2*j
			}
			g.LD1P(vr(d, 2), wP, wPS)
		}
		var parts []func()
		for h := range 2 {
			parts = append(parts, func() { back([4]VReg{z(i, 0, h), z(i, 1, h), V[4+h], V[6+h]}) })
		}
		g.Interleave(parts...)
	}
	var parts []func()
	for j := range 2 {
		for h := range 2 {
			parts = append(parts, func() { back([4]VReg{z(0, j, h), z(1, j, h), z(2, j, h), z(3, j, h)}) })
		}
	}
	g.Interleave(parts...)
	for i := range 2 {
		end := fmt.Sprintf("end%d", i)
		if i == 1 {
			g.G("CMP $2, %v", wN)
			g.G("BLT next")
			g.G("ADD %v, %v, %v", wRow, wOut, wOut)
			g.G("ADD %v, %v, %v", wResRow, wRP, wRP)
		}
		for j := range 2 {
			if j == 1 {
				g.G("CMP $2, %v", wNC)
				g.G("BLT %s", end)
			}
			v := [2]VReg{z(i, j, 0), z(i, j, 1)}
			nores, noact := g.NewLabel("nores"), g.NewLabel("noact")
			for h := range 2 {
				g.MOV(V[h], V[26+h])
				g.SSRA(V[h].S4, v[h].S4, 2)
			}
			for h := range 2 {
				g.SCVTF(V[h].S4, V[h].S4)
			}
			for h := range 2 {
				g.FMUL(V[h].S4, V[h].S4, V[24+h].S4)
			}
			g.G("CBZ %v, %s", wRes, nores)
			g.G("FMOVD %d(%v), F2", 16*j, wRP)
			g.LDnR(vr(3, 1), V[0].B16, rscale) // by now the place of its zero point
			g.USUBL(V[2].H8, V[2].B8, V[3].B8)
			g.SXTL(V[3].S4, V[2].H8)
			g.SXTL(V[2].S4, V[2].H4)
			for h := range 2 {
				g.SCVTF(V[2+h].S4, V[2+h].S4)
				g.FMLA(V[h].S4, V[2+h].S4, V[28].S4)
			}
			g.Label(nores)
			g.G("CBZ %v, %s", wAct, noact)
			for h := range 2 {
				g.FMAX(V[h].S4, V[h].S4, V[30].S4)
				g.FMIN(V[h].S4, V[h].S4, V[31].S4)
			}
			g.Label(noact)
			g.FCVTNS(V[0].S4, V[0].S4)
			g.FCVTNS(V[1].S4, V[1].S4)
			g.SQXTN(V[0].H4, V[0].S4)
			g.SQXTN(V[0].H8, V[1].S4)
			g.SQADD(V[0].H8, V[0].H8, V[29].H8)
			g.SQXTUN(V[0].B8, V[0].H8)
			g.G("FMOVD F0, %d(%v)", 16*j, wOut)
		}
		g.Label(end)
	}
	g.Label("next")
	g.G("ADD $32, %v, %v", wSrc, wSrc)
	g.G("ADD $40, %v, %v", wTile, wTile)
	g.G("SUBS $1, %v, %v", wNT, wNT)
	g.G("BNE tile")
	g.G("RET")
}
