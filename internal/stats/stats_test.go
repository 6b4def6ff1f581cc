package stats

import (
	"math"
	"testing"
)

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if math.Abs(got-want) > tol {
		t.Errorf("%s = %g, want %g", what, got, want)
	}
}

// Values of tables: t distribution, Wilson interval of 8 of 10.
func TestKnownValues(t *testing.T) {
	near(t, "median", Median([]float64{3, 1, 2, 4}), 2.5, 0)
	near(t, "p90", Quantile([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 0.9), 10, 1e-12)
	near(t, "t(0.975, 1)", TQuantile(0.975, 1), 12.7062, 1e-3)
	near(t, "t(0.975, 10)", TQuantile(0.975, 10), 2.22814, 1e-4)
	near(t, "t(0.95, 30)", TQuantile(0.95, 30), 1.69726, 1e-4)
	near(t, "TCDF(0)", TCDF(0, 5), 0.5, 1e-12)
	w := Wilson(8, 10)
	near(t, "Wilson lo", w.Lo, 0.4902, 1e-3)
	near(t, "Wilson hi", w.Hi, 0.9433, 1e-3)
	i := MeanInterval([]float64{1, 2, 3, 4, 5})
	near(t, "mean lo", i.Lo, 3-1.9632, 1e-3)
}

func TestHolm(t *testing.T) {
	got := Holm([]float64{0.01, 0.04, 0.03, 0.005}, 0.05)
	want := []bool{true, false, false, true}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got, want)
			break
		}
	}
}

func TestBootstrapCoversAndRepeats(t *testing.T) {
	g := [][]float64{{1, 2, 3}, {2, 3, 4}, {1, 3, 5}}
	a, b := Bootstrap(g, Median, 200, 7), Bootstrap(g, Median, 200, 7)
	if a != b || a.Lo > 3 || a.Hi < 2 || a.Lo > a.Hi {
		t.Errorf("%v %v", a, b)
	}
}
