package prune

import (
	"math"
	"path/filepath"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// right makes the inspector: totals, the slider of the whole, and the group that is looked at.
func (s *screen) right() {
	u := s.u
	s.totals, s.card, s.told = container.NewStack(), container.NewStack(), container.NewStack()
	s.share = u.Strong("").Whole()
	s.slider = widget.NewSlider(0.02, 1)
	s.slider.Step = 0.01
	s.slider.Value = 1
	s.slider.OnChanged = func(v float64) {
		s.share.SetText(kit.Percent(v))
		if !s.setting {
			s.do.KeepShare(limits[s.kind], v)
		}
	}
	s.kinds = u.NewSegmented([]string{"ms", "MAC", u.T("bytes")}, 0, func(i int) {
		s.kind = i
		s.do.KeepShare(limits[i], s.slider.Value)
	})
	s.refine = u.NewButton(kit.Outline, "tune", u.T("Refine"), func() { s.do.RefineCuts() }).Small()
	s.tried = plot.NewChart(s.ink, 200, 3*22)
	s.whole = container.NewStack()
	keep := kit.Rows(6, kit.Cols(8, u.Strong(u.T("Keep of the whole")).Whole(), kit.Gap(), s.share), u.Slide(s.slider, 0), kit.Cols(8, s.kinds, kit.Gap(), s.refine), s.told, s.whole)
	s.side = kit.Pad(12, 14, 12, 14, kit.Rows(12, u.Strong(u.T("Running totals")), s.totals, u.HRule(), keep, u.HRule(), s.card))
}

func (s *screen) showSide() {
	u, c := s.u, s.doc.CutsNow()
	studied := c != nil && c.Study != nil
	s.totals.Objects = []fyne.CanvasObject{u.Note(u.T("Study the channels to see what a choice leaves of time, work and weights."))}
	s.told.Objects, s.whole.Objects = nil, nil
	s.setting = true
	if studied {
		s.totals.Objects = []fyne.CanvasObject{s.totalRows()}
		s.slider.Enable()
		for i := range limits {
			s.kinds.SetOff(i, limits[i] == "ms" && c.Study.Ns == 0)
			if limits[i] == c.Kind {
				s.kind = i
				s.kinds.Set(i)
			}
		}
		v := c.Keep
		if v == 0 {
			v = shareLeft(c)
		}
		if math.Abs(s.slider.Value-v) > .004 {
			s.slider.SetValue(v)
		}
		s.share.SetText(kit.Percent(v))
		words := u.Note(u.F("at least %s stays, whatever goes", kit.Percent(c.Floor)))
		if c.Told != nil {
			words = kit.Cols(6, kit.Icon("warning", "warning", 16), kit.Flex(u.Note(u.F("impossible: at least %s stays, whatever goes", kit.Percent(c.Floor)))))
		}
		s.told.Objects = []fyne.CanvasObject{words}
		if f := c.Refined; f != nil {
			s.tried.Set(s.refined(f))
			s.whole.Objects = []fyne.CanvasObject{kit.Rows(4, u.Note(u.F("damage of whole choices, each run and fitted, on %d items; bars: standard error", f.Items)), s.tried)}
		}
	} else {
		s.slider.Disable()
	}
	s.setting = false
	s.card.Objects = []fyne.CanvasObject{s.groupCard()}
	s.side.Refresh()
}

// refined draws how whole choices fared, with their standard errors.
func (s *screen) refined(f *app.Refined) *plot.Bars {
	u := s.u
	bar := func(label string, v, e float64, best bool) plot.Bar {
		ink := u.Theme.Text3
		if best {
			ink = u.Theme.Primary
		}
		return plot.Bar{Label: label, Value: v, Lo: max(v-e, 0), Hi: v + e, Text: Sci(v), Colour: ink, Tip: []string{label, Sci(v) + " ± " + Sci(e)}}
	}
	return &plot.Bars{Rows: []plot.Bar{bar(u.T("same share of all"), f.Even, f.EvenErr, false), bar(u.T("from single cuts"), f.Single, f.SingleErr, false),
		bar(u.F("refined, %d runs", f.Runs), f.Best, f.BestErr, true)}}
}

// shareLeft is what the picks leave of what the slider is about.
func shareLeft(c *app.Cuts) float64 {
	switch c.Kind {
	case "ms":
		return c.Totals.Ns / max(c.Study.Ns, 1)
	case "bytes":
		return c.Totals.Bytes / max(c.Study.Bytes, 1)
	}
	return c.Totals.MACs / max(c.Study.MACs, 1)
}

// groupCard prints the group that is looked at: its layers, what it waits for, and what holds channels back.
func (s *screen) groupCard() fyne.CanvasObject {
	u, c := s.u, s.doc.CutsNow()
	data := s.dataLine()
	if c == nil || s.chosen < 0 {
		return kit.Rows(6, u.Strong(u.T("No group is chosen")), u.Note(u.T("Choose one in the list, or a node of the network: all layers that have to be cut together light up.")), u.HRule(), data)
	}
	g := c.Groups[s.chosen]
	rows := kit.Rows(5, u.Section(u.T("Group"), u.T("lit on the canvas")), u.Dense(g.Name))
	const most = 8
	add := func(icon string, list []string, what string) {
		for i, n := range list {
			if i == most {
				rows.Add(u.Caption(u.F("and %d more", len(list)-most)))
				return
			}
			rows.Add(kit.Cols(6, kit.Icon(icon, "primary", 14), kit.Flex(u.Dense(n)), u.Caption(what).Whole()))
		}
	}
	add("link", g.Makers, u.T("out"))
	add("link", g.Readers, u.T("in"))
	rows.Add(u.Note(s.say.Say(g.Text)))
	if g.Locked != "" {
		lock := kit.Cols(8, kit.Icon("lock", "warning", 16), kit.Flex(u.Para(s.say.Say(g.Locked))))
		rows.Add(container.NewStack(kit.Plate(u.Theme.WarningTint, u.Theme.WarningTint, 6), kit.Pad(8, 10, 8, 10, lock)))
		if len(g.LockKeys) > 0 {
			keys := g.LockKeys
			rows.Add(u.NewButton(kit.Outline, "lock", u.T("Show the node that locks it"), func() {
				s.do.Select(keys, "prune")
				s.do.Show("model")
			}).Small())
		}
	}
	rows.Add(u.HRule())
	rows.Add(data)
	return rows
}

// dataLine says what the study reads.
func (s *screen) dataLine() fyne.CanvasObject {
	u := s.u
	now := u.T("none chosen")
	switch s.doc.Data {
	case "":
	case app.SampleCalibrate:
		now = u.T("the sample's own pictures")
	default:
		now = filepath.Base(s.doc.Data)
	}
	return kit.Rows(6, u.Section(u.T("Calibration"), ""), kit.Cols(8, kit.Flex(u.Soft(now)), u.NewButton(kit.Outline, "folder", u.T("Choose a folder"), func() { u.AskFolder(s.do.SetData) }).Small()))
}
