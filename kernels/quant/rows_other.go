//go:build !amd64 && !arm64 && !arm

package quant

import "fettle/kernels/cpu"

func archISA(cpu.Features) cpu.ISA { return cpu.Generic }

func (k Kernels) quantize(a *qargs) { quantizeGo(a) }

func (k Kernels) requantize(a *qargs) { requantizeGo(a) }

func (k Kernels) dequantize(a *qargs, signed bool) { dequantizeGo(a, signed) }

func (k Kernels) sum(a *qargs) { sumGo(a) }

func (k Kernels) mul(a *qargs) { mulGo(a) }

func (k Kernels) scaleLines(a *qargs) { scaleLinesGo(a) }

func (k Kernels) addLines(a *qargs) { addLinesGo(a) }

// lookups has no vectors here.
func (k Kernels) lookups(*Table) func(dst, src []uint8) int {
	return func(_, _ []uint8) int { return 0 }
}
