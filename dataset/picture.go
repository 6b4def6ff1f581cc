package dataset

import (
	"bytes"
	"encoding/binary"
	"image"

	"fettle/internal/fail"
	"fettle/internal/pixels"
)

// Picture is 8-bit RGB, rows from the top, three bytes a pixel.
type Picture struct {
	W, H int
	Pix  []byte
}

func (p *Picture) cut(x, y, w, h int) *Picture {
	out := &Picture{W: w, H: h, Pix: make([]byte, 3*w*h)}
	for r := range h {
		copy(out.Pix[3*r*w:3*(r+1)*w], p.Pix[3*((y+r)*p.W+x):])
	}
	return out
}

// DecodePicture reads PNG, JPEG, WebP, BMP, TIFF or PNM as Pillow's convert("RGB") after exif_transpose does: JPEG chroma
// with libjpeg's smooth upsampling, EXIF orientation applied, alpha dropped, 16 bits cut to 8. The header is
// checked against maxPixels before anything is decoded: fail.TooBig. Damaged pictures are fail.Corrupt.
func DecodePicture(b []byte, maxPixels int) (*Picture, error) {
	f := pixels.FormatOf(b)
	if f == nil {
		return nil, fail.New(fail.Invalid, "is no PNG, JPEG, WebP, BMP, TIFF or PNM picture")
	}
	kind := f.Name
	cfg, err := f.Size(bytes.NewReader(b))
	if err != nil {
		return nil, fail.New(fail.Corrupt, "damaged %s header: %v", kind, err)
	}
	if cfg.Width < 1 || cfg.Height < 1 {
		return nil, fail.New(fail.Corrupt, "a %s picture of %dx%d", kind, cfg.Width, cfg.Height)
	}
	if cfg.Width > maxPixels/cfg.Height {
		return nil, fail.New(fail.TooBig, "a %s picture of %dx%d has more than %d pixels", kind, cfg.Width, cfg.Height, maxPixels)
	}
	img, err := f.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, fail.New(fail.Corrupt, "damaged %s picture: %v", kind, err)
	}
	p := toRGB(img, f)
	if kind == "JPEG" {
		p = p.turn(exifOrientation(b))
	}
	return p, nil
}

func toRGB(img image.Image, f *pixels.Format) *Picture {
	p := &Picture{}
	p.W, p.H, p.Pix = f.RGB(img)
	return p
}

// turn applies an EXIF orientation from 1 to 8.
func (p *Picture) turn(o int) *Picture {
	if o <= 1 || o > 8 {
		return p
	}
	out := &Picture{W: p.W, H: p.H, Pix: make([]byte, len(p.Pix))}
	if o >= 5 {
		out.W, out.H = p.H, p.W
	}
	for y := range out.H {
		for x := range out.W {
			sx, sy := x, y
			if o >= 5 {
				sx, sy = y, x
			}
			switch o {
			case 2, 8: // mirrored; turned left
				sx = p.W - 1 - sx
			case 3, 7:
				sx, sy = p.W-1-sx, p.H-1-sy
			case 4, 6: // upside down mirrored; turned right
				sy = p.H - 1 - sy
			}
			copy(out.Pix[3*(y*out.W+x):3*(y*out.W+x)+3], p.Pix[3*(sy*p.W+sx):])
		}
	}
	return out
}

// exifOrientation finds tag 0x0112 of the first APP1 segment; 1 where there is none or it is damaged.
func exifOrientation(b []byte) int {
	for at := 2; at+4 <= len(b) && b[at] == 0xff; {
		marker, size := b[at+1], int(binary.BigEndian.Uint16(b[at+2:]))
		if marker == 0xda || size < 2 || at+2+size > len(b) {
			return 1
		}
		seg := b[at+4 : at+2+size]
		if marker == 0xe1 && len(seg) > 14 && string(seg[:6]) == "Exif\x00\x00" {
			return tiffOrientation(seg[6:])
		}
		at += 2 + size
	}
	return 1
}

func tiffOrientation(t []byte) int {
	var order binary.ByteOrder
	switch string(t[:2]) {
	case "II":
		order = binary.LittleEndian
	case "MM":
		order = binary.BigEndian
	default:
		return 1
	}
	ifd := int(order.Uint32(t[4:]))
	if ifd < 8 || ifd > len(t)-2 {
		return 1
	}
	n := int(order.Uint16(t[ifd:]))
	for i := range n {
		e := ifd + 2 + 12*i
		if e+12 > len(t) {
			return 1
		}
		if order.Uint16(t[e:]) == 0x0112 && order.Uint16(t[e+2:]) == 3 {
			if v := int(order.Uint16(t[e+8:])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
	}
	return 1
}
