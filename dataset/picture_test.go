package dataset

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"fettle/internal/pixels"
)

var jpegFormat = pixels.FormatOf([]byte("\xff\xd8"))

// hard is a picture of coloured blocks and noise: the worst case for chroma upsampling.
func hard(w, h int) *image.NRGBA {
	r := rand.New(rand.NewPCG(1, 2))
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBA{uint8(255 * (x / 5 % 2)), uint8(255 * (y / 7 % 2)), uint8(255 * ((x + y) / 9 % 2)), 255}
			if x > w/2 {
				c.R, c.B = uint8(r.IntN(256)), uint8(x*255/w)
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return m
}

func ppm(t *testing.T, b []byte) *Picture {
	t.Helper()
	var w, h, depth int
	r := bytes.NewReader(b)
	if _, err := fmt.Fscanf(r, "P6\n%d %d\n%d", &w, &h, &depth); err != nil {
		t.Fatal(err)
	}
	return &Picture{W: w, H: h, Pix: b[len(b)-3*w*h:]}
}

func difference(a, b *Picture) (mean float64, worst int) {
	for i := range a.Pix {
		d := int(a.Pix[i]) - int(b.Pix[i])
		d = max(d, -d)
		mean += float64(d)
		worst = max(worst, d)
	}
	return mean / float64(len(a.Pix)), worst
}

func tool(t *testing.T, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed (Debian: libjpeg-turbo-progs, webp)", name)
	}
	c := exec.Command(name, args...)
	c.Stdin = bytes.NewReader(stdin)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

// TestJPEGAsLibjpeg compares with djpeg. The rest is the inverse DCT, which Go computes in its own way.
func TestJPEGAsLibjpeg(t *testing.T) {
	for _, sample := range []string{"1x1", "2x1", "1x2", "2x2"} {
		for _, size := range [][2]int{{64, 48}, {61, 35}} {
			t.Run(fmt.Sprint(sample, size), func(t *testing.T) {
				m := hard(size[0], size[1])
				src := fmt.Appendf(nil, "P6\n%d %d\n255\n", size[0], size[1])
				src = append(src, toRGB(m, jpegFormat).Pix...)
				jpg := tool(t, src, "cjpeg", "-quality", "90", "-sample", sample)
				want := ppm(t, tool(t, jpg, "djpeg", "-ppm"))
				got, err := DecodePicture(jpg, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				mean, worst := difference(got, want)
				if mean > 0.3 || worst > 4 {
					t.Errorf("differs by %.3f on average and %d at most, want 0.3 and 4", mean, worst)
				}
				t.Logf("mean %.3f, worst %d", mean, worst)
			})
		}
	}
}

// TestWebPAsLibwebp compares with dwebp.
func TestWebPAsLibwebp(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range []string{"-lossless", "-q 80"} {
		var b bytes.Buffer
		if err := png.Encode(&b, hard(61, 35)); err != nil {
			t.Fatal(err)
		}
		in, out := filepath.Join(dir, "a.png"), filepath.Join(dir, "a.webp")
		if err := os.WriteFile(in, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		args := []string{"-quiet", "-lossless", in, "-o", out}
		if kind != "-lossless" {
			args = []string{"-quiet", "-q", "80", in, "-o", out}
		}
		tool(t, nil, "cwebp", args...)
		want := ppm(t, tool(t, nil, "dwebp", "-quiet", "-ppm", out, "-o", "-"))
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodePicture(data, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if mean, worst := difference(got, want); worst > 0 {
			t.Errorf("%s differs by %.3f on average and %d at most", kind, mean, worst)
		}
	}
}

func TestOrientation(t *testing.T) {
	p := &Picture{W: 3, H: 2, Pix: make([]byte, 18)}
	for i := range 6 {
		p.Pix[3*i] = byte(i + 1)
	}
	for o, want := range map[int]string{1: "3:123456", 2: "3:321654", 3: "3:654321", 4: "3:456123", 5: "2:142536", 6: "2:415263", 7: "2:635241", 8: "2:362514"} {
		q := p.turn(o)
		got := fmt.Sprintf("%d:", q.W)
		for i := range 6 {
			got += fmt.Sprint(q.Pix[3*i])
		}
		if got != want {
			t.Errorf("orientation %d gives %s, want %s", o, got, want)
		}
	}
	seg := []byte("\xff\xd8\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00")
	if o := exifOrientation(seg); o != 6 {
		t.Errorf("orientation %d, want 6", o)
	}
	for i := range seg {
		exifOrientation(seg[:i])
	}
}

// TestResize compares with the filters written out in float64: at most one level apart, from the two roundings.
func TestResize(t *testing.T) {
	p := toRGB(hard(37, 29), jpegFormat)
	for _, kind := range []string{"bilinear", "area"} {
		for _, size := range [][2]int{{15, 11}, {37, 9}, {80, 61}, {1, 1}, {37, 29}} {
			got := Resize(p, size[0], size[1], kind)
			worst := 0.0
			for y := range size[1] {
				for x := range size[0] {
					wx, wy := weights(37, size[0], x, kind), weights(29, size[1], y, kind)
					sum := 0.0
					for j, b := range wy {
						for i, a := range wx {
							sum += a * b * float64(p.Pix[3*(j*37+i)])
						}
					}
					worst = math.Max(worst, math.Abs(sum-float64(got.Pix[3*(y*size[0]+x)])))
				}
			}
			if worst > 1.01 {
				t.Errorf("%s to %v is off by %.2f", kind, size, worst)
			}
		}
	}
	if q := Resize(p, 2, 1, "nearest"); q.Pix[0] != p.Pix[3*(14*37+9)] || q.Pix[3] != p.Pix[3*(14*37+27)] {
		t.Error("nearest takes other pixels")
	}
}

func weights(in, out, at int, kind string) map[int]float64 {
	scale := float64(in) / float64(out)
	if in == out {
		return map[int]float64{at: 1}
	}
	wide := math.Max(scale, 1)
	centre := (float64(at) + 0.5) * scale
	w, sum := map[int]float64{}, 0.0
	for i := range in {
		d := (float64(i) + 0.5 - centre) / wide
		v := 1 - math.Abs(d)
		if kind == "area" {
			v = 0
			if d > -0.5 && d <= 0.5 {
				v = 1
			}
		}
		if v > 0 {
			w[i] = v
			sum += v
		}
	}
	for i := range w {
		w[i] /= sum
	}
	return w
}
