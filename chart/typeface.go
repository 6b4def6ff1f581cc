package chart

import (
	stdfont "golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/vg"

	"fettle/assets"
)

// typeface is the type of exports: Liberation Sans for Latin, the embedded hanzi font for what Liberation lacks. The
// plotting library has no such fall-back, and its PDF knows one code page only, so what is not plain Latin is drawn as outlines.
type typeface struct {
	regular, bold, cjk *face
}

// face is one font. Its buffer makes it good for one goroutine at a time; each Write has its own.
type face struct {
	font font.Face
	buf  sfnt.Buffer
}

func newType() *typeface {
	cache := font.NewCache(liberation.Collection())
	get := func(w stdfont.Weight) *face {
		return &face{font: cache.Lookup(font.Font{Typeface: "Liberation", Variant: "Sans", Weight: w}, 0)}
	}
	t := &typeface{regular: get(stdfont.WeightNormal), bold: get(stdfont.WeightBold)}
	hanzi, err := opentype.Parse(assets.FontCJK)
	if err != nil {
		panic("chart: assets/fonts/cjk.ttf: " + err.Error()) // embedded: a test draws with it
	}
	t.cjk = &face{font: font.Face{Font: font.Font{Typeface: "Fettle", Variant: "Hanzi"}, Face: hanzi}}
	return t
}

// textRun is a piece of text in one font.
type textRun struct {
	text  string
	face  *face
	ascii bool
}

// runs cuts s where the font changes: the first font that has the sign wins.
func (t *typeface) runs(s string, bold bool) []textRun {
	var out []textRun
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			r = ' ' // control signs in names must not reach a file
		}
		f := t.regular
		if bold {
			f = t.bold
		}
		if !f.has(r) && t.cjk.has(r) {
			f = t.cjk
		}
		ascii := r < 0x7f
		if n := len(out); n > 0 && out[n-1].face == f && out[n-1].ascii == ascii {
			out[n-1].text += string(r)
			continue
		}
		out = append(out, textRun{string(r), f, ascii})
	}
	return out
}

// Width measures a text in DIP.
func (t *typeface) Width(s string, size float64, bold bool) float64 {
	w := 0.0
	for _, r := range t.runs(s, bold) {
		w += r.face.width(r.text, size)
	}
	return w
}

func (f *face) has(r rune) bool {
	i, err := f.font.Face.GlyphIndex(&f.buf, r)
	return err == nil && i != 0
}

// at is the font for writing letters.
func (f *face) at(size float64) font.Face {
	g := f.font
	g.Font.Size = vg.Length(size) * dip
	return g
}

// width adds up advances without kerning, as the canvases draw.
func (f *face) width(s string, size float64) float64 {
	em := float64(f.font.Face.UnitsPerEm())
	w := 0.0
	for _, r := range s {
		w += float64(f.advance(r)) / 64 / em * size
	}
	return w
}

func (f *face) advance(r rune) fixed.Int26_6 {
	i, err := f.font.Face.GlyphIndex(&f.buf, r)
	if err != nil {
		return 0
	}
	a, err := f.font.Face.GlyphAdvance(&f.buf, i, fixed.I(int(f.font.Face.UnitsPerEm())), stdfont.HintingNone)
	if err != nil {
		return 0
	}
	return a
}

// outline gives each sign of s as a path, from the pen at (0, 0) on the baseline.
func (f *face) outline(s string, size float64, draw func(vg.Path)) {
	em := fixed.I(int(f.font.Face.UnitsPerEm()))
	scale := vg.Length(size) * dip / vg.Length(float64(em)/64)
	x := vg.Length(0)
	for _, r := range s {
		i, err := f.font.Face.GlyphIndex(&f.buf, r)
		if err != nil {
			continue
		}
		segments, err := f.font.Face.LoadGlyph(&f.buf, i, em, nil)
		if err == nil {
			pt := func(p fixed.Point26_6) vg.Point { return vg.Point{X: x + unit(p.X)*scale, Y: -unit(p.Y) * scale} }
			var path vg.Path
			for _, g := range segments {
				switch g.Op {
				case sfnt.SegmentOpMoveTo:
					if len(path) > 0 {
						path.Close()
					}
					path.Move(pt(g.Args[0]))
				case sfnt.SegmentOpLineTo:
					path.Line(pt(g.Args[0]))
				case sfnt.SegmentOpQuadTo:
					path.QuadTo(pt(g.Args[0]), pt(g.Args[1]))
				case sfnt.SegmentOpCubeTo:
					path.CubeTo(pt(g.Args[0]), pt(g.Args[1]), pt(g.Args[2]))
				}
			}
			if len(path) > 0 {
				path.Close()
				draw(path)
			}
		}
		x += unit(f.advance(r)) * scale
	}
}
