package kit

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/widget"

	"fettle/views/kit/theme"
)

// Line is one line of text of any size and colour that ends in an ellipsis where it has too little room. Unlike the
// toolkit's label it has no padding, so that baselines stand where the grid wants them.
type Line struct {
	widget.BaseWidget
	text  *canvas.Text
	full  string
	fixed bool // never cut: its width is the width of the text
}

// NewLine makes a line. A line of size 0 has the body size.
func NewLine(text string, size float32, ink color.Color) *Line {
	l := &Line{text: canvas.NewText(text, ink), full: text}
	if size > 0 {
		l.text.TextSize = size
	}
	l.ExtendBaseWidget(l)
	return l
}

// Bold makes it bold.
func (l *Line) Bold() *Line {
	l.text.TextStyle.Bold = true
	return l
}

// Mono makes it monospaced: hashes, paths and commands.
func (l *Line) Mono() *Line {
	l.text.TextStyle.Monospace = true
	return l
}

// Right aligns it to the right.
func (l *Line) Right() *Line {
	l.text.Alignment = fyne.TextAlignTrailing
	return l
}

// Center centres it.
func (l *Line) Center() *Line {
	l.text.Alignment = fyne.TextAlignCenter
	return l
}

// Whole keeps it from being cut: its smallest width is that of the text.
func (l *Line) Whole() *Line {
	l.fixed = true
	return l
}

// Set changes text and colour; equal ones cost nothing.
func (l *Line) Set(text string, ink color.Color) {
	if l.full == text && l.text.Color == ink {
		return
	}
	l.full, l.text.Color = text, ink
	l.Refresh()
}

// SetText changes the text.
func (l *Line) SetText(text string) { l.Set(text, l.text.Color) }

// Text is the whole text, also where it is shown cut.
func (l *Line) Text() string { return l.full }

// CreateRenderer implements fyne.Widget.
func (l *Line) CreateRenderer() fyne.WidgetRenderer { return &lineRenderer{l} }

type lineRenderer struct{ l *Line }

func (r *lineRenderer) MinSize() fyne.Size {
	t := r.l.text
	full := fyne.MeasureText(r.l.full, t.TextSize, t.TextStyle)
	if r.l.fixed {
		return full
	}
	return fyne.NewSize(min(full.Width, 24), full.Height)
}

func (r *lineRenderer) Layout(size fyne.Size) {
	t := r.l.text
	t.Text = Cut(r.l.full, size.Width, t.TextSize, t.TextStyle)
	t.Resize(size)
}

func (r *lineRenderer) Refresh() {
	r.Layout(r.l.Size())
	r.l.text.Refresh()
}
func (r *lineRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.l.text} }
func (r *lineRenderer) Destroy()                     {}

// Cut shortens a text to a width with an ellipsis. It measures at most a handful of prefixes.
func Cut(text string, width, size float32, style fyne.TextStyle) string {
	if text == "" || fyne.MeasureText(text, size, style).Width <= width+0.5 {
		return text
	}
	runes := []rune(text)
	low, high := 0, len(runes)-1
	for low < high {
		mid := (low + high + 1) / 2
		if fyne.MeasureText(string(runes[:mid])+"…", size, style).Width <= width+0.5 {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return string(runes[:low]) + "…"
}

// Hero, Heading and so on are lines in the roles of the design.
func (u *UI) Hero(text string) *Line { return NewLine(text, theme.Hero, u.Theme.Text1).Bold() }

// Heading is a verdict or a total.
func (u *UI) Heading(text string) *Line { return NewLine(text, theme.Heading, u.Theme.Text1).Bold() }

// Title is the name of the subject of a panel.
func (u *UI) Title(text string) *Line { return NewLine(text, theme.Title, u.Theme.Text1).Bold() }

// Strong is the title of a panel.
func (u *UI) Strong(text string) *Line { return NewLine(text, theme.Body, u.Theme.Text1).Bold() }

// Body is the default.
func (u *UI) Body(text string) *Line { return NewLine(text, theme.Body, u.Theme.Text1) }

// Dense is for tables, trees and facts.
func (u *UI) Dense(text string) *Line { return NewLine(text, theme.Dense, u.Theme.Text1) }

// Soft is dense and secondary.
func (u *UI) Soft(text string) *Line { return NewLine(text, theme.Dense, u.Theme.Text2) }

// Caption is for labels, axes and notes.
func (u *UI) Caption(text string) *Line { return NewLine(text, u.Theme.Caption(), u.Theme.Text3) }

// Para is a text that wraps.
func (u *UI) Para(text string) fyne.CanvasObject {
	return newParagraph(text, theme.Dense, u.Theme.Text2)
}

// Note is a small text that wraps: help under a control.
func (u *UI) Note(text string) fyne.CanvasObject {
	return newParagraph(text, u.Theme.Caption(), u.Theme.Text3)
}

// Icon is one of ours in the colour of a token, at a size.
func Icon(name, token string, size float32) fyne.CanvasObject {
	img := canvas.NewImageFromResource(theme.IconIn(name, token))
	img.FillMode = canvas.ImageFillContain
	return Fixed(size, size, img)
}
