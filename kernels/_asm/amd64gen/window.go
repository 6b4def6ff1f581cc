package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// windowKernels are those of depthwise windows in training: kw taps of a row at once, for strides 1 and 2. Columns at the
// borders, which see fewer taps, are runs of their own. Channels are the inner loop: pixels lie a power of two apart in many networks, and a
// walk along them would meet in few sets of the first-level cache. With AVX2, two vectors at once use a line of it whole.
func windowKernels(s isa) {
	for st := 1; st <= 2; st++ {
		for kw := 1; kw <= 5; kw++ {
			if st == 2 && kw != 3 && kw != 5 {
				continue
			}
			for i, b := range borders {
				if b.left+b.right > kw/2 || kw == 4 && i > 0 {
					continue
				}
				windowRows(s, kw, st, 1, i)
				windowOuter(s, kw, st, 1, i)
				if s == avx2 && kw <= 3 {
					windowRows(s, kw, st, 2, i)
					windowOuter(s, kw, st, 2, i)
				}
			}
		}
	}
}

// borders are the columns of the input that a run misses before its first column and behind its last (grad.borders has the same order).
var borders = []struct{ left, right int }{{0, 0}, {1, 0}, {2, 0}, {0, 1}, {0, 2}}

// tiles are the columns at once, for eight sums.
func tiles(nv int) []int {
	if nv == 2 {
		return []int{4, 3, 2, 1}
	}
	return []int{8, 4, 3, 2, 1}
}

// windowRows emits a run of columns of n rows, nv vectors of channels at once, up to chans bytes: C[outs[i] + column] = bias + sum over rows
// of taps ky and taps kx of X[table[i][ky] + (stride column + kx) pixels] * B[ky][kx]. A negative place stands for a row outside. Taps of B
// and pixels of X lie ld bytes apart, rows of taps k bytes, pixels of C step bytes. Columns at once share loads of inputs and of weights and
// hide the latency of each other's sums: kw FMA a column and row of taps, the multipliers are the limit.
func windowRows(s isa, kw, st, nv, border int) {
	name := fmt.Sprintf("window%db%ds%dx%d%s", kw, border, st, nv, s.suffix)
	text(name)
	inTable(fmt.Sprintf("window%dx%d%s", st, nv, s.suffix), 30, 5*kw+border, name)
	p := arg()
	table, outs, ps := load(p, rTable), load(p, rOuts), load(p, rLd)
	tp, dst, off, cols, wp, k, a, ch := GP64(), GP64(), GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	q := GP64()
	acc := make([][]vec, 8/nv)
	for i := range acc {
		acc[i] = s.vecs(nv)
	}
	w := make([][]vec, kw)
	for i := range w {
		w[i] = s.vecs(nv)
	}
	v := s.vecs(2)
	Label("row")
	MOVLQSX(Mem{Base: outs}, a)
	ADDQ(Imm(4), outs)
	MOVQ(Mem{Base: p, Disp: rC}, dst)
	LEAQ(Mem{Base: dst, Index: a, Scale: 4}, dst)
	MOVQ(Mem{Base: p, Disp: rCur}, cols)
	XORQ(off, off)
	for _, tile := range tiles(nv) {
		here, next := fmt.Sprintf("tile%d", tile), fmt.Sprintf("behind%d", tile)
		Label(here)
		CMPQ(cols, Imm(uint64(tile)))
		JL(LabelRef(next))
		XORQ(ch, ch)
		Label("channels" + here)
		MOVQ(Mem{Base: p, Disp: rBias}, a)
		for j := range nv {
			VMOVUPS(Mem{Base: a, Index: ch, Scale: 1, Disp: j * s.bytes}, acc[0][j])
			for i := 1; i < tile; i++ {
				VMOVAPS(acc[0][j], acc[i][j])
			}
		}
		MOVQ(table, tp)
		MOVQ(Mem{Base: p, Disp: rB}, wp)
		ADDQ(ch, wp)
		MOVQ(Mem{Base: p, Disp: rTaps}, k)
		Label("taps" + here)
		MOVLQSX(Mem{Base: tp}, a)
		ADDQ(Imm(4), tp)
		TESTQ(a, a)
		JLT(LabelRef("outside" + here))
		LEAQ(Mem{Base: off, Index: a, Scale: 4}, a)
		ADDQ(ch, a)
		ADDQ(Mem{Base: p, Disp: rX}, a)
		for i := range w {
			for j := range nv {
				m := Mem{Base: wp, Index: ps, Scale: uint8(i), Disp: j * s.bytes}
				switch {
				case i == 0:
					m.Index, m.Scale = nil, 0
				case i == 3:
					LEAQ(Mem{Base: wp, Index: ps, Scale: 2}, q)
					m.Base, m.Scale = q, 1
				case i == 4:
					m.Base, m.Scale = q, 2
				}
				VMOVUPS(m, w[i][j])
			}
		}
		last := (tile-1)*st + kw - 1 - borders[border].right
		for x := borders[border].left; x <= last; x++ {
			for j := range nv {
				u := v[(x*nv+j)%2]
				VMOVUPS(Mem{Base: a, Disp: j * s.bytes}, u)
				for kx := range kw {
					if c := x - kx; c >= 0 && c%st == 0 && c/st < tile {
						VFMADD231PS(u, w[kx][j], acc[c/st][j])
					}
				}
			}
			if x < last {
				ADDQ(ps, a)
			}
		}
		Label("outside" + here)
		ADDQ(Mem{Base: p, Disp: rK}, wp)
		DECQ(k)
		JNZ(LabelRef("taps" + here))
		LEAQ(Mem{Base: dst, Index: ch, Scale: 1}, a)
		for i := range tile {
			for j := range nv {
				VMOVUPS(acc[i][j], Mem{Base: a, Disp: j * s.bytes})
			}
			if i+1 < tile {
				ADDQ(Mem{Base: p, Disp: rStep}, a)
			}
		}
		ADDQ(Imm(uint64(nv*s.bytes)), ch)
		CMPQ(ch, Mem{Base: p, Disp: rChans})
		JL(LabelRef("channels" + here))
		IMUL3Q(Imm(uint64(tile)), Mem{Base: p, Disp: rStep}, a)
		ADDQ(a, dst)
		IMUL3Q(Imm(uint64(tile*st)), ps, a)
		ADDQ(a, off)
		SUBQ(Imm(uint64(tile)), cols)
		JMP(LabelRef(here))
		Label(next)
	}
	MOVQ(tp, table) // behind the row's places: at least one column ran
	DECQ(Mem{Base: p, Disp: rN})
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// windowOuter emits the gradient of kw taps of a row over a run of columns of n rows, nv vectors of channels at once: C[ky][kx] += sum of
// X[table[i][ky] + (stride column + kx) pixels] * B[outs[i] + column]. Each input is loaded once for all its taps; the gradients of the
// outputs stay in registers for all rows of taps.
func windowOuter(s isa, kw, st, nv, border int) {
	name := fmt.Sprintf("windowOuter%db%ds%dx%d%s", kw, border, st, nv, s.suffix)
	text(name)
	inTable(fmt.Sprintf("windowOuter%dx%d%s", st, nv, s.suffix), 30, 5*kw+border, name)
	p := arg()
	table, outs, ps := load(p, rTable), load(p, rOuts), load(p, rLd)
	tp, g, off, cols, cp, k, a, ch, t := GP64(), GP64(), GP64(), GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	acc := make([][]vec, kw)
	for i := range acc {
		acc[i] = s.vecs(nv)
	}
	d := make([][]vec, 8/nv)
	for i := range d {
		d[i] = s.vecs(nv)
	}
	v := s.vecs(2)
	sums := func(f func(m Mem, v vec)) {
		MOVQ(cp, t)
		for kx := range kw {
			for j := range nv {
				f(Mem{Base: t, Disp: j * s.bytes}, acc[kx][j])
			}
			if kx+1 < kw {
				ADDQ(ps, t)
			}
		}
	}
	Label("row")
	MOVLQSX(Mem{Base: outs}, a)
	ADDQ(Imm(4), outs)
	MOVQ(Mem{Base: p, Disp: rB}, g)
	LEAQ(Mem{Base: g, Index: a, Scale: 4}, g)
	MOVQ(Mem{Base: p, Disp: rCur}, cols)
	XORQ(off, off)
	for _, tile := range tiles(nv) {
		here, next := fmt.Sprintf("tile%d", tile), fmt.Sprintf("behind%d", tile)
		Label(here)
		CMPQ(cols, Imm(uint64(tile)))
		JL(LabelRef(next))
		XORQ(ch, ch)
		Label("channels" + here)
		LEAQ(Mem{Base: g, Index: ch, Scale: 1}, a)
		for i := range tile {
			for j := range nv {
				VMOVUPS(Mem{Base: a, Disp: j * s.bytes}, d[i][j])
			}
			if i+1 < tile {
				ADDQ(ps, a)
			}
		}
		MOVQ(table, tp)
		MOVQ(Mem{Base: p, Disp: rC}, cp)
		ADDQ(ch, cp)
		MOVQ(Mem{Base: p, Disp: rTaps}, k)
		Label("taps" + here)
		MOVLQSX(Mem{Base: tp}, a)
		ADDQ(Imm(4), tp)
		TESTQ(a, a)
		JLT(LabelRef("outside" + here))
		LEAQ(Mem{Base: off, Index: a, Scale: 4}, a)
		ADDQ(ch, a)
		ADDQ(Mem{Base: p, Disp: rX}, a)
		sums(func(m Mem, v vec) { VMOVUPS(m, v) })
		last := (tile-1)*st + kw - 1 - borders[border].right
		for x := borders[border].left; x <= last; x++ {
			for j := range nv {
				u := v[(x*nv+j)%2]
				VMOVUPS(Mem{Base: a, Disp: j * s.bytes}, u)
				for kx := range kw {
					if c := x - kx; c >= 0 && c%st == 0 && c/st < tile {
						VFMADD231PS(u, d[c/st][j], acc[kx][j])
					}
				}
			}
			if x < last {
				ADDQ(ps, a)
			}
		}
		sums(func(m Mem, v vec) { VMOVUPS(v, m) })
		Label("outside" + here)
		ADDQ(Mem{Base: p, Disp: rK}, cp)
		DECQ(k)
		JNZ(LabelRef("taps" + here))
		ADDQ(Imm(uint64(nv*s.bytes)), ch)
		CMPQ(ch, Mem{Base: p, Disp: rChans})
		JL(LabelRef("channels" + here))
		IMUL3Q(Imm(uint64(tile)), ps, a)
		ADDQ(a, g)
		IMUL3Q(Imm(uint64(tile*st)), ps, a)
		ADDQ(a, off)
		SUBQ(Imm(uint64(tile)), cols)
		JMP(LabelRef(here))
		Label(next)
	}
	MOVQ(tp, table) // behind the row's places: at least one column ran
	DECQ(Mem{Base: p, Disp: rN})
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}
