package kit

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"

	"fettle/views/kit/theme"
)

// Segmented is a choice of one among a few, all in sight: height 26.
type Segmented struct {
	widget.BaseWidget
	labels  []string
	chosen  int
	hover   int
	off     []bool
	focused bool
	changed func(int)
	palette *theme.Palette
}

// NewSegmented makes one; changed gets the index of the chosen label.
func (u *UI) NewSegmented(labels []string, chosen int, changed func(int)) *Segmented {
	s := &Segmented{labels: labels, chosen: chosen, hover: -1, off: make([]bool, len(labels)), changed: changed, palette: u.Theme.Palette}
	s.ExtendBaseWidget(s)
	return s
}

// Set chooses without telling.
func (s *Segmented) Set(i int) {
	if s.chosen != i {
		s.chosen = i
		s.Refresh()
	}
}

// SetOff disables one choice.
func (s *Segmented) SetOff(i int, off bool) {
	if s.off[i] != off {
		s.off[i] = off
		s.Refresh()
	}
}

// Labels are the words of the segments.
func (s *Segmented) Labels() []string { return s.labels }

// Chosen is the index of the chosen label.
func (s *Segmented) Chosen() int { return s.chosen }

// Choose chooses and tells.
func (s *Segmented) Choose(i int) {
	if i < 0 || i >= len(s.labels) || s.off[i] || i == s.chosen {
		return
	}
	s.chosen = i
	s.Refresh()
	if s.changed != nil {
		s.changed(i)
	}
}

func (s *Segmented) widths() []float32 {
	out := make([]float32, len(s.labels))
	for i, l := range s.labels {
		out[i] = fyne.MeasureText(l, theme.Dense, fyne.TextStyle{}).Width + 22
	}
	return out
}

func (s *Segmented) at(x float32) int {
	x -= 3
	for i, w := range s.widths() {
		if x < w {
			return i
		}
		x -= w
	}
	return -1
}

// Tapped chooses.
func (s *Segmented) Tapped(e *fyne.PointEvent) { s.Choose(s.at(e.Position.X)) }

// MouseIn follows the pointer.
func (s *Segmented) MouseIn(e *desktop.MouseEvent) { s.MouseMoved(e) }

// MouseMoved follows the pointer.
func (s *Segmented) MouseMoved(e *desktop.MouseEvent) {
	if i := s.at(e.Position.X); i != s.hover {
		s.hover = i
		s.Refresh()
	}
}

// MouseOut ends hovering.
func (s *Segmented) MouseOut() { s.hover = -1; s.Refresh() }

// FocusGained shows the ring.
func (s *Segmented) FocusGained() { s.focused = true; s.Refresh() }

// FocusLost hides it.
func (s *Segmented) FocusLost() { s.focused = false; s.Refresh() }

// TypedRune does nothing.
func (s *Segmented) TypedRune(rune) {}

// TypedKey moves the choice with the arrow keys.
func (s *Segmented) TypedKey(e *fyne.KeyEvent) {
	step := map[fyne.KeyName]int{fyne.KeyLeft: -1, fyne.KeyRight: 1}[e.Name]
	for i := s.chosen + step; step != 0 && i >= 0 && i < len(s.labels); i += step {
		if !s.off[i] {
			s.Choose(i)
			return
		}
	}
}

// CreateRenderer implements fyne.Widget.
func (s *Segmented) CreateRenderer() fyne.WidgetRenderer {
	r := &segmentedRenderer{s: s, back: Plate(s.palette.Bg2, s.palette.Line1, 6), chip: Plate(s.palette.Bg4, s.palette.Line2, 5),
		over: Plate(color.Transparent, color.Transparent, 5), ring: Plate(color.Transparent, color.Transparent, 8)}
	r.ring.StrokeWidth = 2
	for range s.labels {
		t := canvas.NewText("", s.palette.Text1)
		t.TextSize = theme.Dense
		r.texts = append(r.texts, t)
	}
	r.Refresh()
	return r
}

type segmentedRenderer struct {
	s                      *Segmented
	back, chip, over, ring *canvas.Rectangle
	texts                  []*canvas.Text
}

func (r *segmentedRenderer) MinSize() fyne.Size {
	w := float32(6)
	for _, x := range r.s.widths() {
		w += x
	}
	return fyne.NewSize(w, 28)
}

func (r *segmentedRenderer) Layout(size fyne.Size) {
	const h = 28
	y := (size.Height - h) / 2
	width := r.MinSize().Width
	r.back.Resize(fyne.NewSize(width, h))
	r.back.Move(fyne.NewPos(0, y))
	r.ring.Resize(fyne.NewSize(width+6, h+6))
	r.ring.Move(fyne.NewPos(-3, y-3))
	r.chip.Hide()
	r.over.Hide()
	x := float32(3)
	for i, w := range r.s.widths() {
		place := func(o *canvas.Rectangle) {
			o.Resize(fyne.NewSize(w, h-6))
			o.Move(fyne.NewPos(x, y+3))
			o.Show()
		}
		if i == r.s.chosen {
			place(r.chip)
		}
		if i == r.s.hover && !r.s.off[i] {
			place(r.over)
		}
		m := fyne.MeasureText(r.s.labels[i], theme.Dense, fyne.TextStyle{})
		r.texts[i].Resize(m)
		r.texts[i].Move(fyne.NewPos(x+(w-m.Width)/2, (size.Height-m.Height)/2))
		x += w
	}
}

func (r *segmentedRenderer) Refresh() {
	p := r.s.palette
	r.over.FillColor = p.Hover
	r.ring.StrokeColor = color.Transparent
	if r.s.focused {
		r.ring.StrokeColor = p.Focus
	}
	for i, t := range r.texts {
		t.Text, t.Color = r.s.labels[i], p.Text2
		if i == r.s.chosen {
			t.Color = p.Text1
		}
		if r.s.off[i] {
			t.Color = p.TextOff
		}
		t.Refresh()
	}
	r.Layout(r.s.Size())
	for _, o := range []*canvas.Rectangle{r.back, r.chip, r.over, r.ring} {
		o.Refresh()
	}
}

func (r *segmentedRenderer) Objects() []fyne.CanvasObject {
	out := []fyne.CanvasObject{r.back, r.chip, r.over, r.ring}
	for _, t := range r.texts {
		out = append(out, t)
	}
	return out
}
func (r *segmentedRenderer) Destroy() {}
