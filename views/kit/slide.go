package kit

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	fyneTheme "fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"fettle/views/kit/theme"
)

// Slide is a slider in the colours of the design, with a tick for each of n places under it; fewer than two: none. The toolkit draws the rail in the
// colour of entries, which cannot be seen on a panel.
func (u *UI) Slide(s *widget.Slider, n int) fyne.CanvasObject {
	over := container.NewThemeOverride(s, &slideTheme{u.Theme})
	if n < 2 {
		return over
	}
	marks := make([]fyne.CanvasObject, n)
	for i := range marks {
		marks[i] = canvas.NewRectangle(u.Theme.Line3)
	}
	size := u.Theme.Size
	rail := (size(fyneTheme.SizeNameInlineIcon)-4)/2 + size(fyneTheme.SizeNameInnerPadding) - 1.5 // what the toolkit leaves free at both ends
	return container.NewStack(container.New(ticks{rail}, marks...), over)
}

// slideTheme draws the rail as a line of the design and what is chosen in its first colour.
type slideTheme struct{ *theme.Theme }

// Color is part of fyne.Theme.
func (t *slideTheme) Color(name fyne.ThemeColorName, v fyne.ThemeVariant) color.Color {
	switch name {
	case fyneTheme.ColorNameInputBackground:
		return t.Line3
	case fyneTheme.ColorNameForeground:
		return t.Primary
	}
	return t.Theme.Color(name, v)
}

// ticks puts marks under the places of a slider.
type ticks struct{ rail float32 }

const tickFall = 9 // of the marks below the rail

// Layout is part of fyne.Layout.
func (t ticks) Layout(o []fyne.CanvasObject, size fyne.Size) {
	step := (size.Width - 2*t.rail) / float32(len(o)-1)
	for i, m := range o {
		m.Resize(fyne.NewSize(1, 4))
		m.Move(fyne.NewPos(t.rail+float32(i)*step, size.Height/2+tickFall))
	}
}

// MinSize is part of fyne.Layout.
func (ticks) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(0, 0) }
