package kit

import "fyne.io/fyne/v2"

// Fit puts objects side by side as far as they fit, and leaves out those at the end that do not: facts of which the first
// matter most. It needs no more room than its first object.
func Fit(gap float32, objects ...fyne.CanvasObject) *fyne.Container {
	return &fyne.Container{Layout: &fitLayout{gap}, Objects: objects}
}

type fitLayout struct{ gap float32 }

func (l *fitLayout) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	x, full := float32(0), false
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		m := o.MinSize()
		full = full || x > 0 && x+m.Width > size.Width+0.5
		if full {
			o.Resize(fyne.NewSize(0, 0)) // not hidden: what is hidden belongs to who made it
			o.Move(fyne.NewPos(-10000, 0))
			continue
		}
		o.Resize(m)
		o.Move(fyne.NewPos(x, (size.Height-m.Height)/2))
		x += m.Width + l.gap
	}
}

func (l *fitLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	s := fyne.Size{}
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		m := o.MinSize()
		if s.Width == 0 {
			s.Width = m.Width
		}
		s.Height = max(s.Height, m.Height)
	}
	return s
}
