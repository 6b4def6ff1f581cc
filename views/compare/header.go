package compare

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/profiler"
	"fettle/views/kit"
	"fettle/views/kit/theme"
)

// header is the verdict: what, by how much, how sure, and the numbers behind it.
type header struct {
	s        *screen
	card     *fyne.Container
	rim      *canvas.Rectangle
	what     *kit.Line
	against  *kit.Line
	change   *kit.Line
	interval *kit.Line
	pairs    []pair
	inside   *fyne.Container
	numbers  *fyne.Container
}

// pair is a number of A beside that of B.
type pair struct {
	name *kit.Line
	a, b *kit.Line
	box  *fyne.Container
}

func newHeader(s *screen) *header {
	u := s.u
	h := &header{s: s, rim: kit.Plate(u.Theme.Text3, u.Theme.Text3, 2)}
	h.what, h.against = u.Heading("").Whole(), u.Caption("").Whole()
	h.change, h.interval = kit.NewLine("", theme.Heading, u.Theme.Text1).Bold().Whole(), u.Caption("").Whole()
	var pairs []fyne.CanvasObject
	for _, n := range []string{"p50", "p99", u.T("weights"), u.T("peak memory")} {
		p := pair{name: u.Caption(n).Whole(), a: kit.NewLine("", theme.Title, u.Theme.RunA).Bold().Whole(), b: kit.NewLine("", theme.Title, u.Theme.RunB).Bold().Whole()}
		p.box = kit.Rows(2, p.name, kit.Cols(6, p.a, kit.Icon("chevron-right", "text3", 12), p.b))
		h.pairs = append(h.pairs, p)
		pairs = append(pairs, p.box)
	}
	h.numbers = kit.Fit(26, pairs...)
	why := u.Why(u.T("How sure is this?"), u.T("Launches of the program are compared, not single inferences. B is called faster or slower only where the whole interval lies beyond the noise of the board; otherwise no difference is shown, with the smallest one that could have been seen. Layers are judged after the whole, all of them together."), "")
	h.inside = kit.Cols(26, kit.Rows(2, h.what, h.against), kit.Rows(2, h.change, h.interval), kit.Space(4, 0), kit.Flex(h.numbers), why)
	h.card = container.NewStack(kit.AtLeast(0, 62, kit.Plate(u.Theme.Bg2, u.Theme.Line1, 8)),
		container.NewBorder(nil, nil, kit.Fixed(4, 0, h.rim), nil, kit.Pad(8, 14, 8, 12, h.inside)))
	return h
}

func (h *header) show(c *app.Comparison) {
	u := h.s.u
	v := headline(u, c.Result)
	ink := verdictInk(u.Theme, v.verdict)
	h.what.Set(v.what, u.Theme.Text1)
	against := u.F("%s against %s", h.s.say.Say(c.B.Label), h.s.say.Say(c.A.Label))
	if x := c.A.Profile.Schedule; x != "" && x == c.B.Profile.Schedule { // also where too few pairs were left undisturbed
		against += " · " + u.T("measured in turns")
	}
	h.against.SetText(against)
	h.change.Set(v.change, ink)
	h.interval.Set(v.interval, u.Theme.Text2)
	h.rim.FillColor, h.rim.StrokeColor = ink, ink
	h.rim.Refresh()
	for i, f := range []func(p *profiler.Profile) string{
		func(p *profiler.Profile) string { return kit.MsPtr(p.Clean.P50Ns) },
		func(p *profiler.Profile) string { return kit.MsPtr(p.Clean.P99Ns) },
		func(p *profiler.Profile) string { return bytes(p.Memory.Weights) },
		func(p *profiler.Profile) string { return bytes(p.Memory.RSSPeak) },
	} {
		p := &h.pairs[i]
		p.set(c, f, u.Theme)
		p.box.Hidden = i >= 2 && p.a.Text() == kit.Absent && p.b.Text() == kit.Absent // sizes that neither run recorded
		p.box.Refresh()
	}
	h.numbers.Refresh()
	h.inside.Refresh()
	h.card.Refresh()
}

func (p *pair) set(c *app.Comparison, f func(*profiler.Profile) string, t *theme.Theme) {
	for _, x := range []struct {
		l   *kit.Line
		r   *app.Run
		ink color.NRGBA
	}{{p.a, c.A, t.RunA}, {p.b, c.B, t.RunB}} {
		text := kit.Absent
		if x.r != nil && x.r.Profile != nil {
			text = f(x.r.Profile)
		}
		if text == kit.Absent {
			x.ink = t.Text3
		}
		x.l.Set(text, x.ink)
	}
}

// bytes is a size that was measured; 0 is a size that was not.
func bytes(n int64) string {
	if n <= 0 {
		return kit.Absent
	}
	return kit.Bytes(n)
}

func verdictInk(t *theme.Theme, v string) color.NRGBA {
	switch v {
	case profiler.Faster:
		return t.Gain
	case profiler.Slower:
		return t.Loss
	}
	return t.Text2
}
