package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Byte offsets of the fields of dwArgs (conv/depthwise.go).
const (
	dSrc, dDst, dW, dBias, dIrow, dOrow, dNt, dNr = 0, 8, 16, 24, 32, 40, 48, 56
	dAct, dLo, dHi                                = 64, 72, 76
	dTaps, dNk, dRes, dRrow, dPs, dCur            = 80, 88, 96, 104, 112, 128
)

var dwAct = actArgs{dAct, dLo, dHi}

func dwKernels(s isa) {
	declareConsts("dw"+s.suffix, append(sigmoidConsts(), expConsts()...)...)
	if s == avx512 {
		for c := 1; c <= 7; c++ {
			dw3(s, 2, c, 1)
			dw3(s, 1, c, 1)
			dw3(s, 1, c, 2)
		}
	}
	widths := []int{8, 4, 2, 1}
	for _, c := range widths {
		dwAny(s, c)
	}
	// actSpan applies codes 3 to 7 in place to dNt lines at dDst.
	text("actSpan" + s.suffix)
	p := arg()
	n := load(p, dNt)
	if s == avx2 {
		ADDQ(n, n) // vectors
	}
	actLoop(s, p, dwAct, "", load(p, dAct), load(p, dDst), n)
	VZEROUPPER()
	RET()
}

// dw3 emits the depthwise 3x3 kernel: nr groups of r rows, nt tiles of c columns each; every input vector is loaded once a tile
// and used for up to nine outputs. 9 weights, bias, lo, hi, 2 inputs and r*c accumulators are registers.
func dw3(s isa, r, c, st int) {
	name := fmt.Sprintf("dw%dx%ds%d%s", r, c, st, s.suffix)
	text(name)
	inTable(fmt.Sprintf("dw%ds%d%s", r, st, s.suffix), 8, c, name)
	p := arg()
	srcRow, dstRow, irow, orow, nr := load(p, dSrc), load(p, dDst), load(p, dIrow), load(p, dOrow), load(p, dNr)
	t := load(p, dW)
	w := s.vecs(9)
	for i := range w {
		VMOVUPS(Mem{Base: t, Disp: i * 64}, w[i])
	}
	bias, lo, hi := s.vec(), s.vec(), s.vec()
	MOVQ(Mem{Base: p, Disp: dBias}, t)
	VMOVUPS(Mem{Base: t}, bias)
	src, dst, nt, a := GP64(), GP64(), GP64(), GP64()
	acc := make([][]vec, r)
	var all []vec
	for i := range acc {
		acc[i] = s.vecs(c)
		all = append(all, acc[i]...)
	}
	x := s.vecs(2)
	Label("row")
	MOVQ(srcRow, src)
	MOVQ(dstRow, dst)
	MOVQ(Mem{Base: p, Disp: dNt}, nt)
	Label("tile")
	MOVQ(src, a)
	for _, v := range all {
		VMOVAPS(bias, v)
	}
	n := 0
	for i := 0; i < (r-1)*st+3; i++ {
		for j := 0; j < (c-1)*st+3; j++ {
			v := x[n%2]
			n++
			VMOVUPS(Mem{Base: a, Disp: j * 64}, v)
			for ky := range 3 {
				for kx := range 3 {
					y, z := i-ky, j-kx
					if y >= 0 && z >= 0 && y%st == 0 && z%st == 0 && y/st < r && z/st < c {
						VFMADD231PS(v, w[ky*3+kx], acc[y/st][z/st])
					}
				}
			}
		}
		ADDQ(irow, a)
	}
	maxMin(p, dwAct, "", t, all, lo, hi)
	MOVQ(dst, a)
	for i := range acc {
		for j := range acc[i] {
			VMOVUPS(acc[i][j], Mem{Base: a, Disp: j * 64})
		}
		ADDQ(orow, a)
	}
	CMPQ(t, Imm(actClamp))
	JLE(LabelRef("next"))
	q := GP64()
	MOVQ(dst, a)
	rows := GP64()
	MOVQ(U32(uint32(r)), rows)
	Label("actrow")
	MOVQ(a, q)
	actLines(s, p, dwAct, "", t, q, c)
	ADDQ(orow, a)
	DECQ(rows)
	JNZ(LabelRef("actrow"))
	Label("next")
	ADDQ(U32(uint32(c*st*64)), src)
	ADDQ(U32(uint32(c*64)), dst)
	DECQ(nt)
	JNZ(LabelRef("tile"))
	for range r {
		ADDQ(orow, dstRow)
		for range st {
			ADDQ(irow, srcRow)
		}
	}
	DECQ(nr)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// dwAny emits the depthwise kernel for any taps, stride and dilation: nr rows of nt tiles of c columns; taps are byte offsets, one
// line of weights each; the inputs are memory operands of the FMA, so that load and FMA pipes are used alike. AVX2 runs it
// twice, for each half of the line (the driver moves the pointers).
func dwAny(s isa, c int) {
	name := fmt.Sprintf("dwAny%d%s", c, s.suffix)
	text(name)
	inTable("dwAny"+s.suffix, 9, c, name)
	p := arg()
	ps := load(p, dPs)
	src, dst, res, nt, w, taps, n := GP64(), GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	acc := s.vecs(c)
	wv, lo, hi := s.vec(), s.vec(), s.vec()
	base := bases(c)
	t := GP64()
	for i, f := range []int{dSrc, dDst, dRes} { // the row pointers stay in the argument block: there are no registers left
		MOVQ(Mem{Base: p, Disp: f}, t)
		MOVQ(t, Mem{Base: p, Disp: dCur + 8*i})
	}
	Label("row")
	MOVQ(Mem{Base: p, Disp: dCur}, src)
	MOVQ(Mem{Base: p, Disp: dCur + 8}, dst)
	MOVQ(Mem{Base: p, Disp: dCur + 16}, res)
	MOVQ(Mem{Base: p, Disp: dNt}, nt)
	Label("tile")
	MOVQ(Mem{Base: p, Disp: dBias}, t)
	for _, v := range acc {
		VMOVUPS(Mem{Base: t}, v)
	}
	MOVQ(Mem{Base: p, Disp: dW}, w)
	MOVQ(Mem{Base: p, Disp: dTaps}, taps)
	MOVQ(Mem{Base: p, Disp: dNk}, n)
	Label("tap")
	MOVQ(src, base[0])
	ADDQ(Mem{Base: taps}, base[0])
	chain(base, ps)
	VMOVUPS(Mem{Base: w}, wv)
	for i, m := range steps(base, ps, c, 0) {
		VFMADD231PS(m, wv, acc[i])
	}
	ADDQ(Imm(8), taps)
	ADDQ(Imm(64), w)
	DECQ(n)
	JNZ(LabelRef("tap"))
	TESTQ(res, res)
	JZ(LabelRef("act"))
	for i, v := range acc {
		VADDPS(Mem{Base: res, Disp: i * 64}, v, v)
	}
	ADDQ(U32(uint32(c*64)), res)
	Label("act")
	maxMin(p, dwAct, "", t, acc, lo, hi)
	for i, v := range acc {
		VMOVUPS(v, Mem{Base: dst, Disp: i * 64})
	}
	if s == avx512 { // AVX2 sees half of each line here: its driver applies other activations when both halves are there
		CMPQ(t, Imm(actClamp))
		JLE(LabelRef("next"))
		MOVQ(dst, w)
		actLines(s, p, dwAct, "", t, w, c)
		Label("next")
	}
	IMUL3Q(U32(uint32(c)), ps, t)
	ADDQ(t, src)
	ADDQ(U32(uint32(c*64)), dst)
	DECQ(nt)
	JNZ(LabelRef("tile"))
	MOVQ(Mem{Base: p, Disp: dIrow}, t)
	ADDQ(t, Mem{Base: p, Disp: dCur})
	MOVQ(Mem{Base: p, Disp: dOrow}, t)
	ADDQ(t, Mem{Base: p, Disp: dCur + 8})
	MOVQ(Mem{Base: p, Disp: dRrow}, t) // 0 without a residual
	ADDQ(t, Mem{Base: p, Disp: dCur + 16})
	DECQ(Mem{Base: p, Disp: dNr})
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}
