package gemm

import "fettle/kernels/cpu"

// archRows are the tile shapes of this architecture, best first.
func archRows(s Shape, f cpu.Features) []*row {
	var l []*row
	if s.Int8 {
		if f.Has(cpu.AMXInt8) {
			l = append(l, &row{isa: cpu.AMXInt8, mr: 16, nr: 32, bits: true, words: 16, f: tiles(amxQ)})
		}
		if f.Has(cpu.AVX512VNNI) {
			l = append(l, &row{isa: cpu.AVX512VNNI, mr: 14, nr: 32, bits: true, f: list(qemmZ())})
		}
		if f.Has(cpu.AVX2) {
			l = append(l, &row{isa: cpu.AVX2, mr: 2, nr: 16, f: list(qemmY())})
		}
		return l
	}
	var halves []*row
	if s.Fast && s.ConstB && !s.TransA && f.Has(cpu.AMXBF16) {
		halves = []*row{{isa: cpu.AMXBF16, mr: 16, nr: pair, bits: true, words: 16, f: tiles(amxB), cut: amxSplit}}
	}
	few := s.M < 16 // bound by the memory: tiles had 0.8 of the rate of vectors on a Xeon
	if !few {
		l = append(l, halves...)
	}
	if f.Has(cpu.AVX512F) {
		l = append(l, &row{isa: cpu.AVX512F, mr: 14, nr: 32, bits: true, f: list(gemmZ())})
	}
	if f.Has(cpu.AVX2) {
		l = append(l, &row{isa: cpu.AVX2, mr: 6, nr: 16, f: list(gemmY())})
	}
	if few {
		l = append(l, halves...)
	}
	return l
}

func list(t [15]func(*gargs)) []func(*gargs) { return t[:] }

// tiles is a table for a kernel that reads the number of rows, 1 to 16, from its arguments.
func tiles(f func(*gargs)) []func(*gargs) {
	l := make([]func(*gargs), 17)
	for i := range l[1:] {
		l[i+1] = f
	}
	return l
}
