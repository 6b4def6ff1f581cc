package main

import (
	"fmt"

	. "fettle/kernels/_asm/armgen/asm"
)

// Convolution by taps, float32, blocks of 4 channels: m pixels by nb blocks.
//
// Registers, 16 of 128 bits: m inputs (4 channels of a pixel each) from Q0 on, because products by element take it of Q0-Q7; sums, m for each
// block; weights in what is left, at most eight at a time. The step of 4 inputs of 3 pixels x 12 outputs is 36 VMLA by element for one load of
// inputs, 3 of four weights and 2 for the address: 9 sums + 3 inputs + 4 weights are 16 registers. 4x8 (8 + 4 + 4) has 32 for 2 loads of weights.
const ( // general registers by role; R0 is the argument
	rIn, rWp, rTile, rPix, rGp, rK, rP, rTmp, rSteps X = 1, 2, 3, 4, 5, 6, 7, 8, 9
	rPS, rP2                                         X = 12, 14
)

// convRows is the most pixels by blocks.
var convRows = [4]int{0, 6, 4, 3}

func convKernels(g *gen) {
	for nb := 1; nb <= 3; nb++ {
		for _, variant := range []string{"one", "s1", "s2", "any"} {
			for m := 1; m <= convRows[nb]; m++ {
				g.conv(m, nb, variant)
			}
			g.table(fmt.Sprintf("conv%d%s", nb, variant), "kargs", 8, func(i int) string {
				if i == 0 || i > convRows[nb] {
					return ""
				}
				return convName(i, nb, variant)
			})
		}
	}
}

func convName(m, nb int, variant string) string { return fmt.Sprintf("c%dx%d%s", m, 4*nb, variant) }

// acc is the register of the sum of a pixel and a block.
func acc(m, j, p int) Reg { return Q(m + j*m + p) }

func (g *gen) conv(m, nb int, variant string) {
	how := map[string]string{"one": "pixels lie side by side, groups at one distance", "s1": "pixels lie side by side", "s2": "every second pixel", "any": "pixels at any distance, steps of one input"}[variant]
	sums := m * nb
	g.kernel(convName(m, nb, variant), "kargs", fmt.Sprintf("sums %d pixels by %d channels a tile; %s.", m, 4*nb, how), 16*max(1, sums))
	g.load("a", rIn, "tiles", rTile, "bias", rTmp)
	// the bias once for each sum on the stack: one load in the place of copies
	g.G("ADD $4, R13, %v", rP)
	for j := range nb {
		g.VLD1(2, acc(m, j, 0), 2, rTmp, Next)
		for range m {
			g.VST1(2, acc(m, j, 0), 2, rP, Next)
		}
	}
	if variant == "one" {
		g.distance(m)
	}
	if variant == "s2" {
		g.G("MOVW $32, %v", rPS)
	}
	if variant == "any" {
		g.load("ps", rPS)
	}
	tile := g.NewLabel("tile")
	g.Label(tile)
	g.G("MOVW 0(%v), %v", rTile, rPix)
	g.G("ADD %v, %v, %v", rIn, rPix, rPix)
	g.G("ADD $4, R13, %v", rP)
	for at := 0; at < sums; at += 8 {
		g.VLDM(Q(m+at), 2*min(8, sums-at), rP, Next)
	}
	g.load("b", rWp, "nk", rK)
	switch variant {
	case "one":
		g.times(2, func() {
			g.VLDM(Q(0), 2*m, rPix, Stay)
			g.G("ADD %v, %v, %v", rPS, rPix, rPix)
			g.lanes(m, nb)
		})
	case "any":
		g.load("groups", rGp)
		g.convAny(m, nb)
	default:
		g.load("groups", rGp)
		g.times(2, func() {
			g.G("MOVW.P 16(%v), %v", rGp, rP) // a group of a block of 4 has one step
			g.G("ADD %v, %v, %v", rPix, rP, rP)
			if variant == "s1" {
				g.VLDM(Q(0), 2*m, rP, Stay)
			} else {
				for p := range m {
					g.VLD1(2, Q(p), 2, rP, By(rPS))
				}
			}
			g.lanes(m, nb)
		})
	}
	g.epilogue(m, nb)
	g.G("ADD $24, %v, %v", rTile, rTile)
	g.load("nt", rK)
	g.G("SUB.S $1, %v, %v", rK, rK)
	g.G("MOVW %v, %d(R0)", rK, g.field("nt"))
	g.G("BNE %s", tile)
	g.G("RET")
}

// distance adds the first group's offset to rIn, and puts the distance of groups into rPS.
func (g *gen) distance(m int) {
	single := g.NewLabel("single")
	g.load("groups", rGp, "nk", rK)
	g.G("MOVW 0(%v), %v", rGp, rP)
	g.G("ADD %v, %v, %v", rP, rIn, rIn)
	g.G("MOVW $0, %v", rPS)
	g.G("CMP $1, %v", rK)
	g.G("BEQ %s", single)
	g.G("MOVW 16(%v), %v", rGp, rPS)
	g.G("SUB %v, %v, %v", rP, rPS, rPS)
	g.Label(single)
}

// times runs body rK times, some to a turn.
func (g *gen) times(turn int, body func()) {
	loop, rest, one, done := g.NewLabel("k"), g.NewLabel("rest"), g.NewLabel("one"), g.NewLabel("kdone")
	g.G("SUB.S $%d, %v, %v", turn, rK, rK)
	g.G("BLT %s", rest)
	g.Label(loop)
	for range turn {
		body()
	}
	g.G("SUB.S $%d, %v, %v", turn, rK, rK)
	g.G("BGE %s", loop)
	g.Label(rest)
	g.G("ADD.S $%d, %v, %v", turn, rK, rK)
	g.G("BEQ %s", done)
	g.Label(one)
	body()
	g.G("SUB.S $1, %v, %v", rK, rK)
	g.G("BNE %s", one)
	g.Label(done)
}

// lanes multiplies the 4 lanes of the inputs, in Q0..., with the next 4*nb vectors of weights.
func (g *gen) lanes(m, nb int) {
	first := m + m*nb
	for v := 0; v < 4*nb; {
		n := min(8, 16-first, 4*nb-v)
		g.VLDM(Q(first), 2*n, rWp, Next)
		for i := range n {
			k, j := (v+i)/nb, (v+i)%nb
			for p := range m {
				g.VMLAF(acc(m, j, p), Q(first+i), Q(p).S(k))
			}
		}
		v += n
	}
}

// convAny walks groups of any number of steps of one input: by fours, then one by one.
func (g *gen) convAny(m, nb int) {
	group, four, rest, one, next := g.NewLabel("group"), g.NewLabel("four"), g.NewLabel("rest"), g.NewLabel("one"), g.NewLabel("next")
	first := m + m*nb
	g.Label(group)
	g.G("MOVW.P 8(%v), %v", rGp, rP)
	g.G("MOVW.P 8(%v), %v", rGp, rSteps)
	g.G("ADD %v, %v, %v", rPix, rP, rP)
	g.G("SUB.S $4, %v, %v", rSteps, rSteps)
	g.G("BLT %s", rest)
	g.Label(four)
	g.G("MOVW %v, %v", rP, rP2)
	for p := range m {
		g.VLD1(2, Q(p), 2, rP2, By(rPS))
	}
	g.lanes(m, nb)
	g.G("ADD $16, %v, %v", rP, rP)
	g.G("SUB.S $4, %v, %v", rSteps, rSteps)
	g.G("BGE %s", four)
	g.Label(rest)
	g.G("ADD.S $4, %v, %v", rSteps, rSteps)
	g.G("BEQ %s", next)
	g.Label(one)
	g.G("MOVW %v, %v", rP, rP2)
	for p := range m {
		g.VLD1R(2, Q(p), rP2, By(rPS))
	}
	for j := 0; j < nb; { // as many weights as there are registers
		n := min(nb-j, 16-first)
		g.VLDM(Q(first), 2*n, rWp, Next)
		for i := range n {
			for p := range m {
				g.VMLAF(acc(m, j+i, p), Q(first+i), Q(p))
			}
		}
		j += n
	}
	g.G("ADD $4, %v, %v", rP, rP)
	g.G("SUB.S $1, %v, %v", rSteps, rSteps)
	g.G("BNE %s", one)
	g.Label(next)
	g.G("SUB.S $1, %v, %v", rK, rK)
	g.G("BNE %s", group)
}

// epilogue adds the residual, clamps and stores. Activations above clamp are left to the caller.
func (g *gen) epilogue(m, nb int) {
	nores, noact := g.NewLabel("nores"), g.NewLabel("noact")
	g.load("res", rSteps)
	g.G("CMP $0, %v", rSteps)
	g.G("BEQ %s", nores)
	g.G("MOVW 16(%v), %v", rTile, rP)
	g.G("ADD %v, %v, %v", rSteps, rP, rP)
	g.load("rblk", rTmp)
	for j := range nb {
		g.VLDM(Q(0), 2*m, rP, Stay)
		g.G("ADD %v, %v, %v", rTmp, rP, rP)
		for p := range m {
			g.VADDF(acc(m, j, p), acc(m, j, p), Q(p))
		}
	}
	g.Label(nores)
	g.clamp(qs(m, m*nb), noact)
	g.Label(noact)
	g.G("MOVW 8(%v), %v", rTile, rP)
	g.load("c", rSteps, "cblk", rTmp)
	g.G("ADD %v, %v, %v", rSteps, rP, rP)
	for j := range nb {
		g.VSTM(acc(m, j, 0), 2*m, rP, Stay)
		if j < nb-1 {
			g.G("ADD %v, %v, %v", rTmp, rP, rP)
		}
	}
}

// clamp applies ReLU or clamp of the argument to registers, Q0 and, if there is no other, a register of weights being free; other kinds jump
// to noact.
func (g *gen) clamp(x []Reg, noact string) {
	clamp := g.NewLabel("clamp")
	lo, hi := Q(0), Q(1)
	if x[0] == hi {
		hi = Q(15)
	}
	g.load("act", rK)
	g.G("CMP $2, %v", rK)
	g.G("BGT %s", noact)
	g.G("BEQ %s", clamp)
	g.G("CMP $0, %v", rK)
	g.G("BEQ %s", noact)
	g.ZERO(lo)
	for _, v := range x {
		g.VMAXF(v, v, lo)
	}
	g.G("B %s", noact)
	g.Label(clamp)
	g.G("ADD $%d, R0, %v", g.field("lo"), rP)
	g.VLD1R(2, lo, rP, Next)
	g.VLD1R(2, hi, rP, Stay)
	for _, v := range x {
		g.VMAXF(v, v, lo)
	}
	for _, v := range x {
		g.VMINF(v, v, hi)
	}
}
