package kit

import (
	"image"
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"

	"fettle/views/kit/theme"
)

// Pill is a short fact in an outlined capsule, 20 high. The token names the colour of edge and text.
func (u *UI) Pill(text, token string) fyne.CanvasObject {
	c := u.Theme.Token(token)
	plate := Plate(color.Transparent, c, 10)
	t := NewLine(text, theme.Dense-1, c).Whole()
	return Fixed(0, 20, container.NewStack(plate, Pad(1, 9, 1, 9, container.NewCenter(t))))
}

// Badge is a number type, outlined: f32, i8 and so on; 15 high.
func (u *UI) Badge(dtype string) fyne.CanvasObject {
	c := u.Theme.DType(dtype)
	t := NewLine(ShortType(dtype), 10.5, c).Bold().Whole()
	plate := Plate(color.Transparent, c, 3.5)
	return Fixed(0, 16, container.NewStack(plate, Pad(0, 4, 0, 4, container.NewCenter(t))))
}

// ShortType is the badge's text of a number type.
func ShortType(dtype string) string {
	short := map[string]string{"float32": "f32", "float16": "f16", "bfloat16": "bf16", "float64": "f64", "int8": "i8", "uint8": "u8",
		"int4": "i4", "uint4": "u4", "int16": "i16", "int32": "i32", "int64": "i64", "mixed": "mix"}
	if s, ok := short[dtype]; ok {
		return s
	}
	return dtype
}

// SealMark is the seal of a run as an icon; its shape says what its colour says.
func (u *UI) SealMark(seal string, size float32) fyne.CanvasObject {
	token := map[string]string{"green": "sealGreen", "amber": "sealAmber", "red": "sealRed"}[seal]
	if token == "" {
		token = "sealNone"
	}
	return Icon(theme.SealIcon(seal), token, size)
}

// SealWord says in a word what a seal means; a key of the translations.
func SealWord(seal string) string {
	switch seal {
	case "green":
		return "sealed"
	case "amber":
		return "with reserve"
	case "red":
		return "tainted"
	}
	return "not measured"
}

// Chip is a square of the colour of an operator's kind; the name always stands beside it.
func Chip(c color.Color) fyne.CanvasObject { return Fixed(8, 8, Plate(c, color.Transparent, 2)) }

// KeyCap is a key as it stands on a keyboard.
func (u *UI) KeyCap(keys string) fyne.CanvasObject {
	t := NewLine(keys, theme.Dense-1, u.Theme.Text2).Whole()
	return Fixed(0, 18, container.NewStack(Plate(u.Theme.Bg3, u.Theme.Line2, 4), Pad(0, 6, 0, 6, container.NewCenter(t))))
}

// Hatch is what "not measured" looks like: grey lines at 45 degrees, never a number on a scale.
func (u *UI) Hatch() *canvas.Raster {
	c := u.Theme.Line3
	return canvas.NewRasterWithPixels(func(x, y, w, h int) color.Color {
		if (x+y)%6 < 1 {
			return c
		}
		return color.Transparent
	})
}

// NewRaster paints an image of its size in device pixels.
func NewRaster(paint func(img *image.NRGBA)) *canvas.Raster {
	r := canvas.NewRaster(func(w, h int) image.Image {
		img := image.NewNRGBA(image.Rect(0, 0, max(w, 1), max(h, 1)))
		paint(img)
		return img
	})
	r.ScaleMode = canvas.ImageScalePixels
	return r
}

// Fact is one line of a key and value list.
type Fact struct {
	Key, Value string
	Token      string // colour of the value, "" for text1
}

// Facts is a key and value list, values at the right; rows of 22.
func (u *UI) Facts(facts []Fact) *fyne.Container {
	rows := make([]fyne.CanvasObject, len(facts))
	for i, f := range facts {
		ink := u.Theme.Text1
		if f.Token != "" {
			ink = u.Theme.Token(f.Token)
		}
		rows[i] = Fixed(0, 22, Cols(12, u.Soft(f.Key).Whole(), Flex(NewLine(f.Value, theme.Dense, ink).Right())))
	}
	return Rows(0, rows...)
}
