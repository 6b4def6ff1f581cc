package profile

import "fyne.io/fyne/v2"

// sideBySide gives the first of two objects a share of the width.
type sideBySide struct {
	gap, left float32
}

func (l *sideBySide) Layout(o []fyne.CanvasObject, z fyne.Size) {
	if !o[1].Visible() {
		o[0].Move(fyne.NewPos(0, 0))
		o[0].Resize(z)
		return
	}
	w := max((z.Width-l.gap)*l.left, o[0].MinSize().Width)
	o[0].Move(fyne.NewPos(0, 0))
	o[0].Resize(fyne.NewSize(w, z.Height))
	o[1].Move(fyne.NewPos(w+l.gap, 0))
	o[1].Resize(fyne.NewSize(max(z.Width-l.gap-w, 0), z.Height))
}

func (l *sideBySide) MinSize(o []fyne.CanvasObject) fyne.Size {
	a, b := o[0].MinSize(), o[1].MinSize()
	return fyne.NewSize(a.Width+l.gap+b.Width, max(a.Height, b.Height))
}

// shares stacks objects, each with its share of the height.
type shares struct {
	gap   float32
	parts []float32
}

func (l *shares) Layout(o []fyne.CanvasObject, z fyne.Size) {
	y := float32(0)
	room := z.Height - l.gap*float32(len(o)-1)
	for i, c := range o {
		h := room * l.parts[i]
		c.Move(fyne.NewPos(0, y))
		c.Resize(fyne.NewSize(z.Width, h))
		y += h + l.gap
	}
}

func (l *shares) MinSize(o []fyne.CanvasObject) fyne.Size {
	m := fyne.Size{}
	for _, c := range o {
		s := c.MinSize()
		m.Width = max(m.Width, s.Width)
		m.Height += s.Height + l.gap
	}
	return m
}
