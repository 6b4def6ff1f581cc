package kit

import (
	"image/color"
	"strings"
	"unicode"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/widget"
)

// paragraph is a text that wraps, also one without spaces: Chinese breaks between any two characters, but never before a
// closing or after an opening mark. Its height follows from its width, which Rows gives it first.
type paragraph struct {
	widget.BaseWidget
	text  string
	size  float32
	ink   color.Color
	width float32
	lines []string
}

func newParagraph(text string, size float32, ink color.Color) *paragraph {
	p := &paragraph{text: text, size: size, ink: ink}
	p.ExtendBaseWidget(p)
	p.wrap(guessWidth)
	return p
}

// guessWidth is the width of a text that was never laid out.
const guessWidth = 340

// Resize wraps anew where the width changed.
func (p *paragraph) Resize(s fyne.Size) {
	if s.Width > 0 && s.Width != p.width {
		p.wrap(s.Width)
		p.Refresh()
	}
	p.BaseWidget.Resize(s)
}

func (p *paragraph) wrap(width float32) {
	p.width = width
	p.lines = wrapText(p.text, func(s string) bool { return fyne.MeasureText(s, p.size, fyne.TextStyle{}).Width <= width })
}

func (p *paragraph) lineHeight() float32 {
	return fyne.MeasureText("Ag", p.size, fyne.TextStyle{}).Height
}

// CreateRenderer implements fyne.Widget.
func (p *paragraph) CreateRenderer() fyne.WidgetRenderer {
	r := &paragraphRenderer{p: p}
	r.Refresh()
	return r
}

type paragraphRenderer struct {
	p     *paragraph
	texts []fyne.CanvasObject
}

func (r *paragraphRenderer) MinSize() fyne.Size {
	return fyne.NewSize(60, float32(len(r.p.lines))*r.p.lineHeight())
}

func (r *paragraphRenderer) Layout(size fyne.Size) {
	h := r.p.lineHeight()
	for i, o := range r.texts {
		o.Move(fyne.NewPos(0, float32(i)*h))
		o.Resize(fyne.NewSize(size.Width, h))
	}
}

func (r *paragraphRenderer) Refresh() {
	for len(r.texts) < len(r.p.lines) {
		t := canvas.NewText("", r.p.ink)
		t.TextSize = r.p.size
		r.texts = append(r.texts, t)
	}
	r.texts = r.texts[:len(r.p.lines)]
	for i, l := range r.p.lines {
		r.texts[i].(*canvas.Text).Text = l
		r.texts[i].Refresh()
	}
	r.Layout(r.p.Size())
}

func (r *paragraphRenderer) Objects() []fyne.CanvasObject { return r.texts }
func (r *paragraphRenderer) Destroy()                     {}

// wrapText breaks a text into lines that fit. A single word that is too long is broken anywhere.
func wrapText(text string, fits func(string) bool) []string {
	var out []string
	for _, para := range strings.Split(text, "\n") {
		line := ""
		for _, piece := range pieces(para) {
			if line == "" || fits(strings.TrimRight(line+piece, " ")) {
				line += piece
				continue
			}
			out = append(out, strings.TrimRight(line, " "))
			line = strings.TrimLeft(piece, " ")
		}
		for runes := []rune(line); len(runes) > 1 && !fits(strings.TrimRight(line, " ")); runes = []rune(line) {
			n := len(runes) - 1
			for n > 1 && !fits(string(runes[:n])) {
				n--
			}
			out = append(out, string(runes[:n]))
			line = string(runes[n:])
		}
		out = append(out, strings.TrimRight(line, " "))
	}
	return out
}

// pieces are the parts of a line between which it may break.
func pieces(s string) []string {
	var out []string
	start := 0
	runes := []rune(s)
	for i := 1; i < len(runes); i++ {
		a, b := runes[i-1], runes[i]
		space := a == ' ' && b != ' '
		hanzi := (unicode.Is(unicode.Han, a) || unicode.Is(unicode.Han, b) || closing(a)) && !closing(b) && !opening(a) && b != ' ' && a != ' '
		if space || hanzi {
			out = append(out, string(runes[start:i]))
			start = i
		}
	}
	return append(out, string(runes[start:]))
}

// closing marks do not stand at the start of a line, opening ones not at its end.
func closing(r rune) bool { return strings.ContainsRune("，。：；！？）”’、》」%", r) }
func opening(r rune) bool { return strings.ContainsRune("（“‘《「", r) }
