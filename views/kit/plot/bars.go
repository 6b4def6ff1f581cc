package plot

import "image/color"

// Bar is one line of a bar chart.
type Bar struct {
	Keys   []string
	Label  string
	Note   string // dim, after the label: "53 nodes"
	Value  float64
	Lo, Hi float64  // interval, both 0 where none is known
	Floor  *float64 // nil: no floor is known
	Text   string   // the value
	Colour color.NRGBA
	Hatch  bool
	Tip    []string
}

// Bars is a horizontal bar chart from zero: name, bar, value.
type Bars struct {
	Rows     []Bar
	Selected func(keys []string) bool
}

const barPitch = 22

func (f *Bars) layout(k *Ink, w float32) (x0, x1 float32, hi float64) {
	x0 = 60
	for _, b := range f.Rows {
		x0 = max(x0, k.Width(b.Label, 12, false)+k.Width(b.Note, k.Caption, false)+30)
		hi = max(hi, b.Value, b.Hi)
		if b.Floor != nil {
			hi = max(hi, *b.Floor)
		}
	}
	return min(x0, w*.5), w - 62, hi
}

// Paint draws one row every 22.
func (f *Bars) Paint(p *Pen) {
	x0, x1, hi := f.layout(p.Ink, p.W)
	if hi <= 0 {
		return
	}
	ax := scale{0, hi, x0, x1}
	for i, b := range f.Rows {
		y := float32(i)*barPitch + barPitch/2
		if y > p.H {
			return
		}
		sel := f.Selected != nil && f.Selected(b.Keys)
		ground := p.Bg2
		if sel {
			ground = p.Selection
			p.fill(Rect{0, y - barPitch/2, p.W, y + barPitch/2}, ground)
			p.fill(Rect{0, y - barPitch/2, 3, y + barPitch/2}, p.Primary)
		}
		w := p.text(8, middle(y, 12), b.Label, font{size: 12, bold: sel, c: p.Text1, room: x0 - 16})
		if room := x0 - 22 - w; room > 20 {
			p.text(14+w, middle(y, p.Caption), b.Note, font{size: p.Caption, c: p.Text3, room: room})
		}
		r := Rect{x0, y - 6, max(ax.at(b.Value), x0+1), y + 6}
		if b.Hatch {
			p.hatch(r)
		} else {
			p.mark(r, b.Colour)
		}
		if b.Hi > b.Lo {
			p.whisker(ax.at(b.Lo), ax.at(b.Hi), y, p.Text1)
		}
		if b.Floor != nil {
			p.floor(ax.at(*b.Floor), y-9, y+9, ground)
		}
		p.text(p.W-8, middle(y, 12), b.Text, font{size: 12, align: Right, c: p.Text1})
	}
}

// At is the row under the point.
func (f *Bars) At(_ *Ink, w, _, _, y float32) (Mark, bool) {
	i := int(y / barPitch)
	if y < 0 || i >= len(f.Rows) {
		return Mark{}, false
	}
	return Mark{Keys: f.Rows[i].Keys, Tip: f.Rows[i].Tip, Box: Rect{0, float32(i) * barPitch, w, float32(i+1) * barPitch}}, true
}

// LegendEntry is one line of a legend.
type LegendEntry struct {
	Text   string
	Colour color.NRGBA
	Hatch  bool
}

// legend paints entries in one line from x, chips of 8 with their names.
func (p *Pen) legend(x, y float32, entries []LegendEntry) {
	for _, e := range entries {
		r := Rect{x, y - 4, x + 8, y + 4}
		if e.Hatch {
			p.hatch(r)
		} else {
			p.mark(r, e.Colour)
		}
		x += 13 + p.text(x+13, middle(y, p.Caption), e.Text, font{size: p.Caption, c: p.Text2}) + 14
	}
}

// Legend is a legend alone, in one line.
type Legend struct{ Entries []LegendEntry }

// Paint draws the entries.
func (f *Legend) Paint(p *Pen) { p.legend(0, p.H/2, f.Entries) }

// At is never a datum.
func (f *Legend) At(*Ink, float32, float32, float32, float32) (Mark, bool) { return Mark{}, false }
