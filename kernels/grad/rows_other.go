//go:build !amd64

package grad

import "fettle/kernels/cpu"

func archKernels(cpu.Features) (Kernels, bool) { return Kernels{}, false }
