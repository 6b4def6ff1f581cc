//go:build !amd64 && !arm64 && !arm

package gemm

import "fettle/kernels/cpu"

func archRows(Shape, cpu.Features) []*row { return nil }
