package eltwise

import "fettle/kernels/cpu"

func (k Kernels) steps(all *eargs) {
	if k.isa != cpu.NEON {
		stepsGo(all)
		return
	}
	for i := range parts(all.n) {
		e := part(*all, i, false)
		stepsN(&e)
	}
}
