package cpu

import (
	"fmt"
	"testing"
)

// TestFillBorderKinds holds FillBorder to its definition, pixel by pixel: every kind of element and block, borders of every width, and slices that end
// with the last plane, or with the last gap.
func TestFillBorderKinds(t *testing.T) {
	for _, l := range []Layout{
		{N: 1, C: 8, H: 5, W: 7, Block: 4, Top: 1, Left: 1, Bottom: 1, Right: 1},
		{N: 2, C: 5, H: 3, W: 4, Block: 4, Top: 2, Left: 2, Bottom: 2, Right: 2, Gap: 4},
		{N: 2, C: 9, H: 4, W: 3, Block: 4, Left: 1},
		{N: 1, C: 4, H: 4, W: 3, Block: 4, Left: 1, Right: 2},
		{N: 1, C: 8, H: 1, W: 1, Block: 4, Top: 3, Left: 3, Bottom: 3, Right: 2},
		{N: 1, C: 4, H: 3, W: 3, Block: 4, Top: 1, Bottom: 2},
		{N: 2, C: 16, H: 3, W: 5, Block: 16, Top: 1, Left: 1, Bottom: 1, Right: 0, Skip: 32},
		{N: 1, C: 40, H: 6, W: 2, Block: 16, Left: 4, Right: 4, Top: 1},
		{N: 1, C: 3, H: 4, W: 4, Block: 3, Top: 1, Left: 1, Bottom: 1, Right: 1},
		{N: 1, C: 16, H: 0, W: 4, Block: 16, Top: 1, Left: 1},
	} {
		t.Run(fmt.Sprintf("block %d, %v", l.Block, l.Border()), func(t *testing.T) {
			fillCase(t, l, float32(0))
			fillCase(t, l, float32(-2.5))
			fillCase(t, l, int16(0))
			fillCase(t, l, uint8(131))
			fillCase(t, l, uint8(0))
		})
	}
}

func fillCase[T float32 | int16 | uint8](t *testing.T, l Layout, v T) {
	t.Helper()
	const old = 7
	pixels := map[int]bool{}
	for n := range l.N {
		for b := range l.Blocks() {
			for y := range l.H {
				for x := range l.W * l.Block {
					pixels[n*l.Image()+b*l.Plane()+l.Pixel(y, 0)+x] = true
				}
			}
		}
	}
	for _, size := range []int{l.Used(), l.Len() - l.Skip, l.Len() + 33} {
		d := make([]T, size)
		for i := range d {
			d[i] = old
		}
		FillBorder(l, d, v)
		for i, got := range d {
			in := i%l.Image() < l.Blocks()*l.Plane() && i < l.Len()
			want := T(old)
			if in && !pixels[i] {
				want = v
			}
			if got != want {
				t.Fatalf("%T of %d: element %d is %v, want %v", v, size, i, got, want)
			}
		}
	}
}
