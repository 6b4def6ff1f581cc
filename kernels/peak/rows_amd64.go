package peak

import "fettle/kernels/cpu"

// pick is the kernel of the richest set; AMX tiles have none.
func pick(f cpu.Features, int8 bool) *unit {
	switch {
	case f.Has(cpu.AVX512VNNI) && int8:
		return &unit{cpu.AVX512VNNI, vnniZ, 24 * 64}
	case f.Has(cpu.AVX512F) && !int8:
		return &unit{cpu.AVX512F, fmaZ, 24 * 16}
	case f.Has(cpu.AVX2) && int8:
		return &unit{cpu.AVX2, maddY, 12 * 16}
	case f.Has(cpu.AVX2):
		return &unit{cpu.AVX2, fmaY, 12 * 8}
	}
	return nil
}
