package prune

import (
	"image/color"
	"math"
	"strconv"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/views/kit"
	"fettle/views/kit/theme"
)

// row is a group in the list, with its slider.
type row struct {
	box    *kit.Tappable
	plate  *canvas.Rectangle
	edge   *canvas.Rectangle
	name   *kit.Line
	sub    *kit.Line
	slider *widget.Slider // nil: locked
	count  *kit.Line
	saved  *kit.Line
	risk   [3]*canvas.Rectangle
}

// showList brings the rows up to date; they are made anew only for other groups.
func (s *screen) showList() {
	of := ""
	if c := s.doc.CutsNow(); c != nil {
		of = c.Of + strconv.FormatBool(c.Study != nil)
	}
	if of != s.rowsOf {
		s.rowsOf, s.rows = of, nil
		s.list.Objects = nil
		for i := range s.listed {
			r := s.newRow(i)
			s.rows = append(s.rows, r)
			s.list.Add(kit.Fixed(0, 40, r.box))
			s.list.Add(s.u.HRule())
		}
		if len(s.listed) == 0 {
			s.list.Add(kit.Pad(24, 14, 0, 14, s.u.Soft(s.u.T("No layer makes channels that could be followed.")).Center()))
		}
		s.list.Refresh()
	}
	s.setting = true
	for i, g := range s.listed {
		s.rows[i].show(s, g)
	}
	s.setting = false
}

func (s *screen) newRow(at int) *row {
	u, g := s.u, s.listed[at]
	r := &row{plate: kit.Plate(color.Transparent, color.Transparent, 0), edge: canvas.NewRectangle(color.Transparent), name: u.Dense(""), sub: u.Caption(""), count: u.Dense("").Right(), saved: u.Dense("").Right()}
	var middle fyne.CanvasObject
	if len(g.cuts) > 1 {
		// Channels that stay: from the strongest cut at the left to all at the right, a place for each cut.
		r.slider = widget.NewSlider(0, float64(len(g.cuts)-1))
		r.slider.Step = 1
		r.slider.OnChanged = func(v float64) {
			if !s.setting {
				s.chosen = g.at
				s.do.SetCuts(map[int]int{g.at: len(g.cuts) - 1 - int(math.Round(v))}, false)
			}
		}
		r.slider.OnChangeEnded = func(float64) {
			if !s.setting {
				s.choose(g.at)
			}
		}
		middle = u.Slide(r.slider, len(g.cuts))
	} else if g.locked != "" {
		middle = kit.Cols(4, kit.Icon("lock", "text3", 14), kit.Flex(u.Caption(u.T("stays"))))
	} else {
		middle = u.Caption(u.T("not studied yet"))
	}
	bars := kit.Cols(2)
	for i := range r.risk {
		r.risk[i] = kit.Plate(u.Theme.Line2, color.Transparent, 1)
		h := float32(5 + 3*i)
		bars.Add(kit.Fixed(8, 14, kit.Pad(14-h, 0, 0, 0, r.risk[i])))
	}
	words := kit.Rows(0, r.name, r.sub)
	line := kit.Pad(2, 14, 2, 14, kit.Cols(8, kit.Flex(words), kit.Fixed(120, 0, middle), kit.Fixed(56, 0, r.count), kit.Fixed(66, 0, r.saved), kit.Fixed(30, 0, bars)))
	r.edge.SetMinSize(fyne.NewSize(3, 0))
	r.box = u.NewTappable(r.plate, container.NewStack(container.NewBorder(nil, nil, r.edge, nil), line), func() { s.choose(g.at) })
	return r
}

func (r *row) show(s *screen, g group) {
	u := s.u
	r.name.SetText(g.name)
	if r.sub.SetText(u.F("%d layers", len(g.keys))); g.locked != "" {
		r.sub.SetText(s.say.Say(g.locked))
	}
	r.count.SetText(strconv.Itoa(g.kept) + "/" + strconv.Itoa(g.channels))
	fill, edge := color.Color(color.Transparent), color.Color(color.Transparent)
	if g.at == s.chosen {
		fill, edge = u.Theme.Selection, u.Theme.Primary
	}
	r.box.Plate(fill, color.Transparent)
	r.edge.FillColor = edge
	r.edge.Refresh()
	if r.slider != nil {
		if v := float64(len(g.cuts) - 1 - g.pick); r.slider.Value != v {
			r.slider.SetValue(v)
		}
	}
	switch {
	case g.saved == nil:
		r.saved.Set(kit.Absent, u.Theme.Text3)
	case *g.saved >= 0:
		r.saved.Set(kit.DeltaMs(-*g.saved), u.Theme.Gain)
	default:
		r.saved.Set(kit.DeltaMs(-*g.saved), u.Theme.Loss)
	}
	inks := []color.Color{u.Theme.Gain, u.Theme.Warning, u.Theme.Danger}
	for i, b := range r.risk {
		b.FillColor = u.Theme.Line2
		if i < g.risk {
			b.FillColor = inks[g.risk-1]
		}
		b.Refresh()
	}
}

// totalRows are the running totals.
func (s *screen) totalRows() *fyne.Container {
	u := s.u
	rows := kit.Rows(10)
	for _, t := range totals(s.doc) {
		head := kit.Cols(6, u.Soft(u.T(t.name)).Whole(), kit.Gap(), kit.NewLine(t.delta, theme.Dense, u.Theme.Token(t.token)).Bold().Whole())
		value := kit.Cols(6, u.Heading(t.value).Whole(), kit.Gap(), u.Caption(u.F("was %s", t.was)).Whole())
		track := kit.Fixed(0, 4, container.NewStack(kit.Plate(u.Theme.Bg3, color.Transparent, 2), kit.Share(t.share, kit.Plate(u.Theme.Primary, color.Transparent, 2))))
		rows.Add(kit.Rows(3, head, value, track, u.Caption(u.T(t.note))))
	}
	if c := s.doc.CutsNow(); c != nil && c.Study != nil {
		value, interval := damageText(c)
		note := ""
		if interval != "" {
			note = u.T("two thirds of such choices lie between")
		}
		if c.Refined != nil {
			note = u.F("run as a whole, on %d items; the interval is one standard error", c.Refined.Items)
		}
		if m := c.Measured; m != nil {
			note = u.F("measured on %d items that it was not fitted to", m.Items)
		}
		rows.Add(kit.Rows(3, kit.Cols(6, u.Soft(u.T("damage of the answers")).Whole(), kit.Gap(), u.Caption(s.say.Say(c.Study.Unit)).Whole()),
			kit.Cols(6, u.Heading(value).Whole(), kit.Gap(), u.Caption(interval).Whole()), u.Caption(note)))
	}
	return rows
}
