package conv

import "fettle/kernels/cpu"

// tileBuffer is what a worker's tile kernel needs for the sums of two tiles of 16 pixels x 32 outputs.
const tileBuffer = 2 * 16 * 32 * 4

func tileBuffers(workers int) []uint8 { return cpu.Aligned[uint8](workers * tileBuffer) }

// Where the products of whole tiles (AMX) win over vectors, from the layers of nine networks, each timed with both on one core of an Intel
// Xeon (family 6 model 207, 2 MB of second-level cache). Tiles lose where they are not full, and where what comes
// before or behind them weighs more than the product: the split of the input, a pass for the activation function.

// wins tells whether an algorithm that the architecture has for itself gains.
func (a *Algorithm) wins() bool {
	if a.ISA == cpu.NEONFP16 {
		return a.Shape.halfWins()
	}
	return a.Shape.splitWins()
}

// halfWins: products in half precision are half of the direct algorithm's multiplications, Winograd's F(4x4) in float32 a quarter of them.
func (s Shape) halfWins() bool {
	wino := s.KH == 3 && s.KW == 3 && s.SH*s.SW*s.DH*s.DW == 1 && s.C >= 16 && s.M >= 16 && s.OutW() > 2
	return !wino && s.M >= 8
}

// splitWins: three products of bf16 against float32 in vectors. Worst of what is left: 0.92; without the rule 0.16 (squeeze and excitation).
func (s Shape) splitWins() bool {
	switch {
	case s.OutH()*s.OutW() < 16, s.C < 2*blk, s.M < 2*blk:
		return false
	case s.Act.Kind <= cpu.Clamp:
		return true
	case s.KH == 3 && s.KW == 3 && s.SH*s.SW*s.DH*s.DW == 1: // against Winograd
		return s.C >= 256
	}
	return s.C >= 80
}

// tilesWin8: 8-bit tiles against VNNI. Worst of what is left: 0.97; without the rule 0.21.
func (s Shape) tilesWin8() bool {
	switch {
	case s.OutH()*s.OutW() < 16:
		return false
	case s.C < 5:
		return s.KH*s.KW >= 25
	}
	return s.C*s.KH*s.KW > 2*blk
}

// late moves the first n of l behind all others but the last, which is portable.
func late[T any](l []T, n int) []T {
	out := append(append(make([]T, 0, len(l)), l[n:len(l)-1]...), l[:n]...)
	return append(out, l[len(l)-1])
}
