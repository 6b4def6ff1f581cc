package plot

import (
	"image/color"
	"math"
)

// CloudPoint is one thing that costs X and gives Y.
type CloudPoint struct {
	Keys   []string
	X, Y   float64
	Shape  uint8 // 0 circle, 1 square, 2 triangle
	Colour color.NRGBA
	Radius float32
	Name   string // beside the point, "" for none
	Tip    []string
}

// Guide is a line at a value with its words.
type Guide struct {
	At     float64
	Text   string
	Colour color.NRGBA
}

// ShapeEntry is one line of a cloud's legend.
type ShapeEntry struct {
	Shape  uint8
	Colour color.NRGBA
	Text   string
}

// Cloud shows points by two numbers, the stairs of those that no other one beats, limits, a floor, and a lasso.
type Cloud struct {
	Points         []CloudPoint
	XTitle, YTitle string
	XTick, YTick   func(v float64) string
	Stairs         []int // places of points, from left to right
	StairsColour   color.NRGBA
	FromZero       bool    // both axes
	LimitX         []Guide // dashed, upright
	LimitY         []Guide // dashed, level
	Floor          *Guide  // what cannot be passed, upright with teeth to its left
	Rays           []Guide // through zero: At is Y for each X
	Legend         []ShapeEntry
	Selected       func(keys []string) bool
	Lasso          []float32 // x, y of its corners
}

func (f *Cloud) layout(w, h float32) (plot Rect, x, y scale, ok bool) {
	plot = Rect{54, 26, w - 18, h - 38}
	if len(f.Points) == 0 || plot.W() < 40 || plot.H() < 40 {
		return plot, x, y, false
	}
	x0, x1, y0, y1 := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, p := range f.Points {
		x0, x1, y0, y1 = min(x0, p.X), max(x1, p.X), min(y0, p.Y), max(y1, p.Y)
	}
	for _, g := range f.LimitX {
		x0, x1 = min(x0, g.At), max(x1, g.At)
	}
	for _, g := range f.LimitY {
		y0, y1 = min(y0, g.At), max(y1, g.At)
	}
	if f.Floor != nil {
		x0 = min(x0, f.Floor.At)
	}
	if f.FromZero {
		x0, y0 = min(x0, 0), min(y0, 0)
	}
	px, py := (x1-x0)*.06, (y1-y0)*.08
	if px == 0 {
		px = math.Abs(x1)*.1 + 1e-9
	}
	if py == 0 {
		py = math.Abs(y1)*.1 + 1e-9
	}
	if !f.FromZero || x0 < 0 {
		x0 -= px
	}
	if !f.FromZero || y0 < 0 {
		y0 -= py
	}
	return plot, scale{x0, x1 + px, plot.X0, plot.X1}, scale{y0, y1 + py, plot.Y1, plot.Y0}, true
}

// Paint draws grid, limits, floor, stairs, points and the lasso.
func (f *Cloud) Paint(p *Pen) {
	plot, x, y, ok := f.layout(p.W, p.H)
	if !ok {
		return
	}
	axes(p, plot, x, y, f.XTick, f.YTick, f.XTitle, f.YTitle)
	cap := font{size: p.Caption, c: p.Text3}
	p.clipped(plot, func(p *Pen) {
		for _, g := range f.Rays {
			ex, ey := x.hi, x.hi*g.At
			if ey > y.hi {
				ex, ey = y.hi/g.At, y.hi
			}
			dash(p, 1, g.Colour, x.at(0), y.at(0), x.at(ex), y.at(ey))
			cap := cap
			cap.align = Right
			at := x.at(ex) - 6
			if w := p.Width(g.Text, p.Caption, false); at-w < plot.X0 {
				cap.align, at = Left, x.at(ex)+8
			}
			p.text(at, y.at(ey)+14, g.Text, cap)
		}
	})
	for _, g := range f.LimitX {
		dash(p, 1.5, g.Colour, x.at(g.At), plot.Y0, x.at(g.At), plot.Y1)
		p.text(x.at(g.At)+5, plot.Y1-6, g.Text, font{size: p.Caption, c: g.Colour})
	}
	for _, g := range f.LimitY {
		dash(p, 1.5, g.Colour, plot.X0, y.at(g.At), plot.X1, y.at(g.At))
		p.text(plot.X1-4, y.at(g.At)+14, g.Text, font{size: p.Caption, c: g.Colour, align: Right})
	}
	if g := f.Floor; g != nil {
		xx := x.at(g.At)
		p.vline(xx, plot.Y0, plot.Y1, 2, p.Floor)
		for yy := plot.Y0 + 8; yy < plot.Y1; yy += 14 {
			p.line(1.2, p.Floor, xx, yy, xx-6, yy+6)
		}
		p.text(xx+6, plot.Y1-20, g.Text, font{size: p.Caption, c: p.Text2})
	}
	var last []float32
	for _, i := range f.Stairs {
		xx, yy := x.at(f.Points[i].X), y.at(f.Points[i].Y)
		if last != nil {
			p.line(1.5, f.StairsColour, last[0], last[1], xx, last[1], xx, yy)
		}
		last = []float32{xx, yy}
	}
	for _, pt := range f.Points {
		xx, yy, r := x.at(pt.X), y.at(pt.Y), max(pt.Radius, 3)
		if f.Selected != nil && f.Selected(pt.Keys) {
			p.disc(xx, yy, r+4.5, 2, p.Focus)
		}
		p.shape(pt.Shape, xx, yy, r+1, p.Bg2)
		p.shape(pt.Shape, xx, yy, r, pt.Colour)
		if pt.Name != "" {
			c := font{size: p.Caption, c: p.Text1, align: Centre}
			if xx > plot.X1-40 {
				c.align = Right
			}
			p.text(xx, yy-r-6, pt.Name, c)
		}
	}
	f.key(p, plot)
	if n := len(f.Lasso); n >= 4 {
		for i := 0; i+3 < n; i += 2 {
			p.line(1.5, p.Primary, f.Lasso[i], f.Lasso[i+1], f.Lasso[i+2], f.Lasso[i+3])
		}
		dash(p, 1.5, p.Primary, f.Lasso[n-2], f.Lasso[n-1], f.Lasso[0], f.Lasso[1])
	}
}

// key is the legend, at the right of the top or of the foot, wherever fewer points are.
func (f *Cloud) key(p *Pen, plot Rect) {
	if len(f.Legend) == 0 {
		return
	}
	w := float32(0)
	for _, e := range f.Legend {
		w = max(w, p.Width(e.Text, p.Caption, false))
	}
	high := float32(len(f.Legend))*17 + 10
	_, x, y, _ := f.layout(p.W, p.H)
	best, fewest := Rect{}, math.MaxInt
	for _, b := range []Rect{{plot.X1 - w - 38, plot.Y1 - high - 6, plot.X1 - 6, plot.Y1 - 6}, {plot.X1 - w - 38, plot.Y0 + 4, plot.X1 - 6, plot.Y0 + 4 + high}} {
		n := 0
		for _, pt := range f.Points {
			if b.Has(x.at(pt.X), y.at(pt.Y)) {
				n++
			}
		}
		if n < fewest {
			best, fewest = b, n
		}
	}
	p.round(best, 6, p.Bg2, p.Line1)
	yy := best.Y0 + 14
	for _, e := range f.Legend {
		p.shape(e.Shape, best.X0+13, yy, 4.5, e.Colour)
		p.text(best.X0+24, middle(yy, p.Caption), e.Text, font{size: p.Caption, c: p.Text2})
		yy += 17
	}
}

// At is the nearest point within 12.
func (f *Cloud) At(_ *Ink, w, h, px, py float32) (Mark, bool) {
	_, x, y, ok := f.layout(w, h)
	best, at := float32(12*12), -1
	if ok {
		for i, p := range f.Points {
			dx, dy := x.at(p.X)-px, y.at(p.Y)-py
			if d := dx*dx + dy*dy; d <= best {
				best, at = d, i
			}
		}
	}
	if at < 0 {
		return Mark{}, false
	}
	p := f.Points[at]
	xx, yy, r := x.at(p.X), y.at(p.Y), max(p.Radius, 3)+3
	return Mark{Keys: p.Keys, Tip: p.Tip, Box: Rect{xx - r, yy - r, xx + r, yy + r}}, true
}

// Place is where a point stands in a frame of w x h: for those who drive the window.
func (f *Cloud) Place(i int, w, h float32) (px, py float32) {
	_, x, y, _ := f.layout(w, h)
	return x.at(f.Points[i].X), y.at(f.Points[i].Y)
}

// Inside lists the points that the lasso holds, in a frame of w x h.
func (f *Cloud) Inside(w, h float32) []int {
	_, x, y, ok := f.layout(w, h)
	var out []int
	for i, p := range f.Points {
		if ok && within(f.Lasso, x.at(p.X), y.at(p.Y)) {
			out = append(out, i)
		}
	}
	return out
}

// within reports whether a polygon holds a point: a ray to the right crosses its rim an odd number of times.
func within(xy []float32, px, py float32) bool {
	in := false
	n := len(xy) / 2
	for i, j := 0, n-1; i < n; j, i = i, i+1 {
		xi, yi, xj, yj := xy[2*i], xy[2*i+1], xy[2*j], xy[2*j+1]
		if (yi > py) != (yj > py) && px < (xj-xi)*(py-yi)/(yj-yi)+xi {
			in = !in
		}
	}
	return in
}

// axes draws the grid with its ticks and titles.
func axes(p *Pen, plot Rect, x, y scale, xt, yt func(float64) string, xTitle, yTitle string) {
	cap := font{size: p.Caption, c: p.Text3}
	for _, t := range ticks(y.lo, y.hi) {
		yy := y.at(t)
		p.hline(plot.X0, plot.X1, yy, p.Line1)
		p.text(plot.X0-6, yy+4, yt(t), font{size: p.Caption, align: Right, c: p.Text3})
	}
	for _, t := range ticks(x.lo, x.hi) {
		xx := x.at(t)
		p.vline(xx, plot.Y1, plot.Y1+3, 1, p.Line3)
		p.text(xx, plot.Y1+16, xt(t), font{size: p.Caption, align: Centre, c: p.Text3})
	}
	p.hline(plot.X0, plot.X1, plot.Y1, p.Line3)
	p.text(8, 14, yTitle, cap)
	p.text((plot.X0+plot.X1)/2, p.H-6, xTitle, font{size: p.Caption, c: p.Text3, align: Centre})
}

// dash is a dashed line: 5 on, 4 off.
func dash(p *Pen, w float32, c color.NRGBA, x0, y0, x1, y1 float32) {
	long := float32(math.Hypot(float64(x1-x0), float64(y1-y0)))
	if long == 0 || math.IsNaN(float64(long)) {
		return
	}
	dx, dy := (x1-x0)/long, (y1-y0)/long
	for at := float32(0); at < long; at += 9 {
		end := min(at+5, long)
		p.line(w, c, x0+dx*at, y0+dy*at, x0+dx*end, y0+dy*end)
	}
}
