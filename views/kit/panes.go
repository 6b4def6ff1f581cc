package kit

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
)

// Card is a panel without padding: tables reach its rims.
func (u *UI) Card(o fyne.CanvasObject) *fyne.Container {
	return container.NewStack(Plate(u.Theme.Bg2, u.Theme.Line1, 8), Pad(1, 1, 1, 1, o))
}

// Share gives an object a share of the width.
func Share(share float64, o fyne.CanvasObject) fyne.CanvasObject {
	return container.New(&shareLayout{float32(min(max(share, 0), 1))}, o)
}

type shareLayout struct{ share float32 }

func (l *shareLayout) Layout(o []fyne.CanvasObject, z fyne.Size) {
	o[0].Resize(fyne.NewSize(z.Width*l.share, z.Height))
}
func (l *shareLayout) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(1, 1) }

// Panes puts objects beside each other, or with Down below each other: each has its share of what the fixed ones, given in DIP above 1,
// leave over.
func Panes(gap float32, parts []float32, objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(&panes{gap, parts, false}, objects...)
}

// PanesDown is Panes, from top to bottom.
func PanesDown(gap float32, parts []float32, objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(&panes{gap, parts, true}, objects...)
}

type panes struct {
	gap   float32
	parts []float32
	down  bool
}

func (l *panes) Layout(objects []fyne.CanvasObject, z fyne.Size) {
	long := z.Width
	if l.down {
		long = z.Height
	}
	room, shares := long-l.gap*float32(len(objects)-1), float32(0)
	for _, p := range l.parts {
		if p > 1 {
			room -= p
		} else {
			shares += p
		}
	}
	at := float32(0)
	for i, o := range objects {
		w := l.parts[i]
		if w <= 1 {
			w = max(room*w/max(shares, 1e-6), 0)
		}
		if l.down {
			o.Move(fyne.NewPos(0, at))
			o.Resize(fyne.NewSize(z.Width, w))
		} else {
			o.Move(fyne.NewPos(at, 0))
			o.Resize(fyne.NewSize(w, z.Height))
		}
		at += w + l.gap
	}
}

func (l *panes) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(300, 200) }
