//go:build !amd64

package pool

import "fettle/kernels/cpu"

func (k *Kernel) pick(cpu.Features) cpu.ISA { return k.portable() }
