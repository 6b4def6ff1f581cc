package plot

import (
	"image"
	"image/color"
)

func (t *Table) paint(w, h int) image.Image {
	if t.img == nil || t.img.Rect.Dx() != w || t.img.Rect.Dy() != h {
		t.img = image.NewRGBA(image.Rect(0, 0, w, h))
	}
	if w == 0 || h == 0 || t.Size().Width <= 0 {
		return t.img
	}
	p := newPen(t.ink, t.img, float32(w)/t.Size().Width, t.ink.Bg2)
	x := places(t.cols, p.W)
	p.clipped(Rect{0, HeadHeight, p.W, p.H}, func(p *Pen) {
		first := int(t.off / RowHeight)
		for i := first; i < t.n; i++ {
			y := HeadHeight + float32(i)*RowHeight - t.off
			if y >= p.H {
				break
			}
			t.paintRow(p, x, t.row(i), y)
		}
	})
	if t.n == 0 {
		p.text(p.W/2, HeadHeight+34, t.Empty, font{size: 12, align: Centre, c: p.Text3, room: p.W - 2*inset})
	}
	t.paintHead(p, x)
	if all := float32(t.n) * RowHeight; all > t.inSight() && t.inSight() > 0 {
		k := t.inSight() / all
		p.round(Rect{p.W - 6, HeadHeight + t.off*k, p.W - 2, HeadHeight + max(t.off*k+t.inSight()*k, t.off*k+16)}, 2, p.Line2, color.NRGBA{})
	}
	return t.img
}

func (t *Table) paintHead(p *Pen, x [][2]float32) {
	p.fill(Rect{0, 0, p.W, HeadHeight}, p.Bg3)
	base := middle(HeadHeight/2, p.Caption)
	for i, c := range t.cols {
		if x[i][0] == x[i][1] {
			continue
		}
		f := font{size: p.Caption, c: p.Text2, align: c.Align, room: x[i][1] - x[i][0] - 6}
		at := textAt(c.Align, x[i])
		sorted := c.ID != "" && c.ID == t.sort
		if sorted {
			f.c = p.Text1
			f.room -= 12
		}
		w := p.text(at, base, c.Title, f)
		if sorted {
			sx := at + w + 7
			if c.Align == Right {
				sx = at - w - 8
			}
			s := Down
			if t.up {
				s = Up
			}
			p.sign(s, sx, HeadHeight/2, 8, p.Text1)
		}
		if c.End != "" {
			p.text(x[i][1]-8, base, c.End, font{size: p.Caption, c: p.Text2, align: Right})
		}
	}
}

func textAt(a Align, x [2]float32) float32 {
	switch a {
	case Right:
		return x[1] - 8
	case Centre:
		return (x[0] + x[1]) / 2
	}
	return x[0]
}

func (t *Table) paintRow(p *Pen, x [][2]float32, r Row, y float32) {
	ground := p.Bg2
	sel := r.Chosen
	if sel {
		ground = p.Selection
		p.fill(Rect{0, y, p.W, y + RowHeight}, ground)
		p.fill(Rect{0, y, 3, y + RowHeight}, p.Primary)
	}
	if r.Rule {
		p.hline(inset, p.W-inset, y, p.Line2)
	}
	for i, c := range r.Cells {
		if i < len(t.cols) && x[i][0] < x[i][1] {
			t.paintCell(p, t.cols[i], c, r, x[i], y, ground, sel)
		}
	}
}

func (t *Table) paintCell(p *Pen, col Column, c Cell, r Row, x [2]float32, y float32, ground color.NRGBA, sel bool) {
	mid, room := y+RowHeight/2, x[1]-x[0]-6
	if c.Bar != nil {
		p.rowBar(c.Bar, x[0], x[1]-8, mid, ground)
		return
	}
	if c.Hatch {
		from := max(x[0], x[1]-64)
		if col.Measured {
			from = x[0]
		}
		p.hatch(Rect{from, mid - 6, x[1] - 8, mid + 6})
		return
	}
	f := font{size: 12, bold: r.Bold, c: p.Text1, align: col.Align, room: room}
	if col.Caption {
		f.size, f.bold, f.c = p.Caption, false, p.Text3
	}
	if r.Dim {
		f.c = p.Text2
	}
	if sel { // text moves up one level on the selection
		f.bold, f.c = f.bold || i0(x), p.Text1
	}
	if col.DataInk.A != 0 && !sel {
		f.c = col.DataInk
	}
	if c.Colour.A != 0 && !sel {
		f.c = c.Colour
	}
	at := textAt(col.Align, x)
	if c.Sign != NoSign {
		ink := c.Colour
		if ink.A == 0 {
			ink = p.Text3
		}
		if col.Align == Right {
			if c.Text == "" {
				p.sign(c.Sign, at-8, mid, 14, ink)
				return
			}
			w := p.text(at, middle(mid, f.size), c.Text, f)
			p.sign(c.Sign, at-w-12, mid, 12, ink)
			return
		}
		p.sign(c.Sign, at+6, mid, 11, ink)
		at += 18
		f.room -= 18
	}
	w := p.text(at, middle(mid, f.size), c.Text, f)
	if c.Sub != "" && col.Align == Left && room-w > 24 {
		sub := font{size: p.Caption, c: p.Text3, room: room - w - 8}
		if sel {
			sub.c = p.Text2
		}
		p.text(at+w+8, middle(mid, p.Caption), c.Sub, sub)
	}
}

// i0 reports whether a column is the first: its text turns bold in the chosen row.
func i0(x [2]float32) bool { return x[0] <= inset }

// rowBar paints a bar of a row between two places.
func (p *Pen) rowBar(b *RowBar, x0, x1, mid float32, ground color.NRGBA) {
	ax := scale{0, 1, x0, x1}
	if b.Axis > 0 {
		p.vline(ax.at(b.Axis), mid-RowHeight/2, mid+RowHeight/2, 1, p.Line3)
	}
	from, to := ax.at(min(b.From, b.To)), ax.at(max(b.From, b.To))
	r := Rect{from, mid - 6, max(to, from+1), mid + 6}
	if b.Hatch {
		p.hatch(r)
	} else {
		p.mark(r, b.Colour)
	}
	if b.Hi > b.Lo {
		p.whisker(ax.at(b.Lo), min(ax.at(b.Hi), x1+6), mid, p.Text1)
	}
	if b.Floor > 0 {
		p.floor(ax.at(b.Floor), mid-9, mid+9, ground)
	}
	if b.Text != "" {
		f := font{size: 12, c: b.Colour}
		if b.Hatch {
			f.c = p.Text2
		}
		if b.To < b.From { // a loss stands left of the line, its text right, and the other way round
			p.text(ax.at(b.Axis)+7, middle(mid, 12), b.Text, f)
		} else {
			f.align = Right
			p.text(ax.at(b.Axis)-7, middle(mid, 12), b.Text, f)
		}
	}
}
