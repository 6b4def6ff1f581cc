package gemm

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// gemmGo is the portable micro-kernel: the same arguments, plain loops.
func gemmGo(g *gargs) {
	act := cpu.Act{Kind: cpu.ActKind(g.act), A: g.lo, B: g.hi}
	b := unsafe.Slice((*float32)(g.b), g.k*g.nr)
	for i := range g.nt * g.mr {
		c := unsafe.Slice((*float32)(unsafe.Add(g.c, i*g.ldc)), g.live)
		var acc [16]float32
		if g.bias != nil {
			copy(acc[:], unsafe.Slice((*float32)(g.bias), g.live))
		}
		for k := range g.k {
			v := *(*float32)(unsafe.Add(g.a, i*g.rs+k*g.cs))
			line := (*[16]float32)(b[k*16:])
			for j := range line {
				acc[j] += v * line[j]
			}
		}
		for j := range c {
			v := acc[j]
			if g.acc != 0 {
				v += c[j]
			}
			switch act.Kind {
			case cpu.ReLU:
				v = max(v, 0)
			case cpu.Clamp:
				v = min(max(v, act.A), act.B)
			}
			c[j] = v
		}
	}
}

// gemm8Go is the portable micro-kernel for u8 x s8.
func gemm8Go(g *gargs) {
	b := unsafe.Slice((*int8)(g.b), 4*g.k*g.nr)
	for i := range g.nt * g.mr {
		c := unsafe.Slice((*int32)(unsafe.Add(g.c, i*g.ldc)), g.live)
		a := unsafe.Slice((*uint8)(unsafe.Add(g.a, i*g.rs)), 4*g.k)
		for j := range c {
			v := int32(0)
			if g.bias != nil {
				v = unsafe.Slice((*int32)(g.bias), g.live)[j]
			}
			for k := range a {
				v += int32(a[k]) * int32(b[(int64(k/4)*g.nr+int64(j))*4+int64(k%4)])
			}
			if g.acc != 0 {
				v += c[j]
			}
			c[j] = v
		}
	}
}

// Reference is the definition, in float64: C = A·B with the strides of a Shape.
func Reference(s Shape, a, b, bias, c []float32) []float32 {
	out := make([]float32, s.M*s.N)
	for i := range s.M {
		for j := range s.N {
			sum := 0.0
			if s.Bias {
				sum = float64(bias[j])
			}
			for k := range s.K {
				ai, bi := i*s.K+k, k*s.N+j
				if s.TransA {
					ai = k*s.M + i
				}
				if s.TransB {
					bi = j*s.K + k
				}
				sum += float64(a[ai]) * float64(b[bi])
			}
			if s.Accumulate {
				sum += float64(c[i*s.N+j])
			}
			out[i*s.N+j] = float32(s.Act.Apply(sum))
		}
	}
	return out
}
