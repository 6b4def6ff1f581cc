//go:build !arm64 && !arm

package conv

import "fettle/kernels/cpu"

// archQ are 8-bit algorithms that share nothing with the drivers of this package.
func archQ(Shape, cpu.Features) []*QAlgorithm { return nil }
