package chart

import (
	"math"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// Measure is the width of a text in DIP; it belongs to whoever draws.
type Measure func(text string, size float64, bold bool) float64

// Sizes of the design, DIP.
const (
	pad      = 16
	title    = 15.0
	body     = 13.0
	dense    = 12.0
	caption  = 11.0
	rowH     = 22.0
	barH     = 12.0
	colW     = 54.0
	colGap   = 18.0
	plotH    = 260.0
	panelH   = 90.0
	leastW   = 560.0
	leastPx  = 2.0 // a whisker shorter than this is left out
	capHalf  = 3.0
	headLine = 18.0
)

// frame is a scene under construction.
type frame struct {
	Scene
	c    *Chart
	wide Measure
	top  float64 // where the plot begins
	cut  bool    // the axis begins above zero

	named []Rect // labels beside marks
}

// Layout decides where everything of a chart lies.
func Layout(c *Chart, m Measure) *Scene {
	f := &frame{c: sane(c), wide: m}
	f.W = c.Width
	switch c.Kind {
	case HBars:
		f.W = math.Max(f.W, leastW)
		f.head()
		f.hbars()
	case Falls:
		f.W = math.Max(f.W, 2*pad+56+float64(len(f.points()))*(colW+colGap))
		f.head()
		f.falls()
	default:
		f.W = math.Max(f.W, leastW)
		f.head()
		f.xy(plotH)
		f.panels()
	}
	f.foot()
	f.Draws = append([]Draw{{Op: OpRect, At: Rect{0, 0, f.W, f.H}, Fill: "bg2"}}, f.Draws...)
	return &f.Scene
}

// sane keeps numbers where places can be reckoned from them. Files may say anything; a day is 1e14 nanoseconds.
func sane(c *Chart) *Chart {
	num := func(v float64) float64 {
		switch {
		case math.IsNaN(v) || math.Abs(v) < 1e-6:
			return 0
		case math.Abs(v) > 1e15:
			return math.Copysign(1e15, v)
		}
		return v
	}
	out := *c
	out.Series = slices.Clone(c.Series)
	for k := range out.Series {
		out.Series[k].Points = slices.Clone(out.Series[k].Points)
		for i := range out.Series[k].Points {
			p := &out.Series[k].Points[i]
			for _, v := range []*float64{&p.X, &p.Y, &p.Lo, &p.Hi, &p.From, &p.To} {
				*v = num(*v)
			}
			if p.Floor != nil {
				v := num(*p.Floor)
				p.Floor = &v
			}
		}
	}
	return &out
}

func (f *frame) points() []Point {
	if len(f.c.Series) == 0 {
		return nil
	}
	return f.c.Series[0].Points
}

func (f *frame) head() {
	y := float64(pad)
	if f.c.Title != "" {
		for _, l := range f.wrap(f.c.Title, title, true, f.W-2*pad) {
			y += title
			f.text(Pt{pad, y}, l, title, "text1", Left, true)
			y += 5
		}
		y += 3
	}
	for _, l := range f.wrap(f.c.Subtitle, dense, false, f.W-2*pad) {
		y += dense
		f.text(Pt{pad, y}, l, dense, "text2", Left, false)
		y += 6
	}
	if f.legend(y + 4) {
		y += 20
	}
	f.top = y + 8
	f.H = f.top
}

// legend names the series where there are several; up to three marks draw faster than they are read.
func (f *frame) legend(y float64) bool {
	named := 0
	for _, s := range f.c.Series {
		if s.Name != "" {
			named++
		}
	}
	if named < 2 {
		return false
	}
	x := float64(pad)
	for _, s := range f.c.Series {
		f.mark(s.Mark, Pt{x + 5, y + 6}, 4, s.Color, Measured)
		f.text(Pt{x + 16, y + 10}, s.Name, dense, "text2", Left, false)
		x += 16 + f.wide(s.Name, dense, false) + 20
	}
	return true
}

func (f *frame) foot() {
	y := f.H + 4
	notes := f.c.Notes
	if f.cut {
		notes = append([]string{f.c.CutNote}, notes...)
	}
	for _, n := range notes {
		for _, l := range f.wrap(n, caption, false, f.W-2*pad) {
			y += caption + 5
			f.text(Pt{pad, y}, l, caption, "text3", Left, false)
		}
	}
	f.H = y + pad
}

// wrap breaks a sentence into lines at spaces, and between characters where it has none.
func (f *frame) wrap(s string, size float64, bold bool, w float64) []string {
	var out []string
	line := ""
	for _, word := range strings.SplitAfter(s, " ") {
		if line != "" && f.wide(line+strings.TrimRight(word, " "), size, bold) > w {
			out = append(out, strings.TrimRight(line, " "))
			line = ""
		}
		for f.wide(word, size, bold) > w && utf8.RuneCountInString(word) > 1 {
			n := len(word)
			for n > 0 && f.wide(word[:n], size, bold) > w {
				_, k := utf8.DecodeLastRuneInString(word[:n])
				n -= k
			}
			n = max(n, 1)
			out = append(out, word[:n])
			word = word[n:]
		}
		line += word
	}
	if line != "" {
		out = append(out, line)
	}
	return out
}

// fit shortens a name in its middle: the ends of layer names tell them apart.
func (f *frame) fit(s string, size float64, bold bool, w float64) string {
	if f.wide(s, size, bold) <= w {
		return s
	}
	r := []rune(s)
	cut := func(n int) string {
		head := (n + 1) / 2
		return string(r[:head]) + "…" + string(r[len(r)-(n-head):])
	}
	// The first length that does not fit any more; names may be as long as a file allows, so it is not counted down.
	n := sort.Search(len(r), func(n int) bool { return f.wide(cut(n), size, bold) > w })
	return cut(max(0, n-1))
}

// hbars lays out one row a point: name, kind, bar from zero, value.
func (f *frame) hbars() {
	pts := f.points()
	if len(pts) == 0 {
		return
	}
	var nameW, kindW, textW, hi float64
	for _, p := range pts {
		nameW = math.Max(nameW, f.wide(p.Label, dense, false))
		kindW = math.Max(kindW, f.wide(p.Detail, caption, false))
		textW = math.Max(textW, f.wide(p.Text, dense, p.State == Sum))
		hi = math.Max(hi, math.Max(p.Y, p.Hi))
		if p.Floor != nil {
			hi = math.Max(hi, *p.Floor)
		}
	}
	nameW, kindW = math.Min(nameW, 0.3*f.W), math.Min(kindW, 110)
	x0 := pad + nameW + 12
	if kindW > 0 {
		x0 += kindW + 12
	}
	w := math.Max(80, f.W-pad-x0-textW-14)
	if hi <= 0 {
		hi = 1
	}
	x := func(v float64) float64 { return x0 + w*math.Max(0, v)/hi }
	y := f.top + 14
	bottom := y + 18 + rowH*float64(len(pts))
	f.text(Pt{x0, y - 4}, f.c.X.title(), caption, "text3", Left, false)
	for _, t := range Ticks(0, hi, f.c.X.Scale) {
		f.line("line1", 1, nil, Pt{x(t.At), y + 16}, Pt{x(t.At), bottom})
		f.text(Pt{x(t.At), y + 11}, t.Label, caption, "text3", Center, false)
	}
	y += 18
	for i, p := range pts {
		row := Rect{pad, y, f.W - 2*pad, rowH}
		f.text(Pt{pad, y + 15}, f.fit(p.Label, dense, false, nameW), dense, nameColor(p.State), Left, false)
		f.text(Pt{pad + nameW + 12, y + 15}, f.fit(p.Detail, caption, false, kindW), caption, "text3", Left, false)
		end := f.bar(p, Rect{x0, y + (rowH-barH)/2, x(p.Y) - x0, barH}, x)
		f.rect(Rect{end + 4, y + 2, f.wide(p.Text, dense, p.State == Sum) + 8, rowH - 4}, "bg2") // no gridline through the number
		f.text(Pt{end + 8, y + 15}, p.Text, dense, "text1", Left, p.State == Sum)
		f.Marks = append(f.Marks, Mark{Point: i, ID: p.ID, Tip: p.Tip, At: row})
		y += rowH
	}
	f.line("line2", 1, nil, Pt{x0, f.top + 30}, Pt{x0, bottom})
	f.H = bottom
}

func nameColor(s State) Token {
	if s == Measured || s == Predicted {
		return "text1"
	}
	return "text2"
}

// bar draws one horizontal bar with whisker and floor, and gives where it ends.
func (f *frame) bar(p Point, r Rect, x func(float64) float64) float64 {
	end := r.X + r.W
	switch p.State {
	case Absent:
		f.hatch(Rect{r.X, r.Y, 60, r.H})
		return r.X + 60
	case Rest:
		if r.W >= 1 {
			f.hatch(r)
		}
	case Predicted:
		f.line(f.color(p, 0), 1.5, []float64{4, 3}, Pt{r.X, r.Y}, Pt{end, r.Y}, Pt{end, r.Y + r.H}, Pt{r.X, r.Y + r.H})
	default:
		f.rect(Rect{r.X, r.Y, math.Max(r.W, 1), r.H}, f.color(p, 0))
	}
	mid := r.Y + r.H/2
	if a, b := x(p.Lo), x(p.Hi); b-a > leastPx {
		f.line("text1", 1.2, nil, Pt{a, mid}, Pt{b, mid})
		f.line("text1", 1.2, nil, Pt{a, mid - capHalf}, Pt{a, mid + capHalf})
		f.line("text1", 1.2, nil, Pt{b, mid - capHalf}, Pt{b, mid + capHalf})
		end = math.Max(end, b)
	}
	if p.Floor != nil {
		fx := x(*p.Floor)
		f.rect(Rect{fx - 3, r.Y - 3, 6, r.H + 6}, "bg2")
		f.rect(Rect{fx - 1, r.Y - 3, 2, r.H + 6}, "floor")
		for t := r.Y - 2; t < r.Y+r.H+2; t += 4 { // teeth into the forbidden side
			f.line("floor", 1, nil, Pt{fx - 1, t}, Pt{fx - 4, t + 3})
		}
		end = math.Max(end, fx)
	}
	return end
}

func (f *frame) color(p Point, series int) Token {
	if p.Color != "" {
		return p.Color
	}
	if p.State == Sum {
		return "line3"
	}
	return f.c.Series[series].Color
}
