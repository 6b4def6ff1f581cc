package profile

import (
	"fmt"
	"math"
	"strconv"
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
	if s.chart == seeStairs {
		s.memory.SetText("")
		s.charts.Set(s.stairs.figure())
		return
	}
	if s.run != nil && s.run.Profile == nil {
		s.charts.Set(s.arriving(s.run))
		return
	}
	if s.run == nil || len(s.run.Profile.Layers) == 0 && s.chart != seeInferences {
		s.note.SetText("")
		s.memory.SetText("")
		s.charts.Set(nil)
		return
	}
	p := s.run.Profile
	s.memory.SetText(s.memoryLine(p))
	switch s.chart {
	case seeRoof:
		s.charts.Set(s.roof(p))
	case seeInferences:
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

// roof places the layers under what the target can do: the direct algorithm is the wall, other algorithms pass it.
func (s *screen) roof(p *profiler.Profile) plot.Figure {
	u := s.u
	r := app.NewRoofline(p)
	f := &plot.Roofline{Peak: r.Roof.PeakMACs / 1e9, Bandwidth: r.Roof.Bandwidth / 1e9, XTitle: u.T("MAC for each byte moved"), YTitle: "GMAC/s", Tick: plot.Tick,
		Selected: func(k []string) bool { return s.selected(k, false) }}
	f.PeakTag = u.F("direct, floats: %s GMAC/s", kit.Sig(f.Peak))
	f.BandTag = u.F("memory %s GB/s", kit.Sig(f.Bandwidth))
	if best := highest(p); best > f.Peak*1.05 {
		f.Roofs = append(f.Roofs, plot.Guide{At: best, Text: u.F("best algorithm: %s GMAC/s", kit.Sig(best)), Colour: u.Theme.Text2})
	}
	note := u.F("%d layers under the roof of this target", len(r.Points))
	if f.Peak == 0 {
		f.Roofs = append(f.Roofs, plot.Guide{At: r.Roof.BestMACs / 1e9, Text: u.F("fastest without Winograd: %s GMAC/s", kit.Sig(r.Roof.BestMACs/1e9)), Colour: u.Theme.Text2})
	}
	if r.Roof.Why != "" {
		note = s.say.Say(buttonFor(r.Roof.Why))
	}
	s.note.SetText(note)
	windows, hot := windowsOf(p), 0.0
	for _, x := range r.Points {
		hot = max(hot, x.Ns)
	}
	counts := [3]int{}
	for _, x := range r.Points {
		tip := []string{x.Label, kit.Ms(x.Ns), kit.Sig(x.Rate/1e9) + " GMAC/s", u.F("%s MAC for each byte", kit.Sig(x.Intensity))}
		if x.Reached > 0 {
			tip = append(tip, u.F("%s of its roof", kit.Percent(x.Reached))+bound(u, x.Bound))
		}
		shape := windows[x.Label]
		counts[shape]++
		f.Spots = append(f.Spots, plot.Spot{Keys: x.Origin, Name: x.Label, X: x.Intensity, Y: x.Rate / 1e9, Heat: x.Ns / hot, Shape: shape, Radius: 3 + 4*float32(math.Sqrt(x.Ns/hot)), Tip: tip})
	}
	f.Shapes = make([]string, 3)
	for i, name := range []string{"1×1", "3×3", u.T("other")} {
		if counts[i] > 0 {
			f.Shapes[i] = name + " · " + strconv.Itoa(counts[i])
		}
	}
	return f
}

// buttonFor names the button of the window instead of the command that does the same.
func buttonFor(why string) string {
	before, after, ok := strings.Cut(why, ": fettle target facts ")
	if !ok {
		return why
	}
	_, rest, _ := strings.Cut(after, "; ")
	if rest != "" {
		rest = "; " + rest
	}
	return before + " (Boards, Measure memory and storage)" + rest
}

// bound says what holds a layer back.
func bound(u words, by string) string {
	switch by {
	case "compute":
		return u.T(", bound by products")
	case "memory":
		return u.T(", bound by memory")
	}
	return ""
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

// chartFormats are those of a chart that is no run.
var chartFormats = []string{"png", "svg", "pdf", "csv", "json"}

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
	more := func(title, name string, write func(format, path string)) {
		var list []*fyne.MenuItem
		for _, f := range chartFormats {
			list = append(list, fyne.NewMenuItem(strings.ToUpper(f), func() {
				u.AskSave(fmt.Sprintf("%s.%s", fileName(name), f), func(path string) { write(f, path) })
			}))
		}
		item := fyne.NewMenuItem(title, nil)
		item.ChildMenu = fyne.NewMenu("", list...)
		items = append(items, item)
	}
	items = append(items, fyne.NewMenuItemSeparator())
	more(u.T("Roofline"), r.Label+"-roofline", func(f, path string) { s.do.ExportRoofline(r.ID, f, path) })
	if x := s.stairs.layer(); x != nil {
		more(u.T("Staircase"), x.Label+"-staircase", func(f, path string) { s.do.ExportStairs(x.Label, f, path) })
		more(u.T("Staircases of all layers"), r.Label+"-staircases", func(f, path string) { s.do.ExportStairs("", f, path) })
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
