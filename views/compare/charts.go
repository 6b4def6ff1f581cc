package compare

import (
	"fmt"
	"math"
	"strings"

	"fettle/profiler"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// mostColumns of a waterfall between A and B; the rest is joined.
const mostColumns = 11

// redraw makes the waterfall anew.
func (s *screen) redraw() {
	if s.shown == nil {
		return
	}
	u, c := s.u, s.shown.Result
	unsure := c.Verdict == profiler.NoDifference
	if unsure {
		s.title.SetText(u.F("The medians differ by %s, which may be chance", kit.Ms(math.Abs(c.DeltaNs))))
	} else {
		s.title.SetText(u.F("Where the %s went", kit.Ms(math.Abs(c.DeltaNs))))
	}
	a, b := s.shown.A.Profile, s.shown.B.Profile
	if a != nil && b != nil {
		s.fallSub.SetText(u.F("%s, p50; %d launches × %d in A, %d × %d in B", s.unit.Name, a.Clean.Launches, each(a), b.Clean.Launches, each(b)))
	}
	s.fallTop.Refresh() // the width of the title changed
	f := &plot.Waterfall{Muted: unsure, Tick: func(v float64) string { return plot.Tick(v) }, Foot: u.T("Bars add up exactly to the difference."),
		FootCut: func(at string) string {
			return u.F("Bars add up exactly to the difference. The axis starts at %s (cut marks on A and B).", s.unit.WithName(at))
		},
		Selected: func(k []string) bool { return s.selected(k, true) }}
	f.Steps = append(f.Steps, plot.Step{Label: "A", Sub: s.say.Say(s.shown.A.Label), Value: s.unit.Value(c.A.P50Ns), Text: s.unit.Cell(c.A.P50Ns), Kind: plot.TotalA,
		Tip: []string{s.shown.A.Label, kit.Ms(c.A.P50Ns)}})
	for _, m := range moves(c, s.by) {
		f.Steps = append(f.Steps, s.step(m))
	}
	f.Steps = append(f.Steps, plot.Step{Label: "B", Sub: s.say.Say(s.shown.B.Label), Value: s.unit.Value(c.B.P50Ns), Text: s.unit.Cell(c.B.P50Ns), Kind: plot.TotalB,
		Tip: []string{s.shown.B.Label, kit.Ms(c.B.P50Ns)}})
	f.Steps = plot.MergeSmall(f.Steps, .01, mostColumns, func(joined []plot.Step, sum float64) plot.Step {
		return plot.Step{Label: u.T("small"), Sub: fmt.Sprintf("× %d", len(joined)), Text: s.unit.Delta(sum * s.unit.Ns), Tip: []string{u.F("%d small moves", len(joined)), s.unit.WithName(s.unit.Delta(sum * s.unit.Ns))}}
	})
	s.fall.Set(f)
}

func (s *screen) step(m move) plot.Step {
	u := s.u
	st := plot.Step{Keys: m.keys, Value: s.unit.Value(m.ns), Text: s.unit.Delta(m.ns), Label: m.label, Sub: fmt.Sprintf("× %d", m.count)}
	switch {
	case m.rest:
		st.Label, st.Sub, st.Kind = u.T("unattributed"), "", plot.Unattributed
	case s.by == byLayer:
		st.Label, st.Sub = m.label, ""
		if sc := scope(m.label); sc != m.label {
			st.Label, st.Sub = strings.TrimPrefix(strings.Trim(m.label, "/")[len(sc):], "."), sc
			st.Label = strings.TrimPrefix(st.Label, "/")
		}
	case s.by == byMove:
		first, rest, ok := strings.Cut(m.label, ", ")
		st.Label = s.say.Say(first)
		if ok {
			st.Sub = s.say.Say(rest)
		}
	}
	st.Tip = []string{st.Label, s.unit.WithName(s.unit.Delta(m.ns))}
	if m.count > 1 {
		st.Tip = append(st.Tip, u.F("%d layers", m.count))
	}
	if m.label != "" && m.label != st.Label {
		st.Tip = append(st.Tip, m.label)
	}
	return st
}

func each(p *profiler.Profile) int {
	if p.Clean.Launches == 0 {
		return 0
	}
	return p.Clean.N / p.Clean.Launches
}
