package eltwise

import "unsafe"

// Steps rounds a to whole multiples of scale from lo to hi of them, ties to even: the numbers that integers of 16 bits stand for. What is no number
// becomes the least. lo and hi are whole and below 1<<22.
func (k Kernels) Steps(dst, a []float32, scale, lo, hi float32) {
	n := len(dst)
	a = a[:n]
	full := n / line
	e := eargs{lo: lo, hi: hi, b: unsafe.Pointer(&scale)}
	if full > 0 {
		e.dst, e.a, e.n = at(dst, 0), at(a, 0), int64(full)
		k.steps(&e)
	}
	if full *= line; full < n {
		var x [line]float32
		copy(x[:], a[full:])
		e.dst, e.a, e.n = unsafe.Pointer(&x), unsafe.Pointer(&x), 1
		k.steps(&e)
		copy(dst[full:], x[:])
	}
}

// stepsGo is the portable kernel: numbers below 1<<22 that are added to 3<<22 lose their fraction.
func stepsGo(e *eargs) {
	const whole = 3 << 22
	n, scale := int(e.n)*line, *(*float32)(e.b)
	dst, a := unsafe.Slice((*float32)(e.dst), n), unsafe.Slice((*float32)(e.a), n)
	for i, v := range a {
		q := v / scale
		if !(q >= e.lo) {
			q = e.lo
		}
		if q > e.hi {
			q = e.hi
		}
		dst[i] = (float32(q+whole) - whole) * scale
	}
}
