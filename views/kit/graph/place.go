package graph

import "slices"

// place finds the middles of the verts, after Brandes and Köpf, "Fast and Simple Horizontal Coordinate Assignment"
// (2001): verts are joined into blocks that stand in one column, so that chains and long wires are straight; the blocks
// are packed; and of four packings, to the left and right and seen from above and below, the middle is taken, which
// favours no side: a chain of residual blocks does not drift.
//
// Ends of wires that are not in the middle of a box, as the ports of frames, shift a vert inside its block.
func (l *level) place() {
	n := len(l.verts)
	crossed := l.conflicts()
	var xs [4][]float32
	for v := range 4 {
		xs[v] = l.packing(v&1 != 0, v&2 != 0, crossed)
	}
	l.meet(&xs)
	lo, hi := float32(0), float32(0)
	for v := range n {
		four := [4]float32{xs[0][v], xs[1][v], xs[2][v], xs[3][v]}
		slices.Sort(four[:])
		p := &l.verts[v]
		p.x = (four[1] + four[2]) / 2
		if v == 0 || p.x-p.w/2 < lo {
			lo = p.x - p.w/2
		}
		if v == 0 || p.x+p.w/2 > hi {
			hi = p.x + p.w/2
		}
	}
	for v := range l.verts { // whole numbers: boxes are sharp at 100 %
		l.verts[v].x = float32(int(l.verts[v].x - lo + .5))
	}
	l.w = float32(2 * int((hi-lo)/2+1)) // even, so that the middle is a whole number as well
}

// meet moves the four packings to the place of the narrowest: those to the left by their left rims, the others by
// their right ones.
func (l *level) meet(xs *[4][]float32) {
	var lo, hi [4]float32
	best := 0
	for k, x := range xs {
		for v := range x {
			w := l.verts[v].w / 2
			if v == 0 || x[v]-w < lo[k] {
				lo[k] = x[v] - w
			}
			if v == 0 || x[v]+w > hi[k] {
				hi[k] = x[v] + w
			}
		}
		if hi[k]-lo[k] < hi[best]-lo[best] {
			best = k
		}
	}
	for k, x := range xs {
		d := lo[best] - lo[k]
		if k&2 != 0 {
			d = hi[best] - hi[k]
		}
		for v := range x {
			x[v] += d
		}
	}
}

// apart is the least distance of the middles of two neighbours.
func (l *level) apart(a, b int32) float32 {
	u, v := &l.verts[a], &l.verts[b]
	gap := float32(colGap)
	if u.kind != box || v.kind != box {
		gap = bendGap
	}
	return (u.w+v.w)/2 + gap
}

// conflicts marks links that cross a long wire between two of its bends: the long wire stays straight.
func (l *level) conflicts() []bool {
	bad := make([]bool, len(l.links))
	inner := func(i int32) bool {
		return l.verts[l.links[i].a].kind == bend && l.verts[l.links[i].b].kind == bend
	}
	for r := 1; r < len(l.rows); r++ {
		row := l.rows[r]
		left, from := int32(-1), 0
		for k, v := range row {
			right, end := int32(len(l.rows[r-1])), k == len(row)-1
			for _, i := range l.up[v] {
				if inner(i) {
					right, end = l.verts[l.links[i].a].pos, true
				}
			}
			if !end {
				continue
			}
			for ; from <= k; from++ {
				for _, i := range l.up[row[from]] {
					if p := l.verts[l.links[i].a].pos; !inner(i) && (p < left || p > right) {
						bad[i] = true
					}
				}
			}
			left = right
		}
	}
	return bad
}

// packing is one of the four: blocks are made from below or above, and packed to the right or left.
func (l *level) packing(below, rightward bool, crossed []bool) []float32 {
	root, shift := l.align(below, rightward, crossed)
	return l.compact(root, shift, rightward)
}

// align joins every vert to the middle one of its neighbours in the row before, unless that would cross a block. shift
// is where a vert stands, from its root.
func (l *level) align(below, rightward bool, crossed []bool) (root []int32, shift []float32) {
	n := len(l.verts)
	root, shift = make([]int32, n), make([]float32, n)
	taken := make([]bool, n) // has a vert of the next row in its block
	for v := range root {
		root[v] = int32(v)
	}
	var near []int32
	for i := range l.rows {
		r := i
		if below {
			r = len(l.rows) - 1 - i
		}
		row := l.rows[r]
		last := int32(-1)
		if rightward {
			last = 1 << 30
		}
		for k := range row {
			v := row[k]
			if rightward {
				v = row[len(row)-1-k]
			}
			near = l.near(v, below, near[:0])
			m := len(near)
			if m == 0 {
				continue
			}
			slices.SortStableFunc(near, func(a, b int32) int { return int(l.far(a, below).pos - l.far(b, below).pos) })
			mids := [2]int{(m - 1) / 2, m / 2}
			if rightward {
				mids[0], mids[1] = mids[1], mids[0]
			}
			for _, c := range mids {
				i := near[c]
				u := l.links[i].a
				if below {
					u = l.links[i].b
				}
				pos := l.verts[u].pos
				if root[v] != v || crossed[i] || taken[u] || (!rightward && pos <= last) || (rightward && pos >= last) {
					continue
				}
				taken[u], last = true, pos
				root[v] = root[u]
				d := l.links[i].da - l.links[i].db
				if below {
					d = -d
				}
				shift[v] = shift[u] + d
			}
		}
	}
	return root, shift
}

// near lists the links to the row before. Loose ends among the neighbours, which only this vert keeps in place, have no
// say where others have: a constant beside the data must not push a chain aside.
func (l *level) near(v int32, below bool, out []int32) []int32 {
	list := l.up[v]
	if below {
		list = l.down[v]
	}
	for _, i := range list {
		u := l.links[i].a
		loose := len(l.up[u]) == 0
		if below {
			u = l.links[i].b
			loose = len(l.down[u]) == 0
		}
		if !loose || l.verts[u].kind != box {
			out = append(out, i)
		}
	}
	if len(out) == 0 {
		out = append(out, list...)
	}
	return out
}

// far is the other end of a link: the upper one, or the lower one seen from below.
func (l *level) far(i int32, below bool) *vert {
	if below {
		return &l.verts[l.links[i].b]
	}
	return &l.verts[l.links[i].a]
}

// compact packs blocks: first all to the left as far as their neighbours let them, then each back towards its right
// neighbours, so that none stands apart without a reason. Packing to the right is the same seen in a mirror.
func (l *level) compact(root []int32, shift []float32, mirrored bool) []float32 {
	n := len(l.verts)
	type rule struct {
		to  int32
		sep float32
	}
	after, before := make([][]rule, n), make([][]rule, n)
	wait := make([]int32, n)
	for _, row := range l.rows {
		for k := 1; k < len(row); k++ {
			a, b := row[k-1], row[k]
			sep := l.apart(a, b)
			if mirrored {
				a, b = b, a
				sep += shift[b] - shift[a]
			} else {
				sep += shift[a] - shift[b]
			}
			u, v := root[a], root[b]
			after[u] = append(after[u], rule{v, sep})
			before[v] = append(before[v], rule{u, sep})
			wait[v]++
		}
	}
	x := make([]float32, n)
	order := make([]int32, 0, n)
	for v := range int32(n) {
		if root[v] == v && wait[v] == 0 {
			order = append(order, v)
		}
	}
	for i := 0; i < len(order); i++ {
		u := order[i]
		for _, r := range before[u] {
			x[u] = max(x[u], x[r.to]+r.sep)
		}
		for _, r := range after[u] {
			if wait[r.to]--; wait[r.to] == 0 {
				order = append(order, r.to)
			}
		}
	}
	for i := len(order) - 1; i >= 0; i-- {
		u := order[i]
		if len(after[u]) == 0 {
			continue
		}
		room := float32(1 << 30)
		for _, r := range after[u] {
			room = min(room, x[r.to]-r.sep)
		}
		x[u] = max(x[u], room)
	}
	out := make([]float32, n)
	for v := range out {
		out[v] = x[root[v]] + shift[v]
		if mirrored {
			out[v] = -x[root[v]] + shift[v]
		}
	}
	return out
}

// rise finds the tops: a row is as high as its highest box, and rows stand apart by what the widest curve between them
// needs.
func (l *level) rise() {
	l.top, l.high = make([]float32, len(l.rows)), make([]float32, len(l.rows))
	reach := make([]float32, len(l.rows))
	for _, k := range l.links {
		d := l.verts[k.a].x + k.da - l.verts[k.b].x - k.db
		r := l.verts[k.a].row
		reach[r] = max(reach[r], d, -d)
	}
	y := float32(0)
	for r, row := range l.rows {
		for _, v := range row {
			l.high[r] = max(l.high[r], l.verts[v].h)
		}
		l.top[r] = y
		for _, v := range row {
			p := &l.verts[v]
			p.y = y
			if p.kind == box {
				p.y += float32(int((l.high[r] - p.h) / 2))
			}
		}
		y += l.high[r]
		if r+1 < len(l.rows) {
			y += float32(int(min(max(rowGap, 12+reach[r]/10), longRow)))
		}
	}
	l.h = y
}
