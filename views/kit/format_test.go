package kit

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestNumbers(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct{ name, got, want string }{
		{"three digits", Ms(7.583e6), "7.58 ms"},
		{"two digits before the point", Ms(41.7e6), "41.7 ms"},
		{"three before the point", Ms(136.2e6), "136 ms"},
		{"four digits in full", Ms(1240e6), "1240 ms"},
		{"seconds from 10 000 ms", Ms(10000e6), "10.0 s"},
		{"just below stays in ms", Ms(9999e6), "9999 ms"},
		{"microseconds", Ms(812e3), "812 µs"},
		{"rounds up to the next unit", Ms(999.7e3), "1.00 ms"},
		{"rounding adds a digit", Sig(9.996), "10.0"},
		{"zero", Ms(0), "0 µs"},
		{"not a number is absent", Ms(nan), "–"},
		{"absent pointer", MsPtr(nil), "–"},
		{"true minus", DeltaMs(-2.49e6), "−2.49 ms"},
		{"plus on a delta", DeltaMs(1.3e6), "+1.30 ms"},
		{"small share", Percent(0.0258), "2.58 %"},
		{"negative share", DeltaPercent(-0.75), "−75.0 %"},
		{"bytes", Bytes(512), "512 B"},
		{"kB are thousands", Bytes(1710), "1.71 kB"},
		{"MB", Bytes(102_400_000), "102 MB"},
		{"GB", Bytes(4_000_000_000), "4.00 GB"},
		{"less", DeltaBytes(-18_000_000), "−18.0 MB"},
		{"work", MACs(4_089_000_000), "4.09 GMAC"},
		{"work not known", MACs(-1), "–"},
		{"four digits without a mark", Count(1240), "1240"},
		{"thousands mark from five digits", Count(12400), "12 400"},
		{"millions", Count(25_557_032), "25 557 032"},
		{"negative count", Count(-12400), "−12 400"},
		{"interval in the unit of its middle", Interval(136e6, [2]float64{135.2e6, 136.8e6}), "± 0.80 ms"},
		{"no interval", Interval(136e6, [2]float64{}), ""},
		{"wait", Elapsed(4200 * time.Millisecond), "4.2 s"},
		{"minutes", Elapsed(200 * time.Second), "3 min 20 s"},
		{"clock", Hz(1_800_000_000), "1.80 GHz"},
	} {
		if got := strings.ReplaceAll(c.got, nbsp, " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
	if Ms(1e6) != "1.00\u00a0ms" {
		t.Error("a unit can be torn from its number at the end of a line")
	}
}
