package plot

import (
	"image/color"
	"math"
)

// Spot is a layer in a roofline.
type Spot struct {
	Keys   []string
	Name   string
	X, Y   float64 // work for each byte, work each second
	Heat   float64 // share of the hottest, 0 to 1
	Shape  uint8   // 0 circle, 1 square, 2 triangle
	Tip    []string
	Radius float32
}

// Roofline shows layers by work for each byte and work each second, on log axes, under the roofs of the machine. A roof
// that is not known, 0, is not drawn.
type Roofline struct {
	Spots     []Spot
	Peak      float64
	Bandwidth float64
	Roofs     []Guide // dashed: what other algorithms reach, or what a run reached
	PeakTag   string
	BandTag   string
	XTitle    string
	YTitle    string
	Shapes    []string // names of circle, square, triangle; "" for those that do not occur
	Tick      func(v float64) string
	Selected  func(keys []string) bool
}

type roofLayout struct {
	plot   Rect
	lx, ly scale // over logarithms
}

func (l roofLayout) at(x, y float64) (float32, float32) {
	return l.lx.at(math.Log10(x)), l.ly.at(math.Log10(y))
}

func (f *Roofline) layout(w, h float32) (roofLayout, bool) {
	l := roofLayout{plot: Rect{46, 26, w - 16, h - 40}}
	if len(f.Spots) == 0 || l.plot.W() < 40 || l.plot.H() < 40 {
		return l, false
	}
	x0, x1, y0, y1 := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range f.Spots {
		x0, x1, y0, y1 = min(x0, s.X), max(x1, s.X), min(y0, s.Y), max(y1, s.Y)
	}
	for _, g := range f.Roofs {
		y1 = max(y1, g.At)
	}
	if f.Peak > 0 {
		y1 = max(y1, f.Peak)
		if f.Bandwidth > 0 {
			knee := f.Peak / f.Bandwidth
			x0, x1 = min(x0, knee/3), max(x1, knee*2)
		}
	}
	l.lx = scale{math.Log10(x0) - .08, math.Log10(x1) + .08, l.plot.X0, l.plot.X1}
	l.ly = scale{math.Log10(y0) - .12, math.Log10(y1) + .14, l.plot.Y1, l.plot.Y0}
	return l, true
}

// logTicks are 1, 2 and 5 of each decade, thinned where there are many.
func logTicks(lo, hi float64) []float64 {
	steps := []float64{1, 2, 5}
	if hi-lo > 3 {
		steps = []float64{1}
	}
	var out []float64
	for d := math.Floor(lo); d <= hi; d++ {
		for _, m := range steps {
			if v := d + math.Log10(m); v >= lo && v <= hi {
				out = append(out, m*math.Pow(10, d))
			}
		}
	}
	return out
}

// Paint draws grid, roofs with their teeth, and the layers, hottest last.
func (f *Roofline) Paint(p *Pen) {
	l, ok := f.layout(p.W, p.H)
	if !ok {
		return
	}
	cap := font{size: p.Caption, c: p.Text3}
	for _, t := range logTicks(l.ly.lo, l.ly.hi) {
		_, y := l.at(1, t)
		p.hline(l.plot.X0, l.plot.X1, y, p.Line1)
		p.text(l.plot.X0-8, y+4, f.Tick(t), font{size: p.Caption, c: p.Text3, align: Right})
	}
	next := float32(-1)
	for _, t := range logTicks(l.lx.lo, l.lx.hi) {
		x, _ := l.at(t, 1)
		p.vline(x, l.plot.Y1, l.plot.Y1+3, 1, p.Line3)
		if x > next {
			w := p.text(x, l.plot.Y1+16, f.Tick(t), font{size: p.Caption, c: p.Text3, align: Centre})
			next = x + w + 14
		}
	}
	p.hline(l.plot.X0, l.plot.X1, l.plot.Y1, p.Line3)
	p.text(4, 14, f.YTitle, cap)
	p.text((l.plot.X0+l.plot.X1)/2, p.H-6, f.XTitle, font{size: p.Caption, c: p.Text3, align: Centre})
	p.clipped(Rect{l.plot.X0, l.plot.Y0 - 22, l.plot.X1, l.plot.Y1}, func(p *Pen) { f.roofs(p, l) })
	for _, s := range f.Spots {
		f.spot(p, l, s)
	}
	f.shapes(p, l)
}

func (f *Roofline) roofs(p *Pen, l roofLayout) {
	from := math.Pow(10, l.lx.lo)
	for _, g := range f.Roofs {
		at := from
		if f.Bandwidth > 0 {
			at = max(from, g.At/f.Bandwidth)
		}
		x, y := l.at(at, g.At)
		dash(p, 1.4, g.Colour, x, y, l.plot.X1, y)
		if f.Bandwidth > 0 && f.Peak > 0 && g.At > f.Peak { // the slope goes on to it
			kx, ky := l.at(f.Peak/f.Bandwidth, f.Peak)
			dash(p, 1.4, g.Colour, kx, ky, x, y)
		}
		p.text(x+8, y-6, g.Text, font{size: p.Caption, c: g.Colour})
	}
	if f.Peak <= 0 {
		return
	}
	if f.Bandwidth <= 0 {
		x, y := l.at(from, f.Peak)
		p.line(2, p.Floor, x, y, l.plot.X1, y)
		for x += 8; x < l.plot.X1; x += 14 {
			p.line(1.2, p.Floor, x, y, x+6, y-6)
		}
		p.text(l.plot.X1-2, y-11, f.PeakTag, font{size: p.Caption, c: p.Text2, align: Right})
		return
	}
	knee := f.Peak / f.Bandwidth
	kx, ky := l.at(knee, f.Peak)
	x0 := math.Pow(10, l.lx.lo)
	ax, ay := l.at(x0, x0*f.Bandwidth)
	p.line(2, p.Floor, ax, ay, kx, ky, l.plot.X1, ky)
	for x := kx + 8; x < l.plot.X1; x += 14 {
		p.line(1.2, p.Floor, x, ky, x+6, ky-6)
	}
	if p.Width(f.PeakTag, p.Caption, false) < kx-l.plot.X0-24 { // left of the knee there is nothing
		p.text(kx-14, ky+4, f.PeakTag, font{size: p.Caption, c: p.Text2, align: Right})
	} else {
		p.text(l.plot.X1-2, ky-11, f.PeakTag, font{size: p.Caption, c: p.Text2, align: Right})
	}
	p.text(ax*.8+kx*.2+10, min(ay*.8+ky*.2+10, l.plot.Y1-6), f.BandTag, font{size: p.Caption, c: p.Text2})
}

func (f *Roofline) spot(p *Pen, l roofLayout, s Spot) {
	x, y := l.at(s.X, s.Y)
	c, r := p.HeatAt(s.Heat), max(s.Radius, 2.5)
	if f.Selected != nil && f.Selected(s.Keys) {
		p.disc(x, y, r+5, 2, p.Focus)
		p.text(x, y+r+17, s.Name, font{size: p.Caption, bold: true, c: p.Text1, align: Centre})
	}
	p.shape(s.Shape, x, y, r+1, p.Bg2)
	p.shape(s.Shape, x, y, r, c)
}

func (p *Pen) shape(kind uint8, x, y, r float32, c color.NRGBA) {
	switch kind {
	case 1:
		p.fill(Rect{x - r*.9, y - r*.9, x + r*.9, y + r*.9}, c)
	case 2:
		p.poly(c, x, y-r*1.1, x+r*1.1, y+r*.9, x-r*1.1, y+r*.9)
	default:
		p.disc(x, y, r, 0, c)
	}
}

// shapes is the legend, in the empty corner right below.
func (f *Roofline) shapes(p *Pen, l roofLayout) {
	n, w := 0, float32(0)
	for _, s := range f.Shapes {
		if s != "" {
			n++
			w = max(w, p.Width(s, p.Caption, false))
		}
	}
	if n == 0 {
		return
	}
	b := Rect{l.plot.X1 - w - 38, l.plot.Y1 - float32(n)*17 - 18, l.plot.X1 - 6, l.plot.Y1 - 8}
	p.round(b, 6, p.Bg2, p.Line1)
	y := b.Y0 + 14
	for i, s := range f.Shapes {
		if s == "" {
			continue
		}
		p.shape(uint8(i), b.X0+13, y, 4.5, p.Text2)
		p.text(b.X0+24, middle(y, p.Caption), s, font{size: p.Caption, c: p.Text2})
		y += 17
	}
}

// At is the nearest layer within 12.
func (f *Roofline) At(_ *Ink, w, h, px, py float32) (Mark, bool) {
	l, ok := f.layout(w, h)
	best, at := float32(12*12), -1
	if ok {
		for i, s := range f.Spots {
			x, y := l.at(s.X, s.Y)
			if d := (x-px)*(x-px) + (y-py)*(y-py); d <= best {
				best, at = d, i
			}
		}
	}
	if at < 0 {
		return Mark{}, false
	}
	s := f.Spots[at]
	x, y := l.at(s.X, s.Y)
	r := max(s.Radius, 2.5) + 3
	return Mark{Keys: s.Keys, Tip: s.Tip, Box: Rect{x - r, y - r, x + r, y + r}}, true
}
