package main

import (
	. "fettle/kernels/_asm/armgen/asm"
)

// Winograd F(4x4,3x3) with the points 0, +-a, +-b, infinity, blocks of 4 channels. Q0, Q1 are the constants p+q, p, q, a and b, a*p, b*q (p = a*a,
// q = b*b) of winoArgs; a transform has its six vectors in Q2-Q7 or Q10-Q15 and temporaries in Q8, Q9. Source: Lavin and Gray 2015, arXiv:1509.09308.
const (
	wSrc, wDst, wTile, wNT, wRow, wPS, wPS6, wP, wQ, wR, wTmp X = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14
)

func winoKernels(g *gen) {
	g.winoIn4()
	g.winoOut4("winoOut4", false)
	g.winoOut4("winoEdge4", true)
}

func (g *gen) winoHead() {
	g.load("src", wSrc, "tiles", wTile, "nt", wNT, "row", wRow, "ps", wPS, "tmp", wTmp)
	g.G("ADD $%d, R0, %v", g.field("c"), wP)
	g.VLD1(2, Q(0), 4, wP, Stay)
	g.G("ADD %v<<1, %v, %v", wPS, wPS, wPS6)
	g.G("ADD %v, %v, %v", wPS6, wPS6, wPS6)
}

func constant(i int) Reg { return Q(i / 4).S(i % 4) }

// in6 transforms six vectors along one direction, in place.
func (g *gen) in6(d []Reg) {
	e2, o2 := Q(8), Q(9)
	g.VMLSF(d[0], d[2], constant(0)) // t0 = d0 - (p+q) d2 + d4, since pq = 1
	g.VMLSF(d[5], d[3], constant(0)) // t5 = d1 - (p+q) d3 + d5
	g.MOV(e2, d[4])                  // e2 = d4 - p d2, o2 = d3 - p d1
	g.MOV(o2, d[3])
	g.VMLSF(e2, d[2], constant(1))
	g.VMLSF(o2, d[1], constant(1))
	g.VADDF(d[0], d[0], d[4])
	g.VADDF(d[5], d[5], d[1])
	g.VMLSF(d[4], d[2], constant(2)) // the same with q
	g.VMLSF(d[3], d[1], constant(2))
	g.MOV(d[1], d[4])
	g.MOV(d[2], d[4])
	g.MOV(d[4], e2)
	g.VMLAF(d[1], d[3], constant(3))
	g.VMLSF(d[2], d[3], constant(3))
	g.MOV(d[3], e2)
	g.VMLSF(d[4], o2, constant(4))
	g.VMLAF(d[3], o2, constant(4))
}

// out4 makes y0..y3 of six vectors; they are left in the first three and the last.
func (g *gen) out4(m []Reg) []Reg {
	s, u := Q(8), Q(9)
	g.VADDF(s, m[1], m[2])
	g.VADDF(u, m[3], m[4])
	g.VSUBF(m[1], m[1], m[2])
	g.VSUBF(m[4], m[3], m[4])
	g.VADDF(m[0], m[0], s)
	g.VMULF(m[2], s, constant(1))
	g.VMLAF(m[5], m[1], constant(5))
	g.VMULF(m[1], m[1], constant(3))
	g.VADDF(m[0], m[0], u)
	g.VMLAF(m[2], u, constant(2))
	g.VMLAF(m[5], m[4], constant(6))
	g.VMLAF(m[1], m[4], constant(4))
	return []Reg{m[0], m[1], m[2], m[5]}
}

// sets are the two register sets, so that a transform need not wait for the stores of the one before.
func sets2(i int) []Reg {
	if i%2 == 1 {
		return qs(10, 6)
	}
	return qs(2, 6)
}

func (g *gen) winoIn4() {
	g.kernel("winoIn4", "winoArgs", "transforms 6x6 inputs of each tile to 36 points for F(4x4).", 4)
	g.winoHead()
	g.load("dst", wDst)
	tile := g.NewLabel("tile")
	g.Label(tile)
	g.G("MOVW 0(%v), %v", wTile, wP)
	g.G("ADD %v, %v, %v", wSrc, wP, wP)
	g.G("MOVW %v, %v", wTmp, wQ)
	for i := range 6 { // rows: tmp[i][j]
		d := sets2(i)
		g.VLDM(d[0], 12, wP, Stay)
		if i < 5 {
			g.G("ADD %v, %v, %v", wRow, wP, wP)
		}
		g.in6(d)
		g.VSTM(d[0], 12, wQ, Next)
	}
	g.G("MOVW %v, %v", wDst, wR)
	for j := range 6 { // columns: point i*6+j
		d := sets2(j)
		g.G("ADD $%d, %v, %v", 16*j, wTmp, wQ)
		g.G("MOVW $96, %v", wP)
		for i := range 6 {
			g.VLD1(2, d[i], 2, wQ, By(wP))
		}
		g.in6(d)
		g.G("MOVW %v, %v", wR, wQ)
		for i := range 6 {
			g.VST1(2, d[i], 2, wQ, By(wPS6))
		}
		if j < 5 {
			g.G("ADD %v, %v, %v", wPS, wR, wR)
		}
	}
	g.G("ADD $16, %v, %v", wDst, wDst)
	g.G("ADD $40, %v, %v", wTile, wTile)
	g.G("SUB.S $1, %v, %v", wNT, wNT)
	g.G("BNE %s", tile)
	g.G("RET")
}

// winoOut4 transforms the points back, adds bias and residual, clamps, and stores the 4x4 pixels, or those that exist (edge). Bias and bounds are on the
// stack and come to Q10-Q12 for the rows.
func (g *gen) winoOut4(name string, edge bool) {
	doc := "transforms the points of each tile back, adds bias and residual and clamps unless act is 0"
	if edge {
		doc += "; it writes only pixels that exist"
	}
	g.kernel(name, "winoArgs", doc+".", 48)
	g.winoHead()
	g.load("bias", wP)
	g.VLD1(2, Q(10), 2, wP, Stay)
	g.G("ADD $%d, R0, %v", g.field("lo"), wP)
	g.VLD1R(2, Q(11), wP, Next)
	g.VLD1R(2, Q(12), wP, Stay)
	g.G("ADD $4, R13, %v", wP)
	g.VSTM(Q(10), 6, wP, Stay)
	const out, rp = wDst, wR
	tile, done := g.NewLabel("tile"), g.NewLabel("done")
	g.Label(tile)
	g.G("MOVW %v, %v", wSrc, wR)
	g.G("MOVW %v, %v", wTmp, wQ)
	for j := range 6 { // columns: tmp[j][0..3]
		d := sets2(j)
		g.G("MOVW %v, %v", wR, wP)
		for i := range 6 {
			g.VLD1(2, d[i], 2, wP, By(wPS6))
		}
		if j < 5 {
			g.G("ADD %v, %v, %v", wPS, wR, wR)
		}
		y := g.out4(d)
		g.VSTM(y[0], 6, wQ, Next)
		g.VSTM(y[3], 2, wQ, Next)
	}
	g.G("ADD $4, R13, %v", wP)
	g.VLDM(Q(10), 6, wP, Stay)
	g.G("MOVW 8(%v), %v", wTile, out)
	g.load("dst", wP)
	g.G("ADD %v, %v, %v", wP, out, out)
	g.G("MOVW 16(%v), %v", wTile, rp)
	g.load("res", wP)
	g.G("ADD %v, %v, %v", wP, rp, rp)
	for i := range 4 { // rows
		if edge && i > 0 {
			g.G("MOVW 24(%v), %v", wTile, wP)
			g.G("CMP $%d, %v", i, wP)
			g.G("BLE %s", done)
		}
		d := qs(2, 6)
		g.G("ADD $%d, %v, %v", 16*i, wTmp, wQ)
		g.G("MOVW $64, %v", wP)
		for j := range 6 {
			g.VLD1(2, d[j], 2, wQ, By(wP))
		}
		y := g.out4(d)
		for _, v := range y {
			g.VADDF(v, v, Q(10))
		}
		g.winoRow(y, out, rp, edge)
		if i < 3 {
			g.load("rrow", wP)
			g.G("ADD %v, %v, %v", wRow, out, out)
			g.G("ADD %v, %v, %v", wP, rp, rp)
		}
	}
	if edge {
		g.Label(done)
	}
	g.G("ADD $16, %v, %v", wSrc, wSrc)
	g.G("ADD $40, %v, %v", wTile, wTile)
	g.G("SUB.S $1, %v, %v", wNT, wNT)
	g.G("BNE %s", tile)
	g.G("RET")
}

// winoRow finishes and stores one row of pixels.
func (g *gen) winoRow(y []Reg, out, rp X, edge bool) {
	end := g.NewLabel("row")
	nores, noact := g.NewLabel("nores"), g.NewLabel("noact")
	g.load("act", wQ)
	clamp := func() {
		g.G("CMP $0, %v", wQ)
		g.G("BEQ %s", noact)
		for _, v := range y {
			g.VMAXF(v, v, Q(11))
		}
		for _, v := range y {
			g.VMINF(v, v, Q(12))
		}
		g.Label(noact)
	}
	g.load("res", wP)
	g.G("CMP $0, %v", wP)
	g.G("BEQ %s", nores)
	if !edge {
		g.VLDM(Q(13), 6, rp, Stay)
		for k := range 3 {
			g.VADDF(y[k], y[k], Q(13+k))
		}
		g.G("ADD $48, %v, %v", rp, wP)
		g.VLDM(Q(13), 2, wP, Stay)
		g.VADDF(y[3], y[3], Q(13))
		g.Label(nores)
		clamp()
		g.VSTM(y[0], 6, out, Stay)
		g.G("ADD $48, %v, %v", out, wP)
		g.VSTM(y[3], 2, wP, Stay)
		return
	}
	last := g.NewLabel("lastres")
	g.G("MOVW %v, %v", rp, wP)
	g.G("MOVW 32(%v), %v", wTile, wQ)
	for k, v := range y { // only what exists may be read
		if k > 0 {
			g.G("CMP $%d, %v", k, wQ)
			g.G("BLE %s", last)
		}
		g.VLDM(Q(13), 2, wP, Next)
		g.VADDF(v, v, Q(13))
	}
	g.Label(last)
	g.load("act", wQ)
	g.Label(nores)
	clamp()
	g.G("MOVW 32(%v), %v", wTile, wQ)
	g.G("MOVW %v, %v", out, wP)
	for k, v := range y {
		if k > 0 {
			g.G("CMP $%d, %v", k, wQ)
			g.G("BLE %s", end)
		}
		g.VSTM(v, 2, wP, Next)
	}
	g.Label(end)
}
