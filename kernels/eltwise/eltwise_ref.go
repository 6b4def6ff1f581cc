package eltwise

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// Portable kernels: the same arguments, plain loops.

func binaryGo(op Op, e *eargs) {
	n := int(e.n) * line
	dst, a := unsafe.Slice((*float32)(e.dst), n), unsafe.Slice((*float32)(e.a), n)
	for i := range dst {
		b := *(*float32)(unsafe.Add(e.b, int64(i/line)*e.step+int64(i%line)*4))
		switch op {
		case Add:
			dst[i] = a[i] + b
		case Sub:
			dst[i] = a[i] - b
		case Mul:
			dst[i] = a[i] * b
		case Div:
			dst[i] = a[i] / b
		case Max:
			dst[i] = max(a[i], b)
		case Min:
			dst[i] = min(a[i], b)
		}
	}
}

func unaryGo(kind cpu.ActKind, e *eargs) {
	n := int(e.n) * line
	dst, a := unsafe.Slice((*float32)(e.dst), n), unsafe.Slice((*float32)(e.a), n)
	act := cpu.Act{Kind: kind, A: e.lo, B: e.hi}
	for i, v := range a {
		if kind == cpu.Clamp {
			dst[i] = min(max(v, e.lo), e.hi)
			continue
		}
		dst[i] = float32(act.Apply(float64(v)))
	}
}

func axpyGo(e *eargs) {
	n := int(e.n) * line
	dst, a := unsafe.Slice((*float32)(e.dst), n), unsafe.Slice((*float32)(e.a), n)
	for i := range dst {
		dst[i] += a[i] * e.lo
	}
}

func reduceGo(f folding, e *eargs) {
	n := int(e.n) * line
	l, a, b := unsafe.Slice((*float32)(e.dst), line), unsafe.Slice((*float32)(e.a), n), unsafe.Slice((*float32)(e.b), n)
	for i, v := range a {
		switch j := i % line; f {
		case sum:
			l[j] += v
		case maximum:
			l[j] = max(l[j], v)
		case dot:
			l[j] += v * b[i]
		}
	}
}
