package views

import (
	"testing"

	"fettle/app"
	"fettle/model"
	"fettle/profiler"
)

func ptr[T any](v T) *T { return &v }

func TestSetGoal(t *testing.T) {
	for _, c := range []struct {
		name  string
		which goal
		text  string
		ok    bool
		want  float64
	}{
		{"milliseconds without a unit", goalLatency, "30", true, 30e6},
		{"as it is shown", goalLatency, "≤ 30 ms", true, 30e6},
		{"with the no-break space of the shown form", goalLatency, "≤\u00a030.0\u00a0ms", true, 30e6},
		{"microseconds", goalLatency, "812 µs", true, 812e3},
		{"seconds", goalLatency, "1.5s", true, 1.5e9},
		{"a size is no time", goalLatency, "30 MB", false, 0},
		{"negative", goalLatency, "-3", false, 0},
		{"zero", goalLatency, "0", false, 0},
		{"words", goalLatency, "fast", false, 0},
		{"megabytes", goalSize, "18", true, 18e6},
		{"kilobytes", goalSize, "150 kB", true, 150e3},
		{"a time is no size", goalSize, "18 ms", false, 0},
		{"percent", goalAccuracy, "75 %", true, 0.75},
		{"percent without a sign", goalAccuracy, "75", true, 0.75},
		{"share", goalAccuracy, "0.9", true, 0.9},
		{"one percent", goalAccuracy, "1 %", true, 0.01},
		{"more than all", goalAccuracy, "120", false, 0},
	} {
		g, ok := setGoal(app.Goals{}, c.which, c.text)
		got := 0.0
		switch {
		case g.P99Ns != nil:
			got = *g.P99Ns
		case g.Bytes != nil:
			got = float64(*g.Bytes)
		case g.Accuracy != nil:
			got = *g.Accuracy
		}
		if ok != c.ok || (ok && got != c.want) {
			t.Errorf("%s: %v, %v", c.name, got, ok)
		}
	}
	if g, ok := setGoal(app.Goals{P99Ns: ptr(1.0), Bytes: ptr(int64(7))}, goalLatency, ""); !ok || g.P99Ns != nil || g.Bytes == nil {
		t.Error("an empty text does not take one limit away")
	}
}

// TestFloorOfARun: one layer with work and without a floor makes the whole floor unknown, so that nothing is ever called
// impossible on a guess.
func TestFloorOfARun(t *testing.T) {
	run := &app.Run{Profile: &profiler.Profile{Layers: []profiler.Layer{{MACs: 10, FloorNs: ptr(5.0)}, {MACs: 0}, {MACs: 3, FloorNs: ptr(2.0)}}}}
	if f, ok := floorNs(run); !ok || f != 7 {
		t.Errorf("floor %v, %v", f, ok)
	}
	run.Profile.Layers[2].FloorNs = nil
	if _, ok := floorNs(run); ok {
		t.Error("a floor is known though a layer has none")
	}
}

func TestNothingOpen(t *testing.T) {
	for _, c := range goalCells(&app.State{}) {
		if c.Value != "–" || c.ValueAt >= 0 || c.Verdict != "" {
			t.Errorf("%+v", c)
		}
	}
}

// TestReckonedGoal: before anything is measured the cell says what the board's facts say, and nothing where they are of another limit.
func TestReckonedGoal(t *testing.T) {
	m, err := model.NewBuilder("net", 17).Model()
	if err != nil {
		t.Fatal(err)
	}
	limit := 30e6
	d := &app.Doc{Base: m, Model: m, BaseInfo: &app.Inspection{}, Info: &app.Inspection{}, Goals: app.Goals{P99Ns: &limit}}
	for _, c := range []struct{ said, want, token string }{{"impossible", "impossible", "danger"}, {"unlikely", "unlikely", "warning"}, {"likely", "likely", "success"}, {"unknown", "not measured", "text3"}} {
		at := 30e6
		d.Bound = &app.Bound{Of: m.Hash(), Target: "pi4", Goals: app.Goals{P99Ns: &at}, GoalVerdict: &app.GoalVerdict{Answers: []app.GoalAnswer{{Verdict: c.said, Floor: 71e6}}}}
		cell := goalCells(&app.State{Doc: d})[goalLatency]
		if cell.Verdict != c.want || cell.Token != c.token || (cell.Why != "") != (c.said == "impossible") || cell.Floor <= cell.LimitAt {
			t.Errorf("%s: %+v", c.said, cell)
		}
		at = 40e6
		if cell = goalCells(&app.State{Doc: d})[goalLatency]; cell.Verdict != "not measured" {
			t.Errorf("an answer to another limit: %+v", cell)
		}
	}
}
