package engine

import (
	"encoding/binary"
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
func picked(op eltwise.Op) func(*lowering) binaryFuncs {
	return func(l *lowering) binaryFuncs {
		k := eltwise.New(l.opt.Features)
		return binaryFuncs{
			f:    func(dst, a, b []float32) { k.Binary(op, dst, a, b) },
			line: func(dst, a []float32, b *[16]float32) { k.BinaryLine(op, dst, a, b) },
			swap: op == eltwise.Add || op == eltwise.Mul,
		}
	}
}

// plainFunc is an operation without a kernel.
func plainFunc(f binaryFunc) func(*lowering) binaryFuncs {
	return func(*lowering) binaryFuncs { return binaryFuncs{f: f, swap: true} }
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

// flipInto copies src to dst with the bits of flip turned, eight bytes at a time.
func flipInto(dst, src []byte, flip byte) {
	if flip == 0 {
		copy(dst, src)
		return
	}
	src = src[:len(dst)]
	mask := uint64(flip) * 0x0101010101010101
	for len(dst) >= 8 {
		binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(src)^mask)
		dst, src = dst[8:], src[8:]
	}
	for i, v := range src {
		dst[i] = v ^ flip
	}
}
