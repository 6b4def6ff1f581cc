package main

import (
	"fmt"

	. "fettle/kernels/_asm/armgen/asm"
)

// Convolutions of bytes through words of 16 bits (conv/words.go, conv/wordwino.go): the input is widened once, a product of four outputs by one
// input is one VMLAL by element, exact in 32 bits for any weights, and nothing needs folding at the end. (VMULL, VMLAL and VPADAL of bytes make 5.3
// products an instruction, but need 16 sums of their own and the fold: with 16 registers no gain below some hundred inputs.)
//
// m pixels by 8 outputs, a line of 8 inputs a step. Registers: pixels Q0-Q3, since elements of 16 bits are those of D0-D7; sums Q4-Q11, two a pixel;
// weights, 8 outputs of an input each, by fours in Q12-Q15. A step of 4 pixels is 64 VMLAL for one load of pixels, 2 of weights and 2 for the address.

func wordKernels(g *gen) {
	for _, dense := range []bool{true, false} {
		for m := 1; m <= 4; m++ {
			g.words(m, dense, false)
		}
		g.table(wordTable(dense, false), "kargs", 5, func(i int) string { return wordName(i, dense, false) })
	}
	for m := 1; m <= 4; m++ {
		g.words(m, true, true)
	}
	g.table(wordTable(true, true), "kargs", 5, func(i int) string { return wordName(i, true, true) })
	g.widenLines(1)
	g.widenLines(2)
	g.windows(2)
	g.windows(4)
	g.winoIn8()
	g.winoOut8()
	for _, form := range []int{1, 2, 0} {
		g.dw8(form)
	}
}

func wordTable(dense, raw bool) string {
	switch {
	case raw:
		return "words8raw"
	case dense:
		return "words8s1"
	}
	return "words8any"
}

func wordName(m int, dense, raw bool) string {
	if m == 0 {
		return ""
	}
	return fmt.Sprintf("words%dx8%s", m, wordTable(dense, raw)[6:])
}

// products multiplies m pixels with the 8 inputs of a line; first begins the sums.
func (g *gen) products(m int, first bool) {
	for k := range 8 {
		if k%4 == 0 {
			g.VLDM(Q(12), 8, rWp, Next)
		}
		for p := range m {
			f := g.VMLALS
			if first && k == 0 {
				f = g.VMULLS
			}
			f(1, Q(4+2*p), Q(12+k%4).Lo(), Q(p).H(k))
			f(1, Q(5+2*p), Q(12+k%4).Hi(), Q(p).H(k))
		}
	}
}

// magicBits is the float magic.
const magicBits = 0x4b400000

// storeFrame is the stack of the store of 8 bit: magic, lower and upper bound in bytes, factor of the residual; its zero point in bytes, and what is
// subtracted from magic's bits, which adds the zero point of the output to the rounded number.
const storeFrame = 96

// storeHead fills the first storeFrame bytes of the stack; t is free.
func (g *gen) storeHead(t X) {
	g.G("MOVW $0x%x, %v", magicBits, t)
	g.VDUPX(2, Q(12), t)
	g.G("ADD $%d, R0, %v", g.field("lo"), t)
	g.VLD1R(2, Q(13), t, Next)
	g.VLD1R(2, Q(14), t, Stay)
	g.G("ADD $%d, R0, %v", g.field("rscale"), t)
	g.VLD1R(2, Q(15), t, Stay)
	g.G("ADD $%d, R0, %v", g.field("zero"), t)
	g.VLD1R(2, Q(2), t, Next)
	g.VLD1R(2, Q(1), t, Stay)
	for _, v := range qs(13, 2) {
		g.VCVTSF(v, v)
		g.VADD(2, v, v, Q(2))
	}
	g.VSUB(2, Q(2), Q(12), Q(2))
	for _, v := range []Reg{Q(1), Q(13), Q(14)} { // whole numbers of at most 255, four times in each word
		for _, by := range []int{8, 16} {
			g.VSHL(2, Q(0), v, by)
			g.VORR(v, v, Q(0))
		}
	}
	g.G("ADD $4, R13, %v", t)
	g.VSTM(Q(12), 8, t, Next)
	g.VSTM(Q(1), 4, t, Stay)
}

// round makes words of 16 bits, in the halves of d, of two vectors of floats: halves to even, then the zero point, saturated. Q12 is magic, bits what
// is subtracted from its bits.
func (g *gen) round(d, lo, hi, bits Reg) {
	for _, v := range []Reg{lo, hi} {
		g.VADDF(v, v, Q(12))
	}
	for _, v := range []Reg{lo, hi} {
		g.VQSUBS(2, v, v, bits)
	}
	g.VQMOVN(1, d.Lo(), lo)
	g.VQMOVN(1, d.Hi(), hi)
}

// residual adds 8 bytes at p, which it moves, less the zero point, times rscale in Q15 to two vectors; Q0-Q3 are temporaries, D0 the zero points.
func (g *gen) residual(lo, hi Reg, p X, s Step) {
	g.VLD1(0, D(1), 1, p, s)
	g.VSUBLU(0, Q(1), D(1), D(0))
	g.VMOVLS(1, Q(2), Q(1).Lo())
	g.VMOVLS(1, Q(3), Q(1).Hi())
	g.VCVTFS(Q(2), Q(2))
	g.VCVTFS(Q(3), Q(3))
	g.VMLAF(lo, Q(2), Q(15))
	g.VMLAF(hi, Q(3), Q(15))
}

// requant makes bytes of the sums of m pixels, Q4...: round((sum + bias)*scale + residual*rscale) + zero between the bounds. res moves the place of the
// residual to rP and jumps to its argument where there is none. The bytes of pixel p are in D(8+p).
func (g *gen) requant(m int, res func(none string)) {
	g.load("scale", rTmp, "bias", rSteps)
	g.VLDM(Q(0), 4, rTmp, Stay)
	g.VLDM(Q(2), 4, rSteps, Stay)
	g.G("ADD $4, R13, %v", rP)
	g.VLDM(Q(12), 8, rP, Stay)
	sums := qs(4, 2*m)
	for i, v := range sums {
		g.VADD(2, v, v, Q(2+i%2))
	}
	for _, v := range sums {
		g.VCVTFS(v, v)
	}
	for i, v := range sums {
		g.VMULF(v, v, Q(i%2))
	}
	if res != nil {
		none := g.NewLabel("nores")
		res(none)
		g.G("ADD $68, R13, %v", rTmp)
		g.VLD1(0, D(0), 1, rTmp, Stay)
		g.G("MOVW $16, %v", rTmp)
		for p := range m {
			g.residual(Q(4+2*p), Q(5+2*p), rP, By(rTmp))
		}
		g.Label(none)
	}
	bits := Q(15) // the factor of the residual is read again
	g.G("ADD $84, R13, %v", rTmp)
	g.VLDM(bits, 2, rTmp, Stay)
	for p := range m {
		g.round(Q(p), Q(4+2*p), Q(5+2*p), bits)
	}
	for p := range m {
		g.VQMOVUN(0, D(8+p), Q(p))
	}
	for i := range (m + 1) / 2 {
		g.VMAXU(0, Q(4+i), Q(4+i), Q(13))
		g.VMINU(0, Q(4+i), Q(4+i), Q(14))
	}
}

func (g *gen) words(m int, dense, raw bool) {
	how := "at any distance"
	if dense {
		how = "side by side"
	}
	end := "rounded to bytes"
	if raw {
		end = "as they are"
	}
	g.kernel(wordName(m, dense, raw), "kargs", fmt.Sprintf("sums %d pixels %s by 8 outputs a tile over words; the sums leave %s.", m, how, end), storeFrame)
	if !raw {
		g.storeHead(rP)
	}
	g.load("a", rIn, "tiles", rTile)
	if !dense {
		g.load("ps", rPS)
	}
	step := func(first bool) {
		g.G("MOVW.P 16(%v), %v", rGp, rP)
		g.G("ADD %v, %v, %v", rPix, rP, rP)
		if dense {
			g.VLDM(Q(0), 2*m, rP, Stay)
		} else {
			for p := range m {
				g.VLD1(2, Q(p), 2, rP, By(rPS))
			}
		}
		g.products(m, first)
	}
	tile := g.NewLabel("tile")
	g.Label(tile)
	g.G("MOVW 0(%v), %v", rTile, rPix)
	g.G("ADD %v, %v, %v", rIn, rPix, rPix)
	g.load("b", rWp, "nk", rK, "groups", rGp)
	step(true)
	g.G("SUB $1, %v, %v", rK, rK)
	g.times(2, func() { step(false) })
	if !raw {
		g.requant(m, func(none string) {
			g.load("res", rSteps)
			g.G("CMP $0, %v", rSteps)
			g.G("BEQ %s", none)
			g.G("MOVW 16(%v), %v", rTile, rP)
			g.G("ADD %v, %v, %v", rSteps, rP, rP)
		})
	}
	g.G("MOVW 8(%v), %v", rTile, rP)
	g.load("c", rSteps)
	g.G("ADD %v, %v, %v", rSteps, rP, rP)
	if raw {
		g.VSTM(Q(4), 4*m, rP, Stay)
	} else {
		g.G("MOVW $16, %v", rTmp)
		for p := range m {
			g.VST1(0, D(8+p), 1, rP, By(rTmp))
		}
	}
	g.G("ADD $24, %v, %v", rTile, rTile)
	g.load("nt", rK)
	g.G("SUB.S $1, %v, %v", rK, rK)
	g.G("MOVW %v, %d(R0)", rK, g.field("nt"))
	g.G("BNE %s", tile)
	g.G("RET")
}

// widenLines: bytes to words of nt pixels, lines of 8 of each; the second line goes cblk bytes further.
func (g *gen) widenLines(lines int) {
	const src, dst, dst2, left, ps X = 1, 2, 3, 4, 5
	g.kernel(fmt.Sprintf("widen%d", lines), "kargs", fmt.Sprintf("widens %d bytes of nt pixels, ps bytes apart, to lines of 8 words, cblk bytes apart.", 8*lines), 0)
	g.load("a", src, "c", dst, "cblk", dst2, "nt", left, "ps", ps)
	g.G("ADD %v, %v, %v", dst, dst2, dst2)
	four, rest, one, done := g.NewLabel("four"), g.NewLabel("rest"), g.NewLabel("one"), g.NewLabel("done")
	body := func(n int) {
		for p := range n {
			g.VLD1(0, Q(p), 2, src, By(ps))
		}
		for p := range n {
			g.VMOVLU(0, Q(4+p), Q(p).Lo())
		}
		if lines == 2 {
			for p := range n {
				g.VMOVLU(0, Q(8+p), Q(p).Hi())
			}
			g.VSTM(Q(8), 2*n, dst2, Next)
		}
		g.VSTM(Q(4), 2*n, dst, Next)
	}
	g.G("SUB.S $4, %v, %v", left, left)
	g.G("BLT %s", rest)
	g.Label(four)
	body(4)
	g.G("SUB.S $4, %v, %v", left, left)
	g.G("BGE %s", four)
	g.Label(rest)
	g.G("ADD.S $4, %v, %v", left, left)
	g.G("BEQ %s", done)
	g.Label(one)
	body(1)
	g.G("SUB.S $1, %v, %v", left, left)
	g.G("BNE %s", one)
	g.Label(done)
	g.G("RET")
}

// windows: rows of windows one after the other as words, a window a pixel. Rows have up to 8*words bytes; what is behind their end is written too and
// then overwritten by what follows.
func (g *gen) windows(words int) {
	const src, dst, n, inRow, length, ps, size, s, d, left X = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12
	g.kernel(fmt.Sprintf("windows%d", 8*words), "windowArgs", fmt.Sprintf("lays the rows of windows, up to %d bytes each, one after the other as words, a window a pixel.", 8*words), 4)
	g.load("src", src, "dst", dst, "n", n, "inRow", inRow, "len", length, "ps", ps, "size", size)
	pixel, row := g.NewLabel("pixel"), g.NewLabel("row")
	g.Label(pixel)
	g.load("rows", left)
	g.G("MOVW %v, %v", src, s)
	g.G("MOVW %v, %v", dst, d)
	g.Label(row)
	g.VLD1(0, D(0), words, s, By(inRow))
	for i := range words {
		g.VMOVLU(0, Q(4+i), D(i))
	}
	if words == 4 {
		g.G("ADD $32, %v, R14", d)
		g.VST1(1, Q(6), 4, 14, Stay)
	}
	g.VST1(1, Q(4), 4, d, By(length))
	g.G("SUB.S $1, %v, %v", left, left)
	g.G("BNE %s", row)
	g.G("ADD %v, %v, %v", ps, src, src)
	g.G("ADD %v, %v, %v", size, dst, dst)
	g.G("SUB.S $1, %v, %v", n, n)
	g.G("BNE %s", pixel)
	g.G("RET")
}

// winoIn8: 4x4 pixels of 16 channels in bytes -> 16 points in words of 8 channels, twice, rrow bytes apart. Bytes D0-D15, words of a column Q8-Q11,
// its points Q12-Q15.
func (g *gen) winoIn8() {
	const src, dst, tile, left, row, ps, ps4, p, r, q, sixteen X = 1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 12
	g.kernel("winoIn8", "winoArgs", "transforms 4x4 inputs of 16 channels of each tile to 16 points in words for F(2x2); rrow is the way to the upper channels.", 4)
	g.load("src", src, "dst", dst, "tiles", tile, "nt", left, "row", row, "ps", ps)
	g.G("MOVW %v<<2, %v", ps, ps4)
	g.G("SUB $64, %v, %v", row, row)
	g.G("MOVW $16, %v", sixteen)
	loop := g.NewLabel("tile")
	g.Label(loop)
	for h := range 2 {
		g.G("MOVW 0(%v), %v", tile, p)
		g.G("ADD %v, %v, %v", src, p, p)
		if h == 1 {
			g.G("ADD $8, %v, %v", p, p)
		}
		for i := range 4 {
			for j := range 4 {
				g.VLD1(0, D(4*i+j), 1, p, By(sixteen))
			}
			if i < 3 {
				g.G("ADD %v, %v, %v", row, p, p)
			}
		}
		g.G("MOVW %v, %v", dst, q)
		if h == 1 {
			g.load("rrow", r)
			g.G("ADD %v, %v, %v", r, q, q)
		}
		for j := range 4 {
			for i := range 4 {
				b := func(k int) Reg { return D(4*i + k) }
				t := Q(8 + i)
				switch j {
				case 0:
					g.VSUBLU(0, t, b(0), b(2))
				case 1:
					g.VADDLU(0, t, b(1), b(2))
				case 2:
					g.VSUBLU(0, t, b(2), b(1))
				case 3:
					g.VSUBLU(0, t, b(1), b(3))
				}
			}
			g.VSUB(1, Q(12), Q(8), Q(10))
			g.VADD(1, Q(13), Q(9), Q(10))
			g.VSUB(1, Q(14), Q(10), Q(9))
			g.VSUB(1, Q(15), Q(9), Q(11))
			g.G("MOVW %v, %v", q, r)
			for i := range 4 {
				g.VST1(2, Q(12+i), 2, r, By(ps4))
			}
			if j < 3 {
				g.G("ADD %v, %v, %v", ps, q, q)
			}
		}
	}
	g.G("ADD $16, %v, %v", dst, dst)
	g.G("ADD $40, %v, %v", tile, tile)
	g.G("SUB.S $1, %v, %v", left, left)
	g.G("BNE %s", loop)
	g.G("RET")
}

// winoOut8: 16 points of 8 sums -> 2x2 pixels of 8 bytes; the sums are four times those of the direct product. Four outputs at a time: points of a
// row Q12-Q15, what stays Q4-Q11; the first four wait on the stack behind the constants of the store and the factors and addends.
func (g *gen) winoOut8() {
	const src, tile, ps, p, out, rp, nr, nc, tmp, stack, left X = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14
	const table, wait = storeFrame, storeFrame + 64
	g.kernel("winoOut8", "winoArgs", "transforms 8 sums of the points of each tile back, scales, adds bias and residual, and stores bytes between lo and hi; it writes only pixels that exist.", wait+64)
	g.storeHead(tmp)
	g.G("ADD $4, R13, %v", stack)
	g.load("scale", p, "bias", out)
	g.G("ADD $%d, %v, %v", table, stack, tmp)
	for range 2 { // a factor and an addend of four outputs
		g.VLD1(2, Q(1), 2, p, Next)
		g.VLD1(2, Q(2), 2, out, Next)
		g.VSTM(Q(1), 4, tmp, Next)
	}
	g.load("src", src, "tiles", tile, "ps", ps, "nt", left)
	back := func(m0, m1, m2, m3, y0, y1 Reg) { // m0 + m1 + m2 and m1 - m2 - m3; y0 and y1 may be m0 and m1
		g.VADD(2, y0, m0, m1)
		g.VSUB(2, y1, m1, m2)
		g.VADD(2, y0, y0, m2)
		g.VSUB(2, y1, y1, m3)
	}
	loop, next := g.NewLabel("tile"), g.NewLabel("next")
	g.Label(loop)
	for h := range 2 {
		g.G("ADD $%d, %v, %v", 16*h, src, p)
		for i := range 4 {
			for j := range 4 {
				g.VLD1(2, Q(12+j), 2, p, By(ps))
			}
			back(Q(12), Q(13), Q(14), Q(15), Q(4+2*i), Q(5+2*i))
		}
		for j := range 2 {
			back(Q(4+j), Q(6+j), Q(8+j), Q(10+j), Q(4+j), Q(6+j))
		}
		g.G("ADD $%d, %v, %v", table+32*h, stack, tmp)
		g.VLDM(Q(12), 4, tmp, Stay)
		for _, v := range qs(4, 4) {
			g.VSHRS(2, v, v, 2)
		}
		for _, v := range qs(4, 4) {
			g.VADD(2, v, v, Q(13))
		}
		for _, v := range qs(4, 4) {
			g.VCVTFS(v, v)
		}
		for _, v := range qs(4, 4) {
			g.VMULF(v, v, Q(12))
		}
		if h == 0 {
			g.G("ADD $%d, %v, %v", wait, stack, tmp)
			g.VSTM(Q(4), 8, tmp, Stay)
		}
	}
	g.G("ADD $%d, %v, %v", wait, stack, tmp)
	g.VLDM(Q(8), 8, tmp, Stay)
	g.VLDM(Q(12), 8, stack, Stay)
	g.G("MOVW 8(%v), %v", tile, out)
	g.load("dst", tmp)
	g.G("ADD %v, %v, %v", tmp, out, out)
	g.G("MOVW 16(%v), %v", tile, rp)
	g.load("res", tmp)
	g.G("ADD %v, %v, %v", tmp, rp, rp)
	g.G("MOVW 24(%v), %v", tile, nr)
	g.G("MOVW 32(%v), %v", tile, nc)
	for i := range 2 {
		end := g.NewLabel("end")
		if i == 1 {
			g.G("CMP $2, %v", nr)
			g.G("BLT %s", next)
			g.load("row", tmp, "rrow", p)
			g.G("ADD %v, %v, %v", tmp, out, out)
			g.G("ADD %v, %v, %v", p, rp, rp)
		}
		for j := range 2 {
			if j == 1 {
				g.G("CMP $2, %v", nc)
				g.G("BLT %s", end)
			}
			lo, hi := Q(8+2*i+j), Q(4+2*i+j)
			none := g.NewLabel("nores")
			g.load("res", tmp)
			g.G("CMP $0, %v", tmp)
			g.G("BEQ %s", none)
			g.G("ADD $64, %v, %v", stack, tmp)
			g.VLD1(0, D(0), 1, tmp, Stay)
			g.G("ADD $%d, %v, %v", 16*j, rp, tmp)
			g.residual(lo, hi, tmp, Stay)
			g.Label(none)
			g.G("ADD $80, %v, %v", stack, tmp)
			g.VLDM(Q(1), 2, tmp, Stay)
			g.round(Q(0), lo, hi, Q(1))
			g.VQMOVUN(0, D(2), Q(0))
			g.VMAXU(0, D(2), D(2), Q(13).Lo())
			g.VMINU(0, D(2), D(2), Q(14).Lo())
			if j == 0 {
				g.VST1(0, D(2), 1, out, Stay)
			} else {
				g.G("ADD $16, %v, %v", out, tmp)
				g.VST1(0, D(2), 1, tmp, Stay)
			}
		}
		g.Label(end)
	}
	g.Label(next)
	g.G("ADD $32, %v, %v", src, src)
	g.G("ADD $40, %v, %v", tile, tile)
	g.G("SUB.S $1, %v, %v", left, left)
	g.G("BNE %s", loop)
	g.G("RET")
}

// dw8: depthwise of 8 channels over words: 3x3 of stride 1 or 2, or (0) any taps; rows of nt columns by fours and a tail. Sums Q4-Q11, weights of a row
// Q0-Q2, inputs Q12-Q15.
func (g *gen) dw8(form int) {
	const left, src, rows, row0, row1, w, row2 X = 1, 2, 3, 4, 5, 6, 12
	name, doc := fmt.Sprintf("wdw3s%d", form), fmt.Sprintf("does a 3x3 depthwise convolution of stride %d of 8 channels over words.", form)
	if form == 0 {
		name, doc = "wdwAny", "does a depthwise convolution by taps of 8 channels over words."
	}
	g.kernel(name, "wdwArgs", doc, storeFrame+4)
	g.storeHead(rP)
	out := storeFrame + 4 // where the place in the output waits
	g.load("src", src, "nr", rows)
	in := []X{row0, row1, row2}
	mac := func(seen map[int]bool, x int, in, w Reg) {
		f := g.VMLALS
		if !seen[x] {
			f = g.VMULLS
		}
		seen[x] = true
		f(1, Q(4+2*x), in.Lo(), w.Lo())
		f(1, Q(5+2*x), in.Hi(), w.Hi())
	}
	tile := func(c int) {
		if form > 0 {
			seen := map[int]bool{}
			g.load("w", w)
			n := (c-1)*form + 3
			for i := range 3 {
				g.VLDM(Q(0), 6, w, Next)
				for at := 0; at < n; at += 4 {
					k := min(4, n-at)
					g.VLDM(Q(12), 2*k, in[i], Next)
					for j := range k {
						for x := range c {
							if kx := at + j - x*form; kx >= 0 && kx <= 2 {
								mac(seen, x, Q(12+j), Q(kx))
							}
						}
					}
				}
				if c == 4 {
					g.G("SUB $%d, %v, %v", 16*(n-4*form), in[i], in[i])
				}
			}
		} else {
			for _, v := range qs(4, 2*c) {
				g.ZERO(v)
			}
			tap := g.NewLabel("tap")
			g.load("w", w, "taps", row1, "nk", row2, "ps", rTmp)
			g.Label(tap)
			g.G("MOVW.P 8(%v), %v", row1, rP)
			g.G("ADD %v, %v, %v", row0, rP, rP)
			g.VLDM(Q(0), 2, w, Next)
			for x := range c {
				g.VLD1(2, Q(12+x), 2, rP, By(rTmp))
			}
			for x := range c {
				mac(map[int]bool{x: true}, x, Q(12+x), Q(0))
			}
			g.G("SUB.S $1, %v, %v", row2, row2)
			g.G("BNE %s", tap)
			if c == 4 {
				g.G("ADD %v<<2, %v, %v", rTmp, row0, row0)
			}
		}
		g.requant(c, nil)
		g.G("MOVW %d(R13), %v", out, rP)
		g.G("MOVW $16, %v", rTmp)
		for p := range c {
			g.VST1(0, D(8+p), 1, rP, By(rTmp))
		}
		g.G("MOVW %v, %d(R13)", rP, out)
	}
	row, col, tail, next, one, two := g.NewLabel("row"), g.NewLabel("col"), g.NewLabel("tail"), g.NewLabel("next"), g.NewLabel("tail1"), g.NewLabel("tail2")
	g.Label(row)
	g.G("MOVW %v, %v", src, row0)
	if form > 0 {
		g.load("ps", rTmp) // of a row of the input
		g.G("ADD %v, %v, %v", rTmp, row0, row1)
		g.G("ADD %v, %v, %v", rTmp, row1, row2)
	}
	g.load("dst", rTmp)
	g.G("MOVW %v, %d(R13)", rTmp, out)
	g.load("nt", left)
	g.G("SUB.S $4, %v, %v", left, left)
	g.G("BLT %s", tail)
	g.Label(col)
	tile(4)
	g.G("SUB.S $4, %v, %v", left, left)
	g.G("BGE %s", col)
	g.Label(tail)
	g.G("ADD.S $4, %v, %v", left, left)
	g.G("BEQ %s", next)
	g.G("CMP $2, %v", left)
	g.G("BLT %s", one)
	g.G("BEQ %s", two)
	tile(3)
	g.G("B %s", next)
	g.Label(two)
	tile(2)
	g.G("B %s", next)
	g.Label(one)
	tile(1)
	g.Label(next)
	done := g.NewLabel("done")
	g.G("SUB.S $1, %v, %v", rows, rows)
	g.G("BEQ %s", done) // the pointer in the argument never leaves the tensor: the collector looks at it
	g.load("irow", rTmp, "dst", rP, "orow", rSteps)
	g.G("ADD %v, %v, %v", rTmp, src, src)
	g.G("ADD %v, %v, %v", rSteps, rP, rP)
	g.G("MOVW %v, %d(R0)", rP, g.field("dst"))
	g.G("B %s", row)
	g.Label(done)
	g.G("RET")
}
