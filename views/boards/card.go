package boards

import (
	"fmt"
	"slices"
	"strings"

	"fyne.io/fyne/v2"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/theme"
)

// card is a board in the list.
type card struct {
	s      *screen
	object fyne.CanvasObject
	tap    *kit.Tappable
}

func newCard(s *screen, b *app.Board) *card {
	u := s.u
	c := &card{s: s}
	rows := []fyne.CanvasObject{kit.Cols(8, u.Title(s.title(b)).Whole(), kit.Gap(), s.status(b))}
	f := b.Facts
	if f == nil {
		line := u.T("not asked yet")
		if b.Err != nil {
			line = s.say.Say(b.Err.Why)
		}
		rows = append(rows, u.Soft(b.Address), u.Soft(line))
	} else {
		rows = append(rows, u.Soft(silicon(f)), c.pillRow(f), u.HRule(), c.now(b))
		if bad, _ := problems(app.BoardFindings(f)); len(bad) > 0 && bad[0].Fix != "" {
			rows = append(rows, kit.Cols(8, kit.Icon("warning", "warning", 14), kit.Flex(u.Soft(capital(s.say.Say(bad[0].Why)))), u.NewButton(kit.Link, "", u.T("How to mend"), func() { s.choose(b.Name) }).Small()))
		}
	}
	c.tap = u.NewTappable(kit.Plate(u.Theme.Bg2, u.Theme.Line1, 8), kit.Pad(12, 14, 12, 14, kit.Rows(7, rows...)), func() { s.choose(b.Name) })
	c.object = c.tap
	return c
}

// choose shows by the edge which card the right side is about.
func (c *card) choose(on bool) {
	t := c.s.u.Theme
	if on {
		c.tap.Plate(t.Bg2, t.Primary)
	} else {
		c.tap.Plate(t.Bg2, t.Line1)
	}
}

func (s *screen) title(b *app.Board) string {
	if b.Local {
		return s.u.T("This computer")
	}
	return b.Name
}

// status says at the right of the name whether the board can be used.
func (s *screen) status(b *app.Board) fyne.CanvasObject {
	u := s.u
	word := func(icon, token, text string) fyne.CanvasObject {
		return kit.Cols(6, kit.Icon(icon, token, 14), kit.NewLine(text, theme.Dense, u.Theme.Token(token)).Whole())
	}
	switch {
	case b.Busy:
		return word("clock", "warning", u.T("busy"))
	case b.Err != nil:
		return word("error", "danger", u.T("not reached"))
	case b.Facts == nil:
		return word("seal-none", "text3", u.T("not asked yet"))
	}
	return word("check", "success", u.T("ready"))
}

// silicon is the chip and its cores in one line.
func silicon(f *app.TargetFacts) string {
	var parts []string
	if f.SoC != "" {
		parts = append(parts, f.SoC)
	}
	var groups []string
	for _, g := range groupCores(f) {
		name := g.part
		if name == "" {
			name = "CPU"
		}
		groups = append(groups, fmt.Sprintf("%s × %d", name, g.n))
	}
	if len(groups) > 0 {
		parts = append(parts, strings.Join(groups, " + "))
	}
	return strings.Join(parts, " · ")
}

func (c *card) pillRow(f *app.TargetFacts) fyne.CanvasObject {
	u := c.s.u
	var items []fyne.CanvasObject
	for _, p := range pills(f) {
		items = append(items, u.Pill(p, "text2"))
	}
	items = append(items, kit.Gap(), u.Caption(u.F("engines: %s", strings.Join(engines(f), ", "))).Whole())
	return kit.Cols(6, items...)
}

// now is the line of the conditions, with the seal that a run could get.
func (c *card) now(b *app.Board) fyne.CanvasObject {
	u, f := c.s.u, b.Facts
	item := func(icon, text, token string) fyne.CanvasObject {
		return kit.Cols(5, kit.Icon(icon, "text3", 14), kit.NewLine(text, theme.Dense, u.Theme.Token(token)).Whole())
	}
	items := []fyne.CanvasObject{u.SealMark(seal(b), 16)}
	clock, token := u.T("clock not known"), "text3"
	if len(f.Hz) > 0 {
		clock, token = kit.Hz(slices.Max(f.Hz)), "text1"
	}
	switch f.Governor {
	case "performance", "userspace":
		clock += " " + u.T("fixed")
	case "":
	default:
		clock, token = clock+" "+f.Governor, "warning"
	}
	items = append(items, item("clock", clock, token))
	if f.TemperatureC != nil {
		token = "text1"
		if *f.TemperatureC >= 75 {
			token = "warning"
		}
		items = append(items, item("temperature", fmt.Sprintf("%.0f °C", *f.TemperatureC), token))
	}
	if f.MemoryFree != nil {
		items = append(items, item("memory", u.F("%s free", kit.Bytes(*f.MemoryFree)), "text1"))
	}
	return kit.Cols(14, append(items, kit.Gap())...)
}

// capital makes the first letter a capital one.
func capital(s string) string {
	r := []rune(s)
	if len(r) > 0 && r[0] >= 'a' && r[0] <= 'z' {
		r[0] += 'A' - 'a'
	}
	return string(r)
}
