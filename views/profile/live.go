package profile

import (
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/profiler"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// live is the card of the whole inference: its times, how they are spread, and how far a run has come.
type live struct {
	s        *screen
	card     fyne.CanvasObject
	head     *fyne.Container
	title    *kit.Line
	sub      *kit.Line
	right    *kit.Line
	progress *plot.Chart
	numbers  *plot.Chart
	spread   *plot.Chart
	export   *kit.Button
}

func newLive(s *screen) *live {
	u := s.u
	l := &live{s: s, title: u.Strong(""), sub: u.Caption(""), right: u.Caption("").Right()}
	l.title.Whole()
	l.progress = plot.NewChart(s.ink, 100, 12)
	l.numbers = plot.NewChart(s.ink, 290, 62)
	l.spread = plot.NewChart(s.ink, 160, 62)
	l.export = u.NewButton(kit.Outline, "download", u.T("Export"), func() { s.exportMenu(l.export) }).Small()
	l.head = kit.Cols(10, l.title, kit.Flex(l.sub), l.right.Whole(), l.export)
	body := container.NewBorder(nil, nil, kit.Fixed(296, 0, l.numbers), nil, l.spread)
	l.card = container.NewStack(kit.Plate(u.Theme.Bg2, u.Theme.Line1, 8), kit.Pad(8, 14, 6, 14,
		kit.Rows(4, l.head, l.progress, kit.AtLeast(0, 66, body))))
	return l
}

func (l *live) show(st *app.State, r *app.Run) {
	u, pal := l.s.u, l.s.u.Theme
	l.title.SetText(l.s.say.Say(r.Label))
	job := profiling(st)
	p := r.Profile
	switch {
	case r.Partial && job != nil:
		what := l.s.say.Say(job.What)
		if r.Launch > 0 {
			what = u.F("launch %d", r.Launch) + " · " + what
		}
		l.sub.SetText(what)
		l.right.SetText(kit.Elapsed(time.Since(job.Started)))
		share := 0.0
		if job.Total > 0 {
			share = float64(job.Done) / float64(job.Total)
		}
		l.progress.Set(&plot.Progress{Share: share, Parts: launches(p)})
	case p != nil:
		text := u.F("%s · %s · threads: %d · %s", r.Target, p.Runtime.Name+" "+p.Runtime.Version, p.Plan.Threads, p.Plan.Precision)
		if !p.Complete {
			text += " · " + u.T("interrupted: the end mark is missing")
		}
		l.sub.SetText(text)
		l.right.SetText(u.F("%s samples, launches: %d", kit.Count(int64(p.Clean.N)), p.Clean.Launches))
		l.progress.Set(nil)
	}
	l.head.Refresh() // the widths of its lines changed
	l.progress.Hidden = !r.Partial
	l.export.SetOff(p == nil || r.Partial, u.T("the run is not complete yet"))
	l.numbers.Set(l.headline(p))
	first := 1e6
	if p != nil && p.Clean.P50Ns != nil {
		first = *p.Clean.P50Ns
	} else if len(r.Live) > 0 {
		first = r.Live[0]
	}
	unit := kit.UnitFor(first)
	h := &plot.Histogram{MidTag: "p50", Unit: unit.Name, Tick: plot.Tick, Colour: pal.RunA}
	switch {
	case p != nil:
		for _, v := range p.Clean.SamplesNs {
			h.Values = append(h.Values, unit.Value(float64(v)))
		}
		h.Note = u.F("%s samples, %d outliers kept", kit.Count(int64(p.Clean.N)), p.Clean.Outliers)
		if p.Clean.P50Ns != nil {
			h.Mid = unit.Value(*p.Clean.P50Ns)
		}
	default:
		for _, v := range r.Live {
			h.Values = append(h.Values, unit.Value(v))
		}
		h.Note = u.F("%s samples so far", kit.Count(int64(len(r.Live))))
	}
	l.spread.Set(h)
}

// headline is p50, p90 and p99; one that has too few samples is hatched and says how many it needs.
func (l *live) headline(p *profiler.Profile) *plot.Numbers {
	u := l.s.u
	f := &plot.Numbers{}
	for _, q := range percentiles(p) {
		n := plot.Number{Name: q.name, Note: u.F("needs n ≥ %s", kit.Count(int64(q.need)))}
		if q.ns != nil {
			n.Text, n.Unit = apart(kit.Ms(*q.ns))
			n.Note = ""
			if q.name == "p50" {
				n.Note = kit.Interval(*q.ns, p.Clean.IntervalP50)
			}
		}
		f.List = append(f.List, n)
	}
	return f
}

// apart takes a number and its unit apart.
func apart(s string) (string, string) {
	for i := len(s) - 1; i > 0; i-- {
		if s[i] == 0xa0 && s[i-1] == 0xc2 { // the no-break space before a unit
			return s[:i-1], s[i+1:]
		}
	}
	return s, ""
}

func launches(p *profiler.Profile) int {
	if p == nil {
		return 0
	}
	return p.Clean.Launches
}

// profiling is the job that measures now.
func profiling(st *app.State) *app.Job {
	for _, j := range st.Active() {
		if j.Title == "Profile" {
			return j
		}
	}
	return nil
}
