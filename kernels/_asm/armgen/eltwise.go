package main

import (
	. "fettle/kernels/_asm/armgen/asm"
)

// Kernels of eltwise: whole lines of 16 floats, four vectors; tails are the caller's. eA is aX, from which SiLU reads again.
const eDst, eA, eB, eN, eStep, eTmp X = 2, aX, 3, 4, 5, 6

func eltwiseKernels(g *gen) {
	g.data("sigConst", sigConsts())
	g.data("hardConst", hardConsts())
	for _, op := range []struct {
		name string
		f    func(d, n, m Reg)
	}{{"add", g.VADDF}, {"sub", g.VSUBF}, {"mul", g.VMULF}, {"max", g.VMAXF}, {"min", g.VMINF}} {
		g.eltHead(op.name+"N", "is dst = a "+op.name+" b; step is the distance of lines in b.")
		g.eltLoop(func() {
			g.VLDM(Q(0), 8, eA, Next)
			g.VLDM(Q(4), 8, eB, Stay)
			g.G("ADD %v, %v, %v", eStep, eB, eB)
			for i := range 4 {
				op.f(Q(i), Q(i), Q(4+i))
			}
			g.VSTM(Q(0), 8, eDst, Next)
		})
	}
	for _, fn := range []struct {
		name string
		act  int
	}{{"clamp", actClamp}, {"leaky", actLeaky}, {"hardswish", actHardSwish}, {"hardsigmoid", actHardSigmoid}, {"sigmoid", actSigmoid}, {"silu", actSiLU}} {
		g.eltHead(fn.name+"N", "is dst = "+fn.name+"(a); step is the distance of lines in both.")
		g.bounds()
		g.eltLoop(func() {
			g.VLDM(Q(0), 8, eA, Stay)
			g.actVecs(fn.act, 4, eA)
			g.VSTM(Q(0), 8, eDst, Stay)
			g.G("ADD %v, %v, %v", eStep, eA, eA)
			g.G("ADD %v, %v, %v", eStep, eDst, eDst)
		})
	}
	for _, op := range []string{"sum", "maximum", "dot"} {
		g.eltHead(op+"N", "folds lines of a (dot: a times b) into the line at dst.")
		g.VLDM(Q(0), 8, eDst, Stay)
		loop := g.NewLabel("line")
		g.Label(loop)
		g.VLDM(Q(4), 8, eA, Next)
		if op == "dot" {
			g.VLDM(Q(8), 8, eB, Next)
		}
		for i := range 4 {
			switch op {
			case "sum":
				g.VADDF(Q(i), Q(i), Q(4+i))
			case "maximum":
				g.VMAXF(Q(i), Q(i), Q(4+i))
			case "dot":
				g.VMLAF(Q(i), Q(4+i), Q(8+i))
			}
		}
		g.G("SUB.S $1, %v, %v", eN, eN)
		g.G("BNE %s", loop)
		g.VSTM(Q(0), 8, eDst, Stay)
		g.G("RET")
	}
	g.eltHead("axpyN", "is dst += a * lo.")
	g.G("ADD $%d, R0, %v", g.field("lo"), eTmp)
	g.VLD1R(2, Q(15), eTmp, Stay)
	g.eltLoop(func() {
		g.VLDM(Q(4), 8, eA, Next)
		g.VLDM(Q(0), 8, eDst, Stay)
		for i := range 4 {
			g.VMLAF(Q(i), Q(4+i), Q(15))
		}
		g.VSTM(Q(0), 8, eDst, Next)
	})
}

func (g *gen) eltHead(name, doc string) {
	g.kernel(name, "eargs", doc, 0)
	g.load("dst", eDst, "a", eA, "b", eB, "n", eN, "step", eStep)
}

func (g *gen) eltLoop(body func()) {
	loop := g.NewLabel("line")
	g.Label(loop)
	body()
	g.G("SUB.S $1, %v, %v", eN, eN)
	g.G("BNE %s", loop)
	g.G("RET")
}
