// Package prune is the part of Compress that cuts channels: the groups that go together, what each cut saves and costs, what a choice
// leaves, and its way into the ledger.
//
// It computes no savings and no damage; rows.go puts what the studio found out into rows. Start reading at New, then at Show.
package prune

import (
	"image/color"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/graph"
	"fettle/views/kit/plot"
)

// verbs are what the screen asks of the studio.
type verbs interface {
	FindGroups()
	StudyChannels(board string)
	SetCuts(picks map[int]int, only bool)
	KeepShare(kind string, share float64)
	ApplyCuts(criterion string)
	MeasureCuts(criterion string)
	RefineCuts()
	SetData(dir string)
	Select(origins []string, from string)
	CancelJob(id int64)
	Show(screen string)
}

// What the middle shows.
const (
	seeCurves = iota
	seeMap
	seeNetwork
)

// limits are what the slider of the right side is a share of.
var limits = []string{"ms", "macs", "bytes"}

type screen struct {
	u   *kit.UI
	do  verbs
	ink *plot.Ink
	say *kit.Phrases

	doc    *app.Doc
	asked  string // hash of the model whose groups were asked for
	job    int64
	chosen int // group that is looked at, -1: none
	picked []string
	view   int
	listed []group
	kind   int // of limits

	content   fyne.CanvasObject
	full      fyne.CanvasObject
	none      *fyne.Container
	tools     *fyne.Container
	board     *kit.BoardPick
	criterion *widget.Select
	study     *kit.Button
	measure   *kit.Button
	apply     *kit.Button
	stop      *kit.Button
	note      *kit.Line

	list    *fyne.Container
	rows    []*row
	rowsOf  string // what the rows were made for
	middle  *fyne.Container
	views   *kit.Segmented
	stairs  *plot.Chart
	curve   *plot.Chart
	cloud   *plot.Chart
	titles  [3]*kit.Line
	net     *graph.Widget
	drawn   *drawing
	side    *fyne.Container
	totals  *fyne.Container
	card    *fyne.Container
	slider  *widget.Slider
	share   *kit.Line
	kinds   *kit.Segmented
	told    *fyne.Container
	refine  *kit.Button
	tried   *plot.Chart     // how whole choices fared
	whole   *fyne.Container // around it
	looped  bool            // the lasso was closed: the next drag begins another
	setting bool            // sliders are moved by the screen itself
}

// New makes the screen.
func New(u *kit.UI) kit.Screen { return newScreen(u, u.Studio, u.Bridge.Do) }

const gap = 10 // between panels

func newScreen(u *kit.UI, do verbs, post func(func())) *screen {
	s := &screen{u: u, do: do, ink: plot.NewInk(u.Theme), say: u.NewPhrases(), chosen: -1}
	s.toolbar()
	s.list = kit.Rows(0)
	head := kit.Pad(8, 14, 6, 14, kit.Cols(8, kit.Flex(u.Caption(u.T("Coupled group"))), kit.Fixed(120, 0, u.Caption(u.T("channels kept"))), kit.Fixed(56, 0, u.Caption("").Right()),
		kit.Fixed(66, 0, u.Caption("Δ").Right()), kit.Fixed(30, 0, u.Caption(u.T("risk")).Right())))
	left := u.Card(container.NewBorder(container.NewVBox(head, u.HRule()), nil, nil, nil, container.NewVScroll(s.list)))
	s.centre(post)
	s.right()
	s.full = kit.Panes(gap, []float32{.45, .55, 300}, left, s.middle, u.Card(container.NewVScroll(s.side)))
	s.none = container.NewStack()
	s.content = kit.Pad(gap, 16, gap, 16, container.NewStack(s.full, s.none))
	return s
}

// Content is part of kit.Screen.
func (s *screen) Content() fyne.CanvasObject { return s.content }

// Toolbar is part of kit.Toolbar.
func (s *screen) Toolbar() fyne.CanvasObject { return s.tools }

// Primary is part of kit.Primary: the study, then the cuts that are chosen.
func (s *screen) Primary() {
	switch {
	case !s.apply.Off():
		s.do.ApplyCuts(s.by())
	case !s.study.Off():
		s.do.StudyChannels(s.board.Board())
	}
}

// Actions is part of kit.Actor.
func (s *screen) Actions() []kit.Action {
	off := func(st *app.State) bool { return st.Doc == nil || st.Doc.CutsNow() == nil || st.Doc.Cuts.Study == nil }
	return []kit.Action{
		{ID: "prune.none", Title: "Set all groups back to all channels", Where: "Prune", Run: func() { s.do.SetCuts(nil, true) }, Off: off},
		{ID: "prune.half", Title: "Keep half of the multiply-adds", Where: "Prune", Run: func() { s.do.KeepShare("macs", .5) }, Off: off},
	}
}

func (s *screen) toolbar() {
	u := s.u
	s.board = u.NewBoardPick(140, func() {
		if s.doc != nil {
			s.showMiddle()
		}
	})
	s.criterion = widget.NewSelect(app.CutCriteria(), nil)
	s.criterion.SetSelectedIndex(0)
	s.study = u.NewButton(kit.Outline, "profile", u.T("Study the channels"), func() { s.do.StudyChannels(s.board.Board()) })
	s.measure = u.NewButton(kit.Outline, "play", u.T("Measure now"), func() { s.do.MeasureCuts(s.by()) })
	s.apply = u.NewButton(kit.Filled, "check", u.T("Apply the cuts"), func() { s.do.ApplyCuts(s.by()) })
	s.stop = u.NewButton(kit.Outline, "stop", u.T("Stop"), func() { s.do.CancelJob(s.job) })
	s.note = u.Soft("")
	pick := func(w float32, o fyne.CanvasObject) fyne.CanvasObject {
		return kit.Fixed(w, 28, container.NewStack(o, kit.Plate(color.Transparent, u.Theme.Line3, 5)))
	}
	s.tools = kit.Cols(10, u.Soft(u.T("Board")).Whole(), s.board.Box, s.study, u.Soft(u.T("Rank by")).Whole(), pick(130, s.criterion), kit.Flex(s.note), s.stop, s.measure, s.apply)
}

func (s *screen) by() string { return s.criterion.Selected }

// Show is part of kit.Screen.
func (s *screen) Show(st *app.State) {
	s.showTools(st)
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
	changed := d != s.doc
	if changed && (s.doc == nil || s.doc.ID != d.ID) {
		s.chosen, s.picked = -1, nil
	}
	s.doc = d
	if hash := d.CutBase().Hash(); !d.Busy && d.CutsNow() == nil && s.asked != hash {
		s.asked = hash
		s.do.FindGroups()
	}
	if changed || !slices.Equal(s.picked, st.Selection.Origins) {
		s.picked = st.Selection.Origins
		if at := holding(d, s.picked, s.chosen); at >= 0 {
			s.chosen = at
		}
		if c := d.CutsNow(); c == nil || s.chosen >= len(c.Groups) {
			s.chosen = -1
		} else if s.chosen < 0 {
			s.chosen = slices.IndexFunc(c.Groups, func(g app.ChannelGroup) bool { return g.Locked == "" })
		}
		s.listed = groups(d)
		s.showList()
		s.showMiddle()
		s.showSide()
	}
}

// choose looks at a group: it lights up here, on the canvas and wherever its layers are.
func (s *screen) choose(at int) {
	if s.doc == nil || s.doc.CutsNow() == nil || at < 0 || at >= len(s.doc.Cuts.Groups) {
		return
	}
	s.chosen = at
	s.do.Select(s.doc.Cuts.Groups[at].Keys, "prune")
}

func (s *screen) showTools(st *app.State) {
	u := s.u
	s.board.Show(st.Boards)
	job := working(st)
	s.stop.Hidden = job == nil
	why := ""
	switch {
	case st.Doc == nil:
		why = u.T("open a model first")
	case job != nil:
		why, s.job = u.T("one search at a time"), job.ID
	case st.Doc.Busy:
		why = u.T("the ledger is being applied")
	case st.Doc.Data == "":
		why = u.T("choose calibration data first")
	}
	s.study.SetOff(why != "", why)
	n := 0
	if st.Doc != nil {
		if c := st.Doc.CutsNow(); c != nil && c.Study != nil {
			n = c.Totals.Changed
		}
	}
	if why == "" && n == 0 {
		why = u.T("no cut is chosen")
	}
	s.measure.SetOff(why != "", why)
	s.refine.SetOff(why != "", why)
	s.apply.SetOff(why != "", why)
	label := u.T("Apply the cuts")
	if n > 0 {
		label = u.F("Apply %d cuts", n)
	}
	s.apply.SetLabel("check", label)
	s.note.SetText(progress(u, job))
	s.tools.Refresh()
}

// progress says how far a job is.
func progress(u *kit.UI, job *app.Job) string {
	if job == nil {
		return ""
	}
	text := u.T(job.Title)
	if job.Total > 0 {
		return u.F("%s: %d of %d", text, job.Done, job.Total)
	}
	return text
}
