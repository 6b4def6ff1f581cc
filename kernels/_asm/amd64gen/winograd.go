package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Byte offsets of the fields of winoargs (conv/winograd.go); wC is an array of constants.
const (
	wSrc, wDst, wTiles, wNt, wRow, wPs, wBias = 0, 8, 16, 24, 32, 40, 48
	wRes, wRrow, wAct, wLo, wHi, wTmp, wConst = 56, 64, 72, 80, 84, 88, 96
	wTile                                     = 40 // bytes of a winoTile
)

// Winograd F(4x4,3x3) with the points 0, +-a, +-b, infinity; a*a*b*b = 1. One vector is 16 channels of one pixel.
func winoKernels() {
	winoIn()
	winoOut("winoOut", false)
	winoOut("winoOutMask", true)
	winoIn2()
	winoOut2("winoOut2", false)
	winoOut2("winoOut2Mask", true)
}

type zmm = vec

func wconst(p gp, n int) []zmm {
	c := make([]zmm, n)
	for i := range c {
		c[i] = ZMM()
		VBROADCASTSS(Mem{Base: p, Disp: wConst + 4*i}, c[i])
	}
	return c
}

// six addresses base + i*step
func six(base, base3, step gp, disp int) (m [6]Mem) {
	for i := range m {
		b := base
		if i >= 3 {
			b = base3
		}
		m[i] = Mem{Base: b, Disp: disp}
		if i%3 > 0 {
			m[i].Index, m[i].Scale = step, uint8(i%3)
		}
	}
	return
}

func winoIn() {
	text("winoIn")
	p := arg()
	ld := func(off int) gp { r := GP64(); MOVQ(Mem{Base: p, Disp: off}, r); return r }
	src, dst, tiles, nt, row, ps, tmp := ld(wSrc), ld(wDst), ld(wTiles), ld(wNt), ld(wRow), ld(wPs), ld(wTmp)
	c := wconst(p, 5) // p+q, p, q, a, b
	row3, ps3 := GP64(), GP64()
	LEAQ(Mem{Base: row, Index: row, Scale: 2}, row3)
	LEAQ(Mem{Base: ps, Index: ps, Scale: 2}, ps3)
	one := func(in, out [6]Mem) {
		var d, t [6]zmm
		for i := range d {
			d[i] = ZMM()
			VMOVUPS(in[i], d[i])
			t[i] = ZMM()
		}
		VADDPS(d[0], d[4], t[0]) // t0 = d0 + d4 - (p+q) d2
		VFNMADD231PS(d[2], c[0], t[0])
		VADDPS(d[1], d[5], t[5]) // t5 = d1 + d5 - (p+q) d3
		VFNMADD231PS(d[3], c[0], t[5])
		half := func(sq, pt zmm, i int) { // t = (d4 - sq d2) +- pt (d3 - sq d1)
			o := ZMM()
			VMOVAPS(d[4], t[i])
			VFNMADD231PS(d[2], sq, t[i])
			VMOVAPS(d[3], o)
			VFNMADD231PS(d[1], sq, o)
			VMOVAPS(t[i], t[i+1])
			VFMADD231PS(o, pt, t[i])
			VFNMADD231PS(o, pt, t[i+1])
		}
		half(c[2], c[3], 1)
		half(c[1], c[4], 3)
		for i := range t {
			VMOVUPS(t[i], out[i])
		}
	}
	s, s3, d, d3 := GP64(), GP64(), GP64(), GP64()
	Label("t")
	MOVQ(src, s)
	ADDQ(Mem{Base: tiles}, s)
	LEAQ(Mem{Base: s, Index: row3, Scale: 1}, s3)
	for j := range 6 {
		var o [6]Mem
		for i := range o {
			o[i] = Mem{Base: tmp, Disp: (i*6 + j) * 64}
		}
		one(six(s, s3, row, j*64), o)
	}
	MOVQ(dst, d)
	for i := range 6 {
		LEAQ(Mem{Base: d, Index: ps3, Scale: 1}, d3)
		var in [6]Mem
		for j := range in {
			in[j] = Mem{Base: tmp, Disp: (i*6 + j) * 64}
		}
		one(in, six(d, d3, ps, 0))
		LEAQ(Mem{Base: d3, Index: ps3, Scale: 1}, d)
	}
	ADDQ(Imm(64), dst)
	ADDQ(Imm(wTile), tiles)
	DECQ(nt)
	JNZ(LabelRef("t"))
	VZEROUPPER()
	RET()
}

// winoOut: 6x6 -> 4x4, bias, residual, activation, store. The masked version stores nr x nc pixels of a border tile.
func winoOut(name string, masked bool) {
	text(name)
	p := arg()
	ld := func(off int) gp { r := GP64(); MOVQ(Mem{Base: p, Disp: off}, r); return r }
	src, dst, tiles, nt, row, ps, tmp := ld(wSrc), ld(wDst), ld(wTiles), ld(wNt), ld(wRow), ld(wPs), ld(wTmp)
	cc := wconst(p, 7) // p+q, p, q, a, b, a^3, b^3
	P, Q, A, B, A3, B3 := cc[1], cc[2], cc[3], cc[4], cc[5], cc[6]
	lo, hi, bias := ZMM(), ZMM(), ZMM()
	VBROADCASTSS(Mem{Base: p, Disp: wLo}, lo)
	VBROADCASTSS(Mem{Base: p, Disp: wHi}, hi)
	t := ld(wBias)
	VMOVUPS(Mem{Base: t}, bias)
	ps3 := GP64()
	LEAQ(Mem{Base: ps, Index: ps, Scale: 2}, ps3)
	one := func(in [6]Mem, bias *zmm) (y [4]zmm) {
		var m [6]zmm
		for i := range m {
			m[i] = ZMM()
			VMOVUPS(in[i], m[i])
		}
		s1, d1, s2, d2 := ZMM(), ZMM(), ZMM(), ZMM()
		VADDPS(m[1], m[2], s1)
		VSUBPS(m[2], m[1], d1)
		VADDPS(m[3], m[4], s2)
		VSUBPS(m[4], m[3], d2)
		if bias != nil {
			VADDPS(*bias, m[0], m[0])
		}
		for i := range y {
			y[i] = ZMM()
		}
		VADDPS(s1, m[0], y[0])
		VADDPS(s2, y[0], y[0])
		two := func(u, cu, v, cv, y zmm) {
			if bias != nil {
				VMOVAPS(*bias, y)
				VFMADD231PS(u, cu, y)
			} else {
				VMULPS(u, cu, y)
			}
			VFMADD231PS(v, cv, y)
		}
		two(d1, A, d2, B, y[1])
		two(s1, P, s2, Q, y[2])
		two(d1, A3, d2, B3, y[3])
		VADDPS(m[5], y[3], y[3])
		return
	}
	s, s3, d, r := GP64(), GP64(), GP64(), GP64()
	nr := GP64()
	var k [4]reg.OpmaskVirtual
	Label("t")
	if masked {
		n := GP64()
		MOVQ(Mem{Base: tiles, Disp: 24}, nr)
		for i := range k {
			k[i] = K()
			MOVQ(Mem{Base: tiles, Disp: 32}, n) // nc
			SUBQ(Imm(uint64(i+1)), n)           // negative: column absent
			SARQ(Imm(63), n)
			NOTQ(n)
			KMOVW(n.As32(), k[i])
		}
	}
	MOVQ(src, s)
	// rows first: row i holds positions 6i..6i+5, which are 3ps + 3ps apart
	for i := range 6 {
		LEAQ(Mem{Base: s, Index: ps3, Scale: 1}, s3)
		y := one(six(s, s3, ps, 0), nil)
		for j := range y {
			VMOVUPS(y[j], Mem{Base: tmp, Disp: (j*6 + i) * 64})
		}
		LEAQ(Mem{Base: s3, Index: ps3, Scale: 1}, s)
	}
	for j := range 4 { // then each output column
		var in [6]Mem
		for i := range in {
			in[i] = Mem{Base: tmp, Disp: (j*6 + i) * 64}
		}
		y := one(in, &bias)
		MOVQ(Mem{Base: p, Disp: wRes}, r)
		lab := name + string(rune('a'+j))
		TESTQ(r, r)
		JZ(LabelRef("nores" + lab))
		if masked { // pixels that do not exist may lie outside the residual
			CMPQ(Mem{Base: tiles, Disp: 32}, Imm(uint64(j)))
			JLE(LabelRef("nores" + lab))
		}
		ADDQ(Mem{Base: tiles, Disp: 16}, r)
		for i := range y {
			if masked {
				CMPQ(nr, Imm(uint64(i)))
				JLE(LabelRef("nores" + lab))
			}
			VADDPS(Mem{Base: r, Disp: j * 64}, y[i], y[i])
			ADDQ(Mem{Base: p, Disp: wRrow}, r)
		}
		Label("nores" + lab)
		MOVQ(Mem{Base: p, Disp: wAct}, r)
		TESTQ(r, r)
		JZ(LabelRef("noact" + lab))
		for i := range y {
			VMAXPS(y[i], lo, y[i])
			VMINPS(y[i], hi, y[i])
		}
		Label("noact" + lab)
		MOVQ(dst, d)
		ADDQ(Mem{Base: tiles, Disp: 8}, d)
		for i := range y {
			if masked {
				CMPQ(nr, Imm(uint64(i)))
				JLE(LabelRef("skip" + lab))
				VMOVUPS(y[i], k[j], Mem{Base: d, Disp: j * 64})
			} else {
				VMOVUPS(y[i], Mem{Base: d, Disp: j * 64})
			}
			if i < 3 {
				ADDQ(row, d)
			}
		}
		if masked {
			Label("skip" + lab)
		}
	}
	ADDQ(Imm(64), src)
	ADDQ(Imm(wTile), tiles)
	DECQ(nt)
	JNZ(LabelRef("t"))
	VZEROUPPER()
	RET()
}
