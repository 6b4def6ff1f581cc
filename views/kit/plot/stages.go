package plot

import "image/color"

// StageState says how far a stage has come.
type StageState uint8

// The states of a stage.
const (
	Ahead StageState = iota
	Under            // under way
	Done
	Failed
)

// Stage is one of several that follow each other.
type Stage struct {
	Title string
	Note  string
	State StageState
}

// Stages shows what was done, what is under way and what comes, from left to right.
type Stages struct{ List []Stage }

// Paint draws a disc for each stage, joined, over its title and note.
func (f *Stages) Paint(p *Pen) {
	if len(f.List) == 0 {
		return
	}
	pitch := p.W / float32(len(f.List))
	const y, r = 15, 11
	for i, s := range f.List {
		x := float32(i)*pitch + 14
		if i+1 < len(f.List) {
			c := p.Line2
			if s.State == Done {
				c = p.Success
			}
			p.fill(Rect{x + r + 6, y - 1, x + pitch - r - 6, y + 1}, c)
		}
		number := string(rune('1' + i))
		switch s.State {
		case Done:
			p.disc(x, y, r, 0, p.Success)
			p.sign(Check, x, y, 12, p.OnSuccess)
		case Failed:
			p.disc(x, y, r, 0, p.Danger)
			p.sign(Cross, x, y, 12, p.OnDanger)
		case Under:
			p.disc(x, y, r, 2, p.Primary)
			p.text(x, middle(y, 12), number, font{size: 12, bold: true, align: Centre, c: p.Primary})
		default:
			p.disc(x, y, r, 1.5, p.Line3)
			p.text(x, middle(y, 12), number, font{size: 12, align: Centre, c: p.Text3})
		}
		ink := map[bool]color.NRGBA{true: p.Text2, false: p.Text1}[s.State == Ahead]
		p.text(x-r, y+29, s.Title, font{size: 12, c: ink, room: pitch - 8})
		p.text(x-r, y+46, s.Note, font{size: p.Caption, c: p.Text3, room: pitch - 8})
	}
}

// At is never a datum.
func (f *Stages) At(*Ink, float32, float32, float32, float32) (Mark, bool) { return Mark{}, false }
