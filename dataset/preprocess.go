package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"fettle/internal/fail"
	"fettle/model"
)

// Preprocess says how a picture becomes a tensor: (pixel*Scale - Mean) / Std for each channel, pixels from 0 to
// 255. Layout and element type come from the model's input.
type Preprocess struct {
	Size   []int     `toml:"size"`   // height, width
	Resize string    `toml:"resize"` // bilinear, nearest, area: as Pillow's BILINEAR, NEAREST, BOX; none
	Crop   string    `toml:"crop"`   // none: stretch to Size; center: cover Size, cut the middle
	Colour string    `toml:"colour"` // rgb bgr gray
	Scale  float64   `toml:"scale"`
	Mean   []float64 `toml:"mean"`
	Std    []float64 `toml:"std"`
}

// MetadataKey is where a model's metadata holds its preprocessing, as Format writes it.
const MetadataKey = "fettle.preprocess"

// Example is the block that messages show.
const Example = `size = [32, 32]             # height, width
resize = "bilinear"         # bilinear nearest area none
crop = "none"               # none center
colour = "rgb"              # rgb bgr gray
scale = 0.00392156862745098 # tensor = (pixel * scale - mean) / std
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
`

// NeedsPreprocess is the error for pictures without a block.
func NeedsPreprocess() error {
	return fail.New(fail.Usage, "how a picture becomes a tensor is not given").
		Try("write a file like this and pass it with --preprocess:\n%s", Example)
}

// ParsePreprocess reads a block. All keys are required; unknown keys, wrong types and values are fail.Invalid
// with line and column.
func ParsePreprocess(text []byte) (*Preprocess, error) {
	if len(text) > 1<<16 {
		return nil, fail.New(fail.TooBig, "the preprocess block has %d bytes", len(text))
	}
	var raw struct {
		Size   *[]int     `toml:"size"`
		Resize *string    `toml:"resize"`
		Crop   *string    `toml:"crop"`
		Colour *string    `toml:"colour"`
		Scale  *float64   `toml:"scale"`
		Mean   *[]float64 `toml:"mean"`
		Std    *[]float64 `toml:"std"`
	}
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&raw); err != nil {
		return nil, tomlError(err)
	}
	var missing []string
	for _, k := range []struct {
		key string
		no  bool
	}{{"size", raw.Size == nil}, {"resize", raw.Resize == nil}, {"crop", raw.Crop == nil}, {"colour", raw.Colour == nil},
		{"scale", raw.Scale == nil}, {"mean", raw.Mean == nil}, {"std", raw.Std == nil}} {
		if k.no {
			missing = append(missing, k.key)
		}
	}
	if missing != nil {
		return nil, fail.New(fail.Invalid, "keys are absent: %s", strings.Join(missing, ", ")).Doing("read preprocess").Try("a full block:\n%s", Example)
	}
	p := &Preprocess{*raw.Size, *raw.Resize, *raw.Crop, *raw.Colour, *raw.Scale, *raw.Mean, *raw.Std}
	if err := p.Check(); err != nil {
		return nil, fail.In(err, "read preprocess", fail.Where{})
	}
	return p, nil
}

func tomlError(err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		line, col := strict.Errors[0].Position()
		return fail.New(fail.Invalid, "line %d, column %d: unknown key %q", line, col, strings.Join(strict.Errors[0].Key(), ".")).
			Doing("read preprocess").Try("known keys: size, resize, crop, colour, scale, mean, std")
	}
	var de *toml.DecodeError
	if errors.As(err, &de) {
		line, col := de.Position()
		return fail.New(fail.Invalid, "line %d, column %d: %s", line, col, strings.TrimPrefix(de.Error(), "toml: ")).Doing("read preprocess")
	}
	return fail.New(fail.Invalid, "%v", err).Doing("read preprocess")
}

// Check tests the values.
func (p *Preprocess) Check() error {
	bad := func(key, format string, args ...any) error {
		return fail.New(fail.Invalid, format, args...).At(fail.Where{Option: key})
	}
	if len(p.Size) != 2 || p.Size[0] < 1 || p.Size[1] < 1 || p.Size[0] > 16384 || p.Size[1] > 16384 {
		return bad("size", "%v is not [height, width], each from 1 to 16384", p.Size)
	}
	for _, e := range []struct{ key, v, of string }{{"resize", p.Resize, "bilinear nearest area none"}, {"crop", p.Crop, "none center"}, {"colour", p.Colour, "rgb bgr gray"}} {
		if !oneOf(e.v, e.of) {
			return bad(e.key, "%q is not one of %s", e.v, e.of)
		}
	}
	if p.Scale == 0 || math.IsNaN(p.Scale) || math.IsInf(p.Scale, 0) {
		return bad("scale", "%v is no scale", p.Scale)
	}
	for _, e := range []struct {
		key string
		v   []float64
	}{{"mean", p.Mean}, {"std", p.Std}} {
		if len(e.v) != p.channels() && len(e.v) != 1 {
			return bad(e.key, "%d numbers for %d channels", len(e.v), p.channels())
		}
		for _, x := range e.v {
			if math.IsNaN(x) || math.IsInf(x, 0) || e.key == "std" && x == 0 {
				return bad(e.key, "%v is not allowed", x)
			}
		}
	}
	return nil
}

func oneOf(v, of string) bool {
	for _, w := range strings.Fields(of) {
		if v == w {
			return true
		}
	}
	return false
}

func (p *Preprocess) channels() int {
	if p.Colour == "gray" {
		return 1
	}
	return 3
}

// Format writes p in a fixed order; equal blocks are equal bytes.
func (p *Preprocess) Format() []byte {
	list := func(v []float64) string {
		s := make([]string, len(v))
		for i, x := range v {
			s[i] = number(x)
		}
		return "[" + strings.Join(s, ", ") + "]"
	}
	size := make([]string, len(p.Size))
	for i, x := range p.Size {
		size[i] = strconv.Itoa(x)
	}
	return fmt.Appendf(nil, "size = [%s]\nresize = %q\ncrop = %q\ncolour = %q\nscale = %s\nmean = %s\nstd = %s\n",
		strings.Join(size, ", "), p.Resize, p.Crop, p.Colour, number(p.Scale), list(p.Mean), list(p.Std))
}

func number(x float64) string {
	s := strconv.FormatFloat(x, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// Tensor makes the tensor that the input wants of a picture. The layout is NCHW where the second dimension is
// the number of channels, else NHWC where the last one is; a missing batch dimension is allowed.
// fail.Invalid where the input has another size, no such layout, or an element type that holds no pixels.
func (p *Preprocess) Tensor(img *Picture, in model.Value) (*model.Tensor, error) {
	h, w, c := p.Size[0], p.Size[1], p.channels()
	where := fail.Where{Tensor: in.Name}
	if !in.Type.Ranked {
		return nil, fail.New(fail.Invalid, "the rank of the input is not known").At(where)
	}
	dims, planar, ok := layout(in.Type.Shape, h, w, c)
	if !ok {
		return nil, fail.New(fail.Invalid, "the input has shape %s, a %s picture of size [%d, %d] does not fit", in.Type.Shape, p.Colour, h, w).At(where).
			Try("set size and colour of the preprocess block to what the model wants")
	}
	dt := in.Type.DType
	if !dt.Float() && dt != model.Uint8 && dt != model.Int8 && dt != model.Int32 && dt != model.Int64 {
		return nil, fail.New(fail.Invalid, "the input is %s, which holds no pixels", dt).At(where)
	}
	img, err := p.fit(img)
	if err != nil {
		return nil, err
	}
	t := model.NewTensor(dt, dims...)
	lo, hi := math.Inf(-1), math.Inf(1)
	if dt == model.Uint8 {
		lo, hi = 0, 255
	} else if dt == model.Int8 {
		lo, hi = -128, 127
	}
	for ch := range c {
		// One look-up a channel: 256 values of (pixel*scale - mean) / std.
		var table [256]float64
		mean, std := p.Mean[ch%len(p.Mean)], p.Std[ch%len(p.Std)]
		for v := range table {
			x := (float64(v)*p.Scale - mean) / std
			if !dt.Float() {
				x = math.RoundToEven(x)
			}
			table[v] = min(max(x, lo), hi)
		}
		put := func(i int, v float64) { t.SetFloat64(i, v) }
		if dt == model.Float32 {
			f := model.Data[float32](t)
			put = func(i int, v float64) { f[i] = float32(v) }
		}
		for i := range h * w {
			at := i*c + ch
			if planar {
				at = ch*h*w + i
			}
			put(at, table[p.pixel(img, i, ch)])
		}
	}
	return t, nil
}

func (p *Preprocess) pixel(img *Picture, i, ch int) byte {
	px := img.Pix[3*i : 3*i+3]
	switch p.Colour {
	case "bgr":
		return px[2-ch]
	case "gray": // Pillow's L: ITU-R 601-2 luma in 16-bit fixed point
		return byte((int(px[0])*19595 + int(px[1])*38470 + int(px[2])*7471 + 0x8000) >> 16)
	}
	return px[ch]
}

func layout(s model.Shape, h, w, c int) (dims []int, planar, ok bool) {
	fits := func(d model.Dim, n int) bool { return !d.Known() || d.N == n }
	lead := []int{}
	body := s
	if len(s) == 4 {
		if s[0].Known() && s[0].N != 1 {
			return nil, false, false
		}
		lead, body = []int{1}, s[1:]
	}
	if len(body) == 3 {
		if fits(body[0], c) && fits(body[1], h) && fits(body[2], w) {
			return append(lead, c, h, w), true, true
		}
		if fits(body[0], h) && fits(body[1], w) && fits(body[2], c) {
			return append(lead, h, w, c), false, true
		}
	}
	return nil, false, false
}

// fit brings a picture to Size.
func (p *Preprocess) fit(img *Picture) (*Picture, error) {
	h, w := p.Size[0], p.Size[1]
	if p.Crop == "center" {
		if p.Resize != "none" {
			// The shorter side first reaches its size; rounding as torchvision: int(size * long / short).
			rw, rh := w, h
			if img.W*h > img.H*w {
				rw = max(h*img.W/img.H, w)
			} else {
				rh = max(w*img.H/img.W, h)
			}
			img = Resize(img, rw, rh, p.Resize)
		}
		if img.W < w || img.H < h {
			return nil, fail.New(fail.Invalid, "the picture is %dx%d, too small to cut %dx%d from it", img.W, img.H, w, h)
		}
		return img.cut((img.W-w+1)/2, (img.H-h+1)/2, w, h), nil
	}
	if img.W == w && img.H == h {
		return img, nil
	}
	if p.Resize == "none" {
		return nil, fail.New(fail.Invalid, "the picture is %dx%d, the preprocess block wants %dx%d and resize = \"none\"", img.W, img.H, w, h).
			Try("set resize to bilinear, nearest or area")
	}
	return Resize(img, w, h, p.Resize), nil
}
