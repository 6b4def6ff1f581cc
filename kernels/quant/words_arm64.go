package quant

import "fettle/kernels/cpu"

// wordVectors tells whether there are kernels for 16-bit values.
func (k Kernels) wordVectors() bool { return k.isa == cpu.NEON }

func (k Kernels) toWords(a *wargs)   { words16(a) }
func (k Kernels) fromWords(a *wargs) { floats16(a) }
