package chart

import (
	"slices"
	"strings"
	"testing"

	"fettle/profiler"
)

// TestCurveOverTime: latency, clock and temperature lie under each other on the same seconds; a launch without a temperature is a gap;
// what no launch has is no panel but a reason.
func TestCurveOverTime(t *testing.T) {
	c := &profiler.Curve{Model: "m", Target: "pi", ColdNs: 9e6, Absent: []string{"power: no sensor"}}
	for i := range 60 {
		hz, temp, hot := int64(1.5e9), 48+0.6*float64(i), i > 40
		p := profiler.CurvePoint{AfterS: 30 * float64(i), P50Ns: 5e6, Hz: &hz, TemperatureC: &temp, Throttled: &hot}
		if hot {
			hz, p.P50Ns = 6e8, 12e6
		}
		if i == 20 {
			p.TemperatureC = nil
		}
		c.Points = append(c.Points, p)
	}
	c.Judge()
	ch := Curve(c)
	wide := func(s string, size float64, _ bool) float64 { return size / 2 * float64(len(s)) }
	alone := *ch
	alone.Below = nil
	one, all := Layout(&alone, wide), Layout(ch, wide)
	if len(ch.Below) != 2 || all.H < one.H+2*panelH || len(all.Marks) != len(c.Points) {
		t.Fatalf("%d panels, %v high instead of %v, %d marks", len(ch.Below), all.H, one.H, len(all.Marks))
	}
	lines := func(color Token) (n int, x0, x1 float64) {
		for _, d := range all.Draws {
			if d.Stroke == color && len(d.Points) > 2 {
				if n == 0 {
					x0 = d.Points[0].X
				}
				n, x1 = n+1, d.Points[len(d.Points)-1].X
			}
		}
		return n, x0, x1
	}
	n, a0, a1 := lines("runA")
	k, b0, b1 := lines("runB")
	g, c0, c1 := lines("loss")
	if n != 1 || k != 1 || g != 2 || a0 != b0 || a1 != b1 || a0 != c0 || a1 != c1 {
		t.Errorf("lines %d, %d and %d, from %v %v %v to %v %v %v", n, k, g, a0, b0, c0, a1, b1, c1)
	}
	if !slices.Contains(ch.Notes, "absent: power: no sensor") || !slices.Contains(ch.Notes, "n = 60 launches, 19 of them throttled") || !strings.Contains(ch.Subtitle, "throttled") {
		t.Errorf("%q, %q", ch.Subtitle, ch.Notes)
	}
}
