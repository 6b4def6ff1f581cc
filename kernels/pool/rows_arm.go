package pool

import "fettle/kernels/cpu"

// lineBytes is the size of a block of channels: one vector, as cpu.Features.BlockF32 and BlockI8.
const lineBytes = 16

// pick sets the kernels of the best instruction set.
func (k *Kernel) pick(f cpu.Features) cpu.ISA {
	if !f.Has(cpu.NEON) {
		return k.portable()
	}
	switch {
	case k.s.Int8:
		k.wide, k.one = max84N, max81N
	case k.s.Avg:
		k.wide, k.one = avg4N, avg1N
	default:
		k.wide, k.one = max4N, max1N
	}
	return cpu.NEON
}
