package eltwise

import (
	"math"
	"unsafe"

	"fettle/kernels/cpu"
)

// Functions of whole rows, in passes over a row that stays in the first-level cache.

// fusing is a pass over a row that does two things at once.
type fusing uint8

const (
	expSum fusing = iota // dst = 2^((a - lo) hi), c[i%16] = sums of dst
	addSum               // dst = a + b, c[i%16] = sums of dst
	devSum               // c[i%16] = sums of (a - lo)^2
	norm                 // dst = (a - lo) hi b + c
)

// ActRows applies act in place to a matrix with leading dimension ld.
func (k Kernels) ActRows(act cpu.Act, m []float32, rows, cols, ld int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	if !k.strided() || cols%line != 0 || act.Kind <= cpu.Clamp {
		for r := range rows {
			row := m[r*ld:][:cols]
			k.Act(act, row, row)
		}
		return
	}
	_ = m[(rows-1)*ld+cols-1]
	for c := 0; c < cols; c += line {
		e := eargs{dst: at(m, c), a: at(m, c), n: int64(rows), step: int64(4 * ld), lo: act.A, hi: act.B}
		k.unary(act.Kind, &e)
	}
}

// Softmax computes dst = exp(scale (a - max a)) / sum over one row; scale must be positive.
func (k Kernels) Softmax(dst, a []float32, scale float32) {
	if len(a) == 0 {
		return
	}
	n := len(dst)
	a = a[:n]
	top := k.MaxOf(a)
	var sums [line]float32
	e := eargs{lo: top, hi: scale * math.Log2E, c: unsafe.Pointer(&sums)}
	full := n / line
	if full > 0 {
		e.dst, e.a, e.n = at(dst, 0), at(a, 0), int64(full)
		k.fused(expSum, &e)
	}
	sum := total(&sums)
	if full *= line; full < n {
		var x [line]float32
		for i := copy(x[:], a[full:]); i < line; i++ {
			x[i] = float32(math.Inf(-1))
		}
		e.dst, e.a, e.n = unsafe.Pointer(&x), unsafe.Pointer(&x), 1
		k.fused(expSum, &e)
		copy(dst[full:], x[:])
		sum += total(&sums)
	}
	k.BinaryScalar(Mul, dst, dst, 1/sum)
}

// LayerNorm computes dst = (a - mean)/sqrt(var + eps) * gamma + beta over one row; gamma and beta may be nil.
func (k Kernels) LayerNorm(dst, a, gamma, beta []float32, eps float32) {
	if len(a) > 0 {
		k.normalize(dst, a, k.Sum(a), gamma, beta, eps)
	}
}

// AddNorm computes sum = a + b and dst = LayerNorm of it; sum may be dst, a or b.
func (k Kernels) AddNorm(dst, sum, a, b, gamma, beta []float32, eps float32) {
	n := len(dst)
	if n == 0 {
		return
	}
	sum, a, b = sum[:n], a[:n], b[:n]
	var l [line]float32
	full := n / line * line
	if full > 0 {
		k.fused(addSum, &eargs{dst: at(sum, 0), a: at(a, 0), b: at(b, 0), c: unsafe.Pointer(&l), n: int64(full / line)})
	}
	for i := full; i < n; i++ {
		sum[i] = a[i] + b[i]
		l[i-full] += sum[i]
	}
	k.normalize(dst, sum, total(&l), gamma, beta, eps)
}

func (k Kernels) normalize(dst, a []float32, sum float32, gamma, beta []float32, eps float32) {
	n := len(dst)
	a = a[:n]
	mean := sum / float32(n)
	if !k.strided() { // without kernels for it, dst holds what is between the passes
		k.BinaryScalar(Sub, dst, a, mean)
		v := k.Dot(dst, dst) / float32(n)
		k.BinaryScalar(Mul, dst, dst, float32(1/math.Sqrt(float64(v+eps))))
		if gamma != nil {
			k.Binary(Mul, dst, dst, gamma)
		}
		if beta != nil {
			k.Binary(Add, dst, dst, beta)
		}
		return
	}
	full := n / line * line
	var l [line]float32
	e := eargs{lo: mean, c: unsafe.Pointer(&l), n: int64(full / line)}
	if full > 0 {
		e.a = at(a, 0)
		k.fused(devSum, &e)
	}
	for i := full; i < n; i++ {
		l[i-full] += (a[i] - mean) * (a[i] - mean)
	}
	scale := float32(1 / math.Sqrt(float64(total(&l)/float32(n)+eps)))
	from := 0
	if gamma != nil && beta != nil && full > 0 {
		e.dst, e.b, e.c, e.hi = at(dst, 0), at(gamma[:n], 0), at(beta[:n], 0), scale
		k.fused(norm, &e)
		from = full
	}
	for i := from; i < n; i++ {
		v := (a[i] - mean) * scale
		if gamma != nil {
			v *= gamma[i]
		}
		if beta != nil {
			v += beta[i]
		}
		dst[i] = v
	}
}

// total adds as a tree: a chain of 16 additions would take longer than the pass over a short row.
func total(l *[line]float32) float32 {
	a, b, c, d := l[0]+l[8], l[1]+l[9], l[2]+l[10], l[3]+l[11]
	a, b, c, d = a+(l[4]+l[12]), b+(l[5]+l[13]), c+(l[6]+l[14]), d+(l[7]+l[15])
	return (a + c) + (b + d)
}

// fusedWith makes the passes expSum and addSum of the other kernels of the instruction set, where it has none of its own.
func (k Kernels) fusedWith(f fusing, e *eargs) {
	n := int(e.n) * line
	a := unsafe.Slice((*float32)(e.a), n)
	slice := func(p unsafe.Pointer) []float32 { return unsafe.Slice((*float32)(p), n) }
	switch f {
	case expSum:
		dst := slice(e.dst)
		k.BinaryScalar(Sub, dst, a, e.lo)
		if scale := e.hi * math.Ln2; math.Abs(float64(scale-1)) > 1e-6 {
			k.BinaryScalar(Mul, dst, dst, scale)
		}
		k.Act(cpu.Act{Kind: cpu.Exp}, dst, dst)
		k.SumLines((*[line]float32)(e.c), dst)
	case addSum:
		k.Binary(Add, slice(e.dst), a, slice(e.b))
		k.SumLines((*[line]float32)(e.c), slice(e.dst))
	}
}
