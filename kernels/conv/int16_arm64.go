package conv

import "fettle/kernels/cpu"

// conv16Rows are the kernels of 16-bit values: products by lanes, a group a whole block of 8 channels.
func conv16Rows(f cpu.Features) []*rows {
	if !f.Has(cpu.NEON) {
		return nil
	}
	r := &rows{isa: cpu.NEON, nb: 2, maxMR: 8, single: true, whole: true, lanes: true, any: make([]kern, 9)}
	dense, apart := h16s1(), h16any()
	for m := 1; m <= 8; m++ {
		r.any[m] = conv16Kern(dense[m], apart[m], int64(m))
	}
	return []*rows{r}
}

// conv16Kern picks the kernel for the distance of pixels and cuts calls into pieces.
func conv16Kern(dense, apart kern, m int64) kern {
	return func(k *kargs) {
		f := apart
		if k.ps == 2*Block16 {
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

// dw16Rows are the depthwise kernels of 16-bit values.
func dw16Rows(f cpu.Features) []*rows16 {
	if !f.Has(cpu.NEON) {
		return nil
	}
	dense, apart := [5]kern{1: hdw1s1, 2: hdw2s1, 4: hdw4s1}, [5]kern{1: hdw1any, 2: hdw2any, 4: hdw4any}
	return []*rows16{{isa: cpu.NEON, n: Block16, maxMR: 4, f: func(k *kargs) {
		f := apart[k.mr]
		if k.ps == 2*Block16 {
			f = dense[k.mr]
		}
		per := max(1, callMults/(2*k.mr*k.rblk*k.nk)) // rows of a call
		tiles, nt := k.tiles, k.nt
		for t := int64(0); t < nt; t += per {
			k.tiles, k.nt = tileAt(tiles, t), min(per, nt-t)
			f(k)
		}
		k.tiles, k.nt = tiles, nt
	}}}
}
