package quant

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// Wide is the bytes of a line of an 8-bit block, one a channel, as cpu.Features.BlockI8.
const Wide = 16

func archISA(f cpu.Features) cpu.ISA {
	if f.Has(cpu.NEON) {
		return cpu.NEON
	}
	return cpu.Generic
}

func (k Kernels) quantize(a *qargs) {
	switch {
	case k.isa != cpu.NEON:
		quantizeGo(a)
	case a.lo < 0:
		quantizeS(a)
	default:
		quantizeU(a)
	}
}

func (k Kernels) requantize(a *qargs) {
	switch {
	case k.isa != cpu.NEON:
		requantizeGo(a)
	case a.lo < 0:
		requantizeS(a)
	default:
		requantizeU(a)
	}
}

func (k Kernels) dequantize(a *qargs, signed bool) {
	switch {
	case k.isa != cpu.NEON:
		dequantizeGo(a, signed)
	case signed:
		dequantizeS(a)
	default:
		dequantizeU(a)
	}
}

func (k Kernels) sum(a *qargs) {
	if k.isa != cpu.NEON {
		sumGo(a)
		return
	}
	sum16(a)
}

func (k Kernels) mul(a *qargs) {
	if k.isa != cpu.NEON {
		mulGo(a)
		return
	}
	mul16(a)
}

func (k Kernels) scaleLines(a *qargs) {
	if k.isa != cpu.NEON {
		scaleLinesGo(a)
		return
	}
	scale16(a)
}

func (k Kernels) addLines(a *qargs) {
	if k.isa != cpu.NEON {
		addLinesGo(a)
		return
	}
	add16(a)
}

// lookups returns what does the first elements in vectors and says how many.
func (k Kernels) lookups(t *Table) func(dst, src []uint8) int {
	return func(dst, src []uint8) int {
		n := len(dst) / line
		if k.isa != cpu.NEON || n == 0 {
			return 0
		}
		lookup16(&qargs{dst: unsafe.Pointer(&dst[0]), src: unsafe.Pointer(&src[0]), scales: unsafe.Pointer(t), n: int64(n)})
		return n * line
	}
}
