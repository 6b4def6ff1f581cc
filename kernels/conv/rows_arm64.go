package conv

import (
	"math"
	"unsafe"

	"fettle/kernels/cpu"
)

const blk = 4 // channels a block, as cpu.Features.BlockF32: a pixel's block is one vector

// families are the tile shapes of this architecture by instruction set, richest first.
func families(f cpu.Features) []map[int]*rows {
	if !f.Has(cpu.NEON) {
		return nil
	}
	m := map[int]*rows{}
	for nb, k := range map[int][4][8]func(*kargs){1: {conv1one(), conv1s1(), conv1s2(), conv1any()}, 2: {conv2one(), conv2s1(), conv2s2(), conv2any()}, 3: {conv3one(), conv3s1(), conv3s2(), conv3any()}} {
		m[nb] = &rows{isa: cpu.NEON, nb: nb, maxMR: 7, one: neonKerns(k[0], nb), s1: neonKerns(k[1], nb), s2: neonKerns(k[2], nb), any: neonKerns(k[3], nb), gather: true, calm: true}
	}
	return []map[int]*rows{m}
}

// windowFamily is family with the kernels for a first layer whose rows of taps have ones of their own; the rest of their table is "any".
func windowFamily(family map[int]*rows, s Shape) map[int]*rows {
	by, ok := convWindow(s.KW*s.C, s.SW*s.C)
	if !ok || family[1].isa != cpu.NEON {
		return family
	}
	m := map[int]*rows{}
	for nb, r := range family {
		w := *r
		w.any = append([]kern(nil), r.any...)
		for n, k := range neonKerns(by[nb], nb) {
			if k != nil {
				w.any[n], w.maxMR = k, n
			}
		}
		m[nb] = &w
	}
	return m
}

func neonKerns(f [8]func(*kargs), nb int) []kern {
	l := make([]kern, len(f))
	for m, k := range f {
		if k != nil {
			l[m] = neonKern(k, m, nb)
		}
	}
	return l
}

// callMults bounds the multiply instructions of one call, about 100 us of a Cortex-A72: assembly cannot be preempted.
const callMults = 150_000

// neonKern cuts calls into pieces and applies the activation functions that the kernel does not know to tiles that have just been
// stored and lie in L1.
func neonKern(f kern, m, nb int) kern {
	return func(k *kargs) {
		one := 4 * int64(m*nb) * k.nk * k.groups.steps // of a tile; groups are alike, but for the last
		if k.act <= int64(cpu.Clamp) && one*k.nt <= callMults {
			f(k)
			return
		}
		per := max(1, callMults/max(1, one))
		tiles, nt := k.tiles, k.nt
		for t := int64(0); t < nt; t += per {
			k.tiles, k.nt = tileAt(tiles, t), min(per, nt-t)
			f(k)
			if cpu.ActKind(k.act) > cpu.Clamp {
				actTiles(k, int64(m), int64(nb))
			}
		}
		k.tiles, k.nt = tiles, nt
	}
}

// actTiles applies the activation to tiles of m pixels that have just been stored; tiles that follow each other in memory are one span.
func actTiles(k *kargs, m, nb int64) {
	tiles := unsafe.Slice(k.tiles, k.nt)
	d := dwArgs{act: k.act, lo: k.lo, hi: k.hi}
	for len(tiles) > 0 {
		n := 1
		if last := len(tiles) - 1; tiles[last].c-tiles[0].c == int64(last)*m*line { // places go up
			n = len(tiles)
		}
		for n < len(tiles) && tiles[n].c == tiles[n-1].c+m*line {
			n++
		}
		d.nt = int64(n) * m
		for b := range nb {
			d.dst = unsafe.Add(k.c, tiles[0].c+b*k.cblk)
			actSpan(&d)
		}
		tiles = tiles[n:]
	}
}

func dwFamilies(f cpu.Features) []*dwRows {
	if !f.Has(cpu.NEON) {
		return nil
	}
	r := &dwRows{isa: cpu.NEON, vecBytes: line, span: actSpan, late: true, many: callMults}
	for c := 1; c <= 7; c++ { // one kernel serves all widths: it cuts rows of nt*cols itself
		r.s1pair[c], r.s1[c], r.s2[c] = dwPairs, dwRowsOne, dwStride2
	}
	r.any[1], r.any[2], r.any[4], r.any[8] = dwAnyActs(dwAny1, dw5s1x1, dw5s2x1), dwAnyActs(dwAny2, dw5s1x2, dw5s2x2), dwAnyActs(dwAny4, dw5s1x4, dw5s2x4), dwAnyActs(dwAny8, dw5s1x8, dw5twice)
	r.any[7] = dwAnyActs(dwAny7, dw5s1x7, dw5s2x7)
	return []*dwRows{r}
}

// dwBounds replaces the parameters of an activation by the bounds that the kernels apply; span does what is more than that.
func dwBounds(k *dwArgs) {
	switch cpu.ActKind(k.act) {
	case cpu.Clamp:
	case cpu.ReLU:
		k.lo, k.hi = 0, float32(math.Inf(1))
	default:
		k.act = 0
	}
}

func dwPairs(k *dwArgs) {
	dwBounds(k)
	dw3s1r2(k)
}

func dwRowsOne(k *dwArgs) {
	dwBounds(k)
	dw3s1r1(k)
}

func dwStride2(k *dwArgs) {
	dwBounds(k)
	src, dst, n, blocks := k.src, k.dst, k.nr, k.blocks
	if k.nr = n / 2; k.nr > 0 {
		dw3s2r2(k)
	}
	if n&1 == 1 {
		k.blocks = blocks
		k.src, k.dst, k.nr = unsafe.Add(src, 2*(n-1)*k.irow), unsafe.Add(dst, (n-1)*k.orow), 1
		dw3s2r1(k)
	}
	k.nr = n
}

// dwAnyActs picks the kernel of 5x5 taps side by side of stride 1 or 2, or that of any taps.
func dwAnyActs(any, five1, five2 func(*dwArgs)) func(*dwArgs) {
	return func(k *dwArgs) {
		f := any
		if k.nk == 25 {
			t := unsafe.Slice(k.taps, 25)
			side := t[1]-t[0] == line && t[4]-t[0] == 4*line && t[10]-t[5] == t[5]-t[0] && t[20] == 4*t[5]
			switch {
			case side && k.ps == line:
				f = five1
			case side && k.ps == 2*line:
				f = five2
			}
		}
		dwBounds(k)
		f(k)
	}
}

// dw5twice does tiles of eight columns of stride 2 as two of four.
func dw5twice(k *dwArgs) {
	k.nt *= 2
	dw5s2x4(k)
	k.nt /= 2
}

func winoFamily(f cpu.Features) *winoRows {
	if !f.Has(cpu.NEON) {
		return nil
	}
	return &winoRows{isa: cpu.NEON, in4: winoIn4, out4: winoOut4, edge4: winoEdge4, in2: winoIn2, out2: winoOut2, edge2: winoEdge2, span: actSpan}
}

// archAlgorithms are algorithms that share nothing with the drivers of this package.
func archAlgorithms(s Shape, f cpu.Features) []*Algorithm { return halfAlgorithms(s, f) }

// archQ are 8-bit algorithms that share nothing with the drivers of this package.
func archQ(s Shape, f cpu.Features) []*QAlgorithm {
	if !f.Has(cpu.NEON) {
		return nil
	}
	if s.Groups > 1 && s.Groups == s.C && s.M == s.C && !s.Residual {
		return []*QAlgorithm{{Name: "qu8s8_dwconv_1x4", ISA: cpu.NEON, In: cpu.Need{Block: qBlk}, impl: &neonDW{s}}}
	}
	if f.Has(cpu.NEONDot) || s.Groups > 1 {
		return nil
	}
	direct := newNeonConv(s, false)
	if !direct.fits() {
		return nil
	}
	var l []*QAlgorithm
	if s.C < 5 && s.DW == 1 && s.KH*s.KW > 1 && s.KW*s.C <= window {
		l = append(l, &QAlgorithm{Name: "qu8s8_conv_first_4x16", ISA: cpu.NEON, In: cpu.Need{Block: s.C}, impl: newNeonConv(s, true)})
	}
	return append(l, &QAlgorithm{Name: "qu8s8_conv_4x16", ISA: cpu.NEON, In: cpu.Need{Block: qBlk}, impl: direct})
}

// qFamilies are the 8-bit tile shapes. SMMLA and SDOT take any weights; plain NEON needs its slower kernels where a weight is -128.
func qFamilies(f cpu.Features) []map[int]*rows {
	family := func(isa cpu.ISA, maxMR int, four, one map[int][8]func(*kargs), fourAny, oneAny map[int][8]func(*kargs)) map[int]*rows {
		m := map[int]*rows{}
		for nb := range four {
			r := &rows{isa: isa, nb: nb, maxMR: maxMR, flip: true, calm: true, s1: make([]kern, maxMR+1), any: make([]kern, maxMR+1)}
			for i := 1; i <= maxMR; i++ {
				r.s1[i] = neonQKern(four[nb][i], fourAny[nb][i], i, nb, 4)
				r.any[i] = neonQKern(one[nb][i], oneAny[nb][i], i, nb, 1)
			}
			r.s2 = r.s1 // the kernels read the distance of pixels
			m[nb] = r
		}
		return m
	}
	var l []map[int]*rows
	if f.Has(cpu.NEONI8MM) { // whole steps of 16 inputs; the rest is for SDOT
		m := map[int]*rows{}
		for nb, k := range map[int][8]func(*kargs){1: m1unit4(), 2: m2unit4(), 4: m4unit4()} {
			r := &rows{isa: cpu.NEONI8MM, nb: nb, maxMR: 4, flip: true, pairs: true, calm: true, s1: make([]kern, 5)}
			for i := 1; i <= 4; i++ {
				r.s1[i] = neonQKern(k[i], k[i], i, nb, 2)
			}
			r.s2 = r.s1
			m[nb] = r
		}
		l = append(l, m)
	}
	if f.Has(cpu.NEONDot) {
		four := map[int][8]func(*kargs){1: d1unit4(), 2: d2unit4(), 4: d4unit4()}
		one := map[int][8]func(*kargs){1: d1unit1(), 2: d2unit1(), 4: d4unit1()}
		l = append(l, family(cpu.NEONDot, 5, four, one, four, one))
	}
	if f.Has(cpu.NEON) {
		l = append(l, family(cpu.NEON, 4, map[int][8]func(*kargs){1: q1unit4(), 2: q2unit4()}, map[int][8]func(*kargs){1: q1unit1(), 2: q2unit1()},
			map[int][8]func(*kargs){1: w1unit4(), 2: w2unit4()}, map[int][8]func(*kargs){1: w1unit1(), 2: w2unit1()}))
	}
	return l
}

// neonQKern picks the kernel for the weights and cuts calls into pieces; unit is the number of words a step.
func neonQKern(pairs, wide kern, m, nb int, unit int64) kern {
	return func(k *kargs) {
		f := pairs
		if k.full != 0 {
			f = wide
		}
		words := int64(0)
		for _, g := range unsafe.Slice(k.groups, k.nk) {
			words += g.steps * unit
		}
		tiles, nt := k.tiles, k.nt
		per := max(1, callMults/max(1, 2*int64(m*nb)*words))
		for t := int64(0); t < nt; t += per {
			k.tiles, k.nt = tileAt(tiles, t), min(per, nt-t)
			f(k)
			if k.perm != nil {
				lookTiles(k, m)
			}
		}
		k.tiles, k.nt = tiles, nt
	}
}

// lookTiles passes tiles of m pixels of 16 channels that have just been stored through the table at perm; tiles that follow each other in memory are one
// span.
func lookTiles(k *kargs, m int) {
	tiles := unsafe.Slice(k.tiles, k.nt)
	for len(tiles) > 0 {
		n := 1
		for n < len(tiles) && tiles[n].c == tiles[n-1].c+int64(m*qBlk) {
			n++
		}
		look256(&lookArgs{unsafe.Add(k.c, tiles[0].c), (*[256]uint8)(k.perm), int64(n * m)})
		tiles = tiles[n:]
	}
}

func tileAt(t *tile, i int64) *tile {
	return (*tile)(unsafe.Add(unsafe.Pointer(t), uintptr(i)*unsafe.Sizeof(tile{})))
}

func vnniDWKerns() []kern { return nil }

// wordKernels are products of words; SDOT is faster on bytes.
func wordKernels(f cpu.Features) *wordRows {
	if !f.Has(cpu.NEON) || f.Has(cpu.NEONDot) {
		return nil
	}
	r := &wordRows{isa: cpu.NEON, maxMR: 8, panel: 8, lanes: true, raw: make([]kern, 9), in: winoIn8, out: winoOut8, chunk: chunkBytes}
	for m, k := range mul16Raw() {
		if k != nil {
			r.raw[m] = wordKern(k, int64(m))
		}
	}
	return r
}

// wordKern cuts calls into pieces.
func wordKern(f kern, m int64) kern {
	return func(k *kargs) {
		per := max(1, callMults/(16*m*k.nk))
		tiles, nt := k.tiles, k.nt
		for t := int64(0); t < nt; t += per {
			k.tiles, k.nt = tileAt(tiles, t), min(per, nt-t)
			f(k)
		}
		k.tiles, k.nt = tiles, nt
	}
}
