package plot

// Number is one headline value. Without a Text it is absent: hatched, and the note says why.
type Number struct {
	Name string
	Text string
	Unit string
	Note string
}

// Numbers shows headline values side by side: the first large.
type Numbers struct{ List []Number }

const numberPitch = 98

// Paint draws name, value and note of each.
func (f *Numbers) Paint(p *Pen) {
	for i, n := range f.List {
		x := float32(i) * numberPitch
		size := float32(24)
		if i > 0 {
			size = 18
		}
		p.text(x, 12, n.Name, font{size: p.Caption, c: p.Text3, room: numberPitch - 8})
		if n.Text == "" {
			p.hatch(Rect{x, 20, x + 52, 38})
		} else {
			w := p.text(x, 38, n.Text, font{size: size, bold: true, c: p.Text1})
			p.text(x+w+5, 38, n.Unit, font{size: 12, c: p.Text2})
		}
		p.text(x, 58, n.Note, font{size: p.Caption, c: p.Text2, room: numberPitch - 6})
	}
}

// At is never a datum.
func (f *Numbers) At(*Ink, float32, float32, float32, float32) (Mark, bool) { return Mark{}, false }

// Progress is a bar of 4 with a tick where each part ends.
type Progress struct {
	Share float64 // 0 to 1
	Parts int     // launches; 0: no ticks
}

// Paint draws track, bar and ticks.
func (f *Progress) Paint(p *Pen) {
	y := p.H / 2
	p.round(Rect{0, y - 2, p.W, y + 2}, 2, p.Bg4, p.Bg4)
	if w := float32(min(max(f.Share, 0), 1)) * p.W; w >= 1 {
		p.round(Rect{0, y - 2, max(w, 4), y + 2}, 2, p.Primary, p.Primary)
	}
	for i := 1; i < f.Parts; i++ {
		p.vline(float32(i)*p.W/float32(f.Parts), y-5, y+5, 1, p.Text3)
	}
}

// At is never a datum.
func (f *Progress) At(*Ink, float32, float32, float32, float32) (Mark, bool) { return Mark{}, false }
