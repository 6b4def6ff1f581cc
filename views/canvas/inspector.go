package canvas

import (
	"fmt"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/views/kit"
	"fettle/views/kit/later"
	"fettle/views/kit/plot"
	"fettle/views/kit/theme"
)

// inspector is the panel at the right: what is known about the selected layers, or about the model where none is.
type inspector struct {
	s       *screen
	ink     *plot.Ink
	content *fyne.Container
	head    *fyne.Container
	tabs    *kit.Segmented
	body    *fyne.Container
	scroll  *container.Scroll
	subject *subject
	tab     int
	stats   *later.Latest
}

// The tabs; names are keys of the translations.
const (
	tabCost = iota
	tabWeights
	tabNode
	tabOrigin
)

func newInspector(s *screen, post func(func())) *inspector {
	u := s.u
	p := &inspector{s: s, ink: plot.NewInk(u.Theme), head: kit.Rows(3), body: kit.Rows(0), stats: later.New(post)}
	p.tabs = u.NewSegmented([]string{u.T("Cost"), u.T("Weights"), u.T("Node"), u.T("Origin")}, 0, func(i int) {
		p.tab = i
		p.fill()
		p.scroll.ScrollToTop()
	})
	p.scroll = container.NewVScroll(kit.Pad(4, 15, 16, 15, p.body))
	p.content = container.NewBorder(kit.Pad(12, 15, 8, 15, kit.Rows(8, p.head, kit.Cols(0, p.tabs))), nil, nil, nil, p.scroll)
	return p
}

// show follows the selection.
func (p *inspector) show() {
	s := p.s
	if s.d == nil {
		return
	}
	p.subject = s.d.inspect(s.state.Doc, s.run, s.chosen, s.title)
	p.fill()
}

func (p *inspector) fill() {
	u := p.s.u
	p.body.Objects, p.head.Objects = nil, nil
	if p.subject == nil {
		p.tabs.Hide()
		p.head.Objects = []fyne.CanvasObject{u.Title(p.s.state.Doc.Name), u.Soft(u.T("Nothing is selected."))}
		p.overview()
	} else {
		p.tabs.Show()
		p.header()
		switch p.tab {
		case tabCost:
			p.cost()
		case tabWeights:
			p.weights()
		case tabNode:
			p.node()
		case tabOrigin:
			p.origin()
		}
	}
	p.content.Refresh() // header and tabs may have come or gone
}

func (p *inspector) add(o ...fyne.CanvasObject) {
	for _, x := range o {
		p.body.Add(x)
	}
}

// section adds a heading with a rule above it.
func (p *inspector) section(title, note string) {
	u := p.s.u
	p.add(kit.Space(0, 10), u.HRule(), kit.Space(0, 8), kit.Cols(8, kit.Flex(u.Strong(title)), u.Caption(note).Whole()), kit.Space(0, 4))
}

func (p *inspector) header() {
	u, b := p.s.u, p.subject
	title := b.title
	if title == "" {
		title = u.F("%d layers", len(b.items))
	}
	row := []fyne.CanvasObject{kit.Flex(u.Title(title))}
	if b.dtype != "" {
		row = append(row, u.Badge(b.dtype))
	}
	sub := b.sub
	if len(b.items) > 1 {
		sub = u.F("%d layers", len(b.items))
	}
	p.head.Objects = []fyne.CanvasObject{kit.Cols(8, row...), u.Soft(sub)}
}

// overview is what is shown while nothing is selected.
func (p *inspector) overview() {
	u, doc := p.s.u, p.s.state.Doc
	in := doc.Info
	if p.s.mode == original {
		in = doc.BaseInfo
	}
	if in == nil {
		p.add(u.Para(u.T("Nothing is known about this model yet.")))
		return
	}
	p.add(u.HRule(), kit.Space(0, 6), u.Facts([]kit.Fact{
		{Key: u.T("Nodes"), Value: kit.Count(int64(in.Nodes))},
		{Key: u.T("Work"), Value: kit.MACs(in.MACs)},
		{Key: u.T("Parameters"), Value: kit.Count(in.Parameters)},
		{Key: u.T("Weights"), Value: kit.Bytes(in.WeightBytes)},
		{Key: u.T("Made by"), Value: in.Producer},
	}))
	p.section(u.T("Inputs"), "")
	for _, v := range in.Inputs {
		p.portRow(v.Name, v.DType+shapeText(v.Shape))
	}
	p.section(u.T("Outputs"), "")
	for _, v := range in.Outputs {
		p.portRow(v.Name, v.DType+shapeText(v.Shape))
	}
	if len(in.Unsupported) > 0 {
		p.section(u.T("Operators that Fettle does not run"), "")
		for _, op := range in.Unsupported {
			p.add(kit.Fixed(0, 22, kit.Cols(8, kit.Icon("warning", "warning", 14), kit.Flex(u.Dense(op)))))
		}
	}
	p.section(u.T("Kinds of layers"), "")
	for _, o := range p.s.d.summarize(0).ops {
		p.add(kit.Fixed(0, 22, kit.Cols(8, kit.Chip(kindOf(o.op).ink(u.Theme.Palette)), kit.Flex(u.Dense(o.op)), u.Soft(kit.Count(int64(o.n))).Whole())))
	}
}

func shapeText(dims []any) string {
	return strings.ReplaceAll(fmt.Sprint(dims), " ", ", ")
}

// portRow is a value with its type below, or beside it where there is room.
func (p *inspector) portRow(name, typ string) {
	u := p.s.u
	w := fyne.MeasureText(name+typ, theme.Dense, fyne.TextStyle{}).Width
	if w < theme.Inspector-60 {
		p.add(kit.Fixed(0, 22, kit.Cols(12, u.Soft(name).Whole(), kit.Flex(u.Dense(typ).Right()))))
		return
	}
	p.add(kit.Fixed(0, 20, u.Soft(name)), kit.Fixed(0, 20, u.Dense(typ).Right()))
}
