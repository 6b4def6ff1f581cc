//go:build !amd64

package peak

import "fettle/kernels/cpu"

func pick(cpu.Features, bool) *unit { return nil }
