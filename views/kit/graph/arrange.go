package graph

import (
	"context"
	"unicode/utf8"
)

// Plan is the geometry of a tree with some groups open: what the picture shows, and where. It holds no colours and no
// measurements, so a lens can be changed without laying out again.
type Plan struct {
	Tree   *Tree
	Open   map[string]bool
	Cells  []Cell
	Frames []Cell // open groups, outer before inner
	Lines  []Line
	cell   map[Ref]int32 // place of a ref in Cells
}

// Cell is a box: an item, a closed group, or an open one as a frame.
type Cell struct {
	Ref   Ref
	Box   Rect
	Depth int
}

// Line is a piece of a wire: the points of its curves, x and y by turns. From is a place in Cells.
type Line struct {
	From  int32
	Pts   []float32
	Arrow bool
}

// Inside a frame: room at the sides, above the first row where no wire enters, and below the last row. Where wires enter,
// their ports are as high as the title, which covers them.
const (
	framePad    = 16
	frameTop    = 40
	frameBottom = 12
)

// Arrange lays out the tree with the groups of open shown as frames. It is deterministic; fail.Cancelled by ctx.
func Arrange(ctx context.Context, t *Tree, open map[string]bool) (*Plan, error) {
	a := &arranger{t: t, open: open, levels: map[int32]*inside{}, plan: &Plan{Tree: t, Open: open, cell: map[Ref]int32{}}}
	a.collect(0)
	a.route()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := a.layOut(ctx, 0); err != nil {
		return nil, err
	}
	a.place(0, 0, 0, 0)
	a.draw(0)
	return a.plan, nil
}

// Cell is the place of what stands for an item on the plan.
func (p *Plan) Cell(item int32) int32 { return p.cell[p.Tree.Visible(item, p.Open)] }

type arranger struct {
	t      *Tree
	open   map[string]bool
	levels map[int32]*inside // of open groups
	plan   *Plan
}

// inside is an open group while it is laid out.
type inside struct {
	level
	refs    []Ref         // of the kids, which are the first verts
	at      map[Ref]int32 // vert of a kid
	in, out map[Ref]int32 // vert of the port of a value, named by what makes it
	seen    map[arcKey]bool
	ox, oy  float32
}

type arcKey struct {
	from, to int32
	signal   Ref
}

func (a *arranger) isOpen(r Ref) bool { return r.IsGroup() && a.levels[r.Index()] != nil }

// collect makes the level of an open group and of the open groups inside.
func (a *arranger) collect(g int32) {
	kids := a.t.Groups[g].Kids
	l := &inside{refs: kids, at: make(map[Ref]int32, len(kids)), in: map[Ref]int32{}, out: map[Ref]int32{}, seen: map[arcKey]bool{}}
	a.levels[g] = l
	for i, k := range kids {
		l.at[k] = int32(i)
		w, h := a.size(k)
		l.verts = append(l.verts, vert{w: w, h: h})
		if k.IsGroup() && a.open[a.t.Groups[k.Index()].Path] {
			a.collect(k.Index())
		}
	}
}

// size is the box of a kid. Widths have three steps, so that columns look tidy.
func (a *arranger) size(r Ref) (w, h float32) {
	if r.IsGroup() {
		return 232, 50
	}
	it := &a.t.Items[r]
	title, sub := textWidth(it.Title), textWidth(it.Sub)
	need := max(title*7.5+86, sub*6.2+60)
	if it.Small {
		need, h = title*7.5+sub*6.2+90, 28
	} else {
		h = 50
	}
	switch {
	case need <= 168:
		w = 168
	case need <= 200:
		w = 200
	default:
		w = 232
	}
	return w, h
}

// textWidth counts characters; Chinese ones are twice as wide.
func textWidth(s string) float32 {
	n := utf8.RuneCountInString(s)
	return float32(n + (len(s)-n)/2)
}

// path is the chain of open groups around r, innermost first, ending with the root.
func (a *arranger) path(r Ref, buf []int32) []int32 {
	g := int32(0)
	if r.IsGroup() {
		g = a.t.Groups[r.Index()].Parent
	} else {
		g = a.t.Home[r]
	}
	for buf = buf[:0]; g >= 0; g = a.t.Groups[g].Parent {
		buf = append(buf, g)
	}
	return buf
}

// route puts every wire into the levels that it passes. A wire is named by the visible thing that makes its value, so
// that all readers of a value share one line.
func (a *arranger) route() {
	visible := make([]Ref, len(a.t.Items))
	for i := range visible {
		visible[i] = a.t.Visible(int32(i), a.open)
	}
	type pair struct{ from, to Ref }
	done := map[pair]bool{}
	var up, down []int32
	for _, w := range a.t.Wires {
		p := pair{visible[w.From], visible[w.To]}
		if p.from == p.to || done[p] {
			continue
		}
		done[p] = true
		up, down = a.path(p.from, up), a.path(p.to, down)
		i, j := len(up)-1, len(down)-1
		for i > 0 && j > 0 && up[i-1] == down[j-1] {
			i, j = i-1, j-1
		}
		from := p.from
		for _, g := range up[:i] { // out of the groups around the maker
			l := a.levels[g]
			l.add(l.at[from], l.port(l.out, p.from, exit), p.from)
			from = GroupRef(g)
		}
		to := p.to
		for _, g := range down[:j] { // into the groups around the reader
			l := a.levels[g]
			l.add(l.port(l.in, p.from, entry), l.at[to], p.from)
			to = GroupRef(g)
		}
		l := a.levels[up[i]]
		l.add(l.at[from], l.at[to], p.from)
	}
}

func (l *inside) add(from, to int32, signal Ref) {
	k := arcKey{from, to, signal}
	if !l.seen[k] {
		l.seen[k] = true
		l.edges = append(l.edges, arc{from: from, to: to, signal: int32(signal)})
	}
}

func (l *inside) port(m map[Ref]int32, signal Ref, k kind) int32 {
	if v, ok := m[signal]; ok {
		return v
	}
	v := int32(len(l.verts))
	p := vert{w: 2, kind: k}
	if k == entry {
		p.h = titleBand
	}
	l.verts = append(l.verts, p)
	m[signal] = v
	return v
}

// layOut works from the inside out: a frame must have its size before its neighbours can be placed.
func (a *arranger) layOut(ctx context.Context, g int32) error {
	l := a.levels[g]
	for i, r := range l.refs {
		if !a.isOpen(r) {
			continue
		}
		if err := a.layOut(ctx, r.Index()); err != nil {
			return err
		}
		k := a.levels[r.Index()]
		l.verts[i].w, l.verts[i].h = k.w, k.h
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range l.edges {
		e := &l.edges[i]
		e.da, e.db = a.portX(l, e.from, e.signal, true), a.portX(l, e.to, e.signal, false)
	}
	l.arrange()
	if g != 0 {
		l.frame()
	}
	return nil
}

// portX is where a wire of signal is attached to vert v, from its middle.
func (a *arranger) portX(l *inside, v, signal int32, leaves bool) float32 {
	if int(v) >= len(l.refs) || !a.isOpen(l.refs[v]) {
		return 0
	}
	k := a.levels[l.refs[v].Index()]
	ports := k.in
	if leaves {
		ports = k.out
	}
	p, ok := ports[Ref(signal)]
	if !ok {
		return 0
	}
	return k.verts[p].x - k.w/2
}

// frame grows the level by the borders of its frame.
func (l *inside) frame() {
	top := float32(frameTop)
	if len(l.in) > 0 {
		top = 0
	}
	bottom := float32(frameBottom)
	if len(l.out) > 0 {
		bottom = frameBottom - min(frameBottom, l.h-l.lastBox())
	}
	dx := float32(framePad)
	if w := l.w + 2*framePad; w < 200 {
		dx += float32(int((200 - w) / 2))
	}
	for i := range l.verts {
		l.verts[i].x += dx
		l.verts[i].y += top
	}
	for i := range l.top {
		l.top[i] += top
	}
	l.w += 2 * dx
	l.h += top + max(bottom, 0)
	for i := range l.verts {
		if l.verts[i].kind == exit {
			l.verts[i].y = l.h
		}
	}
}

func (l *inside) lastBox() float32 {
	y := float32(0)
	for i := range l.refs {
		y = max(y, l.verts[i].y+l.verts[i].h)
	}
	return y
}

// place gives absolute places from the outside in, and lists cells and frames.
func (a *arranger) place(g int32, ox, oy float32, depth int) {
	l := a.levels[g]
	l.ox, l.oy = ox, oy
	for i, r := range l.refs {
		v := &l.verts[i]
		c := Cell{Ref: r, Box: Rect{ox + v.x - v.w/2, oy + v.y, ox + v.x + v.w/2, oy + v.y + v.h}, Depth: depth}
		if a.isOpen(r) {
			a.plan.Frames = append(a.plan.Frames, c)
			a.place(r.Index(), c.Box.X0, c.Box.Y0, depth+1)
			continue
		}
		a.plan.cell[r] = int32(len(a.plan.Cells))
		a.plan.Cells = append(a.plan.Cells, c)
	}
}

// draw turns arcs into lines.
func (a *arranger) draw(g int32) {
	l := a.levels[g]
	for v, r := range l.refs {
		if !a.isOpen(r) {
			l.spread(int32(v))
		}
	}
	for i := 0; i < len(l.edges); {
		j := i
		for j < len(l.edges) && l.edges[j].from == l.edges[i].from && l.edges[j].signal == l.edges[i].signal {
			j++
		}
		a.drawChain(l, l.edges[i:j])
		i = j
	}
	for _, r := range l.refs {
		if a.isOpen(r) {
			a.draw(r.Index())
		}
	}
}

// drawChain draws the line of one value: along its bends to the last reader, and a branch to each reader before.
func (a *arranger) drawChain(l *inside, arcs []arc) {
	from, ok := a.plan.cell[Ref(arcs[0].signal)]
	if !ok {
		from = -1
	}
	trunk := -1
	for i := range arcs {
		if !arcs[i].direct {
			trunk = i
		}
	}
	for i, e := range arcs {
		var pts []float32
		switch {
		case e.direct:
			u, v := &l.verts[e.from], &l.verts[e.to]
			pts = []float32{u.x + e.da, u.y + u.h, v.x + e.db, v.y}
		case i == trunk:
			pts = l.trunk(e.chain)
		default:
			pts = l.stretch(nil, e.chain)
		}
		a.line(l, from, pts, a.arrow(l, e.to))
	}
}

func (a *arranger) arrow(l *inside, to int32) bool {
	return int(to) < len(l.refs) && !a.isOpen(l.refs[to])
}

func (a *arranger) line(l *inside, from int32, pts []float32, arrow bool) {
	for i := 0; i < len(pts); i += 2 {
		pts[i] += l.ox
		pts[i+1] += l.oy
	}
	a.plan.Lines = append(a.plan.Lines, Line{From: from, Pts: straighten(pts), Arrow: arrow})
}
