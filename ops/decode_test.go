package ops

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

func TestImageDecoder(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	img.Set(0, 0, color.NRGBA{10, 20, 30, 255})
	img.Set(1, 0, color.NRGBA{200, 100, 50, 255})
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	stream := func(b []byte) *model.Tensor { return &model.Tensor{DType: model.Uint8, Shape: []int{len(b)}, Raw: b} }
	u8 := func(dims []int, v ...float64) *model.Tensor { return tensor(model.Uint8, dims, v...) }
	format := func(s string) applied { return applied{op: "ImageDecoder", attrs: attrs{"pixel_format": s}} }
	runCases(t, []opCase{
		{name: "RGB by default", node: applied{op: "ImageDecoder"}, in: list{stream(b.Bytes())}, want: list{u8([]int{1, 2, 3}, 10, 20, 30, 200, 100, 50)}},
		{name: "BGR", node: format("BGR"), in: list{stream(b.Bytes())}, want: list{u8([]int{1, 2, 3}, 30, 20, 10, 50, 100, 200)}},
		{name: "gray", node: format("Grayscale"), in: list{stream(b.Bytes())}, want: list{u8([]int{1, 2, 1}, 18, 124)}},
		{name: "damaged", node: applied{op: "ImageDecoder"}, in: list{stream(b.Bytes()[:40])}, want: list{u8([]int{0, 0, 3})}},
		{name: "no picture", node: format("Grayscale"), in: list{stream([]byte("hello"))}, want: list{u8([]int{0, 0, 1})}},
		{name: "empty", node: applied{op: "ImageDecoder"}, in: list{stream(nil)}, want: list{u8([]int{0, 0, 3})}},
		{name: "JPEG 2000", node: applied{op: "ImageDecoder"}, in: list{stream([]byte("\xff\x4f\xff\x51 and so on"))}, refuse: fail.Unsupported},
		{name: "unknown format", node: format("CMYK"), in: list{stream(b.Bytes())}, refuse: fail.Invalid},
		{name: "rank 2", node: applied{op: "ImageDecoder"}, in: list{u8([]int{1, 2}, 1, 2)}, refuse: fail.Invalid},
		{name: "a header that promises too much", node: applied{op: "ImageDecoder"}, in: list{stream([]byte("P6 16000000 16000000 255\n"))}, refuse: fail.TooBig},
	})
}

// TestImageDecoderJPEG: with chroma at half the size, levels lie between the colours of neighbours instead of in steps.
func TestImageDecoderJPEG(t *testing.T) {
	img := image.NewYCbCr(image.Rect(0, 0, 16, 2), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = 128
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = 128, byte(100+60*(i%8/4))
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	out, err := apply(applied{op: "ImageDecoder"}, &model.Tensor{DType: model.Uint8, Shape: []int{b.Len()}, Raw: b.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	red := func(x int) float64 { return out[0].Float64At(3 * x) }
	if left, right := red(0), red(15); left+60 > right || red(7) <= left || red(8) >= right || red(7) >= red(8) {
		t.Errorf("red levels %v", values(out[0]))
	}
}
