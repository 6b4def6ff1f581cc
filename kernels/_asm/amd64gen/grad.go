package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Byte offsets of the fields of grad.args (a test there compares them).
const (
	rX, rZero, rB, rC, rBias, rTable, rOuts = 0, 8, 16, 24, 32, 40, 48
	rK, rTaps, rN, rStep, rLd, rCur, rMask  = 56, 64, 72, 80, 88, 96, 104
	rChans                                  = 112
)

// gradKernels are those of training: products over rows that tables name, sums by channel, and passes by channel.
func gradKernels(s isa) {
	wide, low := 6, 8
	if s == avx512 {
		wide, low = 8, 8
	}
	for mr := 1; mr <= wide; mr++ {
		rowsKernel(s, mr, 2)
	}
	for mr := 1; mr <= low; mr++ {
		rowsKernel(s, mr, 1)
	}
	top := map[int]int{1: 8, 2: 6}
	if s == avx512 {
		top = map[int]int{1: 16, 2: 10}
	}
	for nv := 1; nv <= 2; nv++ {
		for mr := 1; mr <= top[nv]; mr++ {
			outerKernel(s, mr, nv)
		}
	}
	for nv := 1; nv <= 4; nv *= 2 {
		depthKernel(s, nv)
		depthOuterKernel(s, nv)
	}
	windowKernels(s)
	channelKernels(s)
}

// rowsKernel emits n tiles of mr rows x nv vectors of columns: C[outs[i]] = sum over taps of X[table[tap][i]]·B[tap] + bias. The
// table holds the places of rows of X in floats, a tile after another, [taps][mr]; a negative one stands for a row of zeros. B is
// packed [taps][k][nv vectors]. Per step of the sum: nv loads, mr broadcasts, mr*nv FMA; the multipliers are the limit. One wide vector
// of columns has two sums a row, of even and odd steps: eight would wait for each other.
func rowsKernel(s isa, mr, nv int) {
	name := fmt.Sprintf("rows%dx%d%s", mr, nv, s.suffix)
	text(name)
	inTable(fmt.Sprintf("rows%d%s", nv, s.suffix), 9, mr, name)
	p := arg()
	acc := make([][]vec, mr)
	for i := range acc {
		acc[i] = s.vecs(nv)
	}
	bv, x := s.vecs(nv), s.vecs(2)
	twice := nv == 1 && s == avx512
	odd := make([]vec, mr)
	if twice {
		odd = s.vecs(mr)
	}
	r := make([]gp, mr)
	for i := range r {
		r[i] = GP64()
	}
	table, outs, b, k, t := load(p, rTable), load(p, rOuts), GP64(), GP64(), GP64()
	Label("tile")
	MOVQ(Mem{Base: p, Disp: rBias}, t)
	TESTQ(t, t)
	JNZ(LabelRef("bias"))
	for i := range acc {
		for j := range acc[i] {
			s.zero(acc[i][j])
		}
	}
	JMP(LabelRef("begin"))
	Label("bias")
	for j := range nv {
		VMOVUPS(Mem{Base: t, Disp: j * s.bytes}, acc[0][j])
		for i := 1; i < mr; i++ {
			VMOVAPS(acc[0][j], acc[i][j])
		}
	}
	Label("begin")
	if twice {
		for i := range odd {
			s.zero(odd[i])
		}
	}
	MOVQ(Mem{Base: p, Disp: rB}, b)
	MOVQ(Mem{Base: p, Disp: rTaps}, t)
	MOVQ(t, Mem{Base: p, Disp: rCur})
	Label("tap")
	MOVQ(Mem{Base: p, Disp: rK}, k)
	for i := range r {
		MOVLQSX(Mem{Base: table, Disp: 4 * i}, t)
		MOVQ(Mem{Base: p, Disp: rX}, r[i])
		LEAQ(Mem{Base: r[i], Index: t, Scale: 4}, r[i])
		TESTQ(t, t)
		CMOVQLT(Mem{Base: p, Disp: rZero}, r[i])
		LEAQ(Mem{Base: r[i], Index: k, Scale: 4}, r[i])
	}
	ADDQ(Imm(uint64(4*mr)), table)
	NEGQ(k)
	if twice {
		TESTQ(U32(1), k)
		JZ(LabelRef("k"))
		VMOVUPS(Mem{Base: b}, bv[0])
		for i := range r {
			VFMADD231PS_BCST(Mem{Base: r[i], Index: k, Scale: 4}, bv[0], odd[i])
		}
		ADDQ(Imm(uint64(s.bytes)), b)
		INCQ(k)
		JZ(LabelRef("summed"))
	}
	Label("k")
	PREFETCHT0(Mem{Base: b, Disp: 1024})
	if twice {
		VMOVUPS(Mem{Base: b, Disp: s.bytes}, x[0])
	}
	for j := range bv {
		VMOVUPS(Mem{Base: b, Disp: j * s.bytes}, bv[j])
	}
	for i := range r {
		m := Mem{Base: r[i], Index: k, Scale: 4}
		if nv == 1 && s == avx512 {
			VFMADD231PS_BCST(m, bv[0], acc[i][0])
			continue
		}
		VBROADCASTSS(m, x[i%2])
		for j := range bv {
			VFMADD231PS(bv[j], x[i%2], acc[i][j])
		}
	}
	if twice {
		for i := range r {
			VFMADD231PS_BCST(Mem{Base: r[i], Index: k, Scale: 4, Disp: 4}, x[0], odd[i])
		}
		ADDQ(Imm(uint64(2*s.bytes)), b)
		ADDQ(Imm(2), k)
	} else {
		ADDQ(Imm(uint64(nv*s.bytes)), b)
		INCQ(k)
	}
	JNZ(LabelRef("k"))
	if twice {
		Label("summed")
	}
	DECQ(Mem{Base: p, Disp: rCur})
	JNZ(LabelRef("tap"))
	if twice {
		for i := range odd {
			VADDPS(odd[i], acc[i][0], acc[i][0])
		}
	}
	// the rows' registers are free: rows of C
	for i := range r {
		MOVLQSX(Mem{Base: outs, Disp: 4 * i}, t)
		MOVQ(Mem{Base: p, Disp: rC}, r[i])
		LEAQ(Mem{Base: r[i], Index: t, Scale: 4}, r[i])
	}
	ADDQ(Imm(uint64(4*mr)), outs)
	MOVQ(Mem{Base: p, Disp: rMask}, t) // 0: whole vectors
	TESTQ(t, t)
	JNZ(LabelRef("part"))
	for i := range r {
		for j := range nv {
			VMOVUPS(acc[i][j], Mem{Base: r[i], Disp: j * s.bytes})
		}
	}
	JMP(LabelRef("stored"))
	Label("part") // the mask is nv vectors of words, or of bits
	if s == avx512 {
		for j := range nv {
			m := K()
			KMOVW(Mem{Base: t, Disp: 4 * j}, m)
			for i := range r {
				at := Mem{Base: r[i], Disp: j * s.bytes}
				VMOVUPS(acc[i][j], m, at)
			}
		}
	} else {
		for j := range nv {
			VMOVUPS(Mem{Base: t, Disp: j * s.bytes}, bv[j])
			for i := range r {
				VMASKMOVPS(acc[i][j], bv[j], Mem{Base: r[i], Disp: j * s.bytes})
			}
		}
	}
	Label("stored")
	DECQ(Mem{Base: p, Disp: rN})
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// outerKernel emits the gradient of mr rows of weights x nv vectors: C[u] += sum over n pairs of X[pair.x + u] * B[pair.c]; B are the
// gradients of the outputs, rows of C lie ld bytes apart.
func outerKernel(s isa, mr, nv int) {
	name := fmt.Sprintf("outer%dx%d%s", mr, nv, s.suffix)
	text(name)
	inTable(fmt.Sprintf("outer%d%s", nv, s.suffix), 17, mr, name)
	p := arg()
	x0, d0, t, n := load(p, rX), load(p, rB), load(p, rTable), load(p, rN)
	xi, di, c, ld := GP64(), GP64(), GP64(), load(p, rLd)
	acc := make([][]vec, mr)
	bv, b := s.vecs(nv), s.vecs(2)
	rows := func(f func(m Mem, i, j int)) {
		MOVQ(Mem{Base: p, Disp: rC}, c)
		for i := range mr {
			for j := range nv {
				f(Mem{Base: c, Disp: j * s.bytes}, i, j)
			}
			if i+1 < mr {
				ADDQ(ld, c)
			}
		}
	}
	for i := range acc {
		acc[i] = s.vecs(nv)
	}
	rows(func(m Mem, i, j int) { VMOVUPS(m, acc[i][j]) })
	Label("pair")
	MOVLQSX(Mem{Base: t}, xi)
	MOVLQSX(Mem{Base: t, Disp: 4}, di)
	for j := range bv {
		VMOVUPS(Mem{Base: d0, Index: di, Scale: 4, Disp: j * s.bytes}, bv[j])
	}
	for i := range acc {
		m := Mem{Base: x0, Index: xi, Scale: 4, Disp: 4 * i}
		if nv == 1 && s == avx512 {
			VFMADD231PS_BCST(m, bv[0], acc[i][0])
			continue
		}
		VBROADCASTSS(m, b[i%2])
		for j := range bv {
			VFMADD231PS(bv[j], b[i%2], acc[i][j])
		}
	}
	ADDQ(Imm(8), t)
	DECQ(n)
	JNZ(LabelRef("pair"))
	rows(func(m Mem, i, j int) { VMOVUPS(acc[i][j], m) })
	VZEROUPPER()
	RET()
}

// depthKernel emits n rows of a convolution of each channel by itself, nv vectors of channels: C[outs[i]] = sum over taps of
// X[table[i][tap]] * B[tap] + bias; taps of B lie ld bytes apart.
func depthKernel(s isa, nv int) {
	name := fmt.Sprintf("depth%d%s", nv, s.suffix)
	text(name)
	inTable("depth"+s.suffix, 5, nv, name)
	p := arg()
	table, outs, b, k, t, x, ld := load(p, rTable), load(p, rOuts), GP64(), GP64(), GP64(), GP64(), load(p, rLd)
	acc, v := s.vecs(nv), s.vecs(nv)
	Label("row")
	for j := range acc {
		s.zero(acc[j])
	}
	MOVQ(Mem{Base: p, Disp: rBias}, t)
	TESTQ(t, t)
	JZ(LabelRef("begin"))
	for j := range acc {
		VMOVUPS(Mem{Base: t, Disp: j * s.bytes}, acc[j])
	}
	Label("begin")
	MOVQ(Mem{Base: p, Disp: rB}, b)
	MOVQ(Mem{Base: p, Disp: rTaps}, k)
	Label("tap")
	MOVLQSX(Mem{Base: table}, t)
	ADDQ(Imm(4), table)
	TESTQ(t, t)
	JLT(LabelRef("next"))
	MOVQ(Mem{Base: p, Disp: rX}, x)
	LEAQ(Mem{Base: x, Index: t, Scale: 4}, x)
	for j := range acc {
		VMOVUPS(Mem{Base: x, Disp: j * s.bytes}, v[j])
		VFMADD231PS(Mem{Base: b, Disp: j * s.bytes}, v[j], acc[j])
	}
	Label("next")
	ADDQ(ld, b)
	DECQ(k)
	JNZ(LabelRef("tap"))
	MOVLQSX(Mem{Base: outs}, t)
	ADDQ(Imm(4), outs)
	MOVQ(Mem{Base: p, Disp: rC}, x)
	LEAQ(Mem{Base: x, Index: t, Scale: 4}, x)
	for j := range acc {
		VMOVUPS(acc[j], Mem{Base: x, Disp: j * s.bytes})
	}
	DECQ(Mem{Base: p, Disp: rN})
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// depthOuterKernel emits the gradient of one tap: C += sum over n pairs of X[pair.x] * B[pair.c], nv vectors of channels.
func depthOuterKernel(s isa, nv int) {
	name := fmt.Sprintf("depthOuter%d%s", nv, s.suffix)
	text(name)
	inTable("depthOuter"+s.suffix, 5, nv, name)
	p := arg()
	x0, d0, t, n, c := load(p, rX), load(p, rB), load(p, rTable), load(p, rN), load(p, rC)
	xi, di := GP64(), GP64()
	acc, v := s.vecs(nv), s.vecs(nv)
	for j := range acc {
		VMOVUPS(Mem{Base: c, Disp: j * s.bytes}, acc[j])
	}
	Label("pair")
	MOVLQSX(Mem{Base: t}, xi)
	MOVLQSX(Mem{Base: t, Disp: 4}, di)
	for j := range acc {
		VMOVUPS(Mem{Base: d0, Index: di, Scale: 4, Disp: j * s.bytes}, v[j])
		VFMADD231PS(Mem{Base: x0, Index: xi, Scale: 4, Disp: j * s.bytes}, v[j], acc[j])
	}
	ADDQ(Imm(8), t)
	DECQ(n)
	JNZ(LabelRef("pair"))
	for j := range acc {
		VMOVUPS(acc[j], Mem{Base: c, Disp: j * s.bytes})
	}
	VZEROUPPER()
	RET()
}

// channelKernels emit passes over n rows that lie step bytes apart, nv vectors of channels of each: sums by channel and affine maps.
// X, B and C are the values; coefficients lie as lines of 16 floats behind rBias.
func channelKernels(s isa) {
	const line = 64
	const gates, terms = 1, 2
	more := 0 // further values: gates at rZero, terms at rTable
	var gate, term func() Mem
	kernel := func(kind string, nv, un int, coefs, sums int, out bool, f func(x, b, c Mem, co, sum []vec)) {
		name := fmt.Sprintf("%s%d%s", kind, nv, s.suffix)
		text(name)
		inTable(kind+s.suffix, 3, nv, name)
		p := arg()
		x, b, c, n, step := load(p, rX), load(p, rB), load(p, rC), load(p, rN), load(p, rStep)
		var ge, te gp
		if more&gates != 0 {
			ge = load(p, rZero)
		}
		if more&terms != 0 {
			te = load(p, rTable)
		}
		co := make([][]vec, nv)
		sum := make([][][]vec, nv)
		cp := load(p, rBias)
		for j := range nv {
			co[j] = s.vecs(coefs)
			for i := range co[j] {
				VMOVUPS(Mem{Base: cp, Disp: i*line + j*s.bytes}, co[j][i])
			}
			for range un {
				v := s.vecs(sums)
				for i := range v {
					s.zero(v[i])
				}
				sum[j] = append(sum[j], v)
			}
		}
		one := func(u int) {
			for j := range nv {
				d := j * s.bytes
				gate = func() Mem { return Mem{Base: ge, Disp: d} }
				term = func() Mem { return Mem{Base: te, Disp: d} }
				f(Mem{Base: x, Disp: d}, Mem{Base: b, Disp: d}, Mem{Base: c, Disp: d}, co[j], sum[j][u])
			}
			ADDQ(step, x)
			ADDQ(step, b)
			if out {
				ADDQ(step, c)
			}
			if more&gates != 0 {
				ADDQ(step, ge)
			}
			if more&terms != 0 {
				ADDQ(step, te)
			}
		}
		Label("many")
		CMPQ(n, Imm(uint64(un)))
		JL(LabelRef("few"))
		for u := range un {
			one(u)
		}
		SUBQ(Imm(uint64(un)), n)
		JMP(LabelRef("many"))
		Label("few")
		TESTQ(n, n)
		JZ(LabelRef("end"))
		one(0)
		DECQ(n)
		JMP(LabelRef("few"))
		Label("end")
		for j := range nv {
			for i := range sums {
				for u := 1; u < un; u++ {
					VADDPS(sum[j][u][i], sum[j][0][i], sum[j][0][i])
				}
				VMOVUPS(sum[j][0][i], Mem{Base: c, Disp: i*line + j*s.bytes})
			}
		}
		VZEROUPPER()
		RET()
	}
	top := 2
	if s == avx512 {
		top = 1 // a vector is a line
	}
	for nv := 1; nv <= top; nv++ {
		kernel("moments", nv, 2, 1, 2, false, func(x, _, _ Mem, co, sum []vec) { // of x - shift
			v := s.vec()
			VMOVUPS(x, v)
			VSUBPS(co[0], v, v)
			VADDPS(v, sum[0], sum[0])
			VFMADD231PS(v, v, sum[1])
		})
		kernel("dots", nv, 2, 1, 2, false, func(x, b, _ Mem, co, sum []vec) { // b, and b times x - shift
			v, d := s.vec(), s.vec()
			VMOVUPS(x, v)
			VSUBPS(co[0], v, v)
			VMOVUPS(b, d)
			VADDPS(d, sum[0], sum[0])
			VFMADD231PS(v, d, sum[1])
		})
		// gated is d where scale x + shift > 0, else 0: what a Relu behind a normalisation lets through.
		gated := func(x, scale, shift, d vec) {
			y, z := s.vec(), s.vec()
			VMOVAPS(x, y)
			VFMADD213PS(shift, scale, y)
			s.zero(z)
			if s == avx512 {
				m := K()
				VCMPPS(Imm(1), y, z, m)
				VMOVAPS_Z(d, m, d)
			} else {
				VCMPPS(Imm(1), y, z, y)
				VANDPS(y, d, d)
			}
		}
		kernel("dotsRelu", nv, 1, 3, 2, false, func(x, b, _ Mem, co, sum []vec) {
			v, d := s.vec(), s.vec()
			VMOVUPS(x, v)
			VMOVUPS(b, d)
			gated(v, co[1], co[2], d)
			VSUBPS(co[0], v, v)
			VADDPS(d, sum[0], sum[0])
			VFMADD231PS(v, d, sum[1])
		})
		kernel("blendRelu", nv, 1, 5, 0, true, func(x, b, c Mem, co, _ []vec) {
			v, d := s.vec(), s.vec()
			VMOVUPS(x, v)
			VMOVUPS(b, d)
			gated(v, co[3], co[4], d)
			VFMADD213PS(co[2], co[0], d)
			VFMADD231PS(v, co[1], d)
			VMOVUPS(d, c)
		})
		kernel("affineRelu", nv, 2, 2, 0, true, func(x, _, c Mem, co, _ []vec) {
			v, z := s.vec(), s.vec()
			VMOVUPS(x, v)
			VFMADD213PS(co[1], co[0], v)
			s.zero(z)
			VMAXPS(z, v, v)
			VMOVUPS(v, c)
		})
		kernel("join", nv, 2, 2, 0, true, func(x, b, c Mem, co, _ []vec) { // max(c0 x + c1 + b, 0)
			v, z := s.vec(), s.vec()
			VMOVUPS(x, v)
			VFMADD213PS(co[1], co[0], v)
			VADDPS(b, v, v)
			s.zero(z)
			VMAXPS(z, v, v)
			VMOVUPS(v, c)
		})
		for _, kind := range []string{"openDots", "addOpenDots"} { // b, or b + term, where the gate > 0; its sums as dots has them
			if more = gates; kind == "addOpenDots" {
				more |= terms
			}
			kernel(kind, nv, 1, 1, 2, false, func(x, b, _ Mem, co, sum []vec) {
				v, d, z := s.vec(), s.vec(), s.vec()
				VMOVUPS(b, d)
				if more&terms != 0 {
					VADDPS(term(), d, d)
				}
				s.zero(z)
				if s == avx512 {
					m := K()
					VCMPPS(Imm(1), gate(), z, m)
					VMOVAPS_Z(d, m, d)
				} else {
					VCMPPS(Imm(1), gate(), z, z)
					VANDPS(z, d, d)
				}
				VMOVUPS(d, b)
				VMOVUPS(x, v)
				VSUBPS(co[0], v, v)
				VADDPS(d, sum[0], sum[0])
				VFMADD231PS(v, d, sum[1])
			})
			more = 0
		}
		kernel("affine", nv, 2, 2, 0, true, func(x, _, c Mem, co, _ []vec) { // c0 x + c1
			v := s.vec()
			VMOVUPS(x, v)
			VFMADD213PS(co[1], co[0], v)
			VMOVUPS(v, c)
		})
		kernel("blend", nv, 2, 3, 0, true, func(x, b, c Mem, co, _ []vec) { // c0 b + c1 x + c2
			v := s.vec()
			VMOVUPS(b, v)
			VFMADD213PS(co[2], co[0], v)
			VFMADD231PS(x, co[1], v)
			VMOVUPS(v, c)
		})
		kernel("band", nv, 4, 2, 0, true, func(x, b, c Mem, co, _ []vec) { // b where c0 < x < c1
			v, m := s.vec(), s.vec()
			VMOVUPS(x, v)
			if s == avx512 {
				above, within := K(), K()
				VCMPPS(Imm(1), v, co[0], above)
				VCMPPS(Imm(1), co[1], v, above, within)
				VMOVUPS_Z(b, within, v)
			} else {
				VCMPPS(Imm(1), v, co[0], m)
				VCMPPS(Imm(1), co[1], v, v)
				VANDPS(m, v, v)
				VANDPS(b, v, v)
			}
			VMOVUPS(v, c)
		})
		kernel("mask", nv, 4, 0, 0, true, func(x, b, c Mem, _, _ []vec) { // b where x > 0
			v, z := s.vec(), s.vec()
			s.zero(z)
			if s == avx512 {
				m := K()
				VMOVUPS(x, v)
				VCMPPS(Imm(1), v, z, m)
				VMOVUPS_Z(b, m, v)
			} else {
				VCMPPS(Imm(1), x, z, v)
				VANDPS(b, v, v)
			}
			VMOVUPS(v, c)
		})
	}
}
