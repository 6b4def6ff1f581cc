package plot

import (
	"image/color"
	"math"
)

// Point is a measured value of a line, with its interval.
type Point struct {
	Key    string
	X, Y   float64
	Lo, Hi float64 // both 0: no interval is known
	Label  string  // under the axis, "" for none
	Tip    []string
	Colour color.NRGBA // of the dot; zero: of the line
}

// Line joins measured points. Points that were not measured are absent from Points, and break nothing.
type Line struct {
	Points   []Point
	Tick     func(v float64) string
	Unit     string
	Colour   color.NRGBA
	Dots     bool // a dot a point: they can be hit
	FromZero bool
	Joined   bool
	Selected func(key string) bool
}

func (f *Line) layout(w, h float32) (plot Rect, x, y scale, ok bool) {
	plot = Rect{44, 18, w - 14, h - 24}
	if len(f.Points) == 0 || plot.W() < 20 || plot.H() < 10 {
		return plot, x, y, false
	}
	lo, hi, x0, x1 := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, p := range f.Points {
		lo, hi, x0, x1 = min(lo, p.Y), max(hi, p.Y), min(x0, p.X), max(x1, p.X)
		if p.Hi > p.Lo {
			lo, hi = min(lo, p.Lo), max(hi, p.Hi)
		}
	}
	if f.FromZero {
		lo, hi = 0, RoundUp(hi)
	} else if pad := (hi - lo) * .12; pad > 0 {
		lo, hi = lo-pad, hi+pad
	} else {
		lo, hi = lo-math.Abs(lo)*.01-1e-9, hi+math.Abs(hi)*.01+1e-9
	}
	if x1 == x0 {
		x0, x1 = x0-1, x1+1
	}
	return plot, scale{x0, x1, plot.X0 + 8, plot.X1 - 8}, scale{lo, hi, plot.Y1, plot.Y0}, true
}

// Paint draws grid, whiskers, line and dots.
func (f *Line) Paint(p *Pen) {
	plot, x, y, ok := f.layout(p.W, p.H)
	if !ok {
		return
	}
	free := p.H
	for _, t := range ticks(y.lo, y.hi) {
		yy := y.at(t)
		p.hline(plot.X0, plot.X1, yy, p.Line1)
		if free-yy >= p.Caption+2 { // no two texts touch
			p.text(plot.X0-6, yy+4, f.Tick(t), font{size: p.Caption, align: Right, c: p.Text3})
			free = yy
		}
	}
	p.text(4, 11, f.Unit, font{size: p.Caption, c: p.Text3})
	var last []float32
	for _, pt := range f.Points {
		xx, yy := x.at(pt.X), y.at(pt.Y)
		if f.Joined && last != nil {
			p.line(1.5, f.Colour, last[0], last[1], xx, yy)
		}
		last = []float32{xx, yy}
	}
	step := max(p.Caption*6, 1)
	next := float32(-1e9)
	for _, pt := range f.Points {
		xx, yy := x.at(pt.X), y.at(pt.Y)
		c := f.Colour
		if pt.Colour.A != 0 {
			c = pt.Colour
		}
		if pt.Hi > pt.Lo {
			p.whiskerV(xx, y.at(pt.Hi), y.at(pt.Lo), c)
		}
		if f.Dots {
			if f.Selected != nil && f.Selected(pt.Key) {
				p.disc(xx, yy, 7.5, 2, p.Focus)
			}
			p.disc(xx, yy, 4, 0, c)
		}
		if pt.Label != "" && xx >= next {
			p.text(xx, p.H-8, pt.Label, font{size: p.Caption, align: Centre, c: p.Text3})
			next = xx + step
		}
	}
}

// At is the nearest dot within 12.
func (f *Line) At(_ *Ink, w, h, px, py float32) (Mark, bool) {
	_, x, y, ok := f.layout(w, h)
	best, at := float32(12*12), -1
	if ok && f.Dots {
		for i, p := range f.Points {
			dx, dy := x.at(p.X)-px, y.at(p.Y)-py
			if d := dx*dx + dy*dy; d < best {
				best, at = d, i
			}
		}
	}
	if at < 0 {
		return Mark{}, false
	}
	p := f.Points[at]
	xx, yy := x.at(p.X), y.at(p.Y)
	return Mark{Keys: []string{p.Key}, Tip: p.Tip, Box: Rect{xx - 7, yy - 7, xx + 7, yy + 7}}, true
}

// Spark is a small line without axes, 100 x 16 beside a number.
type Spark struct {
	Values []float64
	Colour color.NRGBA
}

// Paint draws the line over the whole frame.
func (f *Spark) Paint(p *Pen) {
	if len(f.Values) < 2 {
		p.hatch(Rect{0, 0, p.W, p.H})
		return
	}
	lo, hi := f.Values[0], f.Values[0]
	for _, v := range f.Values {
		lo, hi = min(lo, v), max(hi, v)
	}
	y := scale{lo, hi, p.H - 2, 2}
	if lo == hi {
		y = scale{lo - 1, hi + 1, p.H - 2, 2}
	}
	xy := make([]float32, 0, 2*len(f.Values))
	for i, v := range f.Values {
		xy = append(xy, 1+float32(i)/float32(len(f.Values)-1)*(p.W-2), y.at(v))
	}
	p.line(1.5, f.Colour, xy...)
}

// At is never a datum.
func (f *Spark) At(*Ink, float32, float32, float32, float32) (Mark, bool) { return Mark{}, false }
