package main

import (
	. "fettle/kernels/_asm/armgen/asm"
)

// packKernels lay three planes of a picture side by side: lines of 16 bytes of each.
func packKernels(g *gen) {
	const dst, red, green, blue, n, tmp X = 1, 2, 3, 4, 5, 6
	for _, k := range []struct {
		name, doc string
		size      uint32
	}{{"pixels3S", "lays four floats of each of three planes side by side, a line.", 2}, {"pixels3B", "lays 16 bytes of each of three planes side by side, a line, exclusive or flip.", 0}} {
		g.kernel(k.name, "pixelArgs", k.doc, 0)
		g.load("dst", dst, "red", red, "green", green, "blue", blue, "n", n, "flip", tmp)
		g.VDUPX(0, Q(7), tmp)
		loop := g.NewLabel("line")
		g.Label(loop)
		for i, r := range []X{red, green, blue} {
			g.VLD1(k.size, Q(i), 2, r, Next)
		}
		if k.size == 0 {
			for _, v := range qs(0, 3) {
				g.VEOR(v, v, Q(7))
			}
		}
		g.VST3(k.size, D(0), 2, dst, Next)
		g.VST3(k.size, D(1), 2, dst, Next)
		g.G("SUB.S $1, %v, %v", n, n)
		g.G("BNE %s", loop)
		g.G("RET")
	}
}
