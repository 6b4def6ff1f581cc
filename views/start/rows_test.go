package start

import (
	"testing"

	"fettle/app"
	"fettle/internal/fail"
)

func ptr[T any](v T) *T { return &v }

func TestCards(t *testing.T) {
	got := cards([]app.Recent{
		{Name: "fast", P50Ns: ptr(12e6), Past: []float64{48e6, 24e6, 12e6}, Goals: app.Goals{P99Ns: ptr(24e6)}, Score: ptr(0.75), Bytes: 18e6},
		{Name: "new", Bytes: 1000},
		{Name: "third"},
	}, 2)
	if len(got) != 2 {
		t.Fatalf("%d cards", len(got))
	}
	a := got[0]
	if a.P50 != "12.0\u00a0ms" || a.Accuracy != "75.0\u00a0%" || a.GoalAt != 0.5 || a.Past[0] != 1 || a.Past[2] != 0.25 || a.Goal != "≤ 24.0\u00a0ms" {
		t.Errorf("%+v", a)
	}
	b := got[1]
	if b.P50 != "–" || b.Accuracy != "–" || b.GoalAt >= 0 || len(b.Past) != 0 {
		t.Errorf("never measured: %+v", b)
	}
}

func TestSampleTitles(t *testing.T) {
	got := samples([]app.SampleInfo{{Name: "r", Title: "ResNet-18, 224x224"}, {Name: "s", Title: "Shapes: 8 classes", Trained: true}, {Name: "c", Title: "ResNet-20 for 32x32 pictures"}, {Name: "x", Title: "Plain"}})
	for i, want := range [][2]string{{"ResNet-18", "224x224"}, {"Shapes", "8 classes"}, {"ResNet-20", "32x32 pictures"}, {"Plain", ""}} {
		if got[i].Title != want[0] || got[i].About != want[1] {
			t.Errorf("%+v, want %v", got[i], want)
		}
	}
}

func TestBoards(t *testing.T) {
	got := boards([]*app.Board{{Name: "local", Local: true}, {Name: "pi", Address: "pi@lab", Err: fail.New(fail.Unreachable, "x")}, {Name: "rock"}}, 9)
	for i, want := range []string{"ready", "does not answer", "not asked yet"} {
		if got[i].State != want {
			t.Errorf("%+v, want %s", got[i], want)
		}
	}
}
