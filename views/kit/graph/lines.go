package graph

import (
	"slices"

	"fettle/views/kit/raster"
)

// spread moves the ends of several wires apart along the top of a box, in the order they come from.
func (l *level) spread(v int32) {
	ends := slices.Clone(l.up[v])
	if len(ends) < 2 {
		return
	}
	x := func(i int32) float32 { return l.verts[l.links[i].a].x + l.links[i].da }
	slices.SortStableFunc(ends, func(a, b int32) int {
		switch {
		case x(a) < x(b):
			return -1
		case x(a) > x(b):
			return 1
		}
		return 0
	})
	n := float32(len(ends) - 1)
	step := min(64, (l.verts[v].w-64)/n)
	for i, e := range ends {
		l.links[e].db = float32(int((float32(i) - n/2) * step))
	}
}

// trunk is the line from the maker of a value along all bends before link last, and on to its end.
func (l *level) trunk(last int32) []float32 {
	var chain []int32
	for i := last; ; i = l.up[l.links[i].a][0] {
		chain = append(chain, i)
		if l.verts[l.links[i].a].kind != bend {
			break
		}
	}
	var pts []float32
	for i := len(chain) - 1; i >= 0; i-- {
		pts = l.stretch(pts, chain[i])
	}
	return pts
}

// stretch adds the points of a link. A curve that would touch a neighbour first runs straight to the end of its row.
func (l *level) stretch(pts []float32, i int32) []float32 {
	k := &l.links[i]
	a, b := &l.verts[k.a], &l.verts[k.b]
	x0, y0, x1, y1 := a.x+k.da, a.y+a.h, b.x+k.db, b.y
	if a.kind == bend {
		y0 = l.top[a.row] + l.high[a.row]
	}
	if b.kind == bend {
		y1 = l.top[b.row]
	}
	pts = append(pts, x0, y0) // after a bend: the straight part through its row
	below, above := l.top[a.row]+l.high[a.row], l.top[b.row]
	if x0 != x1 && (y0 < below || y1 > above) {
		if !l.free(k.a, x0, y0, x1, y1) {
			pts = append(pts, x0, below)
			y0 = below
		}
		if !l.free(k.b, x0, y0, x1, y1) {
			pts = append(pts, x1, above)
		}
	}
	return append(pts, x1, y1)
}

// free reports whether a curve keeps clear of the boxes beside v, in its row.
func (l *level) free(v int32, x0, y0, x1, y1 float32) bool {
	row := l.rows[l.verts[v].row]
	lo, hi := min(x0, x1), max(x0, x1)
	for _, step := range []int{-1, 1} {
		for p := int(l.verts[v].pos) + step; p >= 0 && p < len(row); p += step {
			q := &l.verts[row[p]]
			if q.kind != box {
				continue
			}
			if step < 0 && q.x+q.w/2 < lo || step > 0 && q.x-q.w/2 > hi {
				break
			}
			for i := 1; i < 12; i++ {
				x, y := raster.CurveAt(x0, y0, x1, y1, float32(i)/12)
				if x > q.x-q.w/2-6 && x < q.x+q.w/2+6 && y > q.y-4 && y < q.y+q.h+4 {
					return false
				}
			}
		}
	}
	return true
}

// straighten drops points in the middle of vertical runs.
func straighten(pts []float32) []float32 {
	out := pts[:2]
	for i := 2; i+1 < len(pts); i += 2 {
		n := len(out)
		if n >= 4 && out[n-2] == pts[i] && out[n-4] == pts[i] {
			out[n-1] = pts[i+1]
			continue
		}
		out = append(out, pts[i], pts[i+1])
	}
	return slices.Clip(out)
}
