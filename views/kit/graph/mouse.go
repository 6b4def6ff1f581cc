package graph

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
)

// Scrolled zooms at the pointer.
func (g *Widget) Scrolled(e *fyne.ScrollEvent) {
	g.view.Camera = g.view.Camera.Wheel(float64(e.Position.X), float64(e.Position.Y), float64(e.Scrolled.DY))
	g.moved()
}

// Dragged pans, or moves the view where the drag began on the minimap.
func (g *Widget) Dragged(e *fyne.DragEvent) {
	x, y := float64(e.Position.X), float64(e.Position.Y)
	wx, wy, on := g.minimapAt(x, y)
	if !g.drag {
		g.drag, g.thumb = true, on
	}
	if g.thumb {
		if on {
			w, h := g.size()
			g.view.Camera = Centre(wx, wy, g.view.Camera.Zoom, w, h)
		}
	} else {
		g.view.Camera = g.view.Camera.Pan(float64(e.Dragged.DX), float64(e.Dragged.DY))
	}
	g.moved()
}

// DragEnd is for the toolkit.
func (g *Widget) DragEnd() { g.drag = false }

func (g *Widget) minimapAt(x, y float64) (wx, wy float64, ok bool) {
	if !g.view.Minimap {
		return 0, 0, false
	}
	return g.p.MinimapWorld(x, y)
}

// Tapped selects what was hit; a chevron opens or closes its group, and so does a second tap on a selected group.
func (g *Widget) Tapped(e *fyne.PointEvent) {
	if c := fyne.CurrentApp().Driver().CanvasForObject(g); c != nil {
		c.Focus(g)
	}
	x, y := float64(e.Position.X), float64(e.Position.Y)
	if wx, wy, ok := g.minimapAt(x, y); ok {
		w, h := g.size()
		g.fly(Centre(wx, wy, g.view.Camera.Zoom, w, h))
		return
	}
	if !g.ready() {
		return
	}
	wx, wy := g.view.Camera.ToWorld(x, y)
	switch kind, i := g.scene.Hit(float32(wx), float32(wy), float32(5/g.view.Camera.Zoom)); kind {
	case HitChevron:
		g.Toggle(g.plan.Cells[i].Ref.Index())
	case HitNode:
		r := g.plan.Cells[i].Ref
		if r.IsGroup() && g.view.Marks[i]&Selected != 0 && g.hasCur && g.cursor == r {
			g.Toggle(r.Index())
			return
		}
		g.pick(r)
	case HitFrame:
		r := g.plan.Frames[i].Ref
		if float32(wx) < g.plan.Frames[i].Box.X0+chevronW {
			g.Toggle(r.Index())
			return
		}
		g.pick(r)
	case HitEdge: // a wire stands for what makes its value
		g.pick(g.plan.Cells[i].Ref)
	default:
		g.hasCur = false
		g.choose(nil, false)
	}
}

// pick selects an item, or all items of a group.
func (g *Widget) pick(r Ref) {
	var items []int32
	g.tree.Leaves(r, func(i int32) { items = append(items, i) })
	g.Select(items, false)
	g.cursor, g.hasCur = r, true
	if g.OnSelect != nil {
		g.OnSelect(items)
	}
}

// Choose selects an item or group from elsewhere on the same screen, and brings it into view.
func (g *Widget) Choose(r Ref) {
	g.pick(r)
	if !r.IsGroup() {
		g.Reveal(int32(r))
		return
	}
	if g.ready() {
		if b, ok := g.plan.boxOf(r); ok {
			g.bring(b)
		}
	}
}

// At is where the middle of what stands for an item lies in the widget.
func (g *Widget) At(item int32) fyne.Position {
	if !g.ready() {
		return fyne.Position{}
	}
	b := g.plan.Cells[g.plan.Cell(item)].Box
	x, y := g.view.Camera.ToView(float64(b.X0+b.X1)/2, float64(b.Y0+b.Y1)/2)
	return fyne.NewPos(float32(x), float32(y))
}

// Cursor is what keys act on: the group or item that was chosen last.
func (g *Widget) Cursor() (Ref, bool) { return g.cursor, g.hasCur }

// MouseIn is for the toolkit.
func (g *Widget) MouseIn(e *desktop.MouseEvent) { g.MouseMoved(e) }

// MouseOut is for the toolkit.
func (g *Widget) MouseOut() { g.hide() }

// MouseMoved never repaints the scene: hover and tip are objects over it.
func (g *Widget) MouseMoved(e *desktop.MouseEvent) {
	if !g.ready() {
		return
	}
	c := g.view.Camera
	x, y := float64(e.Position.X), float64(e.Position.Y)
	if _, _, on := g.minimapAt(x, y); on {
		g.hide()
		return
	}
	wx, wy := c.ToWorld(x, y)
	k, i := g.scene.Hit(float32(wx), float32(wy), 0)
	if k != HitNode && k != HitChevron {
		g.hide()
		return
	}
	b := g.scene.Nodes[i].Box
	vx, vy := c.ToView(float64(b.X0), float64(b.Y0))
	g.hover.FillColor = g.p.Inks.HoverInk
	g.hover.CornerRadius = float32(6 * c.Zoom)
	g.hover.Move(fyne.NewPos(float32(vx), float32(vy)))
	g.hover.Resize(fyne.NewSize(b.W()*float32(c.Zoom), b.H()*float32(c.Zoom)))
	g.hover.Show()
	g.hover.Refresh()
	g.tip.show(g.describe(i), e.Position, g.Size())
}

func (g *Widget) hide() {
	g.hover.Hide()
	g.tip.hide()
}

// describe is the tip of a cell: its full name, what the box may have cut, and its number.
func (g *Widget) describe(i int) string {
	n, r := &g.scene.Nodes[i], g.plan.Cells[i].Ref
	s := n.Title
	if !r.IsGroup() && g.tree.Items[r].Name != "" {
		s = g.tree.Items[r].Name
	}
	for _, part := range []string{n.Sub, n.Val} {
		if part != "" && part != "\u00a0" && part != "–" {
			s += " · " + part
		}
	}
	if n.Heat < 0 && n.Val == "" {
		s += " · " + g.view.Words.NotMeasured
	}
	return s
}

// tip is one line of text that follows the mouse.
type tip struct {
	box  *canvas.Rectangle
	text *canvas.Text
}

func newTip(k *Inks) *tip {
	t := &tip{box: canvas.NewRectangle(k.Bg4.NRGBA()), text: canvas.NewText("", k.Text1.NRGBA())}
	t.box.CornerRadius = 4
	t.text.TextSize = 12
	t.hide()
	return t
}

func (t *tip) hide() {
	t.box.Hide()
	t.text.Hide()
}

// show puts the tip below the pointer, or above it where there is no room.
func (t *tip) show(s string, at fyne.Position, room fyne.Size) {
	t.text.Text = s
	size := t.text.MinSize()
	w, h := size.Width+16, size.Height+8
	x := max(min(at.X+12, room.Width-w-4), 4)
	y := at.Y + 18
	if y+h > room.Height-4 {
		y = at.Y - h - 8
	}
	t.box.Move(fyne.NewPos(x, y))
	t.box.Resize(fyne.NewSize(w, h))
	t.text.Move(fyne.NewPos(x+8, y+4))
	t.text.Resize(size)
	t.box.Show()
	t.text.Show()
	t.box.Refresh()
	t.text.Refresh()
}
