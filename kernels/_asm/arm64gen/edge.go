package main

import (
	. "fettle/kernels/_asm/arm64gen/asm"
)

// Borders of tensors, and rows that move to another place: what is no arithmetic.

func edgeKernels(g *gen) {
	const dst, planes, plane, head, edge, rows, row, tail, width X = 1, 2, 3, 4, 5, 6, 7, 8, 9
	const p, n X = 10, 11
	g.kernel("fillEdges", "edgeArgs", "fills the borders of planes: a head, the edges between two rows, a tail.")
	for i, r := range []X{dst, planes, plane, head, edge, rows, row, tail, width} {
		g.load(8*i, r)
	}
	g.LDR(V[0], 0, 80)
	for i := 1; i < 4; i++ {
		g.MOV(V[i], V[0])
	}
	run := func(count X) { // fills count vectors at p
		one, loop4, loop1, done := g.NewLabel("one"), g.NewLabel("four"), g.NewLabel("last"), g.NewLabel("filled")
		g.G("SUBS $4, %v, %v", count, n)
		g.G("BLT %s", one)
		g.Label(loop4)
		g.ST1P(vr(0, 4), p, XZR)
		g.G("SUBS $4, %v, %v", n, n)
		g.G("BGE %s", loop4)
		g.Label(one)
		g.G("ADDS $4, %v, %v", n, n)
		g.G("BEQ %s", done)
		g.Label(loop1)
		g.ST1P(vr(0, 1), p, XZR)
		g.G("SUBS $1, %v, %v", n, n)
		g.G("BNE %s", loop1)
		g.Label(done)
	}
	block, ends := g.NewLabel("plane"), g.NewLabel("ends")
	g.Label(block)
	g.G("MOVD %v, %v", dst, p)
	run(head)
	g.G("ADD %v, %v, %v", width, p, p)
	g.G("CBZ %v, %s", rows, ends)
	g.G("CBZ %v, %s", edge, ends)
	for _, k := range []int{2, 4, 1, 3} { // a border of one pixel on both sides before all
		next, loop := g.NewLabel("not"), g.NewLabel("edge")
		g.G("CMP $%d, %v", k, edge)
		g.G("BNE %s", next)
		g.G("MOVD %v, %v", rows, n)
		g.Label(loop)
		g.ST1P(vr(0, k), p, row)
		g.G("SUBS $1, %v, %v", n, n)
		g.G("BNE %s", loop)
		g.G("B %s", ends)
		g.Label(next)
	}
	const left, at X = 12, 13
	wide := g.NewLabel("wide")
	g.G("MOVD %v, %v", rows, left)
	g.Label(wide)
	g.G("ADD %v, %v, %v", row, p, at)
	run(edge)
	g.G("MOVD %v, %v", at, p)
	g.G("SUBS $1, %v, %v", left, left)
	g.G("BNE %s", wide)
	g.Label(ends)
	run(tail)
	g.G("ADD %v, %v, %v", plane, dst, dst)
	g.G("SUBS $1, %v, %v", planes, planes)
	g.G("BNE %s", block)
	g.G("RET")
}

func moveKernels(g *gen) {
	const dst, src, n, blocks, step X = 1, 2, 3, 4, 5
	const to, from, left X = 6, 7, 8
	g.kernel("moveLines", "moveArgs", "copies n lines of 16 bytes of each block, front to back.")
	for i, r := range []X{dst, src, n, blocks, step} {
		g.load(8*i, r)
	}
	block, loop, four, one, last, next := g.NewLabel("block"), g.NewLabel("eight"), g.NewLabel("four"), g.NewLabel("one"), g.NewLabel("last"), g.NewLabel("next")
	g.Label(block)
	g.G("MOVD %v, %v", dst, to)
	g.G("MOVD %v, %v", src, from)
	g.G("SUBS $8, %v, %v", n, left)
	g.G("BLT %s", four)
	g.Label(loop)
	g.LD1P(vr(0, 4), from, XZR)
	g.LD1P(vr(4, 4), from, XZR)
	g.ST1P(vr(0, 4), to, XZR)
	g.ST1P(vr(4, 4), to, XZR)
	g.G("SUBS $8, %v, %v", left, left)
	g.G("BGE %s", loop)
	g.Label(four)
	g.G("TBZ $2, %v, %s", left, one) // adding 8 leaves these bits
	g.LD1P(vr(0, 4), from, XZR)
	g.ST1P(vr(0, 4), to, XZR)
	g.Label(one)
	g.G("ANDS $3, %v, %v", left, left)
	g.G("BEQ %s", next)
	g.Label(last)
	g.LD1P(vr(0, 1), from, XZR)
	g.ST1P(vr(0, 1), to, XZR)
	g.G("SUBS $1, %v, %v", left, left)
	g.G("BNE %s", last)
	g.Label(next)
	g.G("ADD %v, %v, %v", step, dst, dst)
	g.G("ADD %v, %v, %v", step, src, src)
	g.G("SUBS $1, %v, %v", blocks, blocks)
	g.G("BNE %s", block)
	g.G("RET")
}
