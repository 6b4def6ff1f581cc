package kit

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"

	"fettle/views/kit/theme"
)

// Look is how a button is drawn. A view has one Filled button: its next sensible step.
type Look int

// The looks.
const (
	Outline Look = iota
	Filled
	Link  // text in the primary colour, no plate
	Ghost // icon only, plate on hover
	Danger
)

// Button is a button of the design: height 30 (26 small, 36 large), radius 6, with hover, focus, pressed and disabled.
type Button struct {
	widget.BaseWidget
	Tip string // why it is disabled, or what an icon means; the status line shows it while the pointer is on the button

	look    Look
	label   string
	icon    string
	height  float32
	tapped  func()
	off     bool
	hovered bool
	focused bool
	pressed bool
	palette *theme.Palette
	safely  func(func())
	hint    func(string)
}

// NewButton makes a button; icon is a name or "".
func (u *UI) NewButton(look Look, icon, label string, tapped func()) *Button {
	b := &Button{look: look, label: label, icon: icon, tapped: tapped, height: 30, palette: u.Theme.Palette, safely: u.Safely, hint: func(t string) { u.Hint(t) }}
	b.ExtendBaseWidget(b)
	return b
}

// Says sets its tip.
func (b *Button) Says(tip string) *Button { b.Tip = tip; return b }

// Small makes it 26 high, Large 36.
func (b *Button) Small() *Button { b.height = 26; return b }

// Large makes it 36 high, for empty states.
func (b *Button) Large() *Button { b.height = 36; return b }

// SetLabel changes label and icon.
func (b *Button) SetLabel(icon, label string) {
	if b.icon != icon || b.label != label {
		b.icon, b.label = icon, label
		b.Refresh()
	}
}

// SetLook changes the look.
func (b *Button) SetLook(l Look) {
	if b.look != l {
		b.look = l
		b.Refresh()
	}
}

// OnTap sets what it does.
func (b *Button) OnTap(do func()) { b.tapped = do }

// Label is the text on it.
func (b *Button) Label() string { return b.label }

// SetOff disables it; tip says why.
func (b *Button) SetOff(off bool, tip string) {
	if b.off != off || b.Tip != tip {
		b.off, b.Tip = off, tip
		b.Refresh()
	}
}

// Off reports whether it is disabled.
func (b *Button) Off() bool { return b.off }

// Tapped runs its action.
func (b *Button) Tapped(*fyne.PointEvent) {
	if !b.off && b.tapped != nil {
		b.safely(b.tapped)
	}
}

// MouseIn, MouseMoved and MouseOut implement desktop.Hoverable.
func (b *Button) MouseIn(*desktop.MouseEvent) {
	b.hovered = true
	b.Refresh()
	if b.Tip != "" {
		b.hint(b.Tip)
	}
}

// MouseMoved does nothing.
func (b *Button) MouseMoved(*desktop.MouseEvent) {}

// MouseOut ends hovering.
func (b *Button) MouseOut() {
	b.hovered, b.pressed = false, false
	b.Refresh()
	if b.Tip != "" {
		b.hint("")
	}
}

// MouseDown shows that it is pressed.
func (b *Button) MouseDown(*desktop.MouseEvent) { b.pressed = true; b.Refresh() }

// MouseUp ends that.
func (b *Button) MouseUp(*desktop.MouseEvent) { b.pressed = false; b.Refresh() }

// FocusGained implements fyne.Focusable.
func (b *Button) FocusGained() { b.focused = true; b.Refresh() }

// FocusLost implements fyne.Focusable.
func (b *Button) FocusLost() { b.focused = false; b.Refresh() }

// TypedRune does nothing.
func (b *Button) TypedRune(rune) {}

// TypedKey runs the action on space and Enter.
func (b *Button) TypedKey(e *fyne.KeyEvent) {
	if e.Name == fyne.KeySpace || e.Name == fyne.KeyReturn || e.Name == fyne.KeyEnter {
		b.Tapped(nil)
	}
}

// Cursor is a hand where it can be pressed.
func (b *Button) Cursor() desktop.Cursor {
	if b.off {
		return desktop.DefaultCursor
	}
	return desktop.PointerCursor
}

// CreateRenderer implements fyne.Widget.
func (b *Button) CreateRenderer() fyne.WidgetRenderer {
	r := &buttonRenderer{b: b, plate: canvas.NewRectangle(color.Transparent), over: canvas.NewRectangle(color.Transparent),
		ring: canvas.NewRectangle(color.Transparent), text: canvas.NewText("", color.Transparent), icon: &canvas.Image{FillMode: canvas.ImageFillContain}}
	r.ring.CornerRadius, r.ring.StrokeWidth = 8, 2
	r.plate.CornerRadius, r.over.CornerRadius = 6, 6
	r.Refresh()
	return r
}

type buttonRenderer struct {
	b                 *Button
	plate, over, ring *canvas.Rectangle
	text              *canvas.Text
	icon              *canvas.Image
	shown             string // icon and colour now in the image
}

func (r *buttonRenderer) colors() (fill, edge, ink color.NRGBA, token string) {
	p, none := r.b.palette, color.NRGBA{}
	if r.b.off {
		switch r.b.look {
		case Link, Ghost:
			return none, none, p.TextOff, "textOff"
		}
		return p.Bg3, none, p.TextOff, "textOff"
	}
	switch r.b.look {
	case Filled:
		return p.Primary, none, p.OnPrimary, "onPrimary"
	case Danger:
		return p.Danger, none, p.OnDanger, "onDanger"
	case Link:
		return none, none, p.Primary, "primary"
	case Ghost:
		return none, none, p.Text2, "text2"
	}
	return p.Bg3, p.Line2, p.Text1, "text1"
}

func (r *buttonRenderer) Refresh() {
	fill, edge, ink, token := r.colors()
	r.plate.FillColor, r.plate.StrokeColor, r.plate.StrokeWidth = fill, edge, 0
	if edge.A > 0 {
		r.plate.StrokeWidth = 1
	}
	r.over.FillColor = color.Transparent
	if !r.b.off && r.b.hovered {
		r.over.FillColor = r.b.palette.Hover
	}
	if !r.b.off && r.b.pressed {
		r.over.FillColor = r.b.palette.Pressed
	}
	r.ring.StrokeColor = color.Transparent
	if r.b.focused {
		r.ring.StrokeColor = r.b.palette.Focus
	}
	r.text.Text, r.text.Color, r.text.TextSize = r.b.label, ink, theme.Body
	r.text.TextStyle.Bold = r.b.look == Filled || r.b.look == Danger
	if r.b.height < 30 {
		r.text.TextSize = theme.Dense
	}
	if key := r.b.icon + token; key != r.shown {
		r.shown = key
		r.icon.Resource = nil
		if r.b.icon != "" {
			r.icon.Resource = theme.IconIn(r.b.icon, token)
		}
		r.icon.Refresh()
	}
	r.icon.Hidden = r.b.icon == ""
	r.Layout(r.b.Size())
	for _, o := range []fyne.CanvasObject{r.plate, r.over, r.ring, r.text} {
		o.Refresh()
	}
}

func (r *buttonRenderer) side() float32 {
	if r.b.look == Link {
		return 4
	}
	if r.b.label == "" {
		return (r.b.height - 16) / 2
	}
	return 14
}

func (r *buttonRenderer) MinSize() fyne.Size {
	w := 2 * r.side()
	if r.b.icon != "" {
		w += 16
	}
	if r.b.label != "" {
		w += fyne.MeasureText(r.b.label, r.text.TextSize, r.text.TextStyle).Width
		if r.b.icon != "" {
			w += 8
		}
	}
	return fyne.NewSize(w, r.b.height)
}

func (r *buttonRenderer) Layout(size fyne.Size) {
	h := min(r.b.height, size.Height)
	y := (size.Height - h) / 2
	for _, o := range []*canvas.Rectangle{r.plate, r.over} {
		o.Resize(fyne.NewSize(size.Width, h))
		o.Move(fyne.NewPos(0, y))
	}
	r.ring.Resize(fyne.NewSize(size.Width+6, h+6))
	r.ring.Move(fyne.NewPos(-3, y-3))
	t := fyne.MeasureText(r.b.label, r.text.TextSize, r.text.TextStyle)
	inner := t.Width
	if r.b.icon != "" {
		inner += 16
		if r.b.label != "" {
			inner += 8
		}
	}
	x := (size.Width - inner) / 2
	if r.b.icon != "" {
		r.icon.Resize(fyne.NewSquareSize(16))
		r.icon.Move(fyne.NewPos(x, (size.Height-16)/2))
		x += 24
	}
	r.text.Resize(t)
	r.text.Move(fyne.NewPos(x, (size.Height-t.Height)/2-1)) // the face has more room above than below
}

func (r *buttonRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.plate, r.over, r.ring, r.icon, r.text}
}
func (r *buttonRenderer) Destroy() {}

// Tappable is a plate that reacts to taps and hovering and shows any content: cards, rows, menu items.
type Tappable struct {
	widget.BaseWidget
	OnTap   func()
	content fyne.CanvasObject
	plate   *canvas.Rectangle
	over    *canvas.Rectangle
	ring    *canvas.Rectangle
	palette *theme.Palette
	safely  func(func())
}

// NewTappable makes one; plate may be nil.
func (u *UI) NewTappable(plate *canvas.Rectangle, content fyne.CanvasObject, tap func()) *Tappable {
	if plate == nil {
		plate = canvas.NewRectangle(color.Transparent)
	}
	t := &Tappable{OnTap: tap, content: content, plate: plate, over: canvas.NewRectangle(color.Transparent),
		ring: canvas.NewRectangle(color.Transparent), palette: u.Theme.Palette, safely: u.Safely}
	t.over.CornerRadius, t.ring.CornerRadius, t.ring.StrokeWidth = plate.CornerRadius, plate.CornerRadius, 2
	t.ExtendBaseWidget(t)
	return t
}

// Plate changes the plate's colours.
func (t *Tappable) Plate(fill, edge color.Color) {
	t.plate.FillColor, t.plate.StrokeColor = fill, edge
	t.plate.Refresh()
}

// CreateRenderer implements fyne.Widget.
func (t *Tappable) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(container.NewStack(t.plate, t.content, t.over, t.ring))
}

// Tapped runs OnTap.
func (t *Tappable) Tapped(*fyne.PointEvent) {
	if t.OnTap != nil {
		t.safely(t.OnTap)
	}
}

// MouseIn shows hovering.
func (t *Tappable) MouseIn(*desktop.MouseEvent) { t.set(t.palette.Hover) }

// MouseMoved does nothing.
func (t *Tappable) MouseMoved(*desktop.MouseEvent) {}

// MouseOut ends hovering.
func (t *Tappable) MouseOut() { t.set(color.NRGBA{}) }

func (t *Tappable) set(c color.NRGBA) {
	if t.OnTap == nil {
		c = color.NRGBA{}
	}
	t.over.FillColor = c
	t.over.Refresh()
}

// FocusGained shows the ring.
func (t *Tappable) FocusGained() { t.ring.StrokeColor = t.palette.Focus; t.ring.Refresh() }

// FocusLost hides it.
func (t *Tappable) FocusLost() { t.ring.StrokeColor = color.Transparent; t.ring.Refresh() }

// TypedRune does nothing.
func (t *Tappable) TypedRune(rune) {}

// TypedKey runs OnTap on space and Enter.
func (t *Tappable) TypedKey(e *fyne.KeyEvent) {
	if e.Name == fyne.KeySpace || e.Name == fyne.KeyReturn || e.Name == fyne.KeyEnter {
		t.Tapped(nil)
	}
}

// Cursor is a hand where a tap does something.
func (t *Tappable) Cursor() desktop.Cursor {
	if t.OnTap == nil {
		return desktop.DefaultCursor
	}
	return desktop.PointerCursor
}
