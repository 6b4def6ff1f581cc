package compress

import (
	"image/color"
	"math"
	"path/filepath"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/model"
	"fettle/views/kit"
	"fettle/views/kit/plot"
	"fettle/views/kit/theme"
)

func (s *screen) columns() []plot.Column {
	u := s.u
	return []plot.Column{
		{ID: columnName, Title: u.T("Layer"), Width: 92, Grow: 1},
		{Title: u.T("type"), Width: 44, Caption: true},
		{ID: columnBytes, Title: u.T("weights"), Width: 62, Align: plot.Right, Optional: true},
		{ID: columnDamage, Title: u.T("damage"), Width: 72, Align: plot.Right},
		{Title: u.T("as int8"), Width: 56, Grow: .4, Measured: true},
		{ID: columnMs, Title: u.T("float"), Width: 66, Align: plot.Right},
		{Title: "int8", Width: 66, Align: plot.Right},
		{ID: columnGain, Title: "Δ", Width: 76, Align: plot.Right},
	}
}

// relist makes the rows of the table anew.
func (s *screen) relist() {
	s.listed = layers(s.doc)
	order(s.listed, s.sort, s.up)
	worst := 0.0
	for _, l := range s.listed {
		if l.damage != nil {
			worst = max(worst, l.damage.Damage())
		}
	}
	s.table.SetSort(s.sort, s.up)
	s.table.SetRows(len(s.listed), func(i int) plot.Row { return s.tableRow(s.listed[i], worst) })
}

func (s *screen) tableRow(l layer, worst float64) plot.Row {
	u, t := s.u, s.u.Theme
	out := plot.Row{Keys: l.keys, Chosen: l.id == s.chosen, Dim: l.refused != ""}
	time := func(ns *float64) plot.Cell {
		if ns == nil {
			return plot.Cell{Text: kit.Absent, Colour: t.Text3}
		}
		return plot.Cell{Text: kit.Ms(*ns)}
	}
	damage, bar := plot.Cell{Text: kit.Absent, Colour: t.Text3}, plot.Cell{Hatch: true}
	if l.damage != nil {
		share := 0.0
		if worst > 0 {
			share = l.damage.Damage() / worst
		}
		damage = plot.Cell{Text: fidelity(*l.damage)}
		bar = plot.Cell{Bar: &plot.RowBar{To: min(share, 1), Colour: t.HeatAt(share)}}
	}
	gain := plot.Cell{Text: kit.Absent, Colour: t.Text3}
	if g := l.gain(); g != nil {
		gain = plot.Cell{Text: kit.DeltaMs(-*g), Colour: t.Gain}
		if *g < 0 {
			gain.Colour = t.Loss
		}
	}
	out.Cells = []plot.Cell{{Text: l.name}, {Text: kit.ShortType(shown(l.as)), Colour: t.DType(kit.ShortType(shown(l.as)))}, {Text: kit.Bytes(l.bytes)}, damage, bar, time(l.floatNs), time(l.int8Ns), gain}
	out.Tip = []string{l.name + "  " + l.op}
	if l.damage != nil {
		out.Tip = append(out.Tip, u.F("as int8: %s", l.damage.String()))
	}
	if l.int4 != nil {
		out.Tip = append(out.Tip, u.F("weights as int4: %s", l.int4.String()))
	}
	for _, why := range []string{l.refused, l.why} {
		if why != "" {
			out.Tip = append(out.Tip, s.say.Say(why))
		}
	}
	return out
}

// shown names floats as the types of tensors do.
func shown(as string) string {
	if as == "float" {
		return "float32"
	}
	return as
}

// showAdvice says before anything is tried how much integers can win on the target.
func (s *screen) showAdvice(d *app.Doc) {
	u := s.u
	s.advice.Objects = nil
	if q := d.Quant; q != nil && q.Of == d.QuantBase().Hash() {
		text, icon, token := "", "info", "primary"
		switch a := q.Advice; {
		case a == nil:
			text = s.say.Say(q.NoTime)
		case a.Most == 0:
			text = u.F("%s: nothing is known of its speed with integers (%s).", u.BoardName(a.Target), s.say.Say(a.Why))
		case a.Slower > 0:
			icon, token = "warning", "warning"
			text = u.F("%s: 8-bit integers compute these layers at most %s times faster than floats directly, %s times against the best float algorithm; in %d of %d layers floats may stay faster.",
				u.BoardName(a.Target), kit.Sig(a.Most), kit.Sig(a.Against), a.Slower, a.Layers)
		default:
			text = u.F("%s: 8-bit integers compute these layers at most %s times faster than floats (%s).", u.BoardName(a.Target), kit.Sig(a.Most), s.say.Say(a.Why))
		}
		if text != "" {
			line := container.NewBorder(nil, nil, kit.Pad(1, 8, 0, 0, kit.Icon(icon, token, 16)), nil, u.Para(text))
			s.advice.Objects = []fyne.CanvasObject{kit.Pad(0, 0, gap, 0, container.NewStack(kit.Plate(u.Theme.Bg3, color.Transparent, 6), kit.Pad(8, 12, 8, 12, line)))}
		}
	}
	s.advice.Refresh()
}

// showTried lists the methods of the last search.
func (s *screen) showTried(d *app.Doc) {
	u := s.u
	if d.Quant == nil || d.Quant.Plan == nil {
		s.tried.Objects = []fyne.CanvasObject{kit.Pad(12, 14, 12, 14, u.Empty("tune", u.T("Nothing was tried yet"), u.T("Equalizing, smoothing, ranges, rounding and corrections are each tried on items that no method sees; what does not help is reverted."), "", nil))}
		s.tried.Refresh()
		return
	}
	p := d.Quant.Plan
	rows := kit.Rows(0)
	for _, r := range trials(p) {
		line := kit.Cols(8, kit.Fixed(96, 0, kit.Cols(0, u.Pill(u.T(r.mark), r.token))), kit.Fixed(190, 0, u.Dense(u.T(r.title))), kit.Flex(u.Soft(s.say.Say(r.text))))
		rows.Add(kit.Pad(0, 14, 0, 14, kit.Fixed(0, 26, line)))
	}
	head := kit.Pad(10, 14, 6, 14, u.Section(u.T("What was tried"), u.F("judged by %d items that no method saw", p.Items)))
	s.tried.Objects = []fyne.CanvasObject{container.NewBorder(head, nil, nil, nil, container.NewVScroll(rows))}
	s.tried.Refresh()
}

// showAnswers puts pictures with both answers side by side.
func (s *screen) showAnswers(d *app.Doc) {
	u := s.u
	q := d.Quant
	if q == nil || q.Checked == "" || q.Checked != d.Model.Hash() || len(q.Answers) == 0 {
		s.answers.Objects = []fyne.CanvasObject{kit.Pad(12, 14, 12, 14, u.Empty("accuracy", u.T("The answers were not compared"), u.T("Compare them to see each picture with its answer before and after."), "", nil))}
		s.answers.Refresh()
		return
	}
	same := 0
	for _, a := range q.Answers {
		if a.Same() {
			same++
		}
	}
	grid := container.NewGridWrap(fyne.NewSize(186, 58))
	for _, a := range q.Answers[:min(len(q.Answers), 24)] {
		grid.Add(s.answer(a))
	}
	head := kit.Pad(10, 14, 6, 14, u.Section(u.T("Before and after"), u.F("%d of %d answers are the same; what moved most comes first", same, len(q.Answers))))
	s.answers.Objects = []fyne.CanvasObject{container.NewBorder(head, nil, nil, nil, container.NewVScroll(kit.Pad(0, 10, 8, 14, grid)))}
	s.answers.Refresh()
}

func (s *screen) answer(a app.AnswerPair) fyne.CanvasObject {
	u := s.u
	var picture fyne.CanvasObject = kit.Fixed(48, 48, container.NewStack(kit.Plate(u.Theme.Bg3, color.Transparent, 4)))
	if a.Picture != nil {
		img := canvas.NewImageFromImage(a.Picture)
		img.FillMode, img.ScaleMode = canvas.ImageFillContain, canvas.ImageScalePixels
		picture = kit.Fixed(48, 48, img)
	}
	ink := u.Theme.Text1
	if !a.Same() {
		ink = u.Theme.Danger
	}
	words := kit.Rows(1, kit.NewLine(a.Before.Class, theme.Dense, u.Theme.Text1), kit.NewLine("→ "+a.After.Class, theme.Dense, ink),
		u.Caption(kit.Percent(a.Before.Share)+" → "+kit.Percent(a.After.Share)))
	return kit.Pad(4, 4, 4, 0, kit.Cols(8, picture, kit.Flex(words)))
}

// showSide is the inspector: totals, the chosen layer, and how good the calibration is.
func (s *screen) showSide(d *app.Doc) {
	u := s.u
	col := kit.Rows(10, u.Strong(u.T("Running totals")))
	for _, t := range totals(d, s.listed) {
		head := kit.Cols(6, u.Soft(u.T(t.name)).Whole(), kit.Gap(), kit.NewLine(t.delta, theme.Dense, u.Theme.Token(t.token)).Bold().Whole())
		value := kit.Cols(6, u.Heading(t.after).Whole(), kit.Gap(), u.Caption(u.F("was %s", t.before)).Whole())
		col.Add(kit.Rows(3, head, value, s.track(t)))
	}
	col.Add(u.HRule())
	col.Add(s.precision(d))
	col.Add(u.HRule())
	col.Add(s.layerCard(d))
	col.Add(u.HRule())
	col.Add(s.calibration(d))
	s.side.Objects = []fyne.CanvasObject{kit.Pad(12, 14, 12, 14, col)}
	s.side.Refresh()
}

// track is a bar that is as full as what is left.
func (s *screen) track(t total) fyne.CanvasObject {
	full := kit.Plate(s.u.Theme.Bg3, color.Transparent, 2)
	if t.share < 0 {
		return kit.Fixed(0, 4, full)
	}
	return kit.Fixed(0, 4, container.NewStack(full, container.New(&part{float32(t.share)}, kit.Plate(s.u.Theme.Primary, color.Transparent, 2))))
}

// part gives an object a share of the width.
type part struct{ share float32 }

func (p *part) Layout(o []fyne.CanvasObject, z fyne.Size) {
	o[0].Resize(fyne.NewSize(z.Width*p.share, z.Height))
}
func (p *part) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(1, 4) }

// precision chooses types and rounding for all layers.
func (s *screen) precision(d *app.Doc) fyne.CanvasObject {
	u := s.u
	now, there := d.QuantOptions()
	note := ""
	if !there {
		note = u.T("choosing one quantizes")
	}
	rows := kit.Rows(5, u.Section(u.T("Precision"), note))
	for _, o := range s.options {
		chosen, _ := now[o.Key].(string)
		if chosen == "" {
			chosen, _ = o.Default.(string)
		}
		pick := widget.NewSelect(o.Enum, nil)
		if there {
			pick.SetSelected(chosen)
		} else {
			pick.PlaceHolder = u.T("float")
		}
		key := o.Key
		pick.OnChanged = func(v string) { s.do.SetPrecision(key, v) }
		if d.Busy {
			pick.Disable()
		}
		rows.Add(kit.Cols(8, kit.Flex(u.Soft(u.T(kit.OptionTitle(o.Key)))), kit.Fixed(150, 28, container.NewStack(pick, kit.Plate(color.Transparent, u.Theme.Line3, 5)))))
	}
	return rows
}

// layerPick gives the layer that is looked at a type of its own.
func (s *screen) layerPick(d *app.Doc, l *layer) fyne.CanvasObject {
	u := s.u
	types := append([]string{""}, d.LayerTypes()...)
	labels := []string{u.T("As the others")}
	for _, t := range types[1:] {
		labels = append(labels, u.T(t))
	}
	pick := widget.NewSelect(labels, nil)
	pick.SetSelectedIndex(max(slices.Index(types, l.chosen), 0))
	pick.OnChanged = func(string) {
		if i := pick.SelectedIndex(); i >= 0 {
			s.do.SetLayerType(model.NodeID(l.id), types[i])
		}
	}
	if d.Busy {
		pick.Disable()
	}
	return kit.Cols(8, kit.Flex(u.Soft(u.T("type of this layer"))), kit.Fixed(150, 28, container.NewStack(pick, kit.Plate(color.Transparent, u.Theme.Line3, 5))))
}

func (s *screen) layerCard(d *app.Doc) fyne.CanvasObject {
	u := s.u
	for _, l := range s.listed {
		if l.id != s.chosen {
			continue
		}
		facts := []kit.Fact{{Key: u.T("Weights"), Value: kit.Bytes(l.bytes)}}
		if l.damage != nil {
			facts = append(facts, kit.Fact{Key: u.T("as int8"), Value: fidelity(*l.damage)})
		}
		if l.int4 != nil {
			facts = append(facts, kit.Fact{Key: u.T("weights as int4"), Value: fidelity(*l.int4)})
		}
		if g := l.gain(); g != nil {
			facts = append(facts, kit.Fact{Key: u.T("time"), Value: kit.Ms(*l.floatNs) + " → " + kit.Ms(*l.int8Ns)})
		}
		if l.against > 0 {
			facts = append(facts, kit.Fact{Key: u.T("at most"), Value: "× " + kit.Sig(l.against)})
		}
		rows := kit.Rows(6, u.Section(l.name, l.op), u.Facts(facts))
		if l.refused != "" {
			rows.Add(u.Note(s.say.Say(l.refused)))
			return rows
		}
		rows.Add(s.layerPick(d, &l))
		if l.why != "" {
			rows.Add(u.Note(s.say.Say(l.why)))
		}
		return rows
	}
	return kit.Rows(4, u.Strong(u.T("No layer is chosen")), u.Note(u.T("Choose one in the list to give it a type of its own.")))
}

// calibration says what the ranges were measured on and how well they fit.
func (s *screen) calibration(d *app.Doc) fyne.CanvasObject {
	u := s.u
	now := u.T("none chosen")
	switch d.Data {
	case "":
	case app.SampleCalibrate:
		now = u.T("the sample's own pictures")
	default:
		now = filepath.Base(d.Data)
	}
	rows := kit.Rows(6, u.Section(u.T("Calibration"), ""), kit.Cols(8, kit.Flex(u.Soft(now)), u.NewButton(kit.Outline, "folder", u.T("Choose a folder"), func() { u.AskFolder(s.do.SetData) }).Small()))
	q := d.Quant
	if q == nil || q.Quality == nil || q.Checked != d.Model.Hash() {
		rows.Add(u.Note(u.T("Compare the answers to see how well the ranges fit.")))
		return rows
	}
	c := q.Quality
	facts := []kit.Fact{{Key: u.T("Compared"), Value: u.F("%d values on %d items", len(c.Values), c.Items)}}
	if len(c.Values) > 0 {
		facts = append(facts, kit.Fact{Key: u.T("Worst value"), Value: kit.Sig(math.Round(c.Values[0].SQNR*10)/10) + "\u00a0dB  " + c.Values[0].Float})
	}
	if c.Saturated != nil {
		facts = append(facts, kit.Fact{Key: u.T("Saturated"), Value: u.F("at most %s", kit.Percent(*c.Saturated.Saturated)) + "  " + c.Saturated.Float})
	}
	rows.Add(u.Facts(facts))
	if c.First != nil {
		rows.Add(u.Note(u.F("%s is the first value that breaks.", c.First.Float)))
	} else {
		rows.Add(u.Note(u.T("No value breaks.")))
	}
	return rows
}
