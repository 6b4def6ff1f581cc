package graph

import (
	"cmp"
	"strconv"
	"unicode/utf8"

	"fettle/views/kit/raster"
)

// Cards float over the graph and keep their size: legend and minimap.

type legendBox struct{ x0, y0, x1, y1 int }

const (
	cardMargin  = 12
	classRow    = 18 // height of one class in the legend
	minimapSide = 158
	unitRow     = 16 // of a unit that has a row of its own
)

// size is that of the card in DIP.
func (k *Legend) size() (w, h int) {
	switch n := len(k.Classes); {
	case n > 0:
		return 148, 30 + n*classRow + 22
	case k.tall(): // the unit is too long to stand beside the heads of the columns
		return 104, 128 + unitRow
	}
	return 104, 128
}

// tall reports whether the unit has a row of its own.
func (k *Legend) tall() bool { return utf8.RuneCountInString(k.Unit) > 2 }

func (p *Painter) prepareLegend() {
	s := p.s
	p.legend = legendBox{}
	if s.Key.Unit == "" {
		return
	}
	w, h := s.Key.size()
	y1 := p.h - p.u(cardMargin)
	p.legend = legendBox{p.u(8), y1 - p.u(float64(h)), p.u(8) + p.u(float64(w)), y1}
	if len(s.Key.Classes) > 0 {
		p.classTexts()
	} else {
		p.scaleTexts()
	}
}

// drop is how much lower the scale lies under a unit with its own row.
func (p *Painter) drop() float64 {
	if p.s.Key.tall() {
		return unitRow
	}
	return 0
}

// put writes into the legend at a distance from its corner.
func (p *Painter) put(s string, st raster.Style, a align, dx, dy, room float64, c raster.Color) {
	p.text(&p.above, s, st, raster.Size(p.caption()*p.m.s), a, p.legend.x0+p.u(dx), p.legend.y0+p.u(dy), p.u(room), c)
}

func (p *Painter) scaleTexts() {
	k, ink, d := &p.s.Key, p.Inks, p.drop()
	p.put(k.Unit, raster.Bold, left, 10, 18, 76, ink.Text1)
	p.put(p.v.Words.Node, raster.Regular, left, 30, 18+d, 60, ink.Text3)
	if k.Group[0] != "" {
		p.put(p.v.Words.Group, raster.Regular, right, 98, 18+d, 60, ink.Text3)
	}
	for i, dy := range []float64{32, 64, 96} {
		p.put(cmp.Or(k.Node[i], "0"), raster.Regular, left, 30, dy+d, 34, ink.Text2)
		if k.Group[0] != "" {
			p.put(cmp.Or(k.Group[i], "0"), raster.Regular, right, 96, dy+d, 34, ink.Text2)
		}
	}
	p.put(p.v.Words.NoData, raster.Regular, left, 30, 116.5+d, 60, ink.Text2)
}

func (p *Painter) classTexts() {
	p.put(p.s.Key.Unit, raster.Bold, left, 10, 18, 120, p.Inks.Text1)
	y := 36.0
	for _, c := range p.s.Key.Classes {
		p.put(c.Name, raster.Regular, left, 28, y, 84, p.Inks.Text2)
		if c.Count > 0 { // none: only groups have this class
			p.put(strconv.Itoa(c.Count), raster.Regular, right, 140, y, 40, p.Inks.Text3)
		}
		y += classRow
	}
	p.put(p.v.Words.NoData, raster.Regular, left, 28, y, 100, p.Inks.Text2)
}

func (p *Painter) card(c *raster.Canvas, x0, y0, x1, y1 int) {
	w := max(p.u(1), 1)
	c.Box(x0, y0, x1, y1, p.m.card, p.Inks.Line1)
	c.Box(x0+w, y0+w, x1-w, y1-w, p.m.cardIn, p.Inks.Bg2)
}

func (p *Painter) paintLegend(c *raster.Canvas) {
	b := p.legend
	if b.x1 == 0 {
		return
	}
	p.card(c, b.x0, b.y0, b.x1, b.y1)
	if n := len(p.s.Key.Classes); n > 0 {
		y := b.y0 + p.u(27)
		for _, k := range p.s.Key.Classes {
			c.Box(b.x0+p.u(10), y, b.x0+p.u(20), y+p.u(10), p.m.thumbIn, k.Color)
			y += p.u(classRow)
		}
		p.swatch(c, b.x0+p.u(10), y, b.x0+p.u(20), y+p.u(10))
		return
	}
	d := p.u(p.drop())
	bx0, bx1, top, bot := b.x0+p.u(10), b.x0+p.u(22), b.y0+p.u(28)+d, b.y0+p.u(92)+d
	for y := max(top, c.Y0); y < min(bot, c.Y1); y++ {
		c.Span(bx0, bx1, y, p.ramp.Strip[(bot-1-y)*255/max(bot-1-top, 1)])
	}
	for i := range 3 {
		y := float32(top) + float32(bot-top)*float32(i)/2
		c.Rect(float32(bx1), y-.5, float32(bx1+p.u(4)), y+.5, p.Inks.Text3)
	}
	hy := b.y0 + p.u(106) + d
	p.swatch(c, bx0, hy, bx1, hy+p.u(12))
}

// swatch is the sample of "no data".
func (p *Painter) swatch(c *raster.Canvas, x0, y0, x1, y1 int) {
	one, none := max(p.u(1), 1), p.corner(0)
	c.Ring(x0, y0, x1, y1, one, none, none, p.Inks.Line3)
	c.Hatch(x0+one, y0+one, x1-one, y1-one, p.u(4), float32(p.m.s), p.Inks.Line3)
}

// minimap is painted once per scene and palette, then copied.
type minimap struct {
	x0, y0, side int // card
	in           int // inset
	kx, ky       float64
	ox, oy       float64 // of the picture inside the card
	pix          []uint32
	pw, ph       int
	scene        *Scene
	inks         *Inks
	ramp         *Ramp
	scale        float64
}

func (p *Painter) prepareMinimap() {
	m := &p.mini
	side := p.u(minimapSide)
	m.x0, m.y0 = p.w-p.u(14)-side, p.h-p.u(cardMargin+2)-side
	if m.scene == p.s && m.inks == p.Inks && m.ramp == p.ramp && m.scale == p.m.s {
		return
	}
	m.scene, m.inks, m.ramp, m.scale, m.side, m.in = p.s, p.Inks, p.ramp, p.m.s, side, p.u(10)
	m.pw, m.ph = side-2*m.in, side-2*m.in
	b := p.s.Bounds
	bw, bh := float64(max(b.W(), 1)), float64(max(b.H(), 1))
	k := min(float64(m.pw)/bw, float64(m.ph)/bh)
	// a long thin graph is widened, up to six times, so that it stays visible
	m.kx, m.ky = min(float64(m.pw)/bw, k*6), min(float64(m.ph)/bh, k*6)
	m.ox = (float64(m.pw)-bw*m.kx)/2 - float64(b.X0)*m.kx
	m.oy = (float64(m.ph)-bh*m.ky)/2 - float64(b.Y0)*m.ky
	if cap(m.pix) < m.pw*m.ph {
		m.pix = make([]uint32, m.pw*m.ph)
	}
	m.pix = m.pix[:m.pw*m.ph]
	c := &raster.Canvas{Pix: m.pix, W: m.pw, Y1: m.ph, X1: m.pw}
	c.Clear(p.Inks.Bg2, 0, 0, 0, 0)
	at := func(r Rect) (x0, y0, x1, y1 float32) {
		return float32(float64(r.X0)*m.kx + m.ox), float32(float64(r.Y0)*m.ky + m.oy),
			float32(float64(r.X1)*m.kx + m.ox), float32(float64(r.Y1)*m.ky + m.oy)
	}
	for i := range p.s.Frames {
		x0, y0, x1, y1 := at(p.s.Frames[i].Box)
		c.Rect(x0, y0, x1, y1, p.Inks.Bg3)
	}
	for i := range p.s.Nodes {
		n := &p.s.Nodes[i]
		x0, y0, x1, y1 := at(n.Box)
		col := p.Inks.NotMeasured
		if n.Heat >= 0 {
			col = p.ramp.Strip[uint8(n.Heat*255)]
		}
		c.Rect(x0, y0, max(x1, x0+1), max(y1, y0+.7), col)
	}
}

// MinimapWorld turns a point of the view (DIP) into a world point if it lies on the minimap.
func (p *Painter) MinimapWorld(x, y float64) (wx, wy float64, ok bool) {
	m := &p.mini
	if m.scene == nil {
		return
	}
	dx, dy := x*m.scale-float64(m.x0), y*m.scale-float64(m.y0)
	if dx < 0 || dy < 0 || dx >= float64(m.side) || dy >= float64(m.side) {
		return
	}
	return (dx - float64(m.in) - m.ox) / m.kx, (dy - float64(m.in) - m.oy) / m.ky, true
}

func (p *Painter) paintMinimap(c *raster.Canvas) {
	m := &p.mini
	if m.y0+m.side <= c.Y0 || m.y0 >= c.Y1 {
		return
	}
	p.card(c, m.x0, m.y0, m.x0+m.side, m.y0+m.side)
	px, py := m.x0+m.in, m.y0+m.in
	for y := max(py, c.Y0); y < min(py+m.ph, c.Y1); y++ {
		a, b := max(px, c.X0), min(px+m.pw, c.X1)
		if a < b {
			copy(c.Pix[y*c.W+a:y*c.W+b], m.pix[(y-py)*m.pw+a-px:(y-py)*m.pw+b-px])
		}
	}
	v := p.v.Camera.View(float64(p.w)/m.scale, float64(p.h)/m.scale)
	lim := func(v float64, o int) int { return min(max(rnd(v), o+2), o+m.side-2) }
	x0 := lim(float64(v.X0)*m.kx+m.ox+float64(px), m.x0)
	x1 := lim(float64(v.X1)*m.kx+m.ox+float64(px), m.x0)
	y0 := lim(float64(v.Y0)*m.ky+m.oy+float64(py), m.y0)
	y1 := lim(float64(v.Y1)*m.ky+m.oy+float64(py), m.y0)
	if x1-x0 < 6 {
		x0, x1 = (x0+x1)/2-3, (x0+x1)/2+3
	}
	if y1-y0 < 6 {
		y0, y1 = (y0+y1)/2-3, (y0+y1)/2+3
	}
	c.Ring(x0, y0, x1, y1, max(rnd(1.5*m.scale), 1), p.m.thumb, p.m.thumbIn, p.Inks.Focus)
}
