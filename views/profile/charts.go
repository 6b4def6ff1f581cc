package profile

import (
	"fmt"
	"math"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/profiler"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// redraw makes the figure of the chart card anew.
func (s *screen) redraw() {
	if s.run != nil && s.run.Profile == nil {
		s.charts.Set(s.arriving(s.run))
		return
	}
	if s.run == nil || len(s.run.Profile.Layers) == 0 && s.chart != 2 {
		s.note.SetText("")
		s.memory.SetText("")
		s.charts.Set(nil)
		return
	}
	p := s.run.Profile
	s.memory.SetText(s.memoryLine(p))
	switch s.chart {
	case 1:
		s.charts.Set(s.roof(p))
	case 2:
		s.charts.Set(s.samples(p))
	default:
		s.charts.Set(s.byKind(p))
	}
}

// memoryLine is what the run held and what looking at it cost. Sizes that were not measured are left out.
func (s *screen) memoryLine(p *profiler.Profile) string {
	u, m := s.u, p.Memory
	var parts []string
	for _, x := range []struct {
		key string
		n   int64
	}{{"weights %s", m.Weights}, {"arena %s", m.ArenaPlanned}, {"peak memory %s", m.RSSPeak}} {
		if x.n > 0 {
			parts = append(parts, u.F(x.key, kit.Bytes(x.n)))
		}
	}
	return strings.Join(append(parts, u.F("looking inside cost %s", kit.Percent(p.ObserverCost))), " · ")
}

func (s *screen) byKind(p *profiler.Profile) plot.Figure {
	u := s.u
	f := &plot.Bars{Selected: func(k []string) bool { return s.selected(k, true) }}
	all := groups(layers(p))
	unit := kit.UnitFor(longest(all))
	for _, g := range all {
		b := plot.Bar{Keys: g.keys, Label: g.op, Note: fmt.Sprintf("× %d", g.count), Value: g.ns, Text: unit.Cell(g.ns), Colour: u.Theme.Op(g.op),
			Tip: []string{g.op, kit.Ms(g.ns), kit.Percent(g.share) + " " + u.T("of the inference")}}
		if g.floor != nil {
			b.Floor = g.floor
			b.Tip = append(b.Tip, u.F("floor %s", kit.Ms(*g.floor)))
		}
		f.Rows = append(f.Rows, b)
	}
	if p.Clean.P50Ns != nil {
		f.Rows = append(f.Rows, plot.Bar{Label: u.T("unattributed"), Value: math.Abs(p.UnattributedNs), Text: unit.Cell(p.UnattributedNs), Hatch: true})
	}
	s.note.SetText(u.F("%s, p50; the tick with a halo is the floor", unit.Name))
	return f
}

func (s *screen) roof(p *profiler.Profile) plot.Figure {
	u := s.u
	spots, peak, bandwidth := roofline(p)
	f := &plot.Roofline{Peak: peak, Bandwidth: bandwidth, XTitle: u.T("MAC for each byte moved"), YTitle: "GMAC/s", Tick: plot.Tick,
		Selected: func(k []string) bool { return s.selected(k, false) }}
	if peak > 0 {
		f.PeakTag = u.F("highest floor: %s GMAC/s", kit.Sig(peak))
		f.BandTag = u.F("memory %s GB/s", kit.Sig(bandwidth))
		s.note.SetText(u.F("%d layers; the roof is what their floors assume", len(spots)))
	} else {
		s.note.SetText(u.F("%d layers; no floor is known for this target", len(spots)))
	}
	hot := 0.0
	for _, x := range spots {
		hot = max(hot, x.ns)
	}
	for _, x := range spots {
		f.Spots = append(f.Spots, plot.Spot{Keys: x.keys, Name: x.name, X: x.intensity, Y: x.rate, Heat: x.ns / hot, Radius: 3 + 4*float32(math.Sqrt(x.ns/hot)),
			Tip: []string{x.name, kit.Ms(x.ns), kit.Sig(x.rate) + " GMAC/s", u.F("%s MAC for each byte", kit.Sig(x.intensity))}})
	}
	return f
}

// samples shows the whole inferences in the order in which they ran: drift and outliers are seen here.
func (s *screen) samples(p *profiler.Profile) plot.Figure {
	u := s.u
	unit := kit.UnitFor(p.Clean.MinNs)
	f := &plot.Line{Joined: true, Colour: u.Theme.RunA, Tick: plot.Tick, Unit: unit.Name}
	starts, n := map[int]int{}, 0
	for i, l := range p.Launches {
		starts[n] = i + 1
		n += l.N
	}
	for i, v := range p.Clean.SamplesNs {
		pt := plot.Point{X: float64(i), Y: unit.Value(float64(v))}
		if k, ok := starts[i]; ok {
			pt.Label = u.F("launch %d", k)
		}
		f.Points = append(f.Points, pt)
	}
	s.note.SetText(u.F("first inference %s, load %s", kit.Ms(p.Clean.FirstNs), kit.Ms(p.Clean.LoadNs)))
	return f
}

// arriving shows the inferences of a run under way, in their order.
func (s *screen) arriving(r *app.Run) plot.Figure {
	s.memory.SetText("")
	if len(r.Live) < 2 {
		s.note.SetText(s.u.T("waiting for the first samples"))
		return nil
	}
	unit := kit.UnitFor(r.Live[0])
	f := &plot.Line{Joined: true, Colour: s.u.Theme.RunA, Tick: plot.Tick, Unit: unit.Name}
	for i, v := range r.Live {
		f.Points = append(f.Points, plot.Point{X: float64(i), Y: unit.Value(v)})
	}
	s.note.SetText(s.u.F("inferences as they arrive, launch %d", r.Launch))
	return f
}

// formats that a run can be written in.
var formats = []string{"html", "png", "svg", "pdf", "csv", "json"}

func (s *screen) exportMenu(beside fyne.CanvasObject) {
	if s.run == nil {
		return
	}
	r, u := s.run, s.u
	var items []*fyne.MenuItem
	for _, f := range formats {
		items = append(items, fyne.NewMenuItem(strings.ToUpper(f), func() {
			u.AskSave(fmt.Sprintf("%s.%s", fileName(r.Label), f), func(path string) { s.do.ExportRun(r.ID, f, path) })
		}))
	}
	at := fyne.CurrentApp().Driver().AbsolutePositionForObject(beside)
	widget.ShowPopUpMenuAtPosition(fyne.NewMenu("", items...), u.Window.Canvas(), at.AddXY(0, beside.Size().Height+4))
}

// fileName keeps what every system takes in the name of a file.
func fileName(label string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>| `, r) || r < ' ' {
			return '-'
		}
		return r
	}, label)
}
