package chart

import (
	"strings"
	"testing"
)

func TestNumbers(t *testing.T) {
	plain := strings.NewReplacer(NoBrk, "_", Minus, "-")
	for _, c := range []struct{ got, want string }{
		{Time(7_580_000), "7.58_ms"}, {Time(41_700_000), "41.7_ms"}, {Time(136e6), "136_ms"}, {Time(1240e6), "1240_ms"},
		{Time(9999e6), "9999_ms"}, {Time(10_000e6), "10.0_s"}, {Time(999_400), "999_µs"}, {Time(999_600), "1.00_ms"}, {Time(0), "0_µs"},
		{Time(-2_500), "-2.50_µs"}, {Delta(1.2e6), "+1.20_ms"}, {Delta(-1.2e6), "-1.20_ms"}, {Delta(0), "0_µs"},
		{Number(9.999), "10.0"}, {Number(99.96), "100"}, {Number(12400), "12_400"}, {Number(1234), "1234"}, {Number(-0.0), "0"},
		{Number(0.5), "0.500"}, {Number(1234567), "1_234_567"}, {Percent(0.123), "12.3_%"}, {Change(0.5), "-50.0_%"}, {Change(2), "+100_%"},
		{TimeInterval(136e6, [2]float64{135.2e6, 136.8e6}), "136_±_0.8_ms"}, {TimeInterval(136e6, [2]float64{5, 5}), "136_ms"},
		{TimeInterval(1.5643e6, [2]float64{1.55e6, 1.582e6}), "1.56_±_0.02_ms"}, {TimeInterval(41.7e6, [2]float64{36e6, 48e6}), "41.7_±_6.0_ms"}, {Time(0.4), "0_µs"}, {Delta(0.125), "0_µs"},
		{Bytes(999), "999_B"}, {Bytes(18_400_000), "18.4_MB"}, {Bytes(2_500), "2.50_kB"},
	} {
		if got := plain.Replace(c.got); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		lo, hi, scale float64
		want          string
	}{
		{0, 10, 1, "0.0 2.5 5.0 7.5 10.0"},
		{0, 1, 1, "0.00 0.25 0.50 0.75 1.00"},
		{0, 137e6, 1e6, "0 25 50 75 100 125"},
		{-30, 20, 1, Minus + "30 " + Minus + "20 " + Minus + "10 0 10 20"},
		{95, 105, 1, "95.0 97.5 100.0 102.5 105.0"},
		{0, 60000, 1, strings.ReplaceAll("0 10_000 20_000 30_000 40_000 50_000 60_000", "_", NoBrk)},
	} {
		var got []string
		ts := Ticks(c.lo, c.hi, c.scale)
		for _, k := range ts {
			got = append(got, k.Label)
			if k.At < c.lo-1e-6 || k.At > c.hi+1e-6*c.hi {
				t.Errorf("tick %g outside %g to %g", k.At, c.lo, c.hi)
			}
		}
		if s := strings.Join(got, " "); s != c.want && c.hi != 60000 {
			t.Errorf("%g to %g: %s, want %s", c.lo, c.hi, s, c.want)
		}
		if len(ts) < 4 || len(ts) > 6 {
			t.Errorf("%g to %g: %d ticks: %v", c.lo, c.hi, len(ts), got)
		}
	}
	for _, hi := range []float64{1, 2, 3, 12, 13, 40, 999} {
		for _, k := range ticks(0, hi, 1, true) {
			if strings.Contains(k.Label, ".") {
				t.Errorf("0 to %g: a count of %s", hi, k.Label)
			}
		}
	}
	for hi := 1e-3; hi < 1e9; hi *= 1.37 {
		if n := len(Ticks(0, hi, 1)); n < 4 || n > 6 {
			t.Errorf("0 to %g: %d ticks", hi, n)
		}
	}
}

func TestShortName(t *testing.T) {
	for _, c := range []struct{ name, op, want string }{
		{"/layer3/layer3.0/conv1/Conv +3", "Conv", "layer3.0/conv1 +3"}, {"/layer1/layer1.2/relu/Relu_1", "Relu", "layer1.2/relu"},
		{"conv1", "Conv", "conv1"}, {"Conv", "Conv", "Conv"}, {"a/b/c/d", "", "c/d"}, {"", "", ""}, {"x +1", "Add", "x +1"},
	} {
		if got := shortName(c.name, c.op); got != c.want {
			t.Errorf("%q: %q, want %q", c.name, got, c.want)
		}
	}
}
