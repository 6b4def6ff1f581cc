package pool

import "fettle/kernels/cpu"

const lineBytes = 64 // a block of channels

// pick sets the kernels of the best instruction set.
func (k *Kernel) pick(f cpu.Features) cpu.ISA {
	rows := func(m4, m1, a4, a1, q4, q1 func(*pargs)) {
		switch {
		case k.s.Int8:
			k.wide, k.one = q4, q1
		case k.s.Avg:
			k.wide, k.one = a4, a1
		default:
			k.wide, k.one = m4, m1
		}
	}
	switch {
	case f.Has(cpu.AVX512F):
		rows(max4Z, max1Z, avg4Z, avg1Z, max84Z, max81Z)
		return cpu.AVX512F
	case f.Has(cpu.AVX2):
		rows(max4Y, max1Y, avg4Y, avg1Y, max84Y, max81Y)
		return cpu.AVX2
	}
	return k.portable()
}
