package conv

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// Portable twins of the micro-kernels: the same arguments, plain loops. They run where no vector kernel does.

func at(p unsafe.Pointer, off int64) *float32 { return (*float32)(unsafe.Add(p, off)) }

// convGo is the micro-kernel with steps of 4 inputs.
func convGo(k *kargs) { convGoUnit(k, 4) }

// convAnyGo is the micro-kernel with steps of 1 input.
func convAnyGo(k *kargs) { convGoUnit(k, 1) }

func convGoUnit(k *kargs, unit int64) {
	act := cpu.Act{Kind: cpu.ActKind(k.act), A: k.lo, B: k.hi}
	for _, t := range unsafe.Slice(k.tiles, k.nt) {
		for i := range k.mr {
			var acc [blk]float32
			for j := range acc {
				acc[j] = *at(k.bias, int64(4*j))
			}
			w := k.b
			for _, g := range unsafe.Slice(k.groups, k.nk) {
				src := unsafe.Add(k.a, t.a+g.off+i*k.ps)
				x := unsafe.Slice((*float32)(src), g.steps*unit)
				for u := range x {
					v := x[u]
					line := (*[blk]float32)(unsafe.Add(w, 4*blk*u))
					for j := range line {
						acc[j] += v * line[j]
					}
				}
				w = unsafe.Add(w, 4*blk*len(x))
			}
			for j := range acc {
				v := acc[j]
				if k.res != nil {
					v += *at(k.res, t.r+i*4*blk+int64(4*j))
				}
				*at(k.c, t.c+i*4*blk+int64(4*j)) = applyGo(act, v)
			}
		}
	}
}

func applyGo(a cpu.Act, v float32) float32 {
	switch a.Kind {
	case cpu.None:
		return v
	case cpu.ReLU:
		return max(v, 0)
	case cpu.Clamp:
		return min(max(v, a.A), a.B)
	}
	return float32(a.Apply(float64(v)))
}

// portable is the family of one tile shape, 4 pixels x 16 channels.
func portable() map[int]*rows {
	all := func(f kern) []kern { return []kern{nil, f, f, f, f} }
	return map[int]*rows{1: {isa: cpu.Generic, nb: 1, maxMR: 4, s1: all(convGo), s2: all(convGo), any: all(convAnyGo)}}
}
