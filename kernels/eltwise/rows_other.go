//go:build !amd64 && !arm64 && !arm

package eltwise

import "fettle/kernels/cpu"

func archISA(cpu.ISA) cpu.ISA { return cpu.Generic }

func (k Kernels) binary(op Op, e *eargs) { binaryGo(op, e) }

func (k Kernels) unary(kind cpu.ActKind, e *eargs) { unaryGo(kind, e) }

func (k Kernels) reduce(f folding, e *eargs) { reduceGo(f, e) }

func (k Kernels) axpy(e *eargs) { axpyGo(e) }

// strided reports whether unary kernels take lines apart from each other, and whether there are kernels for all of fusing.
func (k Kernels) strided() bool { return false }

func (k Kernels) fused(f fusing, e *eargs) { k.fusedWith(f, e) }
