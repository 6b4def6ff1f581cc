package graph

import (
	"context"
	"image"
	"maps"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"

	"fettle/views/kit/later"
	"fettle/views/kit/raster"
)

// firstLook is how many boxes the first picture of a graph shows at most, where groups allow a choice.
const firstLook = 40

// Options are what a Widget needs from its surroundings.
type Options struct {
	Fonts   *raster.Fonts
	Inks    *Inks
	Words   Words
	Caption float64              // size of captions in DIP
	Post    func(func())         // brings results to the toolkit's goroutine
	About   func(g int32) string // the second line of a group of the tree that is shown
	Still   bool                 // reduced motion: the camera jumps
}

// Widget shows one tree and lets people move through it. All methods belong to the toolkit's goroutine; layout runs
// elsewhere and the picture of before stays until it is done.
type Widget struct {
	widget.BaseWidget

	OnSelect func(items []int32)        // somebody chose items; empty: none
	OnOpen   func(open map[string]bool) // groups were opened or closed
	OnError  func(err error)

	opt     Options
	p       *Painter
	tree    *Tree
	read    *Reading
	plan    *Plan
	scene   *Scene
	view    View
	open    map[string]bool
	chosen  map[int32]bool // selected items
	cursor  Ref            // what keys act on
	hasCur  bool
	hits    []int32
	hit     int
	work    *later.Latest
	pending func() // after the next layout
	motion  *fyne.Animation

	img     *image.RGBA
	ras     *canvas.Raster
	hover   *canvas.Rectangle
	tip     *tip
	drag    bool
	thumb   bool // a drag began on the minimap
	settled bool // somebody moved the camera; before, it follows the size
}

var (
	_ fyne.Scrollable   = (*Widget)(nil)
	_ fyne.Draggable    = (*Widget)(nil)
	_ fyne.Tappable     = (*Widget)(nil)
	_ fyne.Focusable    = (*Widget)(nil)
	_ desktop.Hoverable = (*Widget)(nil)
)

// New makes an empty widget.
func New(o Options) *Widget {
	g := &Widget{opt: o, p: NewPainter(o.Fonts, o.Inks), work: later.New(o.Post), scene: &Scene{}, hit: -1}
	g.scene.Build()
	g.view = View{Camera: Camera{Zoom: 1}, Minimap: true, Legend: true, Words: o.Words, Caption: o.Caption}
	g.ras = canvas.NewRaster(g.paint)
	g.ras.ScaleMode = canvas.ImageScalePixels
	g.hover = canvas.NewRectangle(nil)
	g.hover.Hide()
	g.tip = newTip(o.Inks)
	g.ExtendBaseWidget(g)
	return g
}

// Close stops the layout that is running, if any.
func (g *Widget) Close() { g.work.Close() }

// Wait returns when no layout is running: for tests.
func (g *Widget) Wait() { g.work.Wait() }

// CreateRenderer is for the toolkit.
func (g *Widget) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(fyne.NewContainerWithLayout(&sheet{g}, g.ras, g.hover, g.tip.box, g.tip.text))
}

// sheet keeps the raster full size and leaves the overlays where they are.
type sheet struct{ g *Widget }

func (s *sheet) Layout(_ []fyne.CanvasObject, z fyne.Size) {
	s.g.ras.Move(fyne.NewPos(0, 0))
	s.g.ras.Resize(z)
	if !s.g.settled {
		s.g.firstCamera(z)
	}
}

func (s *sheet) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(200, 150) }

// paint is called by the toolkit with the size in device pixels.
func (g *Widget) paint(w, h int) image.Image {
	if g.img == nil || g.img.Rect.Dx() != w || g.img.Rect.Dy() != h {
		g.img = image.NewRGBA(image.Rect(0, 0, w, h))
	}
	if w > 0 && h > 0 && g.Size().Width > 0 {
		scale := float64(w) / float64(g.Size().Width)
		v := g.view
		v.Camera = v.Camera.Snap(scale)
		g.p.Paint(g.img, scale, g.scene, &v)
	}
	return g.img
}

// SetTree shows a graph under a lens. Groups that are open stay open where the new graph has them.
func (g *Widget) SetTree(t *Tree, r *Reading) {
	first := g.tree == nil || !g.knows(t)
	g.tree, g.read = t, r
	g.chosen, g.hits, g.hit, g.hasCur = nil, nil, -1, false
	if first {
		g.open = t.OpenUpTo(firstLook)
		g.settled = false
	}
	g.arrange(nil)
}

// knows reports whether one of the open groups is in the tree, or neither has any.
func (g *Widget) knows(t *Tree) bool {
	if len(t.Groups) == 1 || len(g.tree.Groups) == 1 {
		return len(t.Groups) == len(g.tree.Groups)
	}
	for _, a := range t.Groups[1:] {
		for _, b := range g.tree.Groups[1:] {
			if a.Path == b.Path {
				return true
			}
		}
	}
	return false
}

// SetReading shows the graph under another lens; nothing moves.
func (g *Widget) SetReading(r *Reading) {
	g.read = r
	if g.plan != nil && g.plan.Tree == r.tree {
		g.show(g.plan)
	}
}

// SetAbout changes the words of groups.
func (g *Widget) SetAbout(f func(int32) string) { g.opt.About = f }

// arrange lays out anew and keeps anchor where it is on the screen.
func (g *Widget) arrange(anchor *Ref) {
	t, open := g.tree, maps.Clone(g.open)
	var plan *Plan
	g.work.Run("layout", func(ctx context.Context) (err error) {
		plan, err = Arrange(ctx, t, open)
		return err
	}, func(err error) {
		if err != nil {
			if g.OnError != nil {
				g.OnError(err)
			}
			return
		}
		var before Rect
		held := false
		if anchor != nil && g.ready() {
			before, held = g.plan.boxOf(*anchor)
		}
		g.show(plan)
		if after, ok := plan.boxOf(*orRoot(anchor)); held && ok { // the same corner stays under the pointer
			g.view.Camera.X += float64(after.X0+after.X1-before.X0-before.X1) / 2
			g.view.Camera.Y += float64(after.Y0 - before.Y0)
		}
		if f := g.pending; f != nil {
			g.pending = nil
			f()
		}
		g.refresh()
	})
}

func orRoot(r *Ref) *Ref {
	if r == nil {
		root := GroupRef(0)
		return &root
	}
	return r
}

// boxOf finds a cell or frame.
func (p *Plan) boxOf(r Ref) (Rect, bool) {
	if i, ok := p.cell[r]; ok {
		return p.Cells[i].Box, true
	}
	for _, f := range p.Frames {
		if f.Ref == r {
			return f.Box, true
		}
	}
	return Rect{}, false
}

// show makes the scene of a plan.
func (g *Widget) show(p *Plan) {
	about := g.opt.About
	if about == nil {
		about = func(int32) string { return "" }
	}
	g.plan = p
	g.scene = Show(p, g.read, about)
	g.view.Ramp = g.read.Colors(g.p.Inks)
	g.mark()
	if !g.settled || !g.seesSome() {
		g.firstCamera(g.Size())
	}
	g.hide()
	g.refresh()
}

// mark writes the marks of all cells.
func (g *Widget) mark() {
	if !g.ready() {
		return
	}
	g.view.Marks = make([]Mark, len(g.scene.Nodes))
	for i := range g.chosen {
		g.view.Marks[g.plan.Cell(i)] |= Selected
	}
	for k, i := range g.hits {
		c := g.plan.Cell(i)
		g.view.Marks[c] |= Found
		if k == g.hit {
			g.view.Marks[c] |= Current
		}
	}
}

// ready reports whether what is shown is the tree that is set: a layout may still be running.
func (g *Widget) ready() bool { return g.plan != nil && g.plan.Tree == g.tree }

func (g *Widget) refresh() { g.ras.Refresh() }

// Open says which groups are open.
func (g *Widget) Open() map[string]bool { return g.open }

// Toggle opens or closes a group.
func (g *Widget) Toggle(group int32) {
	path := g.tree.Groups[group].Path
	g.open[path] = !g.open[path]
	if g.OnOpen != nil {
		g.OnOpen(g.open)
	}
	r := GroupRef(group)
	g.arrange(&r)
}

// CloseAll closes every group and shows the whole; where all are closed, it opens them.
func (g *Widget) CloseAll() {
	if g.tree == nil {
		return
	}
	any := false
	for _, on := range g.open {
		any = any || on
	}
	g.open = map[string]bool{}
	if !any {
		for _, k := range g.tree.Groups[1:] {
			g.open[k.Path] = true
		}
	}
	if g.OnOpen != nil {
		g.OnOpen(g.open)
	}
	g.pending = g.Fit
	g.arrange(nil)
}

// Select marks items; with reveal the camera goes to the first where it is not to be seen.
func (g *Widget) Select(items []int32, reveal bool) {
	g.chosen = map[int32]bool{}
	for _, i := range items {
		g.chosen[i] = true
	}
	if len(items) > 0 {
		g.cursor, g.hasCur = Ref(items[0]), true
	}
	g.mark()
	g.refresh()
	if reveal && len(items) > 0 {
		g.Reveal(items[0])
	}
}

// Reveal opens the groups around an item and goes there, unless it is on the screen already.
func (g *Widget) Reveal(item int32) {
	if g.tree == nil {
		return
	}
	closed := false
	for _, a := range g.tree.Ancestors(item) {
		if p := g.tree.Groups[a].Path; !g.open[p] {
			g.open[p], closed = true, true
		}
	}
	if !closed && g.ready() {
		g.goTo(item)
		return
	}
	if closed && g.OnOpen != nil {
		g.OnOpen(g.open)
	}
	g.pending = func() { g.goTo(item) }
	g.arrange(nil)
}

// Search marks hits and goes to the one at hit.
func (g *Widget) Search(hits []int32, hit int) {
	g.hits, g.hit = hits, hit
	g.mark()
	g.refresh()
	if hit >= 0 && hit < len(hits) {
		g.Reveal(hits[hit])
	}
}

// Hottest goes to the measured item after, or before, the one that is selected, by value.
func (g *Widget) Hottest(step int) {
	if g.read == nil || len(g.read.order) == 0 {
		return
	}
	at := -1
	for k, i := range g.read.order {
		if g.chosen[i] {
			at = k
			break
		}
	}
	n := len(g.read.order)
	if at < 0 && step < 0 {
		at = 0
	}
	g.choose([]int32{g.read.order[((at+step)%n+n)%n]}, true)
}

// choose selects for the user, and says so.
func (g *Widget) choose(items []int32, reveal bool) {
	g.Select(items, reveal)
	if g.OnSelect != nil {
		g.OnSelect(items)
	}
}
