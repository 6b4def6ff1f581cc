package main

import (
	"fmt"

	. "fettle/kernels/_asm/arm64gen/asm"
)

// Convolution in 8 bit without dot products, 16 inputs along the vector: m pixels by up to 16 outputs, four at a time. Inputs are signed
// already (the driver copies them with the top bit flipped), so nothing but products and sums is left of a step: of 16 inputs of 4 pixels
// by 4 outputs 16 SMULL, SMLAL2 and SADALP each for 2 loads and a distance. Two products fit in 16 bits unless both
// weights and inputs are -128: weights with -128 take the kernels of the suffix w. Where the weights of two steps allow it, four products
// meet in 16 bits, and one SADALP does for both steps; the packer finds such steps for every four outputs, which so have orders of their own.
//
// Four outputs of four pixels leave as 16 bytes for a piece of memory in the argument; four of these leave by one ST4, which puts
// them in the order of the layout.
//
// Registers: sums V0-V15, four a pixel; pixels V16-V19; weights V20-V23; products V24-V31. Of two steps that meet: pixels V16-V23, weights of
// two outputs V24-V27, products V28-V31.
const ( // general registers by role
	nSrc, nW, nDst, nScale, nDeltas, nP1, nP2, nQuads       X = 1, 2, 3, 4, 6, 7, 8, 9
	nTile, nTiles, nStash, nWp, nPix, nP, nD, nStep, nStep2 X = 10, 11, 12, 13, 14, 15, 16, 17, 19
	nK, nQ, nSp, nSt, nTmp, nP3                             X = 20, 21, 22, 24, 25, 26
	nArgHalf, nArgPS, nArgLo, nArgHi, nArgRS, nArgClip        = 56, 88, 96, 97, 100, 104
	nArgRes, nArgRzero, nArgStash, nArgLook                   = 112, 120, 128, 48
)

func conv8Kernels(g *gen) {
	for _, wide := range []bool{false, true} {
		for _, dense := range []bool{true, false} {
			for m := 1; m <= 4; m++ {
				g.conv8(m, dense, wide)
			}
			g.table(conv8Table(dense, wide), "qcArgs", 5, func(i int) string {
				if i == 0 {
					return ""
				}
				return conv8Name(i, dense, wide)
			})
		}
	}
	g.flipRows("flipRows", false)
	g.flipRows("flipSplit", true)
	g.gatherRows()
	g.look256()
}

func conv8Table(dense, wide bool) string {
	return "qc" + map[bool]string{true: "s1", false: "any"}[dense] + map[bool]string{true: "w", false: ""}[wide]
}

func conv8Name(m int, dense, wide bool) string {
	return fmt.Sprintf("qc%dx16%s", m, conv8Table(dense, wide)[2:])
}

func (g *gen) conv8(m int, dense, wide bool) {
	how := "pixels side by side"
	if !dense {
		how = "pixels at any distance"
	}
	if wide {
		how += "; any weights"
	}
	g.kernel(conv8Name(m, dense, wide), "qcArgs", fmt.Sprintf("sums %d pixels by 16 channels a tile in 8 bit, 16 inputs a step; %s.", m, how))
	for _, l := range []struct {
		off int
		r   X
	}{{0, nSrc}, {8, nW}, {16, nDst}, {24, nScale}, {40, nDeltas}, {64, nQuads}, {72, nTile}, {80, nTiles}} {
		g.load(l.off, l.r)
	}
	g.G("ADD $%d, R0, %v", nArgStash, nStash)
	// pixels side by side leave three registers
	const halfSteps, res, ones = nP2, nP3, nTmp
	if dense {
		g.load(nArgHalf, halfSteps)
		g.load(nArgRes, res)
	}
	ptr := []X{nP, nP1, nP2, nP3}[:m]
	pixels := func(to int, step X) {
		if dense {
			g.LD1P(vr(to, m), nP, step)
			return
		}
		for p := range m {
			g.LD1P(vr(to+p, 1), ptr[p], step)
		}
	}
	load := func(step X) {
		pixels(16, step)
		g.LD1P(vr(20, 4), nWp, XZR)
	}
	// two steps whose products meet
	meet := func(first bool) {
		begin := g.SADALP
		if first {
			begin = g.SADDLP
		}
		g.G("LDPSW.P 8(%v), (%v, %v)", nD, nStep, nStep2)
		pixels(16, nStep)
		pixels(20, nStep2)
		for o := range 4 {
			if o%2 == 0 {
				g.LD1P(vr(24, 4), nWp, XZR)
			}
			wa, wb := V[24+o%2*2], V[25+o%2*2]
			each := func(f func(t VReg, p int)) {
				for p := range m {
					f(V[28+p], p)
				}
			}
			each(func(t VReg, p int) { g.SMULL(t.H8, V[16+p].B8, wa.B8) })
			each(func(t VReg, p int) { g.SMLAL(t.H8, V[16+p].B16, wa.B16) })
			each(func(t VReg, p int) { g.SMLAL(t.H8, V[20+p].B8, wb.B8) })
			each(func(t VReg, p int) { g.SMLAL(t.H8, V[20+p].B16, wb.B16) })
			each(func(t VReg, p int) { begin(V[4*p+o].S4, t.H8) })
		}
	}
	// products of pixels by outputs, eight at a time; first begins the sums
	words := func(first, half bool) {
		fold := g.SADALP
		for at := 0; at < 4*m; at += 8 {
			end := min(at+8, 4*m)
			each := func(f func(t, x, w VReg, acc VReg)) {
				for i := at; i < end; i++ {
					f(V[24+i-at], V[16+i/4], V[20+i%4], V[i])
				}
			}
			begin := fold
			if first {
				begin = g.SADDLP
			}
			each(func(t, x, w, _ VReg) { g.SMULL(t.H8, x.B8, w.B8) })
			switch {
			case half:
				each(func(t, _, _, acc VReg) { begin(acc.S4, t.H8) })
			case wide:
				each(func(t, _, _, acc VReg) { begin(acc.S4, t.H8) })
				each(func(t, x, w, _ VReg) { g.SMULL(t.H8, x.B16, w.B16) })
				each(func(t, _, _, acc VReg) { fold(acc.S4, t.H8) })
			default:
				each(func(t, x, w, _ VReg) { g.SMLAL(t.H8, x.B16, w.B16) })
				each(func(t, _, _, acc VReg) { begin(acc.S4, t.H8) })
			}
		}
	}
	tile, quad, meets, singles, single, half, halves, fold := g.NewLabel("tile"), g.NewLabel("quad"), g.NewLabel("meets"), g.NewLabel("singles"), g.NewLabel("single"), g.NewLabel("half"), g.NewLabel("halves"), g.NewLabel("fold")
	g.Label(tile)
	g.G("MOVD 0(%v), %v", nTile, nPix)
	g.G("ADD %v, %v, %v", nSrc, nPix, nPix)
	g.G("MOVD %v, %v", nW, nWp)
	g.G("MOVD %v, %v", nScale, nSp)
	g.G("MOVD %v, %v", nStash, nSt)
	g.G("MOVD %v, %v", nQuads, nQ)
	g.G("MOVD %v, %v", nDeltas, nD)
	g.Label(quad)
	// the table of four outputs: steps that meet, the other ones, where the first begins, distances
	g.G("MOVW.P 4(%v), %v", nD, nK)
	g.G("LDPSW.P 8(%v), (%v, %v)", nD, ones, nP)
	if !dense && m > 1 {
		g.G("MOVD %d(R0), %v", nArgPS, nStep)
	}
	g.G("ADD %v, %v, %v", nPix, nP, nP)
	if !dense {
		for p := 1; p < m; p++ {
			g.G("ADD %v, %v, %v", nStep, ptr[p-1], ptr[p])
		}
	}
	if wide {
		g.G("MOVW.P 4(%v), %v", nD, nStep)
		load(nStep)
		words(true, false)
		g.G("SUB $1, %v, %v", ones, ones)
	} else {
		begin := g.NewLabel("begin")
		g.G("CBZ %v, %s", nK, begin)
		meet(true)
		g.G("SUBS $1, %v, %v", nK, nK)
		g.G("BEQ %s", singles)
		g.Label(meets)
		meet(false)
		g.G("SUBS $1, %v, %v", nK, nK)
		g.G("BNE %s", meets)
		g.G("B %s", singles)
		g.Label(begin)
		g.G("MOVW.P 4(%v), %v", nD, nStep)
		load(nStep)
		words(true, false)
		g.G("SUB $1, %v, %v", ones, ones)
		g.Label(singles)
	}
	g.G("CBZ %v, %s", ones, half)
	g.Label(single)
	g.G("MOVW.P 4(%v), %v", nD, nStep)
	load(nStep)
	words(false, false)
	g.G("SUBS $1, %v, %v", ones, ones)
	g.G("BNE %s", single)
	g.Label(half)
	if dense {
		g.G("CBZ %v, %s", halfSteps, fold)
		g.G("MOVD %v, %v", halfSteps, nK)
	} else {
		g.G("MOVD %d(R0), %v", nArgHalf, nK)
		g.G("CBZ %v, %s", nK, fold)
	}
	g.Label(halves)
	g.G("MOVW.P 4(%v), %v", nD, nStep)
	load(nStep)
	words(false, true)
	g.G("SUBS $1, %v, %v", nK, nK)
	g.G("BNE %s", halves)
	g.Label(fold)
	for p := range m {
		t, u := V[24+2*p], V[25+2*p]
		g.ADDP(t.S4, V[4*p].S4, V[4*p+1].S4)
		g.ADDP(u.S4, V[4*p+2].S4, V[4*p+3].S4)
	}
	for p := range m {
		g.ADDP(V[16+p].S4, V[24+2*p].S4, V[25+2*p].S4)
	}
	g.store8(m, dense)
	g.G("SUBS $1, %v, %v", nQ, nQ)
	g.G("BNE %s", quad)
	looks := g.leave8(m)
	g.G("ADD $24, %v, %v", nTile, nTile)
	g.G("SUBS $1, %v, %v", nTiles, nTiles)
	g.G("BNE %s", tile)
	g.G("RET")
	looks()
}

// store8 rounds (sum + bias)*scale + residual*rscale of four outputs of m pixels in V16..., and adds the zero point, to the next 16 bytes of the stash.
func (g *gen) store8(m int, dense bool) {
	nores := g.NewLabel("nores")
	g.LD1P(vr(20, 3), nSp, XZR) // factors, addends, the zero point
	for p := range m {
		g.ADD(V[24+p].S4, V[16+p].S4, V[21].S4)
	}
	for p := range m {
		g.SCVTF(V[24+p].S4, V[24+p].S4)
	}
	for p := range m {
		g.FMUL(V[24+p].S4, V[24+p].S4, V[20].S4)
	}
	from := nTmp
	if dense {
		from = nP3
	} else {
		g.G("MOVD %d(R0), %v", nArgRes, nTmp)
	}
	g.G("CBZ %v, %s", from, nores)
	g.G("MOVD 16(%v), %v", nTile, nStep)
	g.G("ADD %v, %v, %v", nStep, from, nTmp)
	g.G("SUB %v, %v, %v", nStash, nSt, nStep)
	g.G("ADD %v>>2, %v, %v", nStep, nTmp, nTmp)
	g.G("ADD $%d, R0, %v", nArgRS, nStep)
	g.LDnR(vr(21, 1), V[0].S4, nStep)
	g.G("ADD $%d, R0, %v", nArgRzero, nStep)
	g.LDnR(vr(23, 1), V[0].B16, nStep)
	for p := range m {
		t := V[28+p]
		g.G("FMOVS %d(%v), F%d", 16*p, nTmp, t.N)
		g.USUBL(t.H8, t.B8, V[23].B8)
		g.SXTL(t.S4, t.H4)
		g.SCVTF(t.S4, t.S4)
		g.FMLA(V[24+p].S4, t.S4, V[21].S4)
	}
	g.Label(nores)
	for p := range m {
		g.FCVTNS(V[16+p].S4, V[24+p].S4)
	}
	for p := range m {
		d := V[20+p/2]
		if p%2 == 0 {
			g.SQXTN(d.H4, V[16+p].S4)
		} else {
			g.SQXTN(d.H8, V[16+p].S4)
		}
	}
	for _, d := range vr(20, (m+1)/2) {
		g.SQADD(d.H8, d.H8, V[22].H8)
	}
	g.SQXTUN(V[23].B8, V[20].H8)
	if m > 2 {
		g.SQXTUN(V[23].B16, V[21].H8)
	}
	g.STRP(V[23], nSt, 16)
}

// find looks vectors up in the table of 256 bytes that table256 has loaded: an index beyond 64 of them leaves what the others have found. It destroys x.
func (g *gen) find(to, x []VReg, at int, six VReg) {
	for i := range x {
		g.TBL(to[i].B16, vr(at, 4), x[i].B16)
	}
	for t := 1; t < 4; t++ {
		for i := range x {
			g.SUB(x[i].B16, x[i].B16, six.B16)
		}
		for i := range x {
			g.TBX(to[i].B16, vr(at+4*t, 4), x[i].B16)
		}
	}
}

// table256 loads the table at p into sixteen registers from at on and 64 into all bytes of six; it destroys p.
func (g *gen) table256(p X, at int, six VReg) {
	for i := range 4 {
		g.LD1P(vr(at+4*i, 4), p, XZR)
	}
	g.G("MOVD $64, %v", p)
	g.DUPX(six.B16, p)
}

// look256 replaces lines of 16 bytes by a table.
func (g *gen) look256() {
	const dst, n, p X = 1, 2, 3
	g.kernel("look256", "lookArgs", "replaces lines of 16 bytes by a table of 256.")
	g.load(0, dst)
	g.load(8, p)
	g.load(16, n)
	g.table256(p, 16, V[8])
	rest, four, one, done := g.NewLabel("rest"), g.NewLabel("four"), g.NewLabel("one"), g.NewLabel("done")
	g.G("SUBS $4, %v, %v", n, n)
	g.G("BLT %s", rest)
	g.Label(four)
	g.LD1(vr(0, 4), dst)
	g.find(vr(4, 4), vr(0, 4), 16, V[8])
	g.ST1P(vr(4, 4), dst, XZR)
	g.G("SUBS $4, %v, %v", n, n)
	g.G("BGE %s", four)
	g.Label(rest)
	g.G("ADDS $4, %v, %v", n, n)
	g.G("BEQ %s", done)
	g.Label(one)
	g.LD1(vr(0, 1), dst)
	g.find(vr(4, 1), vr(0, 1), 16, V[8])
	g.ST1P(vr(4, 1), dst, XZR)
	g.G("SUBS $1, %v, %v", n, n)
	g.G("BNE %s", one)
	g.Label(done)
	g.G("RET")
}

// leave8 clamps the stash and stores m pixels of 16 outputs. What it returns is the way through a table, which comes behind the loop.
func (g *gen) leave8(m int) func() {
	whole, look, done := g.NewLabel("whole"), g.NewLabel("look"), g.NewLabel("looked")
	g.LD1(vr(0, 4), nStash)
	g.G("MOVD %d(R0), %v", nArgClip, nTmp)
	g.G("CBZ %v, %s", nTmp, whole)
	g.G("TBNZ $1, %v, %s", nTmp, look)
	g.G("ADD $%d, R0, %v", nArgLo, nTmp)
	g.LDnR(vr(4, 1), V[0].B16, nTmp)
	g.G("ADD $%d, R0, %v", nArgHi, nTmp)
	g.LDnR(vr(5, 1), V[0].B16, nTmp)
	for _, v := range vr(0, 4) {
		g.UMAX(v.B16, v.B16, V[4].B16)
		g.UMIN(v.B16, v.B16, V[5].B16)
	}
	store := func(v []VReg) {
		g.G("MOVD 8(%v), %v", nTile, nTmp)
		g.G("ADD %v, %v, %v", nDst, nTmp, nTmp)
		if m == 4 {
			g.ST4(v, V[0].S4, nTmp)
			return
		}
		for p := range m {
			g.ST4LP(v, p, nTmp)
		}
	}
	g.Label(whole)
	store(vr(0, 4))
	g.Label(done)
	return func() {
		g.Label(look)
		g.G("MOVD %d(R0), %v", nArgLook, nTmp)
		g.table256(nTmp, 16, V[8])
		g.find(vr(4, 4), vr(0, 4), 16, V[8])
		store(vr(4, 4))
		g.G("B %s", done)
	}
}

// flipRows copies rows with the top bit of each byte flipped: n vectors of 16 bytes a row; split puts every second vector into a row of its own.
func (g *gen) flipRows(name string, split bool) {
	const src, dst, n, rows, inRow, outRow, left, s, d, d2, off, tmp X = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
	doc := "copies rows of vectors with the top bit of each byte flipped."
	if split {
		doc = "copies rows of vectors with the top bit of each byte flipped, the odd ones to a row of their own."
	}
	g.kernel(name, "flipArgs", doc)
	for i, r := range []X{src, dst, n, rows, inRow, outRow, off} {
		g.load(8*i, r)
	}
	g.G("MOVD $0x80, %v", tmp)
	g.DUPX(V[31].B16, tmp)
	row, many, few, four, rest, one, next := g.NewLabel("row"), g.NewLabel("many"), g.NewLabel("few"), g.NewLabel("four"), g.NewLabel("rest"), g.NewLabel("one"), g.NewLabel("next")
	fours := func(n int) {
		for i := range n {
			g.LD1P(vr(4*i, 4), s, XZR)
		}
		for _, v := range vr(0, 4*n) {
			g.EOR(v.B16, v.B16, V[31].B16)
		}
		for i := 0; i < 4*n; i += 4 {
			if split {
				g.STPP(V[i], V[i+2], d, 32)
				g.STPP(V[i+1], V[i+3], d2, 32)
			} else {
				g.ST1P(vr(i, 4), d, XZR)
			}
		}
	}
	g.Label(row)
	g.G("MOVD %v, %v", src, s)
	g.G("MOVD %v, %v", dst, d)
	if split {
		g.G("ADD %v, %v, %v", off, dst, d2)
	}
	g.G("SUBS $16, %v, %v", n, left)
	g.G("BLT %s", few)
	g.Label(many)
	fours(4)
	g.G("SUBS $16, %v, %v", left, left)
	g.G("BGE %s", many)
	g.Label(few)
	g.G("ADDS $12, %v, %v", left, left) // 16 of before, less 4
	g.G("BLT %s", rest)
	g.Label(four)
	fours(1)
	g.G("SUBS $4, %v, %v", left, left)
	g.G("BGE %s", four)
	g.Label(rest)
	g.G("ADDS $4, %v, %v", left, left)
	g.G("BEQ %s", next)
	g.Label(one)
	g.LD1P(vr(0, 1), s, XZR)
	g.EOR(V[0].B16, V[0].B16, V[31].B16)
	g.ST1P(vr(0, 1), d, XZR)
	if split { // odd and even in turn
		g.G("MOVD %v, %v", d, tmp)
		g.G("MOVD %v, %v", d2, d)
		g.G("MOVD %v, %v", tmp, d2)
	}
	g.G("SUBS $1, %v, %v", left, left)
	g.G("BNE %s", one)
	g.Label(next)
	g.G("ADD %v, %v, %v", inRow, src, src)
	g.G("ADD %v, %v, %v", outRow, dst, dst)
	g.G("SUBS $1, %v, %v", rows, rows)
	g.G("BNE %s", row)
	g.G("RET")
}

// gatherRows puts the rows of a window one after the other, pixel by pixel, flipped: two vectors a row, the second ending with the row
// (at tail), written over what the row before left behind its end.
func (g *gen) gatherRows() {
	const src, dst, n, rows, inRow, len, tail, ps, size, s, d, left, q, tmp X = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14
	g.kernel("gatherRows", "gatherArgs", "lays the rows of windows one after the other, a window a pixel, with the top bit of each byte flipped.")
	for i, r := range []X{src, dst, n, rows, inRow, len, tail, ps, size} {
		g.load(8*i, r)
	}
	g.G("MOVD $0x80, %v", tmp)
	g.DUPX(V[31].B16, tmp)
	pixel, short, shortRow, longRow, next := g.NewLabel("pixel"), g.NewLabel("short"), g.NewLabel("shortrow"), g.NewLabel("longrow"), g.NewLabel("next")
	g.Label(pixel)
	g.G("MOVD %v, %v", src, s)
	g.G("MOVD %v, %v", dst, d)
	g.G("MOVD %v, %v", rows, left)
	g.G("CBZ %v, %s", tail, short)
	g.Label(longRow)
	g.G("ADD %v, %v, %v", tail, s, q)
	g.LD1P(vr(0, 1), s, inRow)
	g.LD1(vr(1, 1), q)
	g.EOR(V[0].B16, V[0].B16, V[31].B16)
	g.EOR(V[1].B16, V[1].B16, V[31].B16)
	g.G("ADD %v, %v, %v", tail, d, q)
	g.ST1P(vr(0, 1), d, len)
	g.ST1(vr(1, 1), q)
	g.G("SUBS $1, %v, %v", left, left)
	g.G("BNE %s", longRow)
	g.G("B %s", next)
	g.Label(short)
	g.Label(shortRow)
	g.LD1P(vr(0, 1), s, inRow)
	g.EOR(V[0].B16, V[0].B16, V[31].B16)
	g.ST1P(vr(0, 1), d, len)
	g.G("SUBS $1, %v, %v", left, left)
	g.G("BNE %s", shortRow)
	g.Label(next)
	g.G("ADD %v, %v, %v", ps, src, src)
	g.G("ADD %v, %v, %v", size, dst, dst)
	g.G("SUBS $1, %v, %v", n, n)
	g.G("BNE %s", pixel)
	g.G("RET")
}
