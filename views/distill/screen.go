// Package distill is the part of Compress that trains what is left to answer as the opened model: its options, the loss while it runs,
// and what held-out items say; and the finder of small networks that learn from it.
//
// It trains nothing; the studio does. Start reading at New, then at Show.
package distill

import (
	"image/color"
	"path/filepath"
	"slices"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/internal/spec"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// verbs are what the screen asks of the studio.
type verbs interface {
	Passes() []app.PassInfo
	Distill(options map[string]any)
	FindStudents(f app.StudentForm)
	TryStudent(name string)
	Score(data string)
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
	view  int // seeCourse or seeStudents

	views    *kit.Segmented
	course   fyne.CanvasObject
	students *students

	content fyne.CanvasObject
	full    fyne.CanvasObject
	none    *fyne.Container
	tools   *fyne.Container
	start   *kit.Button
	stop    *kit.Button
	score   *kit.Button
	note    *kit.Line
	form    *kit.Form
	loss    *plot.Chart
	losses  *kit.Line
	held    *plot.Chart
	helds   *kit.Line
	side    *fyne.Container
}

// New makes the screen.
func New(u *kit.UI) kit.Screen { return newScreen(u, u.Studio) }

const gap = 10 // between panels

// What is in sight.
const (
	seeCourse = iota
	seeStudents
)

// shown are the options of the pass that the screen offers; the others are in the Rewrites screen.
var shown = []string{"minutes", "epochs", "samples", "temperature", "features", "labels", "rate", "augment"}

func newScreen(u *kit.UI, do verbs) *screen {
	s := &screen{u: u, do: do, ink: plot.NewInk(u.Theme), say: u.NewPhrases()}
	s.start = u.NewButton(kit.Filled, "play", u.T("Distill"), s.Primary)
	s.stop = u.NewButton(kit.Outline, "stop", u.T("Stop"), func() { s.do.CancelJob(s.job) })
	s.score = u.NewButton(kit.Outline, "accuracy", u.T("Measure the accuracy"), func() { s.do.Score("") })
	s.note = u.Soft("")
	s.views = u.NewSegmented([]string{u.T("The model itself"), u.T("A student")}, 0, s.look)
	s.tools = kit.Cols(10, s.views, kit.Flex(s.note), s.stop, s.score, s.start)

	var options []spec.Option
	for _, p := range do.Passes() {
		if p.Name == "distill" {
			for _, key := range shown {
				for _, o := range p.Options {
					if o.Key == key {
						options = append(options, o)
					}
				}
			}
		}
	}
	s.form = u.NewForm(options, nil, func() {})
	left := u.Card(container.NewVScroll(kit.Pad(12, 14, 12, 14, kit.Rows(12, u.Strong(u.T("How")), u.Note(u.T("The opened model teaches what the ledger made of it; labels are not needed.")), s.form.Box))))
	s.loss, s.held = plot.NewChart(s.ink, 240, 140), plot.NewChart(s.ink, 240, 120)
	s.losses, s.helds = u.Caption(""), u.Caption("")
	panel := func(title string, note *kit.Line, c fyne.CanvasObject) fyne.CanvasObject {
		return u.Card(container.NewBorder(kit.Pad(10, 14, 2, 14, kit.Cols(8, u.Strong(title).Whole(), kit.Flex(note))), nil, nil, nil, kit.Pad(0, 6, 4, 6, c)))
	}
	middle := kit.PanesDown(gap, []float32{.56, .44}, panel(u.T("Loss"), s.losses, s.loss), panel(u.T("Held-out items"), s.helds, s.held))
	s.side = container.NewStack()
	s.course = kit.Panes(gap, []float32{340, 1, 300}, left, middle, u.Card(container.NewVScroll(s.side)))
	s.students = newStudents(s)
	s.students.content.Hide()
	s.full = container.NewStack(s.course, s.students.content)
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
	switch f, why := s.students.form(); {
	case s.start.Off():
	case s.view == seeCourse:
		s.do.Distill(s.form.Values())
	case why == "":
		s.do.FindStudents(f)
	}
}

// look changes between the course and the students.
func (s *screen) look(view int) {
	s.view = view
	s.course.Hide()
	s.students.content.Hide()
	[]fyne.CanvasObject{s.course, s.students.content}[view].Show()
	s.full.Refresh()
	s.again()
}

// again brings the buttons up to what was typed or chosen.
func (s *screen) again() {
	if s.state == nil {
		return
	}
	s.showTools(s.state)
	s.students.show()
}

// Show is part of kit.Screen.
func (s *screen) Show(st *app.State) {
	s.state = st
	d := st.Doc
	if d != nil {
		s.students.update(st)
	}
	s.showTools(st)
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
	if d == s.doc {
		return
	}
	s.doc = d
	s.students.show()
	s.showLoss()
	s.showHeld()
	s.showSide()
}

// working is the job of this screen that runs, nil: none.
func working(st *app.State) *app.Job {
	i := slices.IndexFunc(st.Jobs, func(j *app.Job) bool {
		return j.Running() && slices.Contains([]string{"Distill the model", "Find a student", "Measure the accuracy"}, j.Title)
	})
	if i < 0 {
		return nil
	}
	return st.Jobs[i]
}

// changed reports whether the ledger has a step that something can be learned after.
func changed(d *app.Doc) bool {
	for _, e := range d.Ledger() {
		if e.On && e.Pass != "distill" {
			return true
		}
	}
	return false
}

func (s *screen) showTools(st *app.State) {
	u := s.u
	job := working(st)
	s.stop.Hidden = job == nil
	why := ""
	switch {
	case st.Doc == nil:
		why = u.T("open a model first")
	case job != nil:
		why, s.job = u.T("one training at a time"), job.ID
	case st.Doc.Busy:
		why = u.T("the ledger is being applied")
	}
	s.score.SetOff(why != "" || !(st.Doc.Sample && st.Doc.Trained), why)
	label := u.T("Distill")
	if s.view == seeStudents {
		label = u.T("Find a student")
	}
	s.start.SetLabel("play", label)
	_, wrong := s.students.form()
	switch {
	case why != "":
	case st.Doc.Data == "":
		why = u.T("choose data first")
	case s.view == seeStudents && wrong != "":
		why = u.T(wrong)
	case s.view == seeStudents && s.students.scored == "" && !(st.Doc.Sample && st.Doc.Trained):
		why = u.T("choose held-out data first")
	case s.view == seeStudents:
	case !changed(st.Doc):
		why = u.T("prune or quantize first: the opened model has nothing to learn from itself")
	}
	s.start.SetOff(why != "", why)
	text := ""
	if job != nil {
		text = u.T(job.Title)
		if job.Total > 0 {
			text += ": " + kit.Percent(float64(job.Done)/float64(job.Total))
		}
		if job.Title == "Find a student" && job.What != "" {
			text = u.T(job.Title) + ": " + s.say.Say(job.What)
		}
	}
	s.note.SetText(text)
	s.tools.Refresh()
}

func (s *screen) showLoss() {
	u, c := s.u, s.doc.Course
	if c == nil || len(c.Losses) == 0 {
		s.losses.SetText(u.T("appears while the training runs"))
		s.loss.Set(nil)
		return
	}
	steps, mean := curve(c)
	last := mean[len(mean)-1]
	s.losses.SetText(u.F("pass %d, now %s; the thin line is each step, the bold one a running mean", c.Losses[len(c.Losses)-1].Pass, kit.Sig(last.Y)))
	s.loss.Set(&plot.Curve{Series: []plot.Series{{Points: mean, Colour: u.Theme.Primary}, {Points: steps, Colour: u.Theme.Line3}}, XTitle: u.T("share of the course, %"), YTitle: u.T("loss"),
		XTick: plot.Tick, YTick: plot.Tick, FromZero: true})
}

// curve gives the losses of steps and their running mean.
func curve(c *app.Course) (steps, mean []plot.CurvePoint) {
	const keeps = 0.9
	avg := 0.0
	for i, l := range c.Losses {
		if avg = keeps*avg + (1-keeps)*l.Loss; i == 0 {
			avg = l.Loss
		}
		steps = append(steps, plot.CurvePoint{X: 100 * l.At, Y: l.Loss})
		mean = append(mean, plot.CurvePoint{X: 100 * l.At, Y: avg})
	}
	return steps, mean
}

func (s *screen) showHeld() {
	u, c := s.u, s.doc.Course
	if c == nil || len(c.Held) == 0 {
		s.helds.SetText(u.T("judged after each pass; the best weights stay"))
		s.held.Set(nil)
		return
	}
	line := plot.Series{Colour: u.Theme.Success, Dots: true}
	for _, h := range c.Held {
		line.Points = append(line.Points, plot.CurvePoint{X: 100 * h.At, Y: h.KL, Tip: []string{u.Say(h.Text)}})
	}
	s.helds.SetText(u.Say(c.Held[len(c.Held)-1].Text))
	s.held.Set(&plot.Curve{Series: []plot.Series{line}, XTitle: u.T("share of the course, %"), YTitle: u.T("distance to the original"), XTick: plot.Tick, YTick: plot.Tick, FromZero: true})
}

func (s *screen) showSide() {
	u, d := s.u, s.doc
	rows := kit.Rows(8, u.Strong(u.T("Course")))
	c := d.Course
	switch {
	case c == nil:
		rows.Add(u.Note(u.T("Nothing was distilled yet. Stopping a training changes nothing; what does not bring held-out answers closer is reverted.")))
	default:
		facts := []kit.Fact{{Key: u.T("Time limit"), Value: kit.Elapsed(c.Limit)}}
		if c.Running {
			facts = append(facts, kit.Fact{Key: u.T("Time so far"), Value: kit.Elapsed(time.Since(c.Began))})
		}
		if n := len(c.Losses); n > 0 {
			facts = append(facts, kit.Fact{Key: u.T("Passes"), Value: kit.Count(int64(c.Losses[n-1].Pass))}, kit.Fact{Key: u.T("Loss"), Value: kit.Sig(c.Losses[0].Loss) + " → " + kit.Sig(c.Losses[n-1].Loss)})
		}
		rows.Add(u.Facts(facts))
		done := float64(0)
		if c.Steps > 0 {
			done = float64(c.Step) / float64(c.Steps)
		}
		rows.Add(kit.Fixed(0, 4, container.NewStack(kit.Plate(u.Theme.Bg3, color.Transparent, 2), kit.Share(done, kit.Plate(u.Theme.Primary, color.Transparent, 2)))))
		switch {
		case c.Running:
		case c.Err != nil:
			rows.Add(kit.Cols(8, u.Pill(u.T("stopped"), "warning")))
			rows.Add(u.Para(u.Fault(c.Err)))
		case c.Kept:
			rows.Add(kit.Cols(8, u.Pill(u.T("kept"), "success")))
		default:
			rows.Add(kit.Cols(8, u.Pill(u.T("reverted"), "warning")))
		}
		if c.Reason != "" {
			rows.Add(u.Para(s.say.Say(c.Reason)))
		}
	}
	rows.Add(u.HRule())
	rows.Add(u.Section(u.T("Score on held-out data"), ""))
	if r := d.Score(); r != nil && r.Score != nil {
		rows.Add(u.Heading(kit.Percent(*r.Score)))
		if was := d.Scores[d.Base.Hash()]; was != nil && was.Score != nil {
			rows.Add(u.Caption(u.F("the opened model: %s", kit.Percent(*was.Score))))
		}
	} else {
		rows.Add(u.Note(u.T("Not measured for the model as it is now.")))
	}
	rows.Add(u.HRule())
	now := u.T("none chosen")
	switch d.Data {
	case "":
	case app.SampleCalibrate:
		now = u.T("the sample's own pictures")
	default:
		now = filepath.Base(d.Data)
	}
	rows.Add(u.Section(u.T("Data"), ""))
	rows.Add(kit.Cols(8, kit.Flex(u.Soft(now)), u.NewButton(kit.Outline, "folder", u.T("Choose a folder"), func() { u.AskFolder(s.do.SetData) }).Small()))
	s.side.Objects = []fyne.CanvasObject{kit.Pad(12, 14, 12, 14, rows)}
	s.side.Refresh()
}
