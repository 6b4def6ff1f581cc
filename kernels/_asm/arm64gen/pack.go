package main

import (
	. "fettle/kernels/_asm/arm64gen/asm"
)

// packKernels lay three planes of a picture side by side: lines of 16 bytes of each.
func packKernels(g *gen) {
	const dst, red, green, blue, n, tmp X = 1, 2, 3, 4, 5, 6
	for _, k := range []struct {
		name, doc string
		arr       Arr
	}{{"pixels3S", "lays four floats of each of three planes side by side, a line.", V[0].S4}, {"pixels3B", "lays 16 bytes of each of three planes side by side, a line, exclusive or flip.", V[0].B16}} {
		g.kernel(k.name, "pixelArgs", k.doc)
		for i, r := range []X{dst, red, green, blue, n} {
			g.load(8*i, r)
		}
		g.load(40, tmp)
		g.DUPX(V[7].B16, tmp)
		loop := g.NewLabel("line")
		g.Label(loop)
		for i, r := range []X{red, green, blue} {
			g.LD1P(vr(i, 1), r, XZR)
		}
		if k.name == "pixels3B" {
			for _, v := range vr(0, 3) {
				g.EOR(v.B16, v.B16, V[7].B16)
			}
		}
		g.ST3P(vr(0, 3), k.arr, dst, XZR)
		g.G("SUBS $1, %v, %v", n, n)
		g.G("BNE %s", loop)
		g.G("RET")
	}
}
