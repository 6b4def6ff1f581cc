package views

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/theme"
)

// goalBar is always on top: what is open, its numbers beside the limits, undo and redo, and one button.
type goalBar struct {
	object  fyne.CanvasObject
	w       *Window
	project *kit.Line
	step    *kit.Line
	name    *fyne.Container
	cells   [3]*goalView
	undo    *kit.Button
	redo    *kit.Button
	button  *kit.Button
}

func newGoalBar(w *Window) *goalBar {
	u := w.u
	g := &goalBar{w: w, project: u.Title("").Whole(), step: u.Caption("")}
	chevron := kit.Icon("chevron-down", "text3", 14)
	g.name = kit.Cols(6, g.project, chevron)
	name := u.NewTappable(nil, kit.Pad(9, 8, 8, 16, kit.Rows(1, g.name, g.step)), g.menu)
	row := []fyne.CanvasObject{kit.Fixed(212, 64, name)}
	for i := range g.cells {
		g.cells[i] = newGoalView(u, goal(i), g.setLimit)
		row = append(row, kit.Pad(12, 0, 12, 0, kit.Fixed(1, 40, u.VRule())), kit.Fixed(206, 64, g.cells[i].object))
	}
	g.undo = u.NewButton(kit.Ghost, "undo", "", w.studio.Undo).Says(u.T("Undo") + "  Ctrl Z")
	g.redo = u.NewButton(kit.Ghost, "redo", "", w.studio.Redo).Says(u.T("Redo") + "  Ctrl Shift Z")
	g.button = u.NewButton(kit.Filled, "play", u.T("Profile"), w.profile)
	row = append(row, kit.Gap(), g.undo, g.redo, kit.Space(6, 0), g.button, kit.Space(theme.Gutter-4, 0))
	g.object = container.NewStack(canvas.NewRectangle(u.Theme.Bg2), kit.Cols(0, row...), underline(u))
	return g
}

func (g *goalBar) setLimit(which goal, text string) bool {
	d := g.w.state.Doc
	if d == nil {
		return true
	}
	goals, ok := setGoal(d.Goals, which, text)
	if ok {
		g.w.studio.SetGoals(goals)
	}
	return ok
}

// edit starts typing the first limit.
func (g *goalBar) edit() { g.cells[0].edit() }

// menu opens the commands of files and history under the project's name.
func (g *goalBar) menu() {
	var items []*fyne.MenuItem
	where := ""
	for _, a := range g.w.actions() {
		if a.Where != "File" && a.Where != "History" {
			continue
		}
		if where != "" && a.Where != where {
			items = append(items, fyne.NewMenuItemSeparator())
		}
		where = a.Where
		it := fyne.NewMenuItem(g.w.u.T(a.Title), func() { g.w.run(a) })
		it.Disabled = a.Off != nil && a.Off(g.w.state)
		if key, ok := shortcut(a.Keys); ok {
			it.Shortcut = key
		}
		items = append(items, it)
	}
	widget.ShowPopUpMenuAtPosition(fyne.NewMenu("", items...), g.w.win.Canvas(), fyne.NewPos(theme.ActivityWidth+8, theme.GoalHeight))
}

func (g *goalBar) show(s *app.State) {
	u := g.w.u
	d := s.Doc
	if d == nil {
		g.project.SetText(u.T("No model open"))
		g.step.SetText(u.T("open one to set a goal"))
	} else {
		g.project.SetText(kit.Cut(d.Name, 160, theme.Title, fyne.TextStyle{Bold: true}))
		g.step.SetText(stepText(u, d))
	}
	for i, c := range goalCells(s) {
		g.cells[i].show(c, d != nil)
	}
	g.name.Refresh()
	g.undo.SetOff(!d.CanUndo(), g.undo.Tip)
	g.redo.SetOff(!d.CanRedo(), g.redo.Tip)
	why := ""
	switch {
	case d == nil:
		why = u.T("open a model first")
	case d.Busy:
		why = u.T("the ledger is being applied")
	case running(s, "Profile"):
		why = u.T("one measurement at a time")
	}
	g.button.SetOff(why != "", why)
	look := kit.Filled
	if _, ok := g.w.screen.(kit.Primary); ok {
		look = kit.Outline // the view has a filled button of its own
	}
	g.button.SetLook(look)
}

// stepText says where in the ledger the document is.
func stepText(u *kit.UI, d *app.Doc) string {
	on := 0
	for _, e := range d.Ledger() {
		if e.On {
			on++
		}
	}
	text := u.T("as opened")
	if on > 0 {
		text = u.F("step %d", on) + " · " + d.Ledger()[len(d.Ledger())-1].Pass
	}
	switch {
	case d.Busy:
		return text + " · " + u.T("applying")
	case d.Unsaved():
		return text + " · " + u.T("not saved")
	}
	return text
}

func running(s *app.State, title string) bool {
	for _, j := range s.Active() {
		if j.Title == title {
			return true
		}
	}
	return false
}

// goalView draws a cell: caption and limit, value and verdict, track.
type goalView struct {
	object  fyne.CanvasObject
	u       *kit.UI
	which   goal
	caption *kit.Line
	limit   *kit.Line
	value   *kit.Line
	note    *kit.Line
	verdict *kit.Line
	sign    *fyne.Container
	track   *goalTrack
	entry   *goalEntry
	face    *fyne.Container
	set     func(goal, string) bool
	now     goalCell
	enabled bool
}

func newGoalView(u *kit.UI, which goal, set func(goal, string) bool) *goalView {
	v := &goalView{u: u, which: which, set: set, caption: u.Caption(""), limit: u.Caption("").Right(), value: kit.NewLine("", 14, u.Theme.Text1).Bold().Whole(),
		note: kit.NewLine("", 12, u.Theme.Text3), verdict: kit.NewLine("", 11, u.Theme.Text3).Whole(), sign: container.NewStack(), track: newGoalTrack(u.Theme.Palette)}
	top := kit.Fixed(178, 18, kit.Cols(4, kit.Flex(v.caption), kit.Fixed(84, 0, v.limit)))
	middle := kit.Fixed(178, 20, kit.Cols(6, v.value, kit.Flex(v.note), v.sign, v.verdict))
	v.face = container.NewStack(kit.Pad(7, 14, 0, 14, kit.Rows(0, top, middle, kit.Fixed(178, 12, v.track.object))))
	v.entry = newGoalEntry(v.done)
	v.entry.Hide()
	over := kit.Pad(3, 14, 33, 90, kit.Fixed(0, 28, v.entry))
	v.object = container.NewStack(u.NewTappable(nil, v.face, v.tapped), over)
	return v
}

func (v *goalView) tapped() {
	if v.now.Why != "" {
		v.u.ShowWhy(v.object, v.u.T("This limit cannot be met by this network"), v.u.F(v.now.Why, v.now.WhyArgs...),
			v.u.T("Ways out: a smaller network, a lower precision, more threads, or another limit."))
		return
	}
	v.edit()
}

// edit lets the limit be typed in its place.
func (v *goalView) edit() {
	if !v.enabled {
		return
	}
	v.limit.Hide()
	v.entry.SetText(v.now.Limit)
	v.entry.Show()
	v.u.Window.Canvas().Focus(v.entry)
}

// done takes what was typed; keep is false for Esc.
func (v *goalView) done(text string, keep bool) {
	if !v.entry.Visible() {
		return
	}
	if keep && !v.set(v.which, text) {
		v.entry.SetText("")
		v.entry.SetPlaceHolder([]string{"30 ms", "18 MB", "75 %"}[v.which])
		return
	}
	v.entry.Hide()
	v.limit.Show()
	v.u.Window.Canvas().Unfocus()
}

func (v *goalView) show(c goalCell, enabled bool) {
	v.now, v.enabled = c, enabled
	p := v.u.Theme.Palette
	v.caption.SetText(v.u.T(c.Caption))
	if c.Limit == "" {
		v.limit.Set(v.u.T("not set"), p.Text3)
	} else {
		v.limit.Set(c.Limit, p.Text1)
	}
	v.value.SetText(c.Value)
	v.note.SetText(c.Note)
	ink := p.Text3
	if c.Token != "" {
		ink = p.Token(c.Token)
	}
	v.verdict.Set(v.u.T(c.Verdict), ink)
	v.sign.Objects = nil
	if c.VerdictBy != "" && c.Verdict != "" {
		v.sign.Objects = []fyne.CanvasObject{kit.Icon(c.VerdictBy, c.Token, 14)}
	}
	v.track.set(c)
	v.face.Refresh()
}

// goalEntry is an entry that gives up on Esc and on losing the focus.
type goalEntry struct {
	widget.Entry
	done func(text string, keep bool)
}

func newGoalEntry(done func(string, bool)) *goalEntry {
	e := &goalEntry{done: done}
	e.ExtendBaseWidget(e)
	e.OnSubmitted = func(t string) { done(t, true) }
	return e
}

// TypedKey ends on Esc.
func (e *goalEntry) TypedKey(k *fyne.KeyEvent) {
	if k.Name == fyne.KeyEscape {
		e.done("", false)
		return
	}
	e.Entry.TypedKey(k)
}

// FocusLost ends without taking what was typed.
func (e *goalEntry) FocusLost() {
	e.Entry.FocusLost()
	e.done("", false)
}

var _ desktop.Cursorable = (*goalEntry)(nil)

// goalTrack draws the four marks: wall with hatch for the floor, flag for the limit, dot for what was measured.
type goalTrack struct {
	object *fyne.Container
	p      *theme.Palette
	line   *canvas.Rectangle
	hatch  *canvas.Raster
	wall   *canvas.Rectangle
	flag   *canvas.Line
	head   *canvas.Rectangle
	dot    *canvas.Circle
	empty  *canvas.Raster
	cell   goalCell
}

func newGoalTrack(p *theme.Palette) *goalTrack {
	t := &goalTrack{p: p, line: canvas.NewRectangle(p.Line2), wall: canvas.NewRectangle(p.Floor), flag: canvas.NewLine(p.Text1), head: canvas.NewRectangle(p.Text1),
		dot: canvas.NewCircle(p.Text1), cell: goalCell{Floor: -1, LimitAt: -1, ValueAt: -1}}
	t.line.CornerRadius, t.head.CornerRadius, t.flag.StrokeWidth = 1.5, 1, 1.5
	t.hatch = hatch(func() color.NRGBA {
		if t.cell.Verdict == "impossible" {
			return p.Danger
		}
		return p.Text2
	})
	t.empty = hatch(func() color.NRGBA { return p.Line2 })
	t.object = container.New(t, t.empty, t.line, t.hatch, t.wall, t.flag, t.head, t.dot)
	return t
}

func hatch(ink func() color.NRGBA) *canvas.Raster {
	return canvas.NewRasterWithPixels(func(x, y, w, h int) color.Color {
		if (x+y)%5 == 0 {
			return ink()
		}
		return color.Transparent
	})
}

func (t *goalTrack) set(c goalCell) {
	was := t.cell
	t.cell = c
	if was.Floor == c.Floor && was.LimitAt == c.LimitAt && was.ValueAt == c.ValueAt && was.Verdict == c.Verdict {
		return
	}
	ink := t.p.Text1
	if c.Verdict == "impossible" {
		ink = t.p.Danger
	}
	t.flag.StrokeColor, t.head.FillColor = ink, ink
	t.Layout(nil, t.object.Size())
	t.hatch.Refresh()
	t.object.Refresh()
}

// Layout implements fyne.Layout for the marks.
func (t *goalTrack) Layout(_ []fyne.CanvasObject, size fyne.Size) {
	y := size.Height / 2
	at := func(o fyne.CanvasObject, x, top, w, h float32, on bool) {
		if !on {
			o.Hide()
			return
		}
		o.Move(fyne.NewPos(x, top))
		o.Resize(fyne.NewSize(w, h))
		o.Show()
	}
	c := t.cell
	place := func(f float64) float32 { return float32(min(max(f, 0), 1)) * size.Width }
	some := c.ValueAt >= 0 || c.LimitAt >= 0
	at(t.empty, 0, y-2, size.Width, 5, !some)
	at(t.line, 0, y-1.5, size.Width, 3, some)
	at(t.hatch, 0, y-4, place(c.Floor), 8, c.Floor > 0)
	at(t.wall, place(c.Floor)-1, y-6, 2, 12, c.Floor > 0)
	at(t.dot, place(c.ValueAt)-4, y-4, 8, 8, c.ValueAt >= 0)
	at(t.head, place(c.LimitAt)-3.5, y-7, 7, 5, c.LimitAt >= 0)
	at(t.flag, place(c.LimitAt), y-4, 0, 9, c.LimitAt >= 0)
}

// MinSize implements fyne.Layout.
func (t *goalTrack) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(60, 12) }
