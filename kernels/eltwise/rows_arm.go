package eltwise

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// archISA is the instruction set whose kernels serve i; Generic if there are none.
func archISA(i cpu.ISA) cpu.ISA {
	if i == cpu.NEON {
		return i
	}
	return cpu.Generic
}

// maxLines bounds the lines of one call of assembly, which cannot be preempted: about 100 us of a Cortex-A7.
const maxLines = 250

// part is piece i of at most maxLines lines; fixed is set where dst does not move. Pointers never pass the end of a slice. It returns a
// copy: a store through a pointer would send all slices to the heap.
func part(e eargs, i int64, fixed bool) eargs {
	done := i * maxLines
	e.n = min(e.n-done, maxLines)
	e.a = unsafe.Add(e.a, 4*line*done)
	if e.b != nil {
		e.b = unsafe.Add(e.b, e.step*done)
	}
	if !fixed {
		e.dst = unsafe.Add(e.dst, 4*line*done)
	}
	return e
}

func parts(n int64) int64 { return (n + maxLines - 1) / maxLines }

func (k Kernels) binary(op Op, all *eargs) {
	if k.isa != cpu.NEON || op == Div { // NEON of 32 bits does not divide
		binaryGo(op, all)
		return
	}
	for i := range parts(all.n) {
		e := part(*all, i, false)
		switch op { // direct calls: through a table the arguments would go to the heap
		case Add:
			addN(&e)
		case Sub:
			subN(&e)
		case Mul:
			mulN(&e)
		case Max:
			maxN(&e)
		case Min:
			minN(&e)
		}
	}
}

func (k Kernels) unary(kind cpu.ActKind, all *eargs) {
	if k.isa != cpu.NEON {
		unaryGo(kind, all)
		return
	}
	for i := range parts(all.n) {
		e := *all
		e.n = min(all.n-i*maxLines, maxLines)
		e.a, e.dst = unsafe.Add(all.a, all.step*maxLines*i), unsafe.Add(all.dst, all.step*maxLines*i)
		switch kind {
		case cpu.Clamp:
			clampN(&e)
		case cpu.LeakyReLU:
			leakyN(&e)
		case cpu.HardSwish:
			hardswishN(&e)
		case cpu.SiLU:
			siluN(&e)
		case cpu.Sigmoid:
			sigmoidN(&e)
		case cpu.HardSigmoid:
			hardsigmoidN(&e)
		default:
			unaryGo(kind, &e)
		}
	}
}

func (k Kernels) reduce(f folding, all *eargs) {
	if k.isa != cpu.NEON {
		reduceGo(f, all)
		return
	}
	all.step = 4 * line
	for i := range parts(all.n) {
		e := part(*all, i, true)
		switch f {
		case sum:
			sumN(&e)
		case maximum:
			maximumN(&e)
		case dot:
			dotN(&e)
		}
	}
}

func (k Kernels) axpy(all *eargs) {
	if k.isa != cpu.NEON {
		axpyGo(all)
		return
	}
	for i := range parts(all.n) {
		e := part(*all, i, false)
		axpyN(&e)
	}
}

// strided reports whether unary kernels take lines apart from each other, and whether there are kernels for all of fusing.
func (k Kernels) strided() bool { return false }

func (k Kernels) fused(f fusing, e *eargs) { k.fusedWith(f, e) }
