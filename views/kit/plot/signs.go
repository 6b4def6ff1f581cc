package plot

import (
	"image/color"
	"math"
)

// Sign is a small drawn mark: shapes, because colour alone would not survive grey print.
type Sign uint8

// The signs.
const (
	NoSign Sign = iota
	SealGreen
	SealAmber
	SealRed
	SealNone
	Down // faster
	Up   // slower
	Dash // no difference shown
	Check
	Cross
	Warn
	Chip // square of a colour
)

// SealSign is the sign of a seal by its name.
func SealSign(seal string) Sign {
	switch seal {
	case "green":
		return SealGreen
	case "amber":
		return SealAmber
	case "red":
		return SealRed
	}
	return SealNone
}

// sign paints a mark of a size around a point.
func (p *Pen) sign(s Sign, x, y, size float32, c color.NRGBA) {
	r, w := size/2, max(size/11, 1.2)
	switch s {
	case SealGreen:
		p.disc(x, y, r, w, p.SealGreen)
		p.tick(x, y, size*.62, w, p.SealGreen)
	case SealAmber:
		p.outline(4, x, y, r*1.02, 0, w, p.SealAmber)
		p.line(w, p.SealAmber, x, y-r*.38, x, y+r*.08)
		p.disc(x, y+r*.4, w*.62, 0, p.SealAmber)
	case SealRed:
		p.outline(8, x, y, r, math.Pi/8, w, p.SealRed)
		k := r * .38
		p.line(w, p.SealRed, x-k, y-k, x+k, y+k)
		p.line(w, p.SealRed, x-k, y+k, x+k, y-k)
	case SealNone:
		for i := range 8 {
			a := float64(i) * math.Pi / 4
			p.line(w, p.SealNone, x+(r-w/2)*cos(a), y+(r-w/2)*sin(a), x+(r-w/2)*cos(a+.4), y+(r-w/2)*sin(a+.4))
		}
	case Down:
		p.poly(c, x-r*.8, y-r*.6, x+r*.8, y-r*.6, x, y+r*.7)
	case Up:
		p.poly(c, x-r*.8, y+r*.6, x+r*.8, y+r*.6, x, y-r*.7)
	case Dash:
		p.fill(Rect{x - r*.8, y - 1, x + r*.8, y + 1}, c)
	case Check:
		p.tick(x, y, size, w*1.2, c)
	case Cross:
		k := r * .6
		p.line(w*1.2, c, x-k, y-k, x+k, y+k)
		p.line(w*1.2, c, x-k, y+k, x+k, y-k)
	case Warn:
		p.line(w, c, x, y-r*.8, x+r*.95, y+r*.8, x-r*.95, y+r*.8, x, y-r*.8)
		p.line(w, c, x, y-r*.2, x, y+r*.25)
		p.disc(x, y+r*.52, w*.6, 0, c)
	case Chip:
		p.mark(Rect{x - 4, y - 4, x + 4, y + 4}, c)
	}
}

func (p *Pen) tick(x, y, size, w float32, c color.NRGBA) {
	p.line(w, c, x-size*.38, y+size*.02, x-size*.1, y+size*.3, x+size*.4, y-size*.28)
}

// outline strokes a regular polygon of n corners; turn 0 has a corner at the top.
func (p *Pen) outline(n int, x, y, r float32, turn float64, w float32, c color.NRGBA) {
	xy := make([]float32, 0, 2*n+2)
	for i := range n + 1 {
		a := turn - math.Pi/2 + 2*math.Pi*float64(i)/float64(n)
		xy = append(xy, x+(r-w/2)*cos(a), y+(r-w/2)*sin(a))
	}
	p.line(w, c, xy...)
}

func cos(a float64) float32 { return float32(math.Cos(a)) }
func sin(a float64) float32 { return float32(math.Sin(a)) }
