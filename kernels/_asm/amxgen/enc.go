package main

import (
	"fmt"
	"strings"
)

// The Go assembler has no tile instructions. Each function of this file returns one, as its bytes and as GNU writes it; a test asks
// binutils whether they agree. All are VEX with three prefix bytes, map 0F38, W0, L0.

// inst is an encoded instruction.
type inst struct {
	bytes []byte
	gnu   string
}

// reg is a general register by its hardware number.
type reg struct {
	n         byte
	name, gnu string // in Go assembly and in GNU
}

var (
	rAX = reg{0, "AX", "rax"}
	rCX = reg{1, "CX", "rcx"}
	rDX = reg{2, "DX", "rdx"}
	rBX = reg{3, "BX", "rbx"}
	rSI = reg{6, "SI", "rsi"}
	rDI = reg{7, "DI", "rdi"}
	r8  = reg{8, "R8", "r8"}
	r9  = reg{9, "R9", "r9"}
	r10 = reg{10, "R10", "r10"}
	r11 = reg{11, "R11", "r11"}
	r12 = reg{12, "R12", "r12"}
	r13 = reg{13, "R13", "r13"}
	r15 = reg{15, "R15", "r15"}
)

// Prefixes that the VEX field pp stands for.
const (
	ppNone = 0
	pp66   = 1
	ppF3   = 2
	ppF2   = 3
)

// vex is C4, the inverted high bits of the three registers with the map, and the inverted second source with pp.
func vex(r, x, b, vvvv byte, pp byte) []byte {
	return []byte{0xc4, (^r&8)<<4 | (^x&8)<<3 | (^b&8)<<2 | 2, (^vvvv&15)<<3 | pp}
}

// address is ModRM, SIB and displacement. index is nil for a plain base.
func address(field byte, base reg, index *reg, disp int32) []byte {
	mod := byte(2)
	if disp == 0 && base.n&7 != 5 { // base 5 without displacement means another form
		mod = 0
	} else if disp >= -128 && disp <= 127 {
		mod = 1
	}
	var l []byte
	if index != nil || base.n&7 == 4 { // base 4 needs a SIB
		i := byte(4) // no index
		if index != nil {
			i = index.n & 7
		}
		l = []byte{mod<<6 | field<<3 | 4, i<<3 | base.n&7}
	} else {
		l = []byte{mod<<6 | field<<3 | base.n&7}
	}
	switch mod {
	case 1:
		l = append(l, byte(disp))
	case 2:
		l = append(l, byte(disp), byte(disp>>8), byte(disp>>16), byte(disp>>24))
	}
	return l
}

func gnuAddress(base reg, index *reg, disp int32) string {
	s := ""
	if disp != 0 {
		s = fmt.Sprintf("%#x", disp)
		if disp < 0 {
			s = fmt.Sprintf("-%#x", -int64(disp))
		}
	}
	if index == nil {
		return fmt.Sprintf("%s(%%%s)", s, base.gnu)
	}
	return fmt.Sprintf("%s(%%%s,%%%s,1)", s, base.gnu, index.gnu)
}

func tileName(t byte) string {
	if t > 7 {
		panic("there are 8 tiles")
	}
	return fmt.Sprintf("%%tmm%d", t)
}

// ldtilecfg reads the configuration, 64 bytes; sttilecfg writes it.
func ldtilecfg(base reg, disp int32) inst { return config("ldtilecfg", ppNone, base, disp) }
func sttilecfg(base reg, disp int32) inst { return config("sttilecfg", pp66, base, disp) }

func config(name string, pp byte, base reg, disp int32) inst {
	b := append(vex(0, 0, base.n, 0, pp), 0x49)
	return inst{append(b, address(0, base, nil, disp)...), name + " " + gnuAddress(base, nil, disp)}
}

// tilerelease gives the tiles back: the kernel then saves nothing at a switch.
func tilerelease() inst { return inst{append(vex(0, 0, 0, 0, ppNone), 0x49, 0xc0), "tilerelease"} }

func tilezero(t byte) inst {
	name := "tilezero " + tileName(t)
	return inst{append(vex(0, 0, 0, 0, ppF2), 0x49, 0xc0|t<<3), name}
}

// tileload reads rows at base + disp, stride bytes apart; tileloadt1 the same for data that is not read again soon; tilestore writes.
func tileload(t byte, base, stride reg, disp int32) inst {
	return move("tileloadd", ppF2, t, base, stride, disp)
}
func tileloadt1(t byte, base, stride reg, disp int32) inst {
	return move("tileloaddt1", pp66, t, base, stride, disp)
}
func tilestore(t byte, base, stride reg, disp int32) inst {
	return move("tilestored", ppF3, t, base, stride, disp)
}

func move(name string, pp, t byte, base, stride reg, disp int32) inst {
	if stride.n == 4 {
		panic("SP cannot be a stride")
	}
	b := append(vex(0, stride.n, base.n, 0, pp), 0x4b)
	b = append(b, address(t, base, &stride, disp)...)
	m := gnuAddress(base, &stride, disp)
	if name == "tilestored" {
		return inst{b, name + " " + tileName(t) + "," + m}
	}
	return inst{b, name + " " + m + "," + tileName(t)}
}

// The products: c += a·b. a holds rows of pixels (four bytes or two bf16 a word), b one row for every word of a.
func tdpbssd(c, a, b byte) inst   { return dot("tdpbssd", ppF2, 0x5e, c, a, b) }
func tdpbsud(c, a, b byte) inst   { return dot("tdpbsud", ppF3, 0x5e, c, a, b) }
func tdpbusd(c, a, b byte) inst   { return dot("tdpbusd", pp66, 0x5e, c, a, b) }
func tdpbuud(c, a, b byte) inst   { return dot("tdpbuud", ppNone, 0x5e, c, a, b) }
func tdpbf16ps(c, a, b byte) inst { return dot("tdpbf16ps", ppF3, 0x5c, c, a, b) }

func dot(name string, pp, op, c, a, b byte) inst {
	gnu := fmt.Sprintf("%s %s,%s,%s", name, tileName(b), tileName(a), tileName(c))
	if a == b || a == c || b == c {
		panic(gnu + ": three different tiles are needed")
	}
	return inst{append(vex(0, 0, 0, b, pp), op, 0xc0|c<<3|a), gnu}
}

// String is the instruction for the Go assembler.
func (i inst) String() string {
	var s strings.Builder
	for k, b := range i.bytes {
		if k > 0 {
			s.WriteString("; ")
		}
		fmt.Fprintf(&s, "BYTE $%#02x", b)
	}
	return s.String() + " // " + i.gnu
}
