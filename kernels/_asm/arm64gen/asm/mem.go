package asm

import (
	"fmt"
	"strings"
)

// multi: LD1-LD4, ST1-ST4 of whole registers. arr gives the arrangement; post 0: no step.
func (f *File) multi(op string, load, opc uint32, t []VReg, arr Arr, base X, post *X) {
	consecutive(t)
	w := 0x0C000000 | arr.q<<30 | load<<22 | opc<<12 | arr.size<<10 | uint32(base)<<5 | uint32(t[0].N)
	g := fmt.Sprintf("%s {%s}, [%s]", op, list(t, arr, false), base.gnu())
	lst := "[" + list(t, arr, true) + "]"
	goOp, addr := "V"+strings.ToUpper(op), fmt.Sprintf("(%v)", base)
	if post != nil {
		w |= 0x00800000 | uint32(*post)<<16
		goOp += ".P"
		if *post == XZR {
			n := len(t) * int(8<<arr.q)
			g += fmt.Sprintf(", #%d", n)
			addr = fmt.Sprintf("%d(%v)", n, base)
		} else {
			g += ", " + post.gnu()
			addr = fmt.Sprintf("(%v)(%v)", base, *post)
		}
	}
	gt := fmt.Sprintf("%s %s, %s", goOp, addr, lst)
	if load == 0 {
		gt = fmt.Sprintf("%s %s, %s", goOp, lst, addr)
	}
	f.rec(w, g, gt)
}

var ldOpc = [5]uint32{0, 7, 10, 6, 2}

func (f *File) LD1(t []VReg, base X) {
	f.multi("ld1", 1, ldOpc[len(t)], t, Arr{size: 2, q: 1, lane: -1}, base, nil)
}
func (f *File) LD1P(t []VReg, base, step X) {
	f.multi("ld1", 1, ldOpc[len(t)], t, Arr{size: 2, q: 1, lane: -1}, base, &step)
}
func (f *File) ST1(t []VReg, base X) {
	f.multi("st1", 0, ldOpc[len(t)], t, Arr{size: 2, q: 1, lane: -1}, base, nil)
}
func (f *File) ST1P(t []VReg, base, step X) {
	f.multi("st1", 0, ldOpc[len(t)], t, Arr{size: 2, q: 1, lane: -1}, base, &step)
}
func (f *File) LD3P(t []VReg, a Arr, base, step X) {
	must(len(t) == 3, "ld3")
	f.multi("ld3", 1, 4, t, Arr{size: a.size, q: a.q, lane: -1}, base, &step)
}
func (f *File) ST4(t []VReg, a Arr, base X) {
	must(len(t) == 4, "st4")
	f.multi("st4", 0, 0, t, Arr{size: a.size, q: a.q, lane: -1}, base, nil)
}
func (f *File) ST2P(t []VReg, a Arr, base, step X) {
	must(len(t) == 2, "st2")
	f.multi("st2", 0, 8, t, Arr{size: a.size, q: a.q, lane: -1}, base, &step)
}
func (f *File) ST4P(t []VReg, a Arr, base, step X) {
	must(len(t) == 4, "st4")
	f.multi("st4", 0, 0, t, Arr{size: a.size, q: a.q, lane: -1}, base, &step)
}

// LDnR loads len(t) (1 or 4) consecutive elements, each to all lanes of one register.
func (f *File) LDnR(t []VReg, a Arr, base X) {
	consecutive(t)
	w := uint32(0x0D40C000)
	n := len(t)
	must(n == 1 || n == 4, "ld%dr", n)
	if n == 4 {
		w = 0x0D60E000
	}
	a.lane = -1
	f.rec(w|a.q<<30|a.size<<10|uint32(base)<<5|uint32(t[0].N), fmt.Sprintf("ld%dr {%s}, [%s]", n, list(t, a, false), base.gnu()),
		fmt.Sprintf("VLD%dR (%v), [%s]", n, base, list(t, a, true)))
}

// LDnRP is LDnR for 1, 2 or 4 elements with a step (XZR: by the bytes read).
func (f *File) LDnRP(t []VReg, a Arr, base, step X) {
	consecutive(t)
	n := len(t)
	w := map[int]uint32{1: 0x0DC0C000, 2: 0x0DE0C000, 4: 0x0DE0E000}[n]
	must(w != 0, "ld%dr", n)
	a.lane = -1
	g, addr := step.gnu(), fmt.Sprintf("(%v)(%v)", base, step)
	if step == XZR {
		g, addr = fmt.Sprintf("#%d", n<<a.size), fmt.Sprintf("%d(%v)", n<<a.size, base)
	}
	f.rec(w|a.q<<30|uint32(step)<<16|a.size<<10|uint32(base)<<5|uint32(t[0].N), fmt.Sprintf("ld%dr {%s}, [%s], %s", n, list(t, a, false), base.gnu(), g),
		fmt.Sprintf("VLD%dR.P %s, [%s]", n, addr, list(t, a, true)))
}

// ST4LP stores lane i (S) of four registers as 16 bytes and steps by 16.
func (f *File) ST4LP(t []VReg, i int, base X) {
	must(len(t) == 4, "st4 lane")
	consecutive(t)
	f.rec(0x0DBFA000|uint32(i>>1)<<30|uint32(i&1)<<12|uint32(base)<<5|uint32(t[0].N),
		fmt.Sprintf("st4 {v%d.s-v%d.s}[%d], [%s], #16", t[0].N, t[3].N, i, base.gnu()), "")
}

func (f *File) pair(op string, w uint32, a, b VReg, base X, off int, mode string) {
	must(off%16 == 0 && off >= -1024 && off <= 1008, "%s offset %d", op, off)
	gop, g := map[string]string{"ldp": "FLDPQ", "stp": "FSTPQ"}[op], ""
	addr := fmt.Sprintf("%d(%v)", off, base)
	switch mode {
	case "":
		w |= 0x01000000
		g = fmt.Sprintf("[%s, #%d]", base.gnu(), off)
	case ".P":
		w |= 0x00800000
		g = fmt.Sprintf("[%s], #%d", base.gnu(), off)
	}
	text := fmt.Sprintf("%s%s %s, (F%d, F%d)", gop, mode, addr, a.N, b.N)
	if op == "stp" {
		text = fmt.Sprintf("%s%s (F%d, F%d), %s", gop, mode, a.N, b.N, addr)
	}
	f.rec(w|uint32(off/16)&0x7f<<15|uint32(b.N)<<10|uint32(base)<<5|uint32(a.N), fmt.Sprintf("%s q%d, q%d, %s", op, a.N, b.N, g), text)
}
func (f *File) LDP(a, b VReg, base X, off int)  { f.pair("ldp", 0xAC400000, a, b, base, off, "") }
func (f *File) LDPP(a, b VReg, base X, off int) { f.pair("ldp", 0xAC400000, a, b, base, off, ".P") }
func (f *File) STP(a, b VReg, base X, off int)  { f.pair("stp", 0xAC000000, a, b, base, off, "") }
func (f *File) STPP(a, b VReg, base X, off int) { f.pair("stp", 0xAC000000, a, b, base, off, ".P") }

func (f *File) one(op string, load uint32, v VReg, base X, off int, post bool) {
	addr := fmt.Sprintf("%d(%v)", off, base)
	var w uint32
	g, mn := "", "FMOVQ"
	if post {
		must(off >= -256 && off < 256, "%s offset", op)
		w, g, mn = 0x3C800400|uint32(off)&0x1ff<<12, fmt.Sprintf("[%s], #%d", base.gnu(), off), "FMOVQ.P"
	} else {
		must(off%16 == 0 && off >= 0 && off < 65536, "%s offset", op)
		w, g = 0x3D800000|uint32(off/16)<<10, fmt.Sprintf("[%s, #%d]", base.gnu(), off)
	}
	t := fmt.Sprintf("%s %s, F%d", mn, addr, v.N)
	if load == 0 {
		t = fmt.Sprintf("%s F%d, %s", mn, v.N, addr)
	}
	f.rec(w|load<<22|uint32(base)<<5|uint32(v.N), fmt.Sprintf("%s q%d, %s", op, v.N, g), t)
}
func (f *File) LDR(v VReg, base X, off int)  { f.one("ldr", 1, v, base, off, false) }
func (f *File) LDRP(v VReg, base X, off int) { f.one("ldr", 1, v, base, off, true) }
func (f *File) STR(v VReg, base X, off int)  { f.one("str", 0, v, base, off, false) }
func (f *File) STRP(v VReg, base X, off int) { f.one("str", 0, v, base, off, true) }

// PRFM hints that base+off is wanted in L1 (level 1) or L2 (level 2).
func (f *File) PRFM(base X, off, level int) {
	must(off%8 == 0 && off >= 0 && off < 32768, "prfm offset")
	f.rec(0xF9800000|uint32(off/8)<<10|uint32(base)<<5|uint32(level-1)<<1, fmt.Sprintf("prfm pldl%dkeep, [%s, #%d]", level, base.gnu(), off),
		fmt.Sprintf("PRFM %d(%v), PLDL%dKEEP", off, base, level))
}

// ST3P stores the elements of three registers in turn.
func (f *File) ST3P(t []VReg, a Arr, base, step X) {
	must(len(t) == 3, "st3")
	f.multi("st3", 0, 4, t, Arr{size: a.size, q: a.q, lane: -1}, base, &step)
}
