// Package compress is the screen that makes a model smaller: what each layer would lose and win, the type that it has, what was
// tried, and the answers before and after.
//
// It measures nothing; rows.go puts what the studio found out into rows. Start reading at New, then at Show.
package compress

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/internal/spec"
	"fettle/model"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// verbs are what the screen asks of the studio.
type verbs interface {
	MeasureLayers(board string)
	Recommend()
	CheckQuantized()
	SetLayerType(id model.NodeID, as string)
	SetPrecision(key, value string)
	Passes() []app.PassInfo
	SetData(dir string)
	Select(origins []string, from string)
	CancelJob(id int64)
	Show(screen string)
}

type screen struct {
	u   *kit.UI
	do  verbs
	ink *plot.Ink
	say *kit.Phrases

	doc    *app.Doc
	job    int64
	chosen string // id of the layer that is looked at
	picked []string
	listed []layer
	sort   string
	up     bool

	options []spec.Option // of all layers together: types and rounding

	content fyne.CanvasObject
	full    fyne.CanvasObject
	none    *fyne.Container
	tools   *fyne.Container
	board   *kit.BoardPick
	measure *kit.Button
	try     *kit.Button
	check   *kit.Button
	stop    *kit.Button
	note    *kit.Line
	advice  *fyne.Container
	table   *plot.Table
	tried   *fyne.Container
	answers *fyne.Container
	side    *fyne.Container
}

// New makes the screen.
func New(u *kit.UI) kit.Screen { return newScreen(u, u.Studio) }

func newScreen(u *kit.UI, do verbs) *screen {
	s := &screen{u: u, do: do, ink: plot.NewInk(u.Theme), say: u.NewPhrases(), sort: columnOrder, up: true}
	for _, p := range do.Passes() {
		for _, o := range p.Options {
			if p.Name == "quantize" && slices.Contains([]string{"weights", "activations", "rounding"}, o.Key) {
				s.options = append(s.options, o)
			}
		}
	}
	s.toolbar()
	s.table = plot.NewTable(s.ink, s.columns())
	s.table.Empty = u.T("Measure the layers to see what fewer bits cost each of them")
	s.table.OnSelect = func(keys []string) { s.do.Select(keys, "compress") }
	s.table.OnSort = func(c string) {
		s.sort, s.up = c, s.sort != c && (c == columnName || c == columnOrder) || s.sort == c && !s.up
		s.relist()
	}
	s.advice, s.tried, s.answers, s.side = container.NewStack(), container.NewStack(), container.NewStack(), container.NewStack()
	middle := container.New(&shares{gap: gap, parts: []float32{.52, .48}}, s.panel(s.tried), s.panel(s.answers))
	s.full = container.NewBorder(s.advice, nil, nil, nil, container.New(&thirds{gap: gap, left: .44, right: 300}, s.panel(s.table), middle, s.panel(container.NewVScroll(s.side))))
	s.none = container.NewStack()
	s.content = kit.Pad(gap, 16, gap, 16, container.NewStack(s.full, s.none))
	return s
}

const gap = 10 // between panels

// Content is part of kit.Screen.
func (s *screen) Content() fyne.CanvasObject { return s.content }

// Toolbar is part of kit.Toolbar.
func (s *screen) Toolbar() fyne.CanvasObject { return s.tools }

// Primary is part of kit.Primary: the search for a plan.
func (s *screen) Primary() {
	if !s.try.Off() {
		s.do.Recommend()
	}
}

func (s *screen) toolbar() {
	u := s.u
	s.board = u.NewBoardPick(170, nil)
	s.measure = u.NewButton(kit.Outline, "profile", u.T("Measure the layers"), func() { s.do.MeasureLayers(s.board.Board()) })
	s.check = u.NewButton(kit.Outline, "accuracy", u.T("Compare the answers"), s.do.CheckQuantized)
	s.try = u.NewButton(kit.Filled, "check", u.T("Try all, apply the best"), s.do.Recommend)
	s.stop = u.NewButton(kit.Outline, "stop", u.T("Stop"), func() { s.do.CancelJob(s.job) })
	s.note = u.Soft("")
	s.tools = kit.Cols(10, u.Soft(u.T("Board")).Whole(),
		s.board.Box, s.measure, kit.Flex(s.note), s.stop, s.check, s.try)
}

// panel is a card without padding: tables reach its rims.
func (s *screen) panel(o fyne.CanvasObject) *fyne.Container {
	return container.NewStack(kit.Plate(s.u.Theme.Bg2, s.u.Theme.Line1, 8), kit.Pad(1, 1, 1, 1, o))
}

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
		s.chosen = ""
	}
	s.doc = d
	if changed || !slices.Equal(s.picked, st.Selection.Origins) {
		s.picked = st.Selection.Origins
		s.relist()
		if l := s.at(); l != nil {
			s.chosen = l.id
		}
		s.showSide(d)
	}
	if !changed {
		return
	}
	s.showAdvice(d)
	s.showTried(d)
	s.showAnswers(d)
	s.full.Refresh()
}

// at is the layer that the selection means, nil: none or several.
func (s *screen) at() *layer {
	var out *layer
	for i := range s.listed {
		l := &s.listed[i]
		if !slices.ContainsFunc(l.keys, func(k string) bool { return slices.Contains(s.picked, k) }) {
			continue
		}
		if out != nil {
			return nil
		}
		out = l
	}
	return out
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
	s.measure.SetOff(why != "", why)
	s.try.SetOff(why != "", why)
	if why == "" && st.Doc.Quantized() == nil {
		why = u.T("nothing is quantized yet")
	}
	s.check.SetOff(why != "", why)
	text := ""
	if job != nil {
		text = u.T(job.Title)
		if job.Total > 0 {
			text = u.F("%s: %d of %d", text, job.Done, job.Total)
		} else if job.What != "" {
			text += ": " + s.say.Say(job.What)
		}
	}
	s.note.SetText(text)
	s.tools.Refresh()
}
