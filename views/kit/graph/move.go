package graph

import (
	"time"

	"fyne.io/fyne/v2"
)

const (
	flight    = 180 * time.Millisecond
	fitMargin = 24
	tooWide   = 1.6  // views: of a wider graph the whole says more than a corner
	readable  = 0.75 // the first picture is not smaller than this
)

func (g *Widget) size() (w, h float64) { return float64(g.Size().Width), float64(g.Size().Height) }

// seesSome reports whether a part of the graph is in view: another graph may be shorter than the one before.
func (g *Widget) seesSome() bool {
	w, h := g.size()
	return g.scene.Bounds.Touches(g.view.Camera.View(w, h))
}

// fitted shows all of the graph, beside the cards where that costs little: they must not lie on texts.
func (g *Widget) fitted(w, h float64) Camera {
	b := g.scene.Bounds
	c := Fit(b, w, h, fitMargin)
	left, right := 0.0, 0.0
	if g.view.Legend && g.scene.Key.Unit != "" {
		lw, _ := g.scene.Key.size()
		left = float64(lw) + cardMargin
	}
	if g.view.Minimap {
		right = minimapSide + cardMargin
	}
	x0, _ := c.ToView(float64(b.X0), 0)
	x1, _ := c.ToView(float64(b.X1), 0)
	if x0 > left && x1 < w-right || w < left+right+200 {
		return c
	}
	n := Fit(b, w-left-right, h, fitMargin)
	if n.Zoom < c.Zoom*.7 {
		return c
	}
	return n.Pan(left, 0)
}

// firstCamera shows the whole graph, or the top of one that is too long to be read at once.
func (g *Widget) firstCamera(z fyne.Size) {
	w, h := float64(z.Width), float64(z.Height)
	if w <= 1 || h <= 1 || len(g.scene.Nodes) == 0 {
		return
	}
	b := g.scene.Bounds
	c := g.fitted(w, h)
	if z := min(1, max(readable, (w-2*fitMargin)/float64(b.W()))); c.Zoom < readable && float64(b.W())*z < tooWide*w {
		x := float64(b.X0+b.X1) / 2
		if float64(b.W())*z > w { // where the graph begins: the minimap shows the rest
			first := g.scene.Nodes[0].Box
			x = float64(first.X0+first.X1) / 2
		}
		c = Centre(x, float64(b.Y0)+(h/2-fitMargin)/z, z, w, h)
	}
	g.view.Camera = c
}

// moved repaints after a change of the camera.
func (g *Widget) moved() {
	g.settled = true
	g.hide()
	g.refresh()
}

// fly moves the camera in 180 ms, ease-out; with reduced motion it jumps.
func (g *Widget) fly(to Camera) {
	if g.motion != nil {
		g.motion.Stop()
		g.motion = nil
	}
	if g.opt.Still {
		g.view.Camera = to
		g.moved()
		return
	}
	from := g.view.Camera
	w, h := g.size()
	g.motion = fyne.NewAnimation(flight, func(t float32) {
		g.view.Camera = Between(from, to, float64(t), w, h)
		g.moved()
	})
	g.motion.Curve = fyne.AnimationLinear // Between eases itself
	g.motion.Start()
}

// SetStill switches motion of the camera off or on.
func (g *Widget) SetStill(still bool) { g.opt.Still = still }

// Fit shows the whole graph.
func (g *Widget) Fit() {
	w, h := g.size()
	if w > 1 && h > 1 {
		g.fly(g.fitted(w, h))
	}
}

// Zoom scales around the middle.
func (g *Widget) Zoom(f float64) {
	w, h := g.size()
	g.fly(g.view.Camera.ZoomAt(w/2, h/2, f))
}

// Minimap shows or hides the minimap.
func (g *Widget) Minimap(on bool) {
	g.view.Minimap = on
	g.refresh()
}

// HasMinimap reports whether the minimap is shown.
func (g *Widget) HasMinimap() bool { return g.view.Minimap }

// goTo brings an item into view.
func (g *Widget) goTo(item int32) { g.bring(g.plan.Cells[g.plan.Cell(item)].Box) }

// bring moves the camera to a box; where it is well inside and readable already, nothing moves.
func (g *Widget) bring(b Rect) {
	w, h := g.size()
	if w <= 1 || h <= 1 {
		return
	}
	c := g.view.Camera
	x0, y0 := c.ToView(float64(b.X0), float64(b.Y0))
	x1, y1 := c.ToView(float64(b.X1), float64(b.Y1))
	if c.Zoom >= 0.5 && x0 > 8 && y0 > 8 && x1 < w-8 && y1 < h-8 {
		return
	}
	g.fly(Centre(float64(b.X0+b.X1)/2, float64(b.Y0+b.Y1)/2, min(max(c.Zoom, 0.85), 1.5), w, h))
}

// Key handles a key that reached the graph or its screen, and reports whether it was one of its own.
func (g *Widget) Key(e *fyne.KeyEvent) bool {
	if g.tree == nil {
		return false
	}
	const step = 60
	switch e.Name {
	case fyne.KeyLeft:
		g.pan(step, 0)
	case fyne.KeyRight:
		g.pan(-step, 0)
	case fyne.KeyUp:
		g.pan(0, step)
	case fyne.KeyDown:
		g.pan(0, -step)
	case fyne.KeySpace, fyne.KeyReturn, fyne.KeyEnter:
		return g.openAtCursor()
	case fyne.KeyEscape:
		if len(g.chosen) == 0 {
			return false
		}
		g.hasCur = false
		g.choose(nil, false)
	default:
		return false
	}
	return true
}

// Rune handles a single letter, and reports whether it was one of its own.
func (g *Widget) Rune(r rune) bool {
	if g.tree == nil {
		return false
	}
	switch r {
	case 'f', 'F', '0':
		g.Fit()
	case '+', '=':
		g.Zoom(1.25)
	case '-':
		g.Zoom(1 / 1.25)
	case 'n':
		g.Hottest(1)
	case 'N':
		g.Hottest(-1)
	default:
		return false
	}
	return true
}

func (g *Widget) pan(dx, dy float64) {
	g.view.Camera = g.view.Camera.Pan(dx, dy)
	g.moved()
}

// openAtCursor opens the closed group at the cursor, or closes the one around it.
func (g *Widget) openAtCursor() bool {
	if !g.hasCur {
		return false
	}
	if g.cursor.IsGroup() {
		g.Toggle(g.cursor.Index())
		return true
	}
	seen := g.tree.Visible(int32(g.cursor), g.open)
	if !seen.IsGroup() {
		home := g.tree.Home[g.cursor]
		if home == 0 {
			return false
		}
		seen = GroupRef(home)
	}
	g.Toggle(seen.Index())
	return true
}

// TypedRune is for the toolkit.
func (g *Widget) TypedRune(r rune) { g.Rune(r) }

// TypedKey is for the toolkit.
func (g *Widget) TypedKey(e *fyne.KeyEvent) { g.Key(e) }

// FocusGained is for the toolkit.
func (g *Widget) FocusGained() {}

// FocusLost is for the toolkit.
func (g *Widget) FocusLost() {}
