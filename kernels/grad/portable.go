package grad

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// portable are the definitions of the kernels, in the sizes of the narrow vectors; passes by channel are plain loops there.
func portable() Kernels {
	k := Kernels{isa: cpu.Generic, width: 8}
	for nv := 1; nv <= 2; nv++ {
		k.rows[nv], k.outer[nv] = make([]func(*args), 7), make([]func(*args), 7)
		for mr := 1; mr <= 6; mr++ {
			k.rows[nv][mr] = func(a *args) { rowsGo(a, mr, 8*nv) }
			k.outer[nv][mr] = func(a *args) { outerGo(a, mr, 8*nv) }
		}
	}
	return k
}

func floats(p unsafe.Pointer, from, n int) []float32 {
	return unsafe.Slice((*float32)(unsafe.Add(p, 4*from)), n)
}

func rowsGo(a *args, mr, nr int) {
	taps, kk := int(a.taps), int(a.k)
	table, outs := unsafe.Slice((*int32)(a.table), int(a.n)*mr*taps), unsafe.Slice((*int32)(a.outs), int(a.n)*mr)
	live := nr
	if a.mask != nil {
		live = 0
		for _, m := range unsafe.Slice((*int32)(a.mask), nr) {
			live -= int(m)
		}
	}
	b := floats(a.b, 0, taps*kk*nr)
	for tile := range int(a.n) {
		for i := range mr {
			c := floats(a.c, int(outs[tile*mr+i]), live)
			clear(c)
			if a.bias != nil {
				copy(c, floats(a.bias, 0, live))
			}
			for t := range taps {
				at := table[(tile*taps+t)*mr+i]
				if at < 0 {
					continue
				}
				for k, v := range floats(a.x, int(at), kk) {
					for j, w := range b[(t*kk+k)*nr:][:live] {
						c[j] += v * w
					}
				}
			}
		}
	}
}

func outerGo(a *args, mr, nr int) {
	l := unsafe.Slice((*int32)(a.table), 2*int(a.n))
	for i := 0; i < len(l); i += 2 {
		x, d := floats(a.x, int(l[i]), mr), floats(a.b, int(l[i+1]), nr)
		for u, v := range x {
			c := floats(a.c, u*int(a.ld)/4, nr)
			for j, w := range d {
				c[j] += v * w
			}
		}
	}
}
