package chart

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"fettle/profiler"
)

// Profiles come from files that anybody may have written: no number in them may break a picture or make it endless.
func TestHostileNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	number := func() float64 {
		v := []float64{0, 1, -1, 1e-300, 1e300, -1e300, math.MaxFloat64, 5e-324, 1e9, -profiler.Unbounded, 12345.678}
		return v[rng.IntN(len(v))] * (1 + rng.Float64())
	}
	measure := func(s string, size float64, _ bool) float64 { return size * 0.55 * float64(len(s)) }
	for trial := range 300 {
		p := &profiler.Profile{Complete: trial%2 == 0, UnattributedNs: number(), Closure: number()}
		if trial%3 > 0 {
			v := number()
			p.Clean.P50Ns = &v
		}
		c := &profiler.Comparison{DeltaNs: number(), Ratio: [3]float64{number(), number(), number()}, Detectable: number()}
		c.A.P50Ns, c.B.P50Ns = number(), number()
		for i := range rng.IntN(60) {
			floor := number()
			l := profiler.Layer{ID: fmt.Sprint(i), Name: strings.Repeat("名x/", rng.IntN(200)), Op: "Conv", P50Ns: number(), Interval: [2]float64{number(), number()}, Share: number()}
			if i%2 == 0 {
				l.FloorNs = &floor
			}
			p.Layers = append(p.Layers, l)
			p.Clean.SamplesNs = append(p.Clean.SamplesNs, []int64{0, -1, math.MaxInt64, math.MinInt64, 1e6}[rng.IntN(5)])
			c.Bars = append(c.Bars, profiler.Bar{Label: l.Name, DeltaNs: number(), Interval: [2]float64{number(), number()}, Why: strings.Repeat("w", rng.IntN(300))})
		}
		for _, ch := range []*Chart{Bars(p), Samples(p), Waterfall(c)} {
			s := Layout(ch, measure)
			if len(s.Draws) > 20_000 {
				t.Fatalf("trial %d: %d things to draw", trial, len(s.Draws))
			}
			for _, d := range s.Draws {
				pts := append(corners(d.At), d.Points...)
				for _, q := range pts {
					if math.IsNaN(q.X+q.Y) || math.Abs(q.X) > 1e5 || math.Abs(q.Y) > 1e5 {
						t.Fatalf("trial %d: kind %d draws at %v: %+v", trial, ch.Kind, q, d)
					}
				}
				if d.Op == OpHatch && len(HatchLines(d.At)) > 10_000 {
					t.Fatalf("trial %d: endless hatch %v", trial, d.At)
				}
			}
		}
	}
}
