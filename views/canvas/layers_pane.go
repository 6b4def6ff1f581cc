package canvas

import (
	"image/color"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/views/kit"
	"fettle/views/kit/graph"
	"fettle/views/kit/theme"
)

// layersPane is the tree of layers at the left, with a number and a bar for each, and the sum below.
type layersPane struct {
	s       *screen
	content *fyne.Container
	unit    *kit.Line
	filter  *widget.Entry
	list    *widget.List
	foot    *fyne.Container
	rows    []row
	ramp    *graph.Ramp
	inks    *graph.Inks
	chosen  []int32 // what was selected when the list was last brought to it
}

func newLayersPane(s *screen) *layersPane {
	u := s.u
	p := &layersPane{s: s, unit: u.Caption("").Right(), filter: widget.NewEntry(), foot: kit.Rows(2), inks: graph.NewInks(u.Theme.Palette, u.Theme.Dark)}
	p.filter.SetPlaceHolder(u.T("filter"))
	p.filter.OnChanged = func(string) { p.update() }
	box := kit.Fixed(0, 28, p.filter)
	box.Hide()
	p.list = widget.NewList(func() int { return len(p.rows) }, func() fyne.CanvasObject { return newTreeRow(p) },
		func(i widget.ListItemID, o fyne.CanvasObject) {
			if i < len(p.rows) {
				o.(*treeRow).set(p.rows[i])
			}
		})
	p.list.HideSeparators = true
	p.list.OnSelected = func(i widget.ListItemID) { // from the keyboard: a tap reaches the row itself
		p.list.UnselectAll()
		if i < len(p.rows) {
			s.graph.Choose(p.rows[i].ref)
		}
	}
	open := u.NewButton(kit.Ghost, "filter", "", func() {
		if !box.Visible() {
			box.Show()
			u.Window.Canvas().Focus(p.filter)
		} else {
			box.Hide()
			p.filter.SetText("")
		}
		p.content.Refresh()
	}).Small()
	open.Tip = u.T("filter")
	head := kit.Pad(6, 6, 4, 14, kit.Rows(4, kit.Cols(6, u.Strong(u.T("Layers")).Whole(), kit.Gap(), kit.Fixed(72, 0, p.unit), open), box))
	p.content = container.NewBorder(head, kit.Pad(0, 10, 8, 14, p.foot), nil, nil, p.list)
	return p
}

// update lists the rows anew.
func (p *layersPane) update() {
	s := p.s
	if s.d == nil || s.read == nil {
		return
	}
	chosen := map[int32]bool{}
	for _, i := range s.chosen {
		chosen[i] = true
	}
	p.rows = treeRows(s.d.tree, s.read, s.graph.Open(), chosen, s.d.matcher(p.filter.Text))
	p.ramp = s.read.Colors(p.inks)
	p.unit.SetText(s.read.Unit)
	p.list.Refresh()
	if first := slices.IndexFunc(p.rows, func(r row) bool { return r.sel }); first >= 0 && !slices.Equal(p.chosen, s.chosen) {
		p.list.ScrollTo(first)
	}
	p.chosen = s.chosen
	p.footer()
}

// footer is the sum, with what no layer accounts for: only a lens of numbers has one.
func (p *layersPane) footer() {
	s, u := p.s, p.s.u
	p.foot.Objects = nil
	if s.read.Class == nil && s.read.Total > 0 {
		line := func(label, value string, strong bool) {
			a, b := u.Soft(label), u.Soft(value)
			if strong {
				a, b = u.Strong(label), u.Strong(value)
			}
			p.foot.Add(kit.Fixed(0, 22, kit.Cols(8, kit.Flex(a), b.Whole())))
		}
		p.foot.Add(u.HRule())
		total := s.read.Total
		if prof := s.profile(); s.lens == byTime && prof != nil {
			line(u.T("unattributed"), s.read.Tick(prof.UnattributedNs), false)
			total += prof.UnattributedNs
			seal := u.SealMark(prof.Conditions.Seal, 13)
			p.foot.Add(kit.Fixed(0, 22, kit.Cols(6, kit.Flex(u.Strong(u.T("Sum"))), u.Strong(kit.Ms(total)).Whole(), seal)))
			p.foot.Add(u.Caption(u.F("layers and whole differ by %s", kit.Percent(prof.Closure))))
			p.foot.Add(u.Caption(s.run.Label + " · " + s.run.Target))
			if h := hashOf(s.state.Doc, s.mode); s.mode != executed && s.run.Hash != h && s.run.SHA256 != h {
				p.foot.Add(kit.NewLine(u.T("times of the other state of the model"), u.Theme.Caption(), u.Theme.Warning))
			}
		} else {
			line(u.T("Sum"), s.read.Format(total), true)
		}
	}
	p.content.Refresh() // the footer may have another height
}

// tap selects what a row stands for; on the chevron it opens or closes the group.
func (p *layersPane) tap(r row, x float32) {
	s := p.s
	if r.group && x < chevronX(r.depth)+18 {
		if p.filter.Text == "" {
			s.graph.Toggle(r.ref.Index())
		}
		return
	}
	s.graph.Choose(r.ref)
}

func chevronX(depth int) float32 { return 8 + 14*float32(depth) }

// treeRow is one line of the tree, 22 high and 4 apart.
type treeRow struct {
	widget.BaseWidget
	p                *layersPane
	row              row
	plate, chip, bar *canvas.Rectangle
	rail             *canvas.Rectangle
	chevron          *canvas.Image
	title, value     *kit.Line
}

func newTreeRow(p *layersPane) *treeRow {
	u := p.s.u
	t := &treeRow{p: p, plate: canvas.NewRectangle(color.Transparent), chip: canvas.NewRectangle(color.Transparent), bar: canvas.NewRectangle(color.Transparent),
		rail: canvas.NewRectangle(u.Theme.Line1), chevron: &canvas.Image{FillMode: canvas.ImageFillContain}, title: u.Dense(""), value: u.Dense("").Right()}
	t.plate.CornerRadius, t.chip.CornerRadius, t.bar.CornerRadius, t.rail.CornerRadius = 4, 2, 2, 2
	t.ExtendBaseWidget(t)
	return t
}

func (t *treeRow) set(r row) {
	u := t.p.s.u
	t.row = r
	t.plate.FillColor = color.Transparent
	ink := u.Theme.Text2
	if r.sel {
		t.plate.FillColor, ink = u.Theme.Selection, u.Theme.Text1
	}
	title := r.title
	if r.note != "" {
		title += " " + r.note
	}
	t.title.Set(title, u.Theme.Text1)
	t.value.Set(r.value, ink)
	t.chip.FillColor, t.chip.StrokeColor, t.chip.StrokeWidth = color.Transparent, u.Theme.Line3, 1
	if strip, ok := t.p.s.read.Strip(r.ref, t.p.ramp); ok {
		c := strip.NRGBA()
		t.chip.FillColor, t.chip.StrokeWidth, t.bar.FillColor = c, 0, c
	}
	classes := t.p.s.read.Class != nil
	t.rail.Hidden, t.bar.Hidden = classes, classes || r.share <= 0
	t.chevron.Hidden = !r.group
	if r.group {
		icon := "chevron-right"
		if r.open {
			icon = "chevron-down"
		}
		t.chevron.Resource = theme.IconIn(icon, "text2")
		t.chevron.Refresh()
	}
	t.Refresh()
}

// Tapped is part of fyne.Tappable.
func (t *treeRow) Tapped(e *fyne.PointEvent) { t.p.tap(t.row, e.Position.X) }

// CreateRenderer is part of fyne.Widget.
func (t *treeRow) CreateRenderer() fyne.WidgetRenderer { return &treeRowRenderer{t} }

type treeRowRenderer struct{ t *treeRow }

func (r *treeRowRenderer) MinSize() fyne.Size { return fyne.NewSize(120, theme.RowTree-4) }

func (r *treeRowRenderer) Layout(size fyne.Size) {
	t := r.t
	put := func(o fyne.CanvasObject, x, y, w, h float32) {
		o.Move(fyne.NewPos(x, y))
		o.Resize(fyne.NewSize(w, h))
	}
	put(t.plate, 2, -2, size.Width-4, size.Height+4)
	x := chevronX(t.row.depth)
	put(t.chevron, x, (size.Height-12)/2, 12, 12)
	put(t.chip, x+18, (size.Height-9)/2, 8, 9)
	end := size.Width - 10
	const barW = 34
	valueW := float32(44)
	if t.rail.Hidden {
		valueW = min(size.Width*.42, 110)
	} else {
		put(t.rail, end-barW, size.Height/2-1.5, barW, 3)
		put(t.bar, end-barW, size.Height/2-1.5, barW*max(t.row.share, .06), 3)
		end -= barW + 6
	}
	h := t.title.MinSize().Height
	put(t.value, end-valueW, (size.Height-h)/2, valueW, h)
	put(t.title, x+32, (size.Height-h)/2, max(end-valueW-4-(x+32), 8), h)
}

func (r *treeRowRenderer) Refresh() {
	t := r.t
	r.Layout(t.Size())
	for _, o := range []*canvas.Rectangle{t.plate, t.chip, t.rail, t.bar} {
		o.Refresh()
	}
	t.title.Refresh()
	t.value.Refresh()
}

func (r *treeRowRenderer) Objects() []fyne.CanvasObject {
	t := r.t
	return []fyne.CanvasObject{t.plate, t.chevron, t.chip, t.rail, t.bar, t.title, t.value}
}

func (r *treeRowRenderer) Destroy() {}
