package main

import (
	"fmt"

	. "fettle/kernels/_asm/arm64gen/asm"
)

// First layers on pixels of few channels (NHWC): a row of taps of neighbouring pixels is one run of floats. It is loaded as it lies, four registers at
// a time, and each sum picks its floats by lane, wherever the window begins: a load for every pixel and four taps, as variant "any" has it, would be
// seven loads where one is enough. Tiles are of 6 pixels where 7 would leave no room for the run.

// window is a row of taps: its floats, and those from the window of a pixel to that of the next.
type window struct{ taps, step int }

// windows are the rows that first layers have: 3x3 and 7x7 of three channels, strides 2 and 1.
func windows() []window { return []window{{9, 6}, {9, 3}, {21, 6}} }

func (w window) name() string { return fmt.Sprintf("w%dx%d", w.taps, w.step) }

// leastWindow is the fewest pixels of such a tile: narrower ones are left to "any", whose weights lie in the same order.
const leastWindow = 4

// fits says whether a tile of m pixels by nb blocks has room for what a tap reads, and for four weights.
func (w window) fits(m, nb int) bool {
	ring := 32 - m*nb - 4
	for t := range w.taps {
		if (t+(m-1)*w.step)/4-t/4 >= ring {
			return false
		}
	}
	return true
}

// widest is the most pixels of a tile of nb blocks.
func (w window) widest(nb int) int {
	m := 7
	for !w.fits(m, nb) {
		m--
	}
	return m
}

// windowKernels makes the kernels of all windows, and the function that finds them.
func (g *gen) windowKernels() {
	for _, w := range windows() {
		for nb := 1; nb <= 3; nb++ {
			for m := leastWindow; m <= w.widest(nb); m++ {
				g.conv(m, nb, w.name())
			}
			g.table(fmt.Sprintf("conv%d%s", nb, w.name()), "kargs", 8, func(m int) string {
				if m < leastWindow || m > w.widest(nb) {
					return ""
				}
				return convName(m, nb, w.name())
			})
		}
	}
	fmt.Fprintf(&g.decl, "\n// convWindow lists the kernels for rows of taps floats whose windows lie step floats apart, by blocks and pixels.\nfunc convWindow(taps, step int) (k [4][8]func(*kargs), ok bool) {\n\tswitch [2]int{taps, step} {\n")
	for _, w := range windows() {
		fmt.Fprintf(&g.decl, "\tcase [2]int{%d, %d}:\n\t\treturn [4][8]func(*kargs){1: conv1%[3]s(), 2: conv2%[3]s(), 3: conv3%[3]s()}, true\n", w.taps, w.step, w.name())
	}
	g.decl.WriteString("\t}\n\treturn k, false\n}\n")
}

// row adds the groups, each a row of taps, to the sums V0-V[m*nb-1]. Behind these lies the run of floats as a ring, behind that the weights.
func (w window) row(g *gen, m, nb int) {
	acc := m * nb
	all := ((m-1)*w.step + w.taps + 3) / 4 // registers of the run
	ring := min(all, 32-acc-4)
	at := func(i int) VReg { return V[acc+i%ring] }
	loaded := 0
	load := func(n int) { // up to n more registers of the run
		for n = min(n, all-loaded); n > 0; {
			k := min(n, 4, ring-loaded%ring)
			g.LD1P(vr(acc+loaded%ring, k), rP, XZR)
			loaded, n = loaded+k, n-k
		}
	}
	slots := (32 - acc - ring) / 4
	loop := g.NewLabel("row")
	g.G("MOVD %v, %v", rNK, rK)
	g.Label(loop)
	g.G("MOVD.P 16(%v), %v", rGp, rP)
	g.G("ADD %v, %v, %v", rPix, rP, rP)
	load(ring)
	for t := range w.taps {
		if (t+(m-1)*w.step)/4 >= loaded {
			load(t/4 + ring - loaded) // registers before that of this tap are free
		}
		for j := range nb {
			q := t*nb + j
			weight := V[acc+ring+4*(q/4%slots)+q%4]
			if q%4 == 0 {
				g.LD1P(vr(acc+ring+4*(q/4%slots), min(4, w.taps*nb-q)), rWp, XZR)
			}
			for p := range m {
				f := t + p*w.step
				g.FMLA(V[j*m+p].S4, weight.S4, at(f/4).S(f%4))
			}
		}
	}
	g.G("SUBS $1, %v, %v", rK, rK)
	g.G("BNE %s", loop)
}
