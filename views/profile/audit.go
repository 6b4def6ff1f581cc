package profile

import (
	"strconv"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// audit is the part that holds what a board computes against what this computer computes, layer by layer.
type audit struct {
	s      *screen
	object fyne.CanvasObject
	tools  fyne.CanvasObject
	start  *kit.Button
	graph  *kit.Button
	words  *fyne.Container
	table  *plot.Table
	shown  *app.Audited
	chosen []string
}

func newAudit(s *screen) *audit {
	u := s.u
	a := &audit{s: s, words: kit.Rows(2)}
	a.start = u.NewButton(kit.Outline, "play", u.T("Audit the board"), func() { s.do.AuditBoard(s.bar.board()) }).Small()
	a.graph = u.NewButton(kit.Link, "model", u.T("Show on the graph"), func() {
		if len(a.chosen) > 0 {
			s.do.Select(a.chosen, "profile")
		}
		s.do.Show("model")
	}).Small()
	a.tools = kit.Cols(8, a.graph, a.start)
	a.table = plot.NewTable(s.ink, []plot.Column{{Title: u.T("Layer"), Width: 92, Grow: 1}, {Title: u.T("Kind"), Width: 80, Grow: .6, Caption: true}, {Title: u.T("verdict"), Width: 96},
		{Title: u.T("by itself"), Width: 72, Align: plot.Right}, {Title: u.T("allowed"), Width: 66, Align: plot.Right}, {Title: u.T("input"), Width: 44, Align: plot.Right}})
	a.table.Empty = u.T("Each value that leaves a step on the board is compared with what this computer makes of it")
	a.table.OnSelect = func(keys []string) { a.chosen = keys; s.do.Select(keys, "profile") }
	a.object = container.NewBorder(kit.Pad(0, 14, 6, 14, a.words), kit.Space(0, 4), nil, nil, a.table)
	return a
}

func (a *audit) show(st *app.State) {
	u := a.s.u
	why := ""
	switch {
	case st.Doc == nil:
		why = u.T("open a model first")
	case len(st.Active()) > 0:
		why = u.T("one measurement at a time")
	}
	a.start.SetOff(why != "", why)
	n := st.Doc.AuditNow()
	a.graph.Hidden = n == nil
	if n == a.shown && n != nil {
		a.table.Repaint()
		return
	}
	a.shown = n
	a.words.RemoveAll()
	defer a.words.Refresh()
	if n == nil {
		a.table.SetRows(0, nil)
		return
	}
	icon, token, text, more := headlineOf(u, n)
	a.chosen = nil
	if n.First != nil {
		a.chosen = n.First.Origin
	}
	a.words.Add(kit.Cols(8, kit.Icon(icon, token, 16), kit.Flex(u.Strong(text))))
	a.words.Add(u.Note(more))
	a.table.SetRows(len(n.Layers), func(i int) plot.Row { return a.row(&n.Layers[i]) })
}

// headlineOf says whether the board computes what this computer does, and where it first does not.
func headlineOf(u words, n *app.Audited) (icon, token, text, more string) {
	same, rounding, inherited, differ := 0, 0, 0, 0
	for _, l := range n.Layers {
		switch l.Verdict {
		case app.AuditSame:
			same++
		case app.AuditRounding:
			rounding++
		case app.AuditInherited:
			inherited++
		default:
			differ++
		}
	}
	more = u.F("%s against this computer on %d inputs: %d values bit-equal, %d within rounding, %d only after others, %d differ", boardLabel(u, n.Target), n.Inputs, same, rounding, inherited, differ)
	if f := n.First; f != nil {
		return "warning", "danger", u.F("First layer that differs: %s, on input %d (%s of the largest value, %s allowed)", f.Name, f.Input+1, short(f.Own), short(f.Tolerance)), more
	}
	return "check", "success", u.T("No layer computes something else"), more
}

func boardLabel(u words, target string) string {
	if target == app.LocalTarget || target == "" {
		return u.T("This computer")
	}
	return target
}

// short is a share that may be tiny.
func short(v float64) string {
	if v == 0 {
		return "0"
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

func (a *audit) row(l *app.AuditLayer) plot.Row {
	u := a.s.u
	verdict := plot.Cell{}
	switch l.Verdict {
	case app.AuditSame:
		verdict = plot.Cell{Text: u.T("bit-equal"), Colour: u.Theme.Success}
	case app.AuditRounding:
		verdict = plot.Cell{Text: u.T("rounding"), Colour: u.Theme.Text2}
	case app.AuditInherited:
		verdict = plot.Cell{Text: u.T("after others"), Colour: u.Theme.Warning, Sign: plot.Warn}
	default:
		verdict = plot.Cell{Text: u.T("differs"), Colour: u.Theme.Danger, Sign: plot.Warn}
	}
	input := kit.Absent
	if l.Own > 0 {
		input = strconv.Itoa(l.Input + 1)
	}
	return plot.Row{Keys: l.Origin, Chosen: a.s.selected(l.Origin, false), Cells: []plot.Cell{{Text: l.Name}, {Text: l.Op + " · " + l.Kernel}, verdict, {Text: short(l.Own)}, {Text: short(l.Tolerance)}, {Text: input}},
		Tip: []string{l.Name, u.F("from the same inputs of the model: %s", short(l.Whole)), u.F("from the board's own inputs of the layer: %s", short(l.Own))}}
}
