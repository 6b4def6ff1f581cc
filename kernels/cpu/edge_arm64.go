package cpu

import "unsafe"

// edgeArgs is what fillEdges reads; lengths of runs in lines of 16 bytes, distances in bytes. The offsets are known to _asm/arm64gen/edge.go. NEON is part
// of every arm64 processor.
type edgeArgs struct {
	dst           unsafe.Pointer
	planes, plane int64
	head          int64 // up to the first pixel of the first row
	edge, rows    int64 // between two rows, and how many times
	row           int64
	tail          int64 // behind the last pixel
	width         int64 // of the pixels of a row
	_             int64
	fill          [16]byte
}

// fillPlanes is FillBorder where a pixel of a block is whole lines of 16 bytes; false: it is not.
func fillPlanes[T comparable](l Layout, d []T, v T) bool {
	size := int(unsafe.Sizeof(v))
	if l.Block*size%16 != 0 || l.Gap*size%16 != 0 || 16%size != 0 || l.H == 0 || l.W == 0 || l.N == 0 || l.C == 0 || len(d) < l.Len()-l.Skip {
		return false
	}
	row, first := l.Row(), l.Top*l.Row()+l.Left*l.Block
	lines := func(n int) int64 { return int64(n * size / 16) }
	a := edgeArgs{planes: int64(l.Blocks()), plane: int64(l.Plane() * size), head: lines(first), edge: lines((l.Left + l.Right) * l.Block), rows: int64(l.H - 1), row: int64(row * size),
		tail: lines(l.Plane() - (l.Top+l.H)*row + l.Right*l.Block), width: int64(l.W * l.Block * size)}
	if a.edge == 0 { // rows lie side by side
		a.rows, a.width = 0, int64(l.H*row*size)
	}
	for i := range 16 / size {
		*(*T)(unsafe.Pointer(&a.fill[i*size])) = v
	}
	for n := range l.N {
		b := a
		b.dst = unsafe.Pointer(&d[n*l.Image()])
		fillEdges(&b)
	}
	return true
}
