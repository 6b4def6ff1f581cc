// Package rewrites is the ledger: every pass as a row with a check box, what it touched, how its result was compared with
// the model before, what it saved, and why it left places alone.
//
// rows.go turns the document into rows; start reading at New.
package rewrites

import (
	"image/color"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/theme"
)

type screen struct {
	u       *kit.UI
	content *fyne.Container
	tools   fyne.CanvasObject
	empty   fyne.CanvasObject
	full    fyne.CanvasObject
	totals  *fyne.Container
	rows    *fyne.Container
	past    *fyne.Container
	left    *fyne.Container
	detail  *detail
	add     *kit.Button
	std     *kit.Button
	save    *kit.Button
	recipe  *kit.Button
	score   *kit.Button
	doc     *app.Doc
	chosen  int
}

// New makes the screen.
func New(u *kit.UI) kit.Screen {
	s := &screen{u: u, totals: container.New(layoutOf(8, 4)), rows: kit.Rows(4), past: kit.Rows(0), chosen: -1}
	s.detail = newDetail(u)
	s.add = u.NewButton(kit.Outline, "plus", u.T("Add a rewrite"), s.addMenu)
	s.std = u.NewButton(kit.Outline, "rewrites", u.T("Apply the standard rewrites"), u.Studio.ApplyStandard)
	s.score = u.NewButton(kit.Outline, "accuracy", u.T("Measure the accuracy"), func() { u.Do("score") })
	s.recipe = u.NewButton(kit.Outline, "download", u.T("Save the recipe"), func() { u.Do("save-recipe") })
	s.save = u.NewButton(kit.Filled, "download", u.T("Save the model"), func() { u.Do("save") })
	s.tools = kit.Cols(8, s.add, s.std, kit.Gap(), s.score, s.recipe, s.save)
	head := kit.Pad(0, 14, 0, 14, kit.Cols(8, kit.Fixed(22, 0, kit.Space(1, 1)), kit.Flex(u.Caption(u.T("rewrite"))), kit.Fixed(64, 0, u.Caption(u.T("nodes")).Right()),
		kit.Fixed(150, 0, u.Caption(u.T("proof"))), kit.Fixed(86, 0, u.Caption(u.T("saved")).Right()), kit.Space(26, 0)))
	ledger := kit.Rows(6, head, s.rows)
	history := kit.Rows(6, u.Section(u.T("History"), u.T("click a line to go back to it")), s.past)
	s.left = kit.Rows(16, s.totals, ledger, u.Panel(history))
	left := container.NewVScroll(kit.Pad(14, 8, 14, 16, s.left))
	s.full = container.New(&columns{}, left, kit.Pad(14, 16, 14, 8, s.detail.object))
	s.empty = u.Empty("rewrites", u.T("No model is open"), u.T("Rewrites fold, fuse and quantize a model step by step. Each one can be undone."), u.T("Open a model"), func() { u.Do("open") })
	s.content = container.NewStack(s.empty)
	return s
}

// Content is part of kit.Screen.
func (s *screen) Content() fyne.CanvasObject { return s.content }

// Toolbar is part of kit.Toolbar.
func (s *screen) Toolbar() fyne.CanvasObject { return s.tools }

// Primary saves the model.
func (s *screen) Primary() { s.u.Do("save") }

// Show is part of kit.Screen.
func (s *screen) Show(st *app.State) {
	d := st.Doc
	why := ""
	if d == nil {
		why = s.u.T("open a model first")
	}
	for _, b := range []*kit.Button{s.add, s.std, s.recipe} {
		b.SetOff(why != "", why)
	}
	if d != nil && d.Busy {
		why = s.u.T("the ledger is being applied")
	}
	s.save.SetOff(why != "", why)
	s.score.SetOff(why != "", why)
	if d == s.doc {
		return
	}
	before := s.doc
	s.doc = d
	if d == nil {
		s.content.Objects = []fyne.CanvasObject{s.empty}
		s.content.Refresh()
		return
	}
	if before == nil || before.ID != d.ID {
		s.chosen = -1
		s.content.Objects = []fyne.CanvasObject{s.full}
		s.content.Refresh()
	}
	// A new step at the end is what the user wants to see.
	if before != nil && before.ID == d.ID && len(d.Steps) > len(before.Steps) && d.Revisions[d.Cursor].Label == "Add" {
		s.chosen = len(d.Steps) - 1
	}
	if s.chosen >= len(d.Steps) {
		s.chosen = len(d.Steps) - 1
	}
	if s.chosen < 0 && len(d.Steps) > 0 {
		s.chosen = 0
	}
	s.showTotals(d)
	s.showRows(d)
	s.showHistory(d)
	s.detail.show(d, s.chosen)
	s.settle()
}

// settle lays out what changed its height: the toolkit does not ask the parents of a refreshed container.
func (s *screen) settle() {
	relayout(s.left)
	s.full.Refresh()
}

func relayout(c *fyne.Container) {
	for _, o := range c.Objects {
		if x, ok := o.(*fyne.Container); ok {
			relayout(x)
		}
	}
	c.Layout.Layout(c.Objects, c.Size())
}

func (s *screen) showTotals(d *app.Doc) {
	u := s.u
	s.totals.Objects = nil
	for _, t := range totals(d) {
		value := kit.Cols(6, kit.NewLine(t.After, theme.Heading, u.Theme.Text1).Bold().Whole(), kit.NewLine(t.Delta, theme.Dense, u.Theme.Token(t.Token)).Whole())
		note := u.Caption(u.F("was %s", t.Before))
		if t.Delta == "" {
			note = u.Caption(u.T("as opened"))
		}
		s.totals.Objects = append(s.totals.Objects, u.Panel(kit.Rows(2, u.Caption(u.T(t.Name)), value, note)))
	}
	s.totals.Refresh()
}

func (s *screen) showRows(d *app.Doc) {
	s.rows.Objects = nil
	for _, r := range ledger(d) {
		s.rows.Objects = append(s.rows.Objects, s.row(r, d.Busy))
	}
	if len(s.rows.Objects) == 0 {
		s.rows.Objects = []fyne.CanvasObject{s.u.Panel(kit.AtLeast(0, 150, s.u.Empty("rewrites", s.u.T("The ledger is empty"), s.u.T("The standard rewrites leave the outputs equal up to rounding."),
			"", nil)))}
	}
	s.rows.Refresh()
}

func (s *screen) row(r row, busy bool) fyne.CanvasObject {
	u := s.u
	check := widget.NewCheck("", nil)
	check.SetChecked(r.On)
	check.OnChanged = func(on bool) { u.Studio.SetEnabled(r.Index, on) }
	ink := u.Theme.Text1
	if !r.On {
		ink = u.Theme.Text3
	}
	title := kit.NewLine(u.T(r.Title), theme.Body, ink)
	var chip fyne.CanvasObject = kit.Space(1, 1)
	switch {
	case r.Failed != "":
		chip = u.Pill(u.T("failed"), "danger")
	case r.Proof != "":
		chip = u.Pill(u.T(r.Proof), r.ProofToken)
	case r.On && busy:
		chip = u.Caption(u.T("applying"))
	case !r.On:
		chip = u.Caption(u.T("switched off"))
	}
	more := u.NewButton(kit.Ghost, "more", "", nil).Small()
	gain := kit.NewLine(s.nodes(r.Gain), theme.Dense, u.Theme.Token(orText(r.GainToken))).Bold().Right()
	line := kit.Cols(8, kit.Fixed(22, 0, check), kit.Flex(title), kit.Fixed(64, 0, u.Soft(r.Touched).Right()), kit.Fixed(150, 0, kit.Cols(0, chip)), kit.Fixed(86, 0, gain), more)
	fill, edge := u.Theme.Bg2, u.Theme.Line1
	if r.Index == s.chosen {
		fill, edge = u.Theme.Selection, u.Theme.Selection
	}
	bar := canvas.NewRectangle(color.Transparent)
	if r.Index == s.chosen {
		bar.FillColor = u.Theme.Primary
	}
	t := u.NewTappable(kit.Plate(fill, edge, 6), kit.Fixed(0, theme.RowLedger, kit.Pad(0, 8, 0, 8, line)), func() { s.choose(r.Index) })
	more.OnTap(func() { s.rowMenu(more, r) })
	return container.NewStack(t, container.NewBorder(nil, nil, kit.Fixed(3, 0, bar), nil))
}

// nodes translates the unit of a gain in nodes.
func (s *screen) nodes(gain string) string {
	if n, ok := strings.CutSuffix(gain, " nodes"); ok {
		return s.u.F("%s nodes", n)
	}
	return gain
}

func orText(token string) string {
	if token == "" {
		return "text3"
	}
	return token
}

func (s *screen) choose(i int) {
	s.chosen = i
	if s.doc != nil {
		s.showRows(s.doc)
		s.detail.show(s.doc, i)
	}
}

func (s *screen) rowMenu(beside fyne.CanvasObject, r row) {
	u := s.u
	up := fyne.NewMenuItem(u.T("Move up"), func() { u.Studio.MoveStep(r.Index, -1) })
	up.Disabled = r.Index == 0
	down := fyne.NewMenuItem(u.T("Move down"), func() { u.Studio.MoveStep(r.Index, 1) })
	down.Disabled = r.Index == len(s.doc.Steps)-1
	u.Menu(beside, up, down, fyne.NewMenuItemSeparator(), fyne.NewMenuItem(u.T("Remove"), func() { u.Studio.RemoveStep(r.Index) }))
}

func (s *screen) addMenu() {
	u := s.u
	var items []*fyne.MenuItem
	for _, p := range addable(u.Studio.Passes(), s.doc) {
		title := u.T(p.Title)
		if p.NeedsData {
			title += "  ·  " + u.T("needs data")
		}
		items = append(items, fyne.NewMenuItem(title, func() { u.Studio.AddStep(p.Name, nil) }))
	}
	u.Menu(s.add, items...)
}

func (s *screen) showHistory(d *app.Doc) {
	u := s.u
	s.past.Objects = nil
	for i := len(d.Revisions) - 1; i >= 0; i-- {
		v := d.Revisions[i]
		text := u.T(v.Label)
		if v.Subject != "" {
			text += " · " + v.Subject
		}
		ink, mark := u.Theme.Text2, kit.Space(14, 14)
		switch {
		case i == d.Cursor:
			ink, mark = u.Theme.Text1, kit.Icon("chevron-right", "primary", 14)
		case i > d.Cursor:
			ink = u.Theme.TextOff
		}
		row := kit.Cols(8, kit.Space(2, 0), mark, kit.Flex(kit.NewLine(text, theme.Dense, ink)))
		s.past.Objects = append(s.past.Objects, u.NewTappable(kit.Plate(color.Transparent, color.Transparent, 4), kit.Fixed(0, 24, row), func() { u.Studio.GoTo(i) }))
	}
	s.past.Refresh()
}
