package conv

import (
	"fmt"

	"fettle/kernels/cpu"
)

// candidates lists algorithms, best first. The rules come from measurements of ResNet-50, MobileNetV2 and SqueezeNet
// layers on AVX-512 machines (one thread): they name the winner or a row within 2 % of it.
func candidates(s Shape, f cpu.Features) []*Algorithm {
	l := archAlgorithms(s, f)
	tiled := len(l)
	blocked := cpu.Need{Block: blk}
	border := s.border()
	add := func(name string, isa cpu.ISA, in cpu.Need, i impl) {
		l = append(l, &Algorithm{Name: name + "__" + isa.String(), ISA: isa, MACs: s.MACs(), In: in, Out: blocked, Shape: s, impl: i})
	}
	need := cpu.Need{Block: blk, Border: border}
	dw := s.Groups > 1 && s.Groups == s.C && s.M == s.C
	if dw {
		for _, r := range dwFamilies(f) {
			d := newDepthwise(s, r)
			name := "f32_dwconv_1x8"
			if d.fast {
				name = fmt.Sprintf("f32_dwconv_k3s%d_%dx7", s.SH, 3-s.SH)
			}
			add(name, r.isa, need, d)
		}
		add("f32_dwconv_1x8", cpu.Generic, need, newDepthwise(s, portableDW()))
		return l
	}
	first := s.C < 5 && s.Groups == 1 && s.DW == 1 && s.KH*s.KW > 1
	fams := families(f)
	if w := winoFamily(f); w != nil && s.KH == 3 && s.KW == 3 && s.SH*s.SW*s.DH*s.DW == 1 && s.Groups == 1 && s.C >= 16 && s.M >= 16 {
		winoCandidates(s, w, fams[0], func(m int, mul *rows, d *winograd) {
			add(fmt.Sprintf("f32_wino%d_%dx%d", m, mul.maxMR, mul.nb*blk), w.isa, cpu.Need{Block: blk, Border: d.border()}, d)
		})
	}
	for _, fam := range append(fams, portable()) {
		if first {
			fam := windowFamily(fam, s)
			nb := widest(fam, s, true)[0]
			add(fmt.Sprintf("f32_conv_first_%dx%d", min(14, fam[nb].maxMR), nb*blk), fam[nb].isa, cpu.Need{Block: s.C, Border: border}, newDirect(s, fam, nb, true))
		}
		for _, nb := range widest(fam, s, false) {
			name := "f32_conv_%dx%d"
			d := newDirect(s, fam, nb, false)
			if d.from != nil {
				name = "f32_conv_gather_%dx%d"
			}
			add(fmt.Sprintf(name, fam[nb].maxMR, nb*blk), fam[nb].isa, need, d)
		}
	}
	if tiled > 0 && !l[0].wins() {
		return late(l, tiled)
	}
	return l
}

// border is what a direct algorithm reads around the input.
func (s Shape) border() cpu.Border {
	return cpu.Border{
		Top: s.PadT, Left: s.PadL,
		Bottom: max(0, (s.OutH()-1)*s.SH+(s.KH-1)*s.DH+1-s.PadT-s.H),
		Right:  max(0, (s.OutW()-1)*s.SW+(s.KW-1)*s.DW+1-s.PadL-s.W),
	}
}

// widest orders the panel widths of a family for a shape: 64 outputs win where outputs are many and the sum is short; 48
// where 32 leave half a panel over; 16 only for 16 outputs.
func widest(fam map[int]*rows, s Shape, first bool) []int {
	blocks := ceilDiv(s.M, blk)
	d := &direct{s: s, unit: 4}
	if first || s.SW > 2 {
		d.unit = 1
	}
	order := []int{2, 4, 3, 1}
	switch {
	case blocks == 1:
		order = []int{1}
	case s.KH*s.KW == 1 && s.C < s.M && blocks%4 == 0 && !first:
		order = []int{4, 2, 3}
	case blocks%2 == 1 && blocks%3 == 0:
		order = []int{3, 2, 4}
	}
	if s.Groups > 1 {
		order = []int{1} // wider panels would multiply with other groups' zeros
	}
	if blk == 4 && s.Groups == 1 && blocks > 1 {
		order = []int{3, 2} // NEON: 7x12 uses all registers
	}
	var l []int
	for _, nb := range order {
		if r := fam[nb]; r != nil && d.table(r, 1) != nil && nb <= blocks {
			l = append(l, nb)
		}
	}
	if l == nil {
		l = []int{1} // every family has it
	}
	return l
}

// winoCandidates orders tile sizes: F(2x2) where rows are short, because the weights of F(4x4) would cost more than they save.
func winoCandidates(s Shape, w *winoRows, fam map[int]*rows, add func(m int, mul *rows, d *winograd)) {
	blocks, ow := ceilDiv(s.M, blk), s.OutW()
	type pick struct{ m, nb, tiles int }
	picks := []pick{{4, 4, 28}, {4, 2, 28}, {2, 2, 28}}
	switch {
	case blk == 4 && ow > 2: // NEON: products weigh more than weights
	case ow <= 8:
		picks = []pick{{2, 2, 28}, {4, 2, 28}}
	case ow <= 16:
		picks = []pick{{4, 2, 28}, {2, 2, 28}}
	case ow <= 28:
		picks[0].tiles, picks[1].tiles = 56, 56
	}
	seen := map[pick]bool{}
	for _, p := range picks {
		if p.m == 2 && w.in2 == nil {
			continue
		}
		if blk == 4 {
			p.nb = 3 // NEON; M is 16 at least
			if two, three := roundUp(blocks, 2), roundUp(blocks, 3); fam[3].maxMR < 4 && two < three || 61*two < 60*three {
				p.nb = 2 // 32-bit Arm: 4x8 is as good as 3x12; arm64: 7x8 takes 60.5 instructions for a block where 7x12 takes 59.7
			}
		} else if blocks == 1 {
			p.nb = 1
		} else if fam[p.nb] == nil {
			p.nb = 1 // AVX2
		} else if blocks%p.nb != 0 && p.nb > 2 {
			continue
		}
		if mul := fam[p.nb]; mul != nil && !seen[p] {
			seen[p] = true
			add(p.m, mul, newWinograd(s, w, mul, p.m, p.tiles))
		}
	}
}
