package graph

import (
	"image"
	"math"

	"fettle/views/kit/raster"
)

// Mark is a sign on a node that changes without building the scene again.
type Mark uint8

// The marks.
const (
	Selected Mark = 1 << iota
	Found         // search hit
	Current       // the hit the search stands on
	Coupled       // pruned together
)

// View is what changes from frame to frame.
type View struct {
	Camera  Camera
	Marks   []Mark // one a node, or nil
	Minimap bool
	Legend  bool
	Ramp    *Ramp   // colours of the lens; nil is heat
	Caption float64 // size of captions in DIP: 11, or 12 where they hold Chinese; 0 is 11
	Words   Words
}

// Words are what the painter itself writes, in the current language.
type Words struct{ NotMeasured, NoData, Node, Group string }

// English is the painter's words in English.
var English = Words{"not measured", "no data", "node", "group"}

// Painter paints scenes. A frame has two steps: prepare queries the index and shapes text, then everything is painted
// from back to front. Nothing is allocated once the caches are warm.
type Painter struct {
	Inks    *Inks
	ts      *raster.Type
	corners map[int]*raster.Corner

	// the frame being painted
	m            metrics
	s            *Scene
	v            *View
	w, h         int
	nodes, segs  []int32
	texts, above []textItem
	ramp         *Ramp
	mini         minimap
	legend       legendBox
}

// NewPainter makes a painter with fonts and colours.
func NewPainter(f *raster.Fonts, k *Inks) *Painter {
	return &Painter{Inks: k, ts: raster.NewType(f), corners: map[int]*raster.Corner{}}
}

type align uint8

const (
	left align = iota
	right
	centre
)

type textItem struct {
	cut  raster.Cut
	x, y int // pen and baseline
	c    raster.Color
}

// metrics are the sizes of one frame in device pixels.
type metrics struct {
	k, ox, oy                float64 // px = world*k + o
	s                        float64 // device pixels per DIP
	bw, strip                int
	flat, curves             bool
	title, sub, badge        bool
	szTitle, szVal, szSub    uint8
	szBadge, szFrame2        uint8
	hw                       float32 // half edge width
	peak                     uint32
	aw, ah                   float32
	node, nodeIn             *raster.Corner
	group, groupIn           *raster.Corner
	frame, frameIn, frameBar *raster.Corner
	inner, innerIn           *raster.Corner
	bdg, bdgIn               *raster.Corner
	sel, selIn               *raster.Corner
	couple                   *raster.Corner
	diff, diffIn             *raster.Corner
	card, cardIn             *raster.Corner
	thumb, thumbIn           *raster.Corner
}

// Paint draws the scene into dst, which must be a whole picture and not a part of one; scale is device pixels per DIP.
func (p *Painter) Paint(dst *image.RGBA, scale float64, s *Scene, v *View) {
	p.w, p.h = dst.Rect.Dx(), dst.Rect.Dy()
	if p.w == 0 || p.h == 0 {
		return
	}
	p.s, p.v = s, v
	p.prepare(scale)
	p.draw(raster.New(dst))
	p.s, p.v = nil, nil
}

func (p *Painter) corner(r float64) *raster.Corner {
	k := int(r*8 + .5)
	c := p.corners[k]
	if c == nil {
		c = raster.NewCorner(float64(k) / 8)
		p.corners[k] = c
	}
	return c
}

func rnd(v float64) int { return int(math.Floor(v + .5)) }

func (p *Painter) prepare(scale float64) {
	v := p.v
	p.ts.Trim()
	if len(p.corners) > 2000 {
		clear(p.corners)
	}
	if p.ramp = v.Ramp; p.ramp == nil {
		p.ramp = &p.Inks.HeatRamp
	}
	p.measure(v.Camera, scale)
	view := v.Camera.View(float64(p.w)/scale, float64(p.h)/scale).Grow(float32(10 / v.Camera.Zoom))
	p.cull(view)
	p.texts, p.above = p.texts[:0], p.above[:0]
	p.frameTexts(view)
	if p.m.title {
		for _, i := range p.nodes {
			p.nodeTexts(&p.s.Nodes[i])
		}
	}
	if v.Legend {
		p.prepareLegend()
	}
	if v.Minimap {
		p.prepareMinimap()
	}
}

// measure resolves every size and level of detail for a camera. Under 8 pixels a node is a flat block, texts start at 7,
// curves at 35 %.
func (p *Painter) measure(cam Camera, scale float64) {
	z := cam.Zoom
	m := &p.m
	k := z * scale
	*m = metrics{k: k, ox: -cam.X * k, oy: -cam.Y * k, s: scale}
	m.flat = z*44 < 8
	m.curves = z >= 0.35
	m.title, m.sub = 13*z >= 7, 11*z >= 7
	m.badge = m.sub && 10.5*z >= 6.5 // without the second line it would stand on the value
	m.szTitle, m.szVal, m.szSub = raster.Size(13*k), raster.Size(12*k), raster.Size(p.caption()*k)
	m.szBadge, m.szFrame2 = raster.Size(10.5*k), raster.Size(12*k)
	m.bw = max(rnd(k), 1)
	m.strip = max(rnd(6*k), 2)
	ew := min(max(1.5*k, 0.35), 4*scale)
	m.hw, m.peak = float32(ew/2), uint32(min(ew, 1)*256)
	m.aw, m.ah = float32(8*k), float32(6*k)
	b := float64(m.bw)
	in := func(r float64) *raster.Corner { return p.corner(max(r-b, 0)) }
	m.node, m.nodeIn = p.corner(6*k), in(6*k)
	m.group, m.groupIn = p.corner(7*k), in(7*k)
	m.frame, m.frameIn, m.frameBar = p.corner(10*k), in(10*k), p.corner(9*k)
	m.inner, m.innerIn = p.corner(8*k), in(8*k)
	m.bdg, m.bdgIn = p.corner(3.5*k), in(3.5*k)
	m.sel, m.selIn = p.corner(10*k), p.corner(max(10*k-float64(p.selW()), 0))
	m.couple = p.corner(max(6*k-float64(p.selW()), 0))
	m.diff, m.diffIn = p.corner(4*k), in(4*k)
	m.card, m.cardIn = p.corner(8*scale), p.corner(8*scale-math.Round(scale))
	m.thumb, m.thumbIn = p.corner(3*scale), p.corner(1.5*scale)
}

// cull lists what the view shows.
func (p *Painter) cull(view Rect) {
	bd := p.s.Bounds
	p.nodes, p.segs = p.nodes[:0], p.segs[:0]
	if view.X0 <= bd.X0 && view.Y0 <= bd.Y0 && view.X1 >= bd.X1 && view.Y1 >= bd.Y1 {
		for i := range p.s.Nodes {
			p.nodes = append(p.nodes, int32(i))
		}
		for i := range p.s.Segs {
			p.segs = append(p.segs, int32(i))
		}
		return
	}
	for _, i := range p.s.ng.query(view, p.nodes) {
		if p.s.Nodes[i].Box.Touches(view) {
			p.nodes = append(p.nodes, i)
		}
	}
	for _, i := range p.s.sg.query(view, p.segs) {
		if p.s.Segs[i].box().Touches(view) {
			p.segs = append(p.segs, i)
		}
	}
}

func (p *Painter) caption() float64 {
	if p.v.Caption > 0 {
		return p.v.Caption
	}
	return 11
}

func (p *Painter) selW() int { return max(rnd(2*p.m.s), 2) }

func (p *Painter) px(x float32) int { return rnd(float64(x)*p.m.k + p.m.ox) }
func (p *Painter) py(y float32) int { return rnd(float64(y)*p.m.k + p.m.oy) }
func (p *Painter) d(v float64) int  { return rnd(v * p.m.k) }
func (p *Painter) u(v float64) int  { return rnd(v * p.m.s) }

// text places one line and returns its width in pixels.
func (p *Painter) text(list *[]textItem, s string, st raster.Style, size uint8, a align, x, y, room int, c raster.Color) int {
	if s == "" || room <= 0 {
		return 0
	}
	cut := p.ts.Fit(p.ts.Run(s, st, size), st, size, room)
	if cut.N == 0 {
		return 0
	}
	switch a {
	case right:
		x -= cut.Width
	case centre:
		x -= cut.Width / 2
	}
	*list = append(*list, textItem{cut, x, y, c})
	return cut.Width
}

// draw paints from back to front: ground, frames, edges, titles of frames, nodes, marks, texts, cards.
func (p *Painter) draw(c *raster.Canvas) {
	m, k := &p.m, p.Inks
	step := 24 * m.k
	for step < 12*m.s && step > 0 {
		step *= 2
	}
	if m.flat {
		step = 0
	}
	c.Clear(k.Bg0, k.Bg3, m.ox, m.oy, step)
	for i := range p.s.Frames {
		p.paintFrame(c, &p.s.Frames[i])
	}
	p.paintEdges(c)
	if m.flat {
		p.paintBlocks(c)
	} else {
		for i := range p.s.Frames {
			p.paintTitle(c, &p.s.Frames[i])
		}
		for _, i := range p.nodes {
			p.paintNode(c, &p.s.Nodes[i])
		}
	}
	for _, i := range p.nodes {
		if int(i) < len(p.v.Marks) && p.v.Marks[i] != 0 {
			p.paintMarks(c, &p.s.Nodes[i], p.v.Marks[i])
		}
	}
	if p.s.diffs && !m.flat {
		for _, i := range p.nodes {
			if n := &p.s.Nodes[i]; n.Diff != Same {
				p.paintDiff(c, n.Diff, p.px(n.Box.X0), (p.py(n.Box.Y0)+p.py(n.Box.Y1))/2)
			}
		}
	}
	p.paintTexts(c, p.texts)
	if p.v.Legend {
		p.paintLegend(c)
	}
	if p.v.Minimap {
		p.paintMinimap(c)
	}
	p.paintTexts(c, p.above)
}

func (p *Painter) paintTexts(c *raster.Canvas, list []textItem) {
	for i := range list {
		t := &list[i]
		c.Text(p.ts, t.cut, t.x, t.y, t.c)
	}
}

func (p *Painter) paintEdges(c *raster.Canvas) {
	marks := p.v.Marks
	for _, i := range p.segs {
		p.paintSeg(c, &p.s.Segs[i], p.Inks.Line3)
	}
	for _, i := range p.segs { // where the value of a selected node goes, over all others
		if e := &p.s.Segs[i]; e.Edge >= 0 && int(e.Edge) < len(marks) && marks[e.Edge]&Selected != 0 {
			p.paintSeg(c, e, p.Inks.Focus)
		}
	}
}

func (p *Painter) paintSeg(c *raster.Canvas, e *Seg, ink raster.Color) {
	m := &p.m
	k, ox, oy := float32(m.k), float32(m.ox), float32(m.oy)
	ax, ay, bx, by := e.X0*k+ox, e.Y0*k+oy, e.X1*k+ox, e.Y1*k+oy
	if !m.curves {
		if bx-ax > .7 || ax-bx > .7 || by-ay > .7 || ay-by > .7 {
			c.Line(ax, ay, bx, by, m.hw, m.peak, ink)
		}
		return
	}
	end := by
	if e.Arrow {
		end = float32(rnd(float64(by))) - 1
	}
	c.Curve(ax, ay, bx, end, m.hw, m.peak, ink)
	if e.Arrow {
		c.Arrow(bx, float32(rnd(float64(by))), m.aw, m.ah, ink)
	}
}

// paintBlocks is all that is left of nodes when they are smaller than 8 pixels.
func (p *Painter) paintBlocks(c *raster.Canvas) {
	k, ox, oy := float32(p.m.k), float32(p.m.ox), float32(p.m.oy)
	for _, i := range p.nodes {
		n := &p.s.Nodes[i]
		col := p.Inks.NotMeasured
		if n.Heat >= 0 {
			col = p.ramp.Strip[uint8(n.Heat*255)]
		}
		b := n.Box
		c.Rect(b.X0*k+ox, b.Y0*k+oy, b.X1*k+ox, b.Y1*k+oy, col)
	}
}
