package chart

import (
	"math"
	"strings"
)

// cutFrom is the share of the totals above which the axis is cut: bars of a few per cent would be slivers beside them.
const cutFrom = 0.5

// falls lays out a waterfall: the totals at the ends, what changed between them, dotted steps from one level to the next.
func (f *frame) falls() {
	pts := f.points()
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, p := range pts {
		for _, v := range []float64{p.From, p.To} {
			if p.State != Measured || v != 0 { // a total stands on zero
				lo = math.Min(lo, v)
			}
			hi = math.Max(hi, v)
		}
	}
	if len(pts) == 0 || hi <= 0 {
		lo, hi = 0, 1
	}
	base := 0.0
	if lo > cutFrom*hi && hi-lo > 1e-3*hi { // where nothing moved there is nothing to magnify
		base = cutAt(lo-0.35*(hi-lo), hi)
	}
	base = math.Max(base, 0)
	f.cut = base > 0
	top, x0 := f.top+22, float64(pad+56)
	h := plotH
	room := 0.08 * (hi - base)
	y := func(v float64) float64 { return top + h*(1-(v-base)/(hi+room-base)) }
	f.text(Pt{pad, f.top + 6}, f.c.Y.title(), caption, "text3", Left, false)
	right := f.W - pad
	for _, t := range Ticks(base, hi+room, f.c.Y.Scale) {
		f.line("line1", 1, nil, Pt{x0, y(t.At)}, Pt{right, y(t.At)})
		f.text(Pt{x0 - 8, y(t.At) + 4}, t.Label, caption, "text3", Right, false)
	}
	lines := 0
	for i, p := range pts {
		x := x0 + colGap/2 + float64(i)*(colW+colGap)
		from, to := math.Max(p.From, base), math.Max(p.To, base)
		r := Rect{x, y(math.Max(from, to)), colW, math.Max(1, math.Abs(y(from)-y(to)))}
		total := p.State == Measured && p.From == 0
		switch {
		case p.State == Rest:
			f.hatch(r)
		default:
			f.rect(r, f.color(p, 0))
		}
		if total && base > 0 {
			f.cutMark(x, y(base)-9)
		}
		if i+1 < len(pts) { // the level that the next bar begins at
			f.line("line3", 1, []float64{2, 3}, Pt{x + colW, y(to)}, Pt{x + colW + colGap, y(to)})
		}
		if a, b := math.Max(y(p.Hi), top), math.Min(y(p.Lo), top+h); p.Hi > p.Lo && b-a > leastPx {
			mid := x + colW/2
			f.line("text1", 1.2, nil, Pt{mid, a}, Pt{mid, b})
			f.line("text1", 1.2, nil, Pt{mid - capHalf, a}, Pt{mid + capHalf, a})
			f.line("text1", 1.2, nil, Pt{mid - capHalf, b}, Pt{mid + capHalf, b})
			r.Y, r.H = math.Min(r.Y, a), math.Max(r.Y+r.H, b)-math.Min(r.Y, a)
		}
		f.text(Pt{x + colW/2, r.Y - 6}, p.Text, caption, "text1", Center, total)
		name, detail := f.label(p, colW+colGap-6)
		for k, l := range append(name, detail...) {
			ink := Token("text2")
			if k >= len(name) {
				ink = "text3"
			}
			f.text(Pt{x + colW/2, top + h + 16 + float64(k)*14}, l, caption, ink, Center, false)
			lines = max(lines, k)
		}
		f.Marks = append(f.Marks, Mark{Point: i, ID: p.ID, Tip: p.Tip, At: r})
	}
	f.line("line2", 1, nil, Pt{x0, top + h}, Pt{right, top + h})
	f.H = top + h + 16 + float64(lines)*14
}

// label is a name on one or two lines, then what is to say of it on two.
func (f *frame) label(p Point, w float64) (name, detail []string) {
	name = []string{p.Label}
	if i := strings.LastIndexByte(p.Label, '/'); i > 0 && f.wide(p.Label, caption, false) > w {
		name = []string{p.Label[:i+1], p.Label[i+1:]}
	}
	for i := range name {
		name[i] = f.fit(name[i], caption, false, w)
	}
	detail = f.wrap(p.Detail, caption, false, w)
	if len(detail) > 2 {
		detail = []string{detail[0], f.fit(strings.Join(detail[1:], " "), caption, false, w)}
	}
	return name, detail
}

// cutAt is a round number at or below v.
func cutAt(v, hi float64) float64 {
	step := math.Pow10(int(math.Floor(math.Log10(hi))) - 1)
	return math.Floor(v/step) * step
}

// cutMark is a zig-zag of the ground's colour across a column: the axis does not begin at zero.
func (f *frame) cutMark(x, y float64) {
	for _, dy := range []float64{0, 4} {
		var p []Pt
		for i := 0; i <= 6; i++ {
			p = append(p, Pt{x - 2 + float64(i)*(colW+4)/6, y + dy + float64(i%2)*4})
		}
		f.line("text1", 1, nil, p...)
		if dy == 0 {
			for i := range p {
				p[i].Y += 2
			}
			f.line("bg2", 3, nil, append([]Pt(nil), p...)...)
			for i := range p {
				p[i].Y -= 2
			}
		}
	}
}
