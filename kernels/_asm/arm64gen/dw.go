package main

import (
	"fmt"

	. "fettle/kernels/_asm/arm64gen/asm"
)

// Depthwise convolution, float32, one block of 4 channels after the other.
const ( // general registers by role
	dSrc, dW, dOut, dBias, dInRow, dOutRow, dNT, dNR   X = 1, 2, 3, 4, 5, 6, 7, 8
	dLo, dHi, dTmp, dSkip, dLeft, dTaps, dNK, dRes     X = 9, 10, 11, 12, 13, 14, 15, 16
	dResRow, dPS, dCount, dSp, dOp, dRp, dTp, dKp, dW2 X = 17, 19, 20, 21, 22, 23, 24, 25, 26
)

func dwKernels(g *gen) {
	for s := 1; s <= 2; s++ {
		for rows := 1; rows <= 2; rows++ {
			g.dw3x3(s, rows)
		}
	}
	for _, cols := range []int{8, 7, 4, 2, 1} { // 7: maps of the 224 family are multiples of 7 wide
		g.dwAny(cols)
		g.dw5x5(1, cols)
		if cols < 8 {
			g.dw5x5(2, cols)
		}
	}
	g.actSpan()
}

func (g *gen) dwHead() {
	for i, r := range []X{dSrc, dOut, dW, dBias, dInRow, dOutRow, dNT, dNR} {
		g.load(8*i, r)
	}
	g.G("ADD $72, R0, %v", dLo)
	g.G("ADD $76, R0, %v", dHi)
	g.LDnR(vr(30, 1), V[0].S4, dLo)
	g.LDnR(vr(31, 1), V[0].S4, dHi)
}

// spread writes the bias in v four times to the stack and leaves its place in at: a load of four registers takes the place of four copies,
// which on most cores go where the multiplications go.
func (g *gen) spread(v VReg, at X) {
	g.G("MOVD RSP, %v", at)
	g.G("ADD $16, %v, %v", at, at)
	for i := range 4 {
		g.STR(v, at, 16*i)
	}
}

// begin loads n sums from V[base] on with the bias that spread has written.
func (g *gen) begin(base, n int, at X) {
	for ; n > 0; base, n = base+4, n-4 {
		g.LD1(vr(base, min(4, n)), at)
	}
}

// bound applies the clamp in V30, V31 to registers, if there is one.
func (g *gen) bound(sums []VReg, clamps X) {
	skip := g.NewLabel("unbound")
	g.G("CBZ %v, %s", clamps, skip)
	defer g.Label(skip)
	for _, v := range sums {
		g.FMAX(v.S4, v.S4, V[30].S4)
	}
	for _, v := range sums {
		g.FMIN(v.S4, v.S4, V[31].S4)
	}
}

// dw3x3: 3x3 of stride s, rows output rows at once, nt*cols columns by fours and a tail. Weights V0-V8, sums V10..., inputs V18....
// Two rows share their inputs: 72 FMLA for 15 loads of four-register runs and 8 results.
func (g *gen) dw3x3(s, rows int) {
	const bias, clamps = dNK, dRes // what these are for is not needed here
	g.kernelFrame(fmt.Sprintf("dw3s%dr%d", s, rows), "dwArgs", fmt.Sprintf("does a 3x3 depthwise convolution of stride %d, %d rows at once; act not 0: it clamps to lo, hi.", s, rows), 64)
	g.dwHead()
	g.load(120, dTmp)
	g.G("MUL %v, %v, %v", dTmp, dNT, dNT)
	block := g.NewLabel("block")
	g.load(64, clamps)
	inRows := (rows-1)*s + 3
	in := []X{19, 20, 21, 22, 23}[:inRows]
	out := []X{24, 25}[:rows]
	g.G("MOVD $%d, %v", rows*s, dTmp)
	g.G("MUL %v, %v, %v", dTmp, dInRow, dSkip)
	g.Label(block)
	g.loadRun(0, 8, dW, XZR)
	g.LDRP(V[8], dW, 16)
	g.LDRP(V[9], dBias, 16)
	g.spread(V[9], bias)
	tile := func(c int) {
		for r := range rows {
			g.begin(10+4*r, c, bias)
		}
		n := (c-1)*s + 3
		for i := range inRows {
			base := 18
			for left := n; left > 0; left -= 4 { // the pointer steps over whole loads: what columns share is the last one
				k := min(4, left)
				if k == 4 {
					g.LD1P(vr(base, k), in[i], XZR)
				} else {
					g.LD1(vr(base, k), in[i])
				}
				base += k
			}
			for kx := range 3 {
				for r := range rows {
					if ky := i - r*s; ky >= 0 && ky <= 2 {
						for x := range c {
							g.FMLA(V[10+4*r+x].S4, V[18+x*s+kx].S4, V[3*ky+kx].S4)
						}
					}
				}
			}
		}
		var sums []VReg
		for r := range rows {
			sums = append(sums, vr(10+4*r, c)...)
		}
		g.bound(sums, clamps)
		for r := range rows {
			g.ST1P(vr(10+4*r, c), out[r], XZR)
		}
	}
	row, col, tail, next := g.NewLabel("row"), g.NewLabel("col"), g.NewLabel("tail"), g.NewLabel("next")
	one, two := g.NewLabel("tail1"), g.NewLabel("tail2")
	g.Label(row)
	g.G("MOVD %v, %v", dSrc, in[0])
	for i := 1; i < inRows; i++ {
		g.G("ADD %v, %v, %v", dInRow, in[i-1], in[i])
	}
	g.G("MOVD %v, %v", dOut, out[0])
	if rows == 2 {
		g.G("ADD %v, %v, %v", dOutRow, dOut, out[1])
	}
	g.G("SUBS $4, %v, %v", dNT, dLeft)
	g.G("BLT %s", tail)
	g.Label(col)
	tile(4)
	g.G("SUBS $4, %v, %v", dLeft, dLeft)
	g.G("BGE %s", col)
	g.Label(tail)
	g.G("ADDS $4, %v, %v", dLeft, dLeft)
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
	g.G("ADD %v, %v, %v", dSkip, dSrc, dSrc)
	for range rows {
		g.G("ADD %v, %v, %v", dOutRow, dOut, dOut)
	}
	g.G("SUBS $1, %v, %v", dNR, dNR)
	g.G("BNE %s", row)
	g.nextBlock(block, func() {})
	g.G("RET")
}

// nextBlock begins with the next block of channels at label, if there is one: the argument counts them, and says where the tensors of this one begin (no
// pointer in it may pass their ends). also steps what else there is.
func (g *gen) nextBlock(label string, also func()) {
	const n, step = dSp, dOp // free behind the last row
	done := g.NewLabel("done")
	g.load(152, n)
	g.G("SUBS $1, %v, %v", n, n)
	g.G("BLE %s", done)
	g.G("MOVD %v, 152(R0)", n)
	for i, r := range []X{dSrc, dOut} {
		g.load(8*i, r)
		g.load(160+8*i, step)
		g.G("ADD %v, %v, %v", step, r, r)
		g.G("MOVD %v, %d(R0)", r, 8*i)
	}
	g.load(56, dNR)
	also()
	g.G("B %s", label)
	g.Label(done)
}

// dwAny: any taps, cols columns a tile. Sums V0..., inputs V8..., the weight of a tap V16.
func (g *gen) dwAny(cols int) {
	g.kernelFrame(fmt.Sprintf("dwAny%d", cols), "dwArgs", fmt.Sprintf("does a depthwise convolution by taps, %d columns a tile; act not 0: it clamps to lo, hi.", cols), 64)
	tap := g.NewLabel("tap")
	g.dwTiles(cols, V[17], func() {
		g.G("MOVD %v, %v", dTaps, dTp)
		g.G("MOVD %v, %v", dNK, dLeft)
		g.G("MOVD %v, %v", dW, dW2)
		g.Label(tap)
		g.G("MOVD.P 8(%v), %v", dTp, dKp)
		g.G("ADD %v, %v, %v", dSp, dKp, dKp)
		g.LDRP(V[16], dW2, 16)
		for x := range cols {
			g.LD1P(vr(8+x, 1), dKp, dPS)
		}
		for x := range cols {
			g.FMLA(V[x].S4, V[8+x].S4, V[16].S4)
		}
		g.G("SUBS $1, %v, %v", dLeft, dLeft)
		g.G("BNE %s", tap)
	})
}

// dw5x5: 25 taps side by side, of stride s: the inputs of a row serve five taps. Sums V0..., inputs V8..., weights of a row in the five registers from V25 on
// (V20-V24 where there is room).
func (g *gen) dw5x5(s, cols int) {
	g.kernelFrame(fmt.Sprintf("dw5s%dx%d", s, cols), "dwArgs", fmt.Sprintf("does a 5x5 depthwise convolution of stride %d, %d columns a tile; act not 0: it clamps to lo, hi.", s, cols), 64)
	w := 20
	if (cols-1)*s+5 > 12 { // the inputs reach to V24
		w = 25
	}
	g.dwTiles(cols, V[25], func() {
		g.G("MOVD %v, %v", dSp, dKp)
		g.G("MOVD %v, %v", dW, dW2)
		g.G("MOVD 40(%v), %v", dTaps, dLeft) // the first tap of the second row
		for range 5 {
			g.G("MOVD %v, %v", dKp, dTp)
			g.G("ADD %v, %v, %v", dLeft, dKp, dKp)
			g.loadRun(8, (cols-1)*s+5, dTp, XZR)
			g.LD1P(vr(w, 4), dW2, XZR)
			g.LDRP(V[w+4], dW2, 16)
			for k := range 5 {
				for x := range cols {
					g.FMLA(V[x].S4, V[8+x*s+k].S4, V[w+k].S4)
				}
			}
		}
	})
}

// dwTiles is the loop over rows and tiles of cols columns: sums begin with the bias, body adds to them, then come residual and clamp.
func (g *gen) dwTiles(cols int, bias VReg, body func()) {
	g.dwHead()
	g.load(80, dTaps)
	g.load(88, dNK)
	g.load(96, dRes)
	g.load(104, dResRow)
	g.load(112, dPS)
	block := g.NewLabel("block")
	g.Label(block)
	g.LDRP(bias, dBias, 16)
	g.spread(bias, dSkip)
	g.load(64, dTmp)
	row, tile, nores := g.NewLabel("row"), g.NewLabel("tile"), g.NewLabel("nores")
	g.Label(row)
	g.G("MOVD %v, %v", dSrc, dSp)
	g.G("MOVD %v, %v", dOut, dOp)
	g.G("MOVD %v, %v", dRes, dRp)
	g.G("MOVD %v, %v", dNT, dCount)
	g.Label(tile)
	g.begin(0, cols, dSkip)
	body()
	g.G("CBZ %v, %s", dRes, nores)
	g.loadRun(8, cols, dRp, XZR)
	for x := range cols {
		g.FADD(V[x].S4, V[x].S4, V[8+x].S4)
	}
	g.Label(nores)
	g.bound(vr(0, cols), dTmp)
	g.storeRun(0, cols, dOp, XZR)
	if cols&(cols-1) == 0 {
		g.G("ADD %v<<%d, %v, %v", dPS, log2(cols), dSp, dSp)
	} else { // 7
		g.G("ADD %v<<3, %v, %v", dPS, dSp, dSp)
		g.G("SUB %v, %v, %v", dPS, dSp, dSp)
	}
	g.G("SUBS $1, %v, %v", dCount, dCount)
	g.G("BNE %s", tile)
	g.G("ADD %v, %v, %v", dInRow, dSrc, dSrc)
	g.G("ADD %v, %v, %v", dOutRow, dOut, dOut)
	skip := g.NewLabel("norow")
	g.G("CBZ %v, %s", dRes, skip)
	g.G("ADD %v, %v, %v", dResRow, dRes, dRes)
	g.Label(skip)
	g.G("SUBS $1, %v, %v", dNR, dNR)
	g.G("BNE %s", row)
	g.nextBlock(block, func() {
		alone := g.NewLabel("alone")
		g.G("ADD %v<<4, %v, %v", dNK, dW, dW)
		g.G("CBZ %v, %s", dRes, alone)
		g.load(96, dRes)
		g.load(176, dTp)
		g.G("ADD %v, %v, %v", dTp, dRes, dRes)
		g.G("MOVD %v, 96(R0)", dRes)
		g.Label(alone)
	})
	g.G("RET")
}

func log2(n int) int {
	l := 0
	for ; n > 1; n /= 2 {
		l++
	}
	return l
}
