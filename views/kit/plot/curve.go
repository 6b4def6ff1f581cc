package plot

import (
	"image/color"
	"math"
)

// CurvePoint is a value of a series; Lo and Hi, where they differ, its band.
type CurvePoint struct {
	Keys   []string
	X, Y   float64
	Lo, Hi float64
	Tip    []string
	Ink    color.NRGBA // of its dot; zero: of the series
}

// Series is one line of a Curve.
type Series struct {
	Points []CurvePoint
	Colour color.NRGBA
	Name   string // beside its line
	Dots   bool   // a dot a point: they can be hit
	Rings  bool   // rings with whiskers instead of dots: foretold, not measured
	Stairs bool   // level until the next point: a time that moves in steps
	Dashed bool
	Band   bool // fills between Lo and Hi
	Floor  bool // a bound with teeth below
}

// Curve shows series over one axis, with a cursor, a guide and a note beside the cursor.
type Curve struct {
	Series         []Series
	XTitle, YTitle string
	XTick, YTick   func(v float64) string
	FromZero       bool
	Cursor         *float64 // X of a dashed line; a ring stands where it meets the first series
	Note           []string // beside the ring, the first line bold
	Guide          *Guide   // level
	Selected       func(keys []string) bool
}

func (f *Curve) layout(w, h float32) (plot Rect, x, y scale, ok bool) {
	plot = Rect{54, 26, w - 18, h - 38}
	x0, x1, y0, y1 := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range f.Series {
		for _, p := range s.Points {
			x0, x1, y0, y1 = min(x0, p.X), max(x1, p.X), min(y0, p.Y), max(y1, p.Y)
			if p.Hi > p.Lo && (s.Band || s.Rings) {
				y0, y1 = min(y0, p.Lo), max(y1, p.Hi)
			}
		}
	}
	if math.IsInf(x0, 0) || plot.W() < 40 || plot.H() < 30 {
		return plot, x, y, false
	}
	if f.Guide != nil {
		y0, y1 = min(y0, f.Guide.At), max(y1, f.Guide.At)
	}
	if f.FromZero {
		y0 = min(y0, 0)
	}
	if x1 == x0 {
		x0, x1 = x0-1, x1+1
	}
	pad := (y1 - y0) * .1
	if pad == 0 {
		pad = math.Abs(y1)*.1 + 1e-12
	}
	if !f.FromZero || y0 < 0 {
		y0 -= pad
	}
	return plot, scale{x0, x1, plot.X0 + 10, plot.X1 - 10}, scale{y0, y1 + pad, plot.Y1, plot.Y0}, true
}

// Paint draws grid, bands, lines, dots and the cursor.
func (f *Curve) Paint(p *Pen) {
	plot, x, y, ok := f.layout(p.W, p.H)
	if !ok {
		return
	}
	axes(p, plot, x, y, f.XTick, f.YTick, f.XTitle, f.YTitle)
	if g := f.Guide; g != nil {
		dash(p, 1.2, g.Colour, plot.X0, y.at(g.At), plot.X1, y.at(g.At))
		p.text(plot.X1-4, y.at(g.At)+14, g.Text, font{size: p.Caption, c: g.Colour, align: Right})
	}
	for _, s := range f.Series {
		if s.Band {
			band(p, s, x, y)
		}
	}
	for _, s := range f.Series {
		f.series(p, s, x, y)
	}
	if f.Cursor != nil {
		f.cursor(p, plot, x, y)
	}
}

// band fills between the bounds of neighbouring points.
func band(p *Pen, s Series, x, y scale) {
	tint := s.Colour
	tint.A = 40
	for i := 0; i+1 < len(s.Points); i++ {
		a, b := s.Points[i], s.Points[i+1]
		p.poly(tint, x.at(a.X), y.at(a.Hi), x.at(b.X), y.at(b.Hi), x.at(b.X), y.at(b.Lo), x.at(a.X), y.at(a.Lo))
	}
}

func (f *Curve) series(p *Pen, s Series, x, y scale) {
	for i := 0; i+1 < len(s.Points); i++ {
		a, b := s.Points[i], s.Points[i+1]
		xa, ya, xb, yb := x.at(a.X), y.at(a.Y), x.at(b.X), y.at(b.Y)
		switch {
		case s.Stairs: // what holds up to a point is the value of that point
			p.line(1.6, s.Colour, xa, ya, xa, yb, xb, yb)
		case s.Dashed:
			dash(p, 1.3, s.Colour, xa, ya, xb, yb)
		default:
			p.line(1.6, s.Colour, xa, ya, xb, yb)
		}
		if s.Floor {
			for t := float32(8); t < xb-xa; t += 14 {
				yy := ya + (yb-ya)*t/(xb-xa)
				p.line(1.2, s.Colour, xa+t, yy, xa+t-6, yy+6)
			}
		}
	}
	for _, pt := range s.Points {
		if !s.Dots {
			break
		}
		ink := s.Colour
		if pt.Ink.A > 0 {
			ink = pt.Ink
		}
		if s.Rings {
			xx, yy := x.at(pt.X), y.at(pt.Y)
			if lo, hi := y.at(pt.Lo), y.at(pt.Hi); pt.Hi > pt.Lo && lo-hi > 8 {
				p.line(1, ink, xx, lo, xx, hi)
			}
			p.disc(xx, yy, 3.6, 0, p.Bg2)
			p.disc(xx, yy, 3.6, 1.6, ink)
			continue
		}
		if f.Selected != nil && f.Selected(pt.Keys) {
			p.disc(x.at(pt.X), y.at(pt.Y), 7.5, 2, p.Focus)
		}
		p.disc(x.at(pt.X), y.at(pt.Y), 3.5, 0, ink)
	}
	if n := len(s.Points); n > 0 && s.Name != "" {
		at := s.Points[n/4]
		if c := f.Cursor; c != nil && math.Abs(float64(x.at(at.X)-x.at(*c))) < 60 {
			at = s.Points[3*n/4] // off the note beside the cursor
		}
		left := min(x.at(at.X)+10, p.W-4-p.Width(s.Name, p.Caption, false)) // nothing is cut at the right
		p.text(left, y.at(at.Y)-4, s.Name, font{size: p.Caption, c: p.Text2})
	}
}

func (f *Curve) cursor(p *Pen, plot Rect, x, y scale) {
	xx := x.at(*f.Cursor)
	dash(p, 1.2, p.Primary, xx, plot.Y0, xx, plot.Y1)
	if len(f.Series) == 0 {
		return
	}
	for _, pt := range f.Series[0].Points {
		if pt.X != *f.Cursor {
			continue
		}
		yy := y.at(pt.Y)
		p.disc(xx, yy, 7, 0, p.Bg2)
		p.disc(xx, yy, 7, 2.5, p.Primary)
		if len(f.Note) == 0 {
			return
		}
		w := float32(0)
		for i, l := range f.Note {
			w = max(w, p.Width(l, p.Caption+1, i == 0))
		}
		high := float32(len(f.Note))*17 + 12
		b := Rect{xx - w - 34, yy - high - 14, xx - 12, yy - 14}
		if b.X0 < plot.X0+4 {
			b.X0, b.X1 = xx+14, xx+14+w+22
		}
		if b.Y0 < plot.Y0 {
			b.Y0, b.Y1 = yy+14, yy+14+high
		}
		p.round(b, 6, p.Bg2, p.Primary)
		for i, l := range f.Note {
			p.text(b.X0+10, b.Y0+18+float32(i)*17, l, font{size: p.Caption + 1, bold: i == 0, c: p.Text1})
		}
		return
	}
}

// At is the nearest dot within 12.
func (f *Curve) At(_ *Ink, w, h, px, py float32) (Mark, bool) {
	_, x, y, ok := f.layout(w, h)
	best := float32(12 * 12)
	var hit *CurvePoint
	for _, s := range f.Series {
		if !ok || !s.Dots {
			continue
		}
		for i := range s.Points {
			p := &s.Points[i]
			dx, dy := x.at(p.X)-px, y.at(p.Y)-py
			if d := dx*dx + dy*dy; d <= best {
				best, hit = d, p
			}
		}
	}
	if hit == nil {
		return Mark{}, false
	}
	xx, yy := x.at(hit.X), y.at(hit.Y)
	return Mark{Keys: hit.Keys, Tip: hit.Tip, Box: Rect{xx - 7, yy - 7, xx + 7, yy + 7}}, true
}
