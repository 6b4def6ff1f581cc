package grad

import "fettle/kernels/cpu"

func archKernels(f cpu.Features) (Kernels, bool) {
	switch {
	case f.Has(cpu.AVX512F):
		k := Kernels{isa: cpu.AVX512F, width: 16, depth: depthZ(), down: depthOuterZ(),
			pass: [passes][3]func(*args){momentsZ(), dotsZ(), affineZ(), blendZ(), maskZ(), dotsReluZ(), affineReluZ(), blendReluZ(), joinZ(), openDotsZ(), addOpenDotsZ(), bandZ()}}
		k.win[1] = [3][30]func(*args){1: window1x1Z(), 2: window2x1Z()}
		k.winOuter[1] = [3][30]func(*args){1: windowOuter1x1Z(), 2: windowOuter2x1Z()}
		r1, r2, o1, o2 := rows1Z(), rows2Z(), outer1Z(), outer2Z()
		k.rows = [3][]func(*args){nil, full(r1[:]), full(r2[:])}
		k.outer = [3][]func(*args){nil, full(o1[:]), full(o2[:])}
		return k, true
	case f.Has(cpu.AVX2):
		k := Kernels{isa: cpu.AVX2, width: 8, depth: depthY(), down: depthOuterY(),
			pass: [passes][3]func(*args){momentsY(), dotsY(), affineY(), blendY(), maskY(), dotsReluY(), affineReluY(), blendReluY(), joinY(), openDotsY(), addOpenDotsY(), bandY()}}
		k.win = [3][3][30]func(*args){1: {1: window1x1Y(), 2: window2x1Y()}, 2: {1: window1x2Y(), 2: window2x2Y()}}
		k.winOuter = [3][3][30]func(*args){1: {1: windowOuter1x1Y(), 2: windowOuter2x1Y()}, 2: {1: windowOuter1x2Y(), 2: windowOuter2x2Y()}}
		r1, r2, o1, o2 := rows1Y(), rows2Y(), outer1Y(), outer2Y()
		k.rows = [3][]func(*args){nil, full(r1[:]), full(r2[:])}
		k.outer = [3][]func(*args){nil, full(o1[:]), full(o2[:])}
		return k, true
	}
	return Kernels{}, false
}

// full cuts a table at its highest kernel.
func full(l []func(*args)) []func(*args) {
	for l[len(l)-1] == nil {
		l = l[:len(l)-1]
	}
	return l
}
