package jobs

import (
	"testing"
	"time"

	"fettle/app"
	"fettle/internal/fail"
)

func TestRows(t *testing.T) {
	start := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	now := start.Add(10 * time.Second)
	got := rowsOf([]*app.Job{
		{ID: 1, Title: "Profile", Started: start, Ended: now},
		{ID: 2, Title: "Deploy", Started: start, Ended: now, Err: fail.New(fail.Unreachable, "no answer")},
		{ID: 3, Title: "Profile", Started: start, Total: 4, Done: 1},
		{ID: 4, Title: "Open", Started: start, Ended: now, Err: fail.New(fail.Cancelled, "stopped")},
		{ID: 5, Title: "Open", Started: start},
	}, now)
	want := []struct {
		id       int64
		icon     string
		time     string
		progress float64
	}{
		{5, "play", "10\u00a0s", -1},
		{3, "play", "10\u00a0s · ~30\u00a0s", 0.25},
		{4, "stop", "10\u00a0s", -1},
		{2, "error", "10\u00a0s", -1},
		{1, "check", "10\u00a0s", -1},
	}
	for i, w := range want {
		if g := got[i]; g.ID != w.id || g.Icon != w.icon || g.Time != w.time || g.Progress != w.progress {
			t.Errorf("row %d: %+v, want %+v", i, g, w)
		}
	}
	if got[3].Failed == "" {
		t.Error("the failed job does not say why")
	}
}
