package profile

import (
	"fmt"
	"math"

	"fettle/views/kit"
	"fettle/views/kit/plot"
)

func (s *screen) columns(end string) []plot.Column {
	u := s.u
	return []plot.Column{
		{ID: columnName, Title: u.T("Layer"), Width: 92, Grow: 1},
		{ID: columnKind, Title: u.T("Kind"), Width: 100, Grow: .7, Caption: true},
		{Title: "", Width: 34, Caption: true, Optional: true},
		{ID: columnMs, Title: s.unit.Name, Width: 56, Align: plot.Right},
		{Title: "0", End: end, Width: 98, Grow: 1.3, Measured: true},
		{ID: columnPeak, Title: u.T("of peak"), Width: 60, Align: plot.Right},
		{Title: "%", Width: 48, Align: plot.Right},
	}
}

// tableRow writes a row; hi is the time at the right end of the bars.
func (s *screen) tableRow(r row, hi float64) plot.Row {
	u, p := s.u, s.u.Theme
	out := plot.Row{Keys: r.keys}
	name, kind, dtype := plot.Cell{Text: r.name}, plot.Cell{Text: r.op}, plot.Cell{Text: kit.ShortType(r.dtype), Colour: p.DType(r.dtype)}
	ms, share := plot.Cell{Text: s.unit.Cell(r.ns)}, plot.Cell{Text: kit.Sig(r.share * 100)}
	bar := plot.Cell{Bar: &plot.RowBar{To: min(r.ns/hi, 1)}}
	peak := plot.Cell{Text: kit.Absent, Colour: p.Text3}
	if v := r.ofPeak(); v != nil {
		peak = plot.Cell{Text: kit.Percent(*v)}
	}
	switch r.kind {
	case layerRow:
		if r.note != "" {
			kind.Text += " · " + r.note
		}
		bar.Bar.Colour = p.HeatAt(r.ns / hi)
		bar.Bar.Lo, bar.Bar.Hi = r.lo/hi, r.hi/hi
		if r.floor != nil {
			bar.Bar.Floor = min(*r.floor/hi, 1)
		}
		out.Tip = s.tip(r)
		out.Chosen = s.selected(r.keys, false)
	case absentRow:
		ms, share, bar = plot.Cell{Text: kit.Absent}, plot.Cell{Text: kit.Absent}, plot.Cell{Hatch: true}
	case groupRow:
		dtype = plot.Cell{}
		kind.Text = fmt.Sprintf("× %d", r.count)
		bar.Bar.Colour = p.Line3
		out.Dim = true
		if s.view.mode == "kind" {
			out.Dim, bar.Bar.Colour = false, p.Op(r.op)
		} else {
			name.Text = u.F("%d more %s", r.count, r.op)
		}
		if r.floor != nil && *r.floor <= hi {
			bar.Bar.Floor = *r.floor / hi
		}
		out.Chosen = s.selected(r.keys, true)
	case restRow:
		name.Text, kind.Text, dtype = u.T("unattributed"), u.T("between layers"), plot.Cell{}
		bar.Bar.To, bar.Bar.Hatch = min(math.Abs(r.ns)/hi, 1), true
		peak = plot.Cell{}
		out.Dim = true
	case sumRow:
		name.Text, kind, dtype = u.T("Sum"), plot.Cell{}, plot.Cell{}
		out.Bold, out.Rule = true, true
		bar = plot.Cell{Text: u.F("closure %s", kit.Percent(s.run.Profile.Closure)), Colour: p.Text2}
		peak, share = plot.Cell{}, plot.Cell{Sign: plot.SealSign(s.run.Profile.Conditions.Seal)}
	}
	out.Cells = []plot.Cell{name, kind, dtype, ms, bar, peak, share}
	return out
}

func (s *screen) tip(r row) []string {
	u := s.u
	out := []string{r.name, kit.Ms(r.ns) + "  " + kit.Interval(r.ns, [2]float64{r.lo, r.hi})}
	if r.floor != nil {
		out = append(out, u.F("floor %s", kit.Ms(*r.floor)))
		if r.why != "" {
			out = append(out, s.say.Say(r.why))
		}
	}
	return append(out, fmt.Sprintf("%s %s", kit.Percent(r.share), u.T("of the inference")))
}
