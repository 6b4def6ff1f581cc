package plot

import (
	"image"
	"image/color"
	"math"

	"fettle/views/kit/raster"
)

// Rect is a box in DIP.
type Rect struct{ X0, Y0, X1, Y1 float32 }

// Has reports whether the box holds the point.
func (r Rect) Has(x, y float32) bool { return x >= r.X0 && x < r.X1 && y >= r.Y0 && y < r.Y1 }

// W is the width.
func (r Rect) W() float32 { return r.X1 - r.X0 }

// H is the height.
func (r Rect) H() float32 { return r.Y1 - r.Y0 }

// Pen paints one frame of one figure; all its places are DIP.
type Pen struct {
	*Ink
	W, H float32
	c    *raster.Canvas
	s    float32 // device pixels per DIP
}

// newPen starts a frame on img.
func newPen(k *Ink, img *image.RGBA, scale float32, ground color.NRGBA) *Pen {
	k.ty.Trim()
	p := &Pen{Ink: k, c: raster.New(img), s: scale, W: float32(img.Rect.Dx()) / scale, H: float32(img.Rect.Dy()) / scale}
	p.fill(Rect{0, 0, p.W, p.H}, ground)
	return p
}

func (p *Pen) px(v float32) int { return int(math.Round(float64(v * p.s))) }

// clipped paints f inside a box only.
func (p *Pen) clipped(r Rect, f func(*Pen)) {
	q := *p
	q.c = p.c.Clip(p.px(r.X0), p.px(r.Y0), p.px(r.X1), p.px(r.Y1))
	if q.c.X0 < q.c.X1 && q.c.Y0 < q.c.Y1 {
		f(&q)
	}
}

func alpha(c color.NRGBA) uint32 { return uint32(c.A) + uint32(c.A>>7) }

// fill paints a box on fractions of pixels.
func (p *Pen) fill(r Rect, c color.NRGBA) {
	p.c.RectA(r.X0*p.s, r.Y0*p.s, r.X1*p.s, r.Y1*p.s, raster.Of(c), alpha(c))
}

// mark paints a data bar: on whole pixels, at least one wide and high, corners of 2.
func (p *Pen) mark(r Rect, c color.NRGBA) {
	x0, y0, x1, y1 := p.px(r.X0), p.px(r.Y0), p.px(r.X1), p.px(r.Y1)
	x1, y1 = max(x1, x0+1), max(y1, y0+1)
	p.box(x0, y0, x1, y1, min(2*p.s, float32(min(x1-x0, y1-y0))/2), c)
}

func (p *Pen) box(x0, y0, x1, y1 int, radius float32, c color.NRGBA) {
	y0c, y1c := max(y0, p.c.Y0), min(y1, p.c.Y1)
	if y0c >= y1c {
		return
	}
	p.c.Box(x0, y0, x1, y1, raster.NewCorner(float64(max(radius, 0.01))), raster.Of(c))
}

// round fills a box with rounded corners; edge is drawn inside where it has any opacity.
func (p *Pen) round(r Rect, radius float32, ground, edge color.NRGBA) {
	x0, y0, x1, y1 := p.px(r.X0), p.px(r.Y0), p.px(r.X1), p.px(r.Y1)
	p.box(x0, y0, x1, y1, radius*p.s, ground)
	if edge.A == 0 {
		return
	}
	w := max(int(p.s+.5), 1)
	out := raster.NewCorner(float64(radius * p.s))
	in := raster.NewCorner(math.Max(float64(radius*p.s)-float64(w), 0.01))
	p.c.Ring(x0, y0, x1, y1, w, out, in, raster.Of(edge))
}

// hline is a rule one hair thick, on whole pixels.
func (p *Pen) hline(x0, x1, y float32, c color.NRGBA) {
	h := max(int(p.s+.25), 1)
	yy := p.px(y)
	p.c.RectA(x0*p.s, float32(yy), x1*p.s, float32(yy+h), raster.Of(c), alpha(c))
}

// vline is hline, upright, w wide.
func (p *Pen) vline(x, y0, y1, w float32, c color.NRGBA) {
	ww := max(int(w*p.s+.25), 1)
	xx := p.px(x - w/2)
	p.c.RectA(float32(xx), y0*p.s, float32(xx+ww), y1*p.s, raster.Of(c), alpha(c))
}

// dots is a dotted rule: 2 on, 2 off.
func (p *Pen) dots(x0, x1, y float32, c color.NRGBA) {
	for x := x0; x < x1; x += 4 {
		p.hline(x, min(x+2, x1), y, c)
	}
}

// vdots is dots, upright.
func (p *Pen) vdots(x, y0, y1 float32, c color.NRGBA) {
	for y := y0; y < y1; y += 4 {
		p.vline(x, y, min(y+2, y1), 1, c)
	}
}

// hatch is the mark of what was not measured: 45 degrees, gap 5.
func (p *Pen) hatch(r Rect) { p.hatchIn(r, p.Line3) }

func (p *Pen) hatchIn(r Rect, c color.NRGBA) {
	p.c.Hatch(p.px(r.X0), p.px(r.Y0), max(p.px(r.X1), p.px(r.X0)+1), max(p.px(r.Y1), p.px(r.Y0)+1), max(p.px(5), 3), p.s, raster.Of(c))
}

// whisker is an interval across or along: caps of 3.
func (p *Pen) whisker(x0, x1, y float32, c color.NRGBA) {
	if x1-x0 < 2 {
		return // under 2 pixels the number keeps its interval
	}
	p.hline(x0, x1, y-.5, c)
	p.vline(x0, y-3, y+3, 1.2, c)
	p.vline(x1, y-3, y+3, 1.2, c)
}

// whiskerV is whisker, upright.
func (p *Pen) whiskerV(x, y0, y1 float32, c color.NRGBA) {
	if y1-y0 < 2 {
		return
	}
	p.vline(x, y0, y1, 1.2, c)
	p.hline(x-3, x+3, y0, c)
	p.hline(x-3, x+3, y1-1, c)
}

// floor is the physical bound in a row: a tick of 2 with a halo of 2 in the colour of the ground.
func (p *Pen) floor(x, y0, y1 float32, ground color.NRGBA) {
	p.vline(x, y0, y1, 6, ground)
	p.vline(x, y0, y1, 2, p.Floor)
}

// line joins points with round caps.
func (p *Pen) line(w float32, c color.NRGBA, xy ...float32) {
	for i := 0; i+3 < len(xy); i += 2 {
		p.c.Capsule(xy[i]*p.s, xy[i+1]*p.s, xy[i+2]*p.s, xy[i+3]*p.s, w*p.s, raster.Of(c))
	}
}

// poly fills a polygon.
func (p *Pen) poly(c color.NRGBA, xy ...float32) {
	z := make([]float32, len(xy))
	for i := range xy {
		z[i] = xy[i] * p.s
	}
	p.c.Poly(raster.Of(c), z...)
}

// disc fills a circle, or strokes it inwards with w > 0.
func (p *Pen) disc(x, y, r, w float32, c color.NRGBA) {
	p.c.Disc(x*p.s, y*p.s, r*p.s, w*p.s, raster.Of(c))
}

// text paints a text with its base line at y and gives its width.
func (p *Pen) text(x, y float32, s string, f font) float32 {
	if s == "" {
		return 0
	}
	st, size := style(f.bold), raster.Size(float64(f.size*p.s))
	r := p.ty.Run(s, st, size)
	room := 1 << 20
	if f.room > 0 {
		room = p.px(f.room)
	}
	k := p.ty.Fit(r, st, size, room)
	at := p.px(x)
	switch f.align {
	case Right:
		at -= k.Width
	case Centre:
		at -= k.Width / 2
	}
	p.c.Text(p.ty, k, at, p.px(y), raster.Of(f.c))
	return float32(k.Width) / p.s
}

// middle is the base line that puts capitals of a size into the middle of y.
func middle(y, size float32) float32 { return y + size*0.357 }
