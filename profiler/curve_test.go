package profiler

import (
	"slices"
	"testing"
)

// TestCurveJudge reads curves: a board that throttles, one whose clock goes down, one that keeps its speed.
func TestCurveJudge(t *testing.T) {
	yes, no := true, false
	fast, slow, cool, hot := int64(1_800_000_000), int64(1_200_000_000), 48.0, 84.0
	curve := func(end CurvePoint) *Curve {
		s := &Curve{}
		for range 6 {
			s.Points = append(s.Points, CurvePoint{P50Ns: 10e6, Hz: &fast, TemperatureC: &cool, Throttled: &no})
		}
		for range 6 {
			s.Points = append(s.Points, end)
		}
		s.Judge()
		return s
	}
	for _, c := range []struct {
		name   string
		end    CurvePoint
		slower float64
		why    string
	}{
		{"keeps its speed", CurvePoint{P50Ns: 10.1e6, Hz: &fast, TemperatureC: &hot, Throttled: &no}, 0.01, "it keeps its speed"},
		{"throttles", CurvePoint{P50Ns: 15e6, Hz: &slow, TemperatureC: &hot, Throttled: &yes}, 0.5, "the board throttled: cool it, or count with the steady number"},
		{"clock goes down", CurvePoint{P50Ns: 15e6, Hz: &slow, TemperatureC: &cool, Throttled: &no}, 0.5, "its clock went down: see the governor and the power supply"},
		{"other work", CurvePoint{P50Ns: 15e6, Hz: &fast, TemperatureC: &cool, Throttled: &no}, 0.5, "it became slower while clock and throttling stayed: look for other work on the target"},
	} {
		s := curve(c.end)
		if d := s.Slower - c.slower; d > 1e-9 || d < -1e-9 || s.Why != c.why || s.WarmNs != 10e6 || s.SteadyNs != c.end.P50Ns {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

// TestCurveLacks: what a point has is not absent, and what none has comes with the target's reason, or says that there is none.
func TestCurveLacks(t *testing.T) {
	hz := int64(1e9)
	c := &Curve{Points: []CurvePoint{{P50Ns: 1}, {P50Ns: 1, Hz: &hz}}}
	c.Lacks([]string{"clock: no cpufreq in /sys", "temperature: no thermal zone in /sys", "powerful: nothing", "caches: none"})
	want := []string{"temperature: no thermal zone in /sys", "throttling: the target does not say", "power: the target does not say"}
	if !slices.Equal(c.Absent, want) {
		t.Errorf("%q", c.Absent)
	}
}
