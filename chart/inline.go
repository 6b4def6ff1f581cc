package chart

import (
	"fmt"
	"html"
	"io"
	"sort"
	"strings"
)

// Inline writes the chart as an SVG element for a page: colours are the page's variables (--text1, --runA: see CSS), so that it follows
// the page from light to dark, and texts are texts. Their widths are fixed, whatever font the page has.
func Inline(w io.Writer, c *Chart) error {
	t := newType()
	s := Layout(c, t.Width)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">`, s.W, s.H, s.W, s.H, attr(c.Title+". "+c.Subtitle))
	for _, d := range s.Draws {
		inline(&b, d, t)
	}
	for _, m := range s.Marks {
		if m.Tip != "" {
			fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="transparent"><title>%s</title></rect>`, m.At.X, m.At.Y, m.At.W, m.At.H, attr(m.Tip))
		}
	}
	b.WriteString("</svg>")
	_, err := io.WriteString(w, b.String())
	return err
}

func inline(b *strings.Builder, d Draw, t *typeface) {
	switch d.Op {
	case OpRect:
		inlineRect(b, d)
	case OpHatch:
		inlineRect(b, d)
		for _, l := range HatchLines(d.At) {
			fmt.Fprintf(b, `<path d="%s" fill="none" stroke="var(--%s)" stroke-width="1"/>`, points(l[:]), d.Stroke)
		}
	case OpLine:
		dash := ""
		if len(d.Dash) > 0 {
			dash = fmt.Sprintf(` stroke-dasharray="%s"`, strings.Trim(fmt.Sprint(d.Dash), "[]"))
		}
		fmt.Fprintf(b, `<path d="%s" fill="none" stroke="var(--%s)" stroke-width="%g"%s/>`, points(d.Points), d.Stroke, d.Width, dash)
	case OpPolygon:
		look := fmt.Sprintf(`fill="none" stroke="var(--%s)" stroke-width="%g"`, d.Stroke, d.Width)
		if d.Fill != "" {
			look = fmt.Sprintf(`fill="var(--%s)"`, d.Fill)
		}
		if d.Alpha > 0 {
			look += fmt.Sprintf(` fill-opacity="%g"`, d.Alpha)
		}
		fmt.Fprintf(b, `<path d="%sZ" %s/>`, points(d.Points), look)
	case OpText:
		weight := ""
		if d.Bold {
			weight = ` font-weight="bold"`
		}
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" font-size="%g" fill="var(--%s)" text-anchor="%s" textLength="%.1f" lengthAdjust="spacingAndGlyphs"%s>%s</text>`,
			d.Points[0].X, d.Points[0].Y, d.Size, d.Fill, [...]string{"start", "middle", "end"}[d.Align], t.Width(d.Text, d.Size, d.Bold), weight, attr(d.Text))
	}
}

func inlineRect(b *strings.Builder, d Draw) {
	fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="var(--%s)"/>`, d.At.X, d.At.Y, d.At.W, d.At.H, d.Fill)
}

func points(p []Pt) string {
	var b strings.Builder
	for i, q := range p {
		fmt.Fprintf(&b, "%c%.1f %.1f", "LM"[b2i(i == 0)], q.X, q.Y)
	}
	return b.String()
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// attr escapes a text for elements and attributes. Control signs, which no page may hold, become spaces.
func attr(s string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd")))
}

// CSS gives the colours of a theme as variables of a page.
func CSS(theme string) string {
	p := Palette(theme)
	names := make([]string, 0, len(p))
	for k := range p {
		names = append(names, string(k))
	}
	sort.Strings(names)
	var b strings.Builder
	for _, k := range names {
		c := p[Token(k)]
		fmt.Fprintf(&b, "--%s:#%02x%02x%02x%02x;", k, c.R, c.G, c.B, c.A)
	}
	return b.String()
}
