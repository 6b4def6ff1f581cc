// Package pixels owns how the bytes of a picture become RGB levels as Python's pipelines see them: which decoder reads
// them, and how chroma is brought to the size of luma. It turns nothing, scales nothing and opens no file. Start at FormatOf.
package pixels

import (
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"strings"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// Format is a kind of picture file. Size reads no more than the header.
type Format struct {
	Name   string
	marks  []string // what a file begins with; "?" stands for any byte
	Decode func(io.Reader) (image.Image, error)
	Size   func(io.Reader) (image.Config, error)
	video  bool // luma from 16 to 235
}

func formats() []Format {
	return []Format{
		{"PNG", []string{"\x89PNG\r\n\x1a\n"}, png.Decode, png.DecodeConfig, false},
		{"JPEG", []string{"\xff\xd8"}, jpeg.Decode, jpeg.DecodeConfig, false},
		{"WebP", []string{"RIFF????WEBP"}, webp.Decode, webp.DecodeConfig, true},
		{"BMP", []string{"BM"}, bmp.Decode, bmp.DecodeConfig, false},
		{"TIFF", []string{"II*\x00", "MM\x00*"}, tiff.Decode, tiff.DecodeConfig, false},
		{"PNM", []string{"P1", "P2", "P3", "P4", "P5", "P6"}, decodePNM, sizePNM, false},
	}
}

// FormatOf tells the format by the first bytes; nil: none that is known.
func FormatOf(b []byte) *Format {
	for _, f := range formats() {
		for _, m := range f.marks {
			if begins(b, m) {
				return &f
			}
		}
	}
	return nil
}

func begins(b []byte, mark string) bool {
	if len(b) < len(mark) {
		return false
	}
	for i := range len(mark) {
		if mark[i] != '?' && b[i] != mark[i] {
			return false
		}
	}
	return true
}

// IsJPEG2000 tells the one common format that has no decoder here.
func IsJPEG2000(b []byte) bool {
	s := string(b[:min(len(b), 12)])
	return strings.HasPrefix(s, "\x00\x00\x00\x0cjP  \r\n\x87\n") || strings.HasPrefix(s, "\xff\x4f\xff\x51")
}

// picture is 8-bit RGB, rows from the top, three bytes a pixel.
type picture struct {
	w, h int
	pix  []byte
}

// RGB gives the levels of a decoded picture, rows from the top, three bytes a pixel. Alpha is dropped and the colour kept;
// 16 bits are cut to 8.
func (f *Format) RGB(img image.Image) (w, h int, pix []byte) {
	r := img.Bounds()
	p := &picture{w: r.Dx(), h: r.Dy(), pix: make([]byte, 3*r.Dx()*r.Dy())}
	switch m := img.(type) {
	case *image.YCbCr:
		if f.video {
			webpRGB(m, p)
		} else {
			jpegRGB(m, p)
		}
	case *image.NYCbCrA:
		webpRGB(&m.YCbCr, p)
	case *image.Gray:
		for y := range p.h {
			for x := range p.w {
				v := m.Pix[y*m.Stride+x]
				copy(p.pix[3*(y*p.w+x):], []byte{v, v, v})
			}
		}
	case *image.NRGBA:
		for y := range p.h {
			for x := range p.w {
				copy(p.pix[3*(y*p.w+x):3*(y*p.w+x)+3], m.Pix[y*m.Stride+4*x:])
			}
		}
	case *image.Paletted:
		for y := range p.h {
			for x := range p.w {
				c, _ := m.Palette[m.Pix[y*m.Stride+x]].(color.NRGBA)
				if o, ok := m.Palette[m.Pix[y*m.Stride+x]].(color.RGBA); ok {
					c = color.NRGBA{o.R, o.G, o.B, o.A}
				}
				copy(p.pix[3*(y*p.w+x):], []byte{c.R, c.G, c.B})
			}
		}
	default:
		for y := range p.h {
			for x := range p.w {
				// Not premultiplied: Pillow drops alpha and keeps the colour.
				c := color.NRGBA64Model.Convert(img.At(r.Min.X+x, r.Min.Y+y)).(color.NRGBA64)
				copy(p.pix[3*(y*p.w+x):], []byte{byte(c.R >> 8), byte(c.G >> 8), byte(c.B >> 8)})
			}
		}
	}
	return p.w, p.h, p.pix
}

// Gray is the luma of RGB levels as Pillow's convert("L") rounds it: 0.299 R + 0.587 G + 0.114 B in 16 bits.
func Gray(rgb []byte) []byte {
	out := make([]byte, len(rgb)/3)
	for i := range out {
		out[i] = byte((19595*uint32(rgb[3*i]) + 38470*uint32(rgb[3*i+1]) + 7471*uint32(rgb[3*i+2]) + 1<<15) >> 16)
	}
	return out
}
