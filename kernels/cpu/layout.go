package cpu

import "unsafe"

// Layout places a batch of pictures in memory: [N][ceil(C/Block)][Top+H+Bottom][Left+W+Right][Block], elements of any
// type. Block 16 is NCHWc16; Block = C is NHWC; Block 1 is NCHW. The border is real memory: it must hold zeros (8-bit
// tensors: the zero point) where a kernel's Need asks for it, and no kernel writes it. Channels between C and the next multiple of Block
// hold any finite value.
type Layout struct {
	N, C, H, W               int
	Block                    int
	Top, Left, Bottom, Right int // border, pixels
	Gap                      int // elements between planes, to keep them out of one cache set; usually 0
	Skip                     int // elements between pictures: the other channels, where this is a part of a larger tensor
}

// Border is a border in pixels.
type Border struct{ Top, Left, Bottom, Right int }

// Max returns a border that is wide enough for both.
func (b Border) Max(o Border) Border {
	return Border{max(b.Top, o.Top), max(b.Left, o.Left), max(b.Bottom, o.Bottom), max(b.Right, o.Right)}
}

// Need is what a kernel demands of a tensor's layout: the block, and a border at least this wide.
type Need struct {
	Block  int
	Border Border
	Signed bool // 8-bit tensors: int8 (arm64), else uint8 (x86)
}

// NewLayout makes the layout of n pictures of c x h x w with a border.
func NewLayout(n, c, h, w, block int, b Border) Layout {
	return Layout{N: n, C: c, H: h, W: w, Block: block, Top: b.Top, Left: b.Left, Bottom: b.Bottom, Right: b.Right}
}

// Border returns the border.
func (l Layout) Border() Border { return Border{l.Top, l.Left, l.Bottom, l.Right} }

// Meets tells whether the layout satisfies a need.
func (l Layout) Meets(n Need) bool {
	return l.Block == n.Block && l.Border().Max(n.Border) == l.Border()
}

// Blocks is the number of channel blocks.
func (l Layout) Blocks() int { return (l.C + l.Block - 1) / l.Block }

// Row is the number of elements of a row of one block, border included.
func (l Layout) Row() int { return (l.Left + l.W + l.Right) * l.Block }

// Plane is the number of elements from one channel block to the next.
func (l Layout) Plane() int { return (l.Top+l.H+l.Bottom)*l.Row() + l.Gap }

// Image is the number of elements from one picture to the next.
func (l Layout) Image() int { return l.Blocks()*l.Plane() + l.Skip }

// Len is the number of elements of the whole tensor.
func (l Layout) Len() int { return l.N * l.Image() }

// Used is the number of elements up to the end of the last plane: what a slice must have.
func (l Layout) Used() int { return l.Len() - l.Skip - l.Gap }

// Part is the layout of channels c0..c0+c of l, both multiples of Block, and the offset at which it begins: a concatenation is
// written in place by giving its inputs parts of its output.
func (l Layout) Part(c0, c int) (Layout, int) {
	p := l
	p.C = c
	p.Skip = l.Image() - p.Blocks()*l.Plane()
	return p, c0 / l.Block * l.Plane()
}

// Pixel is the offset of pixel (y, x) of block 0 of picture 0; y and x may lie in the border.
func (l Layout) Pixel(y, x int) int { return (y+l.Top)*l.Row() + (x+l.Left)*l.Block }

// At is the offset of one value.
func (l Layout) At(n, c, y, x int) int {
	return n*l.Image() + c/l.Block*l.Plane() + l.Pixel(y, x) + c%l.Block
}

// FillBorder sets the border (and the gaps between planes) of a tensor to v.
func FillBorder[T comparable](l Layout, d []T, v T) {
	if fillPlanes(l, d, v) {
		return
	}
	var zero T
	var filled []T // the longest run so far: copies of it are faster than loops over elements
	set := func(s []T) {
		switch {
		case v == zero:
			clear(s)
		case len(s) <= len(filled):
			copy(s, filled)
		case len(s) > 0:
			s[0] = v
			for n := 1; n < len(s); n *= 2 {
				copy(s[n:], s[:n])
			}
			filled = s
		}
	}
	row, planes, blocks := l.Row(), l.Plane(), l.Blocks()
	edge := (l.Right + l.Left) * l.Block // of one row and the next, which lie together
	first, last := l.Top*row+l.Left*l.Block, (l.Top+l.H)*row-l.Right*l.Block
	if l.H == 0 || l.W == 0 {
		first, last = 0, 0
	}
	for n := range l.N {
		for p := range blocks {
			begin := n*l.Image() + p*planes
			pl := d[begin:min(len(d), begin+planes)] // the last gap may be missing
			set(pl[:first])
			if edge > 0 {
				at := first + l.W*l.Block
				if v == zero {
					ClearColumns(pl[:last], at, edge, row)
					at = last
				}
				for ; at < last; at += row {
					set(pl[at : at+edge])
				}
			}
			set(pl[last:])
		}
	}
}

// ClearColumns clears n elements at at and at every step behind it, as long as all of them lie in d.
func ClearColumns[T any](d []T, at, n, step int) {
	if at+n > len(d) || n <= 0 {
		return
	}
	times := (len(d)-n-at)/step + 1
	if size := unsafe.Sizeof(d[0]); uintptr(n)*size == 32 { // most borders of float32 blocks on arm64, without a call
		p := unsafe.Pointer(&d[at])
		for *(*[4]uint64)(p) = [4]uint64{}; times > 1; times-- {
			p = unsafe.Add(p, uintptr(step)*size)
			*(*[4]uint64)(p) = [4]uint64{}
		}
		return
	}
	for ; times > 0; times, at = times-1, at+step {
		clear(d[at : at+n])
	}
}
