package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

func vnniKernels() {
	declarePerm()
	for mr := 1; mr <= 14; mr++ {
		vnni("s1", mr, 2, 64, 8, 14)
		vnni("s2", mr, 2, 128, 8, 14)
	}
	for mr := 1; mr <= 7; mr++ {
		vnni("s1", mr, 4, 64, 12, 7)
		vnni("s2", mr, 4, 128, 12, 7)
		vnni("any", mr, 4, 0, 1, 7)
	}
	for _, mr := range []int{14, 8, 4, 2, 1} {
		vnni("any", mr, 2, 0, 1, 14)
	}
	for _, c := range []int{8, 4, 2, 1} {
		dwVNNI(c)
	}
}

var packPerm Mem

// declarePerm: packs work in 128-bit lanes; dword 4*lane+v of the result holds channels 4*lane.. of vector v.
func declarePerm() {
	packPerm = GLOBL("packPerm", RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(uint32(i%4*4+i/4)))
	}
}

// vnni is conv with four u8 x s8 products where conv has one, and requantisation in the store:
// y = (acc + bias)*scale (+ (res - rzero)*rscale), clamped to lo..hi, rounded to even, + zero. A pixel line holds 64 channels; nb = 4 writes
// a whole line, nb = 2 half of one. A step is 4 dwords (any: 1 dword).
func vnni(variant string, mr, nb, ps, npf, size int) {
	s := avx512
	name := fmt.Sprintf("q%dx%d%s", mr, nb, variant)
	text(name)
	inTable(fmt.Sprintf("vnni%d%s", nb, variant), size+1, mr, name)
	p := arg()
	acc := make([][]vec, mr)
	var all []vec
	for i := range acc {
		acc[i] = s.vecs(nb)
		all = append(all, acc[i]...)
	}
	bv, x := s.vecs(min(nb, 3)), ZMM()
	tiles, pf := load(p, fTiles), load(p, fPf)
	b, o, n, cnt, t, c := GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	mid, unroll := 0, 4
	if ps == 64 && mr > 7 {
		mid = 448
	}
	base := []gp{GP64()}
	var step gp
	if ps == 0 {
		unroll, base, step = 1, bases(mr), load(p, fPs)
	}
	Label("tile")
	MOVQ(Mem{Base: p, Disp: fRes}, c)
	TESTQ(c, c)
	JZ(LabelRef("nores"))
	ADDQ(Mem{Base: tiles, Disp: 16}, c)
	for i := range mr {
		PREFETCHT0(Mem{Base: c, Disp: i * 64})
	}
	Label("nores")
	MOVQ(Mem{Base: p, Disp: fC}, c)
	ADDQ(Mem{Base: tiles, Disp: 8}, c)
	for i := range mr {
		PREFETCHT0(Mem{Base: c, Disp: i * 64})
	}
	for _, v := range all {
		s.zero(v)
	}
	MOVQ(Mem{Base: p, Disp: fB}, b)
	MOVQ(Mem{Base: p, Disp: fGroups}, o)
	MOVQ(Mem{Base: p, Disp: fNk}, n)
	Label("group")
	MOVQ(Mem{Base: p, Disp: fA}, base[0])
	ADDQ(Mem{Base: tiles}, base[0])
	ADDQ(Mem{Base: o}, base[0])
	MOVQ(Mem{Base: o, Disp: 8}, cnt)
	if mid != 0 {
		ADDQ(U32(uint32(mid)), base[0])
	}
	if ps == 0 {
		chain(base, step)
	}
	Label("step")
	for u := range unroll {
		for q := u * npf / unroll; q < (u+1)*npf/unroll; q++ {
			PREFETCHT1(Mem{Base: pf, Disp: q * 64})
		}
		for j := range bv {
			VMOVDQU32(Mem{Base: b, Disp: (u*nb + j) * 64}, bv[j])
		}
		var at []Mem
		if ps == 0 {
			at = steps(base, step, mr, 0)
		}
		for i := range mr {
			m := Mem{Base: base[0], Disp: i*ps + u*4 - mid}
			if ps == 0 {
				m = at[i]
			}
			VPBROADCASTD(m, x)
			for j := range nb {
				if j < len(bv) {
					VPDPBUSD(bv[j], x, acc[i][j])
				} else {
					VPDPBUSD(Mem{Base: b, Disp: (u*nb + j) * 64}, x, acc[i][j])
				}
			}
		}
	}
	ADDQ(Mem{Base: p, Disp: fPfStep}, pf)
	for _, r := range base {
		ADDQ(Imm(uint64(4*unroll)), r)
	}
	ADDQ(U32(uint32(unroll*nb*64)), b)
	DECQ(cnt)
	JNZ(LabelRef("step"))
	ADDQ(Imm(16), o)
	DECQ(n)
	JNZ(LabelRef("group"))

	MOVQ(Mem{Base: p, Disp: fScale}, o)
	MOVQ(Mem{Base: p, Disp: fBias}, n)
	for j := range nb {
		VMOVUPS(Mem{Base: o, Disp: j * 64}, bv[0])
		VMOVDQU32(Mem{Base: n, Disp: j * 64}, x)
		for i := range mr {
			VPADDD(x, acc[i][j], acc[i][j])
			VCVTDQ2PS(acc[i][j], acc[i][j])
			VMULPS(bv[0], acc[i][j], acc[i][j])
		}
	}
	z := s.vec()
	if nb == 4 {
		z = bv[2]
	}
	MOVQ(Mem{Base: p, Disp: fRes}, o)
	TESTQ(o, o)
	JZ(LabelRef("act"))
	ADDQ(Mem{Base: tiles, Disp: 16}, o)
	VBROADCASTSS(Mem{Base: p, Disp: fRscale}, x)
	VPBROADCASTD(Mem{Base: p, Disp: fRzero}, z)
	for i := range mr {
		for j := range nb {
			r := bv[j%2]
			VPMOVZXBD(Mem{Base: o, Disp: i*64 + j*16}, r)
			VPSUBD(z, r, r)
			VCVTDQ2PS(r, r)
			VFMADD231PS(r, x, acc[i][j])
		}
	}
	Label("act")
	VBROADCASTSS(Mem{Base: p, Disp: fLo}, bv[0])
	VBROADCASTSS(Mem{Base: p, Disp: fHi}, bv[1])
	for _, v := range all {
		VMAXPS(v, bv[0], v)
		VMINPS(v, bv[1], v)
		VCVTPS2DQ(v, v)
	}
	if nb == 4 {
		VMOVDQU32(packPerm, x)
		VPBROADCASTW(Mem{Base: p, Disp: fZero}, z)
	} else {
		VPBROADCASTD(Mem{Base: p, Disp: fZero}, z)
	}
	for i := range mr {
		a := acc[i]
		if nb == 4 {
			VPACKSSDW(a[1], a[0], a[0])
			VPACKSSDW(a[3], a[2], a[2])
			VPADDW(z, a[0], a[0])
			VPADDW(z, a[2], a[2])
			VPACKUSWB(a[2], a[0], a[0])
			VPERMD(a[0], x, a[0])
			VMOVDQU32(a[0], Mem{Base: c, Disp: i * 64})
			continue
		}
		for j := range nb { // lo + zero >= 0, so the unsigned saturation is right
			VPADDD(z, a[j], a[j])
			VPMOVUSDB(a[j], Mem{Base: c, Disp: i*64 + j*16})
		}
	}
	_ = t
	ADDQ(Imm(24), tiles)
	DECQ(Mem{Base: p, Disp: fNt})
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// dwVNNI is the 8-bit depthwise kernel for any taps: 16 channels (a quarter line), c columns, weights one dword a channel and tap.
// VPDPWSSD on zero-extended bytes is an exact 32-bit product. It takes a kargs: groups are the taps, nt the tiles, nk the number of
// taps; a whole row is one tile entry with mr = tiles of c columns in rblk.
func dwVNNI(c int) {
	name := fmt.Sprintf("qdw%d", c)
	text(name)
	inTable("vnniDW", 9, c, name)
	s := avx512
	p := arg()
	tiles, ps := load(p, fTiles), load(p, fPs)
	src, dst, nt, w, o, n, t := GP64(), GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	acc := s.vecs(c)
	wv, x, y, z := ZMM(), s.vecs(2), ZMM(), ZMM()
	base := bases(c)
	Label("row")
	MOVQ(Mem{Base: p, Disp: fA}, src)
	ADDQ(Mem{Base: tiles}, src)
	MOVQ(Mem{Base: p, Disp: fC}, dst)
	ADDQ(Mem{Base: tiles, Disp: 8}, dst)
	MOVQ(Mem{Base: p, Disp: fRblk}, nt)
	Label("tile")
	for _, v := range acc {
		s.zero(v)
	}
	MOVQ(Mem{Base: p, Disp: fB}, w)
	MOVQ(Mem{Base: p, Disp: fGroups}, o)
	MOVQ(Mem{Base: p, Disp: fNk}, n)
	Label("tap")
	MOVQ(src, base[0])
	ADDQ(Mem{Base: o}, base[0])
	chain(base, ps)
	VMOVDQU32(Mem{Base: w}, wv)
	for i, m := range steps(base, ps, c, 0) {
		VPMOVZXBD(m, x[i%2])
		VPDPWSSD(wv, x[i%2], acc[i])
	}
	ADDQ(Imm(16), o)
	ADDQ(Imm(64), w)
	DECQ(n)
	JNZ(LabelRef("tap"))
	MOVQ(Mem{Base: p, Disp: fScale}, t)
	VMOVUPS(Mem{Base: t}, wv)
	MOVQ(Mem{Base: p, Disp: fBias}, t)
	VMOVDQU32(Mem{Base: t}, y)
	VPBROADCASTD(Mem{Base: p, Disp: fZero}, z)
	VBROADCASTSS(Mem{Base: p, Disp: fLo}, x[0])
	VBROADCASTSS(Mem{Base: p, Disp: fHi}, x[1])
	for i, v := range acc {
		VPADDD(y, v, v)
		VCVTDQ2PS(v, v)
		VMULPS(wv, v, v)
		VMAXPS(v, x[0], v)
		VMINPS(v, x[1], v)
		VCVTPS2DQ(v, v)
		VPADDD(z, v, v)
		VPMOVUSDB(v, Mem{Base: dst, Disp: i * 64})
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
