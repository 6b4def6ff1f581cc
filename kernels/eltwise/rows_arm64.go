package eltwise

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// archISA is the instruction set whose kernels serve i; Generic if there are none.
func archISA(i cpu.ISA) cpu.ISA {
	switch i {
	case cpu.NEON, cpu.NEONFP16, cpu.NEONDot, cpu.NEONI8MM:
		return cpu.NEON
	}
	return cpu.Generic
}

// maxLines bounds the lines of one call of assembly, which cannot be preempted: about 100 us of a Cortex-A72.
const maxLines = 1000

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

// stepped is part for lines that are step apart in a and dst.
func stepped(e eargs, i int64) eargs {
	done := i * maxLines
	e.n = min(e.n-done, maxLines)
	e.a, e.dst = unsafe.Add(e.a, e.step*done), unsafe.Add(e.dst, e.step*done)
	return e
}

func parts(n int64) int64 { return (n + maxLines - 1) / maxLines }

func (k Kernels) binary(op Op, all *eargs) {
	if k.isa != cpu.NEON {
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
		case Div:
			divN(&e)
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
		e := stepped(*all, i)
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
		case cpu.Tanh:
			tanhN(&e)
		case cpu.GELU:
			geluN(&e)
		case cpu.Exp:
			expN(&e)
		case cpu.Erf:
			erfN(&e)
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
func (k Kernels) strided() bool { return k.isa == cpu.NEON }

func (k Kernels) fused(f fusing, all *eargs) {
	if k.isa != cpu.NEON {
		k.fusedWith(f, all)
		return
	}
	all.step = 4 * line
	if f == norm {
		for i := range parts(all.n) {
			e := part(*all, i, false)
			e.c = unsafe.Add(all.c, 4*line*maxLines*i)
			normN(&e)
		}
		return
	}
	var sums, l [line]float32
	for i := range parts(all.n) {
		e := part(*all, i, f == devSum)
		e.c = unsafe.Pointer(&l)
		switch f {
		case expSum:
			expSumN(&e)
		case addSum:
			addSumN(&e)
		case devSum:
			devSumN(&e)
		}
		for j, v := range l {
			sums[j] += v
		}
	}
	*(*[line]float32)(all.c) = sums
}
