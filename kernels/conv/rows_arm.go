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
		m[nb] = &rows{isa: cpu.NEON, nb: nb, maxMR: [4]int{0, 6, 4, 3}[nb], one: neonKerns(k[0], nb), s1: neonKerns(k[1], nb), s2: neonKerns(k[2], nb), any: neonKerns(k[3], nb), gather: true, calm: true}
	}
	return []map[int]*rows{m}
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

// callMults bounds the multiply instructions of one call, about 100 us of a Cortex-A7, which takes four cycles for four products: assembly
// cannot be preempted.
const callMults = 25_000

// neonKern cuts calls into pieces and applies the activation functions that the kernel does not know to tiles that have just been
// stored and lie in L1. The kernels count tiles in their argument.
func neonKern(f kern, m, nb int) kern {
	return func(k *kargs) {
		per := max(1, callMults/max(1, 4*int64(m*nb)*k.nk*k.groups.steps)) // groups are alike, but for the last
		tiles, nt := k.tiles, k.nt
		for t := int64(0); t < nt; t += per {
			k.tiles, k.nt = tileAt(tiles, t), min(per, nt-t)
			n := k.nt
			f(k)
			if k.nt = n; cpu.ActKind(k.act) > cpu.Clamp {
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

func tileAt(t *tile, i int64) *tile {
	return (*tile)(unsafe.Add(unsafe.Pointer(t), uintptr(i)*unsafe.Sizeof(tile{})))
}

func dwFamilies(f cpu.Features) []*dwRows {
	if !f.Has(cpu.NEON) {
		return nil
	}
	r := &dwRows{isa: cpu.NEON, vecBytes: line, span: actSpan, late: true}
	for c := 1; c <= 7; c++ { // one kernel serves all widths: it cuts rows of nt*cols itself
		r.s1pair[c], r.s1[c], r.s2[c] = dwPairs, dwBounded(dw3s1, 1), dwBounded(dw3s2, 2)
	}
	four := dwAnyActs(dwAny4, dw5s1x4, dw5s2x4)
	r.any[1], r.any[2], r.any[4], r.any[8] = dwAnyActs(dwAny1, dw5s1x1, dw5s2x1), dwAnyActs(dwAny2, dw5s1x2, dw5s2x2), four, func(k *dwArgs) {
		k.nt *= 2
		four(k)
		k.nt /= 2
	}
	return []*dwRows{r}
}

// dwBounded replaces the parameters of an activation by the bounds that the kernel applies; span does what is more than that. Calls are cut by rows, of the
// input step times irow.
func dwBounded(f func(*dwArgs), step int64) func(*dwArgs) {
	return func(k *dwArgs) {
		switch cpu.ActKind(k.act) {
		case cpu.Clamp:
		case cpu.ReLU:
			k.act, k.lo, k.hi = int64(cpu.Clamp), 0, float32(math.Inf(1))
		default:
			k.act = 0
		}
		all := *k
		per := max(1, callMults/max(1, k.nt*k.cols*k.nk))
		for y := int64(0); y < all.nr; y += per {
			k.src, k.dst, k.res = unsafe.Add(all.src, y*all.irow*step), unsafe.Add(all.dst, y*all.orow), all.res
			if all.res != nil {
				k.res = unsafe.Add(all.res, y*all.rrow)
			}
			k.nr = min(per, all.nr-y)
			f(k)
		}
		*k = all
	}
}

// dwPairs: a pair of rows is two rows.
func dwPairs(k *dwArgs) {
	k.nr *= 2
	dwBounded(dw3s1, 1)(k)
	k.nr /= 2
}

// dwAnyActs picks the kernel of 5x5 taps side by side of stride 1 or 2, or that of any taps.
func dwAnyActs(any, five1, five2 func(*dwArgs)) func(*dwArgs) {
	any, five1, five2 = dwBounded(any, 1), dwBounded(five1, 1), dwBounded(five2, 1)
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
		f(k)
	}
}

func winoFamily(f cpu.Features) *winoRows {
	if !f.Has(cpu.NEON) {
		return nil
	}
	return &winoRows{isa: cpu.NEON, in4: winoIn4, out4: winoOut4, edge4: winoEdge4, span: actSpan}
}

// archAlgorithms are algorithms that share nothing with the drivers of this package.
func archAlgorithms(Shape, cpu.Features) []*Algorithm { return nil }

func qFamilies(cpu.Features) []map[int]*rows { return nil }

func vnniDWKerns() []kern { return nil }

// wordKernels are the products of all 8-bit convolutions.
func wordKernels(f cpu.Features) *wordRows {
	if !f.Has(cpu.NEON) {
		return nil
	}
	r := &wordRows{isa: cpu.NEON, maxMR: 4, panel: 8, lanes: true, mul: make([]kern, 5), raw: make([]kern, 5), widen: []kern{nil, widen1, widen1, widen2, widen2}, in: winoIn8, out: winoOut8, chunk: chunkBytes}
	dense, any, raw := words8s1(), words8any(), words8raw()
	for m := 1; m <= 4; m++ {
		r.mul[m], r.raw[m] = wordKern(dense[m], any[m], int64(m)), wordKern(raw[m], raw[m], int64(m))
	}
	return r
}

// wordKern picks the kernel by the distance of pixels and cuts calls into pieces. The kernels count tiles in their argument.
func wordKern(dense, any kern, m int64) kern {
	return func(k *kargs) {
		f := any
		if k.ps == line {
			f = dense
		}
		per := max(1, callMults/(16*m*k.nk))
		tiles, nt := k.tiles, k.nt
		for t := int64(0); t < nt; t += per {
			k.tiles, k.nt = tileAt(tiles, t), min(per, nt-t)
			f(k)
		}
		k.tiles, k.nt = tiles, nt
	}
}

// archQ are 8-bit algorithms that share nothing with the drivers of this package.
func archQ(s Shape, f cpu.Features) []*QAlgorithm {
	r := wordKernels(f)
	switch {
	case r == nil:
	case s.Groups > 1 && s.Groups == s.C && s.M == s.C && !s.Residual:
		return []*QAlgorithm{{Name: "qu8s8_dwconv_1x8", ISA: cpu.NEON, In: cpu.Need{Block: qBlk}, impl: &wordDW{s}}}
	case s.C < 5 && s.Groups == 1 && s.DW == 1 && s.KH*s.KW > 1 && s.KW*s.C <= window:
		return []*QAlgorithm{{Name: "qu8s8_conv_first_4x8", ISA: cpu.NEON, In: cpu.Need{Block: s.C}, impl: newWordFirst(s, r)}}
	}
	return nil
}

// conv16Rows and dw16Rows are the kernels of 16-bit values; they exist on amd64 and arm64 only.
func conv16Rows(cpu.Features) []*rows { return nil }
func dw16Rows(cpu.Features) []*rows16 { return nil }
