package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is what differs between the two vector widths. A line is 64 bytes: 16 floats, one ZMM or two YMM.
type isa struct {
	suffix string // of kernel names
	bytes  int    // of a vector
	regs   int    // vector registers
}

var (
	avx512 = isa{"Z", 64, 32}
	avx2   = isa{"Y", 32, 16}
)

type (
	vec = reg.VecVirtual
	gp  = reg.GPVirtual
)

func (s isa) vec() vec {
	if s.bytes == 64 {
		return ZMM()
	}
	return YMM()
}

func (s isa) vecs(n int) []vec {
	v := make([]vec, n)
	for i := range v {
		v[i] = s.vec()
	}
	return v
}

// perLine is the number of vectors in a 64-byte line.
func (s isa) perLine() int { return 64 / s.bytes }

func (s isa) zero(v vec) {
	if s.bytes == 64 {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
}

// round rounds to the nearest integer, ties to even.
func (s isa) round(src, dst vec) {
	if s.bytes == 64 {
		VRNDSCALEPS(Imm(0), src, dst)
	} else {
		VROUNDPS(Imm(0), src, dst)
	}
}

// load reads a pointer or integer of the argument block.
func load(p reg.Register, off int) gp {
	r := GP64()
	MOVQ(Mem{Base: p, Disp: off}, r)
	return r
}

func arg() gp { return Load(Param("p"), GP64()).(gp) }

// steps returns addresses base[i/3] + (i%3)*step: with one index register and bases three steps apart, any number of
// equidistant rows needs only a third of the address registers.
func steps(base []gp, step gp, n, disp int) []Mem {
	m := make([]Mem, n)
	for i := range m {
		m[i] = Mem{Base: base[i/3], Disp: disp}
		if i%3 > 0 {
			m[i].Index, m[i].Scale = step, uint8(i%3)
		}
	}
	return m
}

// bases makes the registers for steps; base[0] must be set before chain.
func bases(n int) []gp {
	b := make([]gp, (n+2)/3)
	for i := range b {
		b[i] = GP64()
	}
	return b
}

// chain sets base[i] = base[i-1] + 3*step.
func chain(b []gp, step gp) {
	for i := 1; i < len(b); i++ {
		LEAQ(Mem{Base: b[i-1], Index: step, Scale: 1}, b[i])
		LEAQ(Mem{Base: b[i], Index: step, Scale: 2}, b[i])
	}
}
