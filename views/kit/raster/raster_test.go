package raster

import (
	"image"
	"testing"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
)

func typeset(t testing.TB) *Type {
	f, err := NewFonts(goregular.TTF, gobold.TTF)
	if err != nil {
		t.Fatal(err)
	}
	return NewType(f)
}

// paint draws one of everything.
func paint(c *Canvas, ts *Type) {
	ink, k := RGB(20, 200, 120), NewCorner(6)
	c.Clear(RGB(10, 10, 10), RGB(30, 30, 30), 3, 3, 20)
	c.Box(10, 10, 90, 50, k, RGB(60, 60, 60))
	c.Ring(10, 10, 90, 50, 2, k, NewCorner(4), ink)
	c.Dashes(100, 10, 180, 50, 1, 4, 3, k, NewCorner(5), ink)
	c.Rect(12.3, 60.4, 80.6, 70.2, ink)
	c.Hatch(100, 60, 180, 80, 5, 1.2, ink)
	c.Curve(20, 80, 170, 140, 1, 256, ink)
	c.Line(10, 150, 190, 90, .8, 256, ink)
	c.Arrow(170, 140, 8, 6, ink)
	c.Capsule(30, 150, 60, 120, 2, ink)
	c.Disc(100, 120, 9, 2, ink)
	c.Poly(ink, 150, 100, 160, 110, 150, 120, 140, 110)
	r := ts.Run("layer4.0.conv2", Bold, Size(13))
	c.Text(ts, ts.Fit(r, Bold, Size(13), 60), 14, 30, RGB(255, 255, 255))
}

// The picture must not depend on how many bands paint it, and a band writes only its rows.
func TestBandsAgree(t *testing.T) {
	ts := typeset(t)
	whole, parts := image.NewRGBA(image.Rect(0, 0, 200, 160)), image.NewRGBA(image.Rect(0, 0, 200, 160))
	paint(New(whole), ts)
	for y := 0; y < 160; y += 7 {
		c := New(parts)
		c.Y0, c.Y1 = y, min(y+7, 160)
		paint(c, ts)
	}
	for i := range whole.Pix {
		if whole.Pix[i] != parts.Pix[i] {
			t.Fatalf("pixel (%d, %d) differs between one band and many", i/4%200, i/4/200)
		}
	}
}

func TestClipHolds(t *testing.T) {
	ts := typeset(t)
	img := image.NewRGBA(image.Rect(0, 0, 200, 160))
	c := New(img).Clip(50, 40, 120, 100)
	c.Rect(-100, -100, 500, 500, RGB(1, 2, 3))
	c.Poly(RGB(4, 5, 6), -10, -10, 300, 0, 300, 300)
	c.Text(ts, ts.Fit(ts.Run("over the edge", Regular, Size(40)), Regular, Size(40), 400), 0, 90, RGB(9, 9, 9))
	for y := range 160 {
		for x := range 200 {
			in := x >= 50 && x < 120 && y >= 40 && y < 100
			if got := img.Pix[(y*200+x)*4+3] != 0; got != in {
				t.Fatalf("pixel (%d, %d): painted %v, want %v", x, y, got, in)
			}
		}
	}
}

func TestFit(t *testing.T) {
	ts := typeset(t)
	r := ts.Run("layer4.0.conv2", Regular, Size(13))
	full := ts.Width(r)
	for _, c := range []struct {
		name string
		px   int
		ell  bool
		n    bool
	}{{"room enough", full + 1, false, true}, {"cut", full / 2, true, true}, {"no room for a letter", 3, false, false}} {
		k := ts.Fit(r, Regular, Size(13), c.px)
		if (k.Ell >= 0) != c.ell || (k.N > 0) != c.n || k.Width > c.px {
			t.Errorf("%s: ellipsis %v, %d glyphs, %d px wide in %d", c.name, k.Ell >= 0, k.N, k.Width, c.px)
		}
	}
}

// A run that is known costs no allocation.
func TestRunsAreCached(t *testing.T) {
	ts := typeset(t)
	ts.Run("conv1", Regular, Size(13))
	if n := testing.AllocsPerRun(10, func() { ts.Run("conv1", Regular, Size(13)) }); n > 0 {
		t.Errorf("%v allocations for a known run", n)
	}
}
