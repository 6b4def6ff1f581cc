package profile

import (
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/theme"
)

// strip is the line that says how far a run can be trusted.
type strip struct {
	s      *screen
	card   *fyne.Container
	plate  *canvas.Rectangle
	rim    *canvas.Rectangle
	mark   *canvas.Image
	what   *kit.Line
	reason *kit.Line
	names  []*kit.Line
	values []*kit.Line
	more   *kit.Button
	facts  *fyne.Container
	inside *fyne.Container
	why    []string
	run    *app.Run // that waits for the board, nil: none
}

// strips gives the sentence what the facts and the button leave, but never less than a third.
type strips struct{}

func (strips) Layout(o []fyne.CanvasObject, z fyne.Size) {
	right := z.Width
	if o[2].Visible() {
		m := o[2].MinSize()
		o[2].Resize(m)
		o[2].Move(fyne.NewPos(right-m.Width, (z.Height-m.Height)/2))
		right -= m.Width + 14
	}
	want := float32(0)
	for _, f := range o[1].(*fyne.Container).Objects {
		want += f.MinSize().Width + 12
	}
	if !o[1].Visible() {
		want = 0
	}
	want = min(want, right*2/3)
	o[1].Resize(fyne.NewSize(want, z.Height))
	o[1].Move(fyne.NewPos(right-want, 0))
	o[0].Resize(fyne.NewSize(right-want-14, z.Height))
	o[0].Move(fyne.NewPos(0, 0))
}

func (strips) MinSize(o []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(560, max(o[0].MinSize().Height, o[1].MinSize().Height, o[2].MinSize().Height))
}

func newStrip(s *screen) *strip {
	u := s.u
	t := &strip{s: s, plate: kit.Plate(u.Theme.Bg2, u.Theme.Line1, 8), rim: kit.Plate(u.Theme.SealNone, u.Theme.SealNone, 2), what: u.Strong(""), reason: u.Caption("")}
	t.mark = canvas.NewImageFromResource(theme.IconIn("seal-none", "sealNone"))
	t.mark.FillMode = canvas.ImageFillContain
	var items []fyne.CanvasObject
	for range 6 {
		n, v := u.Caption("").Whole(), u.Dense("").Whole()
		t.names, t.values = append(t.names, n), append(t.values, v)
		items = append(items, kit.Cols(12, kit.Fixed(1, 34, kit.Plate(u.Theme.Line1, u.Theme.Line1, 0)), kit.Rows(1, n, v)))
	}
	t.facts = kit.Fit(12, items...)
	t.more = u.NewButton(kit.Outline, "why", u.T("Reasons"), t.showReasons)
	t.inside = container.New(&strips{}, kit.Cols(14, kit.Fixed(24, 24, t.mark), kit.Flex(kit.Rows(1, t.what, t.reason))), t.facts, t.more)
	t.card = container.NewStack(kit.AtLeast(0, 54, t.plate), container.NewBorder(nil, nil, kit.Fixed(4, 0, t.rim), nil, kit.Pad(8, 14, 8, 10, t.inside)))
	return t
}

func (t *strip) show(st *app.State, r *app.Run) {
	u, pal := t.s.u, t.s.u.Theme
	p := r.Profile
	if p == nil {
		t.seal("")
		t.facts.Hide()
		if who := waitingFor(st); who != "" {
			t.run = r
			t.what.SetText(u.T("Waiting for the board"))
			t.reason.SetText(u.F("%s; the run begins by itself when the board is free", t.s.say.Say(who)))
			t.more.SetLabel("warning", u.T("Take it now"))
			t.more.Show()
		} else {
			t.what.SetText(u.T("Measuring"))
			t.reason.SetText(u.T("the seal is given when all launches are done"))
			t.more.Hide()
		}
		t.inside.Refresh()
		return
	}
	t.run = nil
	t.seal(p.Conditions.Seal)
	what, reason := sentence(u, t.s.say.Say, p)
	t.what.SetText(what)
	t.reason.Set(reason, pal.Text2)
	for i, f := range facts(u, p) {
		t.names[i].SetText(f.name)
		switch {
		case f.value == "":
			t.values[i].Set(kit.Absent, pal.Text3)
		case f.broken:
			t.values[i].Set(f.value, pal.Warning)
		default:
			t.values[i].Set(f.value, pal.Text1)
		}
	}
	t.why = p.Conditions.Why
	t.more.SetLabel("why", u.F("%d reasons", len(t.why)))
	t.more.Hidden = len(t.why) == 0
	t.more.Refresh()
	t.facts.Show()
	t.facts.Refresh()
	t.inside.Refresh()
}

func (t *strip) seal(seal string) {
	token := map[string]string{"green": "sealGreen", "amber": "sealAmber", "red": "sealRed"}[seal]
	if token == "" {
		token = "sealNone"
	}
	c := t.s.u.Theme.Token(token)
	t.mark.Resource = theme.IconIn(theme.SealIcon(seal), token)
	t.mark.Refresh()
	t.rim.FillColor, t.rim.StrokeColor = c, c
	t.plate.StrokeColor = c
	if seal == "" || seal == "green" {
		t.plate.StrokeColor = t.s.u.Theme.Line1
	}
	t.rim.Refresh()
	t.plate.Refresh()
}

// waitingFor says who measures on the board that the run waits for; "": it does not wait.
func waitingFor(st *app.State) string {
	if j := profiling(st); j != nil {
		if who, ok := strings.CutPrefix(j.What, "wait: "); ok {
			return who
		}
	}
	return ""
}

// take begins the waiting run anew, and takes the board for it.
func (t *strip) take(r *app.Run) {
	u := t.s.u
	u.Confirm(u.T("Take the board now?"), u.T("The measurement that runs there ends without a result. Asking for the board lets it end first."), u.T("Take it"), func() { t.takeNow(r) })
}

func (t *strip) takeNow(r *app.Run) {
	if j := profiling(t.s.state); j != nil && waitingFor(t.s.state) != "" {
		f := t.s.bar.form()
		f.Board, f.Which, f.Take = r.Target, r.Which, true
		t.s.do.CancelJob(j.ID)
		t.s.do.Profile(f)
	}
}

// showReasons lists all sentences, each with its fix.
func (t *strip) showReasons() {
	if t.run != nil {
		t.take(t.run)
		return
	}
	u := t.s.u
	lines := make([]string, len(t.why))
	for i, w := range t.why {
		lines[i] = "• " + t.s.say.Say(w)
	}
	l := widget.NewLabel(strings.Join(lines, "\n\n"))
	l.Wrapping = fyne.TextWrapWord
	dialog.ShowCustom(u.T("What keeps the seal from green"), u.T("Close"), kit.AtLeast(520, 0, l), u.Window)
}
