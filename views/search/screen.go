// Package search is the part of Compress that looks for recipes within limits: the limits, the front of what was tried, the roll-outs, and
// the tree of kept experiments with the difference of two recipes.
//
// It tries nothing; rows.go puts what the studio found into rows. Start reading at New, then at Show.
package search

import (
	"image/color"
	"slices"
	"strconv"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// verbs are what the screen asks of the studio.
type verbs interface {
	Hunt(f app.HuntForm)
	TryExperiment(name string)
	KeepRecipe(name string)
	RenameKept(id int, name string)
	ForgetKept(id int)
	GoToKept(id int)
	SetData(dir string)
	CancelJob(id int64)
	Show(screen string)
}

type screen struct {
	u   *kit.UI
	do  verbs
	ink *plot.Ink
	say *kit.Phrases

	state *app.State
	doc   *app.Doc
	job   int64
	over  int    // of axes
	look  string // experiment that is looked at
	a, b  int    // kept recipes that are compared, -1: none

	entries map[string]*widget.Entry
	method  *widget.Select
	board   *kit.BoardPick

	content fyne.CanvasObject
	full    fyne.CanvasObject
	none    *fyne.Container
	tools   *fyne.Container
	start   *kit.Button
	stop    *kit.Button
	note    *kit.Line
	verdict *fyne.Container
	front   *plot.Chart
	fronts  *kit.Line
	axis    *kit.Segmented // what the front is drawn over
	reward  *plot.Chart
	rewards *kit.Line
	tree    *fyne.Container
	name    *widget.Entry
	keep    *kit.Button
	side    *fyne.Container
	scored  string // folder of held-out data
	limits  *fyne.Container
	timing  *fyne.Container // says where times come from
	timed   string          // board that it speaks of
	filled  *app.Hunt       // whose limits the entries have
}

// New makes the screen.
func New(u *kit.UI) kit.Screen { return newScreen(u, u.Studio) }

const gap = 10 // between panels

// limitKeys are the entries of the toolbar, in order; keys of the translations.
var limitKeys = []struct{ key, label, unit string }{{"p50", "median", "ms"}, {"p99", "p99", "ms"}, {"size", "file", "MB"}, {"macs", "multiply-adds", "%"}, {"drop", "points lost", ""}}

func newScreen(u *kit.UI, do verbs) *screen {
	s := &screen{u: u, do: do, ink: plot.NewInk(u.Theme), say: u.NewPhrases(), a: -1, b: -1, entries: map[string]*widget.Entry{}}
	s.toolbar()
	s.verdict = container.NewStack()
	s.front, s.reward = plot.NewChart(s.ink, 240, 160), plot.NewChart(s.ink, 200, 110)
	s.front.OnTap = func(m plot.Mark) { s.look = m.Keys[0]; s.redraw() }
	s.fronts, s.rewards = u.Caption(""), u.Caption("")
	panel := func(title string, note fyne.CanvasObject, c fyne.CanvasObject) fyne.CanvasObject {
		return u.Card(container.NewBorder(kit.Pad(10, 14, 2, 14, kit.Cols(8, u.Strong(title).Whole(), kit.Flex(note))), nil, nil, nil, kit.Pad(0, 6, 4, 6, c)))
	}
	s.axis = u.NewSegmented([]string{"p50", "p99", u.T("file"), "MAC"}, 0, func(i int) { s.over = i; s.redraw() })
	s.tree = kit.Rows(0)
	s.name = widget.NewEntry()
	s.name.SetPlaceHolder(u.T("what is different"))
	s.keep = u.NewButton(kit.Outline, "branch", u.T("Keep as an experiment"), s.keepNow).Small()
	s.name.OnSubmitted = func(string) { s.keepNow() }
	foot := kit.Pad(6, 14, 10, 14, kit.Cols(8, kit.Flex(container.NewStack(s.name)), s.keep))
	left := kit.PanesDown(gap, []float32{.62, .38}, panel(u.T("Frontier"), kit.Cols(8, kit.Flex(s.fronts), s.axis), s.front), panel(u.T("Roll-outs"), s.rewards, s.reward))
	right := u.Card(container.NewBorder(kit.Pad(10, 14, 4, 14, u.Section(u.T("Experiment tree"), u.T("click a step to go back; A and B compare"))), foot, nil, nil, container.NewVScroll(s.tree)))
	s.side = container.NewStack()
	s.full = container.NewBorder(s.verdict, nil, nil, nil, kit.Panes(gap, []float32{.54, .46, 320}, left, right, u.Card(container.NewBorder(kit.Pad(12, 14, 0, 14, s.limits), nil, nil, nil, container.NewVScroll(s.side)))))
	s.none = container.NewStack()
	s.content = kit.Pad(gap, 16, gap, 16, container.NewStack(s.full, s.none))
	return s
}

// Content is part of kit.Screen.
func (s *screen) Content() fyne.CanvasObject { return s.content }

// Toolbar is part of kit.Toolbar.
func (s *screen) Toolbar() fyne.CanvasObject { return s.tools }

// Primary is part of kit.Primary.
func (s *screen) Primary() {
	if f, ok := s.formNow(); ok && !s.start.Off() {
		s.do.Hunt(f)
	}
}

func (s *screen) toolbar() {
	u := s.u
	s.board = u.NewBoardPick(140, func() { s.showTools() })
	row := []fyne.CanvasObject{u.Soft(u.T("Board")).Whole(), s.board.Box, u.Soft(u.T("Method")).Whole()}
	limits := kit.Rows(5)
	for _, l := range limitKeys {
		e := widget.NewEntry()
		e.OnChanged = func(string) { s.showTools() }
		e.OnSubmitted = func(string) { s.Primary() }
		s.entries[l.key] = e
		limits.Add(kit.Cols(8, kit.Flex(u.Soft(u.T(l.label)+" ≤")), kit.Fixed(96, 30, e), kit.Fixed(26, 0, u.Caption(l.unit))))
	}
	s.timing = container.NewStack()
	s.limits = kit.Rows(8, u.Section(u.T("Limits"), u.T("empty: none")), limits, s.timing, u.HRule())
	s.method = widget.NewSelect(app.Optimizers(), func(string) { s.showTools() })
	s.method.SetSelectedIndex(0)
	tries := widget.NewEntry()
	tries.SetText("24")
	tries.OnChanged = func(string) { s.showTools() }
	s.entries["tries"] = tries
	s.start = u.NewButton(kit.Filled, "search", u.T("Search"), s.Primary)
	s.stop = u.NewButton(kit.Outline, "stop", u.T("Stop"), func() { s.do.CancelJob(s.job) })
	s.note = u.Soft("")
	row = append(row, kit.Fixed(150, 28, container.NewStack(s.method, kit.Plate(color.Transparent, u.Theme.Line3, 5))), u.Soft(u.T("tries")).Whole(),
		kit.Fixed(64, 30, tries), kit.Flex(s.note), s.stop, s.start)
	s.tools = kit.Cols(10, row...)
}

// formNow reads the limits; false: one of them is no number.
func (s *screen) formNow() (app.HuntForm, bool) {
	f := app.NewHuntForm()
	all := true
	read := func(key string, absent float64) float64 {
		v, ok := number(s.entries[key].Text, absent)
		all = all && ok
		return v
	}
	f.P50Ms, f.P99Ms, f.MB, f.MACs, f.Drop = read("p50", 0), read("p99", 0), read("size", 0), read("macs", 0)/100, read("drop", -1)
	f.Rollouts, f.Optimizer, f.Score, f.Target = int(read("tries", 24)), s.method.Selected, s.scored, s.board.Board()
	if f.Target != app.LocalTarget { // it is measured on this computer alone
		f.P99Ms = 0
	}
	return f, all && f.Rollouts > 0
}

// Show is part of kit.Screen.
func (s *screen) Show(st *app.State) {
	before := s.state
	s.state = st
	s.showTools()
	d := st.Doc
	if d == nil {
		s.doc = nil
		s.full.Hide()
		s.none.Objects = []fyne.CanvasObject{s.u.Empty("compress", s.u.T("No model is open"), s.u.T("Open a network first; then it can be made smaller here."), s.u.T("Open a model"),
			func() { s.do.Show("start") })}
		s.none.Show()
		s.none.Refresh()
		return
	}
	s.none.Hide()
	s.full.Show()
	if s.doc == nil || s.doc.ID != d.ID {
		s.look, s.a, s.b = "", -1, -1
		s.fill(goalForm(d.Goals))
	}
	if d.Hunt != nil && s.filled != d.Hunt && (s.filled == nil || s.filled.Form != d.Hunt.Form) { // it may have been started elsewhere
		s.fill(d.Hunt.Form)
	}
	s.filled = d.Hunt
	if d != s.doc || before == nil || !slices.Equal(before.Runs, st.Runs) {
		s.doc = d
		s.redraw()
	}
}

// fill puts limits into the entries.
func (s *screen) fill(f app.HuntForm) {
	put := func(key string, v float64, ok bool) {
		text := ""
		if ok {
			text = strconv.FormatFloat(v, 'g', 6, 64)
		}
		s.entries[key].SetText(text)
	}
	put("p50", f.P50Ms, f.P50Ms > 0)
	put("p99", f.P99Ms, f.P99Ms > 0)
	put("size", f.MB, f.MB > 0)
	put("macs", 100*f.MACs, f.MACs > 0)
	put("drop", f.Drop, f.Drop >= 0)
	put("tries", float64(f.Rollouts), true)
	if f.Score != app.SampleScore {
		s.scored = f.Score
	}
	if s.method.Selected != f.Optimizer {
		s.method.SetSelected(f.Optimizer)
	}
	s.board.Set(f.Target)
	s.showTiming()
}

// redraw shows everything of the state anew.
func (s *screen) redraw() {
	if s.doc == nil {
		return
	}
	s.showVerdict()
	s.showFront()
	s.showReward()
	s.showTree()
	s.showSide()
	s.full.Refresh() // the verdict takes as much height as it needs
}

func (s *screen) showTools() {
	u, st := s.u, s.state
	if st == nil {
		return
	}
	s.board.Show(st.Boards)
	s.showTiming()
	job := working(st)
	s.stop.Hidden = job == nil
	f, ok := s.formNow()
	why := ""
	switch d := st.Doc; {
	case d == nil:
		why = u.T("open a model first")
	case job != nil:
		why, s.job = u.T("one search at a time"), job.ID
	case d.Busy:
		why = u.T("the ledger is being applied")
	case d.Data == "":
		why = u.T("choose calibration data first")
	case s.scored == "" && !(d.Sample && d.Trained):
		why = u.T("choose held-out data first")
	case !ok:
		why = u.T("one of the limits is no number")
	case f.Goal() == "":
		why = u.T("give at least one limit")
	}
	s.start.SetOff(why != "", why)
	text := ""
	if job != nil && job.Total > 0 {
		text = strconv.FormatInt(job.Done, 10) + " / " + strconv.FormatInt(job.Total, 10)
	}
	s.note.SetText(text)
	s.tools.Refresh()
}

// showTiming says what the limits of time are about.
func (s *screen) showTiming() {
	u, board := s.u, s.board.Board()
	if s.timed == board {
		return
	}
	s.timed = board
	text := u.T("Times are measured on this computer, each file by a hundred runs.")
	if board == app.LocalTarget {
		s.entries["p99"].Enable()
	} else {
		s.entries["p99"].Disable()
		text = u.F("Times are those of %s: by what was learned of its kernels, else each file is run there. The 99th percentile is measured on this computer alone.", board)
	}
	s.timing.Objects = []fyne.CanvasObject{u.Note(text)}
	s.timing.Refresh()
}

func (s *screen) keepNow() {
	if s.name.Text != "" {
		s.do.KeepRecipe(s.name.Text)
		s.name.SetText("")
	}
}
