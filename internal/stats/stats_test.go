package stats

import (
	"math"
	"math/rand/v2"
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

// Values of tables and closed forms.
func TestMoreKnownValues(t *testing.T) {
	near(t, "mean", Mean([]float64{1, 2, 6}), 3, 0)
	near(t, "std", Std([]float64{2, 4, 4, 4, 5, 5, 7, 9}), math.Sqrt(32.0/7), 1e-12)
	near(t, "std of one", Std([]float64{5}), 0, 0)
	near(t, "min", Quantile([]float64{3, 1, 2}, 0), 1, 0)
	near(t, "max", Quantile([]float64{3, 1, 2}, 1), 3, 0)
	near(t, "TCDF(1, 1)", TCDF(1, 1), 0.75, 1e-9) // Cauchy: 1/2 + atan(1)/pi
	near(t, "TCDF(2, 2)", TCDF(2, 2), 0.5+2/(2*math.Sqrt(6)), 1e-9)
	near(t, "TCDF(-2.571, 5)", TCDF(-2.570582, 5), 0.025, 1e-6)
	near(t, "two-sided", TwoSided(-2.228139, 10), 0.05, 1e-6)
	near(t, "two-sided of 0", TwoSided(0, 10), 1, 1e-12)
	near(t, "t(0.975, 1000)", TQuantile(0.975, 1000), 1.962339, 1e-5)
	near(t, "t is odd", TQuantile(0.2, 7), -TQuantile(0.8, 7), 1e-6)
	if w := Wilson(0, 0); w.Lo != 0 || w.Hi != 1 {
		t.Errorf("Wilson of nothing: %v", w)
	}
	if w := Wilson(5, 5); w.Hi != 1 || math.Abs(w.Lo-0.56552) > 1e-4 {
		t.Errorf("Wilson of 5 of 5: %v", w)
	}
	if i := MeanInterval([]float64{1}); !math.IsInf(i.Lo, -1) || !math.IsInf(i.Hi, 1) {
		t.Errorf("interval of one value: %v", i)
	}
	for name, v := range map[string]float64{"median": Median(nil), "mean": Mean(nil)} {
		if !math.IsNaN(v) {
			t.Errorf("%s of nothing is %g", name, v)
		}
	}
}

func TestQuantileLeavesItsInput(t *testing.T) {
	v := []float64{3, 1, 2}
	Quantile(v, 0.5)
	if v[0] != 3 || v[1] != 1 || v[2] != 2 {
		t.Errorf("sorted in place: %v", v)
	}
}

// The two samples are those of Welch's own kind of example: means 2 and 5, variances 1 and 4, of 3 and 4 values.
func TestWelch(t *testing.T) {
	d := Welch([]float64{1, 2, 3}, []float64{5 - math.Sqrt(6), 5, 5, 5 + math.Sqrt(6)})
	near(t, "difference", d.Diff, 3, 1e-12)
	near(t, "standard error", d.SE, math.Sqrt(1.0/3+1), 1e-12)
	// (1/3+1)^2 / ((1/3)^2/2 + 1^2/3) = 1.7778 / 0.38889 = 4.571
	if d.DF != 4 {
		t.Errorf("degrees of freedom %d, want 4", d.DF)
	}
	if d := Welch([]float64{1}, []float64{2, 3}); d.DF != 0 {
		t.Errorf("one value: %+v", d)
	}
	if d := Welch([]float64{1, 1}, []float64{2, 2}); d.SE != 0 || d.DF != 2 {
		t.Errorf("no spread: %+v", d)
	}
}

// Of many 95 % intervals over launches with a bias of their own, about 95 % must hold the truth. With 20 launches the
// percentile bootstrap of groups holds 90 to 97 %.
func TestBootstrapCoverage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	held := 0
	const trials = 300
	for i := range trials {
		var g [][]float64
		for range 20 {
			bias, v := rng.NormFloat64(), []float64{}
			for range 10 {
				v = append(v, 100+bias+0.5*rng.NormFloat64())
			}
			g = append(g, v)
		}
		if iv := Bootstrap(g, Mean, 200, uint64(i)); iv.Lo <= 100 && iv.Hi >= 100 {
			held++
		}
	}
	if share := float64(held) / trials; share < 0.89 || share > 0.99 {
		t.Errorf("%.1f %% of the intervals hold the truth", 100*share)
	}
	if iv := Bootstrap(nil, Mean, 10, 1); !math.IsNaN(iv.Lo) {
		t.Errorf("of nothing: %v", iv)
	}
}

func TestHolmKeepsTheOrderAndStops(t *testing.T) {
	for _, c := range []struct {
		name string
		p    []float64
		want []bool
	}{
		{"none", nil, nil},
		{"single", []float64{0.04}, []bool{true}},
		{"Bonferroni at the first", []float64{0.03, 0.02}, []bool{true, true}},
		{"stops at the first that fails", []float64{0.026, 0.03}, []bool{false, false}},
		{"NaN is no proof", []float64{math.NaN(), 0.001}, []bool{false, true}},
	} {
		got := Holm(c.p, 0.05)
		for i := range c.want {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
				break
			}
		}
	}
}
