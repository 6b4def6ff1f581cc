package main

import (
	"fmt"

	. "fettle/kernels/_asm/arm64gen/asm"
)

// Convolution by taps, float32, blocks of 4 channels: m pixels by nb blocks.
//
// Registers: sums V0..., m for each block; m inputs (4 channels of a pixel each); weights in what is left, four at a
// time. The step of 4 inputs of 7 pixels x 12 outputs is 84 FMLA by lane, 2 loads of inputs, 3 of weights and 2 for the address: bound
// by the one multiply pipe of a Cortex-A72 (84 cycles). 7x12 and not 8x12: 21 sums + 7 inputs + 4 weights are 32 registers, and maps
// of the 224 family are multiples of 7 wide.
const ( // general registers by role; R0 is the argument
	rIn, rW, rOut, rOutBlk, rTile, rTiles, rResBlk, rAct X = 1, 2, 3, 4, 5, 6, 7, 8
	rRes, rBias, rGroups, rNK, rPix, rWp, rGp, rK        X = 9, 10, 11, 12, 13, 14, 15, 16
	rP, rP2, rSteps, rLo, rHi, rPS, rStep, rBiases       X = 17, 19, 20, 21, 22, 23, 24, 25
	rTo, rFours, rRest                                   X = 26, 20, 15 // the latter two where pixels lie side by side and groups at one distance
)

func convKernels(g *gen) {
	for nb := 1; nb <= 3; nb++ {
		for _, variant := range []string{"one", "s1", "s2", "any"} {
			for m := 1; m <= 7; m++ {
				g.conv(m, nb, variant)
			}
			g.table(fmt.Sprintf("conv%d%s", nb, variant), "kargs", 8, func(i int) string {
				if i == 0 {
					return ""
				}
				return convName(i, nb, variant)
			})
		}
	}
	g.windowKernels()
}

func convName(m, nb int, variant string) string { return fmt.Sprintf("c%dx%d%s", m, 4*nb, variant) }

func (g *gen) conv(m, nb int, variant string) {
	how := map[string]string{"one": "pixels lie side by side, groups at one distance", "s1": "pixels lie side by side", "s2": "every second pixel", "any": "pixels at any distance, steps of one input"}[variant]
	var win *window
	for _, w := range windows() {
		if w.name() == variant {
			win, how = &w, fmt.Sprintf("a group is %d floats, of the next pixel %d floats on", w.taps, w.step)
		}
	}
	acc := m * nb
	frame := 0 // of the bias, once for each sum: loads of four registers instead of copies
	if acc >= 6 {
		frame = 16*acc + 32 // and of the bounds
	}
	g.kernelFrame(convName(m, nb, variant), "kargs", fmt.Sprintf("sums %d pixels by %d channels a tile; %s.", m, 4*nb, how), frame)
	for _, l := range []struct {
		off int
		r   X
	}{{0, rIn}, {8, rW}, {16, rOut}, {24, rBias}, {32, rRes}, {40, rGroups}, {48, rNK}, {56, rOutBlk}, {64, rTile}, {72, rTiles}, {80, rResBlk}, {88, rAct}} {
		g.load(l.off, l.r)
	}
	if variant == "any" {
		g.load(144, rPS)
	}
	g.G("ADD $96, R0, %v", rLo)
	g.G("ADD $100, R0, %v", rHi)
	if m > 4 { // the first chunk of a run has stepped by 64 already
		g.G("SUB $64, %v, %v", rOutBlk, rOutBlk)
		g.G("SUB $64, %v, %v", rResBlk, rResBlk)
	}
	if frame > 0 {
		g.G("MOVD RSP, %v", rBiases)
		g.G("ADD $16, %v, %v", rBiases, rBiases)
		for j := range nb {
			g.LDR(V[0], rBias, 16*j)
			for p := range m {
				g.STR(V[0], rBiases, 16*(j*m+p))
			}
		}
		g.LDnR(vr(0, 1), V[0].S4, rLo)
		g.LDnR(vr(1, 1), V[0].S4, rHi)
		g.STR(V[0], rBiases, 16*acc)
		g.STR(V[1], rBiases, 16*acc+16)
	}
	if variant == "one" {
		g.distance(m)
		g.G("LSR $2, %v, %v", rNK, rFours)
		g.G("AND $3, %v, %v", rNK, rRest)
	}
	// what the epilogue knows, as bits: 0 none, 1 ReLU, 2 clamp
	known := g.NewLabel("known")
	g.G("CMP $2, %v", rAct)
	g.G("BLE %s", known)
	g.G("MOVD $0, %v", rAct)
	g.Label(known)
	tile := g.NewLabel("tile")
	g.Label(tile)
	g.G("LDP.P 24(%v), (%v, %v)", rTile, rPix, rTo)
	g.G("ADD %v, %v, %v", rIn, rPix, rPix)
	if frame > 0 {
		g.G("MOVD %v, %v", rBiases, rP)
		g.loadRun(0, acc, rP, XZR)
	} else {
		for j := range nb {
			g.LDR(V[j*m], rBias, 16*j)
			for p := 1; p < m; p++ {
				g.MOV(V[j*m+p], V[j*m])
			}
		}
	}
	g.G("MOVD %v, %v", rW, rWp)
	if variant != "one" {
		g.G("MOVD %v, %v", rGroups, rGp)
	}
	switch {
	case win != nil:
		win.row(g, m, nb)
	case variant == "one":
		g.fours(func() {
			g.loadRun(acc, m, rPix, rStep)
			g.lanes(m, nb)
		})
	case variant == "any":
		g.convAny(m, nb)
	default:
		g.twice(func() {
			g.G("MOVD.P 16(%v), %v", rGp, rP) // a group of a block of 4 has one step
			g.G("ADD %v, %v, %v", rPix, rP, rP)
			if variant == "s1" {
				g.loadRun(acc, m, rP, XZR)
			} else {
				for p := range m {
					g.LDR(V[acc+p], rP, 32*p)
				}
			}
			g.lanes(m, nb)
		})
	}
	g.epilogue(m, nb, frame > 0)
	g.G("SUBS $1, %v, %v", rTiles, rTiles)
	g.G("BNE %s", tile)
	g.G("RET")
}

// distance puts the first group's offset into rIn, and the distance of groups, less what a load of more than four has stepped, into rStep.
func (g *gen) distance(m int) {
	single := g.NewLabel("single")
	g.G("MOVD 0(%v), %v", rGroups, rP)
	g.G("ADD %v, %v, %v", rP, rIn, rIn)
	g.G("MOVD $0, %v", rStep)
	g.G("CMP $1, %v", rNK)
	g.G("BEQ %s", single)
	g.G("MOVD 16(%v), %v", rGroups, rStep)
	g.G("SUB %v, %v, %v", rP, rStep, rStep)
	if m > 4 {
		g.G("SUB $64, %v, %v", rStep, rStep)
	}
	g.Label(single)
}

// fours runs body rNK times, four to a turn. rFours and rRest say how many turns, and how many times behind them.
func (g *gen) fours(body func()) {
	loop, rest, one, done := g.NewLabel("k"), g.NewLabel("rest"), g.NewLabel("one"), g.NewLabel("kdone")
	g.G("MOVD %v, %v", rFours, rK)
	g.G("CBZ %v, %s", rK, rest)
	g.Label(loop)
	for range 4 {
		body()
	}
	g.G("SUBS $1, %v, %v", rK, rK)
	g.G("BNE %s", loop)
	g.Label(rest)
	g.G("CBZ %v, %s", rRest, done)
	g.G("MOVD %v, %v", rRest, rK)
	g.Label(one)
	body()
	g.G("SUBS $1, %v, %v", rK, rK)
	g.G("BNE %s", one)
	g.Label(done)
}

// twice runs body rNK times, two to a turn.
func (g *gen) twice(body func()) {
	loop, odd, done := g.NewLabel("k"), g.NewLabel("odd"), g.NewLabel("kdone")
	g.G("LSR $1, %v, %v", rNK, rK)
	g.G("CBZ %v, %s", rK, odd)
	g.Label(loop)
	body()
	body()
	g.G("SUBS $1, %v, %v", rK, rK)
	g.G("BNE %s", loop)
	g.Label(odd)
	g.G("TBZ $0, %v, %s", rNK, done)
	body()
	g.Label(done)
}

// lanes multiplies the 4 lanes of the inputs, in V[m*nb...], with the next 4*nb vectors of weights.
func (g *gen) lanes(m, nb int) {
	acc := m * nb
	first := acc + m
	slots := (32 - first) / 4
	for c := range nb {
		b := first + 4*(c%slots)
		g.LD1P(vr(b, 4), rWp, XZR)
		for i := range 4 {
			v := 4*c + i
			k, j := v/nb, v%nb
			for p := range m {
				g.FMLA(V[j*m+p].S4, V[b+i].S4, V[acc+p].S(k))
			}
		}
	}
}

// convAny walks groups of any number of steps of one input: by fours, then one by one.
func (g *gen) convAny(m, nb int) {
	acc := m * nb
	group, four, rest, one, next := g.NewLabel("group"), g.NewLabel("four"), g.NewLabel("rest"), g.NewLabel("one"), g.NewLabel("next")
	g.G("MOVD %v, %v", rNK, rK)
	g.Label(group)
	g.G("MOVD.P 8(%v), %v", rGp, rP)
	g.G("MOVD.P 8(%v), %v", rGp, rSteps)
	g.G("ADD %v, %v, %v", rPix, rP, rP)
	g.G("SUBS $4, %v, %v", rSteps, rSteps)
	g.G("BLT %s", rest)
	g.Label(four)
	g.G("MOVD %v, %v", rP, rP2)
	for p := range m {
		g.LD1P(vr(acc+p, 1), rP2, rPS)
	}
	g.lanes(m, nb)
	g.G("ADD $16, %v, %v", rP, rP)
	g.G("SUBS $4, %v, %v", rSteps, rSteps)
	g.G("BGE %s", four)
	g.Label(rest)
	g.G("ADDS $4, %v, %v", rSteps, rSteps)
	g.G("BEQ %s", next)
	g.Label(one)
	g.G("MOVD %v, %v", rP, rP2)
	for p := range m {
		g.LDnRP(vr(acc+p, 1), V[0].S4, rP2, rPS)
	}
	g.LD1P(vr(acc+m, nb), rWp, XZR)
	for j := range nb {
		for p := range m {
			g.FMLA(V[j*m+p].S4, V[acc+m+j].S4, V[acc+p].S4)
		}
	}
	g.G("ADD $4, %v, %v", rP, rP)
	g.G("SUBS $1, %v, %v", rSteps, rSteps)
	g.G("BNE %s", one)
	g.Label(next)
	g.G("SUBS $1, %v, %v", rK, rK)
	g.G("BNE %s", group)
}

// epilogue adds the residual, clamps and stores. Activations above clamp are left to the caller. spread: behind the biases of all sums lie the bounds.
func (g *gen) epilogue(m, nb int, spread bool) {
	acc := m * nb
	nores, noact, clamp := g.NewLabel("nores"), g.NewLabel("noact"), g.NewLabel("clamp")
	g.G("CBZ %v, %s", rRes, nores)
	g.G("MOVD -8(%v), %v", rTile, rP) // the pointer has stepped
	g.G("ADD %v, %v, %v", rRes, rP, rP)
	for j := range nb {
		g.loadRun(acc, m, rP, rResBlk)
		for p := range m {
			g.FADD(V[j*m+p].S4, V[j*m+p].S4, V[acc+p].S4)
		}
	}
	g.Label(nores)
	g.G("CBZ %v, %s", rAct, noact)
	g.G("TBNZ $1, %v, %s", rAct, clamp)
	g.ZERO(V[acc])
	for i := range acc {
		g.FMAX(V[i].S4, V[i].S4, V[acc].S4)
	}
	g.G("B %s", noact)
	g.Label(clamp)
	if spread {
		g.LDP(V[acc], V[acc+1], rBiases, 16*acc)
	} else {
		g.LDnR(vr(acc, 1), V[0].S4, rLo)
		g.LDnR(vr(acc+1, 1), V[0].S4, rHi)
	}
	for i := range acc {
		g.FMAX(V[i].S4, V[i].S4, V[acc].S4)
	}
	for i := range acc {
		g.FMIN(V[i].S4, V[i].S4, V[acc+1].S4)
	}
	g.Label(noact)
	g.G("ADD %v, %v, %v", rOut, rTo, rP)
	for j := range nb {
		g.storeRun(j*m, m, rP, rOutBlk)
	}
}

// clamp applies ReLU or clamp (by act; bounds at rLo, rHi) to V0...V[n-1] with two temporaries from t; other kinds jump to noact.
func (g *gen) clamp(n, t int, act X, noact, clamp string) {
	g.G("CBZ %v, %s", act, noact)
	g.G("CMP $2, %v", act)
	g.G("BGT %s", noact)
	g.G("BEQ %s", clamp)
	g.ZERO(V[t])
	for i := range n {
		g.FMAX(V[i].S4, V[i].S4, V[t].S4)
	}
	g.G("B %s", noact)
	g.Label(clamp)
	g.LDnR(vr(t, 1), V[0].S4, rLo)
	g.LDnR(vr(t+1, 1), V[0].S4, rHi)
	for i := range n {
		g.FMAX(V[i].S4, V[i].S4, V[t].S4)
	}
	for i := range n {
		g.FMIN(V[i].S4, V[i].S4, V[t+1].S4)
	}
}
