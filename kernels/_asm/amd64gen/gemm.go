package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Byte offsets of the fields of gargs (gemm/gemm.go; a test there compares them).
const (
	gA, gB, gC, gBias, gK, gRs, gCs, gLdc, gNt = 0, 8, 16, 24, 32, 40, 48, 56, 64
	gAct, gLo, gHi, gAcc, gCur, gMask          = 72, 80, 84, 88, 96, 112
	gLive                                      = 192
)

func gemmKernels(s isa) {
	nb, top := 2, 14
	if s == avx2 {
		nb, top = 1, 6
	}
	for mr := 1; mr <= top; mr++ {
		gemm(s, mr, nb, false)
	}
}

// gemm8Kernels are the products of u8 by s8 with exact 32-bit sums.
func gemm8Kernels() {
	for mr := 1; mr <= 14; mr++ {
		gemm(avx512, mr, 2, true)
	}
}

// gemm emits a micro-kernel: nt tiles of mr rows x nb*16 columns, C = act(A*B + bias (+ C)). A is read in place with two strides, so
// that a transposed A costs nothing; B is a packed panel [k][nb*16]; columns beyond the matrix are masked. The accumulators
// start from zero, or from the bias; per k: nb loads, mr broadcasts, mr*nb FMA.
// q: A is u8, B s8 in groups of four k ([k/4][nb*16][4]), C and bias are int32; no activation.
func gemm(s isa, mr, nb int, q bool) {
	kind := "g"
	if q {
		kind = "q"
	}
	name := fmt.Sprintf("%s%dx%d%s", kind, mr, nb, s.suffix)
	text(name)
	inTable(kind+"emm"+s.suffix, 15, mr, name)
	p := arg()
	nv := nb * s.perLine()
	acc := make([][]vec, mr)
	var all []vec
	for i := range acc {
		acc[i] = s.vecs(nv)
		all = append(all, acc[i]...)
	}
	bv, x := s.vecs(nv), s.vecs(2)
	base := bases(mr)
	rs, cs, b, n, t, c := load(p, gRs), load(p, gCs), GP64(), GP64(), GP64(), GP64()
	var masks []reg.OpmaskVirtual
	if s == avx512 {
		for j := range nv {
			k := K()
			KMOVW(Mem{Base: p, Disp: gMask + 4*j}, k)
			masks = append(masks, k)
		}
	}
	fetch := func(m Mem, j int, v vec) { // zero where the mask is off
		if s == avx512 {
			if q {
				VMOVDQU32_Z(m, masks[j], v)
			} else {
				VMOVUPS_Z(m, masks[j], v)
			}
			return
		}
		VMOVUPS(Mem{Base: p, Disp: gMask + 32*j}, v)
		VMASKMOVPS(m, v, v)
	}
	for i, f := range []int{gA, gC} {
		MOVQ(Mem{Base: p, Disp: f}, t)
		MOVQ(t, Mem{Base: p, Disp: gCur + 8*i})
	}
	Label("tile")
	MOVQ(Mem{Base: p, Disp: gBias}, t)
	TESTQ(t, t)
	JNZ(LabelRef("bias"))
	for _, v := range all {
		s.zero(v)
	}
	JMP(LabelRef("begin"))
	Label("bias")
	for j := range nv {
		fetch(Mem{Base: t, Disp: j * s.bytes}, j, acc[0][j])
		for i := 1; i < mr; i++ {
			VMOVAPS(acc[0][j], acc[i][j])
		}
	}
	Label("begin")
	MOVQ(Mem{Base: p, Disp: gCur}, base[0])
	chain(base, rs)
	MOVQ(Mem{Base: p, Disp: gB}, b)
	MOVQ(Mem{Base: p, Disp: gK}, n)
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("k")
	PREFETCHT0(Mem{Base: b, Disp: 1024})
	for j := range bv {
		VMOVUPS(Mem{Base: b, Disp: j * s.bytes}, bv[j])
	}
	for i, m := range steps(base, rs, mr, 0) {
		if q {
			VPBROADCASTD(m, x[i%2])
		} else {
			VBROADCASTSS(m, x[i%2])
		}
		for j := range bv {
			if q {
				VPDPBUSD(bv[j], x[i%2], acc[i][j])
			} else {
				VFMADD231PS(bv[j], x[i%2], acc[i][j])
			}
		}
	}
	for _, r := range base {
		ADDQ(cs, r)
	}
	ADDQ(U32(uint32(nb*64)), b)
	DECQ(n)
	JNZ(LabelRef("k"))
	Label("done")
	// n, b and the bases are free: rows of C
	each := func(f func(m Mem, i, j int)) {
		MOVQ(Mem{Base: p, Disp: gCur + 8}, c)
		MOVQ(Mem{Base: p, Disp: gLdc}, n)
		for i := range mr {
			for j := range nv {
				f(Mem{Base: c, Disp: j * s.bytes}, i, j)
			}
			if i+1 < mr {
				ADDQ(n, c)
			}
		}
	}
	MOVQ(Mem{Base: p, Disp: gAcc}, t)
	TESTQ(t, t)
	JZ(LabelRef("act"))
	each(func(m Mem, i, j int) {
		fetch(m, j, x[0])
		if q {
			VPADDD(x[0], acc[i][j], acc[i][j])
		} else {
			VADDPS(x[0], acc[i][j], acc[i][j])
		}
	})
	Label("act")
	if !q {
		maxMin(p, actArgs{gAct, gLo, gHi}, "", t, all, x[0], x[1])
	}
	if s == avx2 {
		// Masked stores are microcode on some processors (Zen: a dozen cycles each): only the last columns need them.
		CMPQ(Mem{Base: p, Disp: gLive}, Imm(uint64(nb*16)))
		JL(LabelRef("part"))
		each(func(m Mem, i, j int) { VMOVUPS(acc[i][j], m) })
		JMP(LabelRef("stored"))
		Label("part")
		for j := range nv {
			VMOVUPS(Mem{Base: p, Disp: gMask + 32*j}, bv[j])
		}
	}
	each(func(m Mem, i, j int) {
		switch {
		case s == avx2:
			VMASKMOVPS(acc[i][j], bv[j], m)
		case q:
			VMOVDQU32(acc[i][j], masks[j], m)
		default:
			VMOVUPS(acc[i][j], masks[j], m)
		}
	})
	if s == avx2 {
		Label("stored")
	}
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
