package asm

import (
	"fmt"
	"strings"
)

// Step says what happens to the pointer of a load or store.
type Step uint32

// Stay leaves the pointer, Next moves it behind what was read or written; By moves it by a register.
const (
	Stay Step = 15
	Next Step = 13
)

// By steps by a register.
func By(x X) Step { must(x < 13, "step by %v", x); return Step(x) }

func (s Step) gnu() string {
	switch s {
	case Stay:
		return ""
	case Next:
		return "!"
	}
	return ", " + X(s).gnu()
}

// list names n registers of 64 bits.
func list(r Reg, n int) string {
	var l []string
	for i := range n {
		l = append(l, fmt.Sprintf("d%d", int(r.n)+i))
	}
	return strings.Join(l, ", ")
}

// VLD1 and VST1 move n registers of 64 bits, up to four, of elements of 8<<size bits, at any address that is a multiple of those.
func (f *File) VLD1(size uint32, r Reg, n int, p X, s Step) {
	f.one("vld1", 0xF4200000, size, r, n, p, s)
}
func (f *File) VST1(size uint32, r Reg, n int, p X, s Step) {
	f.one("vst1", 0xF4000000, size, r, n, p, s)
}
func (f *File) one(op string, w, size uint32, r Reg, n int, p X, s Step) {
	must(n >= 1 && n <= 4 && int(r.n)+n <= 32, "%s: %d registers", op, n)
	kind := [5]uint32{0, 7, 10, 6, 2}[n]
	f.rec(w|kind<<8|size<<6|uint32(p)<<16|uint32(s)|vd(r), "%s.%d {%s}, [%s]%s", op, 8<<size, list(r, n), p.gnu(), s.gnu())
}

// VST3 stores three registers of 64 bits in turns of elements, each every-th register from r on (1 or 2).
func (f *File) VST3(size uint32, r Reg, every int, p X, s Step) {
	must(every == 1 || every == 2, "vst3")
	var l []string
	for i := range 3 {
		l = append(l, fmt.Sprintf("d%d", int(r.n)+i*every))
	}
	f.rec(0xF4000000|(3+uint32(every))<<8|size<<6|uint32(p)<<16|uint32(s)|vd(r), "vst3.%d {%s}, [%s]%s", 8<<size, strings.Join(l, ", "), p.gnu(), s.gnu())
}

// VLD1L and VST1L move one element of 32 bits.
func (f *File) VLD1L(r Reg, p X, s Step) { f.lane("vld1", 0xF4A00000, r, p, s) }
func (f *File) VST1L(r Reg, p X, s Step) { f.lane("vst1", 0xF4800000, r, p, s) }
func (f *File) lane(op string, w uint32, r Reg, p X, s Step) {
	must(r.lane >= 0 && r.lane < 2, "%s: element", op)
	f.rec(w|2<<10|uint32(r.lane)<<7|uint32(p)<<16|uint32(s)|vd(r), "%s.32 {%s}, [%s]%s", op, r.gnu(), p.gnu(), s.gnu())
}

// VLD1R loads one element of 8<<size bits into all of a register.
func (f *File) VLD1R(size uint32, r Reg, p X, s Step) {
	n, t := 1, uint32(0)
	if r.q {
		n, t = 2, 1
	}
	var l []string
	for i := range n {
		l = append(l, fmt.Sprintf("d%d[]", int(r.n)+i))
	}
	f.rec(0xF4A00C00|size<<6|t<<5|uint32(p)<<16|uint32(s)|vd(r), "vld1.%d {%s}, [%s]%s", 8<<size, strings.Join(l, ", "), p.gnu(), s.gnu())
}

// VLDM and VSTM move up to 16 registers of 64 bits; the address must be a multiple of 4. Steps are Stay and Next.
func (f *File) VLDM(r Reg, n int, p X, s Step) { f.many("vldmia", 0xEC900B00, r, n, p, s) }
func (f *File) VSTM(r Reg, n int, p X, s Step) { f.many("vstmia", 0xEC800B00, r, n, p, s) }
func (f *File) many(op string, w uint32, r Reg, n int, p X, s Step) {
	must(n >= 1 && n <= 16 && int(r.n)+n <= 32 && (s == Stay || s == Next), "%s: %d registers from d%d", op, n, r.n)
	if s == Next {
		w |= 1 << 21
	}
	f.rec(w|uint32(p)<<16|vd(r)|uint32(2*n), "%s %s%s, {%s}", op, p.gnu(), s.gnu(), list(r, n))
}

// VLDR and VSTR move a register of 64 bits at a multiple of 4.
func (f *File) VLDR(r Reg, p X, off int) { f.at("vldr", 0xED900B00, r, p, off) }
func (f *File) VSTR(r Reg, p X, off int) { f.at("vstr", 0xED800B00, r, p, off) }
func (f *File) at(op string, w uint32, r Reg, p X, off int) {
	must(!r.q && off >= 0 && off%4 == 0 && off < 1024, "%s: offset %d", op, off)
	f.rec(w|uint32(p)<<16|vd(r)|uint32(off/4), "%s %s, [%s, #%d]", op, r.gnu(), p.gnu(), off)
}
