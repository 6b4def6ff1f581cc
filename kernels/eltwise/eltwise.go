// Package eltwise holds element-wise vector functions over flat slices: arithmetic with a slice, a scalar or a repeating line of
// 16 channels, activation functions, sums, softmax. A caller splits long slices into pieces for a team; every element depends on its
// own inputs only, so the cut does not change results (Sum, Dot and Softmax: the caller must not cut).
//
// dst may be an input. Slices need no alignment. Contract of the vector kernels: whole lines of 16 floats; the tail goes
// through a line on the stack.
package eltwise

import (
	"math"
	"unsafe"

	"fettle/kernels/cpu"
)

// Op is an operation on two numbers.
type Op uint8

// Operations.
const (
	Add Op = iota
	Sub
	Mul
	Div
	Max
	Min
)

const line = 16

// eargs is what a kernel reads. The offsets are known to _asm/amd64gen/eltwise.go; TestOffsets compares them.
type eargs struct {
	dst, a, b unsafe.Pointer
	n, step   int64
	lo, hi    float32
	c         unsafe.Pointer
}

// Kernels are the functions for one instruction set.
type Kernels struct{ isa cpu.ISA }

// New picks the best instruction set of f.
func New(f cpu.Features) Kernels {
	l := f.Levels()
	for i := len(l) - 1; i > 0; i-- {
		if k := archISA(l[i]); k != cpu.Generic {
			return Kernels{k}
		}
	}
	return Kernels{cpu.Generic}
}

// ISA names the instruction set.
func (k Kernels) ISA() cpu.ISA { return k.isa }

func at(s []float32, i int) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s[i:])) }

// Binary computes dst[i] = a[i] op b[i] for len(dst) elements; a and b must be as long.
func (k Kernels) Binary(op Op, dst, a, b []float32) {
	n := len(dst)
	a, b = a[:n], b[:n]
	full := n / line
	if full > 0 {
		e := eargs{dst: at(dst, 0), a: at(a, 0), b: at(b, 0), n: int64(full), step: 4 * line}
		k.binary(op, &e)
	}
	if full *= line; full < n {
		var x, y [line]float32
		copy(x[:], a[full:])
		copy(y[:], b[full:])
		e := eargs{dst: unsafe.Pointer(&x), a: unsafe.Pointer(&x), b: unsafe.Pointer(&y), n: 1}
		k.binary(op, &e)
		copy(dst[full:], x[:])
	}
}

// BinaryScalar computes dst[i] = a[i] op v.
func (k Kernels) BinaryScalar(op Op, dst, a []float32, v float32) {
	var l [line]float32
	for i := range l {
		l[i] = v
	}
	k.BinaryLine(op, dst, a, &l)
}

// BinaryLine computes dst[i] = a[i] op l[i%16]: a broadcast by channel on a plane of NCHWc16.
func (k Kernels) BinaryLine(op Op, dst, a []float32, l *[line]float32) {
	n := len(dst)
	a = a[:n]
	full := n / line
	if full > 0 {
		e := eargs{dst: at(dst, 0), a: at(a, 0), b: unsafe.Pointer(l), n: int64(full)}
		k.binary(op, &e)
	}
	if full *= line; full < n {
		var x [line]float32
		copy(x[:], a[full:])
		e := eargs{dst: unsafe.Pointer(&x), a: unsafe.Pointer(&x), b: unsafe.Pointer(l), n: 1}
		k.binary(op, &e)
		copy(dst[full:], x[:])
	}
}

// Act computes dst[i] = act(a[i]). Errors against float64: below 2e-7 of max(1, |result|), exp relative; exp of less than
// -87.3 is 0.
func (k Kernels) Act(act cpu.Act, dst, a []float32) {
	n := len(dst)
	a = a[:n]
	e := eargs{lo: act.A, hi: act.B, step: 4 * line}
	switch act.Kind {
	case cpu.None:
		copy(dst, a)
		return
	case cpu.ReLU:
		act.Kind, e.lo, e.hi = cpu.Clamp, 0, float32(math.Inf(1))
	}
	full := n / line
	if full > 0 {
		e.dst, e.a, e.n = at(dst, 0), at(a, 0), int64(full)
		k.unary(act.Kind, &e)
	}
	if full *= line; full < n {
		var x [line]float32
		copy(x[:], a[full:])
		e.dst, e.a, e.n = unsafe.Pointer(&x), unsafe.Pointer(&x), 1
		k.unary(act.Kind, &e)
		copy(dst[full:], x[:])
	}
}

// AddScaled computes dst[i] += a[i]*v.
func (k Kernels) AddScaled(dst, a []float32, v float32) {
	n := len(dst)
	a = a[:n]
	full := n / line
	if full > 0 {
		e := eargs{dst: at(dst, 0), a: at(a, 0), n: int64(full), lo: v}
		k.axpy(&e)
	}
	if full *= line; full < n {
		var x, y [line]float32
		copy(x[:], dst[full:])
		copy(y[:], a[full:])
		e := eargs{dst: unsafe.Pointer(&x), a: unsafe.Pointer(&y), n: 1, lo: v}
		k.axpy(&e)
		copy(dst[full:], x[:])
	}
}

// Sum adds all elements, in 16 interleaved partial sums.
func (k Kernels) Sum(a []float32) float32 { return k.fold(sum, a, a) }

// Dot is the scalar product of two slices of equal length.
func (k Kernels) Dot(a, b []float32) float32 { return k.fold(dot, a, b[:len(a)]) }

// MaxOf is the largest element, -Inf of none.
func (k Kernels) MaxOf(a []float32) float32 {
	r := float32(math.Inf(-1))
	full := len(a) / line
	if full > 0 {
		var l [line]float32
		for i := range l {
			l[i] = r
		}
		k.reduce(maximum, &eargs{dst: unsafe.Pointer(&l), a: at(a, 0), b: at(a, 0), n: int64(full)})
		r = l[0]
		if !k.strided() { // these kernels leave a maximum in each place
			for _, v := range l[1:] {
				r = max(r, v)
			}
		}
	}
	for _, v := range a[full*line:] {
		r = max(r, v)
	}
	return r
}

// SumLines sets l[j] to the sum of all a[16i+j]: sums by channel over pixels of NCHWc16. len(a) must be a multiple of 16. Chains are at most
// 64 long, then sums of these are added, so that the error stays that of a tree.
func (k Kernels) SumLines(l *[line]float32, a []float32) {
	*l = [line]float32{}
	if n := len(a); n > 0 && n <= 64*line {
		k.reduce(sum, &eargs{dst: unsafe.Pointer(l), a: at(a, 0), b: at(a, 0), n: int64(n / line)})
		return
	}
	var part [line]float32
	for len(a) > 0 {
		n := min(len(a), 64*line)
		part = [line]float32{}
		e := eargs{dst: unsafe.Pointer(&part), a: at(a, 0), b: at(a, 0), n: int64(n / line)}
		k.reduce(sum, &e)
		for j, v := range part {
			l[j] += v
		}
		a = a[n:]
	}
}

type folding uint8

const (
	sum folding = iota
	maximum
	dot
)

func (k Kernels) fold(f folding, a, b []float32) float32 {
	var l [line]float32
	full := len(a) / line
	if full > 0 {
		e := eargs{dst: unsafe.Pointer(&l), a: at(a, 0), b: at(b, 0), n: int64(full)}
		k.reduce(f, &e)
	}
	for i := full * line; i < len(a); i++ {
		if f == dot {
			l[i%line] += a[i] * b[i]
		} else {
			l[i%line] += a[i]
		}
	}
	return total(&l)
}
