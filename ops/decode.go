package ops

import (
	"bytes"

	"fettle/internal/pixels"
	"fettle/model"
)

// decodeOps: from the bytes of a file to a picture.
func decodeOps() []*Def { return []*Def{imageDecoderDef} }

// imageDecoderDef: a file's bytes become [height, width, channels]; what cannot be decoded becomes an empty picture, as the
// specification wants it. A format that is not known here is no such case: it is refused.
var imageDecoderDef = &Def{Name: "ImageDecoder", Since: []int{20}, In: []Port{{Name: "encoded_stream", Type: "uint8"}}, Out: []Port{{Name: "image"}},
	Attrs: []AttrSpec{{Name: "pixel_format", Type: model.AttrString, Default: "RGB", Enum: []string{"RGB", "BGR", "Grayscale"}}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.TensorType(model.Uint8, model.Shape{model.Sym(""), model.Sym(""), model.Fixed(pixelChannels(f.Str("pixel_format")))})
		return f.ranked(0, 1, 1)
	},
	Eval: func(c *Call) error {
		b := c.In[0].Raw
		if pixels.IsJPEG2000(b) {
			return c.Unsupported("a JPEG 2000 picture")
		}
		w, h, rgb, err := c.decoded(b)
		if err != nil {
			return err
		}
		format := c.Str("pixel_format")
		y, err := c.make(model.Uint8, []int{h, w, pixelChannels(format)})
		if err != nil {
			return err
		}
		c.Out[0] = y
		switch format {
		case "Grayscale":
			copy(y.Raw, pixels.Gray(rgb))
		case "BGR":
			for i := 0; i < len(rgb); i += 3 {
				y.Raw[i], y.Raw[i+1], y.Raw[i+2] = rgb[i+2], rgb[i+1], rgb[i]
			}
		default:
			copy(y.Raw, rgb)
		}
		return nil
	}}

func pixelChannels(format string) int {
	if format == "Grayscale" {
		return 1
	}
	return 3
}

// decoded gives the picture's levels, nothing where it is damaged. A size beyond the limit fails before it is decoded.
func (c *Call) decoded(b []byte) (w, h int, rgb []byte, err error) {
	f := pixels.FormatOf(b)
	if f == nil {
		return 0, 0, nil, nil
	}
	size, err := f.Size(bytes.NewReader(b))
	if err != nil || size.Width < 1 || size.Height < 1 {
		return 0, 0, nil, nil
	}
	if size.Width > c.limit()/8/size.Height {
		return 0, 0, nil, c.tooBig("a picture of %dx%d", size.Width, size.Height)
	}
	img, err := f.Decode(bytes.NewReader(b))
	if err != nil {
		return 0, 0, nil, nil
	}
	w, h, rgb = f.RGB(img)
	return w, h, rgb, nil
}
