package plot

import (
	"image"
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"
)

// Column is one column of a Table.
type Column struct {
	ID       string // what OnSort is told; "" is not sorted by
	Title    string
	End      string  // of a bar column: what its right end means, "8 ms"
	Width    float32 // DIP
	Grow     float32 // share of what is left
	Align    Align
	DataInk  color.NRGBA // of the texts, zero: as the row
	Caption  bool        // small and dim
	Measured bool        // a bar column
	Optional bool        // left out where the table is too narrow, the last one first
}

// Cell is what a row shows in one column.
type Cell struct {
	Text   string
	Sub    string // dim, after the text
	Colour color.NRGBA
	Sign   Sign
	Bar    *RowBar
	Hatch  bool // not measured
}

// RowBar is a bar inside a row; lengths are shares of the column, 0 to 1.
type RowBar struct {
	From, To float64 // from where to where
	Lo, Hi   float64 // whisker, both 0: none
	Floor    float64 // tick of the physical bound, 0: none
	Colour   color.NRGBA
	Hatch    bool
	Axis     float64 // where the zero line of a difference stands, 0: none
	Text     string  // beside the bar, away from the zero line
}

// Row is one line of a Table.
type Row struct {
	Keys   []string // what it stands for; nil: it cannot be chosen
	Cells  []Cell
	Chosen bool // it is a part of the selection
	Bold   bool
	Dim    bool
	Rule   bool // a line above
	Tip    []string
}

// Rows of a Table: 28 high under a head of 24.
const (
	RowHeight  = 28
	HeadHeight = 24
	inset      = 14
)

// Table is a painted table of measured rows: only the rows in sight are asked for and painted, so their number does not
// matter. It scrolls, sorts by its head, and walks by the arrow keys. It belongs to the UI goroutine.
type Table struct {
	widget.BaseWidget
	OnSort   func(column string)
	OnSelect func(keys []string)
	Empty    string // shown where there is no row

	ink     *Ink
	cols    []Column
	sort    string
	up      bool
	n       int
	row     func(i int) Row
	img     *image.RGBA
	ras     *canvas.Raster
	hover   *canvas.Rectangle
	ring    *canvas.Rectangle
	tip     *tip
	off     float32 // scrolled by
	cursor  int     // row of the arrow keys, -1: none
	focused bool
}

var (
	_ fyne.Tappable     = (*Table)(nil)
	_ fyne.Scrollable   = (*Table)(nil)
	_ fyne.Draggable    = (*Table)(nil)
	_ fyne.Focusable    = (*Table)(nil)
	_ desktop.Hoverable = (*Table)(nil)
)

// NewTable makes an empty table.
func NewTable(k *Ink, cols []Column) *Table {
	t := &Table{ink: k, cols: cols, cursor: -1, tip: newTip(k)}
	t.ras = canvas.NewRaster(t.paint)
	t.ras.ScaleMode = canvas.ImageScalePixels
	t.hover = canvas.NewRectangle(k.Hover)
	t.ring = canvas.NewRectangle(color.Transparent)
	t.ring.StrokeColor, t.ring.StrokeWidth, t.ring.CornerRadius = k.Focus, 2, 4
	t.hover.Hide()
	t.ring.Hide()
	t.ExtendBaseWidget(t)
	return t
}

// SetRows shows n rows; row is asked for those in sight, again at each painting.
func (t *Table) SetRows(n int, row func(i int) Row) {
	t.n, t.row = n, row
	t.cursor = min(t.cursor, n-1)
	t.scrollTo(t.off)
}

// SetColumns changes heads and widths.
func (t *Table) SetColumns(cols []Column) { t.cols = cols; t.ras.Refresh() }

// SetSort marks the column by which the rows are sorted.
func (t *Table) SetSort(column string, up bool) { t.sort, t.up = column, up; t.ras.Refresh() }

// Repaint shows a change of selection.
func (t *Table) Repaint() { t.ras.Refresh() }

// Reveal scrolls to the first row that is chosen.
func (t *Table) Reveal() {
	for i := range t.n {
		if t.row(i).Chosen {
			t.cursor = i
			t.showRow(i)
			return
		}
	}
}

// CreateRenderer is part of fyne.Widget.
func (t *Table) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(fyne.NewContainerWithLayout(&tableLayout{t}, t.ras, t.hover, t.ring, t.tip.box))
}

type tableLayout struct{ t *Table }

func (l *tableLayout) Layout(_ []fyne.CanvasObject, z fyne.Size) {
	l.t.ras.Move(fyne.NewPos(0, 0))
	l.t.ras.Resize(z)
	l.t.ring.Resize(z)
	l.t.scrollTo(l.t.off)
}

func (l *tableLayout) MinSize([]fyne.CanvasObject) fyne.Size {
	w := float32(2 * inset)
	for _, c := range l.t.cols {
		w += max(c.Width, 40)
	}
	return fyne.NewSize(min(w, 320), HeadHeight+2*RowHeight)
}

func (t *Table) inSight() float32 { return max(t.Size().Height-HeadHeight, 0) }

func (t *Table) scrollTo(off float32) {
	off = max(min(off, float32(t.n)*RowHeight-t.inSight()), 0)
	t.off = off
	t.leave()
	t.ras.Refresh()
}

func (t *Table) showRow(i int) {
	top := float32(i) * RowHeight
	off := t.off
	if top < off {
		off = top
	} else if top+RowHeight > off+t.inSight() {
		off = top + RowHeight - t.inSight()
	}
	t.scrollTo(off)
}

// rowAt is the row under a height, -1 for none.
func (t *Table) rowAt(y float32) int {
	if y < HeadHeight {
		return -1
	}
	if i := int((y - HeadHeight + t.off) / RowHeight); i < t.n {
		return i
	}
	return -1
}

// places gives the left and right end of each column in a table w wide.
func places(cols []Column, w float32) [][2]float32 {
	left, grow := w-2*inset, float32(0)
	for _, c := range cols {
		left -= c.Width
		grow += c.Grow
	}
	out := make([][2]float32, len(cols))
	gone := make([]bool, len(cols))
	for i := len(cols) - 1; i >= 0 && left < 0; i-- {
		if cols[i].Optional {
			gone[i] = true
			left += cols[i].Width
			grow -= cols[i].Grow
		}
	}
	x := float32(inset)
	for i, c := range cols {
		if gone[i] {
			out[i] = [2]float32{x, x}
			continue
		}
		cw := c.Width
		if c.Grow > 0 && left > 0 {
			cw += left * c.Grow / grow
		}
		out[i] = [2]float32{x, x + cw}
		x += cw
	}
	return out
}

// Tapped chooses a row, or sorts by a head.
func (t *Table) Tapped(e *fyne.PointEvent) {
	if c := fyne.CurrentApp().Driver().CanvasForObject(t); c != nil {
		c.Focus(t)
	}
	if e.Position.Y < HeadHeight {
		for i, x := range places(t.cols, t.Size().Width) {
			if e.Position.X >= x[0] && e.Position.X < x[1] && t.cols[i].ID != "" && t.OnSort != nil {
				t.OnSort(t.cols[i].ID)
			}
		}
		return
	}
	if i := t.rowAt(e.Position.Y); i >= 0 {
		t.choose(i)
	}
}

func (t *Table) choose(i int) {
	t.cursor = i
	if r := t.row(i); r.Keys != nil && t.OnSelect != nil {
		t.OnSelect(r.Keys)
	}
	t.ras.Refresh()
}

// Scrolled is part of fyne.Scrollable.
func (t *Table) Scrolled(e *fyne.ScrollEvent) { t.scrollTo(t.off - e.Scrolled.DY) }

// Dragged moves the rows by the bar at the right rim.
func (t *Table) Dragged(e *fyne.DragEvent) {
	if all := float32(t.n) * RowHeight; t.inSight() > 0 && all > t.inSight() {
		t.scrollTo(t.off + e.Dragged.DY*all/t.inSight())
	}
}

// DragEnd is part of fyne.Draggable.
func (t *Table) DragEnd() {}

// MouseIn is part of desktop.Hoverable.
func (t *Table) MouseIn(e *desktop.MouseEvent) { t.MouseMoved(e) }

// MouseMoved moves the hover; nothing is painted again.
func (t *Table) MouseMoved(e *desktop.MouseEvent) {
	i := t.rowAt(e.Position.Y)
	if i < 0 {
		t.leave()
		return
	}
	t.hover.Move(fyne.NewPos(0, max(HeadHeight+float32(i)*RowHeight-t.off, HeadHeight)))
	t.hover.Resize(fyne.NewSize(t.Size().Width, RowHeight))
	t.hover.Show()
	t.tip.show(t.row(i).Tip, e.Position, t.Size())
}

// MouseOut is part of desktop.Hoverable.
func (t *Table) MouseOut() { t.leave() }

func (t *Table) leave() {
	t.hover.Hide()
	t.tip.hide()
}

// FocusGained is part of fyne.Focusable.
func (t *Table) FocusGained() { t.focused = true; t.ring.Show() }

// FocusLost is part of fyne.Focusable.
func (t *Table) FocusLost() { t.focused = false; t.ring.Hide() }

// TypedRune is part of fyne.Focusable.
func (t *Table) TypedRune(rune) {}

// TypedKey walks through the rows.
func (t *Table) TypedKey(e *fyne.KeyEvent) {
	if t.n == 0 {
		return
	}
	page := max(int(t.inSight()/RowHeight)-1, 1)
	to := t.cursor
	switch e.Name {
	case fyne.KeyDown:
		to++
	case fyne.KeyUp:
		to--
	case fyne.KeyPageDown:
		to += page
	case fyne.KeyPageUp:
		to -= page
	case fyne.KeyHome:
		to = 0
	case fyne.KeyEnd:
		to = t.n - 1
	default:
		return
	}
	to = min(max(to, 0), t.n-1)
	t.showRow(to)
	t.choose(to)
}
