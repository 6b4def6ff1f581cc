package profile

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// stairs is the latency staircase of one layer: foretold from the target's kernels, measured where that was asked for.
type stairs struct {
	s       *screen
	tools   *fyne.Container
	layers  *widget.Select
	learn   *kit.Button
	measure *kit.Button
	asked   string // model, board and threads that the staircases were asked for
	now     *app.Stairs
	setting bool
}

func newStairs(s *screen) *stairs {
	u := s.u
	t := &stairs{s: s}
	t.layers = widget.NewSelect(nil, func(string) {
		if i := t.layers.SelectedIndex(); !t.setting && t.now != nil && i >= 0 && i < len(t.now.List) {
			s.do.Select(t.origins(i), "profile")
			s.redraw()
		}
	})
	t.layers.PlaceHolder = u.T("layer")
	t.learn = u.NewButton(kit.Outline, "clock", u.T("Learn the kernels"), func() { s.do.LearnKernels(s.bar.board()) }).Small()
	t.measure = u.NewButton(kit.Outline, "play", u.T("Measure the treads"), func() {
		if x := t.layer(); x != nil {
			s.do.MeasureStairs(s.bar.board(), x.Node)
		}
	}).Small()
	t.tools = kit.Pad(0, 12, 4, 14, kit.Cols(8, s.boxed(230, t.layers), kit.Gap(), t.learn, t.measure))
	t.tools.Hide()
	return t
}

// origins are the imported nodes behind a staircase's layer.
func (t *stairs) origins(i int) []string {
	id := t.now.List[i].Node
	if d := t.s.state.Doc; d != nil {
		if n := d.Model.Graph.Node(id); n != nil && len(n.Origin) > 0 {
			var out []string
			for _, o := range n.Origin {
				out = append(out, string(o))
			}
			return out
		}
	}
	return []string{string(id)}
}

// layer is the staircase that is looked at, nil: none.
func (t *stairs) layer() *app.Staircase {
	if i := t.layers.SelectedIndex(); t.now != nil && i >= 0 && i < len(t.now.List) {
		return &t.now.List[i]
	}
	return nil
}

// show asks for the staircases when they are looked at first, and follows the selection.
func (t *stairs) show(st *app.State) {
	u := t.s.u
	t.now = nil
	if st.Doc == nil || t.s.chart != seeStairs {
		return
	}
	board := t.s.bar.board()
	if n := st.Doc.StairsNow(); n != nil && n.Target == board && n.Threads == max(st.Settings.Threads, 1) {
		t.now = n
	} else if key := st.Doc.Model.Hash() + " " + board + " " + kit.Count(int64(st.Settings.Threads)); t.asked != key && !st.Doc.Busy {
		t.asked = key
		t.s.do.FindStairs(board)
	}
	busy := u.T("one measurement at a time")
	if len(st.Active()) == 0 {
		busy = ""
	}
	t.learn.SetOff(busy != "" || st.Doc.Busy, busy)
	t.setting = true
	var names []string
	if t.now != nil {
		for _, x := range t.now.List {
			names = append(names, x.Label)
		}
	}
	if !slices.Equal(names, t.layers.Options) {
		t.layers.SetOptions(names)
		t.layers.ClearSelected()
	}
	if t.now != nil {
		at := slices.IndexFunc(t.now.List, func(x app.Staircase) bool {
			i := slices.Index(names, x.Label)
			return t.s.selected(t.origins(i), false)
		})
		if at < 0 && t.layers.SelectedIndex() < 0 && len(names) > 0 {
			at = 0
		}
		if at >= 0 && at != t.layers.SelectedIndex() {
			t.layers.SetSelectedIndex(at)
		}
	}
	t.setting = false
	t.measure.SetOff(busy != "" || t.layer() == nil, busy)
	t.tools.Refresh()
}

// figure draws the time of the layer over its channels.
func (t *stairs) figure() plot.Figure {
	u, x := t.s.u, t.layer()
	if x == nil {
		t.s.note.SetText(u.T("the time of a layer goes up in steps with its channels"))
		return nil
	}
	told := plot.Series{Colour: u.Theme.Primary, Stairs: true, Dots: true, Rings: true, Name: u.T("foretold")}
	seen := plot.Series{Colour: u.Theme.Text1, Stairs: true, Dots: true, Name: u.T("measured")}
	longest := 0.0
	for _, k := range x.Treads {
		longest = max(longest, k.Ns)
		if k.Measured != nil {
			longest = max(longest, *k.Measured)
		}
	}
	unit := kit.UnitFor(longest)
	for _, k := range x.Treads {
		name := u.F("%d channels", k.Channels)
		edge := ""
		if k.Edge {
			edge = u.T("the last before a step: one channel more costs more than its share")
		}
		tip := func(ns float64, how string) []string {
			out := []string{name, kit.Ms(ns) + " " + how}
			if edge != "" {
				out = append(out, edge)
			}
			return out
		}
		if k.Ns > 0 {
			told.Points = append(told.Points, plot.CurvePoint{X: float64(k.Channels), Y: unit.Value(k.Ns), Lo: unit.Value(k.Low), Hi: unit.Value(k.High), Tip: tip(k.Ns, u.T("foretold"))})
		}
		if k.Measured != nil {
			p := plot.CurvePoint{X: float64(k.Channels), Y: unit.Value(*k.Measured), Tip: tip(*k.Measured, u.T("measured"))}
			if k.Edge {
				p.Ink = u.Theme.Gain
			}
			seen.Points = append(seen.Points, p)
		}
	}
	note := u.F("%s, %d channels now; green: the last before a step", unit.Name, x.Now)
	switch {
	case t.now.Told != nil && len(seen.Points) == 0:
		note = u.T("its kernels were never measured: learn them, or measure the treads of this layer")
	case x.Why != "":
		note = t.s.say.Say(x.Why)
	}
	t.s.note.SetText(note)
	f := &plot.Curve{XTitle: u.T("output channels"), YTitle: unit.Name, XTick: plot.Whole, YTick: plot.Tick, FromZero: true}
	for _, s := range []plot.Series{seen, told} {
		if len(s.Points) > 0 {
			f.Series = append(f.Series, s)
		}
	}
	if len(f.Series) == 0 {
		return nil
	}
	at := float64(x.Now)
	f.Cursor, f.Note = &at, []string{u.F("%d channels", x.Now)}
	for _, p := range f.Series[0].Points {
		if p.X == at {
			f.Note = append(f.Note, p.Tip[1])
		}
	}
	return f
}
