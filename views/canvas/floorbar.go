package canvas

import (
	"image"
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"

	"fettle/views/kit"
	"fettle/views/kit/raster"
	"fettle/views/kit/theme"
)

// floorBar is one measured time as a bar from zero, with its interval as a whisker. What the target needs at least is
// hatched and ends in a wall.
type floorBar struct {
	ns, lo, hi, top float64
	floor           *float64
	ink             color.NRGBA
}

// object is the bar, 20 high.
func (f floorBar) object(p *theme.Palette) fyne.CanvasObject {
	r := canvas.NewRaster(func(w, h int) image.Image {
		img := image.NewRGBA(image.Rect(0, 0, max(w, 1), max(h, 1)))
		f.paint(raster.New(img), float32(w), float32(h), p)
		return img
	})
	r.ScaleMode = canvas.ImageScalePixels
	return kit.AtLeast(0, 20, r)
}

func (f floorBar) paint(c *raster.Canvas, w, h float32, p *theme.Palette) {
	c.Clear(raster.Of(p.Bg2), 0, 0, 0, 0)
	s := h / 20 // device pixels of one
	at := func(v float64) float32 { return float32(v/f.top) * (w - 2*s) }
	y0, y1 := 5*s, 15*s
	c.Rect(0, y0, w, y1, raster.Of(p.Bg3))
	c.Rect(0, y0, at(f.ns), y1, raster.Of(f.ink))
	if f.floor != nil {
		x := at(*f.floor)
		c.Clip(0, int(y0), int(x), int(y1)).Hatch(0, int(y0), int(x), int(y1), int(5*s), s*1.4, raster.Of(p.Bg2))
		c.Rect(x-2*s, 0, x+2*s, h, raster.Of(p.Bg2)) // halo
		c.Rect(x-s, 0, x+s, h, raster.Of(p.Floor))
	}
	if f.hi > f.lo && at(f.hi)-at(f.lo) > 2*s {
		ink, mid := raster.Of(p.Text1), (y0+y1)/2
		c.Rect(at(f.lo), mid-.6*s, at(f.hi), mid+.6*s, ink)
		for _, x := range []float32{at(f.lo), at(f.hi)} {
			c.Rect(x-.6*s, mid-3.5*s, x+.6*s, mid+3.5*s, ink)
		}
	}
}
