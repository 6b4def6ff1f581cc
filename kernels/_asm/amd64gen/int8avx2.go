package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// int8AVX2Kernels: exact u8 x s8 products without VNNI. VPMADDUBSW would saturate, so bytes are split into even and odd 16-bit lanes
// and multiplied by weights that were widened to 16 bits when packed: two VPMADDWD a dword and vector.
func int8AVX2Kernels() {
	mask := GLOBL("lowBytes", RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U32(0x00ff00ff))
	}
	for mr := 1; mr <= 4; mr++ {
		int8AVX2(mr, mask)
	}
	for _, c := range []int{8, 4, 2, 1} {
		dwInt8AVX2(c)
	}
}

// int8AVX2: mr pixels x 16 outputs (2 accumulators a pixel); a step is 1 dword; a panel is [dword][even 16x2, odd 16x2] int16.
func int8AVX2(mr int, mask Mem) {
	s := avx2
	name := fmt.Sprintf("q%dx1Y", mr)
	text(name)
	inTable("int8Y", 5, mr, name)
	p := arg()
	tiles, step := load(p, fTiles), load(p, fPs)
	b, o, n, cnt, c := GP64(), GP64(), GP64(), GP64(), GP64()
	acc := make([][]vec, mr)
	for i := range acc {
		acc[i] = s.vecs(2)
	}
	w := s.vecs(4)
	e, d, m := s.vec(), s.vec(), s.vec()
	base := bases(mr)
	Label("tile")
	for i := range acc {
		s.zero(acc[i][0])
		s.zero(acc[i][1])
	}
	VMOVDQU(mask, m)
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
	for j := range w {
		VMOVDQU(Mem{Base: b, Disp: 32 * j}, w[j])
	}
	for i, at := range steps(base, step, mr, 0) {
		VPBROADCASTD(at, d)
		VPAND(m, d, e)
		VPSRLW(Imm(8), d, d)
		for h := range 2 {
			v := s.vec()
			VPMADDWD(w[h], e, v)
			VPADDD(v, acc[i][h], acc[i][h])
			v = s.vec()
			VPMADDWD(w[2+h], d, v)
			VPADDD(v, acc[i][h], acc[i][h])
		}
	}
	for _, r := range base {
		ADDQ(Imm(4), r)
	}
	ADDQ(U32(128), b)
	DECQ(cnt)
	JNZ(LabelRef("step"))
	ADDQ(Imm(16), o)
	DECQ(n)
	JNZ(LabelRef("group"))
	int8Store(p, tiles, o, n, c, acc)
	ADDQ(Imm(24), tiles)
	DECQ(Mem{Base: p, Disp: fNt})
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// int8Store turns sums of mr pixels x 16 outputs into bytes; o, n and c are free registers. The zero point is added to whole numbers: in floats it
// would move ties.
func int8Store(p, tiles, o, n, c gp, acc [][]vec) {
	w := avx2.vecs(2)
	MOVQ(Mem{Base: p, Disp: fScale}, o)
	MOVQ(Mem{Base: p, Disp: fBias}, n)
	for h := range 2 {
		VMOVUPS(Mem{Base: o, Disp: 32 * h}, w[0])
		VMOVDQU(Mem{Base: n, Disp: 32 * h}, w[1])
		for i := range acc {
			VPADDD(w[1], acc[i][h], acc[i][h])
			VCVTDQ2PS(acc[i][h], acc[i][h])
			VMULPS(w[0], acc[i][h], acc[i][h])
		}
	}
	t := c
	MOVQ(Mem{Base: p, Disp: fRes}, t)
	TESTQ(t, t)
	JZ(LabelRef("act"))
	ADDQ(Mem{Base: tiles, Disp: 16}, t)
	VBROADCASTSS(Mem{Base: p, Disp: fRscale}, w[0])
	z := avx2.vec()
	VPBROADCASTD(Mem{Base: p, Disp: fRzero}, z)
	for i := range acc {
		for h := range 2 {
			VPMOVZXBD(Mem{Base: t, Disp: i*64 + 8*h}, w[1])
			VPSUBD(z, w[1], w[1])
			VCVTDQ2PS(w[1], w[1])
			VFMADD231PS(w[1], w[0], acc[i][h])
		}
	}
	Label("act")
	VBROADCASTSS(Mem{Base: p, Disp: fLo}, w[0])
	VBROADCASTSS(Mem{Base: p, Disp: fHi}, w[1])
	VPBROADCASTW(Mem{Base: p, Disp: fZero}, z)
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
		VPADDW(z, a[0], a[0])
		VPERMQ(Imm(0xd8), a[0], a[0])
		VEXTRACTI128(Imm(1), a[0], a[1].AsX())
		VPACKUSWB(a[1].AsX(), a[0].AsX(), a[0].AsX())
		VMOVDQU(a[0].AsX(), Mem{Base: c, Disp: i * 64})
	}
}
