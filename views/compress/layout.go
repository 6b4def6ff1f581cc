package compress

import (
	"fmt"
	"strings"

	"fyne.io/fyne/v2"

	"fettle/views/kit"
)

// thirds gives the first a share of the width, the last a fixed one, and the middle the rest.
type thirds struct{ gap, left, right float32 }

func (l *thirds) Layout(o []fyne.CanvasObject, z fyne.Size) {
	right := min(l.right, z.Width*.28)
	left := (z.Width - right - 2*l.gap) * l.left / (1 - .28) * .86
	middle := z.Width - right - left - 2*l.gap
	x := float32(0)
	for i, w := range []float32{left, middle, right} {
		o[i].Move(fyne.NewPos(x, 0))
		o[i].Resize(fyne.NewSize(w, z.Height))
		x += w + l.gap
	}
}

func (l *thirds) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(900, 360) }

// shares stacks objects, each with its share of the height.
type shares struct {
	gap   float32
	parts []float32
}

func (l *shares) Layout(o []fyne.CanvasObject, z fyne.Size) {
	y, room := float32(0), z.Height-l.gap*float32(len(o)-1)
	for i, c := range o {
		h := room * l.parts[i]
		c.Move(fyne.NewPos(0, y))
		c.Resize(fyne.NewSize(z.Width, h))
		y += h + l.gap
	}
}

func (l *shares) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(200, 300) }

// sci is a small number in two digits: 2.1e−06 is 2.1e−6.
func sci(x float64) string {
	if x == 0 {
		return "0"
	}
	if x >= 0.001 {
		return kit.Sig(x)
	}
	mantissa, exp, _ := strings.Cut(fmt.Sprintf("%.1e", x), "e-")
	return mantissa + "e−" + strings.TrimLeft(exp, "0")
}
