package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Further fields of winoArgs, for 8 bit.
const wScale, wRscale, wZero, wRzero = 128, 136, 140, 144

// int16Kernels: products of words for processors without VNNI. The input is widened from bytes, or transformed for F(2x2,3x3), before: then
// VPMADDWD and VPADDD are all that is left, two of each for 32 products of a pixel. Values of 16 bits (conv/int16.go) are read as they lie.
func int16Kernels() {
	for mr := 1; mr <= 6; mr++ {
		for _, to := range []string{"bytes", "raw", "words"} {
			int16Mul(mr, to)
		}
	}
	for q := 1; q <= 4; q++ {
		int16Widen(q)
	}
	for _, c := range []int{4, 2, 1} {
		int16DW(c)
	}
}

// int16Mul: mr pixels x 16 outputs; a step is 1 pair of channels; a panel is [pair][16 outputs][2] int16. raw stores the sums.
func int16Mul(mr int, to string) {
	s := avx2
	name, tab := fmt.Sprintf("h%dx1Y", mr), "int16Y"
	switch to {
	case "raw":
		name, tab = fmt.Sprintf("h%drawY", mr), "int16RawY"
	case "words":
		name, tab = fmt.Sprintf("h%dwordY", mr), "int16WordY"
	}
	text(name)
	inTable(tab, 7, mr, name)
	p := arg()
	tiles, step, ahead, far := load(p, fTiles), load(p, fPs), load(p, fPf), load(p, fPfStep)
	b, o, n, cnt, c := GP64(), GP64(), GP64(), GP64(), GP64()
	acc := make([][]vec, mr)
	for i := range acc {
		acc[i] = s.vecs(2)
	}
	w := s.vecs(2)
	base := bases(mr)
	Label("tile")
	for i := range acc {
		s.zero(acc[i][0])
		s.zero(acc[i][1])
	}
	MOVQ(Mem{Base: p, Disp: fB}, b)
	MOVQ(Mem{Base: p, Disp: fGroups}, o)
	MOVQ(Mem{Base: p, Disp: fNk}, n)
	Label("group")
	MOVQ(Mem{Base: p, Disp: fA}, base[0])
	ADDQ(Mem{Base: tiles}, base[0])
	ADDQ(Mem{Base: o}, base[0])
	MOVQ(Mem{Base: o, Disp: 8}, cnt)
	chain(base, step)
	Label("step")
	VMOVDQU(Mem{Base: b}, w[0])
	VMOVDQU(Mem{Base: b, Disp: 32}, w[1])
	PREFETCHT1(Mem{Base: ahead})
	ADDQ(far, ahead)
	for i, at := range steps(base, step, mr, 0) {
		d, v := s.vec(), s.vec()
		VPBROADCASTD(at, d)
		VPMADDWD(w[0], d, v)
		VPMADDWD(w[1], d, d)
		VPADDD(v, acc[i][0], acc[i][0])
		VPADDD(d, acc[i][1], acc[i][1])
	}
	for _, r := range base {
		ADDQ(Imm(4), r)
	}
	ADDQ(Imm(64), b)
	DECQ(cnt)
	JNZ(LabelRef("step"))
	ADDQ(Imm(16), o)
	DECQ(n)
	JNZ(LabelRef("group"))
	switch to {
	case "raw":
		MOVQ(Mem{Base: p, Disp: fC}, c)
		ADDQ(Mem{Base: tiles, Disp: 8}, c)
		for i := range acc {
			VMOVDQU(acc[i][0], Mem{Base: c, Disp: i * 64})
			VMOVDQU(acc[i][1], Mem{Base: c, Disp: i*64 + 32})
		}
	case "words":
		int16Store(p, tiles, o, n, c, acc)
	default:
		int8Store(p, tiles, o, n, c, acc)
	}
	ADDQ(Imm(24), tiles)
	DECQ(Mem{Base: p, Disp: fNt})
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// int16Store turns sums of mr pixels x 16 outputs into words of 16 bits, pixels 64 bytes apart; o, n and c are free registers.
func int16Store(p, tiles, o, n, c gp, acc [][]vec) {
	w := avx2.vecs(2)
	MOVQ(Mem{Base: p, Disp: fScale}, o)
	MOVQ(Mem{Base: p, Disp: fBias}, n)
	for h := range 2 {
		VMOVUPS(Mem{Base: o, Disp: 32 * h}, w[0])
		VMOVUPS(Mem{Base: n, Disp: 32 * h}, w[1])
		for i := range acc {
			VCVTDQ2PS(acc[i][h], acc[i][h])
			VFMADD213PS(w[1], w[0], acc[i][h])
		}
	}
	t := c
	MOVQ(Mem{Base: p, Disp: fRes}, t)
	TESTQ(t, t)
	JZ(LabelRef("act"))
	ADDQ(Mem{Base: tiles, Disp: 16}, t)
	VBROADCASTSS(Mem{Base: p, Disp: fRscale}, w[0])
	for i := range acc {
		for h := range 2 {
			VPMOVSXWD(Mem{Base: t, Disp: i*64 + 16*h}, w[1])
			VCVTDQ2PS(w[1], w[1])
			VFMADD231PS(w[1], w[0], acc[i][h])
		}
	}
	Label("act")
	VBROADCASTSS(Mem{Base: p, Disp: fLo}, w[0])
	VBROADCASTSS(Mem{Base: p, Disp: fHi}, w[1])
	MOVQ(Mem{Base: p, Disp: fC}, c)
	ADDQ(Mem{Base: tiles, Disp: 8}, c)
	for i := range acc {
		a := acc[i]
		for _, v := range a {
			VMAXPS(v, w[0], v)
			VMINPS(v, w[1], v)
			VCVTPS2DQ(v, v)
		}
		VPACKSSDW(a[1], a[0], a[0]) // lanes: a0 low, a1 low | a0 high, a1 high
		VPERMQ(Imm(0xd8), a[0], a[0])
		VMOVDQU(a[0], Mem{Base: c, Disp: i * 64})
	}
}

// int16DW: depthwise, 16 of 32 channels of words, two taps a step: words of two pixels become pairs. A tile is c columns; pairs lie in the order of
// VPUNPCKLWD and VPUNPCKHWD, channels 0-3, 8-11 and 4-7, 12-15, which VPACKSSDW undoes.
func int16DW(c int) {
	s := avx2
	name := fmt.Sprintf("hdw%dY", c)
	text(name)
	inTable("int16DWY", 5, c, name)
	p := arg()
	tiles, ps := load(p, fTiles), load(p, fPs)
	src, dst, nt, w, o, n, t := GP64(), GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	acc := make([][]vec, c)
	for i := range acc {
		acc[i] = s.vecs(2)
	}
	x, y, z := s.vec(), s.vec(), s.vecs(2)
	one, two := bases(c), bases(c)
	Label("row")
	MOVQ(Mem{Base: p, Disp: fA}, src)
	ADDQ(Mem{Base: tiles}, src)
	MOVQ(Mem{Base: p, Disp: fC}, dst)
	ADDQ(Mem{Base: tiles, Disp: 8}, dst)
	MOVQ(Mem{Base: p, Disp: fRblk}, nt)
	Label("tile")
	for i := range acc {
		s.zero(acc[i][0])
		s.zero(acc[i][1])
	}
	MOVQ(Mem{Base: p, Disp: fB}, w)
	MOVQ(Mem{Base: p, Disp: fGroups}, o)
	MOVQ(Mem{Base: p, Disp: fNk}, n)
	Label("taps")
	MOVQ(src, one[0])
	ADDQ(Mem{Base: o}, one[0])
	chain(one, ps)
	MOVQ(src, two[0])
	ADDQ(Mem{Base: o, Disp: 16}, two[0])
	chain(two, ps)
	a, b := steps(one, ps, c, 0), steps(two, ps, c, 0)
	for i := range acc {
		VMOVDQU(a[i], x)
		VMOVDQU(b[i], y)
		VPUNPCKLWD(y, x, z[0])
		VPUNPCKHWD(y, x, z[1])
		for h := range 2 {
			VPMADDWD(Mem{Base: w, Disp: 32 * h}, z[h], z[h])
			VPADDD(z[h], acc[i][h], acc[i][h])
		}
	}
	ADDQ(Imm(32), o)
	ADDQ(Imm(64), w)
	SUBQ(Imm(2), n)
	JNZ(LabelRef("taps"))
	order := func(at int, to []vec) { // of 16 floats
		MOVQ(Mem{Base: p, Disp: at}, t)
		VMOVUPS(Mem{Base: t}, x)
		VMOVUPS(Mem{Base: t, Disp: 32}, y)
		VPERM2F128(Imm(0x20), y, x, to[0])
		VPERM2F128(Imm(0x31), y, x, to[1])
	}
	scale, bias := s.vecs(2), z
	order(fScale, scale)
	order(fBias, bias)
	VBROADCASTSS(Mem{Base: p, Disp: fLo}, x)
	VBROADCASTSS(Mem{Base: p, Disp: fHi}, y)
	for i := range acc {
		for h, v := range acc[i] {
			VCVTDQ2PS(v, v)
			VFMADD213PS(bias[h], scale[h], v)
			VMAXPS(v, x, v)
			VMINPS(v, y, v)
			VCVTPS2DQ(v, v)
		}
		VPACKSSDW(acc[i][1], acc[i][0], acc[i][0])
		VMOVDQU(acc[i][0], Mem{Base: dst, Disp: i * 64})
	}
	IMUL3Q(U32(uint32(c)), ps, t)
	ADDQ(t, src)
	ADDQ(U32(uint32(c*64)), dst)
	DECQ(nt)
	JNZ(LabelRef("tile"))
	ADDQ(Imm(24), tiles)
	DECQ(Mem{Base: p, Disp: fNt})
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// int16Widen turns the first 16 q bytes of lines of 64 into words, in lines of 32 that are cblk bytes apart.
func int16Widen(q int) {
	name := fmt.Sprintf("widen%dY", q)
	text(name)
	inTable("widenY", 5, q, name)
	p := arg()
	src, dst, n, ps, far := load(p, fA), load(p, fC), load(p, fNt), load(p, fPs), load(p, fCblk)
	ADDQ(dst, far)
	Label("pixel")
	v := avx2.vecs(q)
	for i := range v {
		VPMOVZXBW(Mem{Base: src, Disp: 16 * i}, v[i])
	}
	for i := range v {
		to := []gp{dst, far}[i/2]
		VMOVDQU(v[i], Mem{Base: to, Disp: i % 2 * 32})
	}
	ADDQ(ps, src)
	ADDQ(Imm(64), dst)
	ADDQ(Imm(64), far)
	DECQ(n)
	JNZ(LabelRef("pixel"))
	VZEROUPPER()
	RET()
}

// int16WinoIn: 4x4 pixels of 16 channels in bytes -> 16 points in words, at most 1020 in size.
func int16WinoIn() {
	s := avx2
	text("winoIn8Y")
	p := arg()
	src, dst, tiles, nt, row, ps := load(p, wSrc), load(p, wDst), load(p, wTiles), load(p, wNt), load(p, wRow), load(p, wPs)
	r3, ps3, a, a3 := GP64(), GP64(), GP64(), GP64()
	LEAQ(Mem{Base: row, Index: row, Scale: 2}, r3)
	LEAQ(Mem{Base: ps, Index: ps, Scale: 2}, ps3)
	at := func(i, j int) Mem { return Mem{Base: a, Index: row, Scale: uint8(max(1, i)), Disp: 64 * j} }
	in := func(i, j int) vec {
		v := s.vec()
		switch i {
		case 0:
			VPMOVZXBW(Mem{Base: a, Disp: 64 * j}, v)
		case 3:
			VPMOVZXBW(Mem{Base: a3, Disp: 64 * j}, v)
		default:
			VPMOVZXBW(at(i, j), v)
		}
		return v
	}
	// column j down: the differences and the sum of Lavin and Gray's B.
	down := func(i, j int) vec {
		k := [4][2]int{{0, 2}, {1, 2}, {2, 1}, {1, 3}}[i]
		x, y := in(k[0], j), in(k[1], j)
		if i == 1 {
			VPADDW(y, x, x)
		} else {
			VPSUBW(y, x, x)
		}
		return x
	}
	Label("t")
	MOVQ(src, a)
	ADDQ(Mem{Base: tiles}, a)
	LEAQ(Mem{Base: a, Index: r3, Scale: 1}, a3)
	var t [4][3]vec
	for j := range 3 {
		d := [4]vec{in(0, j), in(1, j), in(2, j), in(3, j)}
		for i := range t {
			t[i][j] = s.vec()
		}
		VPSUBW(d[2], d[0], t[0][j])
		VPADDW(d[2], d[1], t[1][j])
		VPSUBW(d[1], d[2], t[2][j])
		VPSUBW(d[3], d[1], t[3][j])
	}
	to, to3 := GP64(), GP64()
	MOVQ(dst, to)
	for i := range t {
		LEAQ(Mem{Base: to, Index: ps3, Scale: 1}, to3)
		x := down(i, 3)
		VPSUBW(x, t[i][1], x)
		VMOVDQU(x, Mem{Base: to3})
		VPSUBW(t[i][2], t[i][0], t[i][0])
		VMOVDQU(t[i][0], Mem{Base: to})
		VPADDW(t[i][2], t[i][1], x)
		VMOVDQU(x, Mem{Base: to, Index: ps, Scale: 1})
		VPSUBW(t[i][1], t[i][2], t[i][2])
		VMOVDQU(t[i][2], Mem{Base: to, Index: ps, Scale: 2})
		LEAQ(Mem{Base: to3, Index: ps, Scale: 1}, to)
	}
	ADDQ(Imm(64), dst)
	ADDQ(Imm(wTile), tiles)
	DECQ(nt)
	JNZ(LabelRef("t"))
	VZEROUPPER()
	RET()
}

// int16WinoOut: 16 points of 16 sums -> 2x2 pixels of 16 bytes: the sums are four times those of the direct product, exactly.
func int16WinoOut() {
	s := avx2
	text("winoOut8Y")
	p := arg()
	src, dst, tiles, nt, row, ps := load(p, wSrc), load(p, wDst), load(p, wTiles), load(p, wNt), load(p, wRow), load(p, wPs)
	ps3, a, a3, t, scale, bias := GP64(), GP64(), GP64(), GP64(), load(p, wScale), load(p, wBias)
	LEAQ(Mem{Base: ps, Index: ps, Scale: 2}, ps3)
	Label("t")
	for h := range 2 {
		tag := func(name string, i, j int) string { return fmt.Sprintf("%s%d%d%d", name, h, i, j) }
		across := func(m [4]vec) (y [2]vec) {
			VPADDD(m[1], m[0], m[0])
			VPADDD(m[2], m[0], m[0])
			VPSUBD(m[2], m[1], m[1])
			VPSUBD(m[3], m[1], m[1])
			return [2]vec{m[0], m[1]}
		}
		LEAQ(Mem{Base: src, Disp: 32 * h}, a)
		var z [4][2]vec
		for i := range z {
			LEAQ(Mem{Base: a, Index: ps3, Scale: 1}, a3)
			m := [4]vec{s.vec(), s.vec(), s.vec(), s.vec()}
			VMOVDQU(Mem{Base: a}, m[0])
			VMOVDQU(Mem{Base: a, Index: ps, Scale: 1}, m[1])
			VMOVDQU(Mem{Base: a, Index: ps, Scale: 2}, m[2])
			VMOVDQU(Mem{Base: a3}, m[3])
			z[i] = across(m)
			LEAQ(Mem{Base: a3, Index: ps, Scale: 1}, a)
		}
		var y [2][2]vec // [column][row]
		for j := range y {
			y[j] = across([4]vec{z[0][j], z[1][j], z[2][j], z[3][j]})
		}
		f, b, r, lo, hi, x, zero, rz := s.vec(), s.vec(), s.vec(), s.vec(), s.vec(), s.vec(), s.vec(), s.vec()
		VMOVUPS(Mem{Base: scale, Disp: 32 * h}, f)
		VMOVDQU(Mem{Base: bias, Disp: 32 * h}, b)
		VBROADCASTSS(Mem{Base: p, Disp: wRscale}, r)
		VBROADCASTSS(Mem{Base: p, Disp: wLo}, lo)
		VBROADCASTSS(Mem{Base: p, Disp: wHi}, hi)
		VPBROADCASTW(Mem{Base: p, Disp: wZero}, zero.AsX())
		VPBROADCASTD(Mem{Base: p, Disp: wRzero}, rz)
		for i := range 2 {
			CMPQ(Mem{Base: tiles, Disp: 24}, Imm(uint64(i)))
			JLE(LabelRef(fmt.Sprint("rows", h)))
			for j := range 2 {
				CMPQ(Mem{Base: tiles, Disp: 32}, Imm(uint64(j)))
				JLE(LabelRef(tag("next", i, j)))
				v := y[j][i]
				VPSRAD(Imm(2), v, v)
				VPADDD(b, v, v)
				VCVTDQ2PS(v, v)
				VMULPS(f, v, v)
				MOVQ(Mem{Base: p, Disp: wRes}, t)
				TESTQ(t, t)
				JZ(LabelRef(tag("nores", i, j)))
				ADDQ(Mem{Base: tiles, Disp: 16}, t)
				if i == 1 {
					ADDQ(Mem{Base: p, Disp: wRrow}, t)
				}
				VPMOVZXBD(Mem{Base: t, Disp: 64*j + 8*h}, x)
				VPSUBD(rz, x, x)
				VCVTDQ2PS(x, x)
				VFMADD231PS(x, r, v)
				Label(tag("nores", i, j))
				VMAXPS(v, lo, v)
				VMINPS(v, hi, v)
				VCVTPS2DQ(v, v)
				VEXTRACTI128(Imm(1), v, x.AsX())
				VPACKSSDW(x.AsX(), v.AsX(), v.AsX())
				VPADDW(zero.AsX(), v.AsX(), v.AsX())
				VPACKUSWB(v.AsX(), v.AsX(), v.AsX())
				MOVQ(dst, t)
				ADDQ(Mem{Base: tiles, Disp: 8}, t)
				if i == 1 {
					ADDQ(row, t)
				}
				VMOVQ(v.AsX(), Mem{Base: t, Disp: 64*j + 8*h})
				Label(tag("next", i, j))
			}
		}
		Label(fmt.Sprint("rows", h))
	}
	ADDQ(Imm(64), src)
	ADDQ(Imm(wTile), tiles)
	DECQ(nt)
	JNZ(LabelRef("t"))
	VZEROUPPER()
	RET()
}
