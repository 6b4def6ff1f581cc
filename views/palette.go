package views

import (
	"image/color"
	"path/filepath"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"fettle/views/kit"
)

// paletteRow is one line of the palette.
type paletteRow struct {
	title, where, keys string
	run                func()
}

// matching lists the rows in which every word of the query occurs, those that start with it first.
func matching(rows []paletteRow, query string) []paletteRow {
	words := strings.Fields(strings.ToLower(query))
	var first, rest []paletteRow
next:
	for _, r := range rows {
		text := strings.ToLower(r.title + " " + r.where)
		for _, w := range words {
			if !strings.Contains(text, w) {
				continue next
			}
		}
		if len(words) > 0 && strings.HasPrefix(strings.ToLower(r.title), words[0]) {
			first = append(first, r)
		} else {
			rest = append(rest, r)
		}
	}
	return append(first, rest...)
}

const paletteRows = 8

// palette is the list of commands over the window: type, choose with the arrows, Enter.
type palette struct {
	w      *Window
	rows   []paletteRow
	found  []paletteRow
	chosen int
	top    int
	entry  *paletteEntry
	list   *fyne.Container
	pop    *widget.PopUp
}

// openPalette lists every command that applies now.
func (w *Window) openPalette() {
	var rows []paletteRow
	for _, a := range w.actions() {
		if a.Off == nil || !a.Off(w.state) {
			rows = append(rows, paletteRow{w.u.T(a.Title), w.u.T(a.Where), keyText(a.Keys), a.Run})
		}
	}
	w.showPalette(rows, "Type a command")
}

// openQuick lists the recent models and the samples.
func (w *Window) openQuick() {
	var rows []paletteRow
	for _, r := range w.state.Recent {
		path := r.Path
		rows = append(rows, paletteRow{r.Name, filepath.Dir(path), "", func() { w.leave(func() { w.studio.Open(path) }) }})
	}
	for _, n := range w.state.Samples {
		name := n.Name
		rows = append(rows, paletteRow{name, w.u.T("Samples"), "", func() { w.leave(func() { w.studio.OpenSample(name) }) }})
	}
	w.showPalette(rows, "Type the name of a model")
}

func (w *Window) showPalette(rows []paletteRow, hint string) {
	if w.palette != nil {
		w.palette.close()
	}
	p := &palette{w: w, rows: rows, list: kit.Rows(0)}
	p.entry = newPaletteEntry(p)
	p.entry.SetPlaceHolder(w.u.T(hint))
	p.entry.OnChanged = func(q string) { p.filter(q) }
	p.entry.OnSubmitted = func(string) { p.take(p.chosen) }
	body := kit.Pad(8, 8, 8, 8, kit.Rows(6, p.entry, p.list))
	p.pop = widget.NewPopUp(kit.Fixed(560, 0, body), w.win.Canvas())
	p.filter("")
	p.pop.ShowAtPosition(fyne.NewPos((w.win.Canvas().Size().Width-560)/2, 90))
	w.win.Canvas().Focus(p.entry)
	w.palette = p
}

func (p *palette) filter(query string) {
	p.found, p.chosen, p.top = matching(p.rows, query), 0, 0
	p.draw()
}

func (p *palette) move(by int) {
	if len(p.found) == 0 {
		return
	}
	p.chosen = (p.chosen + by + len(p.found)) % len(p.found)
	p.top = max(min(p.top, p.chosen), p.chosen-paletteRows+1)
	p.draw()
}

func (p *palette) draw() {
	u := p.w.u
	p.list.Objects = nil
	for i := p.top; i < min(p.top+paletteRows, len(p.found)); i++ {
		r := p.found[i]
		fill := color.NRGBA{}
		if i == p.chosen {
			fill = u.Theme.Selection
		}
		row := []fyne.CanvasObject{kit.Space(4, 0), kit.Flex(u.Body(r.title)), kit.NewLine(kit.Cut(r.where, 180, 12, fyne.TextStyle{}), 12, u.Theme.Text2).Whole()}
		if r.keys != "" {
			row = append(row, u.KeyCap(r.keys))
		}
		row = append(row, kit.Space(2, 0))
		p.list.Objects = append(p.list.Objects, kit.Fixed(0, 32, u.NewTappable(kit.Plate(fill, color.Transparent, 4), kit.Cols(8, row...), func() { p.take(i) })))
	}
	if len(p.found) == 0 {
		p.list.Objects = []fyne.CanvasObject{kit.Pad(6, 0, 6, 8, u.Soft(u.T("Nothing has this name.")))}
	}
	p.list.Refresh()
	p.pop.Resize(p.pop.MinSize())
}

func (p *palette) take(i int) {
	if i < 0 || i >= len(p.found) {
		return
	}
	run := p.found[i].run
	p.close()
	run()
}

func (p *palette) close() {
	p.pop.Hide()
	p.w.palette = nil
}

// paletteEntry gives the arrow keys to the list.
type paletteEntry struct {
	widget.Entry
	p *palette
}

func newPaletteEntry(p *palette) *paletteEntry {
	e := &paletteEntry{p: p}
	e.ExtendBaseWidget(e)
	return e
}

// TypedKey moves the choice, runs it, or closes.
func (e *paletteEntry) TypedKey(k *fyne.KeyEvent) {
	switch k.Name {
	case fyne.KeyUp:
		e.p.move(-1)
	case fyne.KeyDown:
		e.p.move(1)
	case fyne.KeyEscape:
		e.p.close()
	default:
		e.Entry.TypedKey(k)
	}
}
