package engine

import (
	"math"

	"fettle/kernels/cpu"
	"fettle/kernels/eltwise"
)

// actFunc is an activation over slices.
func (l *lowering) actFunc(a cpu.Act) unaryFunc {
	k := eltwise.New(l.opt.Features)
	return func(dst, src []float32) { k.Act(a, dst, src) }
}

// picked is an operation over slices for the processor of the plan.
func picked(op eltwise.Op) func(*lowering) binaryFunc {
	return func(l *lowering) binaryFunc {
		k := eltwise.New(l.opt.Features)
		return func(dst, a, b []float32) { k.Binary(op, dst, a, b) }
	}
}

// scaleShift is dst = src*k + h over lines of len(k) channels.
func scaleShift(dst, src, k, h []float32) {
	n := len(k)
	for at := 0; at+n <= len(dst); at += n {
		o, x := dst[at:at+n:at+n], src[at:at+n:at+n]
		for i := range o {
			o[i] = x[i]*k[i] + h[i]
		}
	}
}

func maxVec(dst, a, b []float32) {
	for i := range dst {
		dst[i] = nanMax(a[i], b[i])
	}
}

func minVec(dst, a, b []float32) {
	for i := range dst {
		dst[i] = -nanMax(-a[i], -b[i])
	}
}

func nanMax(a, b float32) float32 {
	if a != a || b != b {
		return float32(math.NaN())
	}
	return max(a, b)
}
