package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Winograd F(2x2,3x3): everything stays in registers.

func winoIn2() {
	text("winoIn2")
	p := arg()
	ld := func(off int) gp { r := GP64(); MOVQ(Mem{Base: p, Disp: off}, r); return r }
	src, dst, tiles, nt, row, ps := ld(wSrc), ld(wDst), ld(wTiles), ld(wNt), ld(wRow), ld(wPs)
	s, d := GP64(), GP64()
	Label("t")
	MOVQ(src, s)
	ADDQ(Mem{Base: tiles}, s)
	var x, t [4][4]zmm
	one := func(d [4]zmm) (t [4]zmm) {
		for i := range t {
			t[i] = ZMM()
		}
		VSUBPS(d[2], d[0], t[0])
		VADDPS(d[2], d[1], t[1])
		VSUBPS(d[1], d[2], t[2])
		VSUBPS(d[3], d[1], t[3])
		return
	}
	for i := range x {
		for j := range x[i] {
			x[i][j] = ZMM()
			VMOVUPS(Mem{Base: s, Disp: j * 64}, x[i][j])
		}
		x[i] = one(x[i])
		ADDQ(row, s)
	}
	for j := range t {
		t[j] = one([4]zmm{x[0][j], x[1][j], x[2][j], x[3][j]})
	}
	MOVQ(dst, d)
	for i := range t {
		for j := range t {
			VMOVUPS(t[j][i], Mem{Base: d})
			ADDQ(ps, d)
		}
	}
	ADDQ(Imm(64), dst)
	ADDQ(Imm(wTile), tiles)
	DECQ(nt)
	JNZ(LabelRef("t"))
	VZEROUPPER()
	RET()
}

func winoOut2(name string, masked bool) {
	text(name)
	p := arg()
	ld := func(off int) gp { r := GP64(); MOVQ(Mem{Base: p, Disp: off}, r); return r }
	src, dst, tiles, nt, row, ps := ld(wSrc), ld(wDst), ld(wTiles), ld(wNt), ld(wRow), ld(wPs)
	lo, hi, bias := ZMM(), ZMM(), ZMM()
	VBROADCASTSS(Mem{Base: p, Disp: wLo}, lo)
	VBROADCASTSS(Mem{Base: p, Disp: wHi}, hi)
	t := ld(wBias)
	VMOVUPS(Mem{Base: t}, bias)
	s, d, r, n := GP64(), GP64(), GP64(), GP64()
	k := K()
	if masked {
		MOVQ(Mem{Base: tiles, Disp: 24}, n)
	}
	Label("t")
	one := func(m [4]zmm) (y [2]zmm) {
		y[0], y[1] = ZMM(), ZMM()
		VADDPS(m[0], m[1], y[0])
		VADDPS(m[2], y[0], y[0])
		VSUBPS(m[2], m[1], y[1])
		VSUBPS(m[3], y[1], y[1])
		return
	}
	MOVQ(src, s)
	var z [4][2]zmm
	for i := range z {
		var m [4]zmm
		for j := range m {
			m[j] = ZMM()
			VMOVUPS(Mem{Base: s}, m[j])
			ADDQ(ps, s)
		}
		z[i] = one(m)
	}
	var y [2][2]zmm // [column][row]
	for j := range y {
		y[j] = one([4]zmm{z[0][j], z[1][j], z[2][j], z[3][j]})
		for i := range y[j] {
			VADDPS(bias, y[j][i], y[j][i])
		}
	}
	MOVQ(Mem{Base: p, Disp: wRes}, r)
	TESTQ(r, r)
	JZ(LabelRef("nores"))
	ADDQ(Mem{Base: tiles, Disp: 16}, r)
	for i := range 2 {
		if masked && i == 1 { // a row that does not exist may lie outside the residual
			CMPQ(Mem{Base: tiles, Disp: 24}, Imm(1))
			JLE(LabelRef("nores"))
		}
		for j := range 2 {
			VADDPS(Mem{Base: r, Disp: j * 64}, y[j][i], y[j][i])
		}
		ADDQ(Mem{Base: p, Disp: wRrow}, r)
	}
	Label("nores")
	MOVQ(Mem{Base: p, Disp: wAct}, r)
	TESTQ(r, r)
	JZ(LabelRef("noact"))
	for i := range 2 {
		for j := range 2 {
			VMAXPS(y[j][i], lo, y[j][i])
			VMINPS(y[j][i], hi, y[j][i])
		}
	}
	Label("noact")
	MOVQ(dst, d)
	ADDQ(Mem{Base: tiles, Disp: 8}, d)
	if masked {
		MOVQ(Mem{Base: tiles, Disp: 32}, n)
		SUBQ(Imm(2), n)
		SARQ(Imm(63), n)
		NOTQ(n)
		KMOVW(n.As32(), k)
		MOVQ(Mem{Base: tiles, Disp: 24}, n)
	}
	for i := range 2 {
		VMOVUPS(y[0][i], Mem{Base: d})
		if masked {
			VMOVUPS(y[1][i], k, Mem{Base: d, Disp: 64})
			if i == 0 {
				CMPQ(n, Imm(1))
				JLE(LabelRef("skip"))
			}
		} else {
			VMOVUPS(y[1][i], Mem{Base: d, Disp: 64})
		}
		ADDQ(row, d)
	}
	if masked {
		Label("skip")
	}
	ADDQ(Imm(64), src)
	ADDQ(Imm(wTile), tiles)
	DECQ(nt)
	JNZ(LabelRef("t"))
	VZEROUPPER()
	RET()
}
