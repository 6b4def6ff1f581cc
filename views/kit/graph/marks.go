package graph

import "fettle/views/kit/raster"

func (p *Painter) paintDiff(c *raster.Canvas, d Diff, x, y int) {
	m, pal := &p.m, p.Inks
	col := [4]raster.Color{0, pal.Success, pal.Primary, pal.Danger}[d]
	x++
	h := max(p.d(9), 4)
	c.Box(x-h, y-h, x+h, y+h, m.diff, col)
	b := max(rnd(1.5*m.k), 1)
	c.Box(x-h+b, y-h+b, x+h-b, y+h-b, m.diffIn, pal.Bg0)
	X, Y, a, w := float32(x), float32(y), float32(3.2*m.k), float32(max(1.5*m.k, 1))
	switch d {
	case Added:
		c.Rect(X-a, Y-w/2, X+a, Y+w/2, col)
		c.Rect(X-w/2, Y-a, X+w/2, Y-w/2, col)
		c.Rect(X-w/2, Y+w/2, X+w/2, Y+a, col)
	case Removed:
		c.Rect(X-a, Y-w/2, X+a, Y+w/2, col)
	case Changed:
		q := float32(m.k)
		c.Capsule(X-3.4*q, Y+.7*q, X-1.6*q, Y-.8*q, w*.9, col)
		c.Capsule(X-1.6*q, Y-.8*q, X+1.6*q, Y+.8*q, w*.9, col)
		c.Capsule(X+1.6*q, Y+.8*q, X+3.4*q, Y-.7*q, w*.9, col)
	}
}

func (p *Painter) paintMarks(c *raster.Canvas, n *Node, f Mark) {
	m, pal := &p.m, p.Inks
	x0, y0, x1, y1 := p.px(n.Box.X0), p.py(n.Box.Y0), p.px(n.Box.X1), p.py(n.Box.Y1)
	pad := p.u(12)
	if y1+pad <= c.Y0 || y0-pad >= c.Y1 {
		return
	}
	if f&Coupled != 0 && !m.flat {
		c.Ring(x0, y0, x1, y1, p.selW(), m.node, m.couple, pal.Primary)
		p.link(c, x0, y0)
	}
	if f&Selected != 0 {
		w := p.selW()
		o := max(p.d(3), 1) + w
		c.Ring(x0-o, y0-o, x1+o, y1+o, w, m.sel, m.selIn, pal.Focus)
	}
	if f&(Found|Current) != 0 {
		if f&Current != 0 && f&Selected == 0 {
			w := p.selW()
			c.Ring(x0-w, y0-w, x1+w, y1+w, w, m.sel, m.selIn, pal.Warning)
		}
		z := float32(max(m.k, .45*m.s))
		X, Y := float32(x1)-1*z, float32(y0)+1*z
		r := 7.5 * z
		if m.flat {
			r = 4 * float32(m.s)
		}
		c.Disc(X, Y, r, 0, pal.Warning)
		if !m.flat {
			c.Disc(X-.7*z, Y-.7*z, 3.4*z, 1*z, pal.OnWarning)
			c.Capsule(X+1.7*z, Y+1.7*z, X+4.1*z, Y+4.1*z, 1.1*z, pal.OnWarning)
		}
	}
}

// link is the sign of a coupled layer: two interlocked rings at the top left corner.
func (p *Painter) link(c *raster.Canvas, x, y int) {
	z := float32(p.m.k)
	X, Y := float32(x), float32(y)
	c.Disc(X, Y, 7.5*z, 0, p.Inks.Primary)
	c.Disc(X-1.8*z, Y, 3*z, 1.2*z, p.Inks.Bg0)
	c.Disc(X+1.8*z, Y, 3*z, 1.2*z, p.Inks.Bg0)
}
