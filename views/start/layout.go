package start

import "fyne.io/fyne/v2"

// halves puts the left column at 41 % of the width, the right one beside it.
type halves struct{}

const between = 40

func (*halves) Layout(o []fyne.CanvasObject, size fyne.Size) {
	left := (size.Width - between) * 0.41
	o[0].Resize(fyne.NewSize(left, size.Height))
	o[0].Move(fyne.NewPos(0, 0))
	o[1].Resize(fyne.NewSize(size.Width-between-left, size.Height))
	o[1].Move(fyne.NewPos(left+between, 0))
}

func (*halves) MinSize(o []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(900, max(o[0].MinSize().Height, o[1].MinSize().Height))
}

// cardGrid puts cards into two columns with a gap of 12.
type cardGrid struct{ columns int }

func (g *cardGrid) Layout(o []fyne.CanvasObject, size fyne.Size) {
	const gap = 12
	columns := g.columns
	w := (size.Width - gap*float32(columns-1)) / float32(columns)
	y := float32(0)
	for i := 0; i < len(o); i += columns {
		h := g.rowHeight(o, i)
		for j := i; j < min(i+columns, len(o)); j++ {
			o[j].Resize(fyne.NewSize(w, h))
			o[j].Move(fyne.NewPos(float32(j-i)*(w+gap), y))
		}
		y += h + gap
	}
}

func (g *cardGrid) MinSize(o []fyne.CanvasObject) fyne.Size {
	s := fyne.Size{}
	for i := 0; i < len(o); i += g.columns {
		s.Height += g.rowHeight(o, i) + 12
		s.Width = max(s.Width, o[i].MinSize().Width*float32(g.columns))
	}
	return s
}

func (g *cardGrid) rowHeight(o []fyne.CanvasObject, from int) float32 {
	h := float32(0)
	for _, x := range o[from:min(from+g.columns, len(o))] {
		h = max(h, x.MinSize().Height)
	}
	return h
}

// quarters gives four numbers the same width each.
type quarters struct{}

func (*quarters) Layout(o []fyne.CanvasObject, size fyne.Size) {
	w := size.Width / float32(len(o))
	for i, x := range o {
		x.Resize(fyne.NewSize(w-6, size.Height))
		x.Move(fyne.NewPos(float32(i)*w, 0))
	}
	if n := len(o) - 1; n >= 0 {
		o[n].Move(fyne.NewPos(float32(n)*w+6, 0))
	}
}

func (*quarters) MinSize(o []fyne.CanvasObject) fyne.Size {
	s := fyne.NewSize(240, 0)
	for _, x := range o {
		s.Height = max(s.Height, x.MinSize().Height)
	}
	return s
}

// bars draws median times as bars from the foot; the last object is the line of the limit.
type bars struct {
	share []float64
	limit float64
}

func (b *bars) Layout(o []fyne.CanvasObject, size fyne.Size) {
	const gap = 4
	n := len(b.share)
	w := (size.Width - gap*float32(n-1)) / float32(n)
	for i, s := range b.share {
		h := max(size.Height*float32(s), 2)
		o[i].Resize(fyne.NewSize(w, h))
		o[i].Move(fyne.NewPos(float32(i)*(w+gap), size.Height-h))
	}
	if b.limit < 0 {
		o[n].Hide()
		return
	}
	o[n].Show()
	o[n].Resize(fyne.NewSize(size.Width, 1))
	o[n].Move(fyne.NewPos(0, size.Height*(1-float32(b.limit))))
}

func (b *bars) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(60, 40) }

// thirds gives up to three cards a third of the width each, with a gap of 10.
type thirds struct{}

func (*thirds) Layout(o []fyne.CanvasObject, size fyne.Size) {
	w := (size.Width - 20) / 3
	for i, x := range o {
		x.Resize(fyne.NewSize(w, size.Height))
		x.Move(fyne.NewPos(float32(i)*(w+10), 0))
	}
}

func (*thirds) MinSize(o []fyne.CanvasObject) fyne.Size {
	s := fyne.NewSize(300, 0)
	for _, x := range o {
		s.Height = max(s.Height, x.MinSize().Height)
	}
	return s
}
