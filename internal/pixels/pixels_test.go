package pixels

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

func TestFormats(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 3, 2))
	for i := range 6 {
		img.Set(i%3, i/3, color.NRGBA{byte(40 * i), byte(255 - 30*i), byte(7 * i), 255})
	}
	want := []byte{0, 255, 0, 40, 225, 7, 80, 195, 14, 120, 165, 21, 160, 135, 28, 200, 105, 35}
	file := func(f func(*bytes.Buffer) error) []byte {
		var b bytes.Buffer
		if err := f(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	text := "P3 # a comment\n3 2\n255\n"
	for i, v := range want {
		text += fmt.Sprint(v, " \n"[i%2:i%2+1])
	}
	for _, c := range []struct {
		format string
		b      []byte
		want   []byte
	}{
		{"PNG", file(func(b *bytes.Buffer) error { return png.Encode(b, img) }), want},
		{"BMP", file(func(b *bytes.Buffer) error { return bmp.Encode(b, img) }), want},
		{"TIFF", file(func(b *bytes.Buffer) error { return tiff.Encode(b, img, nil) }), want},
		{"PNM", append([]byte("P6\n3 2\n255\n"), want...), want},
		{"PNM", []byte(text), want},
		{"PNM", []byte("P5 2 1 3\n\x00\x02"), []byte{0, 0, 0, 170, 170, 170}},
		{"PNM", []byte("P5 1 1 1000\n\x01\xf4"), []byte{128, 128, 128}},
		{"PNM", []byte("P2 2 1 255 9 8"), []byte{9, 9, 9, 8, 8, 8}},
		{"PNM", []byte("P1 3 1\n01 0"), []byte{255, 255, 255, 0, 0, 0, 255, 255, 255}},
		{"PNM", []byte("P4 2 2\n\x40\x80"), []byte{255, 255, 255, 0, 0, 0, 0, 0, 0, 255, 255, 255}},
	} {
		f := FormatOf(c.b)
		if f == nil || f.Name != c.format {
			t.Fatalf("%q is %v, want %s", c.b[:2], f, c.format)
		}
		cfg, err := f.Size(bytes.NewReader(c.b))
		if err != nil || 3*cfg.Width*cfg.Height != len(c.want) {
			t.Fatalf("%s: size %dx%d, %v", c.format, cfg.Width, cfg.Height, err)
		}
		m, err := f.Decode(bytes.NewReader(c.b))
		if err != nil {
			t.Fatalf("%s: %v", c.format, err)
		}
		if _, _, got := f.RGB(m); !bytes.Equal(got, c.want) {
			t.Errorf("%s %q: got %v, want %v", c.format, c.b[:2], got, c.want)
		}
	}
	for _, b := range []string{"", "P", "P7 1 1 1 ", "hello", "GIF89a"} {
		if f := FormatOf([]byte(b)); f != nil {
			t.Errorf("%q is taken for %s", b, f.Name)
		}
	}
	for _, b := range []string{"P6 1", "P6 2 1 255\n\x01", "P5 0 1 255\n", "P5 1 1 70000\n\x00\x00", "P3 1 1 9\n1 2 10", "P1 1 1\n2", "P5 99999999999 1 1\n"} {
		if _, err := decodePNM(bytes.NewReader([]byte(b))); err == nil {
			t.Errorf("%q was decoded", b)
		}
	}
}

func TestGray(t *testing.T) {
	if got := Gray([]byte{255, 255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255}); !bytes.Equal(got, []byte{255, 76, 150, 29}) {
		t.Errorf("got %v", got)
	}
}

func TestJPEG2000(t *testing.T) {
	if !IsJPEG2000([]byte("\x00\x00\x00\x0cjP  \r\n\x87\n...")) || !IsJPEG2000([]byte("\xff\x4f\xff\x51..")) || IsJPEG2000([]byte("\xff\xd8\xff\xe0")) || IsJPEG2000(nil) {
		t.Error("JPEG 2000 is not told")
	}
}
