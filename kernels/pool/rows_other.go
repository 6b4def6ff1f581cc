//go:build !amd64 && !arm64 && !arm

package pool

import "fettle/kernels/cpu"

const lineBytes = 64 // a block of channels

func (k *Kernel) pick(cpu.Features) cpu.ISA { return k.portable() }
