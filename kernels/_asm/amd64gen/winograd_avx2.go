package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Winograd F(4x4,3x3) in 16 registers: constants are memory operands, results are stored as soon as they exist. A call covers 8 of
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
	winoInY()
	winoOutY("winoOutY", false)
	winoOutY("winoEdgeY", true)
}

func winoInY() {
	s := avx2
	text("winoInY")
	p := arg()
	src, dst, tiles, nt, row, ps, tmp := load(p, wSrc), load(p, wDst), load(p, wTiles), load(p, wNt), load(p, wRow), load(p, wPs), load(p, wTmp)
	one := func(in, out [6]Mem) {
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
	row3, ps3 := GP64(), GP64()
	LEAQ(Mem{Base: row, Index: row, Scale: 2}, row3)
	LEAQ(Mem{Base: ps, Index: ps, Scale: 2}, ps3)
	a, a3 := GP64(), GP64()
	Label("t")
	MOVQ(src, a)
	ADDQ(Mem{Base: tiles}, a)
	LEAQ(Mem{Base: a, Index: row3, Scale: 1}, a3)
	for j := range 6 {
		var o [6]Mem
		for i := range o {
			o[i] = Mem{Base: tmp, Disp: (i*6 + j) * 64}
		}
		one(six(a, a3, row, j*64), o)
	}
	MOVQ(dst, a)
	for i := range 6 {
		LEAQ(Mem{Base: a, Index: ps3, Scale: 1}, a3)
		var in [6]Mem
		for j := range in {
			in[j] = Mem{Base: tmp, Disp: (i*6 + j) * 64}
		}
		one(in, six(a, a3, ps, 0))
		LEAQ(Mem{Base: a3, Index: ps3, Scale: 1}, a)
	}
	ADDQ(Imm(64), dst)
	ADDQ(Imm(winoTileSize), tiles)
	DECQ(nt)
	JNZ(LabelRef("t"))
	VZEROUPPER()
	RET()
}

// winoOutY: 6x6 -> 4x4, bias, residual, activation, store; with edge only the nr x nc pixels that exist.
func winoOutY(name string, edge bool) {
	s := avx2
	text(name)
	p := arg()
	src, dst, tiles, nt, row, ps, tmp := load(p, wSrc), load(p, wDst), load(p, wTiles), load(p, wNt), load(p, wRow), load(p, wPs), load(p, wTmp)
	ps3, a, a3, r := GP64(), GP64(), GP64(), GP64()
	LEAQ(Mem{Base: ps, Index: ps, Scale: 2}, ps3)
	one := func(in [6]Mem, bias bool) (y [4]vec) {
		m := s.vecs(6)
		for i := range m {
			VMOVUPS(in[i], m[i])
		}
		s1, d1, s2, d2 := s.vec(), s.vec(), s.vec(), s.vec()
		VADDPS(m[1], m[2], s1)
		VSUBPS(m[2], m[1], d1)
		VADDPS(m[3], m[4], s2)
		VSUBPS(m[4], m[3], d2)
		for i := range y {
			y[i] = s.vec()
			if bias {
				VMOVUPS(Mem{Base: r}, y[i])
			} else {
				s.zero(y[i])
			}
		}
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
		return
	}
	Label("t")
	MOVQ(src, a)
	for i := range 6 {
		LEAQ(Mem{Base: a, Index: ps3, Scale: 1}, a3)
		y := one(six(a, a3, ps, 0), false)
		for j := range y {
			VMOVUPS(y[j], Mem{Base: tmp, Disp: (j*6 + i) * 64})
		}
		LEAQ(Mem{Base: a3, Index: ps3, Scale: 1}, a)
	}
	for j := range 4 {
		lab := string(rune('a' + j))
		if edge {
			MOVQ(Mem{Base: tiles, Disp: 32}, r)
			CMPQ(r, Imm(uint64(j)))
			JLE(LabelRef("done"))
		}
		var in [6]Mem
		for i := range in {
			in[i] = Mem{Base: tmp, Disp: (j*6 + i) * 64}
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
			if i < 3 {
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
