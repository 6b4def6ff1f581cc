package eltwise

import "fettle/kernels/cpu"

// archISA is the instruction set whose kernels serve i; Generic if there are none.
func archISA(i cpu.ISA) cpu.ISA {
	switch i {
	case cpu.AVX512F, cpu.AVX512VNNI, cpu.AMXInt8, cpu.AMXBF16:
		return cpu.AVX512F
	case cpu.AVX2:
		return cpu.AVX2
	}
	return cpu.Generic
}

func (k Kernels) binary(op Op, e *eargs) {
	if k.isa == cpu.AVX512F {
		switch op {
		case Add:
			addZ(e)
		case Sub:
			subZ(e)
		case Mul:
			mulZ(e)
		case Div:
			divZ(e)
		case Max:
			maxZ(e)
		case Min:
			minZ(e)
		}
		return
	}
	if k.isa == cpu.AVX2 {
		switch op {
		case Add:
			addY(e)
		case Sub:
			subY(e)
		case Mul:
			mulY(e)
		case Div:
			divY(e)
		case Max:
			maxY(e)
		case Min:
			minY(e)
		}
		return
	}
	binaryGo(op, e)
}

func (k Kernels) unary(kind cpu.ActKind, e *eargs) {
	if k.isa == cpu.AVX512F {
		switch kind {
		case cpu.Clamp:
			clampZ(e)
		case cpu.LeakyReLU:
			leakyZ(e)
		case cpu.HardSwish:
			hardswishZ(e)
		case cpu.SiLU:
			siluZ(e)
		case cpu.Sigmoid:
			sigmoidZ(e)
		case cpu.HardSigmoid:
			hardsigmoidZ(e)
		case cpu.Tanh:
			tanhZ(e)
		case cpu.GELU:
			geluZ(e)
		case cpu.Exp:
			expZ(e)
		case cpu.Erf:
			erfZ(e)
		}
		return
	}
	if k.isa == cpu.AVX2 {
		switch kind {
		case cpu.Clamp:
			clampY(e)
		case cpu.LeakyReLU:
			leakyY(e)
		case cpu.HardSwish:
			hardswishY(e)
		case cpu.SiLU:
			siluY(e)
		case cpu.Sigmoid:
			sigmoidY(e)
		case cpu.HardSigmoid:
			hardsigmoidY(e)
		case cpu.Tanh:
			tanhY(e)
		case cpu.GELU:
			geluY(e)
		case cpu.Exp:
			expY(e)
		case cpu.Erf:
			erfY(e)
		}
		return
	}
	unaryGo(kind, e)
}

func (k Kernels) reduce(f folding, e *eargs) {
	if k.isa == cpu.AVX512F {
		switch f {
		case sum:
			reduce_sumZ(e)
		case maximum:
			reduce_maxZ(e)
		case dot:
			reduce_dotZ(e)
		}
		return
	}
	if k.isa == cpu.AVX2 {
		switch f {
		case sum:
			reduce_sumY(e)
		case maximum:
			reduce_maxY(e)
		case dot:
			reduce_dotY(e)
		}
		return
	}
	reduceGo(f, e)
}

func (k Kernels) axpy(e *eargs) {
	switch k.isa {
	case cpu.AVX512F:
		axpyZ(e)
	case cpu.AVX2:
		axpyY(e)
	default:
		axpyGo(e)
	}
}

// strided reports whether unary kernels take lines apart from each other, and whether there are kernels for all of fusing.
func (k Kernels) strided() bool { return k.isa != cpu.Generic }

func (k Kernels) fused(f fusing, e *eargs) {
	switch k.isa {
	case cpu.AVX512F:
		switch f {
		case expSum:
			expsumZ(e)
		case addSum:
			addsumZ(e)
		case devSum:
			devsumZ(e)
		case norm:
			normZ(e)
		}
	case cpu.AVX2:
		switch f {
		case expSum:
			expsumY(e)
		case addSum:
			addsumY(e)
		case devSum:
			devsumY(e)
		case norm:
			normY(e)
		}
	default:
		k.fusedWith(f, e)
	}
}
