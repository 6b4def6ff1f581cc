package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The critical values of the usual tables, two-sided 5 %.
func TestSignedTail(t *testing.T) {
	for n, want := range map[int]int{4: -1, 5: -1, 6: 0, 7: 2, 8: 3, 9: 5, 10: 8, 12: 13, 15: 25, 20: 52, 25: 89, 30: 137, 50: 434} {
		if got := signedTail(n); got != want {
			t.Errorf("%d differences: %d, want %d", n, got, want)
		}
	}
	if a, b := signedTail(60), signedTail(61); b < a || b-a > 40 {
		t.Errorf("the approximation does not go on where the count ends: %d, then %d", a, b)
	}
}

func TestSignedRankOfKnown(t *testing.T) {
	mid, iv := SignedRank([]float64{1, 2, 3, 4, 5, 100})
	if mid != 3.5 || iv.Lo != 1 || iv.Hi != 100 {
		t.Errorf("%g %v", mid, iv)
	}
	if mid, iv := SignedRank([]float64{1, 2, 3}); mid != 2 || !math.IsInf(iv.Lo, -1) || !math.IsInf(iv.Hi, 1) {
		t.Errorf("three values: %g %v", mid, iv)
	}
	if mid, _ := SignedRank(nil); !math.IsNaN(mid) {
		t.Errorf("nothing has the centre %g", mid)
	}
}

// TestSignedRankIsExact tries every pattern of signs: the share of intervals that miss zero is what the count says, to the last pattern.
func TestSignedRankIsExact(t *testing.T) {
	for n := LeastSigned; n <= 12; n++ {
		rng := rand.New(rand.NewPCG(uint64(n), 3))
		size := make([]float64, n)
		for i := range size {
			size[i] = math.Exp(3 * rng.NormFloat64()) // far from any bell
		}
		missed, d := 0, make([]float64, n)
		for signs := range 1 << n {
			for i := range d {
				if d[i] = size[i]; signs>>i&1 == 1 {
					d[i] = -d[i]
				}
			}
			if _, iv := SignedRank(d); iv.Lo > 0 || iv.Hi < 0 {
				missed++
			}
		}
		if p := float64(missed) / float64(int(1)<<n); p > 0.05 || p < 0.02 {
			t.Errorf("%d differences: %.4f of the intervals miss", n, p)
		}
	}
}

// TestSignedRankP compares with every pattern of signs.
func TestSignedRankP(t *testing.T) {
	for _, c := range []struct {
		d    []float64
		want float64
	}{
		{nil, 1}, {[]float64{0, 0}, 1}, {[]float64{1}, 1},
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8}, 2.0 / 256},
		{[]float64{-1, 2, 3, 4, 5, 6, 7, 8}, 4.0 / 256},
		{[]float64{0, -1, 2, 3, 4, 5, 6, 7, 8}, 4.0 / 256},
		{[]float64{-1, 1, 3, 4, 5, 6, 7, 8}, 6.0 / 256}, // equal ones share rank 1.5, rounded up to 2
	} {
		near(t, "p", SignedRankP(c.d), c.want, 1e-12)
	}
	d := []float64{3, -1, 4, -1.5, 5, 9, -2, 6, 0.5}
	sum := func(signs int) (s float64) {
		for i, r := range ranks(abs(d)) {
			if signs>>i&1 == 1 {
				s += r + 1
			}
		}
		return s
	}
	got := 0
	for i, x := range d {
		if x < 0 {
			got |= 1 << i
		}
	}
	as, all := 0, 1<<len(d)
	for signs := range all {
		if sum(signs) <= sum(got) {
			as++
		}
	}
	near(t, "p by all patterns", SignedRankP(d), 2*float64(as)/float64(all), 1e-12)
	many := make([]float64, 400)
	for i := range many {
		many[i] = float64(i) - 180
	}
	if p := SignedRankP(many); p < 0.0002 || p > 0.02 {
		t.Errorf("400 values: %g", p)
	}
}

func abs(v []float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = math.Abs(x)
	}
	return out
}

// TestSignedRankAgainstT has one difference in ten ten times as wide: the t interval of the mean is over-wide there, this one is not.
func TestSignedRankAgainstT(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	const trials = 2000
	heldT, held, wideT, wide := 0, 0, 0.0, 0.0
	for range trials {
		d := make([]float64, 20)
		for i := range d {
			if d[i] = rng.NormFloat64(); rng.IntN(10) == 0 {
				d[i] *= 10
			}
		}
		m, iv := MeanInterval(d), Interval{}
		_, iv = SignedRank(d)
		if m.Lo <= 0 && m.Hi >= 0 {
			heldT++
		}
		if iv.Lo <= 0 && iv.Hi >= 0 {
			held++
		}
		wideT += m.Hi - m.Lo
		wide += iv.Hi - iv.Lo
	}
	if p := float64(held) / trials; p < 0.935 || p > 0.965 {
		t.Errorf("it holds the truth in %.3f", p)
	}
	if wide > 0.6*wideT {
		t.Errorf("it is no narrower than the t interval: %g, %g", wide/trials, wideT/trials)
	}
	if p := float64(heldT) / trials; p < 0.965 {
		t.Errorf("control: the t interval holds it in %.3f, which is not over-wide", p)
	}
}
