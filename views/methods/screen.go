// Package methods is the part of Compress for all passes that change what a model computes and have no part of their own: stand-ins for blocks, low rank,
// zeros, clusters. Each shows its options, its way into the ledger, and what it did there.
//
// It knows no pass by name; the catalogue says what there is. Start reading at New, then at Show.
package methods

import (
	"image/color"
	"path/filepath"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/views/kit"
)

// verbs are what the screen asks of the studio.
type verbs interface {
	Passes() []app.PassInfo
	AddStep(pass string, options map[string]any)
	SetOptions(i int, options map[string]any)
	SetData(dir string)
	Score(dir string)
	Select(origins []string, from string)
	CancelJob(id int64)
	Show(screen string)
}

type screen struct {
	u   *kit.UI
	do  verbs
	say *kit.Phrases

	doc    *app.Doc
	list   []app.PassInfo
	chosen int
	forms  map[string]*kit.Form // by pass: what was typed stays while another is looked at
	job    int64
	busy   bool

	content fyne.CanvasObject
	full    fyne.CanvasObject
	none    *fyne.Container
	tools   *fyne.Container
	left    *fyne.Container
	middle  *fyne.Container
	right   *fyne.Container
	apply   *kit.Button
	score   *kit.Button
	stop    *kit.Button
	note    *kit.Line
}

// New makes the screen.
func New(u *kit.UI) kit.Screen { return newScreen(u, u.Studio) }

const gap = 10 // between panels

func newScreen(u *kit.UI, do verbs) *screen {
	s := &screen{u: u, do: do, say: u.NewPhrases(), forms: map[string]*kit.Form{}}
	s.list = methods(do.Passes())
	s.apply = u.NewButton(kit.Filled, "check", u.T("Add to the ledger"), s.Primary)
	s.score = u.NewButton(kit.Outline, "accuracy", u.T("Measure the accuracy"), func() { do.Score("") })
	s.stop = u.NewButton(kit.Outline, "stop", u.T("Stop"), func() { do.CancelJob(s.job) })
	s.note = u.Soft("")
	s.tools = kit.Cols(10, kit.Flex(s.note), s.stop, s.score, s.apply)
	s.left, s.middle, s.right = kit.Rows(0), container.NewStack(), container.NewStack()
	card := func(o fyne.CanvasObject) fyne.CanvasObject { return u.Card(container.NewVScroll(o)) }
	s.full = kit.Panes(gap, []float32{.34, .36, .3}, card(kit.Pad(6, 6, 6, 6, s.left)), card(kit.Pad(12, 14, 12, 14, s.middle)), card(kit.Pad(12, 14, 12, 14, s.right)))
	s.none = container.NewStack()
	s.content = kit.Pad(gap, 16, gap, 16, container.NewStack(s.full, s.none))
	s.showList()
	s.showForm()
	return s
}

// Content is part of kit.Screen.
func (s *screen) Content() fyne.CanvasObject { return s.content }

// Toolbar is part of kit.Toolbar.
func (s *screen) Toolbar() fyne.CanvasObject { return s.tools }

// Primary is part of kit.Primary: the method with the options that are shown, as a step of the ledger or instead of the one that is there.
func (s *screen) Primary() {
	if s.apply.Off() || s.now() == nil {
		return
	}
	p := s.now()
	values := s.form().Values()
	if at := place(s.doc, p.Name); at >= 0 {
		s.do.SetOptions(at, values)
		return
	}
	s.do.AddStep(p.Name, values)
}

func (s *screen) now() *app.PassInfo {
	if s.chosen < 0 || s.chosen >= len(s.list) {
		return nil
	}
	return &s.list[s.chosen]
}

// form is that of the method that is looked at.
func (s *screen) form() *kit.Form {
	p := s.now()
	if s.forms[p.Name] == nil {
		s.forms[p.Name] = s.u.NewForm(p.Options, nil, s.showTools)
	}
	return s.forms[p.Name]
}

func (s *screen) choose(i int) {
	s.chosen = i
	s.showList()
	s.showForm()
	s.showTools()
	if s.doc != nil {
		s.showResult()
	}
}

// showList lists the methods, each with its promise.
func (s *screen) showList() {
	u := s.u
	s.left.RemoveAll()
	for i, p := range s.list {
		fill := color.Color(color.Transparent)
		if i == s.chosen {
			fill = u.Theme.Selection
		}
		title := kit.Cols(8, kit.Flex(u.Strong(u.T(p.Title))))
		if place(s.doc, p.Name) >= 0 {
			title.Add(u.Pill(u.T("in the ledger"), "success"))
		}
		row := u.NewTappable(kit.Plate(fill, color.Transparent, 6), kit.Pad(8, 10, 8, 10, kit.Rows(2, title, u.Note(u.T(p.Promise)))), func() { s.choose(i) })
		row.Plate(fill, color.Transparent)
		s.left.Add(row)
	}
	s.left.Refresh()
}

// showForm shows the options of the method.
func (s *screen) showForm() {
	u, p := s.u, s.now()
	if p == nil {
		return
	}
	rows := kit.Rows(10, u.Title(u.T(p.Title)), u.Para(u.T(p.Promise)))
	if p.Paper != "" {
		rows.Add(u.Caption(p.Paper))
	}
	rows.Add(u.HRule())
	rows.Add(s.form().Box)
	s.middle.Objects = []fyne.CanvasObject{rows}
	s.middle.Refresh()
}

// Show is part of kit.Screen.
func (s *screen) Show(st *app.State) {
	d := st.Doc
	job := working(st)
	s.busy = job != nil
	if job != nil {
		s.job = job.ID
	}
	s.stop.Hidden = job == nil
	s.note.SetText(progress(s.u, job))
	if d == nil {
		s.doc = nil
		s.full.Hide()
		s.none.Objects = []fyne.CanvasObject{s.u.Empty("compress", s.u.T("No model is open"), s.u.T("Open a network first; then it can be made smaller here."), s.u.T("Open a model"), func() { s.do.Show("start") })}
		s.none.Show()
		s.none.Refresh()
		s.showTools()
		return
	}
	s.none.Hide()
	s.full.Show()
	changed := d != s.doc
	s.doc = d
	s.showTools()
	if changed {
		s.showList()
		s.showResult()
	}
}

// working is the job that a new step would have to wait for, nil: none.
func working(st *app.State) *app.Job {
	if all := st.Active(); len(all) > 0 {
		return all[0]
	}
	return nil
}

// progress says how far a job is.
func progress(u *kit.UI, job *app.Job) string {
	if job == nil {
		return u.T("What has no part of its own: chosen here, it becomes a step of the ledger that undo takes back.")
	}
	if job.Total > 0 {
		return u.F("%s: %d of %d", u.T(job.Title), job.Done, job.Total)
	}
	return u.T(job.Title)
}

func (s *screen) showTools() {
	u, p := s.u, s.now()
	why := ""
	switch {
	case s.doc == nil:
		why = u.T("open a model first")
	case s.doc.Busy || s.busy:
		why = u.T("the ledger is being applied")
	case p == nil:
		why = u.T("choose a method first")
	case !s.form().Valid():
		why = u.T("one of the options cannot be read")
	case p.NeedsData && s.doc.Data == "":
		why = u.T("choose calibration data first")
	}
	s.apply.SetOff(why != "", why)
	label := u.T("Add to the ledger")
	if p != nil && place(s.doc, p.Name) >= 0 {
		label = u.T("Apply the options")
	}
	s.apply.SetLabel("check", label)
	s.score.SetOff(s.doc == nil || s.doc.Busy || s.busy || !s.doc.Sample, u.T("choose held-out data in Rewrites"))
	s.tools.Refresh()
}

// showResult is what the method did in the ledger, with the score and the data.
func (s *screen) showResult() {
	u, d, p := s.u, s.doc, s.now()
	rows := kit.Rows(8)
	at := -1
	if p != nil {
		at = place(d, p.Name)
	}
	switch {
	case at < 0 || at >= len(d.Steps):
		rows.Add(u.Strong(u.T("Not in the ledger")))
		rows.Add(u.Note(u.T("What it does to this model is said here once it is a step; what it refuses, with the reason.")))
	default:
		s.stepRows(rows, &d.Steps[at])
	}
	rows.Add(u.HRule())
	rows.Add(u.Section(u.T("Score on held-out data"), ""))
	if r := d.Score(); r != nil && r.Score != nil {
		rows.Add(u.Facts([]kit.Fact{{Key: u.T("accuracy"), Value: kit.Percent(*r.Score) + " ± " + kit.Sig((r.Interval[1]-r.Interval[0])*50)}}))
	} else {
		rows.Add(u.Note(u.T("Not measured for the model as it is now.")))
	}
	now := u.T("none chosen")
	switch d.Data {
	case "":
	case app.SampleCalibrate:
		now = u.T("the sample's own pictures")
	default:
		now = filepath.Base(d.Data)
	}
	rows.Add(u.Section(u.T("Calibration"), ""))
	rows.Add(kit.Cols(8, kit.Flex(u.Soft(now)), u.NewButton(kit.Outline, "folder", u.T("Choose a folder"), func() { u.AskFolder(s.do.SetData) }).Small()))
	s.right.Objects = []fyne.CanvasObject{rows}
	s.right.Refresh()
}

// mostLines is how many places are listed; the others are in Rewrites.
const mostLines = 30

func (s *screen) stepRows(rows *fyne.Container, st *app.StepResult) {
	u := s.u
	if st.Err != nil {
		rows.Add(u.ErrorPanel(st.Err))
		return
	}
	rows.Add(u.Section(u.T("What it did"), ""))
	rows.Add(u.Facts(sizes(u.T, st)))
	all := lines(st)
	for i, l := range all {
		if i == mostLines {
			rows.Add(u.Caption(u.F("and %d more", len(all)-mostLines)))
			break
		}
		text := kit.Rows(0, u.Dense(l.label))
		if l.reason != "" {
			text.Add(u.Caption(s.say.Say(l.reason)))
		}
		row := container.NewBorder(nil, nil, kit.Pad(2, 6, 0, 0, kit.Icon(l.icon, l.token, 14)), nil, text)
		rows.Add(u.NewTappable(nil, row, func() { s.do.Select(l.origins, "methods") }))
	}
	if len(all) == 0 {
		rows.Add(u.Soft(u.T("This rewrite found no place in this model.")))
	}
}
