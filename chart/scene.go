package chart

import (
	"encoding/json"
	"image/color"
	"math"
	"strconv"

	"fettle/assets"
)

// Token names a colour of the design: "text1", "runA", "gain". Its value depends on the theme.
type Token string

// Palette gives the colours of a theme, "light" or "dark".
func Palette(theme string) map[Token]color.NRGBA {
	var t struct {
		Color map[string]map[Token]string `json:"color"`
	}
	if err := json.Unmarshal(assets.Tokens, &t); err != nil {
		panic("chart: assets/tokens.json: " + err.Error()) // embedded: a test reads it
	}
	out := map[Token]color.NRGBA{}
	for k, v := range t.Color[theme] {
		out[k] = parseColor(v)
	}
	return out
}

func parseColor(s string) color.NRGBA {
	v, _ := strconv.ParseUint(s[1:], 16, 64)
	if len(s) == 7 {
		v = v<<8 | 0xff
	}
	return color.NRGBA{R: uint8(v >> 24), G: uint8(v >> 16), B: uint8(v >> 8), A: uint8(v)}
}

// Pt is a place in DIP from the left top.
type Pt struct{ X, Y float64 }

// Rect is a rectangle in DIP.
type Rect struct{ X, Y, W, H float64 }

// Op is what a Draw draws.
type Op int

// The drawing operations: all that a painter must know.
const (
	OpRect    Op = iota // At, filled
	OpHatch             // At, filled with Fill and HatchLines in Stroke
	OpLine              // Points, open, Stroke and Width
	OpPolygon           // Points, closed, filled with Fill where set, else Stroke
	OpText              // Text at Points[0], on its baseline
)

// Align of a text to its point.
type Align int

// Alignments.
const (
	Left Align = iota
	Center
	Right
)

// Draw is one thing to draw, in order.
type Draw struct {
	Op     Op
	At     Rect
	Points []Pt
	Fill   Token
	Stroke Token
	Alpha  float64 // of the fill; 0: opaque
	Width  float64
	Dash   []float64
	Text   string
	Size   float64
	Bold   bool
	Align  Align
}

// Scene is a chart with every place decided.
type Scene struct {
	W, H  float64
	Draws []Draw
	Marks []Mark
}

// Mark is where a point lies, for the mouse and the keyboard.
type Mark struct {
	Series, Point int
	ID            string
	Tip           string
	At            Rect
}

// near is how far a mouse may be from a mark to hit it.
const near = 24

// Hit gives the index of the mark at a place: the one that holds it, else the nearest within 24 DIP, else -1.
func (s *Scene) Hit(x, y float64) int {
	best, dist := -1, near*1.0
	for i, m := range s.Marks {
		dx := math.Max(0, math.Max(m.At.X-x, x-m.At.X-m.At.W))
		dy := math.Max(0, math.Max(m.At.Y-y, y-m.At.Y-m.At.H))
		if d := math.Hypot(dx, dy); d < dist {
			best, dist = i, d
		}
	}
	return best
}

// HatchLines are the strokes of a hatched rectangle: 45 degrees, 5 apart, cut at its edges.
func HatchLines(r Rect) [][2]Pt {
	var out [][2]Pt
	for d := 5.0; d < r.W+r.H; d += 5 {
		a := Pt{r.X + math.Min(d, r.W), r.Y + math.Max(0, d-r.W)}
		b := Pt{r.X + math.Max(0, d-r.H), r.Y + math.Min(d, r.H)}
		out = append(out, [2]Pt{a, b})
	}
	return out
}

func (s *Scene) rect(r Rect, fill Token) {
	s.Draws = append(s.Draws, Draw{Op: OpRect, At: r, Fill: fill})
}

func (s *Scene) hatch(r Rect) {
	s.Draws = append(s.Draws, Draw{Op: OpHatch, At: r, Fill: "bg2", Stroke: "line3", Width: 1})
	s.line("line3", 1, nil, Pt{r.X, r.Y}, Pt{r.X + r.W, r.Y}, Pt{r.X + r.W, r.Y + r.H}, Pt{r.X, r.Y + r.H}, Pt{r.X, r.Y})
}

func (s *Scene) line(stroke Token, width float64, dash []float64, p ...Pt) {
	s.Draws = append(s.Draws, Draw{Op: OpLine, Points: p, Stroke: stroke, Width: width, Dash: dash})
}

func (s *Scene) text(p Pt, t string, size float64, c Token, a Align, bold bool) {
	if t != "" {
		s.Draws = append(s.Draws, Draw{Op: OpText, Points: []Pt{p}, Text: t, Size: size, Fill: c, Align: a, Bold: bold})
	}
}

// mark draws the shape of a series around p.
func (s *Scene) mark(shape Shape, p Pt, r float64, c Token, state State) {
	d := Draw{Op: OpPolygon, Fill: c}
	switch shape {
	case Circle:
		for i := range 24 {
			a := float64(i) * math.Pi / 12
			d.Points = append(d.Points, Pt{p.X + r*math.Cos(a), p.Y + r*math.Sin(a)})
		}
	case Triangle:
		d.Points = []Pt{{p.X, p.Y - 1.2*r}, {p.X + 1.1*r, p.Y + 0.8*r}, {p.X - 1.1*r, p.Y + 0.8*r}}
	case Diamond:
		d.Points = []Pt{{p.X, p.Y - 1.25*r}, {p.X + 1.25*r, p.Y}, {p.X, p.Y + 1.25*r}, {p.X - 1.25*r, p.Y}}
	case Cross:
		s.line(c, 1.5, nil, Pt{p.X - r, p.Y - r}, Pt{p.X + r, p.Y + r})
		s.line(c, 1.5, nil, Pt{p.X - r, p.Y + r}, Pt{p.X + r, p.Y - r})
		return
	case Plus:
		s.line(c, 1.5, nil, Pt{p.X - 1.2*r, p.Y}, Pt{p.X + 1.2*r, p.Y})
		s.line(c, 1.5, nil, Pt{p.X, p.Y - 1.2*r}, Pt{p.X, p.Y + 1.2*r})
		return
	default:
		d.Points = []Pt{{p.X - r, p.Y - r}, {p.X + r, p.Y - r}, {p.X + r, p.Y + r}, {p.X - r, p.Y + r}}
	}
	if state == Predicted {
		d.Fill, d.Stroke, d.Width = "", c, 1.5
	}
	s.Draws = append(s.Draws, d)
}
