package plot

import (
	"image"
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"
)

// Figure is one picture that a Chart shows. It is painted anew whenever it is set, selected in or resized.
type Figure interface {
	// Paint draws the figure over the whole of the pen's frame.
	Paint(p *Pen)
	// At is the datum under a point of a frame of w x h, and false where there is none.
	At(k *Ink, w, h, x, y float32) (Mark, bool)
}

// Mark is a datum that was hit.
type Mark struct {
	Keys []string // what it stands for, as the caller named it
	Box  Rect     // for the hover
	Tip  []string // lines; the first is its name
}

// Chart shows a figure, follows the mouse with a tip, and tells what was clicked. It belongs to the UI goroutine.
type Chart struct {
	widget.BaseWidget
	OnTap  func(Mark)                         // nil: the chart is only looked at
	OnDrag func(at fyne.Position, ended bool) // nil: nothing is drawn over it

	dragged fyne.Position

	ink    *Ink
	ground color.NRGBA
	min    fyne.Size
	fig    Figure
	img    *image.RGBA
	ras    *canvas.Raster
	hover  *canvas.Rectangle
	tip    *tip
}

var (
	_ fyne.Tappable      = (*Chart)(nil)
	_ desktop.Hoverable  = (*Chart)(nil)
	_ desktop.Cursorable = (*Chart)(nil)
	_ fyne.Draggable     = (*Chart)(nil)
)

// NewChart makes an empty chart on the ground of a panel, at least w x h.
func NewChart(k *Ink, w, h float32) *Chart {
	c := &Chart{ink: k, ground: k.Bg2, min: fyne.NewSize(w, h), tip: newTip(k)}
	c.ras = canvas.NewRaster(c.paint)
	c.ras.ScaleMode = canvas.ImageScalePixels
	c.hover = canvas.NewRectangle(k.Hover)
	c.hover.Hide()
	c.ExtendBaseWidget(c)
	return c
}

// OnGround sets the colour behind the figure.
func (c *Chart) OnGround(g color.NRGBA) *Chart { c.ground = g; return c }

// Set shows a figure.
func (c *Chart) Set(f Figure) {
	c.fig = f
	c.leave()
	c.ras.Refresh()
}

// Figure is what is shown.
func (c *Chart) Figure() Figure { return c.fig }

// CreateRenderer is part of fyne.Widget.
func (c *Chart) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(fyne.NewContainerWithLayout(&overlay{c.min, c.ras}, c.ras, c.hover, c.tip.box))
}

// overlay gives the first object the whole space and leaves the others where they are.
type overlay struct {
	min  fyne.Size
	base fyne.CanvasObject
}

func (o *overlay) Layout(_ []fyne.CanvasObject, z fyne.Size) {
	o.base.Move(fyne.NewPos(0, 0))
	o.base.Resize(z)
}
func (o *overlay) MinSize([]fyne.CanvasObject) fyne.Size { return o.min }

func (c *Chart) paint(w, h int) image.Image {
	if c.img == nil || c.img.Rect.Dx() != w || c.img.Rect.Dy() != h {
		c.img = image.NewRGBA(image.Rect(0, 0, w, h))
	}
	if w > 0 && h > 0 && c.Size().Width > 0 {
		p := newPen(c.ink, c.img, float32(w)/c.Size().Width, c.ground)
		if c.fig != nil {
			c.fig.Paint(p)
		}
	}
	return c.img
}

func (c *Chart) at(pos fyne.Position) (Mark, bool) {
	if c.fig == nil {
		return Mark{}, false
	}
	return c.fig.At(c.ink, c.Size().Width, c.Size().Height, pos.X, pos.Y)
}

// Tapped is part of fyne.Tappable.
func (c *Chart) Tapped(e *fyne.PointEvent) {
	if m, ok := c.at(e.Position); ok && c.OnTap != nil {
		c.OnTap(m)
	}
}

// Dragged is part of fyne.Draggable.
func (c *Chart) Dragged(e *fyne.DragEvent) {
	if c.OnDrag != nil {
		c.leave()
		c.dragged = e.Position
		c.OnDrag(e.Position, false)
	}
}

// DragEnd is part of fyne.Draggable.
func (c *Chart) DragEnd() {
	if c.OnDrag != nil {
		c.OnDrag(c.dragged, true)
	}
}

// Repaint paints the figure again, which its owner changed.
func (c *Chart) Repaint() { c.ras.Refresh() }

// MouseIn is part of desktop.Hoverable.
func (c *Chart) MouseIn(e *desktop.MouseEvent) { c.MouseMoved(e) }

// MouseMoved moves the hover and the tip; the picture is not painted again.
func (c *Chart) MouseMoved(e *desktop.MouseEvent) {
	m, ok := c.at(e.Position)
	if !ok {
		c.leave()
		return
	}
	c.hover.Move(fyne.NewPos(m.Box.X0, m.Box.Y0))
	c.hover.Resize(fyne.NewSize(m.Box.W(), m.Box.H()))
	c.hover.Show()
	c.tip.show(m.Tip, e.Position, c.Size())
}

// MouseOut is part of desktop.Hoverable.
func (c *Chart) MouseOut() { c.leave() }

func (c *Chart) leave() {
	c.hover.Hide()
	c.tip.hide()
}

// Cursor is part of desktop.Cursorable.
func (c *Chart) Cursor() desktop.Cursor {
	if c.OnTap != nil && c.hover.Visible() {
		return desktop.PointerCursor
	}
	return desktop.DefaultCursor
}

// tip is the box of lines beside the mouse: 200 wide.
type tip struct {
	k     *Ink
	box   *fyne.Container
	back  *canvas.Rectangle
	lines []*canvas.Text
}

const tipLines = 6

func newTip(k *Ink) *tip {
	t := &tip{k: k, back: canvas.NewRectangle(k.Bg4)}
	t.back.StrokeColor, t.back.StrokeWidth, t.back.CornerRadius = k.Line3, 1, 5
	t.box = fyne.NewContainerWithLayout(free{}, t.back)
	for i := range tipLines {
		c := canvas.NewText("", k.Text2)
		c.TextSize = k.Caption
		if i == 0 {
			c.Color, c.TextStyle.Bold = k.Text1, true
		}
		t.lines = append(t.lines, c)
		t.box.Add(c)
	}
	t.box.Hide()
	return t
}

// free is a layout that moves nothing.
type free struct{}

func (free) Layout([]fyne.CanvasObject, fyne.Size) {}
func (free) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.Size{} }

func (t *tip) show(lines []string, at fyne.Position, in fyne.Size) {
	if len(lines) == 0 {
		t.hide()
		return
	}
	w, h := float32(120), float32(8)
	for i, c := range t.lines {
		c.Hidden = i >= len(lines)
		if c.Hidden {
			continue
		}
		c.Text = lines[i]
		m := c.MinSize()
		c.Move(fyne.NewPos(8, h-2))
		c.Resize(m)
		w = max(w, m.Width+16)
		h += 16
		c.Refresh()
	}
	h += 6
	x, y := at.X+14, at.Y+14
	if x+w > in.Width {
		x = at.X - w - 8
	}
	if y+h > in.Height {
		y = at.Y - h - 8
	}
	t.box.Move(fyne.NewPos(max(x, 0), max(y, 0)))
	t.back.Resize(fyne.NewSize(w, h))
	t.box.Resize(fyne.NewSize(w, h))
	t.box.Show()
}

func (t *tip) hide() { t.box.Hide() }
