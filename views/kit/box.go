package kit

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
)

// Rows stacks objects with a gap.
func Rows(gap float32, objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(&rowsLayout{gap}, objects...)
}

// Cols puts objects side by side with a gap, centred on their middle line. A Gap() among them takes the room that is left.
func Cols(gap float32, objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(&colsLayout{gap}, objects...)
}

// Gap takes the room that is left in Cols or Rows.
func Gap() fyne.CanvasObject { return layout.NewSpacer() }

// Space is empty room.
func Space(w, h float32) fyne.CanvasObject {
	r := canvas.NewRectangle(color.Transparent)
	r.SetMinSize(fyne.NewSize(w, h))
	return r
}

// Pad adds room around an object: top, right, bottom, left.
func Pad(top, right, bottom, left float32, o fyne.CanvasObject) *fyne.Container {
	return container.New(layout.NewCustomPaddedLayout(top, bottom, left, right), o)
}

// Fixed gives an object exactly this size; 0 leaves a side to the object.
func Fixed(w, h float32, o fyne.CanvasObject) *fyne.Container {
	return container.New(&fixedLayout{w, h, w > 0, h > 0}, o)
}

// AtLeast gives an object at least this size.
func AtLeast(w, h float32, o fyne.CanvasObject) *fyne.Container {
	return container.New(&fixedLayout{w, h, false, false}, o)
}

type fixedLayout struct {
	w, h       float32
	capW, capH bool
}

func (l *fixedLayout) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	for _, o := range objects {
		s := size
		if l.capW {
			s.Width = min(size.Width, l.w)
		}
		if l.capH {
			s.Height = l.h
		}
		o.Resize(s)
		o.Move(fyne.NewPos(0, (size.Height-s.Height)/2))
	}
}

func (l *fixedLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	s := fyne.NewSize(l.w, l.h)
	for _, o := range objects {
		m := o.MinSize()
		if !l.capW {
			s.Width = max(s.Width, m.Width)
		}
		if !l.capH {
			s.Height = max(s.Height, m.Height)
		}
	}
	return s
}

// rowsLayout stacks objects. Each gets its width first and is asked for its height then, because the height of a text that
// wraps depends on it; the toolkit's own box asks once, before.
type rowsLayout struct{ gap float32 }

func (l *rowsLayout) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	left, stretch, shown := size.Height, 0, 0
	heights := make([]float32, len(objects))
	for i, o := range objects {
		if !o.Visible() {
			continue
		}
		shown++
		if s, ok := o.(layout.SpacerObject); ok && s.ExpandVertical() {
			stretch++
			continue
		}
		o.Resize(fyne.NewSize(size.Width, o.MinSize().Height))
		heights[i] = o.MinSize().Height
		left -= heights[i]
	}
	left -= l.gap * float32(max(shown-1, 0))
	y := float32(0)
	for i, o := range objects {
		if !o.Visible() {
			continue
		}
		if s, ok := o.(layout.SpacerObject); ok && s.ExpandVertical() {
			heights[i] = max(left/float32(stretch), 0)
		}
		o.Resize(fyne.NewSize(size.Width, heights[i]))
		o.Move(fyne.NewPos(0, y))
		y += heights[i] + l.gap
	}
}

func (l *rowsLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	s, shown := fyne.Size{}, 0
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		shown++
		m := o.MinSize()
		s.Width = max(s.Width, m.Width)
		s.Height += m.Height
	}
	s.Height += l.gap * float32(max(shown-1, 0))
	return s
}

type colsLayout struct{ gap float32 }

func (l *colsLayout) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	left, stretch := size.Width, 0
	shown := 0
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		shown++
		if flexible(o) {
			stretch++
		} else {
			left -= o.MinSize().Width
		}
	}
	left -= l.gap * float32(max(shown-1, 0))
	x := float32(0)
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		m := o.MinSize()
		w, h := m.Width, m.Height
		if flexible(o) {
			w = max(left/float32(stretch), 0)
		}
		if f, ok := o.(*fyne.Container); ok && fillsHeight(f) {
			h = size.Height
		}
		o.Resize(fyne.NewSize(w, h))
		o.Move(fyne.NewPos(x, (size.Height-h)/2))
		x += w + l.gap
	}
}

func (l *colsLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	s := fyne.Size{}
	shown := 0
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		shown++
		m := o.MinSize()
		s.Width += m.Width
		s.Height = max(s.Height, m.Height)
	}
	s.Width += l.gap * float32(max(shown-1, 0))
	return s
}

// Flex marks an object of Cols as the one that takes the room that is left; several share it.
func Flex(o fyne.CanvasObject) fyne.CanvasObject {
	return container.New(&flexLayout{}, o)
}

type flexLayout struct{}

func (*flexLayout) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	for _, o := range objects {
		h := min(o.MinSize().Height, size.Height)
		o.Resize(fyne.NewSize(size.Width, h))
		o.Move(fyne.NewPos(0, (size.Height-h)/2))
	}
}

func (*flexLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	s := fyne.Size{}
	for _, o := range objects {
		m := o.MinSize()
		s.Width, s.Height = max(s.Width, m.Width), max(s.Height, m.Height)
	}
	return s
}

func flexible(o fyne.CanvasObject) bool {
	if s, ok := o.(layout.SpacerObject); ok {
		return s.ExpandHorizontal()
	}
	c, ok := o.(*fyne.Container)
	if !ok {
		return false
	}
	_, ok = c.Layout.(*flexLayout)
	return ok
}

func fillsHeight(c *fyne.Container) bool {
	_, ok := c.Layout.(*ruleLayout)
	return ok
}

// HRule is a hair line across.
func (u *UI) HRule() fyne.CanvasObject {
	r := canvas.NewRectangle(u.Theme.Line1)
	r.SetMinSize(fyne.NewSize(0, 1))
	return r
}

// VRule is a hair line down, as high as its row.
func (u *UI) VRule() fyne.CanvasObject {
	r := canvas.NewRectangle(u.Theme.Line1)
	r.SetMinSize(fyne.NewSize(1, 8))
	return container.New(&ruleLayout{}, r)
}

type ruleLayout struct{}

func (*ruleLayout) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	for _, o := range objects {
		o.Resize(fyne.NewSize(1, size.Height))
	}
}
func (*ruleLayout) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(1, 8) }

// Fill puts an object on a plain colour.
func Fill(c color.Color, o fyne.CanvasObject) *fyne.Container {
	return container.NewStack(canvas.NewRectangle(c), o)
}

// Plate is a rectangle with rounded corners and an edge; an edge without opacity is not drawn.
func Plate(fill, edge color.Color, radius float32) *canvas.Rectangle {
	r := canvas.NewRectangle(fill)
	r.CornerRadius = radius
	if _, _, _, a := edge.RGBA(); a > 0 {
		r.StrokeColor, r.StrokeWidth = edge, 1
	}
	return r
}

// Panel is a card: level bg2, a hair edge, radius 8, with padding around its content.
func (u *UI) Panel(content fyne.CanvasObject) *fyne.Container {
	return container.NewStack(Plate(u.Theme.Bg2, u.Theme.Line1, 8), Pad(12, 14, 12, 14, content))
}

// Section is a panel's heading with a note at its right, over its content.
func (u *UI) Section(title, note string, content ...fyne.CanvasObject) *fyne.Container {
	head := Cols(8, u.Strong(title).Whole(), Gap(), u.Caption(note).Whole())
	return Rows(8, append([]fyne.CanvasObject{head}, content...)...)
}
