package raster

import "image/color"

// Color is an opaque pixel as it lies in an image.RGBA read as little-endian words.
type Color uint32

// RGB makes an opaque colour.
func RGB(r, g, b uint8) Color {
	return Color(r) | Color(g)<<8 | Color(b)<<16 | 0xff000000
}

// Of takes the colour of any source; what is transparent in it is lost.
func Of(c color.Color) Color {
	if c == nil {
		return RGB(0, 0, 0)
	}
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	return RGB(n.R, n.G, n.B)
}

// NRGBA is the colour for everybody else.
func (c Color) NRGBA() color.NRGBA {
	return color.NRGBA{R: uint8(c), G: uint8(c >> 8), B: uint8(c >> 16), A: 255}
}

// Mix returns a + (b-a)*t/256.
func Mix(a, b Color, t uint32) Color {
	u := 256 - t
	rb := ((uint32(a)&0xff00ff)*u + (uint32(b)&0xff00ff)*t) >> 8 & 0xff00ff
	g := ((uint32(a)&0x00ff00)*u + (uint32(b)&0x00ff00)*t) >> 8 & 0x00ff00
	return Color(rb | g | 0xff000000)
}

// blend lays c over a pixel; a is the coverage, 0 to 256.
func blend(p *uint32, c Color, a uint32) {
	d, u := *p, 256-a
	rb := ((d&0xff00ff)*u + (uint32(c)&0xff00ff)*a) >> 8 & 0xff00ff
	g := ((d&0x00ff00)*u + (uint32(c)&0x00ff00)*a) >> 8 & 0x00ff00
	*p = rb | g | 0xff000000
}
