package gemm

import (
	"unsafe"

	"fettle/kernels/cpu"
)

const tileRows, tileCols = 3, 12

// archRows are the tile shapes of this architecture, best first.
func archRows(s Shape, f cpu.Features) []*row {
	if s.Int8 || !f.Has(cpu.NEON) {
		return nil
	}
	t := gemmN()
	r := &row{isa: cpu.NEON, mr: tileRows, nr: tileCols, f: make([]func(*gargs), len(t))}
	for m, k := range t {
		if k != nil {
			r.f[m] = func(g *gargs) { neonGemm(k, g) }
		}
	}
	return []*row{r}
}

// callMults bounds the multiply instructions of one call, about 100 us of a Cortex-A7: assembly cannot be preempted.
const callMults = 25_000

// neonGemm cuts a call into pieces. The kernels write whole tiles, so a panel with fewer columns goes through a tile on the stack.
func neonGemm(f func(*gargs), g *gargs) {
	if g.live < g.nr {
		for i := range g.nt {
			neonTail(g, i)
		}
		return
	}
	all := *g
	per := max(1, callMults/max(1, tileCols/4*g.mr*g.k))
	for t := int64(0); t < all.nt; t += per {
		g.nt = min(per, all.nt-t)
		g.a, g.c = unsafe.Add(all.a, t*g.mr*g.rs), unsafe.Add(all.c, t*g.mr*g.ldc)
		f(g)
	}
	*g = all
}

// neonTail computes tile i of a panel whose last columns do not exist. Its calls are direct: through a table the tile would go to the heap.
func neonTail(g *gargs, i int64) {
	var c [tileRows * tileCols]float32
	var bias [tileCols]float32
	t := *g
	t.nt, t.a, t.ldc, t.c = 1, unsafe.Add(g.a, i*g.mr*g.rs), 4*tileCols, unsafe.Pointer(&c)
	if g.bias != nil {
		copy(bias[:], unsafe.Slice((*float32)(g.bias), g.live))
		t.bias = unsafe.Pointer(&bias)
	}
	row := func(r int64) []float32 {
		return unsafe.Slice((*float32)(unsafe.Add(g.c, (i*g.mr+r)*g.ldc)), g.live)
	}
	if g.acc != 0 {
		for r := range g.mr {
			copy(c[r*tileCols:], row(r))
		}
	}
	switch g.mr {
	case 1:
		gemm1x12N(&t)
	case 2:
		gemm2x12N(&t)
	case 3:
		gemm3x12N(&t)
	}
	for r := range g.mr {
		copy(row(r), c[r*tileCols:])
	}
}
