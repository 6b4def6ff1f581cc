package canvas

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/views/kit"
	"fettle/views/kit/graph"
)

// zoomStack is the column of buttons over the graph.
func zoomStack(u *kit.UI, g *graph.Widget) fyne.CanvasObject {
	button := func(icon, tip string, do func()) fyne.CanvasObject {
		b := u.NewButton(kit.Ghost, icon, "", do)
		b.Tip = u.T(tip)
		return b
	}
	rows := kit.Rows(2,
		button("plus", "Zoom in", func() { g.Zoom(1.25) }),
		button("minus", "Zoom out", func() { g.Zoom(1 / 1.25) }),
		button("fit", "Show the whole graph", g.Fit),
		button("collapse", "Close or open all groups", g.CloseAll),
		button("minimap", "Minimap", func() { g.Minimap(!g.HasMinimap()) }))
	return container.NewStack(kit.Plate(u.Theme.Bg2, u.Theme.Line1, 8), kit.Pad(5, 5, 5, 5, rows))
}

// cornerLayout puts objects at the right top, in their smallest size.
type cornerLayout struct{}

func (cornerLayout) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	for _, o := range objects {
		m := o.MinSize()
		o.Resize(m)
		o.Move(fyne.NewPos(size.Width-m.Width-12, 12))
	}
}

func (cornerLayout) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.Size{} }

// columns are the tree, the graph and the inspector side by side, a hair apart; a hidden side gives its room to the graph.
type columns struct{ left, right float32 }

func (c *columns) Layout(o []fyne.CanvasObject, size fyne.Size) {
	x0, x1 := float32(0), size.Width
	if o[0].Visible() {
		o[0].Resize(fyne.NewSize(c.left, size.Height))
		o[0].Move(fyne.NewPos(0, 0))
		x0 = c.left + 1
	}
	if o[2].Visible() {
		o[2].Resize(fyne.NewSize(c.right, size.Height))
		o[2].Move(fyne.NewPos(size.Width-c.right, 0))
		x1 = size.Width - c.right - 1
	}
	o[1].Resize(fyne.NewSize(max(x1-x0, 0), size.Height))
	o[1].Move(fyne.NewPos(x0, 0))
}

func (c *columns) MinSize(o []fyne.CanvasObject) fyne.Size {
	w := o[1].MinSize().Width
	if o[0].Visible() {
		w += c.left + 1
	}
	if o[2].Visible() {
		w += c.right + 1
	}
	return fyne.NewSize(w, 200)
}
