// Package plot owns the charts and measuring tables of the window: pictures painted by one pen, with a tip under the
// mouse and a click that says which datum was meant.
//
// It computes no result: figures are given numbers and their texts, already in the language of the window, and decide
// only where they stand. Absent is hatched, never zero. Start reading at Figure, then Chart and Table.
package plot

import (
	"image/color"

	"fyne.io/fyne/v2"
	fynetheme "fyne.io/fyne/v2/theme"

	"fettle/assets"
	"fettle/views/kit/raster"
	"fettle/views/kit/theme"
)

// Ink is what all charts of a screen paint with: the palette of the theme and one set of glyph caches.
type Ink struct {
	*theme.Palette
	Caption float32 // size of captions: 11, in Chinese 12
	ty      *raster.Type
}

// NewInk makes the ink of a theme.
func NewInk(t *theme.Theme) *Ink {
	own := fynetheme.DefaultTheme()
	f, err := raster.NewFonts(own.Font(fyne.TextStyle{}).Content(), own.Font(fyne.TextStyle{Bold: true}).Content(), assets.FontCJK)
	if err != nil {
		panic("plot: embedded fonts: " + err.Error()) // a test reads them
	}
	return &Ink{Palette: t.Palette, Caption: t.Caption(), ty: raster.NewType(f)}
}

// Width is the width of a text in DIP, as it will be painted at scale 1.
func (k *Ink) Width(s string, size float32, bold bool) float32 {
	return float32(k.ty.Width(k.ty.Run(s, style(bold), raster.Size(float64(size)))))
}

func style(bold bool) raster.Style {
	if bold {
		return raster.Bold
	}
	return raster.Regular
}

// Align says which end of a text stands at its x.
type Align uint8

// The alignments.
const (
	Left Align = iota
	Right
	Centre
)

// font is how a text is set.
type font struct {
	size  float32
	bold  bool
	align Align
	room  float32 // cut to this width with an ellipsis, 0: never
	c     color.NRGBA
}
