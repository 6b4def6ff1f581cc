package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// gemm8AVX2Kernels are the products of u8 by s8 without VNNI, exact.
func gemm8AVX2Kernels() {
	for mr := 1; mr <= 2; mr++ {
		gemm8AVX2(mr)
	}
}

// gemm8AVX2: mr rows x 16 columns of sums in int32, as gemm's q form. Weights stay bytes in memory, which bounds products of few rows: a step
// loads [16 columns][4 k], widens four columns at a time and multiplies by four words of A in turn; two sums a column are added at the end.
func gemm8AVX2(mr int) {
	s := avx2
	name := fmt.Sprintf("q%dgY", mr)
	text(name)
	inTable("qemmY", 15, mr, name)
	p := arg()
	acc := make([][]vec, mr)
	for i := range acc {
		acc[i] = s.vecs(4)
	}
	rs, cs, b, n, t, c := load(p, gRs), load(p, gCs), GP64(), GP64(), GP64(), GP64()
	base := bases(mr)
	for i, f := range []int{gA, gC} {
		MOVQ(Mem{Base: p, Disp: f}, t)
		MOVQ(t, Mem{Base: p, Disp: gCur + 8*i})
	}
	Label("tile")
	for i := range acc {
		for _, v := range acc[i] {
			s.zero(v)
		}
	}
	MOVQ(Mem{Base: p, Disp: gCur}, base[0])
	chain(base, rs)
	MOVQ(Mem{Base: p, Disp: gB}, b)
	MOVQ(Mem{Base: p, Disp: gK}, n)
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("k")
	PREFETCHT0(Mem{Base: b, Disp: 1024})
	x := s.vecs(mr)
	for i, m := range steps(base, rs, mr, 0) {
		VPBROADCASTD(m, x[i].AsX())
		VPMOVZXBW(x[i].AsX(), x[i])
	}
	for j := range 4 {
		w := s.vec()
		VPMOVSXBW(Mem{Base: b, Disp: 16 * j}, w)
		for i := range acc {
			v := s.vec()
			VPMADDWD(w, x[i], v)
			VPADDD(v, acc[i][j], acc[i][j])
		}
	}
	for _, r := range base {
		ADDQ(cs, r)
	}
	ADDQ(Imm(64), b)
	DECQ(n)
	JNZ(LabelRef("k"))
	Label("done")
	for i := range acc { // pairs of sums, in the order of the columns
		for h := range 2 {
			v := acc[i][2*h]
			VPHADDD(acc[i][2*h+1], v, v)
			VPERMQ(Imm(0xd8), v, v)
		}
	}
	each := func(f func(m Mem, v vec, h int)) {
		MOVQ(Mem{Base: p, Disp: gCur + 8}, c)
		MOVQ(Mem{Base: p, Disp: gLdc}, n)
		for i := range mr {
			for h := range 2 {
				f(Mem{Base: c, Disp: 32 * h}, acc[i][2*h], h)
			}
			if i+1 < mr {
				ADDQ(n, c)
			}
		}
	}
	masks, y := s.vecs(2), s.vec()
	for h, m := range masks {
		VMOVDQU(Mem{Base: p, Disp: gMask + 32*h}, m)
	}
	MOVQ(Mem{Base: p, Disp: gBias}, t)
	TESTQ(t, t)
	JZ(LabelRef("nobias"))
	for h, m := range masks {
		VPMASKMOVD(Mem{Base: t, Disp: 32 * h}, m, y)
		for i := range acc {
			VPADDD(y, acc[i][2*h], acc[i][2*h])
		}
	}
	Label("nobias")
	MOVQ(Mem{Base: p, Disp: gAcc}, t)
	TESTQ(t, t)
	JZ(LabelRef("store"))
	each(func(m Mem, v vec, h int) {
		VPMASKMOVD(m, masks[h], y)
		VPADDD(y, v, v)
	})
	Label("store")
	CMPQ(Mem{Base: p, Disp: gLive}, Imm(16))
	JL(LabelRef("part"))
	each(func(m Mem, v vec, h int) { VMOVDQU(v, m) })
	JMP(LabelRef("stored"))
	Label("part")
	each(func(m Mem, v vec, h int) { VPMASKMOVD(v, masks[h], m) })
	Label("stored")
	MOVQ(rs, t)
	IMUL3Q(U32(uint32(mr)), t, t)
	ADDQ(t, Mem{Base: p, Disp: gCur})
	MOVQ(Mem{Base: p, Disp: gLdc}, t)
	IMUL3Q(U32(uint32(mr)), t, t)
	ADDQ(t, Mem{Base: p, Disp: gCur + 8})
	DECQ(Mem{Base: p, Disp: gNt})
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}
