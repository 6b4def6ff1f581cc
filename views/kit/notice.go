package kit

import (
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/internal/fail"
	"fettle/views/kit/theme"
)

// Empty is what a screen shows that has nothing yet: an icon, one sentence, one line and one action.
func (u *UI) Empty(icon, sentence, line, action string, do func()) fyne.CanvasObject {
	items := []fyne.CanvasObject{
		container.NewCenter(Icon(icon, "text3", 36)), Space(0, 4),
		NewLine(sentence, 15, u.Theme.Text1).Center(), u.Soft(line).Center(), Space(0, 6),
	}
	if action != "" {
		items = append(items, container.NewCenter(u.NewButton(Filled, "", action, do).Large()))
	}
	return container.NewCenter(AtLeast(420, 0, Rows(6, items...)))
}

// ErrorPanel says what failed, why, and what to do about it; it can be copied. actions stand left of Copy.
func (u *UI) ErrorPanel(e *fail.Error, actions ...fyne.CanvasObject) fyne.CanvasObject {
	what := u.Say(e.What)
	if what == "" {
		what = u.T("Something failed")
	}
	rows := []fyne.CanvasObject{Cols(8, Icon("error", "danger", 16), Flex(u.Strong(capital(what))))}
	add := func(key, text string) {
		if text == "" {
			return
		}
		label := Fixed(44, 0, container.NewVBox(u.Caption(u.T(key)).Whole()))
		rows = append(rows, container.NewBorder(nil, nil, label, nil, newParagraph(text, theme.Dense, u.Theme.Text1)))
	}
	where := e.Where.String()
	why := u.Say(e.Why)
	if where != "" {
		why = where + ": " + why
	}
	add("Why", why)
	add("Do", u.Say(e.Fix))
	foot := append([]fyne.CanvasObject{}, actions...)
	foot = append(foot, Gap(), u.NewButton(Link, "copy", u.T("Copy"), func() {
		fyne.CurrentApp().Clipboard().SetContent(Details(e))
	}).Small())
	rows = append(rows, Cols(8, foot...))
	bar := Fixed(4, 0, Plate(u.Theme.Danger, u.Theme.Danger, 2))
	return container.NewStack(Plate(u.Theme.Bg2, u.Theme.Danger, 8), container.NewBorder(nil, nil, bar, nil, Pad(10, 12, 8, 10, Rows(2, rows...))))
}

// Fault is an error in one line, in the language of the window.
func (u *UI) Fault(e *fail.Error) string {
	var parts []string
	for _, x := range []string{u.Say(e.What), e.Where.String(), u.Say(e.Why)} {
		if x != "" {
			parts = append(parts, x)
		}
	}
	text := strings.Join(parts, ": ")
	if e.Fix != "" {
		text += "; " + u.Say(e.Fix)
	}
	return text
}

// Details is an error as text to paste: its kind, the sentence, and the cause.
func Details(e *fail.Error) string {
	var b strings.Builder
	b.WriteString(e.Error())
	b.WriteString("\nkind: " + string(e.Kind))
	if e.Err != nil {
		b.WriteString("\ncause: " + e.Err.Error())
	}
	return b.String()
}

// capital makes the first letter a capital one, as at the start of a sentence.
func capital(s string) string {
	r := []rune(s)
	if len(r) > 0 && r[0] >= 'a' && r[0] <= 'z' {
		r[0] += 'A' - 'a'
	}
	return string(r)
}

// Why is the small sign that opens a plain explanation of a control: two lines of words, then a box with this model's
// own numbers where there are some.
func (u *UI) Why(title, words, example string) fyne.CanvasObject {
	var b *Button
	b = u.NewButton(Ghost, "why", "", func() { u.ShowWhy(b, title, words, example) }).Small()
	return b
}

// ShowWhy opens the explanation beside an object.
func (u *UI) ShowWhy(beside fyne.CanvasObject, title, words, example string) {
	rows := []fyne.CanvasObject{Cols(8, Icon("why", "primary", 16), u.Strong(title).Whole()), u.Para(words)}
	if example != "" {
		rows = append(rows, container.NewStack(Plate(u.Theme.Bg3, u.Theme.Bg3, 5), u.Para(example)))
	}
	u.Popover(beside, 320, Pad(8, 10, 8, 10, Rows(4, rows...)))
}

// Popover shows content of a width under an object, inside of the window.
func (u *UI) Popover(beside fyne.CanvasObject, width float32, content fyne.CanvasObject) *widget.PopUp {
	c := u.Window.Canvas()
	pop := widget.NewPopUp(Fixed(width, 0, content), c)
	at := fyne.CurrentApp().Driver().AbsolutePositionForObject(beside)
	size := pop.MinSize()
	at.Y += beside.Size().Height + 4
	at.X = max(min(at.X, c.Size().Width-size.Width-12), 8)
	if at.Y+size.Height > c.Size().Height-12 {
		at.Y = max(at.Y-size.Height-beside.Size().Height-8, 8)
	}
	pop.ShowAtPosition(at)
	return pop
}

// Menu opens a menu under an object.
func (u *UI) Menu(beside fyne.CanvasObject, items ...*fyne.MenuItem) {
	at := fyne.CurrentApp().Driver().AbsolutePositionForObject(beside)
	widget.ShowPopUpMenuAtPosition(fyne.NewMenu("", items...), u.Window.Canvas(), fyne.NewPos(at.X, at.Y+beside.Size().Height+2))
}
