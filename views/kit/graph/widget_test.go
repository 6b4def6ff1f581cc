package graph

import (
	"fmt"
	"image"
	"math"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
)

// chain is an input, two blocks of three, and an output.
func chain() (*Tree, *Reading) {
	items := []Item{{Title: "input", Edge: true, Small: true}}
	for b := range 2 {
		for k := range 3 {
			items = append(items, Item{ID: fmt.Sprint(b, k), Title: fmt.Sprintf("conv%d", k), Scope: []string{fmt.Sprintf("block%d", b)}, Badge: "f32"})
		}
	}
	items = append(items, Item{Title: "output", Edge: true, Small: true})
	var wires []Wire
	values := []float64{math.NaN()}
	for i := range int32(7) {
		wires = append(wires, Wire{i, i + 1})
		values = append(values, float64(i))
	}
	values[7] = math.NaN()
	t := NewTree(items, wires)
	f := func(v float64) string { return fmt.Sprint(v) }
	return t, Read(t, Lens{Unit: "ms", Values: values, Format: f, Tick: f})
}

func open(t *testing.T) (*Widget, fyne.Window) {
	test.NewTempApp(t)
	g := New(Options{Fonts: fonts(t), Inks: inks(true), Words: English, Post: func(f func()) { f() }, Still: true})
	t.Cleanup(g.Close)
	w := test.NewTempWindow(t, g)
	w.SetPadded(false)
	w.Resize(fyne.NewSize(700, 700))
	tree, read := chain()
	g.SetTree(tree, read)
	g.Wait()
	return g, w
}

func tap(g *Widget, p fyne.Position) { g.Tapped(&fyne.PointEvent{Position: p}) }

func TestTapSelects(t *testing.T) {
	g, _ := open(t)
	var got []int32
	g.OnSelect = func(items []int32) { got = items }
	tap(g, g.At(2))
	if len(got) != 1 || got[0] != 2 {
		t.Fatalf("tap on item 2 selected %v", got)
	}
	if g.view.Marks[g.plan.Cell(2)]&Selected == 0 {
		t.Error("the selected cell has no mark")
	}
	g.Key(&fyne.KeyEvent{Name: fyne.KeyEscape})
	if len(got) != 0 {
		t.Errorf("Escape left %v", got)
	}
}

func TestCollapseToggles(t *testing.T) {
	g, _ := open(t)
	if len(g.plan.Cells) != 8 {
		t.Fatalf("%d cells at first, want all 8 open", len(g.plan.Cells))
	}
	f := g.plan.Frames[0].Box
	x, y := g.view.Camera.ToView(float64(f.X0)+10, float64(f.Y0)+10)
	tap(g, fyne.NewPos(float32(x), float32(y)))
	g.Wait()
	if len(g.plan.Cells) != 6 {
		t.Fatalf("%d cells after closing a block of three", len(g.plan.Cells))
	}
	g.Select([]int32{2}, false)
	if g.view.Marks[g.plan.Cell(2)]&Selected == 0 {
		t.Error("a closed group does not show that something inside is selected")
	}
	g.Key(&fyne.KeyEvent{Name: fyne.KeySpace})
	g.Wait()
	if len(g.plan.Cells) != 8 {
		t.Errorf("space did not open the group again: %d cells", len(g.plan.Cells))
	}
}

func TestSearchReveals(t *testing.T) {
	g, _ := open(t)
	g.CloseAll()
	g.Wait()
	if len(g.plan.Cells) != 4 {
		t.Fatalf("%d cells when all is closed", len(g.plan.Cells))
	}
	g.Search([]int32{2, 5}, 1)
	g.Wait()
	if c := g.plan.Cell(5); g.plan.Cells[c].Ref != 5 || g.view.Marks[c] != Found|Current {
		t.Errorf("the current hit is not shown: %v", g.plan.Cells[c])
	}
	if c := g.plan.Cell(2); !g.plan.Cells[c].Ref.IsGroup() || g.view.Marks[c] != Found {
		t.Error("the other hit does not mark its closed group")
	}
}

func TestHottest(t *testing.T) {
	g, _ := open(t)
	var got []int32
	g.OnSelect = func(items []int32) { got = items }
	for _, c := range []struct {
		key  rune
		want int32
	}{{'n', 6}, {'n', 5}, {'N', 6}, {'N', 1}} {
		g.Rune(c.key)
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%c: selected %v, want %d", c.key, got, c.want)
		}
	}
}

func TestWheelAndDrag(t *testing.T) {
	g, w := open(t)
	p := g.At(3)
	z := g.view.Camera.Zoom
	wx, wy := g.view.Camera.ToWorld(float64(p.X), float64(p.Y))
	g.Scrolled(&fyne.ScrollEvent{PointEvent: fyne.PointEvent{Position: p}, Scrolled: fyne.NewDelta(0, 50)})
	if got := g.view.Camera.Zoom / z; math.Abs(got-1.5) > 1e-9 {
		t.Errorf("zoom by %v", got)
	}
	if x, y := g.view.Camera.ToView(wx, wy); math.Abs(x-float64(p.X)) > .01 || math.Abs(y-float64(p.Y)) > .01 {
		t.Errorf("the point under the cursor moved to %v %v", x, y)
	}
	before := g.view.Camera
	g.Dragged(&fyne.DragEvent{PointEvent: fyne.PointEvent{Position: p}, Dragged: fyne.NewDelta(30, -15)})
	g.DragEnd()
	if d := (before.X - g.view.Camera.X) * before.Zoom; math.Abs(d-30) > .01 {
		t.Errorf("pan by %v", d)
	}
	w.Canvas().Capture() // the minimap has its place once it is painted
	// a tap on the minimap centres there
	m := &g.p.mini
	tap(g, fyne.NewPos(float32(m.x0+m.side/2), float32(m.y0+m.side/2)))
	b := g.scene.Bounds
	if x, y := g.view.Camera.ToWorld(350, 350); math.Abs(x-float64(b.X0+b.X1)/2) > 20 || math.Abs(y-float64(b.Y0+b.Y1)/2) > 20 {
		t.Errorf("the minimap's middle led to %v %v of %v", x, y, b)
	}
}

// Moving the mouse must not paint the scene again.
func TestHoverIsCheap(t *testing.T) {
	g, w := open(t)
	w.Canvas().Capture()
	n := 0
	paint := g.ras.Generator
	g.ras.Generator = func(a, b int) image.Image { n++; return paint(a, b) }
	test.MoveMouse(w.Canvas(), g.At(1))
	if !g.hover.Visible() || !g.tip.text.Visible() || n != 0 {
		t.Errorf("hover visible %v, %d repaints", g.hover.Visible(), n)
	}
	test.MoveMouse(w.Canvas(), fyne.NewPos(5, 5))
	if g.hover.Visible() {
		t.Error("hover stays on the empty ground")
	}
}

// A change of lens repaints and moves nothing; a new tree with known groups keeps the camera.
func TestLensKeepsCamera(t *testing.T) {
	g, _ := open(t)
	g.Zoom(2)
	cam := g.view.Camera
	tree, read := chain()
	g.SetReading(Read(g.tree, Lens{Unit: "Type", Class: make([]int, 8), Classes: []Class{{Name: "a"}}, Mixed: -1}))
	if g.view.Camera != cam || len(g.scene.Key.Classes) != 1 {
		t.Error("the lens moved the camera or did not arrive")
	}
	g.SetTree(tree, read)
	g.Wait()
	if g.view.Camera != cam {
		t.Error("the same groups under another model lost the camera")
	}
}

// Another graph with the same groups keeps the camera, unless nothing of it would be seen.
func TestCameraComesBack(t *testing.T) {
	g, _ := open(t)
	g.pan(-5000, -5000)
	tree, read := chain()
	g.SetTree(tree, read)
	g.Wait()
	if !g.seesSome() {
		t.Error("the graph is out of sight")
	}
}

// Cards do not lie on the graph where it is wide.
func TestFitLeavesRoomForCards(t *testing.T) {
	g, _ := open(t)
	g.Resize(fyne.NewSize(1400, 400))
	s := &Scene{Key: Legend{Unit: "ms"}}
	s.Nodes = append(s.Nodes, Node{Box: Rect{0, 0, 1500, 300}})
	s.Build()
	g.scene = s
	c := g.fitted(1400, 400)
	if x0, _ := c.ToView(0, 0); x0 < 104 {
		t.Errorf("the legend covers the graph, which begins at %v", x0)
	}
	if x1, _ := c.ToView(1500, 0); x1 > 1400-minimapSide {
		t.Errorf("the minimap covers the graph, which ends at %v", x1)
	}
}

// A graph that is too long to be read at once begins at its top, readable.
func TestFirstLookIsReadable(t *testing.T) {
	g, _ := open(t)
	for _, c := range []struct {
		name   string
		w, h   float32
		top    bool
		atMost float64
	}{
		{"short", 200, 400, false, 1}, {"long", 200, 9000, true, 1}, {"long and a little wide", 900, 9000, true, readable},
		{"long and wide", 4000, 9000, false, .2},
	} {
		s := &Scene{}
		s.Nodes = append(s.Nodes, Node{Box: Rect{0, 0, c.w, 50}}, Node{Box: Rect{0, c.h - 50, c.w, c.h}})
		s.Build()
		g.scene = s
		g.firstCamera(g.Size())
		_, y1 := g.view.Camera.ToView(0, float64(c.h))
		if cut := y1 > 700; cut != c.top || g.view.Camera.Zoom > c.atMost+1e-9 {
			t.Errorf("%s: zoom %v, its foot at %v", c.name, g.view.Camera.Zoom, y1)
		}
		if _, y0 := g.view.Camera.ToView(0, 0); y0 < 0 {
			t.Errorf("%s: its top is at %v", c.name, y0)
		}
	}
}
