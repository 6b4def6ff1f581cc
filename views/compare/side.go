package compare

import (
	"math"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/profiler"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// side is the panel at the right: the network as blocks with what each gained, and the conditions of both runs.
type side struct {
	s      *screen
	panel  fyne.CanvasObject
	ramp   *plot.Chart
	chain  *plot.Chart
	room   *fyne.Container // as high as the chain
	table  *plot.Table
	differ *kit.Line
	notes  *fyne.Container
	body   *fyne.Container
	list   []block
	lines  []condition
}

func newSide(s *screen) *side {
	u := s.u
	d := &side{s: s}
	d.ramp = plot.NewChart(s.ink, 140, 26).OnGround(u.Theme.Bg2)
	d.chain = plot.NewChart(s.ink, 160, 40)
	d.chain.OnTap = func(m plot.Mark) { s.do.Select(m.Keys, "compare") }
	d.room = container.NewStack(kit.Space(0, 40), d.chain)
	d.differ = u.Caption("").Right()
	d.table = plot.NewTable(s.ink, []plot.Column{{Title: "", Width: 70, Grow: 1}, {Title: "A", Width: 84, Align: plot.Right}, {Title: "B", Width: 84, Align: plot.Right}})
	d.notes = kit.Rows(2)
	top := kit.Rows(8, kit.Cols(8, u.Strong(u.T("Graph overlay")).Whole(), kit.Gap(), u.Caption(u.T("change of each block")).Whole()),
		kit.Cols(14, kit.Flex(d.ramp), kit.Rows(2, d.key(u.T("new in B"), false), d.key(u.T("gone in B"), true))))
	foot := kit.Rows(6, kit.Cols(8, u.Strong(u.T("Conditions")).Whole(), kit.Flex(d.differ)), kit.Fixed(0, plot.HeadHeight+5*plot.RowHeight, d.table), d.notes)
	scroll := container.NewVScroll(d.room)
	d.body = container.NewBorder(top, kit.Pad(10, 0, 0, 0, foot), nil, nil, kit.Pad(6, 0, 0, 0, scroll))
	d.panel = container.NewStack(canvas.NewRectangle(u.Theme.Bg2), container.NewBorder(nil, nil, kit.Fixed(1, 0, kit.Plate(u.Theme.Line1, u.Theme.Line1, 0)), nil,
		kit.Pad(12, 14, 12, 14, d.body)))
	return d
}

// key is a line of the legend: the edge of a block that is new or gone.
func (d *side) key(text string, gone bool) fyne.CanvasObject {
	u := d.s.u
	edge := u.Theme.Primary
	if gone {
		edge = u.Theme.Loss
	}
	return kit.Cols(6, kit.Fixed(10, 10, kit.Plate(u.Theme.Bg2, edge, 2)), u.Caption(text).Whole())
}

func (d *side) show(c *app.Comparison) {
	u := d.s.u
	d.list = blocks(c.Result, c.A.Profile, c.B.Profile)
	m := 0.0
	for _, b := range d.list {
		m = max(m, math.Abs(b.delta))
	}
	d.ramp.Set(&plot.Ramp{Low: d.s.unit.Delta(-m), High: d.s.unit.Delta(m)})
	d.redraw()
	d.lines = conditions(u, c.A.Profile, c.B.Profile)
	n := 0
	for _, l := range d.lines {
		if l.differ {
			n++
		}
	}
	if n == 0 {
		d.differ.Set(u.T("alike"), u.Theme.Success)
	} else {
		d.differ.Set(u.F("differences: %d", n), u.Theme.Warning)
	}
	d.table.SetRows(len(d.lines), func(i int) plot.Row {
		l := d.lines[i]
		name := plot.Cell{Text: l.name}
		a, b := plot.Cell{Text: l.a, Colour: u.Theme.RunA}, plot.Cell{Text: l.b, Colour: u.Theme.RunB}
		if l.differ {
			name.Sign, name.Colour = plot.Warn, u.Theme.Warning
		}
		return plot.Row{Cells: []plot.Cell{name, a, b}}
	})
	d.notes.RemoveAll()
	for i, why := range c.Result.Conditions {
		if i == 2 {
			break // the table has them all
		}
		d.notes.Add(container.NewBorder(nil, nil, kit.Rows(0, kit.Icon("warning", "warning", 14)), nil, kit.Pad(0, 0, 0, 6, u.Note(d.s.say.Say(why)))))
	}
	d.body.Refresh() // the notes need room
}

func (d *side) redraw() {
	u, m := d.s.u, 0.0
	for _, b := range d.list {
		m = max(m, math.Abs(b.delta))
	}
	f := &plot.Blocks{Selected: func(k []string) bool { return d.s.selected(k, false) }}
	for _, b := range d.list {
		x := plot.Block{Keys: b.keys, Name: b.name, Text: d.s.unit.Delta(b.delta), Added: b.added, Gone: b.gone, Tip: []string{b.name, d.s.unit.WithName(d.s.unit.Delta(b.delta))}}
		if m > 0 && d.s.shown.Result.Verdict != profiler.NoDifference {
			x.Share = b.delta / m
		}
		if b.added {
			x.Tip = append(x.Tip, u.T("new in B"))
		}
		f.List = append(f.List, x)
	}
	d.room.Objects[0] = kit.Space(0, f.Height())
	d.chain.Set(f)
	d.room.Refresh()
}
