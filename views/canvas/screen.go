package canvas

import (
	"context"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/internal/fail"
	"fettle/profiler"
	"fettle/views/kit"
	"fettle/views/kit/graph"
	"fettle/views/kit/later"
	"fettle/views/kit/theme"
)

// verbs are what the screen asks of the studio.
type verbs interface {
	Select(origins []string, from string)
	Show(screen string)
}

// name is that of the screen in Selection.From.
const name = "model"

type screen struct {
	u  *kit.UI
	do verbs

	state  *app.State
	mode   mode
	lens   lens
	picked struct{ mode, lens bool } // the user chose; until then the screen follows what there is

	run    *app.Run // whose times are shown
	shown  drawn    // what is to be shown: a drawing of it may still be on its way
	made   drawn    // what the drawing was made of
	d      *drawing // nil until the first one is made
	read   *graph.Reading
	chosen []int32 // selected items
	title  string  // of a selection of several

	draw    *later.Latest
	still   bool // the camera never flies: for tests
	content fyne.CanvasObject
	full    *fyne.Container
	none    fyne.CanvasObject
	graph   *graph.Widget
	bar     *toolbar
	tree    *layersPane
	look    *inspector
	left    *fyne.Container
	right   *fyne.Container
	trouble *fyne.Container
}

// drawn names what a drawing was made of; an equal one needs no new drawing.
type drawn struct {
	doc  *app.Doc
	mode mode
	run  *app.Run
	lens lens
}

// New makes the screen.
func New(u *kit.UI) kit.Screen { return newScreen(u, u.Studio, u.Bridge.Do) }

// newScreen makes it; post brings results of slow work to the toolkit's goroutine.
func newScreen(u *kit.UI, do verbs, post func(func())) *screen {
	s := &screen{u: u, do: do, draw: later.New(post)}
	s.graph = graph.New(graph.Options{Fonts: graph.Fonts(), Inks: graph.NewInks(u.Theme.Palette, u.Theme.Dark), Caption: float64(u.Theme.Caption()),
		Words: graph.Words{NotMeasured: u.T("not measured"), NoData: u.T("no data"), Node: u.T("node"), Group: u.T("group")},
		Post:  post, About: s.about})
	s.graph.OnSelect = s.userSelected
	s.graph.OnError = s.failed
	s.graph.OnOpen = func(map[string]bool) { s.tree.update() }
	s.trouble = container.NewStack()
	s.trouble.Hide()
	s.bar = newToolbar(s)
	s.tree = newLayersPane(s)
	s.look = newInspector(s, post)
	s.left = kit.Fill(u.Theme.Bg2, s.tree.content)
	s.right = kit.Fill(u.Theme.Bg2, s.look.content)
	middle := container.NewStack(s.graph, container.New(cornerLayout{}, zoomStack(u, s.graph)), s.trouble)
	s.full = container.New(&columns{left: theme.TreeWidth, right: theme.Inspector}, s.left, middle, s.right)
	s.none = u.Empty("model", u.T("No model is open"), u.T("Open an ONNX file, or take a built-in network."), u.T("Open a model"), func() { s.do.Show("start") })
	s.content = container.NewStack(s.full, s.none)
	s.full.Hide()
	return s
}

// Content is part of kit.Screen.
func (s *screen) Content() fyne.CanvasObject { return s.content }

// Toolbar is part of kit.Toolbar.
func (s *screen) Toolbar() fyne.CanvasObject { return s.bar.row }

// Find is part of kit.Finder.
func (s *screen) Find() { s.u.Window.Canvas().Focus(s.bar.search) }

// Key is part of kit.Keyed.
func (s *screen) Key(e *fyne.KeyEvent) bool { return s.d != nil && s.graph.Key(e) }

// Rune is part of kit.Keyed: the graph's letters, L for the next lens, 1 to 5 for one of them.
func (s *screen) Rune(r rune) bool {
	switch {
	case s.d == nil:
		return false
	case r == 'l' || r == 'L':
		s.setLens((s.lens + 1) % lensCount)
	case r >= '1' && r < '1'+rune(lensCount):
		s.setLens(lens(r - '1'))
	default:
		return s.graph.Rune(r)
	}
	return true
}

// Actions is part of kit.Actor.
func (s *screen) Actions() []kit.Action {
	off := func(st *app.State) bool { return st.Doc == nil }
	return []kit.Action{
		{ID: "model.fit", Title: "Show the whole graph", Where: "Model", Keys: "F", Run: s.graph.Fit, Off: off},
		{ID: "model.groups", Title: "Close or open all groups", Where: "Model", Run: s.graph.CloseAll, Off: off},
		{ID: "model.hottest", Title: "Go to the hottest layer", Where: "Model", Keys: "N", Run: func() { s.graph.Hottest(1) }, Off: off},
		{ID: "model.tree", Title: "Show or hide the tree of layers", Where: "Model", Keys: "Ctrl+B", Run: func() { s.toggle(s.left) }},
		{ID: "model.inspector", Title: "Show or hide the inspector", Where: "Model", Keys: "Ctrl+I", Run: func() { s.toggle(s.right) }},
	}
}

// toggle shows or hides a side.
func (s *screen) toggle(o fyne.CanvasObject) {
	if o.Visible() {
		o.Hide()
	} else {
		o.Show()
	}
	s.full.Refresh()
}

// Show is part of kit.Screen.
func (s *screen) Show(st *app.State) {
	before := s.state
	s.state = st
	if st.Doc == nil {
		s.d, s.shown = nil, drawn{}
		s.full.Hide()
		s.none.Show()
		s.bar.update()
		return
	}
	s.none.Hide()
	s.full.Show()
	s.graph.SetStill(s.still || localRun(st))
	if before == nil || before.Doc == nil || before.Doc.ID != st.Doc.ID {
		s.picked.mode, s.picked.lens = false, false
	}
	s.follow()
	s.redraw()
	if before == nil || !slices.Equal(before.Selection.Origins, st.Selection.Origins) {
		s.stateSelected()
	}
	s.bar.update()
}

// localRun reports whether this computer is measured: then nothing may move that need not.
func localRun(st *app.State) bool {
	for _, r := range st.Runs {
		if b := st.Board(r.Target); r.Partial && b != nil && b.Local {
			return true
		}
	}
	return false
}

// follow chooses mode and lens while the user has not: what was executed once there is a run of this model, what was
// rewritten once there is a ledger.
func (s *screen) follow() {
	doc := s.state.Doc
	has := func(m mode) bool {
		switch m {
		case executed:
			return s.executedRun() != nil
		case rewritten:
			return doc.Model != doc.Base
		}
		return true
	}
	if !s.picked.mode || !has(s.mode) {
		s.mode = original
		for _, m := range []mode{rewritten, executed} {
			if has(m) {
				s.mode = m
			}
		}
	}
	s.run = timesFor(s.state, s.mode)
	if s.mode == executed {
		s.run = s.executedRun()
	}
	if !s.picked.lens {
		s.lens = byKind
		if s.run != nil {
			s.lens = byTime
		}
	}
}

// executedRun is the run whose plan can be shown: of the model as it is now, else of the imported one.
func (s *screen) executedRun() *app.Run { return timesFor(s.state, rewritten) }

func (s *screen) setMode(m mode) {
	s.mode, s.picked.mode = m, true
	s.follow()
	s.redraw()
	s.bar.update()
}

func (s *screen) setLens(l lens) {
	s.lens, s.picked.lens = l, true
	s.redraw()
	s.bar.update()
}

// redraw makes drawing and reading anew where they are of something else, off the toolkit's goroutine.
func (s *screen) redraw() {
	want := drawn{s.state.Doc, s.mode, s.run, s.lens}
	if want == s.shown {
		return
	}
	s.shown = want
	d := s.d
	same := d != nil && s.made.sameGraph(want)
	var read *graph.Reading
	s.draw.Run("draw the model", func(ctx context.Context) error {
		if !same {
			d = draw(want)
			nameBlocks(s.u, d.tree)
		}
		read = d.read(s.u, want.lens, want.run)
		return ctx.Err()
	}, func(err error) {
		if s.shown != want {
			return // the model was closed meanwhile
		}
		if err != nil {
			s.shown = drawn{}
			s.failed(err)
			return
		}
		s.trouble.Hide()
		fresh := d != s.d
		s.d, s.read, s.made = d, read, want
		if fresh {
			s.chosen = nil
			s.graph.SetTree(d.tree, read)
			s.stateSelected()
		} else {
			s.graph.SetReading(read)
		}
		s.bar.research()
		s.tree.update()
		s.look.show()
		s.bar.update()
	})
}

// failed shows an error in place of the graph.
func (s *screen) failed(err error) {
	s.trouble.Objects = []fyne.CanvasObject{container.NewCenter(kit.AtLeast(420, 0, s.u.ErrorPanel(fail.From(err))))}
	s.trouble.Show()
	s.trouble.Refresh()
}

// sameGraph reports whether only lens or times differ.
func (a drawn) sameGraph(b drawn) bool {
	if a.doc == nil || b.doc == nil || a.mode != b.mode {
		return false
	}
	switch a.mode {
	case original:
		return a.doc.Base == b.doc.Base && a.doc.BaseInfo == b.doc.BaseInfo
	case rewritten:
		return a.doc.Base == b.doc.Base && a.doc.Model == b.doc.Model && a.doc.Info == b.doc.Info
	}
	return a.doc.Base == b.doc.Base && a.run == b.run
}

// nameBlocks gives groups without a name of their own one in the language of the window.
func nameBlocks(u *kit.UI, t *graph.Tree) {
	for g := range t.Groups {
		switch b := t.Groups[g].Blocks; {
		case b[0] == 0:
		case b[0] == b[1]:
			t.Groups[g].Title = u.F("block %d", b[0])
		default:
			t.Groups[g].Title = u.F("blocks %d–%d", b[0], b[1])
		}
	}
}

func draw(w drawn) *drawing {
	switch w.mode {
	case rewritten:
		return drawRewritten(w.doc)
	case executed:
		return drawExecuted(w.doc, w.run.Profile)
	}
	return drawOriginal(w.doc)
}

// userSelected is called by graph and tree.
func (s *screen) userSelected(items []int32) {
	s.chosen, s.title = items, ""
	if ref, ok := s.graph.Cursor(); ok && ref.IsGroup() && len(items) > 1 {
		s.title = s.d.tree.Groups[ref.Index()].Title
	}
	s.tree.update()
	s.look.show()
	s.bar.update()
	s.do.Select(s.d.originsOf(items), name)
}

// stateSelected takes over what is selected elsewhere. What was selected here is kept as it is: one layer may stand for
// several nodes and would widen.
func (s *screen) stateSelected() {
	if s.d == nil {
		return
	}
	sel := s.state.Selection
	if slices.Equal(s.d.originsOf(s.chosen), sel.Origins) {
		return
	}
	s.chosen, s.title = s.d.itemsOf(sel.Origins), ""
	s.graph.Select(s.chosen, sel.From != name)
	s.tree.update()
	s.look.show()
}

// profile is that of the run whose times are shown; nil: not measured.
func (s *screen) profile() *profiler.Profile {
	if s.run == nil {
		return nil
	}
	return s.run.Profile
}

// about is the second line of a group: 3 blocks · 10 Conv, 3 Add. It names what does work, and how branches join.
func (s *screen) about(g int32) string {
	sum := s.d.summarize(g)
	out := ""
	for k, o := range sum.ops {
		if k == 2 || k > 0 && rank(o.op) == restRank {
			break
		}
		if k > 0 {
			out += ", "
		}
		out += kit.Count(int64(o.n)) + "\u00a0" + shortName(o.op)
	}
	if sum.blocks > 1 {
		return s.u.F("%d blocks", sum.blocks) + " · " + out
	}
	return out
}
