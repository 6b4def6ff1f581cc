package kit

import (
	"image/color"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
)

func TestFitLeavesOutTheLast(t *testing.T) {
	var o []fyne.CanvasObject
	for range 4 {
		r := canvas.NewRectangle(color.Black)
		r.SetMinSize(fyne.NewSize(100, 20))
		o = append(o, r)
	}
	c := Fit(10, o...)
	if m := c.MinSize(); m != fyne.NewSize(100, 20) {
		t.Errorf("smallest size %v", m)
	}
	for _, x := range []struct {
		width float32
		shown int
	}{{430, 4}, {429, 3}, {210, 2}, {50, 1}} {
		c.Resize(fyne.NewSize(x.width, 20))
		n := 0
		for _, r := range o {
			if r.Position().X >= 0 {
				n++
			}
		}
		if n != x.shown {
			t.Errorf("%g wide: %d shown, want %d", x.width, n, x.shown)
		}
	}
}
