package chart

import "math"

// xy lays out lines with bands, histograms and scatters.
func (f *frame) xy(h float64) {
	xr, yr := f.spans()
	x0, top := float64(pad+56), f.top+22
	w := f.W - x0 - pad
	place := func(v float64, a Axis, r [2]float64) float64 {
		if a.Log {
			return (math.Log(v) - math.Log(r[0])) / (math.Log(r[1]) - math.Log(r[0]))
		}
		return (v - r[0]) / (r[1] - r[0])
	}
	x := func(v float64) float64 { return x0 + w*place(v, f.c.X, xr) }
	y := func(v float64) float64 { return top + h*(1-place(v, f.c.Y, yr)) }
	f.text(Pt{pad, f.top + 6}, f.c.Y.title(), caption, "text3", Left, false)
	for _, t := range axisTicks(f.c.Y, yr) {
		f.line("line1", 1, nil, Pt{x0, y(t.At)}, Pt{x0 + w, y(t.At)})
		f.text(Pt{x0 - 8, y(t.At) + 4}, t.Label, caption, "text3", Right, false)
	}
	for _, t := range axisTicks(f.c.X, xr) {
		f.line("line2", 1, nil, Pt{x(t.At), top + h}, Pt{x(t.At), top + h + 4})
		f.text(Pt{x(t.At), top + h + 18}, t.Label, caption, "text3", Center, false)
	}
	f.line("line2", 1, nil, Pt{x0, top + h}, Pt{x0 + w, top + h})
	f.text(Pt{x0 + w, top + h + 34}, f.c.X.title(), caption, "text3", Right, false)
	for k := range f.c.Series {
		switch f.c.Kind {
		case Histogram:
			f.columns(k, x, y)
		case Lines:
			f.band(k, x, y)
			f.dots(k, x, y)
		default:
			f.dots(k, x, y)
		}
	}
	f.H = top + h + 36
}

// panels lays out what lies under a chart of lines. Their marks are not hit: a click belongs to the chart itself.
func (f *frame) panels() {
	whole, marks := f.c, len(f.Marks)
	for _, c := range whole.Below {
		f.c, f.top = sane(c), f.H
		f.xy(panelH)
	}
	f.c, f.Marks = whole, f.Marks[:marks]
}

// spans are the ranges of both axes over all points with their intervals.
func (f *frame) spans() (x, y [2]float64) {
	x, y = [2]float64{math.Inf(1), math.Inf(-1)}, [2]float64{math.Inf(1), math.Inf(-1)}
	grow := func(r *[2]float64, v float64, log bool) {
		if !math.IsNaN(v) && !math.IsInf(v, 0) && !(log && v <= 0) {
			r[0], r[1] = math.Min(r[0], v), math.Max(r[1], v)
		}
	}
	for _, s := range f.c.Series {
		for _, p := range s.Points {
			if p.State == Absent {
				continue
			}
			grow(&x, p.X, f.c.X.Log)
			grow(&y, p.Y, f.c.Y.Log)
			if p.Hi > p.Lo {
				grow(&y, p.Lo, f.c.Y.Log)
				grow(&y, p.Hi, f.c.Y.Log)
			}
			if f.c.Kind == Histogram {
				grow(&x, p.To, f.c.X.Log)
				grow(&y, 0, false)
			}
		}
	}
	for _, r := range []struct {
		r *[2]float64
		a Axis
	}{{&x, f.c.X}, {&y, f.c.Y}} {
		switch {
		case r.r[0] > r.r[1]:
			*r.r = [2]float64{1, 2} // nothing to show
		case r.a.Log:
			r.r[0], r.r[1] = r.r[0]/1.2, r.r[1]*1.2
		case f.c.Kind == Histogram && r.r == &x:
		default:
			r.r[0], r.r[1] = axisRange(r.a, r.r[0], r.r[1])
		}
		if !(r.r[1]-r.r[0] > 1e-9*math.Abs(r.r[1])) { // one value: give it a width
			r.r[1] = r.r[0] + math.Max(1, 0.1*math.Abs(r.r[0]))
		}
	}
	return x, y
}

// axisTicks are Ticks, or the powers of ten with 2 and 5 where they are few.
func axisTicks(a Axis, r [2]float64) []Tick {
	if !a.Log {
		return ticks(r[0], r[1], a.Scale, a.Whole)
	}
	scale := a.Scale
	if scale == 0 {
		scale = 1
	}
	var out []Tick
	decades := math.Log10(r[1] / r[0])
	every := max(1, int(math.Ceil(decades/6)))
	for e := math.Floor(math.Log10(r[0] / scale)); e <= math.Ceil(math.Log10(r[1]/scale)); e++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, e)
			if v*scale < r[0] || v*scale > r[1] || (m > 1 && decades > 2) || int(e)%every != 0 {
				continue
			}
			out = append(out, Tick{At: v * scale, Label: plain(v)})
		}
	}
	return out
}

// plain writes a round number without useless digits.
func plain(v float64) string {
	if v >= 1 {
		return thousands(trimZeros(v, 0))
	}
	return trimZeros(v, int(math.Ceil(-math.Log10(v)))+1)
}

// columns draws a histogram: columns that touch.
func (f *frame) columns(k int, x, y func(float64) float64) {
	for i, p := range f.c.Series[k].Points {
		r := Rect{x(p.X), y(p.Y), math.Max(1, x(p.To)-x(p.X)-1), y(0) - y(p.Y)}
		f.rect(r, f.color(p, k))
		f.Marks = append(f.Marks, Mark{Series: k, Point: i, ID: p.ID, Tip: p.Tip, At: r})
	}
}

// band draws the intervals of a line as a light area, and the line.
func (f *frame) band(k int, x, y func(float64) float64) {
	s := f.c.Series[k]
	var up, down, line []Pt
	flush := func() {
		if len(up) > 1 {
			for i := len(down) - 1; i >= 0; i-- {
				up = append(up, down[i])
			}
			f.Draws = append(f.Draws, Draw{Op: OpPolygon, Points: up, Fill: s.Color, Alpha: 0.16})
		}
		if len(line) > 1 {
			f.line(s.Color, 1.5, dashes(s.Mark), line...)
		}
		up, down, line = nil, nil, nil
	}
	for _, p := range s.Points {
		if p.State == Absent { // a gap is a gap
			flush()
			continue
		}
		switch {
		case s.Join == Loose:
			continue
		case s.Join == Stairs && len(line) > 0:
			line = append(line, Pt{line[len(line)-1].X, y(p.Y)})
		}
		line = append(line, Pt{x(p.X), y(p.Y)})
		if p.Hi > p.Lo {
			up, down = append(up, Pt{x(p.X), y(p.Hi)}), append(down, Pt{x(p.X), y(p.Lo)})
		}
	}
	flush()
}

// dashes of the runs C to F, so that lines can be told apart in grey.
func dashes(s Shape) []float64 {
	return [][]float64{nil, nil, {6, 3}, {2, 3}, {8, 3, 2, 3}, {1, 3}}[s]
}

// name puts a label beside a mark: at its left where the right has no room, and not over another one.
func (f *frame) name(at Pt, label string) {
	if label == "" {
		return
	}
	w := f.wide(label, caption, false)
	r, align := Rect{at.X + 7, at.Y - 5 - caption, w, caption + 2}, Left
	if r.X+w > f.W-pad {
		r.X, align = at.X-7-w, Right
	}
	for _, o := range f.named {
		if r.X < o.X+o.W && o.X < r.X+r.W && r.Y < o.Y+o.H && o.Y < r.Y+r.H {
			return
		}
	}
	f.named = append(f.named, r)
	if align == Right {
		at.X -= 14
	}
	f.text(Pt{at.X + 7, at.Y - 5}, label, caption, "text2", align, false)
}

// dots draws marks with whiskers. Lines of many points go without marks, their interval is the band.
func (f *frame) dots(k int, x, y func(float64) float64) {
	s := f.c.Series[k]
	for i, p := range s.Points {
		if p.State == Absent {
			continue
		}
		at, r := Pt{x(p.X), y(p.Y)}, 3.5
		if f.c.Kind == Scatter {
			if a, b := y(p.Hi), y(p.Lo); p.Hi > p.Lo && b-a > leastPx {
				f.line(f.color(p, k), 1.2, nil, Pt{at.X, a}, Pt{at.X, b})
				f.line(f.color(p, k), 1.2, nil, Pt{at.X - capHalf, a}, Pt{at.X + capHalf, a})
				f.line(f.color(p, k), 1.2, nil, Pt{at.X - capHalf, b}, Pt{at.X + capHalf, b})
			}
		}
		if f.c.Kind == Scatter || s.Join == Loose || len(s.Points) <= 40 && !s.Plain {
			f.mark(s.Mark, at, r, f.color(p, k), p.State)
			f.name(at, p.Label)
		}
		f.Marks = append(f.Marks, Mark{Series: k, Point: i, ID: p.ID, Tip: p.Tip, At: Rect{at.X - r, at.Y - r, 2 * r, 2 * r}})
	}
}
