package stats

import (
	"math"
	"testing"
)

func TestSpearman(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b []float64
		want float64
	}{
		{"the same order", []float64{1, 2, 3, 4}, []float64{1, 10, 100, 1000}, 1},
		{"turned round", []float64{1, 2, 3}, []float64{3, 2, 1}, -1},
		{"by hand", []float64{1, 2, 3, 4, 5}, []float64{2, 1, 4, 3, 5}, 0.8}, // 1 - 6*4/(5*24)
		{"ties", []float64{1, 1, 2, 3}, []float64{1, 2, 3, 4}, math.Sqrt(0.9)},
		{"all equal", []float64{1, 1}, []float64{1, 2}, math.NaN()},
		{"nothing", nil, nil, math.NaN()},
	} {
		if got := Spearman(c.a, c.b); !(math.Abs(got-c.want) < 1e-12) && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: %g, want %g", c.name, got, c.want)
		}
	}
}
