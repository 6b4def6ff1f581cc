package chart

import (
	"fmt"
	"image/color"
	"io"

	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgpdf"
	"gonum.org/v1/plot/vg/vgsvg"

	"fettle/internal/fail"
)

// dip is one DIP on paper: 1/96 of an inch.
const dip = vg.Inch / 96

// Formats that Write knows.
func Formats() []string { return []string{"png", "svg", "pdf"} }

// Write draws the chart in print colours as png (at twice the screen's density), svg or pdf. Error: fail.Usage for another format.
func Write(w io.Writer, c *Chart, format string) error {
	p := &press{colors: Palette("light"), type_: newType()}
	s := Layout(c, p.type_.Width)
	width, height := vg.Length(s.W)*dip, vg.Length(s.H)*dip
	var out io.WriterTo
	switch format {
	case "png":
		img := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(192))
		p.Canvas, out = img, vgimg.PngCanvas{Canvas: img}
	case "svg":
		svg := vgsvg.New(width, height)
		p.Canvas, out = svg, svg
	case "pdf":
		pdf := vgpdf.New(width, height)
		pdf.EmbedFonts(true)
		p.Canvas, out, p.letters = pdf, pdf, true
	default:
		return fail.New(fail.Usage, "no chart format %q", format).Try("use one of %v", Formats())
	}
	p.h = s.H
	for _, d := range s.Draws {
		p.draw(d)
	}
	if _, err := out.WriteTo(w); err != nil {
		return fail.In(err, fmt.Sprintf("write the chart as %s", format), fail.Where{})
	}
	return nil
}

// press replays a scene on a canvas whose origin is at the left foot.
type press struct {
	vg.Canvas
	colors map[Token]color.NRGBA
	type_  *typeface
	h      float64
	// letters says that plain letters are written as text, which can be found and copied. Only a PDF carries its font with it:
	// elsewhere another font would be put in its place and the pieces of a line would run into each other. Bold is always
	// drawn, because the PDF canvas embeds one weight of a family.
	letters bool
}

func (p *press) at(q Pt) vg.Point {
	return vg.Point{X: vg.Length(q.X) * dip, Y: vg.Length(p.h-q.Y) * dip}
}

func (p *press) path(pts []Pt) vg.Path {
	var path vg.Path
	for i, q := range pts {
		if i == 0 {
			path.Move(p.at(q))
		} else {
			path.Line(p.at(q))
		}
	}
	return path
}

func (p *press) draw(d Draw) {
	switch d.Op {
	case OpRect:
		p.area(d, corners(d.At))
	case OpHatch:
		p.area(d, corners(d.At))
		for _, l := range HatchLines(d.At) {
			p.stroke(d, l[:])
		}
	case OpLine:
		p.stroke(d, d.Points)
	case OpPolygon:
		if d.Fill != "" {
			p.area(d, d.Points)
		} else {
			p.stroke(d, append(append([]Pt(nil), d.Points...), d.Points[0]))
		}
	case OpText:
		p.text(d)
	}
}

func corners(r Rect) []Pt {
	return []Pt{{r.X, r.Y}, {r.X + r.W, r.Y}, {r.X + r.W, r.Y + r.H}, {r.X, r.Y + r.H}}
}

// area fills a polygon. Paper is white, so a light area is mixed with it: not every reader of PDF draws transparency.
func (p *press) area(d Draw, pts []Pt) {
	c := p.colors[d.Fill]
	if d.Alpha > 0 {
		g := p.colors["bg2"]
		mix := func(a, b uint8) uint8 { return uint8(float64(a)*d.Alpha + float64(b)*(1-d.Alpha) + 0.5) }
		c = color.NRGBA{mix(c.R, g.R), mix(c.G, g.G), mix(c.B, g.B), 255}
	}
	path := p.path(pts)
	path.Close()
	p.SetColor(c)
	p.Fill(path)
}

func (p *press) stroke(d Draw, pts []Pt) {
	p.SetColor(p.colors[d.Stroke])
	p.SetLineWidth(vg.Length(d.Width) * dip)
	dash := make([]vg.Length, len(d.Dash))
	for i, v := range d.Dash {
		dash[i] = vg.Length(v) * dip
	}
	p.SetLineDash(dash, 0)
	p.Stroke(p.path(pts))
}

// text draws runs of one font each.
func (p *press) text(d Draw) {
	p.SetColor(p.colors[d.Fill])
	x := d.Points[0].X
	switch w := p.type_.Width(d.Text, d.Size, d.Bold); d.Align {
	case Center:
		x -= w / 2
	case Right:
		x -= w
	}
	for _, r := range p.type_.runs(d.Text, d.Bold) {
		at := p.at(Pt{x, d.Points[0].Y})
		if p.letters && r.ascii && !d.Bold {
			p.FillString(r.face.at(d.Size), at, r.text)
		} else {
			r.face.outline(r.text, d.Size, func(path vg.Path) {
				for i := range path {
					path[i].Pos.X, path[i].Pos.Y = path[i].Pos.X+at.X, path[i].Pos.Y+at.Y
					for k := range path[i].Control {
						path[i].Control[k].X, path[i].Control[k].Y = path[i].Control[k].X+at.X, path[i].Control[k].Y+at.Y
					}
				}
				p.Fill(path)
			})
		}
		x += r.face.width(r.text, d.Size)
	}
}

func unit(v fixed.Int26_6) vg.Length { return vg.Length(float64(v) / 64) }
