package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Byte offsets of the fields of pargs (pool/pool.go).
const pSrc, pDst, pTaps, pNk, pNt, pPs, pScale = 0, 8, 16, 24, 32, 40, 48

func poolKernels(s isa) {
	for _, c := range []int{4, 1} {
		pool(s, "max", c)
		pool(s, "avg", c)
		pool(s, "max8", c)
	}
}

// pool: nt tiles of c outputs; taps are byte offsets. max starts from the first tap; avg multiplies the sum by pScale; max8 is the maximum of
// 64 bytes. A line is one ZMM or two YMM.
func pool(s isa, op string, c int) {
	name := fmt.Sprintf("%s%d%s", op, c, s.suffix)
	text(name)
	p := arg()
	src, dst, nt, ps := load(p, pSrc), load(p, pDst), load(p, pNt), load(p, pPs)
	taps, n, a := GP64(), GP64(), GP64()
	acc := s.vecs(c * s.perLine())
	sc := s.vec()
	if op == "avg" {
		VBROADCASTSS(Mem{Base: p, Disp: pScale}, sc)
	}
	at := func(j int) Mem {
		m := Mem{Base: a, Disp: j % s.perLine() * s.bytes}
		if i := j / s.perLine(); i > 0 && i < 3 {
			m.Index, m.Scale = ps, uint8(i)
		}
		return m
	}
	each := func(f func(v vec, m Mem)) {
		MOVQ(src, a)
		ADDQ(Mem{Base: taps}, a)
		for j, v := range acc {
			if j == 3*s.perLine() { // the fourth output
				ADDQ(ps, a)
				ADDQ(ps, a)
				ADDQ(ps, a)
			}
			m := at(j)
			if j >= 3*s.perLine() {
				m = Mem{Base: a, Disp: j % s.perLine() * s.bytes}
			}
			f(v, m)
		}
		ADDQ(Imm(8), taps)
	}
	Label("tile")
	MOVQ(Mem{Base: p, Disp: pTaps}, taps)
	MOVQ(Mem{Base: p, Disp: pNk}, n)
	each(func(v vec, m Mem) { VMOVUPS(m, v) })
	DECQ(n)
	JZ(LabelRef("done"))
	Label("tap")
	each(func(v vec, m Mem) {
		switch op {
		case "max":
			VMAXPS(m, v, v)
		case "avg":
			VADDPS(m, v, v)
		default:
			VPMAXUB(m, v, v)
		}
	})
	DECQ(n)
	JNZ(LabelRef("tap"))
	Label("done")
	for j, v := range acc {
		if op == "avg" {
			VMULPS(sc, v, v)
		}
		VMOVUPS(v, Mem{Base: dst, Disp: j * s.bytes})
	}
	IMUL3Q(U32(uint32(c)), ps, a)
	ADDQ(a, src)
	ADDQ(U32(uint32(c*64)), dst)
	DECQ(nt)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}
