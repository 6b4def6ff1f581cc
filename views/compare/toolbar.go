package compare

import (
	"fmt"
	"image/color"
	"slices"
	"strconv"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/theme"
)

// toolbar is where the two runs are chosen.
type toolbar struct {
	s      *screen
	row    *fyne.Container
	a, b   *picker
	swap   *kit.Button
	export *kit.Button
	boards *widget.Select
	names  []string
	pairs  *widget.Entry
	start  *kit.Button
	stop   *kit.Button
	job    int64
}

func newToolbar(s *screen) *toolbar {
	u := s.u
	t := &toolbar{s: s}
	t.a = newPicker(s, "A", u.Theme.RunA, func(id string) { s.do.CompareRuns(id, s.state.CompareB) })
	t.b = newPicker(s, "B", u.Theme.RunB, func(id string) { s.do.CompareRuns(s.state.CompareA, id) })
	t.swap = u.NewButton(kit.Link, "ab", u.T("Swap"), func() { s.do.CompareRuns(s.state.CompareB, s.state.CompareA) })
	t.export = u.NewButton(kit.Outline, "download", u.T("Export"), t.exportMenu)
	t.boards = widget.NewSelect(nil, nil)
	t.pairs = widget.NewEntry()
	t.pairs.SetText("8")
	t.pairs.OnChanged = func(string) {
		if s.state != nil {
			t.show(s.state)
		}
	}
	t.start = u.NewButton(kit.Filled, "play", u.T("Measure in turns"), t.measure)
	t.stop = u.NewButton(kit.Outline, "stop", u.T("Stop"), func() { s.do.CancelJob(t.job) })
	boxed := func(w float32, o fyne.CanvasObject) fyne.CanvasObject {
		return kit.Fixed(w, 28, container.NewStack(o, kit.Plate(color.Transparent, u.Theme.Line3, 5)))
	}
	t.row = kit.Cols(8, kit.Flex(t.a.chip), kit.Flex(t.b.chip), t.swap, boxed(150, t.boards), kit.Fixed(52, 30, t.pairs), u.Caption(u.T("pairs")).Whole(), t.stop, t.start, t.export)
	return t
}

// pairing is the job that measures in turns, nil: none.
func pairing(st *app.State) *app.Job {
	for _, j := range st.Active() {
		if j.Title == "Measure in turns" {
			return j
		}
	}
	return nil
}

// form is what the toolbar asks for: the models of A and B where the ledger still has them, else the opened and the rewritten one.
func (t *toolbar) form() (f app.PairedForm, why string) {
	u, st := t.s.u, t.s.state
	if i := t.boards.SelectedIndex(); i >= 0 && i < len(t.names) {
		f.Board = t.names[i]
	}
	n, err := strconv.Atoi(strings.TrimSpace(t.pairs.Text))
	f.Pairs = n
	switch {
	case st == nil || st.Doc == nil:
		return f, u.T("open a model first")
	case len(st.Active()) > 0:
		return f, u.T("one measurement at a time")
	case st.Doc.Busy:
		return f, u.T("the ledger is being applied")
	case err != nil || n < 2 || n > 1000:
		return f, u.T("give 2 to 1000 pairs")
	}
	all := st.Doc.Versions()
	if len(all) < 2 {
		return f, u.T("rewrite the model first: there is only one")
	}
	at := func(id string) string {
		r := st.Run(id)
		if r == nil {
			return ""
		}
		for _, v := range all {
			if v.Hash == r.Hash {
				return v.Hash
			}
		}
		return ""
	}
	if a, b := at(st.CompareA), at(st.CompareB); a != "" && b != "" && a != b {
		f.A, f.B = a, b
	} else if st.Doc.Model.Hash() == st.Doc.Base.Hash() {
		f.B = all[len(all)-1].Hash
	}
	return f, ""
}

func (t *toolbar) measure() {
	if f, why := t.form(); why == "" {
		t.s.do.ComparePaired(f)
	}
}

// showPairs brings the part that measures up to a state.
func (t *toolbar) showPairs(st *app.State) {
	u := t.s.u
	var names, labels []string
	for _, b := range st.Boards {
		label := b.Name
		if b.Local {
			label = u.T("This computer")
		}
		names, labels = append(names, b.Name), append(labels, label)
	}
	if !slices.Equal(names, t.names) {
		at := max(t.boards.SelectedIndex(), 0)
		t.names = names
		t.boards.SetOptions(labels)
		if at < len(labels) {
			t.boards.SetSelectedIndex(at)
		}
	}
	_, why := t.form()
	t.start.SetOff(why != "", why)
	job := pairing(st)
	if t.stop.Hidden = job == nil; job != nil {
		t.job = job.ID
	}
}

func (t *toolbar) show(st *app.State) {
	t.a.show(st, st.CompareA)
	t.b.show(st, st.CompareB)
	t.swap.SetOff(st.CompareA == "" || st.CompareB == "", t.s.u.T("set two runs as A and B first"))
	t.showPairs(st)
	t.export.SetOff(st.Compared == nil, t.s.u.T("set two runs as A and B first"))
	t.row.Refresh()
}

// exportMenu writes the comparison.
func (t *toolbar) exportMenu() {
	u, c := t.s.u, t.s.shown
	if c == nil {
		return
	}
	var items []*fyne.MenuItem
	for _, f := range []string{"html", "png", "svg", "pdf", "csv", "json"} {
		items = append(items, fyne.NewMenuItem(strings.ToUpper(f), func() {
			u.AskSave(fmt.Sprintf("%s-%s.%s", c.A.ID, c.B.ID, f), func(path string) { t.s.do.ExportCompared(f, path) })
		}))
	}
	at := fyne.CurrentApp().Driver().AbsolutePositionForObject(t.export)
	widget.ShowPopUpMenuAtPosition(fyne.NewMenu("", items...), u.Window.Canvas(), at.AddXY(0, t.export.Size().Height+4))
}

// picker is the chip of one side: its letter, the run, how it ran, its seal.
type picker struct {
	s      *screen
	chip   fyne.CanvasObject
	tap    *kit.Tappable
	name   *kit.Line
	how    *kit.Line
	seal   *canvas.Image
	inside *fyne.Container
	choose func(id string)
	state  *app.State
	id     string
}

func newPicker(s *screen, letter string, c color.NRGBA, choose func(string)) *picker {
	u := s.u
	p := &picker{s: s, name: u.Strong(""), how: u.Caption(""), choose: choose}
	p.name.Whole()
	p.seal = canvas.NewImageFromResource(theme.IconIn("seal-none", "sealNone"))
	p.seal.FillMode = canvas.ImageFillContain
	plate := kit.Plate(c, c, 6)
	block := kit.Fixed(26, 28, container.NewStack(plate, container.NewCenter(kit.NewLine(letter, theme.Body, u.Theme.Ink(c)).Bold().Whole())))
	p.inside = kit.Cols(8, block, p.name, kit.Flex(p.how), kit.Fixed(16, 16, p.seal), kit.Icon("chevron-down", "text2", 14), kit.Space(2, 0))
	p.tap = u.NewTappable(kit.Plate(u.Theme.Bg2, c, 6), p.inside, p.menu)
	p.chip = kit.AtLeast(150, 28, p.tap)
	return p
}

func (p *picker) show(st *app.State, id string) {
	u := p.s.u
	p.state, p.id = st, id
	r := st.Run(id)
	if r == nil && st.Compared != nil {
		for _, c := range []*app.Run{st.Compared.A, st.Compared.B} {
			if c != nil && c.ID == id {
				r = c
			}
		}
	}
	seal := ""
	if r == nil {
		p.name.Set(u.T("choose a run"), u.Theme.Text3)
		p.how.SetText("")
	} else {
		p.name.Set(p.s.say.Say(r.Label), u.Theme.Text1)
		p.how.Set(describe(u, r), u.Theme.Text2)
		if r.Profile != nil {
			seal = r.Profile.Conditions.Seal
		}
	}
	p.seal.Resource = theme.IconIn(theme.SealIcon(seal), map[string]string{"green": "sealGreen", "amber": "sealAmber", "red": "sealRed", "": "sealNone"}[seal])
	p.seal.Refresh()
	p.inside.Refresh()
}

func describe(u words, r *app.Run) string {
	when := r.Started.Local().Format("01-02 15:04")
	if r.Profile == nil {
		return r.Target + " · " + when
	}
	return fmt.Sprintf("%s · %s · %s", r.Profile.Plan.Precision, u.F("threads: %d", r.Profile.Plan.Threads), when)
}

func (p *picker) menu() {
	if p.state == nil {
		return
	}
	var items []*fyne.MenuItem
	for i := len(p.state.Runs) - 1; i >= 0; i-- {
		r := p.state.Runs[i]
		if r.Profile == nil || r.Partial {
			continue
		}
		items = append(items, fyne.NewMenuItem(fmt.Sprintf("%s · %s · %s", r.Label, kit.MsPtr(r.Profile.Clean.P50Ns), r.Target), func() { p.choose(r.ID) }))
	}
	if len(items) == 0 {
		items = append(items, &fyne.MenuItem{Label: p.s.u.T("no run of this model yet"), Disabled: true})
	}
	at := fyne.CurrentApp().Driver().AbsolutePositionForObject(p.tap)
	widget.ShowPopUpMenuAtPosition(fyne.NewMenu("", items...), p.s.u.Window.Canvas(), at.AddXY(0, 32))
}
