package graph

// grid is a uniform index over boxes, stored as one counting-sorted list.
// A query visits each box once; the stamps belong to the caller's goroutine.
type grid struct {
	x, y, cell float32
	nx, ny     int
	start      []int32
	items      []int32
	stamp      []uint32
	now        uint32
}

func newGrid(b Rect, n int, cell float32, box func(int) Rect) *grid {
	g := &grid{x: b.X0, y: b.Y0, cell: cell, stamp: make([]uint32, n)}
	for {
		g.nx = int(b.W()/g.cell) + 1
		g.ny = int(b.H()/g.cell) + 1
		if g.nx*g.ny < 65536 {
			break
		}
		g.cell *= 2
	}
	g.start = make([]int32, g.nx*g.ny+1)
	for i := range n {
		x0, y0, x1, y1 := g.cells(box(i))
		for y := y0; y <= y1; y++ {
			for x := x0; x <= x1; x++ {
				g.start[y*g.nx+x+1]++
			}
		}
	}
	for i := 1; i < len(g.start); i++ {
		g.start[i] += g.start[i-1]
	}
	g.items = make([]int32, g.start[len(g.start)-1])
	at := append([]int32(nil), g.start...)
	for i := range n {
		x0, y0, x1, y1 := g.cells(box(i))
		for y := y0; y <= y1; y++ {
			for x := x0; x <= x1; x++ {
				k := y*g.nx + x
				g.items[at[k]] = int32(i)
				at[k]++
			}
		}
	}
	return g
}

func (g *grid) cells(r Rect) (x0, y0, x1, y1 int) {
	c := func(v float32, n int) int { return min(max(int(v/g.cell), 0), n-1) }
	return c(r.X0-g.x, g.nx), c(r.Y0-g.y, g.ny), c(r.X1-g.x, g.nx), c(r.Y1-g.y, g.ny)
}

// query appends to dst every item whose cells touch r, each once.
func (g *grid) query(r Rect, dst []int32) []int32 {
	g.now++
	x0, y0, x1, y1 := g.cells(r)
	for y := y0; y <= y1; y++ {
		row := y * g.nx
		for _, i := range g.items[g.start[row+x0]:g.start[row+x1+1]] {
			if g.stamp[i] != g.now {
				g.stamp[i] = g.now
				dst = append(dst, i)
			}
		}
	}
	return dst
}
