//go:build drive

// Package describe writes what a window shows, and where, to a file, so that a test can find a button by its words and
// press it with the real pointer. It is built only with the tag drive.
//
// It changes nothing in the window. Start reading at Start.
package describe

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"
)

// Item is one text or named thing that can be seen, in pixels of the window.
type Item struct {
	Text string  `json:"text"`
	Kind string  `json:"kind"`
	X    float32 `json:"x"`
	Y    float32 `json:"y"`
	W    float32 `json:"w"`
	H    float32 `json:"h"`
}

// Mark is a named place inside a painted widget, relative to it.
type Mark struct {
	Text string
	Pos  fyne.Position
	Size fyne.Size
}

// Painted is a widget whose texts are pixels: it says itself what is where.
type Painted interface {
	Marks() []Mark
}

// Start writes a description whenever it changed, until ctx ends. do runs a function on the goroutine of the toolkit.
func Start(ctx context.Context, w fyne.Window, do func(func()), file string) error {
	last := ""
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		done := make(chan string, 1)
		do(func() { done <- Describe(w.Canvas()) })
		select {
		case <-ctx.Done():
			return nil
		case text := <-done:
			if text == last {
				continue
			}
			last = text
			if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
				return err
			}
			if err := os.Rename(file+".new", file); err != nil {
				return err
			}
		}
	}
}

// Describe lists what a canvas shows, as JSON.
func Describe(c fyne.Canvas) string {
	d := &describer{scale: c.Scale()}
	all := clip{0, 0, c.Size().Width, c.Size().Height}
	d.walk(c.Content(), fyne.NewPos(0, 0), all)
	for _, o := range c.Overlays().List() {
		d.items = append(d.items, Item{Kind: "overlay"})
		d.walk(o, fyne.NewPos(0, 0), all)
	}
	if d.items == nil {
		d.items = []Item{}
	}
	b, err := json.Marshal(d.items)
	if err != nil {
		return "[]" // plain data always marshals
	}
	return string(b)
}

type clip struct{ x0, y0, x1, y1 float32 }

func (c clip) and(p fyne.Position, s fyne.Size) clip {
	return clip{max(c.x0, p.X), max(c.y0, p.Y), min(c.x1, p.X+s.Width), min(c.y1, p.Y+s.Height)}
}

type describer struct {
	items []Item
	scale float32
}

func (d *describer) add(kind, text string, p fyne.Position, s fyne.Size, c clip) {
	x, y := p.X+s.Width/2, p.Y+s.Height/2
	if text == "" || x < c.x0 || x > c.x1 || y < c.y0 || y > c.y1 {
		return
	}
	d.items = append(d.items, Item{text, kind, p.X * d.scale, p.Y * d.scale, s.Width * d.scale, s.Height * d.scale})
}

func (d *describer) walk(o fyne.CanvasObject, at fyne.Position, c clip) {
	if o == nil || !o.Visible() {
		return
	}
	p := at.Add(o.Position())
	switch v := o.(type) {
	case *canvas.Text:
		d.add("text", v.Text, p, v.Size(), c)
		return
	case *fyne.Container:
		for _, child := range v.Objects {
			d.walk(child, p, c)
		}
		return
	case *widget.Entry:
		d.add("entry", v.Text, p, v.Size(), c)
		d.add("placeholder", v.PlaceHolder, p, v.Size(), c)
	case *container.Scroll:
		c = c.and(p, v.Size())
	}
	if a, ok := o.(fyne.Accessible); ok {
		d.add("label", a.AccessibilityLabel(), p, o.Size(), c)
	}
	if m, ok := o.(Painted); ok {
		inner := c.and(p, o.Size())
		for _, k := range m.Marks() {
			d.add("mark", k.Text, p.Add(k.Pos), k.Size, inner)
		}
	}
	if w, ok := o.(fyne.Widget); ok {
		for _, child := range test.WidgetRenderer(w).Objects() {
			d.walk(child, p, c)
		}
	}
}
