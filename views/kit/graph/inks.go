package graph

import (
	"image/color"

	"fyne.io/fyne/v2"
	fynetheme "fyne.io/fyne/v2/theme"

	"fettle/assets"
	"fettle/views/kit/raster"
	"fettle/views/kit/theme"
)

// Inks are the colours of the painter, resolved once for an appearance.
type Inks struct {
	Dark                             bool
	Bg0, Bg1, Bg2, Bg3, Bg4          raster.Color
	Line1, Line2, Line3              raster.Color
	Text1, Text2, Text3              raster.Color
	Primary, Focus, Success, Warning raster.Color
	Danger, OnWarning, NotMeasured   raster.Color
	Gain, Loss                       raster.Color
	HoverInk                         color.NRGBA
	HeatRamp                         Ramp
	badges                           map[string]raster.Color
}

// Ramp turns the value of a node, 0 to 255, into the colours of its strip and its body.
type Ramp struct{ Strip, Body [256]raster.Color }

// tint is how much of the strip's colour a body takes, of 256: 15 %, so that texts keep their contrast.
const tint = 38

// NewInks resolves a palette.
func NewInks(p *theme.Palette, dark bool) *Inks {
	k := &Inks{Dark: dark, badges: map[string]raster.Color{}, HoverInk: p.Hover}
	for _, e := range []struct {
		to   *raster.Color
		from color.NRGBA
	}{
		{&k.Bg0, p.Bg0}, {&k.Bg1, p.Bg1}, {&k.Bg2, p.Bg2}, {&k.Bg3, p.Bg3}, {&k.Bg4, p.Bg4},
		{&k.Line1, p.Line1}, {&k.Line2, p.Line2}, {&k.Line3, p.Line3},
		{&k.Text1, p.Text1}, {&k.Text2, p.Text2}, {&k.Text3, p.Text3},
		{&k.Primary, p.Primary}, {&k.Focus, p.Focus}, {&k.Success, p.Success}, {&k.Warning, p.Warning},
		{&k.Danger, p.Danger}, {&k.OnWarning, p.OnWarning}, {&k.NotMeasured, p.NotMeasured},
		{&k.Gain, p.Gain}, {&k.Loss, p.Loss},
	} {
		*e.to = raster.Of(e.from)
	}
	for _, t := range []string{"f32", "f64", "f16", "bf16", "i8", "u8", "i4", "u4", "i3", "mix", "bool", "i32", "i64"} {
		k.badges[t] = raster.Of(p.DType(t))
	}
	for i := range k.HeatRamp.Strip {
		c := raster.Of(p.HeatAt(float64(i) / 255))
		k.HeatRamp.Strip[i], k.HeatRamp.Body[i] = c, raster.Mix(k.Bg2, c, tint)
	}
	return k
}

// Badge is the colour of a number type.
func (k *Inks) Badge(t string) raster.Color {
	if c, ok := k.badges[t]; ok {
		return c
	}
	return k.Text3
}

// Diverging is the ramp of a comparison: gain, no change in the middle, loss.
func (k *Inks) Diverging() *Ramp {
	r := &Ramp{}
	for i := range r.Strip {
		d, end := i-128, k.Loss
		if d < 0 {
			d, end = -d, k.Gain
		}
		r.Strip[i] = raster.Mix(k.Bg4, end, uint32(min(d*2, 256)))
		r.Body[i] = raster.Mix(k.Bg2, end, uint32(min(d*2, 256)*2/5)) // at most 0.40 under text
	}
	return r
}

// Classes is the ramp of a lens with kinds; a node of class c has the value ClassValue(c, n).
func (k *Inks) Classes(classes []Class) *Ramp {
	r := &Ramp{}
	for i := range r.Strip {
		c := classes[i*len(classes)/256].Color
		r.Strip[i], r.Body[i] = c, raster.Mix(k.Bg2, c, tint)
	}
	return r
}

// ClassValue is the place of class c of n on the ramp.
func ClassValue(c, n int) float32 { return (float32(c) + .5) / float32(n) }

// Fonts are those of the toolkit, with the signs and Chinese characters that they lack from our own.
func Fonts() *raster.Fonts {
	t := fynetheme.DefaultTheme()
	f, err := raster.NewFonts(t.Font(fyne.TextStyle{}).Content(), t.Font(fyne.TextStyle{Bold: true}).Content(), assets.FontCJK)
	if err != nil {
		panic("graph: embedded fonts: " + err.Error())
	}
	return f
}
