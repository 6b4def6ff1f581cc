package gemm

import "fettle/kernels/cpu"

// archRows are the tile shapes of this architecture, best first.
func archRows(f cpu.Features, int8 bool) []*row {
	var l []*row
	if int8 {
		if f.Has(cpu.AVX512VNNI) {
			l = append(l, &row{isa: cpu.AVX512VNNI, mr: 14, nr: 32, bits: true, f: qemmZ()})
		}
		return l
	}
	if f.Has(cpu.AVX512F) {
		l = append(l, &row{isa: cpu.AVX512F, mr: 14, nr: 32, bits: true, f: gemmZ()})
	}
	if f.Has(cpu.AVX2) {
		l = append(l, &row{isa: cpu.AVX2, mr: 6, nr: 16, f: gemmY()})
	}
	return l
}
