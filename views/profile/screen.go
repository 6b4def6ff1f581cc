// Package profile is the screen that measures: under which conditions a run was taken, its times with their intervals, the
// layers with their floors, and the runs of before.
//
// It computes no time; rows.go puts the numbers of a profile into rows. Start reading at New, then at Show.
package profile

import (
	"image/color"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/model"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// verbs are what the screen asks of the studio.
type verbs interface {
	Profile(app.ProfileForm)
	FindFloors(board string)
	FindStairs(board string)
	MeasureStairs(board string, node model.NodeID)
	LearnKernels(board string)
	AuditBoard(board string)
	Select(origins []string, from string)
	CompareRuns(a, b string)
	ExportRun(id, format, path string)
	ExportRoofline(id, format, path string)
	ExportStairs(layer, format, path string)
	CancelJob(id int64)
	SetThreads(n int)
	Show(screen string)
}

type screen struct {
	u   *kit.UI
	do  verbs
	ink *plot.Ink
	say *kit.Phrases

	state  *app.State
	chosen map[string]bool // nodes of the selection
	picked string          // the run that the user wants to see
	run    *app.Run
	listed []row
	view   listing
	unit   kit.Unit // of table and charts
	chart  int

	content *fyne.Container
	top     *fyne.Container
	full    *fyne.Container
	none    *fyne.Container // without
	bar     *toolbar
	strip   *strip
	live    *live
	filter  *widget.Entry
	modes   *kit.Segmented
	table   *plot.Table
	charts  *plot.Chart
	memory  *kit.Line
	note    *kit.Line
	kinds   *kit.Segmented
	past    *history
	stairs  *stairs
	behind  *behind
	left    *fyne.Container // of a run
	right   *fyne.Container
}

// New makes the screen.
func New(u *kit.UI) kit.Screen { return newScreen(u, u.Studio) }

func newScreen(u *kit.UI, do verbs) *screen {
	s := &screen{u: u, do: do, ink: plot.NewInk(u.Theme), say: u.NewPhrases(), view: listing{mode: "largest", sort: columnMs}, unit: kit.UnitFor(1e6)}
	s.bar = newToolbar(s)
	s.strip = newStrip(s)
	s.live = newLive(s)
	s.past = newHistory(s)
	s.stairs = newStairs(s)
	s.behind = newBehind(s)
	s.left = container.NewBorder(s.live.card, nil, nil, nil, kit.Pad(kit10, 0, 0, 0, s.layersCard()))
	s.none = container.NewStack()
	s.right = container.New(&shares{gap: kit10, parts: []float32{.5, .5}}, s.chartCard(), s.behind.card)
	s.full = container.New(&sideBySide{gap: 16, left: .505}, container.NewStack(s.left, s.none), s.right)
	s.top = kit.Pad(0, 0, kit10, 0, s.strip.card)
	s.content = kit.Pad(kit10, 16, kit10, 16, container.NewBorder(s.top, nil, nil, nil, s.full))
	return s
}

const kit10 = 10 // between panels

// Content is part of kit.Screen.
func (s *screen) Content() fyne.CanvasObject { return s.content }

// Toolbar is part of kit.Toolbar.
func (s *screen) Toolbar() fyne.CanvasObject { return s.bar.row }

// Primary is part of kit.Primary.
func (s *screen) Primary() { s.start() }

// Find is part of kit.Finder.
func (s *screen) Find() { s.u.Window.Canvas().Focus(s.filter) }

func (s *screen) layersCard() fyne.CanvasObject {
	u := s.u
	s.filter = widget.NewEntry()
	s.filter.SetPlaceHolder(u.T("filter"))
	s.filter.OnChanged = func(t string) { s.view.filter = t; s.relist() }
	s.modes = u.NewSegmented([]string{u.T("Largest"), u.T("All layers"), u.T("By kind")}, 0, func(i int) {
		s.view.mode = []string{"largest", "all", "kind"}[i]
		s.relist()
	})
	s.table = plot.NewTable(s.ink, s.columns(""))
	s.table.Empty = u.T("No layer has this in its name, kind or kernel")
	s.table.OnSelect = func(keys []string) { s.do.Select(keys, "profile") }
	s.table.OnSort = func(c string) {
		if s.view.sort == c {
			s.view.up = !s.view.up
		} else {
			s.view.sort, s.view.up = c, c == columnName || c == columnKind
		}
		s.relist()
	}
	head := kit.Pad(8, 12, 8, 14, kit.Cols(10, u.Strong(u.T("Layers")).Whole(), kit.Gap(), kit.Fixed(150, 30, s.filter), s.modes))
	return s.panel(container.NewBorder(head, kit.Space(0, 4), nil, nil, s.table))
}

// boxed gives a select of the toolkit the edge of an input.
func (s *screen) boxed(w float32, o fyne.CanvasObject) fyne.CanvasObject {
	return kit.Fixed(w, 28, container.NewStack(o, kit.Plate(color.Transparent, s.u.Theme.Line3, 5)))
}

// panel is a card without padding: tables reach its rims.
func (s *screen) panel(o fyne.CanvasObject) *fyne.Container {
	return container.NewStack(kit.Plate(s.u.Theme.Bg2, s.u.Theme.Line1, 8), kit.Pad(1, 1, 1, 1, o))
}

func (s *screen) chartCard() fyne.CanvasObject {
	u := s.u
	s.charts = plot.NewChart(s.ink, 260, 90)
	s.charts.OnTap = func(m plot.Mark) { s.do.Select(m.Keys, "profile") }
	s.note = u.Caption("")
	s.kinds = u.NewSegmented([]string{u.T("By kind"), u.T("Roofline"), u.T("Staircase"), u.T("Inferences")}, 0, s.see)
	head := kit.Pad(8, 12, 2, 14, kit.Cols(10, kit.Flex(u.Strong(u.T("Where the time goes"))),
		u.Why(u.T("The floor"), u.T("No kernel can be faster on this target: the least work that any known algorithm needs, over the peak of its cores, or the bytes that must move, over the bandwidth of its memory. A layer far above its floor can gain from another kernel; one that touches it only from less work."), ""), s.kinds))
	s.memory = u.Caption("")
	return s.panel(container.NewBorder(kit.Rows(0, head, kit.Pad(0, 14, 2, 14, s.note), s.stairs.tools), kit.Pad(2, 12, 7, 14, s.memory), nil, nil, kit.Pad(0, 10, 2, 6, s.charts)))
}

// What the chart card shows.
const (
	seeKinds = iota
	seeRoof
	seeStairs
	seeInferences
)

// see changes what the chart card shows.
func (s *screen) see(chart int) {
	s.chart = chart
	s.stairs.tools.Hidden = chart != seeStairs
	s.right.Refresh()
	if s.state != nil {
		s.stairs.show(s.state)
	}
	s.redraw()
}

// Show brings the screen up to a state.
func (s *screen) Show(st *app.State) {
	before := s.state
	s.state = st
	if before == nil || !slices.Equal(before.Selection.Origins, st.Selection.Origins) {
		s.remember(st.Selection.Origins)
	}
	run := shown(st, s.picked)
	s.bar.show(st)
	s.showEmpty(st, run)
	s.behind.show(st, run)
	s.stairs.show(st)
	if run == nil {
		s.run = nil
		s.redraw()
		return
	}
	s.strip.show(st, run)
	s.live.show(st, run)
	if before == nil || run != s.run {
		s.run = run
		s.relist()
		s.redraw()
	}
	if before == nil || !slices.Equal(before.Selection.Origins, st.Selection.Origins) {
		s.table.Repaint()
		if st.Selection.From != "profile" && len(st.Selection.Origins) > 0 {
			s.table.Reveal()
		}
		s.redraw()
	} else if s.chart == seeStairs && before != nil && before.Doc != st.Doc {
		s.redraw()
	}
	s.past.show(st, run)
}

// showEmpty swaps the content for one sentence where there is nothing to show.
func (s *screen) showEmpty(st *app.State, run *app.Run) {
	if s.top.Hidden != (run == nil) {
		s.top.Hidden = run == nil
		s.content.Refresh()
	}
	s.right.Hidden = st.Doc == nil && run == nil
	if s.left.Hidden = run == nil; run != nil {
		s.none.Hide()
		s.full.Refresh()
		return
	}
	u := s.u
	var o fyne.CanvasObject
	if st.Doc == nil {
		o = u.Empty("profile", u.T("No model is open"), u.T("Open a network first; then it can be measured here."), u.T("Open a model"), func() { s.do.Show("start") })
	} else {
		o = u.Empty("profile", u.T("No run on this board yet"), u.T("A first profile takes about 20 s and changes nothing."), u.T("Profile"), s.start)
	}
	s.none.Objects = []fyne.CanvasObject{o}
	s.none.Show()
	s.full.Refresh()
}

// pick shows another run.
func (s *screen) pick(id string) {
	s.picked = id
	if s.state != nil {
		s.Show(s.state)
	}
}

func (s *screen) start() {
	if s.state == nil || s.state.Doc == nil {
		return
	}
	s.picked = ""
	s.do.Profile(s.bar.form())
}

// relist makes the rows of the table anew.
func (s *screen) relist() {
	s.listed = nil
	switch {
	case s.run != nil && s.run.Profile == nil && s.state != nil:
		s.listed = expected(s.state.Doc, s.run.Which, s.view)
		s.table.Empty = s.u.T("Layers appear with the first samples")
	case s.run != nil && s.run.Profile != nil:
		s.listed = list(s.run.Profile, s.view)
		s.table.Empty = s.u.T("No layer has this in its name, kind or kernel")
	}
	long := longest(s.listed)
	s.unit = kit.UnitFor(long)
	hi := plot.RoundUp(s.unit.Value(long))
	s.table.SetColumns(s.columns(s.unit.WithName(plot.Tick(hi))))
	s.table.SetSort(s.view.sort, s.view.up)
	s.table.SetRows(len(s.listed), func(i int) plot.Row { return s.tableRow(s.listed[i], hi*s.unit.Ns) })
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
