package train

import (
	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/kernels/eltwise"
	"fettle/kernels/gemm"
)

// muls are the matrix products of one tape: the vector kernels in float32, plain loops in float64, which only checks use.
type muls struct {
	runs map[gemm.Shape]*bound
	vec  eltwise.Kernels
	feat cpu.Features
}

// bound is a product with its scratch.
type bound struct {
	run     *gemm.Run
	scratch []float32
}

func newMuls(f cpu.Features) *muls {
	return &muls{runs: map[gemm.Shape]*bound{}, vec: eltwise.New(f), feat: f}
}

// mul computes c = a·b, or c += a·b, with a bias for each column; all matrices are tight.
func mul[T float](u *muls, s gemm.Shape, a, b, c, bias []T) error {
	fa, fast := any(a).([]float32)
	if !fast {
		slow(s, a, b, c, bias)
		return nil
	}
	buf := gemm.Buffers{A: fa, B: any(b).([]float32), C: any(c).([]float32), Bias: any(bias).([]float32)}
	k := u.runs[s]
	if k == nil {
		algs, err := gemm.Plan(s, u.feat)
		if err != nil {
			return fail.New(fail.Internal, "%v", err)
		}
		kernel, err := algs[0].Bind(1)
		if err != nil {
			return fail.New(fail.Internal, "%v", err)
		}
		k = &bound{scratch: cpu.Floats(kernel.Scratch())}
		buf.Scratch = k.scratch
		if k.run, err = kernel.On(buf); err != nil {
			return fail.New(fail.Internal, "%v", err)
		}
		u.runs[s] = k
	}
	buf.Scratch = k.scratch
	if err := k.run.Set(buf); err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	for stage := range k.run.Stages() {
		for p := range k.run.Pieces(stage) {
			k.run.Piece(stage, p, 0)
		}
	}
	return nil
}

// slow is mul in plain loops.
func slow[T float](s gemm.Shape, a, b, c, bias []T) {
	for i := range s.M {
		for j := range s.N {
			var sum T
			if s.Accumulate {
				sum = c[i*s.N+j]
			}
			if s.Bias {
				sum += bias[j]
			}
			for k := range s.K {
				x, y := i*s.K+k, k*s.N+j
				if s.TransA {
					x = k*s.M + i
				}
				if s.TransB {
					y = j*s.K + k
				}
				sum += a[x] * b[y]
			}
			c[i*s.N+j] = sum
		}
	}
}

// sum writes a + b to dst.
func sum[T float](u *muls, dst, a, b []T) {
	if d, fast := any(dst).([]float32); fast {
		u.vec.Binary(eltwise.Add, d, any(a).([]float32), any(b).([]float32))
		return
	}
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}
