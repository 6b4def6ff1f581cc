package main

import (
	. "fettle/kernels/_asm/arm64gen/asm"
)

// Kernels of quant: lines of 16 elements. Bounds are whole numbers, so they are applied to the bytes at the end; what lies
// outside saturates before. Registers: q16 reads 16 bytes as four vectors of floats, q16out rounds four vectors to 16 bytes.
const qDst, qSrc, qScales, qN, qTmp, qCount X = 1, 2, 3, 4, 5, 6

func quantKernels(g *gen) {
	g.quantize("quantizeU", false)
	g.quantize("quantizeS", true)
	g.requantize("requantizeU", false)
	g.requantize("requantizeS", true)
	g.dequantize("dequantizeU", false)
	g.dequantize("dequantizeS", true)
	g.sum8()
	g.mul8()
	g.scale16()
	g.add16()
	g.lookup()
	g.wordsAndFloats("words16", true)
	g.wordsAndFloats("floats16", false)
}

// wordsAndFloats changes between 8 words and twice 4 floats a line.
func (g *gen) wordsAndFloats(name string, toWords bool) {
	const words, a, b, n, stride X = 1, 2, 3, 4, 7
	doc := "multiplies 8 words a line by scale: four floats at a and four at b."
	if toWords {
		doc = "divides four floats at a and four at b by scale and rounds them to 8 words a line."
	}
	g.kernel(name, "wargs", doc)
	for i, r := range []X{words, a, b, n, stride} {
		g.load(8*i, r)
	}
	g.field(40, V[31])
	g.G("MOVD $0xff7fffff, %v", qTmp) // the least float: what NaN becomes
	g.DUPX(V[29].S4, qTmp)
	two, rest, done := g.NewLabel("two"), g.NewLabel("rest"), g.NewLabel("done")
	lines := func(m int) {
		f := vr(16, 2*m)
		if toWords {
			for i := range m {
				g.LD1P(f[2*i:2*i+1], a, stride)
				g.LD1P(f[2*i+1:2*i+2], b, stride)
			}
			for _, v := range f {
				g.FDIV(v.S4, v.S4, V[31].S4)
			}
			for _, v := range f {
				g.FMAXNM(v.S4, v.S4, V[29].S4)
			}
			for _, v := range f {
				g.FCVTNS(v.S4, v.S4)
			}
			for i := range m {
				g.SQXTN(V[i].H4, f[2*i].S4)
				g.SQXTN(V[i].H8, f[2*i+1].S4)
			}
			g.ST1P(vr(0, m), words, XZR)
			return
		}
		g.LD1P(vr(0, m), words, XZR)
		for i := range m {
			g.SXTL(f[2*i].S4, V[i].H4)
			g.SXTL(f[2*i+1].S4, V[i].H8)
		}
		for _, v := range f {
			g.SCVTF(v.S4, v.S4)
		}
		for _, v := range f {
			g.FMUL(v.S4, v.S4, V[31].S4)
		}
		for i := range m {
			g.ST1P(f[2*i:2*i+1], a, stride)
			g.ST1P(f[2*i+1:2*i+2], b, stride)
		}
	}
	g.G("SUBS $2, %v, %v", n, n)
	g.G("BLT %s", rest)
	g.Label(two)
	lines(2)
	g.G("SUBS $2, %v, %v", n, n)
	g.G("BGE %s", two)
	g.Label(rest)
	g.G("TBZ $0, %v, %s", n, done)
	lines(1)
	g.Label(done)
	g.G("RET")
}

func (g *gen) quantHead(name, doc string) {
	g.kernel(name, "qargs", doc)
	for i, r := range []X{qDst, qSrc, qScales, qN} {
		g.load(8*i, r)
	}
}

// field broadcasts the float32 at an offset of the argument.
func (g *gen) field(off int, v VReg) {
	g.G("ADD $%d, R0, %v", off, qTmp)
	g.LDnR([]VReg{v}, V[0].S4, qTmp)
}

// whole broadcasts the whole number in the float32 at an offset to all lanes of d.
func (g *gen) whole(off int, d Arr) {
	g.G("FMOVS %d(R0), F0", off)
	g.G("FCVTZSSW F0, %v", qTmp)
	g.DUPX(d, qTmp)
}

func (g *gen) lines(body func()) {
	loop := g.NewLabel("line")
	g.Label(loop)
	body()
	g.G("SUBS $1, %v, %v", qN, qN)
	g.G("BNE %s", loop)
	g.G("RET")
}

// widen makes four vectors of int32 in V[to]... of the bytes in b.
func (g *gen) widen(to int, b VReg, signed bool) {
	x := g.UXTL
	if signed {
		x = g.SXTL
	}
	x(V[to+2].H8, b.B16)
	x(V[to].H8, b.B8)
	x(V[to+3].S4, V[to+2].H8)
	x(V[to+2].S4, V[to+2].H4)
	x(V[to+1].S4, V[to].H8)
	x(V[to].S4, V[to].H4)
}

// round16 rounds four vectors from V[from] to bytes in V[from], unsigned and between the bytes of lo and hi; h, if not nil, is added
// to the whole numbers.
func (g *gen) round16(from int, signed bool, h, lo, hi *VReg) {
	x := vr(from, 4)
	for _, v := range x {
		g.FCVTNS(v.S4, v.S4)
	}
	g.SQXTN(x[0].H4, x[0].S4)
	g.SQXTN(x[0].H8, x[1].S4)
	g.SQXTN(x[2].H4, x[2].S4)
	g.SQXTN(x[2].H8, x[3].S4)
	if h != nil {
		g.SQADD(x[0].H8, x[0].H8, h.H8)
		g.SQADD(x[2].H8, x[2].H8, h.H8)
	}
	if signed {
		g.SQXTN(x[0].B8, x[0].H8)
		g.SQXTN(x[0].B16, x[2].H8)
		return
	}
	g.SQXTUN(x[0].B8, x[0].H8)
	g.SQXTUN(x[0].B16, x[2].H8)
	if lo != nil {
		g.UMAX(x[0].B16, x[0].B16, lo.B16)
		g.UMIN(x[0].B16, x[0].B16, hi.B16)
	}
}

func (g *gen) quantize(name string, signed bool) {
	g.quantHead(name, "divides by scale, rounds, adds zero and saturates 16 floats a line.")
	g.whole(36, V[30].H8)
	g.field(32, V[31])
	g.G("MOVD $0xff7fffff, %v", qTmp) // the least float: what NaN becomes
	g.DUPX(V[29].S4, qTmp)
	g.lines(func() {
		g.LD1P(vr(4, 4), qSrc, XZR)
		for _, v := range vr(4, 4) {
			g.FDIV(v.S4, v.S4, V[31].S4)
		}
		for _, v := range vr(4, 4) {
			g.FMAXNM(v.S4, v.S4, V[29].S4)
		}
		g.round16(4, signed, &V[30], nil, nil)
		g.ST1P(vr(4, 1), qDst, XZR)
	})
}

func (g *gen) requantize(name string, signed bool) {
	g.quantHead(name, "multiplies 16 sums a line by their scales, rounds, adds zero and saturates.")
	g.whole(36, V[30].H8)
	g.lines(func() {
		g.LD1P(vr(4, 4), qSrc, XZR)
		g.LD1P(vr(8, 4), qScales, XZR)
		for i, v := range vr(4, 4) {
			g.SCVTF(v.S4, v.S4)
			g.FMUL(v.S4, v.S4, V[8+i].S4)
		}
		g.round16(4, signed, &V[30], nil, nil)
		g.ST1P(vr(4, 1), qDst, XZR)
	})
}

func (g *gen) dequantize(name string, signed bool) {
	g.quantHead(name, "computes (src - zero) * scale of 16 bytes a line.")
	g.field(36, V[30])
	g.field(32, V[31])
	g.lines(func() {
		g.LD1P(vr(8, 1), qSrc, XZR)
		g.widen(4, V[8], signed)
		for _, v := range vr(4, 4) {
			g.SCVTF(v.S4, v.S4)
			g.FSUB(v.S4, v.S4, V[30].S4)
			g.FMUL(v.S4, v.S4, V[31].S4)
		}
		g.ST1P(vr(4, 4), qDst, XZR)
	})
}

func (g *gen) sum8() {
	g.quantHead("sum16", "is round(src*scale + zero + scales*scaleB), between lo and hi, of 16 bytes a line.")
	g.bounds8()
	g.field(32, V[31])
	g.field(36, V[30])
	g.field(48, V[29])
	g.lines(func() {
		g.LD1P(vr(16, 1), qSrc, XZR)
		g.LD1P(vr(17, 1), qScales, XZR)
		g.widen(4, V[16], false)
		g.widen(8, V[17], false)
		for i := range 4 {
			g.SCVTF(V[4+i].S4, V[4+i].S4)
			g.SCVTF(V[8+i].S4, V[8+i].S4)
			g.MOV(V[12+i], V[30])
			g.FMLA(V[12+i].S4, V[4+i].S4, V[31].S4)
			g.FMLA(V[12+i].S4, V[8+i].S4, V[29].S4)
		}
		g.round16(12, false, nil, &V[26], &V[27])
		g.ST1P(vr(12, 1), qDst, XZR)
	})
}

// bounds8 puts lo and hi into the bytes of V26 and V27.
func (g *gen) bounds8() {
	g.whole(40, V[26].B16)
	g.whole(44, V[27].B16)
}

func (g *gen) mul8() {
	g.quantHead("mul16", "is round((src-zeroA)*(scales-zeroB)*scale + zero), between lo and hi, of 16 bytes a line.")
	g.bounds8()
	g.field(32, V[31])
	g.field(36, V[30])
	g.whole(52, V[28].B16)
	g.whole(56, V[29].B16)
	g.lines(func() {
		g.LD1P(vr(16, 1), qSrc, XZR)
		g.LD1P(vr(17, 1), qScales, XZR)
		g.USUBL(V[4].H8, V[16].B8, V[28].B8)
		g.USUBL(V[5].H8, V[16].B16, V[28].B16)
		g.USUBL(V[6].H8, V[17].B8, V[29].B8)
		g.USUBL(V[7].H8, V[17].B16, V[29].B16)
		for h := range 2 {
			g.SMULL(V[8+2*h].S4, V[4+h].H4, V[6+h].H4)
			g.SMULL(V[9+2*h].S4, V[4+h].H8, V[6+h].H8)
		}
		for i := range 4 {
			g.SCVTF(V[8+i].S4, V[8+i].S4)
			g.MOV(V[12+i], V[30])
			g.FMLA(V[12+i].S4, V[8+i].S4, V[31].S4)
		}
		g.round16(12, false, nil, &V[26], &V[27])
		g.ST1P(vr(12, 1), qDst, XZR)
	})
}

func (g *gen) scale16() {
	g.quantHead("scale16", "is round(src*factor + addend), between lo and hi, a factor and an addend for each of 16 channels.")
	g.bounds8()
	g.LD1P(vr(16, 4), qScales, XZR)
	g.lines(func() {
		g.LD1P(vr(8, 1), qSrc, XZR)
		g.widen(4, V[8], false)
		g.LD1(vr(12, 4), qScales) // the addends
		for i := range 4 {
			g.SCVTF(V[4+i].S4, V[4+i].S4)
			g.FMLA(V[12+i].S4, V[4+i].S4, V[16+i].S4)
		}
		g.round16(12, false, nil, &V[26], &V[27])
		g.ST1P(vr(12, 1), qDst, XZR)
	})
}

// add16 adds lines in 16 bits, up to 256 of them, and these sums to the 32 bits of the result.
func (g *gen) add16() {
	g.quantHead("add16", "adds lines of 16 channels to the sum of each channel.")
	outer, inner, last := g.NewLabel("outer"), g.NewLabel("inner"), g.NewLabel("last")
	g.LD1(vr(0, 4), qDst)
	g.Label(outer)
	g.G("MOVD $256, %v", qCount)
	g.G("CMP %v, %v", qCount, qN)
	g.G("CSEL LT, %v, %v, %v", qN, qCount, qCount)
	g.G("SUB %v, %v, %v", qCount, qN, qN)
	g.ZERO(V[4])
	g.ZERO(V[5])
	four, rest := g.NewLabel("four"), g.NewLabel("rest")
	add := func(n int) {
		g.LD1P(vr(16, n), qSrc, XZR)
		for i := range n {
			g.UADDW(V[4].H8, V[4].H8, V[16+i].B8)
			g.UADDW(V[5].H8, V[5].H8, V[16+i].B16)
		}
	}
	g.G("SUBS $4, %v, %v", qCount, qCount)
	g.G("BLT %s", rest)
	g.Label(four)
	add(4)
	g.G("SUBS $4, %v, %v", qCount, qCount)
	g.G("BGE %s", four)
	g.Label(rest)
	g.G("ADDS $4, %v, %v", qCount, qCount)
	g.G("BEQ %s", last)
	g.Label(inner)
	add(1)
	g.G("SUBS $1, %v, %v", qCount, qCount)
	g.G("BNE %s", inner)
	g.Label(last)
	g.UADDW(V[0].S4, V[0].S4, V[4].H4)
	g.UADDW(V[1].S4, V[1].S4, V[4].H8)
	g.UADDW(V[2].S4, V[2].S4, V[5].H4)
	g.UADDW(V[3].S4, V[3].S4, V[5].H8)
	g.G("CBNZ %v, %s", qN, outer)
	g.ST1(vr(0, 4), qDst)
	g.G("RET")
}

// lookup: four look-ups of 64 bytes; an index beyond a table leaves what the others have found.
func (g *gen) lookup() {
	g.quantHead("lookup16", "replaces 16 bytes a line by the table of 256 bytes at scales.")
	for i := range 4 {
		g.LD1P(vr(16+4*i, 4), qScales, XZR)
	}
	g.G("MOVD $64, %v", qTmp)
	g.DUPX(V[8].B16, qTmp)
	find := func(n int) {
		for i := range n {
			g.TBL(V[4+i].B16, vr(16, 4), V[i].B16)
		}
		for t := 1; t < 4; t++ {
			for i := range n {
				g.SUB(V[i].B16, V[i].B16, V[8].B16)
			}
			for i := range n {
				g.TBX(V[4+i].B16, vr(16+4*t, 4), V[i].B16)
			}
		}
	}
	rest, four, done := g.NewLabel("rest"), g.NewLabel("four"), g.NewLabel("done")
	g.G("SUBS $4, %v, %v", qN, qN)
	g.G("BLT %s", rest)
	g.Label(four)
	g.LD1P(vr(0, 4), qSrc, XZR)
	find(4)
	g.ST1P(vr(4, 4), qDst, XZR)
	g.G("SUBS $4, %v, %v", qN, qN)
	g.G("BGE %s", four)
	g.Label(rest)
	g.G("ADDS $4, %v, %v", qN, qN)
	g.G("BEQ %s", done)
	g.lines(func() {
		g.LD1P(vr(0, 1), qSrc, XZR)
		find(1)
		g.ST1P(vr(4, 1), qDst, XZR)
	})
	g.Label(done)
	g.G("RET")
}
