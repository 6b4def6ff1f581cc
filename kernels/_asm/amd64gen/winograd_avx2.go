package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Winograd F(4x4,3x3) and F(2x2,3x3) in 16 registers: constants are memory operands, results are stored as soon as they exist. A call covers 8 of
// the 16 channels of a line; the driver moves all pointers by 32 bytes for the other half.

const (
	wP, wQ       = 0.5, 2.0
	wPQ          = 2.5
	wA, wB       = 0.70710678118654752, 1.41421356237309505
	wA3, wB3     = 0.35355339059327376, 2.82842712474619010
	winoTileSize = wTile
)

func winoAVX2Kernels() {
	declareConsts("winoY", wP, wQ, wPQ, wA, wB, wA3, wB3)
	winoInY("winoInY", 6, winoIn4)
	winoInY("winoIn2Y", 4, winoIn2Vec)
	winoOutY("winoOutY", 4, false)
	winoOutY("winoEdgeY", 4, true)
	winoOutY("winoOut2Y", 2, false)
	winoOutY("winoEdge2Y", 2, true)
}

// winoIn4 is one line of the input transform of F(4x4).
func winoIn4(s isa, in, out []Mem) {
	d := s.vecs(6)
	for i := range d {
		VMOVUPS(in[i], d[i])
	}
	t, u, o := s.vec(), s.vec(), s.vec()
	VADDPS(d[0], d[4], t) // t0 = d0 + d4 - (p+q) d2
	VFNMADD231PS(vconst(wPQ), d[2], t)
	VMOVUPS(t, out[0])
	VADDPS(d[1], d[5], t) // t5 = d1 + d5 - (p+q) d3
	VFNMADD231PS(vconst(wPQ), d[3], t)
	VMOVUPS(t, out[5])
	half := func(sq, pt float32, i int) { // t = (d4 - sq d2) +- pt (d3 - sq d1)
		VMOVAPS(d[4], t)
		VFNMADD231PS(vconst(sq), d[2], t)
		VMOVAPS(d[3], o)
		VFNMADD231PS(vconst(sq), d[1], o)
		VMOVAPS(t, u)
		VFMADD231PS(vconst(pt), o, t)
		VFNMADD231PS(vconst(pt), o, u)
		VMOVUPS(t, out[i])
		VMOVUPS(u, out[i+1])
	}
	half(wQ, wA, 1)
	half(wP, wB, 3)
}

// winoIn2Vec is one line of the input transform of F(2x2).
func winoIn2Vec(s isa, in, out []Mem) {
	d, t := s.vecs(4), s.vecs(4)
	for i := range d {
		VMOVUPS(in[i], d[i])
	}
	VSUBPS(d[2], d[0], t[0])
	VADDPS(d[2], d[1], t[1])
	VSUBPS(d[1], d[2], t[2])
	VSUBPS(d[3], d[1], t[3])
	for i := range t {
		VMOVUPS(t[i], out[i])
	}
}

// winoOut4 and winoOut2Vec are one line of the output transforms; y starts from the bias or zero.
func winoOut4(s isa, m, y []vec) {
	s1, d1, s2, d2 := s.vec(), s.vec(), s.vec(), s.vec()
	VADDPS(m[1], m[2], s1)
	VSUBPS(m[2], m[1], d1)
	VADDPS(m[3], m[4], s2)
	VSUBPS(m[4], m[3], d2)
	VADDPS(m[0], y[0], y[0])
	VADDPS(s1, y[0], y[0])
	VADDPS(s2, y[0], y[0])
	VFMADD231PS(vconst(wA), d1, y[1])
	VFMADD231PS(vconst(wB), d2, y[1])
	VFMADD231PS(vconst(wP), s1, y[2])
	VFMADD231PS(vconst(wQ), s2, y[2])
	VFMADD231PS(vconst(wA3), d1, y[3])
	VFMADD231PS(vconst(wB3), d2, y[3])
	VADDPS(m[5], y[3], y[3])
}

func winoOut2Vec(s isa, m, y []vec) {
	t := s.vec()
	VADDPS(m[1], m[0], t)
	VADDPS(m[2], t, t)
	VADDPS(t, y[0], y[0])
	VSUBPS(m[2], m[1], t)
	VSUBPS(m[3], t, t)
	VADDPS(t, y[1], y[1])
}

// winoInY transforms tiles of n x n points: columns into a buffer, then rows.
func winoInY(name string, n int, one func(s isa, in, out []Mem)) {
	s := avx2
	text(name)
	p := arg()
	src, dst, tiles, nt, row, ps, tmp := load(p, wSrc), load(p, wDst), load(p, wTiles), load(p, wNt), load(p, wRow), load(p, wPs), load(p, wTmp)
	row3, ps3 := GP64(), GP64()
	LEAQ(Mem{Base: row, Index: row, Scale: 2}, row3)
	LEAQ(Mem{Base: ps, Index: ps, Scale: 2}, ps3)
	a, a3 := GP64(), GP64()
	Label("t")
	MOVQ(src, a)
	ADDQ(Mem{Base: tiles}, a)
	LEAQ(Mem{Base: a, Index: row3, Scale: 1}, a3)
	at := func(i, j int) Mem { return Mem{Base: tmp, Disp: (i*n + j) * 64} }
	line := func(f func(k int) Mem) []Mem {
		m := make([]Mem, n)
		for k := range m {
			m[k] = f(k)
		}
		return m
	}
	for j := range n {
		in := six(a, a3, row, j*64)
		one(s, in[:n], line(func(i int) Mem { return at(i, j) }))
	}
	MOVQ(dst, a)
	for i := range n {
		LEAQ(Mem{Base: a, Index: ps3, Scale: 1}, a3)
		out := six(a, a3, ps, 0)
		one(s, line(func(j int) Mem { return at(i, j) }), out[:n])
		winoNext(n, a3, ps, ps3, a)
	}
	ADDQ(Imm(64), dst)
	ADDQ(Imm(winoTileSize), tiles)
	DECQ(nt)
	JNZ(LabelRef("t"))
	VZEROUPPER()
	RET()
}

// winoNext sets a to n points on; a3 stands three points on.
func winoNext(n int, a3, ps, ps3, a gp) {
	if n == 4 {
		LEAQ(Mem{Base: a3, Index: ps, Scale: 1}, a)
		return
	}
	LEAQ(Mem{Base: a3, Index: ps3, Scale: 1}, a)
}

// winoOutY: (o+2)x(o+2) points -> o x o pixels, bias, residual, activation, store; with edge only the nr x nc pixels that exist.
func winoOutY(name string, o int, edge bool) {
	s, k := avx2, o+2
	text(name)
	p := arg()
	src, dst, tiles, nt, row, ps, tmp := load(p, wSrc), load(p, wDst), load(p, wTiles), load(p, wNt), load(p, wRow), load(p, wPs), load(p, wTmp)
	ps3, a, a3, r := GP64(), GP64(), GP64(), GP64()
	LEAQ(Mem{Base: ps, Index: ps, Scale: 2}, ps3)
	one := func(in []Mem, bias bool) []vec {
		m, y := s.vecs(k), s.vecs(o)
		for i := range m {
			VMOVUPS(in[i], m[i])
		}
		for i := range y {
			if bias {
				VMOVUPS(Mem{Base: r}, y[i])
			} else {
				s.zero(y[i])
			}
		}
		if o == 4 {
			winoOut4(s, m, y)
		} else {
			winoOut2Vec(s, m, y)
		}
		return y
	}
	Label("t")
	MOVQ(src, a)
	for i := range k {
		LEAQ(Mem{Base: a, Index: ps3, Scale: 1}, a3)
		in := six(a, a3, ps, 0)
		y := one(in[:k], false)
		for j := range y {
			VMOVUPS(y[j], Mem{Base: tmp, Disp: (j*k + i) * 64})
		}
		winoNext(k, a3, ps, ps3, a)
	}
	for j := range o {
		lab := string(rune('a' + j))
		if edge {
			MOVQ(Mem{Base: tiles, Disp: 32}, r)
			CMPQ(r, Imm(uint64(j)))
			JLE(LabelRef("done"))
		}
		in := make([]Mem, k)
		for i := range in {
			in[i] = Mem{Base: tmp, Disp: (j*k + i) * 64}
		}
		MOVQ(Mem{Base: p, Disp: wBias}, r)
		y := one(in, true)
		MOVQ(Mem{Base: p, Disp: wRes}, r)
		TESTQ(r, r)
		JZ(LabelRef("nores" + lab))
		ADDQ(Mem{Base: tiles, Disp: 16}, r)
		for i := range y {
			if edge { // rows that do not exist may lie outside the residual
				CMPQ(Mem{Base: tiles, Disp: 24}, Imm(uint64(i)))
				JLE(LabelRef("nores" + lab))
			}
			VADDPS(Mem{Base: r, Disp: j * 64}, y[i], y[i])
			ADDQ(Mem{Base: p, Disp: wRrow}, r)
		}
		Label("nores" + lab)
		MOVQ(Mem{Base: p, Disp: wAct}, r)
		TESTQ(r, r)
		JZ(LabelRef("noact" + lab))
		lo, hi := s.vec(), s.vec()
		VBROADCASTSS(Mem{Base: p, Disp: wLo}, lo)
		VBROADCASTSS(Mem{Base: p, Disp: wHi}, hi)
		for i := range y {
			VMAXPS(y[i], lo, y[i])
			VMINPS(y[i], hi, y[i])
		}
		Label("noact" + lab)
		MOVQ(dst, a)
		ADDQ(Mem{Base: tiles, Disp: 8}, a)
		for i := range y {
			if edge {
				CMPQ(Mem{Base: tiles, Disp: 24}, Imm(uint64(i)))
				JLE(LabelRef("skip" + lab))
			}
			VMOVUPS(y[i], Mem{Base: a, Disp: j * 64})
			if i < o-1 {
				ADDQ(row, a)
			}
		}
		Label("skip" + lab)
	}
	Label("done")
	ADDQ(Imm(64), src)
	ADDQ(Imm(winoTileSize), tiles)
	DECQ(nt)
	JNZ(LabelRef("t"))
	VZEROUPPER()
	RET()
}
