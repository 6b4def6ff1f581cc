package plot

import (
	"fmt"
	"image/color"
	"math"
	"slices"
)

// Histogram shows how samples are spread, with a dashed line at their median.
type Histogram struct {
	Values []float64
	Mid    float64 // 0: no line
	MidTag string  // "p50"
	Note   string  // at the right: "67 samples, 3 outliers kept"
	Unit   string
	Tick   func(v float64) string
	Colour color.NRGBA
}

// spread is samples counted in equal bins. Those far beyond the others are counted in beyond: they are shown, not dropped,
// but do not press all others into one bin.
type spread struct {
	lo, width float64
	count     []int
	beyond    int
}

// farAway is how many times the middle half of the samples a sample lies above it to be far.
const farAway = 8

func bins(values []float64, most int) spread {
	v := slices.Clone(values)
	slices.Sort(v)
	if len(v) == 0 {
		return spread{}
	}
	q1, q3 := v[len(v)/4], v[len(v)*3/4]
	s := spread{lo: v[0]}
	hi := v[len(v)-1]
	if far := q3 + farAway*(q3-q1); q3 > q1 && hi > far {
		hi = far
	}
	if hi == s.lo {
		pad := max(math.Abs(s.lo)*1e-3, 1e-9)
		s.lo, s.width, s.count = s.lo-pad, 2*pad, make([]int, 1)
	} else {
		n := most
		if w := (q3 - q1) / math.Cbrt(float64(len(v))); w > 0 {
			n = int(math.Ceil((hi - s.lo) / w))
		}
		n = min(max(n, 5), most)
		s.width, s.count = (hi-s.lo)/float64(n), make([]int, n)
	}
	for _, x := range v {
		if x > hi {
			s.beyond++
			continue
		}
		s.count[min(int((x-s.lo)/s.width), len(s.count)-1)]++
	}
	return s
}

// Paint draws the bars over their axis, and what lies beyond it hatched at its end.
func (f *Histogram) Paint(p *Pen) {
	base := p.H - 18
	p.hline(0, p.W, base, p.Line3)
	s := bins(f.Values, max(int(p.W/5.5), 5))
	if len(s.count) == 0 {
		return
	}
	right := p.W - 8
	if s.beyond > 0 {
		right -= 26
		p.hatch(Rect{right + 10, base - 14, p.W, base})
		p.text(p.W, p.H-3, fmt.Sprintf("+%d", s.beyond), font{size: p.Caption, align: Right, c: p.Text2})
	}
	hi := s.lo + s.width*float64(len(s.count))
	ax := scale{s.lo, hi, 8, right}
	top := float32(slices.Max(s.count))
	for i, n := range s.count {
		if n == 0 {
			continue
		}
		x0, x1 := ax.at(s.lo+s.width*float64(i)), ax.at(s.lo+s.width*float64(i+1))
		p.fill(Rect{x0, base - max(float32(n)/top*(base-18), 1), max(x1-1, x0+1), base}, f.Colour)
	}
	all := ticks(s.lo, hi)
	free := float32(-1e9)
	for i, t := range all {
		x, text := ax.at(t), f.Tick(t)
		if i == len(all)-1 && f.Unit != "" {
			text += " " + f.Unit
		}
		p.vline(x, base, base+3, 1, p.Line3)
		x = min(x, right-14)
		if half := p.Width(text, p.Caption, false) / 2; x-half > free { // no two texts touch
			p.text(x, p.H-3, text, font{size: p.Caption, align: Centre, c: p.Text3})
			free = x + half + 6
		}
	}
	if f.Mid > 0 {
		x := ax.at(f.Mid)
		p.vdots(x, 4, base, p.Text1)
		p.text(x+4, 12, f.MidTag, font{size: p.Caption, c: p.Text2})
	}
	p.text(p.W, 12, f.Note, font{size: p.Caption, align: Right, c: p.Text3, room: p.W * .6})
}

// At is never a datum: a bin stands for no layer.
func (f *Histogram) At(*Ink, float32, float32, float32, float32) (Mark, bool) { return Mark{}, false }
