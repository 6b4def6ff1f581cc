package conv

import "fettle/kernels/cpu"

const blk = 16 // channels a block, as cpu.Features.BlockF32

// families are the tile shapes of this architecture by instruction set, richest first.
func families(f cpu.Features) []map[int]*rows {
	var l []map[int]*rows
	if f.Has(cpu.AVX512F) {
		l = append(l, sized(avx512Rows(), f.L2))
	}
	if f.Has(cpu.AVX2) {
		l = append(l, sized(avx2Rows(), f.L2))
	}
	return l
}

// sized gives a family the chunks of a second-level cache.
func sized(family map[int]*rows, l2 int) map[int]*rows {
	for _, r := range family {
		r.chunk = chunkFor(l2)
	}
	return family
}

func kerns[T [5]func(*kargs) | [7]func(*kargs) | [8]func(*kargs) | [10]func(*kargs) | [15]func(*kargs) | [29]func(*kargs)](t T) []kern {
	var l []kern
	for i := range len(t) {
		l = append(l, t[i])
	}
	return l
}

func avx512Rows() map[int]*rows {
	r := func(nb, maxMR, light int) *rows {
		return &rows{isa: cpu.AVX512F, nb: nb, maxMR: maxMR, lightTiles: light}
	}
	m := map[int]*rows{1: r(1, 28, 0), 2: r(2, 14, 8), 3: r(3, 9, 0), 4: r(4, 7, 6)}
	m[1].s1, m[1].s2, m[1].any = kerns(conv1s1Z()), kerns(conv1s2Z()), kerns(conv1anyZ())
	m[2].s1, m[2].s2, m[2].p, m[2].any = kerns(conv2s1Z()), kerns(conv2s2Z()), kerns(conv2pZ()), kerns(conv2anyZ())
	m[3].s1 = kerns(conv3s1Z())
	m[4].s1, m[4].s2, m[4].p = kerns(conv4s1Z()), kerns(conv4s2Z()), kerns(conv4pZ())
	return m
}

func avx2Rows() map[int]*rows {
	r := &rows{isa: cpu.AVX2, nb: 1, maxMR: 6, lightTiles: 4, slice: 16, gather: true}
	r.s1, r.s2, r.p, r.b, r.any = kerns(conv1s1Y()), kerns(conv1s2Y()), kerns(conv1pY()), kerns(conv1bY()), kerns(conv1anyY())
	return map[int]*rows{1: r}
}

func dwFamilies(f cpu.Features) []*dwRows {
	var l []*dwRows
	if f.Has(cpu.AVX512F) {
		l = append(l, &dwRows{isa: cpu.AVX512F, s1: dw1s1Z(), s1pair: dw2s1Z(), s2: dw1s2Z(), any: dwAnyZ(), vecBytes: 64, span: actSpanZ})
	}
	if f.Has(cpu.AVX2) {
		l = append(l, &dwRows{isa: cpu.AVX2, any: dwAnyY(), vecBytes: 32, span: actSpanY})
	}
	return l
}

func winoFamily(f cpu.Features) *winoRows {
	switch {
	case f.Has(cpu.AVX512F):
		return &winoRows{isa: cpu.AVX512F, in4: winoIn, out4: winoOut, edge4: winoOutMask, in2: winoIn2, out2: winoOut2, edge2: winoOut2Mask, span: actSpanZ}
	case f.Has(cpu.AVX2):
		return &winoRows{isa: cpu.AVX2, in4: winoInY, out4: winoOutY, edge4: winoEdgeY, in2: winoIn2Y, out2: winoOut2Y, edge2: winoEdge2Y,
			span: actSpanY, half: 32}
	}
	return nil
}

// archAlgorithms are algorithms that share nothing with the drivers of this package.
func archAlgorithms(s Shape, f cpu.Features) []*Algorithm {
	if !s.Fast || s.Groups > 1 || s.C < blk || !f.Has(cpu.AMXBF16) {
		return nil
	}
	i := newSplit(s, &splitRows{mul: amxB, cut: amxSplit, span: actSpanZ})
	return []*Algorithm{{Name: "f32_conv_bf16x3_16x32__" + cpu.AMXBF16.String(), ISA: cpu.AMXBF16, MACs: s.MACs(),
		In: cpu.Need{Block: blk, Border: s.border()}, Out: cpu.Need{Block: blk}, Shape: s, impl: i}}
}

// qFamilies are the 8-bit tile shapes of this architecture, richest first.
func qFamilies(f cpu.Features) []map[int]*rows {
	var l []map[int]*rows
	if f.Has(cpu.AMXInt8) {
		l = append(l, map[int]*rows{2: {isa: cpu.AMXInt8, nb: 2, maxMR: 16, single: true, whole: true, any: tileKerns(amxQ)}})
	}
	if f.Has(cpu.AVX512VNNI) {
		l = append(l, map[int]*rows{
			2: {isa: cpu.AVX512VNNI, nb: 2, maxMR: 14, s1: kerns(vnni2s1()), s2: kerns(vnni2s2()), any: kerns(vnni2any())},
			4: {isa: cpu.AVX512VNNI, nb: 4, maxMR: 7, s1: kerns(vnni4s1()), s2: kerns(vnni4s2()), any: kerns(vnni4any())},
		})
	}
	if f.Has(cpu.AVX2) {
		l = append(l, map[int]*rows{1: {isa: cpu.AVX2, nb: 1, maxMR: 4, single: true, wide: 2, any: kerns(int8Y())}})
	}
	for _, family := range l {
		sized(family, f.L2)
	}
	return l
}

// wordKernels are products of words; processors with VNNI are faster on bytes.
func wordKernels(f cpu.Features) *wordRows {
	if !f.Has(cpu.AVX2) || f.Has(cpu.AVX512VNNI) {
		return nil
	}
	return &wordRows{isa: cpu.AVX2, maxMR: 6, panel: blk, mul: kerns(int16Y()), raw: kerns(int16RawY()), widen: kerns(widenY()), in: winoIn8Y, out: winoOut8Y, chunk: chunkFor(f.L2)}
}

func vnniDWKerns() []kern {
	t := vnniDW()
	return []kern{1: t[1], 2: t[2], 4: t[4], 8: t[8]}
}

func avx2DWKerns(f cpu.Features) []kern {
	if !f.Has(cpu.AVX2) {
		return nil
	}
	t := int8DWY()
	return []kern{1: t[1], 2: t[2], 4: t[4], 8: t[8]}
}

// dwRowKernels are the depthwise kernels of so many columns and stride 1, by rows of the output.
func dwRowKernels(f cpu.Features, k int) []kern {
	switch {
	case !f.Has(cpu.AVX2) || f.Has(cpu.AVX512VNNI):
		return nil
	case k == 3:
		return kerns(int8DWRows3())
	case k == 5:
		return kerns(int8DWRows5())
	}
	return nil
}

// conv16Rows and dw16Rows are the kernels of 16-bit values.
func conv16Rows(f cpu.Features) []*rows {
	if !f.Has(cpu.AVX2) {
		return nil
	}
	return []*rows{sized(map[int]*rows{1: {isa: cpu.AVX2, nb: 1, maxMR: 6, single: true, any: kerns(int16WordY())}}, f.L2)[1]}
}

func dw16Rows(f cpu.Features) []*rows16 {
	if !f.Has(cpu.AVX2) {
		return nil
	}
	t := int16DWY()
	return []*rows16{{isa: cpu.AVX2, n: blk, maxMR: 4, f: func(k *kargs) { t[k.mr](k) }, pairs: []int{0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15}}}
}
