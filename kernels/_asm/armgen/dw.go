package main

import (
	"fmt"

	. "fettle/kernels/_asm/armgen/asm"
)

// Depthwise convolution, float32, one block of 4 channels a call.
const ( // general registers by role
	dSrc, dDst, dIn0, dIn1, dIn2, dLeft, dRows, dInRow, dOut, dStack, dTmp X = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14
)

// Bytes of the stack, from 4(R13) on: the bias four times, then the bounds.
const dBounds, dFrame = 64, 96

func dwKernels(g *gen) {
	g.dw3x3(1)
	g.dw3x3(2)
	for _, cols := range []int{4, 2, 1} {
		g.dwAny(cols)
		g.dw5x5(1, cols)
		g.dw5x5(2, cols)
	}
	g.actSpan()
}

// dwHead writes the bias, four times, and the bounds to the stack.
func (g *gen) dwHead() {
	g.G("ADD $4, R13, %v", dStack)
	g.load("bias", dTmp)
	g.VLD1(2, Q(0), 2, dTmp, Stay)
	g.G("MOVW %v, %v", dStack, dTmp)
	for range 4 {
		g.VST1(2, Q(0), 2, dTmp, Next)
	}
	g.G("ADD $%d, R0, %v", g.field("lo"), dLeft)
	for i := range 2 {
		g.VLD1R(2, Q(i), dLeft, Next)
	}
	g.VSTM(Q(0), 4, dTmp, Stay)
}

// bound applies the clamp, if there is one, to registers; t and the one behind it are free.
func (g *gen) bound(x []Reg, t int) {
	skip := g.NewLabel("unbound")
	g.load("act", dTmp)
	g.G("CMP $0, %v", dTmp)
	g.G("BEQ %s", skip)
	g.G("ADD $%d, %v, %v", dBounds, dStack, dTmp)
	g.VLDM(Q(t), 4, dTmp, Stay)
	for _, v := range x {
		g.VMAXF(v, v, Q(t))
	}
	for _, v := range x {
		g.VMINF(v, v, Q(t+1))
	}
	g.Label(skip)
}

// dw3x3: 3x3 of stride s, nt*cols columns by fours and a tail. Weights Q0-Q8, sums Q9-Q12, inputs by threes in Q13-Q15: 36 VMLA for 6 loads (9 of
// stride 2).
func (g *gen) dw3x3(s int) {
	g.kernel(fmt.Sprintf("dw3s%d", s), "dwArgs", fmt.Sprintf("does a 3x3 depthwise convolution of stride %d; act not 0: it clamps to lo, hi.", s), dFrame)
	g.dwHead()
	g.load("w", dTmp)
	g.VLDM(Q(0), 8, dTmp, Next)
	g.VLDM(Q(4), 10, dTmp, Stay)
	g.load("src", dSrc, "dst", dDst, "irow", dInRow)
	in := []X{dIn0, dIn1, dIn2}
	tile := func(c int) {
		g.VLDM(Q(9), 2*c, dStack, Stay)
		n := (c-1)*s + 3
		for i := range 3 {
			for at := 0; at < n; at += 3 {
				k := min(3, n-at)
				g.VLDM(Q(13), 2*k, in[i], Next)
				for j := range k {
					for x := range c {
						if kx := at + j - x*s; kx >= 0 && kx <= 2 {
							g.VMLAF(Q(9+x), Q(13+j), Q(3*i+kx))
						}
					}
				}
			}
			if c == 4 { // columns overlap
				g.G("SUB $%d, %v, %v", 16*(n-4*s), in[i], in[i])
			}
		}
		g.bound(qs(9, c), 13)
		g.VSTM(Q(9), 2*c, dOut, Next)
	}
	row, col, tail, next, one, two := g.NewLabel("row"), g.NewLabel("col"), g.NewLabel("tail"), g.NewLabel("next"), g.NewLabel("tail1"), g.NewLabel("tail2")
	g.load("nr", dRows)
	g.Label(row)
	g.G("MOVW %v, %v", dSrc, in[0])
	g.G("ADD %v, %v, %v", dInRow, in[0], in[1])
	g.G("ADD %v, %v, %v", dInRow, in[1], in[2])
	g.G("MOVW %v, %v", dDst, dOut)
	g.load("nt", dLeft, "cols", dTmp)
	g.G("MUL %v, %v, %v", dTmp, dLeft, dLeft)
	g.G("SUB.S $4, %v, %v", dLeft, dLeft)
	g.G("BLT %s", tail)
	g.Label(col)
	tile(4)
	g.G("SUB.S $4, %v, %v", dLeft, dLeft)
	g.G("BGE %s", col)
	g.Label(tail)
	g.G("ADD.S $4, %v, %v", dLeft, dLeft)
	g.G("BEQ %s", next)
	g.G("CMP $2, %v", dLeft)
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
	for range s {
		g.G("ADD %v, %v, %v", dInRow, dSrc, dSrc)
	}
	g.load("orow", dTmp)
	g.G("ADD %v, %v, %v", dTmp, dDst, dDst)
	g.G("SUB.S $1, %v, %v", dRows, dRows)
	g.G("BNE %s", row)
	g.G("RET")
}

// Further registers of the kernels of any taps.
const dTaps, dCount, dSp, dW, dPS X = 3, 4, 5, 7, 8

// dwAny: any taps, cols columns a tile. Sums Q0..., inputs Q4..., the weight of a tap Q8.
func (g *gen) dwAny(cols int) {
	tap := g.NewLabel("tap")
	g.dwTiles(fmt.Sprintf("dwAny%d", cols), fmt.Sprintf("does a depthwise convolution by taps, %d columns a tile; act not 0: it clamps to lo, hi.", cols), cols, 0, func() {
		g.load("taps", dTaps, "nk", dCount, "w", dW, "ps", dPS)
		g.Label(tap)
		g.G("MOVW.P 8(%v), %v", dTaps, dTmp)
		g.G("ADD %v, %v, %v", dSp, dTmp, dTmp)
		g.VLDM(Q(8), 2, dW, Next)
		for x := range cols {
			g.VLD1(2, Q(4+x), 2, dTmp, By(dPS))
		}
		for x := range cols {
			g.VMLAF(Q(x), Q(4+x), Q(8))
		}
		g.G("SUB.S $1, %v, %v", dCount, dCount)
		g.G("BNE %s", tap)
	})
}

// dw5x5: 25 taps side by side, of stride s: the inputs of a row serve five taps. Weights of a row Q0-Q4, sums Q5-Q8, inputs by sevens in Q9-Q15.
func (g *gen) dw5x5(s, cols int) {
	g.dwTiles(fmt.Sprintf("dw5s%dx%d", s, cols), fmt.Sprintf("does a 5x5 depthwise convolution of stride %d, %d columns a tile; act not 0: it clamps to lo, hi.", s, cols), cols, 5, func() {
		g.G("MOVW %v, %v", dSp, dTaps)
		g.load("w", dW, "taps", dTmp)
		g.G("MOVW 40(%v), %v", dTmp, dCount) // the first tap of the second row
		n := (cols-1)*s + 5
		for range 5 {
			g.G("MOVW %v, %v", dTaps, dTmp)
			g.G("ADD %v, %v, %v", dCount, dTaps, dTaps)
			g.VLDM(Q(0), 10, dW, Next)
			for at := 0; at < n; at += 7 {
				k := min(7, n-at)
				g.VLDM(Q(9), 2*k, dTmp, Next)
				for j := range k {
					for x := range cols {
						if kx := at + j - x*s; kx >= 0 && kx < 5 {
							g.VMLAF(Q(5+x), Q(9+j), Q(kx))
						}
					}
				}
			}
		}
	})
}

// dwTiles is the loop over rows and tiles of cols columns: sums, from Q(base) on, begin with the bias, body adds to them, then come residual and
// clamp. The argument counts rows.
func (g *gen) dwTiles(name, doc string, cols, base int, body func()) {
	g.kernel(name, "dwArgs", doc, dFrame)
	g.dwHead()
	g.load("src", dSrc, "dst", dDst)
	const rp = dInRow // of the residual, while ps is not needed
	row, tile, nores := g.NewLabel("row"), g.NewLabel("tile"), g.NewLabel("nores")
	g.Label(row)
	g.G("MOVW %v, %v", dSrc, dSp)
	g.G("MOVW %v, %v", dDst, dOut)
	g.load("nt", dLeft)
	g.Label(tile)
	g.VLDM(Q(base), 2*cols, dStack, Stay)
	body()
	g.load("res", rp)
	g.G("CMP $0, %v", rp)
	g.G("BEQ %s", nores)
	g.G("SUB %v, %v, %v", dDst, dOut, dTmp) // as far into the row as the output
	g.G("ADD %v, %v, %v", dTmp, rp, rp)
	g.VLDM(Q(9), 2*cols, rp, Stay)
	for x := range cols {
		g.VADDF(Q(base+x), Q(base+x), Q(9+x))
	}
	g.Label(nores)
	g.bound(qs(base, cols), 13)
	g.VSTM(Q(base), 2*cols, dOut, Next)
	g.load("ps", dPS)
	g.G("ADD %v<<%d, %v, %v", dPS, log2(cols), dSp, dSp)
	g.G("SUB.S $1, %v, %v", dLeft, dLeft)
	g.G("BNE %s", tile)
	done := g.NewLabel("done")
	g.load("nr", dTmp)
	g.G("SUB.S $1, %v, %v", dTmp, dTmp)
	g.G("MOVW %v, %d(R0)", dTmp, g.field("nr"))
	g.G("BEQ %s", done) // the pointer in the argument never leaves the tensor: the collector looks at it
	g.load("irow", dTmp, "orow", dW)
	g.G("ADD %v, %v, %v", dTmp, dSrc, dSrc)
	g.G("ADD %v, %v, %v", dW, dDst, dDst)
	g.load("res", dTmp)
	g.G("CMP $0, %v", dTmp)
	g.G("BEQ %s", row)
	g.load("rrow", dW)
	g.G("ADD %v, %v, %v", dW, dTmp, dTmp)
	g.G("MOVW %v, %d(R0)", dTmp, g.field("res"))
	g.G("B %s", row)
	g.Label(done)
	g.G("RET")
}

func log2(n int) int {
	l := 0
	for ; n > 1; n /= 2 {
		l++
	}
	return l
}
