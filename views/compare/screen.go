// Package compare is the screen that puts two runs side by side: the verdict with its interval, where the time went, and
// every layer of B beside those of A that it replaces.
//
// Verdicts, intervals and alignment come from the profiler; rows.go only orders and sums them. Start reading at New, then
// at Show.
package compare

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// verbs are what the screen asks of the studio.
type verbs interface {
	CompareRuns(a, b string)
	ComparePaired(app.PairedForm)
	CancelJob(id int64)
	Select(origins []string, from string)
	ExportCompared(format, path string)
	Show(screen string)
}

type screen struct {
	u   *kit.UI
	do  verbs
	ink *plot.Ink
	say *kit.Phrases

	state  *app.State
	chosen map[string]bool // nodes of the selection
	shown  *app.Comparison
	by     string
	unit   kit.Unit
	sort   string
	filter string
	listed []aligned

	content fyne.CanvasObject
	full    fyne.CanvasObject
	none    *fyne.Container
	bar     *toolbar
	head    *header
	fall    *plot.Chart
	fallSub *kit.Line
	fallTop *fyne.Container
	title   *kit.Line
	groups  *kit.Segmented
	orders  *kit.Segmented
	search  *widget.Entry
	table   *plot.Table
	count   *kit.Line
	side    *side
}

// New makes the screen.
func New(u *kit.UI) kit.Screen { return newScreen(u, u.Studio) }

func newScreen(u *kit.UI, do verbs) *screen {
	s := &screen{u: u, do: do, ink: plot.NewInk(u.Theme), say: u.NewPhrases(), by: byMove, sort: "delta", unit: kit.UnitFor(1e6)}
	s.bar = newToolbar(s)
	s.head = newHeader(s)
	s.side = newSide(s)
	centre := container.NewBorder(s.head.card, nil, nil, nil,
		kit.Pad(10, 0, 0, 0, container.New(&split{gap: 10, top: .46}, s.fallCard(), s.tableCard())))
	s.full = container.NewBorder(nil, nil, nil, kit.Fixed(324, 0, s.side.panel), kit.Pad(10, 16, 10, 16, centre))
	s.none = container.NewStack()
	s.content = container.NewStack(s.full, s.none)
	return s
}

// Content is part of kit.Screen.
func (s *screen) Content() fyne.CanvasObject { return s.content }

// Toolbar is part of kit.Toolbar.
func (s *screen) Toolbar() fyne.CanvasObject { return s.bar.row }

// Primary is part of kit.Primary.
func (s *screen) Primary() { s.bar.measure() }

// Find is part of kit.Finder.
func (s *screen) Find() { s.u.Window.Canvas().Focus(s.search) }

// panel is a card without padding: tables reach its rims.
func (s *screen) panel(o fyne.CanvasObject) *fyne.Container {
	return container.NewStack(kit.Plate(s.u.Theme.Bg2, s.u.Theme.Line1, 8), kit.Pad(1, 1, 1, 1, o))
}

func (s *screen) fallCard() fyne.CanvasObject {
	u := s.u
	s.title, s.fallSub = u.Strong("").Whole(), u.Caption("")
	s.fall = plot.NewChart(s.ink, 400, 170)
	s.fall.OnTap = func(m plot.Mark) {
		if len(m.Keys) > 0 {
			s.do.Select(m.Keys, "compare")
		}
	}
	s.groups = u.NewSegmented([]string{u.T("By move"), u.T("By layer"), u.T("By kind")}, 0, func(i int) {
		s.by = []string{byMove, byLayer, byKind}[i]
		s.redraw()
	})
	s.fallTop = kit.Cols(10, s.title, kit.Flex(s.fallSub), s.groups)
	return s.panel(container.NewBorder(kit.Pad(8, 12, 0, 13, s.fallTop), nil, nil, nil, s.fall))
}

func (s *screen) tableCard() fyne.CanvasObject {
	u := s.u
	s.count = u.Caption("")
	s.search = widget.NewEntry()
	s.search.SetPlaceHolder(u.T("filter"))
	s.search.OnChanged = func(t string) { s.filter = t; s.relist() }
	s.orders = u.NewSegmented([]string{u.T("By change"), u.T("Order")}, 0, func(i int) {
		s.sort = []string{"delta", "order"}[i]
		s.relist()
	})
	s.table = plot.NewTable(s.ink, s.columns())
	s.table.Empty = u.T("No layer has this in its name or operators")
	s.table.OnSelect = func(k []string) { s.do.Select(k, "compare") }
	head := kit.Pad(8, 12, 8, 13, kit.Cols(10, u.Strong(u.T("Aligned layers")).Whole(), kit.Flex(s.count), kit.Fixed(150, 30, s.search), s.orders))
	return s.panel(container.NewBorder(head, kit.Space(0, 4), nil, nil, s.table))
}

// Show brings the screen up to a state.
func (s *screen) Show(st *app.State) {
	before := s.state
	s.state = st
	if before == nil || !slices.Equal(before.Selection.Origins, st.Selection.Origins) {
		s.remember(st.Selection.Origins)
	}
	s.bar.show(st)
	c := st.Compared
	if c == nil || c.Result == nil {
		s.shown = nil
		s.showEmpty(st)
		return
	}
	s.none.Hide()
	s.full.Show()
	if c != s.shown {
		s.shown = c
		s.unit = kit.UnitFor(max(c.Result.A.P50Ns, c.Result.B.P50Ns) / 4) // single layers are smaller than the whole
		s.table.SetColumns(s.columns())
		s.head.show(c)
		s.relist()
		s.redraw()
		s.side.show(c)
	}
	if before == nil || !slices.Equal(before.Selection.Origins, st.Selection.Origins) {
		s.redraw()
		s.side.redraw()
		s.table.Repaint()
		if st.Selection.From != "compare" && len(st.Selection.Origins) > 0 {
			s.table.Reveal()
		}
	}
}

func (s *screen) showEmpty(st *app.State) {
	u := s.u
	var done []*app.Run
	for _, r := range st.Runs {
		if r.Profile != nil && !r.Partial {
			done = append(done, r)
		}
	}
	var o fyne.CanvasObject
	switch n := len(done); {
	case st.Doc != nil && !st.Doc.Busy && len(st.Doc.Versions()) > 1 && n < 2 && pairing(st) == nil:
		o = u.Empty("compare", u.T("Two runs are needed"), u.T("The opened and the rewritten model can be measured in turns, so that what the board changes meanwhile meets both."), u.T("Measure in turns"), s.bar.measure)
	case pairing(st) != nil:
		o = u.Empty("compare", u.T("Measuring in turns"), u.T("Launch by launch in random order; the verdict comes at the end."), u.T("Stop"), func() { s.do.CancelJob(pairing(s.state).ID) })
	case n < 2:
		o = u.Empty("compare", u.T("Two runs are needed"), u.F("%d runs of this model are there. Measure it before and after a change.", n), u.T("Go to Profile"), func() { s.do.Show("profile") })
	default:
		a, b := done[n-2], done[n-1]
		o = u.Empty("compare", u.T("Choose two runs"), u.T("Pick A, the older one, and B in the line above."), u.T("Compare the last two"), func() { s.do.CompareRuns(a.ID, b.ID) })
	}
	s.full.Hide()
	s.none.Objects = []fyne.CanvasObject{o}
	s.none.Show()
	s.none.Refresh()
}

// selected reports whether a datum is a part of the selection: a layer by any of its nodes, a sum by all.
func (s *screen) selected(keys []string, all bool) bool {
	hits := 0
	for _, k := range keys {
		if s.chosen[k] {
			hits++
		}
	}
	return hits > 0 && (!all || hits == len(keys))
}

// remember keeps the selection as a set: sums of large networks stand for thousands of nodes.
func (s *screen) remember(origins []string) {
	s.chosen = make(map[string]bool, len(origins))
	for _, o := range origins {
		s.chosen[o] = true
	}
}

// split stacks two objects, the first with a share of the height.
type split struct{ gap, top float32 }

func (l *split) Layout(o []fyne.CanvasObject, z fyne.Size) {
	h := (z.Height - l.gap) * l.top
	o[0].Move(fyne.NewPos(0, 0))
	o[0].Resize(fyne.NewSize(z.Width, h))
	o[1].Move(fyne.NewPos(0, h+l.gap))
	o[1].Resize(fyne.NewSize(z.Width, z.Height-h-l.gap))
}

func (l *split) MinSize(o []fyne.CanvasObject) fyne.Size {
	a, b := o[0].MinSize(), o[1].MinSize()
	return fyne.NewSize(max(a.Width, b.Width), a.Height+b.Height+l.gap)
}
