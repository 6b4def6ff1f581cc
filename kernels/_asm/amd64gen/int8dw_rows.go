package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// dwRowKernels are depthwise windows of 3x3 and 5x5 with stride 1 over bytes without VNNI, two rows of the output at a time.
func dwRowKernels() {
	for _, k := range []int{3, 5} {
		for rows := 1; rows <= 2; rows++ {
			dwRows(k, rows)
		}
	}
}

// dwRows: a tile is one or two rows of the output, 8 channels of it; rblk pixels, ps and gap bytes from row to row of input and output. Bytes of
// two rows of the input, next to each other as words, are pairs for VPMADDWD that both rows of the output use with weights of their own:
// [column of the window][pair][row of the output][8 channels][2] int16. Every column of the input is read once: it adds to the sums of as
// many outputs as the window has columns, which take turns in the registers.
func dwRows(k, rows int) {
	s := avx2
	name := fmt.Sprintf("qdwr%dx%dY", k, rows)
	text(name)
	inTable(fmt.Sprintf("int8DWRows%d", k), 5, rows, name)
	p := arg()
	tiles, w, step, left, scale, bias, dst, dst2 := load(p, fTiles), load(p, fB), load(p, fPs), GP64(), load(p, fScale), load(p, fBias), GP64(), GP64()
	in := bases(k + rows - 1)
	acc := make([][]vec, k) // by turn, then row of the output
	for i := range acc {
		acc[i] = s.vecs(rows)
	}
	z, lo, hi := s.vec(), s.vec(), s.vec()
	VPBROADCASTW(Mem{Base: p, Disp: fZero}, z)
	VBROADCASTSS(Mem{Base: p, Disp: fLo}, lo)
	VBROADCASTSS(Mem{Base: p, Disp: fHi}, hi)
	pairs := (k + 1) / 2
	// column adds a column of the input in turn t; have is the number of outputs that it belongs to.
	column := func(t, have int) {
		at := steps(in, step, k+rows-1, 0)
		for q := range pairs {
			x := s.vec()
			if 2*q+1 < len(at) {
				VMOVQ(at[2*q], x.AsX())
				y := XMM()
				VMOVQ(at[2*q+1], y)
				VPUNPCKLBW(y, x.AsX(), x.AsX())
				VPMOVZXBW(x.AsX(), x)
			} else {
				VPMOVZXBD(at[2*q], x)
			}
			for kx := range have {
				for r := range rows {
					a, m := acc[(t-kx+k)%k][r], Mem{Base: w, Disp: 32 * ((kx*pairs+q)*2 + r)}
					if kx == 0 && q == 0 {
						VPMADDWD(m, x, a)
						continue
					}
					v := s.vec()
					VPMADDWD(m, x, v)
					VPADDD(v, a, a)
				}
			}
		}
		for _, r := range in {
			ADDQ(Imm(64), r)
		}
	}
	store := func(a []vec) {
		for _, v := range a {
			VPADDD(Mem{Base: bias}, v, v)
			VCVTDQ2PS(v, v)
			VMULPS(Mem{Base: scale}, v, v)
			VMAXPS(v, lo, v)
			VMINPS(v, hi, v)
			VCVTPS2DQ(v, v)
		}
		v, x := a[0], XMM()
		VPACKSSDW(a[len(a)-1], v, v)
		VPADDW(z, v, v)
		VPACKUSWB(v, v, v)
		VEXTRACTI128(Imm(1), v, x)
		VPUNPCKLDQ(x, v.AsX(), v.AsX())
		VMOVQ(v.AsX(), Mem{Base: dst})
		ADDQ(Imm(64), dst)
		if len(a) > 1 {
			VMOVHPS(v.AsX(), Mem{Base: dst2})
			ADDQ(Imm(64), dst2)
		}
	}
	Label("tile")
	MOVQ(Mem{Base: p, Disp: fA}, in[0])
	ADDQ(Mem{Base: tiles}, in[0])
	chain(in, step)
	MOVQ(Mem{Base: p, Disp: fC}, dst)
	ADDQ(Mem{Base: tiles, Disp: 8}, dst)
	if rows > 1 {
		MOVQ(dst, dst2)
		ADDQ(Mem{Base: p, Disp: fGap}, dst2)
	}
	MOVQ(Mem{Base: p, Disp: fRblk}, left)
	for t := range k - 1 {
		column(t, t+1)
	}
	Label("columns")
	for i := range k {
		t := (k - 1 + i) % k
		column(t, k)
		store(acc[(t+1)%k])
		DECQ(left)
		if i < k-1 {
			JZ(LabelRef("done"))
		}
	}
	JNZ(LabelRef("columns"))
	Label("done")
	ADDQ(Imm(24), tiles)
	DECQ(Mem{Base: p, Disp: fNt})
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}
