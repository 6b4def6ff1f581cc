package profile

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// history is the card of the runs of this model: shown, and picked for a comparison.
type history struct {
	s       *screen
	card    fyne.CanvasObject
	line    *plot.Chart
	table   *plot.Table
	a, b    *kit.Button
	compare *kit.Button
	runs    []*app.Run // newest first
	shown   string
}

func newHistory(s *screen) *history {
	u := s.u
	h := &history{s: s}
	h.line = plot.NewChart(s.ink, 200, 70)
	h.line.OnTap = func(m plot.Mark) { s.pick(m.Keys[0]) }
	h.table = plot.NewTable(s.ink, []plot.Column{{Title: "", Width: 26}, {Title: u.T("Run"), Width: 80, Grow: 1}, {Title: u.T("Board"), Width: 84, Caption: true},
		{Title: "p50", Width: 74, Align: plot.Right}, {Title: "", Width: 74, Caption: true}, {Title: u.T("seal"), Width: 40, Align: plot.Right}})
	h.table.Empty = u.T("Runs of this model are listed here")
	h.table.OnSelect = func(k []string) { s.pick(k[0]) }
	h.a = u.NewButton(kit.Outline, "", u.T("Set as A"), func() { h.set(true) }).Small()
	h.b = u.NewButton(kit.Outline, "", u.T("Set as B"), func() { h.set(false) }).Small()
	h.compare = u.NewButton(kit.Link, "ab", u.T("Compare"), func() { s.do.Show("compare") }).Small()
	tools := kit.Pad(0, 12, 4, 14, kit.Cols(8, kit.Gap(), h.a, h.b, h.compare))
	h.card = container.NewBorder(kit.Rows(0, tools, kit.Pad(0, 10, 4, 6, h.line)), kit.Space(0, 4), nil, nil, h.table)
	return h
}

func (h *history) set(a bool) {
	st := h.s.state
	if a {
		h.s.do.CompareRuns(h.shown, st.CompareB)
	} else {
		h.s.do.CompareRuns(st.CompareA, h.shown)
	}
}

func (h *history) show(st *app.State, shown *app.Run) {
	u, pal := h.s.u, h.s.u.Theme
	h.shown = shown.ID
	h.runs = nil
	unit := kit.UnitFor(slowest(st.Runs))
	f := &plot.Line{Dots: true, Joined: true, Colour: pal.Line3, Tick: plot.Tick, Unit: unit.Name, Selected: func(k string) bool { return k == h.shown }}
	for i, r := range st.Runs {
		h.runs = append([]*app.Run{r}, h.runs...)
		if r.Profile == nil || r.Profile.Clean.P50Ns == nil {
			continue
		}
		c := r.Profile.Clean
		f.Points = append(f.Points, plot.Point{Key: r.ID, X: float64(i), Y: unit.Value(*c.P50Ns), Lo: unit.Value(c.IntervalP50[0]), Hi: unit.Value(c.IntervalP50[1]),
			Colour: runColour(h.s, r), Tip: []string{r.Label, kit.Ms(*c.P50Ns) + "  " + kit.Interval(*c.P50Ns, c.IntervalP50), r.Target}})
	}
	h.line.Set(f)
	h.line.Hidden = len(f.Points) < 2
	h.table.SetRows(len(h.runs), h.row)
	ready := shown.Profile != nil && !shown.Partial
	h.a.SetOff(!ready || shown.ID == st.CompareB, u.T("the run is not complete yet"))
	h.b.SetOff(!ready || shown.ID == st.CompareA, u.T("the run is not complete yet"))
	h.compare.SetOff(st.CompareA == "" || st.CompareB == "", u.T("set two runs as A and B first"))
}

// runColour is the colour of A and B, grey for the others.
func runColour(s *screen, r *app.Run) color.NRGBA {
	switch {
	case s.state == nil:
	case r.ID == s.state.CompareA:
		return s.u.Theme.RunA
	case r.ID == s.state.CompareB:
		return s.u.Theme.RunB
	}
	return s.u.Theme.Text3
}

func (h *history) row(i int) plot.Row {
	r, u := h.runs[i], h.s.u
	out := plot.Row{Keys: []string{r.ID}, Chosen: r.ID == h.shown}
	letter := plot.Cell{Colour: runColour(h.s, r)}
	switch r.ID {
	case h.s.state.CompareA:
		letter.Text = "A"
	case h.s.state.CompareB:
		letter.Text = "B"
	}
	p50, iv, seal := plot.Cell{Text: kit.Absent}, plot.Cell{}, plot.Cell{Sign: plot.SealNone}
	if p := r.Profile; p != nil {
		p50.Text = kit.MsPtr(p.Clean.P50Ns)
		if p.Clean.P50Ns != nil {
			iv.Text = kit.Interval(*p.Clean.P50Ns, p.Clean.IntervalP50)
		}
		seal.Sign = plot.SealSign(p.Conditions.Seal)
	}
	when := r.Started.Local().Format("15:04")
	board := r.Target
	if board == app.LocalTarget {
		board = u.T("This computer")
	}
	if r.Partial {
		when = u.T("arriving")
	}
	out.Cells = []plot.Cell{letter, {Text: h.s.say.Say(r.Label), Sub: when}, {Text: board}, p50, iv, seal}
	return out
}
