package main

import (
	. "fettle/kernels/_asm/arm64gen/asm"
)

// Winograd F(4x4,3x3) with the points 0, +-a, +-b, infinity, and F(2x2,3x3), blocks of 4 channels. V30, V31 are the
// constants p+q, p, q, a and b, a*p, b*q (p = a*a, q = b*b) of winoArgs. Source: Lavin and Gray 2015, arXiv:1509.09308.
const (
	wSrc, wDst, wTile, wNT, wRow, wPS, wBias, wRes X = 1, 2, 3, 4, 5, 6, 7, 8
	wResRow, wAct, wTmp, wPS6, wP, wQ, wR, wN      X = 9, 10, 11, 12, 13, 14, 15, 16
	wNC, wLo, wHi, wC, wOut, wRP                   X = 17, 19, 20, 21, 22, 23
)

func winoKernels(g *gen) {
	g.winoIn4()
	g.winoIn2()
	for _, edge := range []bool{false, true} {
		g.winoOut(4, edge)
		g.winoOut(2, edge)
	}
}

func (g *gen) winoHead(points int) {
	for i, r := range []X{wSrc, wDst, wTile, wNT, wRow, wPS, wBias, wRes, wResRow, wAct} {
		g.load(8*i, r)
	}
	g.load(88, wTmp)
	g.G("ADD $80, R0, %v", wLo)
	g.G("ADD $84, R0, %v", wHi)
	g.G("ADD $96, R0, %v", wC)
	g.LD1(vr(30, 2), wC)
	g.G("MOVD $%d, %v", points, wPS6)
	g.G("MUL %v, %v, %v", wPS6, wPS, wPS6)
}

func (g *gen) c(i int) Arr { return V[30+i/4].S(i % 4) }

// in6 transforms d[0..5] along one direction with the temporaries x[0..3]; the registers of t0..t5 are returned. As pq = 1, a q is b and b p is a.
func (g *gen) in6(d, x []VReg) []VReg {
	e, o, o2 := x[0], x[1], x[2]
	g.FMUL(o.S4, d[3].S4, g.c(3)) // o = a d3 - b d1, o2 = b d3 - a d1
	g.FMUL(o2.S4, d[3].S4, g.c(4))
	g.MOV(e, d[4])
	g.FMLS(d[0].S4, d[2].S4, g.c(0)) // t0 = d0 - (p+q) d2 + d4
	g.FMLS(d[5].S4, d[3].S4, g.c(0)) // t5 = d1 - (p+q) d3 + d5
	g.FMLS(o.S4, d[1].S4, g.c(4))
	g.FMLS(o2.S4, d[1].S4, g.c(3))
	g.FMLS(e.S4, d[2].S4, g.c(2)) // e = d4 - q d2, e2 = d4 - p d2
	g.FADD(d[0].S4, d[0].S4, d[4].S4)
	g.FADD(d[5].S4, d[5].S4, d[1].S4)
	g.FMLS(d[4].S4, d[2].S4, g.c(1))
	g.FADD(d[1].S4, e.S4, o.S4)
	g.FSUB(d[2].S4, e.S4, o.S4)
	g.FADD(d[3].S4, d[4].S4, o2.S4)
	g.FSUB(d[4].S4, d[4].S4, o2.S4)
	return d
}

// out4 makes y0..y3 of m[0..5], in m[2..5], with the temporaries x[0..2].
func (g *gen) out4(m, x []VReg) []VReg {
	s, u, v := x[0], x[1], x[2]
	g.FADD(s.S4, m[1].S4, m[2].S4)
	g.FSUB(m[1].S4, m[1].S4, m[2].S4) // d
	g.FADD(u.S4, m[3].S4, m[4].S4)
	g.FSUB(v.S4, m[3].S4, m[4].S4)
	g.FADD(m[2].S4, m[0].S4, s.S4)
	g.FMUL(m[4].S4, s.S4, g.c(1))
	g.FMUL(m[3].S4, m[1].S4, g.c(3))
	g.FMLA(m[5].S4, m[1].S4, g.c(5))
	g.FADD(m[2].S4, m[2].S4, u.S4)
	g.FMLA(m[4].S4, u.S4, g.c(2))
	g.FMLA(m[3].S4, v.S4, g.c(4))
	g.FMLA(m[5].S4, v.S4, g.c(6))
	return m[2:6]
}

// set picks one of two register sets, so that a transform does not wait for the one before.
func set2(i int) (d, x []VReg) {
	if i%2 == 1 {
		return vr(12, 6), vr(18, 4)
	}
	return vr(0, 6), vr(6, 4)
}

// pair loads two sets of registers and transforms both, an instruction of one and of the other in turn.
func (g *gen) pair(load func(k int, d []VReg), transform func(d, x []VReg) []VReg) (t [2][]VReg) {
	var parts []func()
	for k := range t {
		d, x := set2(k)
		load(k, d)
		parts = append(parts, func() { t[k] = transform(d, x) })
	}
	g.Interleave(parts...)
	return t
}

func (g *gen) winoIn4() {
	g.kernel("winoIn4", "winoArgs", "transforms 6x6 inputs of each tile to 36 points for F(4x4).")
	g.winoHead(6)
	g.Label("tile4")
	g.G("MOVD 0(%v), %v", wTile, wP)
	g.G("ADD %v, %v, %v", wSrc, wP, wP)
	g.G("MOVD %v, %v", wTmp, wQ)
	for range 3 { // rows, two at a time: tmp[i][j]
		t := g.pair(func(_ int, d []VReg) {
			g.LDP(d[4], d[5], wP, 64)
			g.LD1P(d[:4], wP, wRow)
		}, g.in6)
		for _, t := range t {
			g.ST1P(t[:4], wQ, XZR)
			g.STPP(t[4], t[5], wQ, 32)
		}
	}
	for j := range 3 { // columns: point i*6+j
		t := g.pair(func(k int, d []VReg) {
			for i := range 6 {
				g.LDR(d[i], wTmp, 16*(6*i+2*j+k))
			}
		}, g.in6)
		for k, t := range t {
			if j+k == 0 {
				g.G("MOVD %v, %v", wDst, wR)
			} else {
				g.G("ADD %v, %v, %v", wPS, wR, wR)
			}
			g.G("MOVD %v, %v", wR, wQ)
			for i := range 6 {
				g.ST1P(t[i:i+1], wQ, wPS6)
			}
		}
	}
	g.nextTile("tile4", 16)
}

func (g *gen) nextTile(label string, step int) {
	g.G("ADD $%d, %v, %v", step, wDst, wDst)
	g.G("ADD $40, %v, %v", wTile, wTile)
	g.G("SUBS $1, %v, %v", wNT, wNT)
	g.G("BNE %s", label)
	g.G("RET")
}

func (g *gen) winoIn2() {
	g.kernel("winoIn2", "winoArgs", "transforms 4x4 inputs of each tile to 16 points for F(2x2).")
	g.winoHead(4)
	g.Label("tile2")
	g.G("MOVD 0(%v), %v", wTile, wP)
	g.G("ADD %v, %v, %v", wSrc, wP, wP)
	in4 := func(d []VReg, x VReg) { // d0-d2, d1+d2, d2-d1, d1-d3 in place
		g.FSUB(d[0].S4, d[0].S4, d[2].S4)
		g.FSUB(d[3].S4, d[1].S4, d[3].S4)
		g.FSUB(x.S4, d[2].S4, d[1].S4)
		g.FADD(d[1].S4, d[1].S4, d[2].S4)
		g.MOV(d[2], x)
	}
	for i := range 4 {
		g.LD1P(vr(4*i, 4), wP, wRow)
		in4(vr(4*i, 4), V[16+i])
	}
	g.G("MOVD %v, %v", wDst, wQ)
	for j := range 4 {
		in4([]VReg{V[j], V[4+j], V[8+j], V[12+j]}, V[16+j])
	}
	for t := range 16 {
		g.ST1P(vr(t, 1), wQ, wPS)
	}
	g.nextTile("tile2", 16)
}

// winoOut transforms the points back, adds bias and residual, clamps, and stores the m x m pixels, or those that exist (edge).
func (g *gen) winoOut(m int, edge bool) {
	name := map[bool]string{false: "winoOut", true: "winoEdge"}[edge] + map[int]string{4: "4", 2: "2"}[m]
	g.kernel(name, "winoArgs", "transforms the points of each tile back, adds bias and residual and clamps unless act is 0"+map[bool]string{false: ".", true: "; it writes only pixels that exist."}[edge])
	pts := m + 2
	g.winoHead(pts)
	g.LDR(V[28], wBias, 0)
	g.LDnR(vr(26, 1), V[0].S4, wLo)
	g.LDnR(vr(27, 1), V[0].S4, wHi)
	tile := "tile"
	g.Label(tile)
	g.G("MOVD 8(%v), %v", wTile, wOut)
	g.G("ADD %v, %v, %v", wDst, wOut, wOut)
	g.G("MOVD 16(%v), %v", wTile, wRP)
	g.G("ADD %v, %v, %v", wRes, wRP, wRP)
	g.G("MOVD 24(%v), %v", wTile, wN)
	g.G("MOVD 32(%v), %v", wTile, wNC)
	g.G("MOVD %v, %v", wSrc, wR)
	g.G("MOVD %v, %v", wTmp, wQ)
	back := func(d, x []VReg) []VReg {
		if m == 4 {
			return g.out4(d, x)
		}
		g.FADD(x[0].S4, d[1].S4, d[2].S4) // m0+m1+m2, m1-m2-m3
		g.FADD(d[0].S4, d[0].S4, x[0].S4)
		g.FSUB(d[1].S4, d[1].S4, d[2].S4)
		g.FSUB(d[1].S4, d[1].S4, d[3].S4)
		return []VReg{d[0], d[1]}
	}
	for j := 0; j < pts; j += 2 { // columns: tmp[j][0..m-1]
		for _, y := range g.pair(func(k int, d []VReg) {
			g.G("MOVD %v, %v", wR, wP)
			for i := range pts {
				g.LD1P(d[i:i+1], wP, wPS6)
			}
			if j+k < pts-1 {
				g.G("ADD %v, %v, %v", wPS, wR, wR)
			}
		}, back) {
			g.ST1P(y, wQ, XZR)
		}
	}
	done := "done"
	row := func(i int, d []VReg) {
		for j := range pts {
			g.LDR(d[j], wTmp, 16*(m*j+i))
		}
	}
	biased := func(d, x []VReg) []VReg {
		y := back(d, x)
		for _, v := range y {
			g.FADD(v.S4, v.S4, V[28].S4)
		}
		return y
	}
	var two [2][]VReg
	for i := range m { // rows; those of an edge may not exist
		d, x := set2(i)
		if edge {
			row(i, d)
			two[i%2] = biased(d, x)
		} else if i%2 == 0 {
			two = g.pair(func(k int, d []VReg) { row(i+k, d) }, biased)
		}
		g.winoRow(two[i%2], x, edge)
		if i < m-1 {
			if edge {
				g.G("SUBS $1, %v, %v", wN, wN)
				g.G("BEQ %s", done)
			}
			g.G("ADD %v, %v, %v", wRow, wOut, wOut)
			g.G("ADD %v, %v, %v", wResRow, wRP, wRP)
		}
	}
	if edge {
		g.Label(done)
	}
	g.G("ADD $16, %v, %v", wSrc, wSrc)
	g.G("ADD $40, %v, %v", wTile, wTile)
	g.G("SUBS $1, %v, %v", wNT, wNT)
	g.G("BNE %s", tile)
	g.G("RET")
}

// winoRow finishes and stores one row of pixels, in registers side by side; x are temporaries. Bounds: act 1 has a lower one only.
func (g *gen) winoRow(y, x []VReg, edge bool) {
	end := g.NewLabel("row")
	finish := func(y []VReg, at int) {
		nores, noact := g.NewLabel("nores"), g.NewLabel("noact")
		g.G("CBZ %v, %s", wRes, nores)
		if at == 0 {
			g.LD1(x[:len(y)], wRP)
		} else {
			g.LDR(x[0], wRP, 16*at)
		}
		for k, v := range y {
			g.FADD(v.S4, v.S4, x[k].S4)
		}
		g.Label(nores)
		g.G("CBZ %v, %s", wAct, noact)
		for _, v := range y {
			g.FMAX(v.S4, v.S4, V[26].S4)
		}
		g.G("TBZ $1, %v, %s", wAct, noact)
		for _, v := range y {
			g.FMIN(v.S4, v.S4, V[27].S4)
		}
		g.Label(noact)
		if at == 0 {
			g.ST1(y, wOut)
		} else {
			g.STR(y[0], wOut, 16*at)
		}
	}
	if !edge {
		finish(y, 0)
		return
	}
	for k := range y {
		if k > 0 {
			g.G("CMP $%d, %v", k, wNC)
			g.G("BLE %s", end)
		}
		finish(y[k:k+1], k)
	}
	g.Label(end)
}
