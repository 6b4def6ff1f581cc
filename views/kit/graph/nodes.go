package graph

import "fettle/views/kit/raster"

func (p *Painter) paintFrame(c *raster.Canvas, f *Frame) {
	m, pal := &p.m, p.Inks
	x0, y0, x1, y1 := p.px(f.Box.X0), p.py(f.Box.Y0), p.px(f.Box.X1), p.py(f.Box.Y1)
	if y1 <= c.Y0 || y0 >= c.Y1 || x1 <= 0 || x0 >= c.X1 {
		return
	}
	if f.Depth == 0 {
		c.Ring(x0, y0, x1, y1, m.bw, m.frame, m.frameIn, pal.Line2)
	} else {
		c.Box(x0, y0, x1, y1, m.inner, pal.Line2)
		c.Box(x0+m.bw, y0+m.bw, x1-m.bw, y1-m.bw, m.innerIn, pal.Bg1)
	}
}

// paintTitle lies over the edges, so that none crosses a title.
func (p *Painter) paintTitle(c *raster.Canvas, f *Frame) {
	m := &p.m
	x0, y0, x1 := p.px(f.Box.X0), p.py(f.Box.Y0), p.px(f.Box.X1)
	h := p.d(28)
	if y0+h <= c.Y0 || y0 >= c.Y1 || x1 <= 0 || x0 >= c.X1 {
		return
	}
	bar := m.frameBar
	if f.Depth > 0 {
		bar = m.innerIn
	}
	c.Box(x0+m.bw, y0+m.bw, x1-m.bw, y0+h, bar, p.Inks.Bg1)
	if m.title {
		dx, dy := 10.0, 8.0
		if f.Depth > 0 {
			dx, dy = 8, 6.5
		}
		p.chevron(c, x0+p.d(dx), y0+p.d(dy), true)
	}
}

// chevron is drawn in a 13 unit box.
func (p *Painter) chevron(c *raster.Canvas, x, y int, open bool) {
	k := float32(p.m.k)
	X, Y := float32(x), float32(y)
	w := max(0.95*k, .8)
	if open {
		c.Capsule(X+2.7*k, Y+4.9*k, X+6.5*k, Y+8.7*k, w, p.Inks.Text2)
		c.Capsule(X+10.3*k, Y+4.9*k, X+6.5*k, Y+8.7*k, w, p.Inks.Text2)
	} else {
		c.Capsule(X+4.9*k, Y+2.7*k, X+8.7*k, Y+6.5*k, w, p.Inks.Text2)
		c.Capsule(X+4.9*k, Y+10.3*k, X+8.7*k, Y+6.5*k, w, p.Inks.Text2)
	}
}

func (p *Painter) paintNode(c *raster.Canvas, n *Node) {
	m, pal := &p.m, p.Inks
	x0, y0, x1, y1 := p.px(n.Box.X0), p.py(n.Box.Y0), p.px(n.Box.X1), p.py(n.Box.Y1)
	if y1+p.d(6) <= c.Y0 || y0-p.d(6) >= c.Y1 || x1 <= c.X0 || x0 >= c.X1 {
		return
	}
	out, in := m.node, m.nodeIn
	if n.Group {
		out, in = m.group, m.groupIn
		i, j := p.d(5), p.d(4)
		c.Box(x0+i, y0+j, x1-i, y1+j, out, pal.Line2)
		c.Box(x0+i+m.bw, y0+j+m.bw, x1-i-m.bw, y1+j-m.bw, in, pal.Bg2)
	}
	if n.Diff == Removed {
		c.Dashes(x0, y0, x1, y1, m.bw, 5*m.k, 4*m.k, out, in, pal.Danger)
		return
	}
	body, heat := pal.Bg2, pal.NotMeasured
	if n.Heat >= 0 {
		heat = p.ramp.Strip[uint8(n.Heat*255)]
		if !n.Small {
			body = p.ramp.Body[uint8(n.Heat*255)]
		}
	}
	edge := pal.Line3
	if h := y1 - y0; h < 24 { // far away the edge would outweigh the body
		edge = raster.Mix(body, edge, uint32(max(h, 8)*256/24))
	}
	c.Box(x0, y0, x1, y1, out, edge)
	bw := m.bw
	c.Box(x0+bw, y0+bw, x1-bw, y1-bw, in, body)
	// heat strip: the same rounded box seen through a slit
	l, r := c.X0, c.X1
	c.X0, c.X1 = max(l, x0+bw), min(r, x0+bw+m.strip)
	if c.X0 < c.X1 {
		if n.Heat >= 0 {
			c.Box(x0+bw, y0+bw, x1-bw, y1-bw, in, heat)
		} else {
			c.Hatch(x0+bw, y0+bw+p.d(2), x0+bw+m.strip, y1-bw-p.d(2), max(p.d(5), 3), float32(max(m.s, 1)), pal.Line3)
		}
	}
	c.X0, c.X1 = l, r
	k := float32(m.k)
	if !n.Small && n.Heat >= 0 && n.Len >= 0 {
		bx0, bx1 := float32(x0)+16*k, float32(x1)-10*k
		if bx1-bx0 > 4 {
			by := float32(y0) + 44*k
			if y := float32(y1) - 3.5*k - 2.5*k; by > y {
				by = y
			}
			h := max(2.5*k, 1)
			c.Rect(bx0, by, bx1, by+h, pal.Line1)
			c.Rect(bx0, by, bx0+(bx1-bx0)*min(n.Len, 1), by+h, heat)
		}
	}
	if n.Group && m.title {
		cy := y0 + p.d(12)
		if !m.sub {
			cy = (y0+y1)/2 - p.d(6.5)
		}
		p.chevron(c, x0+p.d(12), cy, false)
	}
	if n.Badge != "" && !n.Small && m.badge {
		a, b := p.badgeX(n, x1)
		c.Ring(a, y0+p.d(26), b, y0+p.d(26)+p.d(15), bw, m.bdg, m.bdgIn, pal.Badge(n.Badge))
	}
}

func (p *Painter) nodeTexts(n *Node) {
	m, pal := &p.m, p.Inks
	x0, y0, x1 := p.px(n.Box.X0), p.py(n.Box.Y0), p.px(n.Box.X1)
	lx := x0 + p.d(16)
	if n.Group {
		lx = x0 + p.d(29)
	}
	rx := x1 - p.d(11)
	base := y0 + p.d(20)
	if n.Small {
		base = y0 + p.d(18.5)
	} else if !m.sub { // alone, the title sits in the middle
		base = (y0+p.py(n.Box.Y1))/2 + p.d(4)
	}
	tc, sc := pal.Text1, pal.Text2
	if n.Diff == Removed {
		tc, sc = pal.Text3, pal.Text3
	}
	w := 0
	switch {
	case n.Heat < 0 && n.Diff != Removed && n.Val == "":
		if m.sub {
			w = p.text(&p.texts, p.v.Words.NotMeasured, raster.Regular, m.szSub, right, rx, base, (rx-lx)/2, pal.Text3)
		}
	default:
		w = p.text(&p.texts, n.Val, raster.Regular, m.szVal, right, rx, base, (rx-lx)*6/10, tc)
	}
	tw := p.text(&p.texts, n.Title, raster.Bold, m.szTitle, left, lx, base, rx-lx-w-p.d(8), tc)
	if !m.sub {
		return
	}
	if n.Small {
		p.text(&p.texts, n.Sub, raster.Regular, m.szSub, left, lx+tw+p.d(6), base, rx-w-p.d(8)-(lx+tw+p.d(6)), sc)
		return
	}
	room := rx - lx
	if n.Badge != "" {
		bx0, bx1 := p.badgeX(n, x1)
		room = bx0 - p.d(6) - lx
		if m.badge {
			p.text(&p.texts, n.Badge, raster.Bold, m.szBadge, centre, (bx0+bx1)/2, y0+p.d(37.3), bx1-bx0, pal.Badge(n.Badge))
		}
	}
	p.text(&p.texts, n.Sub, raster.Regular, m.szSub, left, lx, y0+p.d(36), room, sc)
}

func (p *Painter) badgeX(n *Node, x1 int) (int, int) {
	w := 18.0
	switch {
	case len(n.Badge) > 3 || n.Badge == "mix":
		w = 29
	case len(n.Badge) > 2:
		w = 25
	}
	return x1 - p.d(10) - p.d(w), x1 - p.d(10)
}

func (p *Painter) frameTexts(view Rect) {
	m, pal := &p.m, p.Inks
	for i := range p.s.Frames {
		f := &p.s.Frames[i]
		if !f.Box.Touches(view) {
			continue
		}
		x0, y0, x1 := p.px(f.Box.X0), p.py(f.Box.Y0), p.px(f.Box.X1)
		if !m.title {
			// zoomed out: the name of an outer group stays readable beside its frame
			if f.Depth == 0 && float64(f.Box.H())*m.k >= 26*m.s {
				p.text(&p.texts, f.Title, raster.Bold, raster.Size(11*m.s), right, x0-p.u(6), y0+p.u(12), p.u(90), pal.Text2)
			}
			continue
		}
		tx, base, size := x0+p.d(28), y0+p.d(19), m.szTitle
		if f.Depth > 0 {
			tx, base, size = x0+p.d(26), y0+p.d(18), m.szFrame2
		}
		rx := x1 - p.d(12)
		w := p.text(&p.texts, f.Val, raster.Regular, m.szVal, right, rx, base, (rx-tx)/2, pal.Text1)
		rx -= w + p.d(8)
		w = p.text(&p.texts, f.Title, raster.Bold, size, left, tx, base, rx-tx, pal.Text1)
		if m.sub {
			tx += w + p.d(10)
			p.text(&p.texts, f.Sub, raster.Regular, m.szSub, left, tx, base, rx-tx, pal.Text3)
		}
	}
}
