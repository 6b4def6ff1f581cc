//go:build !amd64 && !arm64

package gemm

import "fettle/kernels/cpu"

func archRows(cpu.Features, bool) []*row { return nil }
