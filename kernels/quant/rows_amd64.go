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

// lookup does the first elements in vectors and says how many.
func (k Kernels) lookup(t *Table, dst, src []uint8) int {
	a := qargs{}
	switch {
	case k.permute && k.isa == cpu.AVX512F && len(dst) >= Wide:
		a.n = int64(len(dst) / Wide)
		a.dst, a.src, a.scales = unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0]), unsafe.Pointer(t)
		lookupZ(&a)
		return int(a.n) * Wide
	case k.isa >= cpu.AVX2 && len(dst) >= 4*Wide:
		d := t.differences()
		a.n = int64(len(dst) / (2 * Wide))
		a.dst, a.src, a.scales = unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0]), unsafe.Pointer(&d)
		lookupY(&a)
		return int(a.n) * 2 * Wide
	}
	return 0
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
