package main

import (
	. "fettle/kernels/_asm/armgen/asm"
)

// Kernels of quant: lines of 16 elements. Bounds are whole numbers, so they are applied to the bytes at the end; what lies outside saturates
// before. Rounding is by magic, in Q12.
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
}

func (g *gen) quantHead(name, doc string, frame int) {
	g.kernel(name, "qargs", doc, frame)
	g.load("dst", qDst, "src", qSrc, "scales", qScales, "n", qN)
	g.G("MOVW $0x%x, %v", magicBits, qTmp)
	g.VDUPX(2, Q(12), qTmp)
}

// all broadcasts a float32 of the argument.
func (g *gen) all(name string, v Reg) {
	g.G("ADD $%d, R0, %v", g.field(name), qTmp)
	g.VLD1R(2, v, qTmp, Stay)
}

// whole broadcasts the whole number in a float32 of the argument, of 0..255 and in bytes, or signed and in words of 16 bits; t is free.
func (g *gen) whole(name string, v, t Reg, bytes bool) {
	g.all(name, v)
	g.VCVTSF(v, v)
	if !bytes {
		g.VMOVN(1, t.Lo(), v)
		g.VMOVN(1, t.Hi(), v)
		g.MOV(v, t)
		return
	}
	for _, by := range []int{8, 16} {
		g.VSHL(2, t, v, by)
		g.VORR(v, v, t)
	}
}

func (g *gen) lines(body func()) {
	loop := g.NewLabel("line")
	g.Label(loop)
	body()
	g.G("SUB.S $1, %v, %v", qN, qN)
	g.G("BNE %s", loop)
	g.G("RET")
}

// widen makes four vectors of floats in Q(to)... of the bytes in b.
func (g *gen) widen(to int, b Reg, signed bool) {
	x := g.VMOVLU
	if signed {
		x = g.VMOVLS
	}
	x(0, Q(to+1), b.Lo())
	x(0, Q(to+3), b.Hi())
	x(1, Q(to), Q(to+1).Lo())
	x(1, Q(to+1), Q(to+1).Hi())
	x(1, Q(to+2), Q(to+3).Lo())
	x(1, Q(to+3), Q(to+3).Hi())
	for _, v := range qs(to, 4) {
		g.VCVTFS(v, v)
	}
}

// round16 rounds four vectors from Q(from) to bytes in Q(from); h, if not nil, is added to the whole numbers, lo and hi, if not nil, bound them. fix may
// change the whole numbers of 32 bits.
func (g *gen) round16(from int, signed bool, fix func(), h, lo, hi *Reg) {
	x := qs(from, 4)
	for _, v := range x {
		g.VADDF(v, v, Q(12))
	}
	for _, v := range x {
		g.VQSUBS(2, v, v, Q(12))
	}
	if fix != nil {
		fix()
	}
	g.VQMOVN(1, x[0].Lo(), x[0])
	g.VQMOVN(1, x[0].Hi(), x[1])
	g.VQMOVN(1, x[2].Lo(), x[2])
	g.VQMOVN(1, x[2].Hi(), x[3])
	if h != nil {
		g.VQADDS(1, x[0], x[0], *h)
		g.VQADDS(1, x[2], x[2], *h)
	}
	narrow := g.VQMOVUN
	if signed {
		narrow = g.VQMOVN
	}
	narrow(0, x[0].Lo(), x[0])
	narrow(0, x[0].Hi(), x[2])
	if lo != nil {
		g.VMAXU(0, x[0], x[0], *lo)
		g.VMINU(0, x[0], x[0], *hi)
	}
}

func (g *gen) quantize(name string, signed bool) {
	g.quantHead(name, "divides by scale, rounds, adds zero and saturates 16 floats a line.", 4)
	zero := Q(13)
	g.whole("zero", zero, Q(0), false)
	g.all("scale", Q(4))
	g.G("MOVW $0xff7fffff, %v", qTmp) // the least float
	g.VDUPX(2, Q(14), qTmp)
	g.G("MOVW $0x80000000, %v", qTmp)
	g.VDUPX(2, Q(15), qTmp)
	g.lines(func() {
		g.VLDM(Q(0), 8, qSrc, Next)
		for _, v := range qs(0, 4) {
			for i := range 4 {
				g.VDIVS(v.S(i), v.S(i), Q(4).S(i))
			}
		}
		for i, v := range qs(0, 4) { // what is not above the least float is NaN or as good as the least
			g.VCGTF(Q(8+i), v, Q(14))
		}
		g.round16(0, signed, func() {
			for i, v := range qs(0, 4) {
				g.VEOR(v, v, Q(15)) // the least whole number where the mask is 0, by two changes of the top bit
				g.VAND(v, v, Q(8+i))
				g.VEOR(v, v, Q(15))
			}
		}, &zero, nil, nil)
		g.VST1(0, Q(0), 2, qDst, Next)
	})
}

func (g *gen) requantize(name string, signed bool) {
	g.quantHead(name, "multiplies 16 sums a line by their scales, rounds, adds zero and saturates.", 4)
	zero := Q(13)
	g.whole("zero", zero, Q(0), false)
	g.lines(func() {
		g.VLDM(Q(0), 8, qSrc, Next)
		g.VLDM(Q(4), 8, qScales, Next)
		for i, v := range qs(0, 4) {
			g.VCVTFS(v, v)
			g.VMULF(v, v, Q(4+i))
		}
		g.round16(0, signed, nil, &zero, nil, nil)
		g.VST1(0, Q(0), 2, qDst, Next)
	})
}

func (g *gen) dequantize(name string, signed bool) {
	g.quantHead(name, "computes (src - zero) * scale of 16 bytes a line.", 4)
	g.all("zero", Q(13))
	g.all("scale", Q(14))
	g.lines(func() {
		g.VLD1(0, Q(8), 2, qSrc, Next)
		g.widen(0, Q(8), signed)
		for _, v := range qs(0, 4) {
			g.VSUBF(v, v, Q(13))
		}
		for _, v := range qs(0, 4) {
			g.VMULF(v, v, Q(14))
		}
		g.VSTM(Q(0), 8, qDst, Next)
	})
}

func (g *gen) sum8() {
	g.quantHead("sum16", "is round(src*scale + zero + scales*scaleB), between lo and hi, of 16 bytes a line.", 4)
	lo, hi := Q(13), Q(14)
	g.whole("lo", lo, Q(0), true)
	g.whole("hi", hi, Q(0), true)
	g.all("scale", Q(8))
	g.all("zero", Q(9))
	g.all("scaleB", Q(10))
	g.lines(func() {
		g.VLD1(0, Q(15), 2, qSrc, Next)
		g.widen(0, Q(15), false)
		g.VLD1(0, Q(15), 2, qScales, Next)
		g.widen(4, Q(15), false)
		for _, v := range qs(0, 4) {
			g.VMULF(v, v, Q(8))
		}
		for _, v := range qs(0, 4) {
			g.VADDF(v, v, Q(9))
		}
		for i, v := range qs(0, 4) {
			g.VMLAF(v, Q(4+i), Q(10))
		}
		g.round16(0, false, nil, nil, &lo, &hi)
		g.VST1(0, Q(0), 2, qDst, Next)
	})
}

func (g *gen) mul8() {
	g.quantHead("mul16", "is round((src-zeroA)*(scales-zeroB)*scale + zero), between lo and hi, of 16 bytes a line.", 4)
	lo, hi := Q(13), Q(14)
	g.whole("lo", lo, Q(0), true)
	g.whole("hi", hi, Q(0), true)
	g.all("scale", Q(8))
	g.all("zero", Q(9))
	g.all("zeroA", Q(10))
	g.all("zeroB", Q(11))
	g.lines(func() {
		g.VLD1(0, Q(15), 2, qSrc, Next)
		g.widen(0, Q(15), false)
		g.VLD1(0, Q(15), 2, qScales, Next)
		g.widen(4, Q(15), false)
		for i := range 4 {
			g.VSUBF(Q(i), Q(i), Q(10))
			g.VSUBF(Q(4+i), Q(4+i), Q(11))
		}
		for i, v := range qs(0, 4) {
			g.VMULF(v, v, Q(4+i))
		}
		for _, v := range qs(0, 4) {
			g.VMULF(v, v, Q(8))
		}
		for _, v := range qs(0, 4) {
			g.VADDF(v, v, Q(9))
		}
		g.round16(0, false, nil, nil, &lo, &hi)
		g.VST1(0, Q(0), 2, qDst, Next)
	})
}

func (g *gen) scale16() {
	g.quantHead("scale16", "is round(src*factor + addend), between lo and hi, a factor and an addend for each of 16 channels.", 4)
	lo, hi := Q(13), Q(14)
	g.whole("lo", lo, Q(0), true)
	g.whole("hi", hi, Q(0), true)
	g.lines(func() {
		g.VLD1(0, Q(15), 2, qSrc, Next)
		g.widen(0, Q(15), false)
		g.G("MOVW %v, %v", qScales, qTmp)
		g.VLDM(Q(4), 8, qTmp, Next)
		for i, v := range qs(0, 4) {
			g.VMULF(v, v, Q(4+i))
		}
		g.VLDM(Q(4), 8, qTmp, Stay)
		for i, v := range qs(0, 4) {
			g.VADDF(v, v, Q(4+i))
		}
		g.round16(0, false, nil, nil, &lo, &hi)
		g.VST1(0, Q(0), 2, qDst, Next)
	})
}

// add16 adds lines in 16 bits, up to 256 of them, and these sums to the 32 bits of the result.
func (g *gen) add16() {
	g.quantHead("add16", "adds lines of 16 channels to the sum of each channel.", 4)
	outer, inner, few := g.NewLabel("outer"), g.NewLabel("inner"), g.NewLabel("few")
	g.VLDM(Q(0), 8, qDst, Stay)
	g.Label(outer)
	g.G("MOVW $256, %v", qCount)
	g.G("CMP %v, %v", qN, qCount)
	g.G("BLT %s", few)
	g.G("MOVW %v, %v", qN, qCount)
	g.Label(few)
	g.G("SUB %v, %v, %v", qCount, qN, qN)
	g.ZERO(Q(4))
	g.ZERO(Q(5))
	g.Label(inner)
	g.VLD1(0, Q(6), 2, qSrc, Next)
	g.VADDWU(0, Q(4), Q(4), Q(6).Lo())
	g.VADDWU(0, Q(5), Q(5), Q(6).Hi())
	g.G("SUB.S $1, %v, %v", qCount, qCount)
	g.G("BNE %s", inner)
	for i := range 4 {
		g.VADDWU(1, Q(i), Q(i), D(8+i))
	}
	g.G("CMP $0, %v", qN)
	g.G("BNE %s", outer)
	g.VSTM(Q(0), 8, qDst, Stay)
	g.G("RET")
}

// lookup: eight look-ups of 32 bytes; an index beyond a table leaves what the others have found. Three lines a turn: indexes Q0-Q2, results Q3-Q5, 32 in
// Q6; the table takes turns in Q8-Q15, half by half.
func (g *gen) lookup() {
	g.quantHead("lookup16", "replaces 16 bytes a line by the table of 256 bytes at scales.", 4)
	g.G("MOVW $32, %v", qTmp)
	g.VDUPX(0, Q(6), qTmp)
	body := func(n int) {
		g.VLD1(0, Q(0), min(4, 2*n), qSrc, Next)
		if n == 3 {
			g.VLD1(0, Q(2), 2, qSrc, Next)
		}
		g.G("MOVW %v, %v", qScales, qTmp)
		for t := range 8 {
			if t%4 == 0 {
				for i := range 4 { // of bytes: a table lies anywhere
					g.VLD1(0, Q(8+2*i), 4, qTmp, Next)
				}
			}
			for i := range 2 * n {
				if t == 0 {
					g.VTBL(D(6+i), D(16), 4, D(i))
				} else {
					g.VTBX(D(6+i), D(16+4*(t%4)), 4, D(i))
				}
			}
			for i := range n {
				if t < 7 {
					g.VSUB(0, Q(i), Q(i), Q(6))
				}
			}
		}
		g.VST1(0, Q(3), min(4, 2*n), qDst, Next)
		if n == 3 {
			g.VST1(0, Q(5), 2, qDst, Next)
		}
	}
	three, rest, done := g.NewLabel("three"), g.NewLabel("rest"), g.NewLabel("done")
	g.G("SUB.S $3, %v, %v", qN, qN)
	g.G("BLT %s", rest)
	g.Label(three)
	body(3)
	g.G("SUB.S $3, %v, %v", qN, qN)
	g.G("BGE %s", three)
	g.Label(rest)
	g.G("ADD.S $3, %v, %v", qN, qN)
	g.G("BEQ %s", done)
	g.lines(func() { body(1) })
	g.Label(done)
	g.G("RET")
}
