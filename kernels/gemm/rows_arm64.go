package gemm

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// archRows are the tile shapes of this architecture, best first.
func archRows(s Shape, f cpu.Features) []*row {
	if s.Int8 || !f.Has(cpu.NEON) {
		return nil
	}
	var l []*row
	if s.Half && s.ConstB && !s.TransA && s.K > 0 && f.Has(cpu.NEONFP16) {
		r := &row{isa: cpu.NEONFP16, mr: 7, nr: halfCols, f: make([]func(*gargs), 8), narrow: narrowLine}
		for m, k := range gemmHalf() {
			if k != nil {
				r.f[m] = func(g *gargs) { halfGemm(k, g) }
			}
		}
		l = append(l, r)
	}
	t := gemmN()
	r := &row{isa: cpu.NEON, mr: 7, nr: 12, f: make([]func(*gargs), len(t))}
	for m, k := range t {
		if k != nil {
			r.f[m] = func(g *gargs) { neonGemm(k, g) }
		}
	}
	return append(l, r)
}

// callMults bounds the multiply instructions of one call, about 100 us of a Cortex-A72: assembly cannot be preempted.
const callMults = 150_000

// neonGemm cuts a call into pieces. The kernels write whole tiles, so a panel with fewer columns goes through a tile on the stack.
func neonGemm(f func(*gargs), g *gargs) {
	if g.live < g.nr {
		for i := range g.nt {
			neonTail(g, i)
		}
		return
	}
	all := *g
	per := max(1, callMults/max(1, 3*g.mr*g.k))
	for t := int64(0); t < all.nt; t += per {
		g.nt = min(per, all.nt-t)
		g.a, g.c = unsafe.Add(all.a, t*g.mr*g.rs), unsafe.Add(all.c, t*g.mr*g.ldc)
		f(g)
	}
	*g = all
}

const tailCols = 12

// neonTail computes tile i of a panel whose last columns do not exist. Its calls are direct: through a table the tile would go to the heap.
func neonTail(g *gargs, i int64) {
	var c [7 * tailCols]float32
	var bias [tailCols]float32
	t := *g
	t.nt, t.a, t.ldc, t.c = 1, unsafe.Add(g.a, i*g.mr*g.rs), 4*tailCols, unsafe.Pointer(&c)
	if g.bias != nil {
		copy(bias[:], unsafe.Slice((*float32)(g.bias), g.live))
		t.bias = unsafe.Pointer(&bias)
	}
	row := func(r int64) []float32 {
		return unsafe.Slice((*float32)(unsafe.Add(g.c, (i*g.mr+r)*g.ldc)), g.live)
	}
	if g.acc != 0 {
		for r := range g.mr {
			copy(c[r*tailCols:], row(r))
		}
	}
	switch g.mr {
	case 1:
		gemm1x12N(&t)
	case 2:
		gemm2x12N(&t)
	case 3:
		gemm3x12N(&t)
	case 4:
		gemm4x12N(&t)
	case 5:
		gemm5x12N(&t)
	case 6:
		gemm6x12N(&t)
	case 7:
		gemm7x12N(&t)
	}
	for r := range g.mr {
		copy(row(r), c[r*tailCols:])
	}
}

const halfCols = 24

// halfGemm cuts a call into pieces. What the kernel needs beside the matrices lies in the worker's buffer: the float32 sums, zeros or a
// piece of the bias, and the tile of a panel whose last columns do not exist.
func halfGemm(f func(*gargs), g *gargs) {
	const sums, bias = 7 * halfCols, halfCols
	buf := unsafe.Slice((*float32)(g.buf), sums+bias+sums)
	all, first := *g, buf[sums:][:bias]
	clear(first)
	if g.bias != nil {
		copy(first, unsafe.Slice((*float32)(g.bias), g.live))
	}
	g.bias = unsafe.Pointer(&first[0])
	if all.live < halfCols {
		c := buf[sums+bias:]
		for i := range all.nt {
			row := func(r int64) []float32 {
				return unsafe.Slice((*float32)(unsafe.Add(all.c, (i*all.mr+r)*all.ldc)), all.live)
			}
			if all.acc != 0 {
				for r := range all.mr {
					copy(c[r*halfCols:], row(r))
				}
			}
			g.nt, g.a, g.c, g.ldc = 1, unsafe.Add(all.a, i*all.mr*all.rs), unsafe.Pointer(&c[0]), 4*halfCols
			f(g)
			for r := range all.mr {
				copy(row(r), c[r*halfCols:])
			}
		}
		*g = all
		return
	}
	per := max(1, callMults/max(1, 24*all.mr*all.k))
	for t := int64(0); t < all.nt; t += per {
		g.nt = min(per, all.nt-t)
		g.a, g.c = unsafe.Add(all.a, t*all.mr*all.rs), unsafe.Add(all.c, t*all.mr*all.ldc)
		f(g)
	}
	*g = all
}
