package quant

import (
	"unsafe"

	"fettle/kernels/cpu"
)

func archISA(f cpu.Features) cpu.ISA {
	switch {
	case f.Has(cpu.AVX512F):
		return cpu.AVX512F
	case f.Has(cpu.AVX2):
		return cpu.AVX2
	}
	return cpu.Generic
}

func (k Kernels) quantize(a *qargs) {
	switch k.isa {
	case cpu.AVX512F:
		quantizeZ(a)
	case cpu.AVX2:
		quantizeY(a)
	default:
		quantizeGo(a)
	}
}

func (k Kernels) requantize(a *qargs) {
	switch k.isa {
	case cpu.AVX512F:
		requantizeZ(a)
	case cpu.AVX2:
		requantizeY(a)
	default:
		requantizeGo(a)
	}
}

func (k Kernels) dequantize(a *qargs, signed bool) {
	switch {
	case k.isa == cpu.AVX512F && signed:
		dequantizeSZ(a)
	case k.isa == cpu.AVX512F:
		dequantizeUZ(a)
	case k.isa == cpu.AVX2 && signed:
		dequantizeSY(a)
	case k.isa == cpu.AVX2:
		dequantizeUY(a)
	default:
		dequantizeGo(a, signed)
	}
}

func (k Kernels) sum(a *qargs) {
	switch k.isa {
	case cpu.AVX512F:
		sumZ(a)
	case cpu.AVX2:
		sumY(a)
	default:
		sumGo(a)
	}
}

func (k Kernels) mul(a *qargs) {
	switch k.isa {
	case cpu.AVX512F:
		mulZ(a)
	case cpu.AVX2:
		mulY(a)
	default:
		mulGo(a)
	}
}

func (k Kernels) scaleLines(a *qargs) {
	switch k.isa {
	case cpu.AVX512F:
		scaleZ(a)
	case cpu.AVX2:
		scaleY(a)
	default:
		scaleLinesGo(a)
	}
}

func (k Kernels) addLines(a *qargs) {
	switch k.isa {
	case cpu.AVX512F:
		addZ(a)
	case cpu.AVX2:
		addY(a)
	default:
		addLinesGo(a)
	}
}

// lookups returns what does the first elements in vectors and says how many.
func (k Kernels) lookups(t *Table) func(dst, src []uint8) int {
	switch {
	case k.permute && k.isa == cpu.AVX512F:
		return func(dst, src []uint8) int {
			n := len(dst) / Wide
			if n == 0 {
				return 0
			}
			lookupZ(&qargs{dst: unsafe.Pointer(&dst[0]), src: unsafe.Pointer(&src[0]), scales: unsafe.Pointer(t), n: int64(n)})
			return n * Wide
		}
	case k.isa >= cpu.AVX2:
		d := t.differences()
		return func(dst, src []uint8) int {
			n := len(dst) / (2 * Wide)
			if n > 0 {
				lookupY(&qargs{dst: unsafe.Pointer(&dst[0]), src: unsafe.Pointer(&src[0]), scales: unsafe.Pointer(&d), n: int64(n)})
				n *= 2 * Wide
				dst, src = dst[n:], src[n:]
			}
			if len(dst) < Wide/2 {
				return n
			}
			// The rest of a row, less than a step of the kernel.
			var part [2 * Wide]uint8
			copy(part[:], src)
			lookupY(&qargs{dst: unsafe.Pointer(&part), src: unsafe.Pointer(&part), scales: unsafe.Pointer(&d), n: 1})
			return n + copy(dst, part[:])
		}
	}
	return func(_, _ []uint8) int { return 0 }
}

// differences is the table as the kernel without byte permutes reads it: rows of 16, all but the first of each half as what changes.
func (t *Table) differences() Table {
	d := *t
	for i := range d {
		if i%128 >= 16 {
			d[i] ^= t[i-16]
		}
	}
	return d
}
