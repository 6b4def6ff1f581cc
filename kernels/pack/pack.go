// Package pack moves tensors between plain NCHW and the blocked layouts of kernels, for float32 and 8-bit elements.
//
// Functions work on a range of rows of all pictures (0..N*H), so that a team can share them; Rows wraps them as a team.Task. They
// write the pixels only: borders are the caller's (cpu.FillBorder). Padding channels are set to pad.
package pack

import (
	"fmt"

	"fettle/kernels/cpu"
)

// Element is what a tensor may hold.
type Element interface {
	int8 | uint8 | int16 | int32 | float32
}

// To copies rows r0..r1 of N*H rows from NCHW src into the layout.
func To[T Element](l cpu.Layout, dst, src []T, r0, r1 int, pad T) {
	hw := l.H * l.W
	for r := r0; r < r1; r++ {
		n, y := r/l.H, r%l.H
		for b := range l.Blocks() {
			row := dst[n*l.Image()+b*l.Plane()+l.Pixel(y, 0):][:l.W*l.Block]
			for c := range l.Block {
				ch := b*l.Block + c
				if ch >= l.C {
					for x := c; x < len(row); x += l.Block {
						row[x] = pad
					}
					continue
				}
				line := src[(n*l.C+ch)*hw+y*l.W:][:l.W]
				i := c
				for _, v := range line {
					row[i] = v
					i += l.Block
				}
			}
		}
	}
}

// From copies rows r0..r1 of N*H rows out of the layout into NCHW dst.
func From[T Element](l cpu.Layout, dst, src []T, r0, r1 int) {
	hw := l.H * l.W
	for r := r0; r < r1; r++ {
		n, y := r/l.H, r%l.H
		for b := range l.Blocks() {
			row := src[n*l.Image()+b*l.Plane()+l.Pixel(y, 0):][:l.W*l.Block]
			for c := range min(l.Block, l.C-b*l.Block) {
				line := dst[(n*l.C+b*l.Block+c)*hw+y*l.W:][:l.W]
				i := c
				for x := range line {
					line[x] = row[i]
					i += l.Block
				}
			}
		}
	}
}

// Convert copies rows between two layouts of the same tensor, for example to another border or block.
func Convert[T Element](to cpu.Layout, dst []T, from cpu.Layout, src []T, r0, r1 int) {
	if to.Block == from.Block {
		for r := r0; r < r1; r++ {
			n, y := r/to.H, r%to.H
			for b := range to.Blocks() {
				copy(dst[n*to.Image()+b*to.Plane()+to.Pixel(y, 0):][:to.W*to.Block], src[n*from.Image()+b*from.Plane()+from.Pixel(y, 0):])
			}
		}
		return
	}
	for r := r0; r < r1; r++ {
		n, y := r/to.H, r%to.H
		for c := range to.C {
			i, j := to.At(n, c, y, 0), from.At(n, c, y, 0)
			for range to.W {
				dst[i] = src[j]
				i, j = i+to.Block, j+from.Block
			}
		}
	}
}

// Rows is a row function as a team.Task.
type Rows struct {
	n, per int
	f      func(r0, r1 int)
}

// NewRows cuts n rows into pieces of at most per rows.
func NewRows(n, per int, f func(r0, r1 int)) (*Rows, error) {
	if n < 0 || per < 1 || f == nil {
		return nil, fmt.Errorf("pack: %d rows in pieces of %d", n, per)
	}
	return &Rows{n, per, f}, nil
}

// Stages is 1.
func (r *Rows) Stages() int { return 1 }

// Pieces is the number of ranges.
func (r *Rows) Pieces(int) int { return (r.n + r.per - 1) / r.per }

// Piece runs one range.
func (r *Rows) Piece(_, i, _ int) { r.f(i*r.per, min(r.n, (i+1)*r.per)) }
