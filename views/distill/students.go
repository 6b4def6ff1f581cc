package distill

import (
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// students is the finder of small networks: what they may take, how they fared, and the one that is looked at.
type students struct {
	s       *screen
	minutes *widget.Entry
	longest *widget.Entry
	board   *kit.BoardPick
	timing  *fyne.Container
	data    *fyne.Container
	chart   *plot.Chart
	note    *kit.Line
	list    *fyne.Container
	side    *fyne.Container
	content fyne.CanvasObject

	scored string // folder of held-out data
	look   string // student that is looked at
	filled *app.Class
}

func newStudents(s *screen) *students {
	u := s.u
	t := &students{s: s, list: kit.Rows(0), side: container.NewStack(), timing: container.NewStack(), data: container.NewStack(), chart: plot.NewChart(s.ink, 240, 140), note: u.Caption("")}
	entry := func(text string) *widget.Entry {
		e := widget.NewEntry()
		e.SetText(text)
		e.OnChanged = func(string) { s.again() }
		e.OnSubmitted = func(string) { s.Primary() }
		return e
	}
	t.minutes, t.longest = entry("1"), entry("")
	t.board = u.NewBoardPick(150, func() { s.again(); t.showTiming() })
	line := func(label string, e fyne.CanvasObject, unit string) fyne.CanvasObject {
		return kit.Cols(8, kit.Flex(u.Soft(u.T(label))), e, kit.Fixed(26, 0, u.Caption(unit)))
	}
	form := kit.Rows(10, u.Strong(u.T("Find a student")),
		u.Note(u.T("Thinned versions of the opened model and ready small networks learn from it in turn, without labels. Nothing of the ledger changes until one is applied.")),
		line("Each may learn for", kit.Fixed(96, 30, t.minutes), "min"), line("Longest run ≤", kit.Fixed(96, 30, t.longest), "ms"), line("Times of", t.board.Box, ""), t.timing, u.HRule(), t.data)
	left := u.Card(container.NewVScroll(kit.Pad(12, 14, 12, 14, form)))
	t.chart.OnTap = func(m plot.Mark) { t.look = m.Keys[0]; t.show() }
	above := u.Card(container.NewBorder(kit.Pad(10, 14, 2, 14, kit.Cols(8, u.Strong(u.T("Score over time")).Whole(), kit.Flex(t.note))), nil, nil, nil, kit.Pad(0, 6, 4, 6, t.chart)))
	below := u.Card(container.NewBorder(kit.Pad(10, 14, 4, 14, u.Strong(u.T("Students"))), nil, nil, nil, container.NewVScroll(t.list)))
	t.content = kit.Panes(gap, []float32{340, 1, 300}, left, kit.PanesDown(gap, []float32{.5, .5}, above, below), u.Card(container.NewVScroll(t.side)))
	return t
}

// form is what was typed; why is the reason why it cannot be used, a key of the translations.
func (t *students) form() (f app.StudentForm, why string) {
	f = app.NewStudentForm()
	read := func(e *widget.Entry, absent float64) float64 {
		text := strings.TrimSpace(strings.ReplaceAll(e.Text, ",", "."))
		if text == "" {
			return absent
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || v < 0 || math.IsInf(v, 0) {
			why = "one of the limits is no number"
		}
		return v
	}
	f.Minutes, f.Ms, f.Target, f.Score = read(t.minutes, 0), read(t.longest, 0), t.board.Board(), t.scored
	const least = 0.01
	if why == "" && f.Minutes < least {
		why = "give the minutes that each may learn"
	}
	return f, why
}

// fill puts a form into the entries: the search may be one of an earlier day.
func (t *students) fill(c *app.Class) {
	number := func(e *widget.Entry, v float64) {
		text := ""
		if v > 0 {
			text = strconv.FormatFloat(v, 'g', 6, 64)
		}
		e.SetText(text)
	}
	number(t.minutes, c.Form.Minutes)
	number(t.longest, c.Form.Ms)
	t.board.Set(c.Form.Target)
	if c.Form.Score != app.SampleScore {
		t.scored = c.Form.Score
	}
}

// update brings everything up to a state.
func (t *students) update(st *app.State) {
	t.board.Show(st.Boards)
	d := st.Doc
	if c := d.Class; c != nil && (t.filled == nil || t.filled.Form != c.Form) { // it may have been asked for elsewhere, or on another day
		t.fill(c)
	}
	t.filled = d.Class
	t.showTiming()
}

func (t *students) showTiming() {
	u := t.s.u
	text := u.T("Times are measured on this computer.")
	if b := t.board.Board(); b != app.LocalTarget {
		text = u.F("Times are foretold by what was learned of the kernels of %s (Profile, Staircase, Learn the kernels).", b)
	}
	t.timing.Objects = []fyne.CanvasObject{u.Note(text)}
	t.timing.Refresh()
}

// show draws the class of the document.
func (t *students) show() {
	u, d := t.s.u, t.s.doc
	if d == nil {
		return
	}
	c := d.Class
	t.showData()
	t.list.Objects = nil
	if c == nil || c.Report == nil {
		t.note.SetText(u.T("every student becomes a point"))
		t.chart.Set(nil)
		t.list.Objects = []fyne.CanvasObject{kit.Pad(8, 14, 0, 14, u.Note(u.T("No student has learned yet.")))}
	} else {
		t.chart.Set(t.figure(c.Report))
		for _, r := range c.Report.Rows {
			t.list.Add(t.row(c.Report, r))
			t.list.Add(u.HRule())
		}
	}
	t.list.Refresh()
	t.showSide()
}

// figure is the score of the students over their times; those that nobody beats are joined.
func (t *students) figure(r *app.StudentsReport) *plot.Cloud {
	u := t.s.u
	board := ""
	if t.filled != nil {
		board = t.filled.Form.Target
	}
	title := u.T("agreement with the opened model, %")
	if r.Labelled {
		title = u.T("score, %")
	}
	f := &plot.Cloud{XTitle: u.T("median time, ms") + " · " + u.BoardName(board), YTitle: title, XTick: plot.Tick, YTick: plot.Tick, StairsColour: u.Theme.Primary, Selected: func(keys []string) bool { return keys[0] == t.look }}
	for _, x := range r.Rows {
		if x.Problem != "" {
			continue
		}
		p := plot.CloudPoint{Keys: []string{x.Name}, X: x.Ms, Y: 100 * x.Score, Colour: u.Theme.Text3, Radius: 4, Tip: []string{x.Name, kit.Ms(x.Ms*1e6) + " · " + kit.Percent(x.Score) + " · " + kit.Bytes(x.Bytes)}}
		if x.Kind == "original" {
			p.Shape, p.Name = 1, u.T("original")
		}
		if slices.Contains(r.Front, x.Name) {
			p.Colour = u.Theme.Primary
			f.Stairs = append(f.Stairs, len(f.Points))
		}
		f.Points = append(f.Points, p)
	}
	slices.SortFunc(f.Stairs, func(a, b int) int {
		if f.Points[a].X < f.Points[b].X {
			return -1
		}
		return 1
	})
	if t.filled != nil && t.filled.Form.Ms > 0 {
		f.LimitX = []plot.Guide{{At: t.filled.Form.Ms, Text: "≤ " + kit.Sig(t.filled.Form.Ms), Colour: u.Theme.Success}}
	}
	t.note.SetText(u.F("%d networks; joined: nobody is both faster and better", len(f.Points)))
	return f
}

var kindWords = map[string]string{"original": "the opened model", "thinned": "the opened model, thinner", "ready": "a ready small network"}

func (t *students) row(r *app.StudentsReport, x app.StudentRow) fyne.CanvasObject {
	u := t.s.u
	var right fyne.CanvasObject
	if x.Problem != "" {
		right = u.Caption(u.T("not trained")).Whole()
	} else {
		score := u.Dense(kit.Percent(x.Score)).Right()
		right = kit.Cols(8, kit.Fixed(72, 0, u.Dense(kit.Ms(x.Ms*1e6)).Right()), kit.Fixed(72, 0, u.Dense(kit.Bytes(x.Bytes)).Right()), kit.Fixed(64, 0, score))
	}
	name := u.Dense(x.Name)
	mark := kit.Space(14, 14)
	if slices.Contains(r.Front, x.Name) {
		mark = kit.Icon("check", "primary", 14)
	}
	fill := color.Color(color.Transparent)
	if x.Name == t.look {
		fill = u.Theme.Selection
	}
	line := kit.Pad(4, 14, 4, 14, kit.Cols(8, mark, kit.Flex(kit.Rows(0, name, u.Caption(u.T(kindWords[x.Kind])))), right))
	row := u.NewTappable(kit.Plate(fill, color.Transparent, 0), line, func() { t.look = x.Name; t.show() })
	row.Plate(fill, color.Transparent)
	return kit.Fixed(0, 42, row)
}

func (t *students) showSide() {
	u, d := t.s.u, t.s.doc
	rows := kit.Rows(8)
	c := d.Class
	switch {
	case c != nil && c.Running:
		rows.Add(kit.Cols(8, u.Pill(u.T("learning"), "primary")))
	case c != nil && !c.Ended:
		rows.Add(kit.Cols(8, u.Pill(u.T("stopped"), "warning")))
		rows.Add(u.Note(u.T("Find a student goes on behind those that are done.")))
	}
	at := -1
	if c != nil && c.Report != nil {
		at = slices.IndexFunc(c.Report.Rows, func(x app.StudentRow) bool { return x.Name == t.look })
	}
	if at < 0 {
		rows.Add(u.Strong(u.T("No student is chosen")))
		rows.Add(u.Note(u.T("Click one to see what it weighs; applying it is one step that undo takes back.")))
	} else {
		x := c.Report.Rows[at]
		how := u.T("measured")
		if x.Guess {
			how = u.T("foretold")
		}
		rows.Add(u.Strong(x.Name))
		rows.Add(u.Caption(u.T(kindWords[x.Kind])))
		if x.Problem != "" {
			rows.Add(u.Para(t.s.say.Say(x.Problem)))
		} else {
			rows.Add(u.Facts([]kit.Fact{{Key: u.T("time of one run"), Value: kit.Ms(x.Ms * 1e6)}, {Key: "", Value: how}, {Key: "MAC", Value: kit.MACs(x.MACs)}, {Key: u.T("weights"), Value: kit.Bytes(x.Bytes)}, {Key: u.T("score"), Value: kit.Percent(x.Score)}}))
		}
		if x.Model != "" {
			apply := u.NewButton(kit.Filled, "check", u.T("Apply as one step"), func() { t.s.do.TryStudent(x.Name) })
			apply.SetOff(d.Busy, u.T("the ledger is being applied"))
			rows.Add(kit.Cols(0, apply))
		}
	}
	if c != nil && c.Err != nil && !c.Running {
		rows.Add(u.HRule())
		rows.Add(u.Para(u.Fault(c.Err)))
	}
	t.side.Objects = []fyne.CanvasObject{kit.Pad(12, 14, 12, 14, rows)}
	t.side.Refresh()
}

func (t *students) showData() {
	u, d := t.s.u, t.s.doc
	name := func(dir, own string) string {
		switch {
		case dir == "":
			return u.T("none chosen")
		case dir == own:
			return u.T("the sample's own pictures")
		}
		return filepath.Base(dir)
	}
	pick := func(text string, f func(dir string)) fyne.CanvasObject {
		return kit.Cols(8, kit.Flex(u.Soft(text)), u.NewButton(kit.Outline, "folder", u.T("Choose a folder"), func() { u.AskFolder(f) }).Small())
	}
	held := t.scored
	if held == "" && d.Sample && d.Trained {
		held = app.SampleScore
	}
	t.data.Objects = []fyne.CanvasObject{kit.Rows(6, u.Section(u.T("Data"), ""), pick(name(d.Data, app.SampleCalibrate), t.s.do.SetData), u.Section(u.T("Held-out data"), ""),
		pick(name(held, app.SampleScore), func(dir string) { t.scored = dir; t.s.again() }))}
	t.data.Refresh()
}
