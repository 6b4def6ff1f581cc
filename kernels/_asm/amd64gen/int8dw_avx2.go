package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// dwInt8AVX2 is dwVNNI for 8 channels a call: VPMADDWD on zero-extended bytes is an exact 32-bit product.
func dwInt8AVX2(c int) {
	name := fmt.Sprintf("qdw%dY", c)
	text(name)
	inTable("int8DWY", 9, c, name)
	s := avx2
	p := arg()
	tiles, ps := load(p, fTiles), load(p, fPs)
	src, dst, nt, w, o, n, t := GP64(), GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	acc := s.vecs(c)
	wv, x, y, lo, hi, z := s.vec(), s.vec(), s.vec(), s.vec(), s.vec(), s.vec()
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
	VMOVDQU(Mem{Base: w}, wv)
	for i, m := range steps(base, ps, c, 0) {
		VPMOVZXBD(m, x)
		VPMADDWD(wv, x, x)
		VPADDD(x, acc[i], acc[i])
	}
	ADDQ(Imm(16), o)
	ADDQ(Imm(64), w)
	DECQ(n)
	JNZ(LabelRef("tap"))
	MOVQ(Mem{Base: p, Disp: fScale}, t)
	VMOVUPS(Mem{Base: t}, wv)
	MOVQ(Mem{Base: p, Disp: fBias}, t)
	VMOVDQU(Mem{Base: t}, y)
	VBROADCASTSS(Mem{Base: p, Disp: fLo}, lo)
	VBROADCASTSS(Mem{Base: p, Disp: fHi}, hi)
	VPBROADCASTW(Mem{Base: p, Disp: fZero}, z)
	for i, v := range acc {
		VPADDD(y, v, v)
		VCVTDQ2PS(v, v)
		VMULPS(wv, v, v)
		VMAXPS(v, lo, v)
		VMINPS(v, hi, v)
		VCVTPS2DQ(v, v)
		VEXTRACTI128(Imm(1), v, x.AsX())
		VPACKSSDW(x.AsX(), v.AsX(), v.AsX())
		VPADDW(z.AsX(), v.AsX(), v.AsX())
		VPACKUSWB(v.AsX(), v.AsX(), v.AsX())
		VMOVQ(v.AsX(), Mem{Base: dst, Disp: i * 64})
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
