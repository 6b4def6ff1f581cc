//go:build !amd64

package conv

import "fettle/kernels/cpu"

// avx2DWKerns exist on amd64 only.
func avx2DWKerns(cpu.Features) []kern { return nil }

// dwRowKernels exist on amd64 only.
func dwRowKernels(cpu.Features, int) []kern { return nil }
