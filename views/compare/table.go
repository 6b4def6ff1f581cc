package compare

import (
	"math"
	"strings"

	"fettle/profiler"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

func (s *screen) columns() []plot.Column {
	u, t := s.u, s.u.Theme
	return []plot.Column{
		{Title: u.T("B layer ← A operators"), Width: 150, Grow: 1.6},
		{Title: "A " + s.unit.Name, Width: 64, Align: plot.Right, DataInk: t.RunA},
		{Title: "B " + s.unit.Name, Width: 64, Align: plot.Right, DataInk: t.RunB},
		{Title: "Δ " + s.unit.Name, Width: 150, Grow: .8, Measured: true, Align: plot.Centre},
		{Title: "Δ %", Width: 70, Align: plot.Right},
		{Title: u.T("verdict (Holm)"), Width: 120, Grow: .5},
		{Title: u.T("why"), Width: 60, Grow: .9, Caption: true, Optional: true},
	}
}

// relist makes the rows of the table anew.
func (s *screen) relist() {
	s.listed = nil
	if s.shown == nil {
		return
	}
	s.listed = rows(s.shown.Result, s.shown.A.Profile, s.shown.B.Profile, s.sort, s.filter)
	s.count.SetText(s.u.F("%d rows, matched by the imported nodes, many to many", len(s.listed)))
	neg, pos := 0.0, 0.0
	for _, r := range s.listed {
		neg, pos = max(neg, -r.delta), max(pos, r.delta)
	}
	ax := axis(neg, pos)
	s.table.SetRows(len(s.listed), func(i int) plot.Row { return s.tableRow(s.listed[i], ax) })
}

// zero is where the zero line of the change stands, and how long a nanosecond is, as shares of the column.
type zero struct{ at, unit float64 }

// axis leaves a third of the column on either side for the number.
func axis(neg, pos float64) zero {
	if neg+pos <= 0 {
		return zero{at: .5}
	}
	z := zero{at: min(max(neg/(neg+pos), .36), .64)}
	z.unit = math.Inf(1)
	if neg > 0 {
		z.unit = z.at / neg
	}
	if pos > 0 {
		z.unit = min(z.unit, (1-z.at)/pos)
	}
	return z
}

func (s *screen) tableRow(r aligned, z zero) plot.Row {
	u, t := s.u, s.u.Theme
	out := plot.Row{Keys: r.keys, Chosen: s.selected(r.keys, false)}
	ink := t.Text3
	if r.verdict == profiler.Faster {
		ink = t.Gain
	} else if r.verdict == profiler.Slower {
		ink = t.Loss
	}
	name := plot.Cell{Text: r.name}
	switch {
	case r.rest:
		name, out.Keys, out.Dim = plot.Cell{Text: u.T("unattributed")}, nil, true
	case r.added:
		name.Sub = u.T("new in B")
	case r.gone:
		name.Sub = u.T("gone in B")
	case r.from != "":
		name.Sub = "← " + r.from
	}
	bar := plot.RowBar{From: z.at, To: z.at + r.delta*z.unit, Axis: z.at, Colour: ink, Hatch: r.rest, Text: s.unit.Delta(r.delta)}
	verdict := plot.Cell{Colour: ink}
	switch {
	case r.rest:
	case r.verdict == profiler.Faster:
		verdict.Text, verdict.Sign = u.T("faster"), plot.Down
	case r.verdict == profiler.Slower:
		verdict.Text, verdict.Sign = u.T("slower"), plot.Up
	default:
		verdict.Text, verdict.Sign = u.T("none shown"), plot.Dash
	}
	share := plot.Cell{Text: kit.Absent}
	if r.share != nil {
		share.Text = strings.TrimSuffix(kit.DeltaPercent(*r.share), "\u00a0%")
	} else if r.added {
		share.Text = u.T("new")
	}
	out.Cells = []plot.Cell{name, s.cell(r.a), s.cell(r.b), {Bar: &bar}, share, verdict, {Text: s.say.Say(r.why)}}
	if !r.rest {
		out.Tip = []string{r.name, s.unit.WithName(s.unit.Delta(r.delta)) + "  " + kit.Interval(r.delta, r.interval)}
		if r.from != "" {
			out.Tip = append(out.Tip, "← "+r.from)
		}
		if r.why != "" {
			out.Tip = append(out.Tip, s.say.Say(r.why))
		}
	}
	return out
}

// cell is a time that may be absent.
func (s *screen) cell(ns *float64) plot.Cell {
	if ns == nil {
		return plot.Cell{Text: kit.Absent}
	}
	return plot.Cell{Text: s.unit.Cell(*ns)}
}
