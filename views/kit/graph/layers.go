package graph

import (
	"slices"
)

// A level is the inside of one open group, laid out in rows from top to bottom: the kids, the ports where wires enter
// and leave the group, and the bends of wires that pass a row. Middles are x, tops are y.
type level struct {
	verts []vert
	edges []arc
	links []link
	up    [][]int32 // links that end at a vert
	down  [][]int32 // links that begin at a vert
	rows  [][]int32
	top   []float32 // of each row
	high  []float32
	w, h  float32
}

type kind uint8

const (
	box kind = iota
	entry
	exit
	bend
)

type vert struct {
	w, h, x, y float32
	row        int32
	pos        int32 // in its row
	kind       kind
}

// arc is a wire between two verts of the level; signal names the value it carries. da and db are where it is attached,
// from the middles.
type arc struct {
	from, to int32
	da, db   float32
	signal   int32
	direct   bool // drawn without bends
	chain    int32
}

// link is a stretch of an arc between neighbouring rows.
type link struct {
	a, b   int32
	da, db float32
}

const (
	colGap   = 18
	bendGap  = 14
	rowGap   = 20
	longRow  = 64   // most room between two rows
	bendsCap = 20   // bends for each box of a level, before the longest wires go without
	minBends = 4000 // but never fewer than this
)

// arrange lays the level out.
func (l *level) arrange() {
	l.rank()
	l.thread()
	l.order()
	l.place()
	l.rise()
}

// rank gives rows. A vert stands in the middle of where it may: after everything it reads, before everything that reads
// it. Verts without readers follow what they read, verts that read nothing stand before their first reader.
func (l *level) rank() {
	n := len(l.verts)
	out, in := make([][]int32, n), make([][]int32, n)
	for _, e := range l.edges {
		out[e.from] = append(out[e.from], e.to)
		in[e.to] = append(in[e.to], e.from)
	}
	topo := make([]int32, 0, n)
	wait := make([]int, n)
	for v := range n {
		if wait[v] = len(in[v]); wait[v] == 0 {
			topo = append(topo, int32(v))
		}
	}
	lo, hi := make([]int32, n), make([]int32, n)
	base := int32(0)
	for v := range l.verts {
		if l.verts[v].kind == entry {
			base = 1
		}
	}
	for i := 0; i < len(topo); i++ {
		v := topo[i]
		if l.verts[v].kind != entry {
			lo[v] = max(lo[v], base)
		}
		for _, w := range out[v] {
			lo[w] = max(lo[w], lo[v]+1)
			if wait[w]--; wait[w] == 0 {
				topo = append(topo, w)
			}
		}
	}
	last := base
	for v := range l.verts {
		if l.verts[v].kind != exit {
			last = max(last, lo[v])
		}
	}
	for i := len(topo) - 1; i >= 0; i-- {
		v := topo[i]
		hi[v] = lo[v] // nobody reads it
		for k, w := range out[v] {
			h := hi[w] - 1
			if l.verts[w].kind == exit {
				h = last
			}
			if k == 0 || h < hi[v] {
				hi[v] = h
			}
		}
		hi[v] = max(hi[v], lo[v])
	}
	for v := range l.verts {
		switch p := &l.verts[v]; {
		case p.kind == entry:
			p.row = 0
		case p.kind == exit:
			p.row = last + 1
		case len(in[v]) == 0 && len(out[v]) > 0:
			p.row = hi[v]
		default:
			p.row = (lo[v] + hi[v]) / 2
		}
	}
	// the middle of a slack may lie beside a source that was moved down to its first reader
	for _, v := range topo {
		for _, w := range out[v] {
			l.verts[w].row = max(l.verts[w].row, l.verts[v].row+1)
		}
	}
	for v := range l.verts {
		if p := &l.verts[v]; p.kind != exit {
			last = max(last, p.row)
		}
	}
	for v := range l.verts {
		if p := &l.verts[v]; p.kind == exit {
			p.row = last + 1
		}
	}
}

// thread puts bends where a wire passes a row. All wires of one value from one vert share a chain of bends. Where there
// would be too many, the longest wires are drawn straight.
func (l *level) thread() {
	slices.SortStableFunc(l.edges, func(a, b arc) int {
		if a.from != b.from {
			return int(a.from - b.from)
		}
		if a.signal != b.signal {
			return int(a.signal - b.signal)
		}
		return int(l.verts[a.to].row - l.verts[b.to].row)
	})
	boxes := len(l.verts)
	room := max(bendsCap*boxes, minBends)
	for i := 0; i < len(l.edges); {
		j := i
		for j < len(l.edges) && l.edges[j].from == l.edges[i].from && l.edges[j].signal == l.edges[i].signal {
			j++
		}
		l.chain(l.edges[i:j], &room)
		i = j
	}
	l.up, l.down = make([][]int32, len(l.verts)), make([][]int32, len(l.verts))
	for i, k := range l.links {
		l.down[k.a] = append(l.down[k.a], int32(i))
		l.up[k.b] = append(l.up[k.b], int32(i))
	}
}

// chain threads the arcs of one value, which are sorted by the rows where they end.
func (l *level) chain(arcs []arc, room *int) {
	at, da := arcs[0].from, arcs[0].da
	for i := range arcs {
		e := &arcs[i]
		to := l.verts[e.to].row
		if need := int(to - l.verts[at].row - 1); need > *room {
			e.direct = true
			continue
		}
		for l.verts[at].row < to-1 {
			*room--
			b := int32(len(l.verts))
			l.verts = append(l.verts, vert{w: 2, row: l.verts[at].row + 1, kind: bend})
			l.links = append(l.links, link{at, b, da, 0})
			at, da = b, 0
		}
		e.chain = int32(len(l.links))
		l.links = append(l.links, link{at, e.to, da, e.db})
	}
}

// order sorts the rows by barycentres, down and up by turns, and keeps the best order it saw.
func (l *level) order() {
	last := int32(0)
	for i := range l.verts {
		last = max(last, l.verts[i].row)
	}
	l.rows = make([][]int32, last+1)
	for _, v := range l.depthFirst() {
		p := &l.verts[v]
		p.pos = int32(len(l.rows[p.row]))
		l.rows[p.row] = append(l.rows[p.row], v)
	}
	best, tries := l.crossings(), 0
	keep := l.snapshot()
	key := make([]float64, len(l.verts))
	for it := 0; it < 12 && best > 0 && tries < 4; it++ {
		l.sweep(it%2 == 0, key)
		if c := l.crossings(); c < best {
			best, tries = c, 0
			keep = l.snapshot()
		} else {
			tries++
		}
	}
	for r, row := range keep {
		l.rows[r] = row
		for i, v := range row {
			l.verts[v].pos = int32(i)
		}
	}
}

// depthFirst lists the verts so that a chain stays together from the start.
func (l *level) depthFirst() []int32 {
	seen := make([]bool, len(l.verts))
	out := make([]int32, 0, len(l.verts))
	var stack []int32
	for pass := range 2 { // first from ports and sources, then whatever is left
		for v := range l.verts {
			if seen[v] || (pass == 0 && len(l.up[v]) > 0) {
				continue
			}
			stack = append(stack[:0], int32(v))
			for len(stack) > 0 {
				u := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				if seen[u] {
					continue
				}
				seen[u] = true
				out = append(out, u)
				for i := len(l.down[u]) - 1; i >= 0; i-- {
					stack = append(stack, l.links[l.down[u][i]].b)
				}
			}
		}
	}
	return out
}

func (l *level) snapshot() [][]int32 {
	out := make([][]int32, len(l.rows))
	for i, r := range l.rows {
		out[i] = slices.Clone(r)
	}
	return out
}

func (l *level) sweep(down bool, key []float64) {
	for i := range l.rows {
		r := i
		if !down {
			r = len(l.rows) - 1 - i
		}
		row := l.rows[r]
		if len(row) < 2 {
			continue
		}
		for _, v := range row {
			key[v] = l.barycentre(v, down)
		}
		slices.SortStableFunc(row, func(a, b int32) int {
			switch {
			case key[a] < key[b]:
				return -1
			case key[a] > key[b]:
				return 1
			}
			return 0
		})
		for p, v := range row {
			l.verts[v].pos = int32(p)
		}
	}
}

// barycentre is the mean place of the neighbours above or below, as a share of their rows; the vert's own where it has none.
func (l *level) barycentre(v int32, down bool) float64 {
	list := l.up[v]
	if !down {
		list = l.down[v]
	}
	if len(list) == 0 {
		return l.share(v)
	}
	sum := 0.0
	for _, i := range list {
		u := l.links[i].a
		if !down {
			u = l.links[i].b
		}
		sum += l.share(u)
	}
	return sum / float64(len(list))
}

func (l *level) share(v int32) float64 {
	p := &l.verts[v]
	return (float64(p.pos) + .5) / float64(len(l.rows[p.row]))
}

// crossings counts pairs of links that cross, row by row, with a tree of counts.
func (l *level) crossings() int {
	total := 0
	var ends, tree []int32
	for r := 0; r+1 < len(l.rows); r++ {
		ends = ends[:0]
		for _, v := range l.rows[r] {
			from := len(ends)
			for _, i := range l.down[v] {
				ends = append(ends, l.verts[l.links[i].b].pos)
			}
			slices.Sort(ends[from:])
		}
		if len(ends) < 2 {
			continue
		}
		n := len(l.rows[r+1])
		tree = append(tree[:0], make([]int32, n+1)...)
		for i, e := range ends {
			seen := int32(0) // of those before, how many end at or before e
			for k := e + 1; k > 0; k -= k & -k {
				seen += tree[k]
			}
			total += i - int(seen)
			for k := e + 1; k <= int32(n); k += k & -k {
				tree[k]++
			}
		}
	}
	return total
}
