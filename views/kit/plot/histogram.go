package plot

import (
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
	Tick   func(v float64) string
	Colour color.NRGBA
}

// bins counts values in equal bins over their whole range: outliers are shown, not dropped. The width follows the middle
// half of the samples, so that a far outlier does not press all others into one bin.
func bins(values []float64, most int) (lo, width float64, count []int) {
	v := slices.Clone(values)
	slices.Sort(v)
	if len(v) == 0 {
		return 0, 0, nil
	}
	lo, hi := v[0], v[len(v)-1]
	if hi == lo {
		pad := max(math.Abs(lo)*1e-3, 1e-9)
		return lo - pad, 2 * pad, []int{len(v)}
	}
	iqr := v[len(v)*3/4] - v[len(v)/4]
	width = iqr / math.Cbrt(float64(len(v)))
	n := most
	if width > 0 {
		n = int(math.Ceil((hi - lo) / width))
	}
	n = min(max(n, 5), most)
	width = (hi - lo) / float64(n)
	count = make([]int, n)
	for _, x := range v {
		count[min(int((x-lo)/width), n-1)]++
	}
	return lo, width, count
}

// Paint draws the bars over their axis.
func (f *Histogram) Paint(p *Pen) {
	base := p.H - 18
	p.hline(0, p.W, base, p.Line3)
	lo, width, count := bins(f.Values, max(int(p.W/5.5), 5))
	if len(count) == 0 {
		return
	}
	hi := lo + width*float64(len(count))
	ax := scale{lo, hi, 8, p.W - 8}
	top := float32(slices.Max(count))
	for i, n := range count {
		if n == 0 {
			continue
		}
		x0, x1 := ax.at(lo+width*float64(i)), ax.at(lo+width*float64(i+1))
		p.fill(Rect{x0, base - max(float32(n)/top*(base-18), 1), max(x1-1, x0+1), base}, f.Colour)
	}
	for _, t := range ticks(lo, hi) {
		x := ax.at(t)
		p.vline(x, base, base+3, 1, p.Line3)
		p.text(x, p.H-3, f.Tick(t), font{size: p.Caption, align: Centre, c: p.Text3})
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
