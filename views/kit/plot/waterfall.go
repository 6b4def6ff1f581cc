package plot

import (
	"image/color"
	"math"
	"sort"
)

// StepKind says what a column of a waterfall is.
type StepKind uint8

// The kinds of columns.
const (
	Move         StepKind = iota // gain or loss between the totals
	TotalA                       // where it starts
	TotalB                       // where it ends
	Unattributed                 // a move that no layer explains
)

// Step is one column of a waterfall.
type Step struct {
	Keys  []string // what a click selects
	Label string   // first line under the column
	Sub   string   // second line
	Value float64  // the level of a total, the change of a move
	Text  string   // the value as written over the column
	Kind  StepKind
	Tip   []string
}

// Waterfall shows how the moves lead from one total to another; the columns add up exactly.
type Waterfall struct {
	Steps    []Step
	Tick     func(v float64) string
	Foot     string                    // under the columns, where the axis starts at zero
	FootCut  func(start string) string // where it does not
	Selected func(keys []string) bool
	Muted    bool // no difference was shown: the moves are neither won nor lost
}

// MergeSmall joins the moves under a share of all movement, and those beyond the largest keep, into one. The order of the
// others stays. The sum stays too. name gives the joined column its texts.
func MergeSmall(steps []Step, share float64, keep int, name func(joined []Step, sum float64) Step) []Step {
	all, moves := 0.0, []int(nil)
	for i, s := range steps {
		if s.Kind == Move {
			all += math.Abs(s.Value)
			moves = append(moves, i)
		}
	}
	sort.SliceStable(moves, func(a, b int) bool { return math.Abs(steps[moves[a]].Value) > math.Abs(steps[moves[b]].Value) })
	small := map[int]bool{}
	for rank, i := range moves {
		if math.Abs(steps[i].Value) < share*all || rank >= keep {
			small[i] = true
		}
	}
	if len(small) < 2 {
		return steps
	}
	var out, joined []Step
	sum, at := 0.0, 0
	for i, s := range steps {
		if small[i] {
			joined, sum = append(joined, s), sum+s.Value
			continue
		}
		out = append(out, s)
		if s.Kind == Move || s.Kind == TotalA {
			at = len(out)
		}
	}
	j := name(joined, sum)
	j.Value, j.Kind = sum, Move
	for _, s := range joined {
		j.Keys = append(j.Keys, s.Keys...)
	}
	return append(out[:at:at], append([]Step{j}, out[at:]...)...)
}

// column is a step with its place.
type column struct {
	x0, x1 float32
	y0, y1 float32 // top and foot of the bar
	level  float32 // where the dotted step to the next column runs
}

// fallLayout is where everything of a waterfall stands.
type fallLayout struct {
	plot  Rect
	axis  scale
	ticks []float64
	cut   bool
	cols  []column
}

const (
	fallLeft, fallRight = 46, 14
	fallTop, fallFoot   = 26, 58
)

func (f *Waterfall) layout(w, h float32) fallLayout {
	l := fallLayout{plot: Rect{fallLeft, fallTop, w - fallRight, h - fallFoot}}
	if len(f.Steps) == 0 || l.plot.W() < 20 || l.plot.H() < 20 {
		return l
	}
	lo, hi, level := math.Inf(1), math.Inf(-1), 0.0
	for _, s := range f.Steps {
		if s.Kind == TotalA || s.Kind == TotalB {
			level = s.Value
		} else {
			level += s.Value
		}
		lo, hi = min(lo, level), max(hi, level)
	}
	start := 0.0
	if lo > 0.4*hi && hi > lo {
		// Bars that fill the axis show nothing of the moves: start it below the lowest level, and mark the cut.
		span := hi - lo
		if t := ticks(lo-0.1*span, hi); len(t) > 1 {
			step := t[1] - t[0]
			start = max(math.Floor((lo-0.1*span)/step)*step, 0)
		}
	}
	l.cut = start > 0
	l.axis = scale{start, hi, l.plot.Y1, l.plot.Y0}
	l.ticks = ticks(start, hi)
	pitch := l.plot.W() / float32(len(f.Steps))
	bar := min(pitch*.755, 76)
	level = 0
	for i, s := range f.Steps {
		x := l.plot.X0 + pitch*(float32(i)+.5)
		c := column{x0: x - bar/2, x1: x + bar/2}
		from := level
		switch s.Kind {
		case TotalA, TotalB:
			level, from = s.Value, start
		default:
			level += s.Value
		}
		a, b := l.axis.at(from), l.axis.at(level)
		c.y0, c.y1, c.level = min(a, b), max(a, b), b
		l.cols = append(l.cols, c)
	}
	return l
}

func (f *Waterfall) colour(p *Pen, s Step) color.NRGBA {
	switch {
	case s.Kind == TotalA:
		return p.RunA
	case s.Kind == TotalB:
		return p.RunB
	case s.Kind == Unattributed || s.Value == 0 || f.Muted:
		return p.Text3
	case s.Value < 0:
		return p.Gain
	}
	return p.Loss
}

// Paint draws the columns, their texts, the axis and the cut marks.
func (f *Waterfall) Paint(p *Pen) {
	l := f.layout(p.W, p.H)
	if len(l.cols) == 0 {
		return
	}
	for _, t := range l.ticks {
		y := l.axis.at(t)
		p.hline(l.plot.X0, l.plot.X1, y, p.Line1)
		p.text(l.plot.X0-8, y+4, f.Tick(t), font{size: p.Caption, align: Right, c: p.Text3})
	}
	pitch := l.plot.W() / float32(len(f.Steps))
	for i, s := range f.Steps {
		f.column(p, l, i, s, pitch)
	}
	foot := f.Foot
	if l.cut && f.FootCut != nil {
		foot = f.FootCut(f.Tick(l.axis.lo))
	}
	p.text(12, p.H-8, foot, font{size: p.Caption, c: p.Text3, room: p.W - 24})
}

func (f *Waterfall) column(p *Pen, l fallLayout, i int, s Step, pitch float32) {
	c, mid, ink := l.cols[i], (l.cols[i].x0+l.cols[i].x1)/2, f.colour(p, s)
	bar := Rect{c.x0, c.y0, c.x1, c.y1}
	if i+1 < len(f.Steps) {
		p.dots(c.x1, l.cols[i+1].x0, c.level, p.Line3)
	}
	if s.Kind == Unattributed {
		if bar.H() < 2 {
			bar.Y1 = bar.Y0 + 2
		}
		p.hatch(bar)
	} else {
		p.mark(bar, ink)
	}
	if f.Selected != nil && f.Selected(s.Keys) {
		p.frame(bar, 3, p.Focus)
	}
	total := s.Kind == TotalA || s.Kind == TotalB
	if total && l.cut {
		p.zigzag(c.x0, c.x1, l.plot.Y1-12)
	}
	text := font{size: 12, bold: true, align: Centre, c: ink}
	if total {
		text.size, text.c = 13, p.Text1
	}
	p.text(mid, c.y0-7, s.Text, text)
	name := font{size: p.Caption, align: Centre, c: p.Text1, room: pitch - 4}
	sub := font{size: p.Caption, align: Centre, c: p.Text3, room: pitch - 4}
	if total {
		name.bold, name.size, name.c, sub.c = true, 12, ink, p.Text2
	}
	p.text(mid, l.plot.Y1+17, s.Label, name)
	p.text(mid, l.plot.Y1+33, s.Sub, sub)
}

// zigzag is the mark of a cut axis across a bar.
func (p *Pen) zigzag(x0, x1, y float32) {
	q, d := (x1-x0)/4, float32(3)
	p.line(4, p.Bg2, x0-4, y+d, x0+q, y-d, x0+2*q, y+d, x0+3*q, y-d, x1+4, y+d)
}

// frame rings a box from outside.
func (p *Pen) frame(r Rect, out float32, c color.NRGBA) {
	r = Rect{r.X0 - out, r.Y0 - out, r.X1 + out, r.Y1 + out}
	p.line(2, c, r.X0, r.Y0, r.X1, r.Y0, r.X1, r.Y1, r.X0, r.Y1, r.X0, r.Y0)
}

// At finds the column of a place: its whole height counts, so that thin bars can be hit.
func (f *Waterfall) At(_ *Ink, w, h, x, y float32) (Mark, bool) {
	l := f.layout(w, h)
	for i, c := range l.cols {
		if x >= c.x0-4 && x < c.x1+4 && y >= l.plot.Y0-20 && y < l.plot.Y1+38 {
			return Mark{Keys: f.Steps[i].Keys, Tip: f.Steps[i].Tip, Box: Rect{c.x0 - 4, c.y0 - 4, c.x1 + 4, max(c.y1, c.y0+1) + 4}}, true
		}
	}
	return Mark{}, false
}
