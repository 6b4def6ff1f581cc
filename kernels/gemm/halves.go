package gemm

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// Fast products are three products of bf16: a = a1 + a2 and b = b1 + b2 up to 2^-17, and a*b is a1*b1 + a1*b2 + a2*b1 with sums in float32.
// Source: Henry, Tang and Heinecke 2019, arXiv:1904.06376. A pair of 2*16 elements of the sum lies as the kernel that splits A writes it: word i
// holds elements i and 16+i.

const (
	tileBuffer = 2 * 16 * 32 * 4 // bytes for the sums of two tiles of 16 rows x 32 columns
	pair       = 32
	cutRows    = 32 // rows of A a piece of the first stage
)

// packHalves writes [panel][pair of 32 k][upper, lower][16 words][nr columns][2 k].
func (a *Algorithm) packHalves(dst, b []float32, ldb int) {
	s, nr := a.Shape, a.r.nr
	if a.PackedLen() == 0 {
		return
	}
	d := unsafe.Slice((*uint16)(unsafe.Pointer(&dst[0])), 2*a.PackedLen())
	for n := range s.N {
		for k := range s.K {
			v := float32(0)
			if s.TransB {
				v = b[n*ldb+k]
			} else {
				v = b[k*ldb+n]
			}
			at := 2*(n/nr)*a.panelLen() + 2*(k/pair)*pair*nr + (k%16*nr+n%nr)*2 + k%pair/16
			d[at], d[at+pair*nr] = cpu.Halves(v)
		}
	}
}

// cut splits some rows of A into scratch, the upper parts of all rows and then the lower ones.
func (r *Run) cut(i, worker int) {
	k, b := r.k, &r.b
	steps := k.steps()
	whole := k.Shape.K / pair
	g := &r.args[worker]
	for m := i * cutRows; m < min((i+1)*cutRows, k.Shape.M); m++ {
		row := b.A[m*b.LDA:][:k.Shape.K]
		to := m * steps
		if whole > 0 {
			*g = gargs{a: word(row, 0), b: word(row, pair/2), c: word(b.Scratch, to), bias: word(b.Scratch, k.Shape.M*steps+to), nt: int64(whole), rs: 4 * pair}
			k.r.cut(g)
		}
		if n := k.Shape.K % pair; n > 0 {
			t := r.tail[worker*pair:][:pair]
			clear(t[copy(t, row[whole*pair:]):])
			to += whole * pair / 2
			*g = gargs{a: word(t, 0), b: word(t, pair/2), c: word(b.Scratch, to), bias: word(b.Scratch, k.Shape.M*steps+to), nt: 1, rs: 4 * pair}
			k.r.cut(g)
		}
	}
}

// halfStep is the elements of the sum that a step of the kernels in half precision takes.
const halfStep = 8

// packFloat16 writes [panel][k][nr columns] halves.
func (a *Algorithm) packFloat16(dst, b []float32, ldb int) {
	s, nr := a.Shape, a.r.nr
	if a.PackedLen() == 0 {
		return
	}
	d := unsafe.Slice((*uint16)(unsafe.Pointer(&dst[0])), 2*a.PackedLen())
	for n := range s.N {
		for k := range s.K {
			v := float32(0)
			if s.TransB {
				v = b[n*ldb+k]
			} else {
				v = b[k*ldb+n]
			}
			d[2*(n/nr)*a.panelLen()+k*nr+n%nr] = cpu.Float16(v)
		}
	}
}

// narrow writes some rows of A as halves into scratch.
func (r *Run) narrow(i, worker int) {
	k, b := r.k, &r.b
	steps := k.steps()
	whole := k.Shape.K / halfStep
	g := &r.args[worker]
	for m := i * cutRows; m < min((i+1)*cutRows, k.Shape.M); m++ {
		row := b.A[m*b.LDA:][:k.Shape.K]
		to := m * steps * halfStep / 2
		if whole > 0 {
			*g = gargs{a: word(row, 0), c: word(b.Scratch, to), nt: int64(whole)}
			k.r.narrow(g)
		}
		if n := k.Shape.K % halfStep; n > 0 {
			h := unsafe.Slice((*uint16)(word(b.Scratch, to+whole*halfStep/2)), halfStep)
			clear(h)
			for j, v := range row[whole*halfStep:] {
				h[j] = cpu.Float16(v)
			}
		}
	}
}
