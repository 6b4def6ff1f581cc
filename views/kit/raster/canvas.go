// Package raster owns the software pen of the studio: spans, boxes, lines, hatches and text, painted into one
// image.RGBA with analytic coverage.
//
// It knows no widget, no theme and no meaning of what it paints. A frame has two phases: a Type shapes text and fills its
// caches on one goroutine; then bands of rows may be painted at the same time, each by a Canvas of its own that writes
// only its rows. Start reading at Canvas, then Type.
package raster

import (
	"image"
	"math"
	"unsafe"
)

// Canvas is one horizontal band of an opaque picture. Every primitive clips to [X0,X1) x [Y0,Y1), so bands can be painted
// at the same time without locks.
type Canvas struct {
	Pix    []uint32 // little-endian RGBA words, the whole picture
	W      int
	Y0, Y1 int
	X0, X1 int
}

// New is a canvas over the whole of a picture, which must not be a part of a larger one.
func New(img *image.RGBA) *Canvas {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	if img.Stride != 4*w {
		panic("raster: the picture is a part of another")
	}
	return &Canvas{Pix: Words(img.Pix), W: w, Y1: h, X1: w}
}

// Clip is the canvas cut to a box.
func (t *Canvas) Clip(x0, y0, x1, y1 int) *Canvas {
	c := *t
	c.X0, c.X1 = max(t.X0, x0), min(t.X1, x1)
	c.Y0, c.Y1 = max(t.Y0, y0), min(t.Y1, y1)
	return &c
}

// Words reads the bytes of a picture as pixels.
func Words(pix []byte) []uint32 {
	if len(pix) == 0 {
		return nil
	}
	return unsafe.Slice((*uint32)(unsafe.Pointer(&pix[0])), len(pix)/4)
}

// Span fills pixels of one row.
func (t *Canvas) Span(x0, x1, y int, c Color) {
	x0, x1 = max(x0, t.X0), min(x1, t.X1)
	if x0 >= x1 {
		return
	}
	r := t.Pix[y*t.W+x0 : y*t.W+x1]
	if len(r) <= 32 {
		for i := range r {
			r[i] = uint32(c)
		}
		return
	}
	for i := range 16 {
		r[i] = uint32(c)
	}
	for n := 16; n < len(r); n *= 2 {
		copy(r[n:], r[:n])
	}
}

// SpanA blends pixels of one row; a is 0 to 256.
func (t *Canvas) SpanA(x0, x1, y int, c Color, a uint32) {
	x0, x1 = max(x0, t.X0), min(x1, t.X1)
	if x0 >= x1 {
		return
	}
	r := t.Pix[y*t.W+x0 : y*t.W+x1]
	for i := range r {
		blend(&r[i], c, a)
	}
}

// Dot blends one pixel.
func (t *Canvas) Dot(x, y int, c Color, a uint32) {
	if a != 0 && x >= t.X0 && x < t.X1 {
		blend(&t.Pix[y*t.W+x], c, a)
	}
}

// Clear paints the background with a dot every step pixels; the rows are copied
// from the first two, which stay in the cache.
func (t *Canvas) Clear(bg, dots Color, ox, oy, step float64) {
	plain := t.Pix[t.Y0*t.W : (t.Y0+1)*t.W]
	c := *t
	c.X0, c.X1 = 0, t.W
	c.Span(0, t.W, t.Y0, bg)
	for y := t.Y0 + 1; y < t.Y1; y++ {
		copy(t.Pix[y*t.W:(y+1)*t.W], plain)
	}
	if step < 10 {
		return
	}
	mod := func(o float64) float64 { return o - math.Floor(o/step)*step }
	for fy := mod(oy) + math.Floor((float64(t.Y0)-mod(oy))/step)*step; fy < float64(t.Y1); fy += step {
		y := int(math.Floor(fy))
		if y < t.Y0 || y >= t.Y1 {
			continue
		}
		for fx := mod(ox); fx < float64(t.W); fx += step {
			t.Pix[y*t.W+int(fx)] = uint32(dots)
		}
	}
}
