// Package deploy is the screen that puts the open model on a board, and the list of what lies on the boards, each with its
// way back.
//
// The board's own receipts say what is there; nothing is guessed. Start reading at New, then at Show.
package deploy

import (
	"fmt"
	"image/color"
	"slices"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// verbs are what the screen asks of the studio.
type verbs interface {
	DeployAs(board, name string, f app.DeployForm)
	KeepRunning(board, name string, on bool)
	AskAccess(board string)
	Rollback(board, name string)
	RemoveDeployment(board, name string)
	RefreshDeployments(board string)
	CancelJob(id int64)
	Show(screen string)
}

type screen struct {
	u   *kit.UI
	do  verbs
	ink *plot.Ink

	state   *app.State
	asked   map[string]bool // boards that were asked once by themselves
	doc     int64           // document that the name was proposed for
	content fyne.CanvasObject
	full    fyne.CanvasObject
	none    *fyne.Container

	title   *kit.Line
	boards  *widget.Select
	names   []string
	name    *widget.Entry
	wrong   *kit.Line
	parts   *plot.Table
	lines   []part
	sum     *kit.Line
	hash    *kit.Line
	shadow  *widget.Select
	service *widget.Check
	start   *kit.Button
	stop    *kit.Button
	stages  *plot.Chart
	bar     *plot.Chart
	failed  *fyne.Container
	column  *fyne.Container // all of the left side
	failure *app.Job
	list    *list
}

// New makes the screen.
func New(u *kit.UI) kit.Screen { return newScreen(u, u.Studio) }

func newScreen(u *kit.UI, do verbs) *screen {
	s := &screen{u: u, do: do, ink: plot.NewInk(u.Theme), asked: map[string]bool{}}
	s.list = newList(s)
	s.full = container.NewBorder(nil, nil, kit.Pad(0, 8, 0, 0, kit.Fixed(460, 0, s.left())), nil, s.list.object)
	s.none = container.NewStack()
	s.content = kit.Pad(12, 16, 10, 16, container.NewStack(s.full, s.none))
	return s
}

// Content is part of kit.Screen.
func (s *screen) Content() fyne.CanvasObject { return s.content }

// Primary is part of kit.Primary.
func (s *screen) Primary() { s.deploy() }

// left is what would be sent, where to, and how far it is.
func (s *screen) left() fyne.CanvasObject {
	u := s.u
	s.title = kit.NewLine("", 18, u.Theme.Text1).Bold()
	s.boards = widget.NewSelect(nil, func(string) { s.chose() })
	s.name = widget.NewEntry()
	s.name.OnChanged = func(string) { s.check() }
	s.name.OnSubmitted = func(string) { s.deploy() }
	s.wrong = kit.NewLine("", u.Theme.Caption(), u.Theme.Danger)
	s.shadow = widget.NewSelect([]string{u.T("no shadow run"), u.T("one minute beside the version before"), u.T("ten minutes beside the version before")}, nil)
	s.shadow.SetSelectedIndex(0)
	s.service = widget.NewCheck(u.T("Keep it running on the board"), nil)
	s.start = u.NewButton(kit.Filled, "deploy", u.T("Deploy"), s.deploy)
	s.stop = u.NewButton(kit.Outline, "stop", u.T("Stop"), func() {
		if r := progress(s.state.Jobs, s.board()); r != nil {
			s.do.CancelJob(r.job.ID)
		}
	})
	row := func(label string, o fyne.CanvasObject) fyne.CanvasObject {
		return container.NewBorder(nil, nil, kit.Rows(0, kit.Fixed(90, 30, u.Soft(label))), nil, o)
	}
	where := u.Panel(kit.Rows(4, row(u.T("Board"), kit.Fixed(0, 30, container.NewStack(s.boards, frame(s)))), row(u.T("Name"), kit.Rows(2, s.name, s.wrong)),
		row(u.T("Trial"), kit.Fixed(0, 30, container.NewStack(s.shadow, frame(s)))), row("", s.service)))

	s.parts = plot.NewTable(s.ink, []plot.Column{{Title: u.T("Part"), Width: 70, Grow: .5}, {Title: u.T("size"), Width: 80, Align: plot.Right}, {Title: "", Width: 14}, {Title: "", Width: 90, Grow: 1, Caption: true}})
	s.sum, s.hash = u.Soft(""), u.Caption("").Mono()
	bundle := container.NewStack(kit.Plate(u.Theme.Bg2, u.Theme.Line1, 8), kit.Pad(1, 1, 1, 1, kit.Rows(0,
		kit.Pad(9, 13, 7, 13, kit.Cols(8, u.Strong(u.T("Bundle")).Whole(), kit.Flex(u.Caption(u.T("the very bytes that Save would write"))))),
		kit.Fixed(0, plot.HeadHeight+2*plot.RowHeight+4, s.parts), kit.Pad(6, 13, 10, 13, kit.Rows(4, s.sum, s.hash)))))

	s.stages = plot.NewChart(s.ink, 300, 66)
	s.bar = plot.NewChart(s.ink, 100, 10)
	s.failed = container.NewStack()
	steps := u.Panel(kit.Rows(6, kit.Cols(8, u.Strong(u.T("Deployment")).Whole(), kit.Gap(), s.stop, s.start), s.stages, s.bar))
	s.column = kit.Pad(0, 10, 0, 0, kit.Rows(10, where, bundle, steps, s.failed))
	return container.NewBorder(kit.Pad(0, 0, 10, 0, kit.Fixed(0, 30, s.title)), nil, nil, nil, container.NewVScroll(s.column))
}

// frame is the edge that the toolkit's select lacks.
func frame(s *screen) fyne.CanvasObject { return kit.Plate(color.Transparent, s.u.Theme.Line3, 5) }

// Show brings the screen up to a state.
func (s *screen) Show(st *app.State) {
	s.state = st
	if st.Doc == nil && len(st.Deploys) == 0 {
		u := s.u
		s.full.Hide()
		s.none.Objects = []fyne.CanvasObject{u.Empty("deploy", u.T("Nothing to deploy yet"), u.T("Open a network first; what lies on your boards is listed here too."), u.T("Open a model"), func() { s.do.Show("start") })}
		s.none.Show()
		s.none.Refresh()
		return
	}
	s.none.Hide()
	s.full.Show()
	s.showBoards()
	s.showBundle()
	s.showRun()
	s.list.show(st, s.board())
	s.ask()
}

// ask asks a board once what is deployed on it, when it is reached and nothing is known.
func (s *screen) ask() {
	b := s.state.Board(s.board())
	if b == nil || b.Busy || !b.Connected || s.asked[b.Name] || s.state.Screen != "deploy" {
		return
	}
	s.asked[b.Name] = true
	if len(versions(s.state, b.Name)) == 0 {
		s.do.RefreshDeployments(b.Name)
	}
}

func (s *screen) showBoards() {
	var names, labels []string
	for _, b := range s.state.Boards {
		names = append(names, b.Name)
		switch {
		case b.Local:
			labels = append(labels, s.u.T("This computer"))
		case b.Err != nil:
			labels = append(labels, s.u.F("%s (not reached)", b.Name))
		default:
			labels = append(labels, b.Name)
		}
	}
	if slices.Equal(names, s.names) && slices.Equal(labels, s.boards.Options) {
		return
	}
	at := s.boards.SelectedIndex()
	if at < 0 && len(names) > 1 {
		at = 1 // the first real board
	}
	s.names = names
	s.boards.SetOptions(labels)
	if at = max(min(at, len(labels)-1), 0); at < len(labels) {
		s.boards.SetSelectedIndex(at)
	}
}

func (s *screen) board() string {
	if i := s.boards.SelectedIndex(); i >= 0 && i < len(s.names) {
		return s.names[i]
	}
	return app.LocalTarget
}

func (s *screen) chose() {
	if s.state != nil {
		s.showRun()
		s.list.show(s.state, s.board())
		s.ask()
	}
}

func (s *screen) showBundle() {
	u, d := s.u, s.state.Doc
	if d == nil {
		s.title.SetText(u.T("Deploy"))
		s.lines = nil
		s.parts.Empty = u.T("No model is open")
		s.sum.SetText("")
		s.hash.SetText("")
		s.parts.SetRows(0, nil)
		return
	}
	s.title.SetText(u.F("Deploy %s", d.Name))
	if s.doc != d.ID || s.name.Text == "" && s.doc == 0 {
		s.doc = d.ID
		s.name.SetText(nameFor(d))
	}
	s.lines = contents(d)
	s.parts.SetRows(len(s.lines), func(i int) plot.Row {
		p := s.lines[i]
		return plot.Row{Cells: []plot.Cell{{Text: u.T(p.name)}, {Text: kit.Bytes(p.bytes)}, {}, {Text: u.T(p.note)}}}
	})
	s.sum.SetText(u.F("%s in all; only what the board lacks is sent", kit.Bytes(total(d))))
	s.hash.SetText("sha256 " + short(d.SHA256))
}

// showRun follows the newest deployment to the chosen board.
func (s *screen) showRun() {
	u, st := s.u, s.state
	r := progress(st.Jobs, s.board())
	busy := r != nil && r.job.Running()
	s.stop.Hidden = !busy
	s.stop.Refresh()
	notes := []string{u.T("cut and hashed"), u.T("what is missing"), u.T("one rename"), u.T("by the receipt")}
	titles := []string{u.T("Pack"), u.T("Send"), u.T("Swap"), u.T("Active")}
	f := &plot.Stages{}
	for i := range titles {
		x := plot.Stage{Title: titles[i], Note: notes[i]}
		if r != nil {
			switch {
			case i < r.stage || r.stage == done:
				x.State = plot.Done
			case i == r.stage && r.job.Err != nil:
				x.State = plot.Failed
			case i == r.stage && busy:
				x.State = plot.Under
			}
			switch {
			case i == send && r.sending() && r.job.Total > 0:
				x.Note = u.F("%s of %s", kit.Bytes(r.job.Done), kit.Bytes(r.job.Total))
			case i == send && r.sending() && r.stage > send:
				x.Note = u.T("nothing missing")
			case i == swap && r.trying() && busy:
				x.Note = u.T("checked on samples")
			}
		}
		f.List = append(f.List, x)
	}
	s.stages.Set(f)
	s.bar.Hidden = !busy || r.job.Total == 0
	if !s.bar.Hidden {
		s.bar.Set(&plot.Progress{Share: float64(r.job.Done) / float64(r.job.Total)})
	}
	s.bar.Refresh()
	s.showFailure(r)
	s.check()
}

// showFailure puts the error of the newest run under the stages.
func (s *screen) showFailure(r *run) {
	var job *app.Job
	if r != nil && r.job.Err != nil {
		job = r.job
	}
	if job == s.failure {
		return
	}
	s.failure = job
	s.failed.RemoveAll()
	if job != nil {
		s.failed.Add(s.u.ErrorPanel(job.Err, s.u.NewButton(kit.Outline, "redo", s.u.T("Try again"), s.deploy).Small()))
	}
	s.column.Refresh() // the panel needs room
	s.failed.Refresh()
}

// check says what keeps the button from working.
func (s *screen) check() {
	u, st := s.u, s.state
	if st == nil {
		return
	}
	bad := checkName(s.name.Text)
	if bad != "" {
		bad = u.T(bad)
	}
	if st.Doc == nil {
		bad = "" // there is nothing to name
	}
	s.wrong.SetText(bad)
	r := progress(st.Jobs, s.board())
	why := ""
	switch {
	case st.Doc == nil:
		why = u.T("open a model first")
	case st.Doc.Busy:
		why = u.T("the ledger is being applied")
	case bad != "":
		why = bad
	case r != nil && r.job.Running():
		why = u.T("a deployment is under way")
	}
	s.start.SetOff(why != "", why)
}

func (s *screen) deploy() {
	if s.check(); !s.start.Off() && s.state != nil {
		s.do.DeployAs(s.board(), s.name.Text, s.trial())
	}
}

// trial is what the new version has to show. Beside the version before it has to agree in 98 of 100.
func (s *screen) trial() app.DeployForm {
	f := app.DeployForm{Service: s.service.Checked}
	switch s.shadow.SelectedIndex() {
	case 1:
		f.Shadow, f.MinAgree = time.Minute, 0.98
	case 2:
		f.Shadow, f.MinAgree = 10*time.Minute, 0.98
	}
	return f
}

func versionName(n int) string { return fmt.Sprintf("v%d", n) }
