package engine

import (
	"math"

	"fettle/kernels/cpu"
)

// actFunc is an activation over slices.
func actFunc(a cpu.Act) unaryFunc {
	switch a.Kind {
	case cpu.None:
		return func(dst, src []float32) { copy(dst, src) }
	case cpu.ReLU:
		return func(dst, src []float32) {
			src = src[:len(dst)]
			for i, v := range src {
				dst[i] = max(v, 0)
			}
		}
	case cpu.Clamp:
		return func(dst, src []float32) {
			for i, v := range src {
				dst[i] = min(max(v, a.A), a.B)
			}
		}
	case cpu.LeakyReLU:
		return func(dst, src []float32) {
			for i, v := range src {
				if v < 0 {
					v *= a.A
				}
				dst[i] = v
			}
		}
	}
	return func(dst, src []float32) {
		for i, v := range src {
			dst[i] = float32(a.Apply(float64(v)))
		}
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

func addVec(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func subVec(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] - b[i]
	}
}

func mulVec(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

func divVec(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] / b[i]
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
