package rewrites

import (
	"testing"

	"fettle/app"
	"fettle/internal/fail"
	"fettle/model"
)

func step(exactness string) app.StepResult {
	s := app.StepResult{Pass: "p", Title: "P", Enabled: true, Exactness: exactness, Model: &model.Model{}}
	s.Before.Nodes, s.After.Nodes, s.Before.WeightBytes, s.After.WeightBytes = 10, 8, 1000, 1000
	return s
}

func TestSci(t *testing.T) {
	for x, want := range map[float64]string{2.13e-6: "2.1e−6", 1.5e-12: "1.5e−12", 0.0312: "0.0312"} {
		if got := sci(x); got != want {
			t.Errorf("%v: %q, want %q", x, got, want)
		}
	}
}

func TestGain(t *testing.T) {
	s := step("exact")
	if text, token := gain(&s); text != "−2 nodes" || token != "gain" {
		t.Errorf("nodes: %s %s", text, token)
	}
	s.After.WeightBytes = 250
	if text, token := gain(&s); text != "−750\u00a0B" || token != "gain" {
		t.Errorf("bytes: %s %s", text, token)
	}
	s.After.WeightBytes, s.After.Nodes = 1005, 10
	if text, _ := gain(&s); text != "–" {
		t.Errorf("less than a percent: %s", text)
	}
}

func TestLedgerRows(t *testing.T) {
	off, failed := step("exact"), step("bounded")
	off.Enabled, off.Model = false, nil
	failed.Model, failed.Err = nil, fail.New(fail.Invalid, "no data")
	rows := ledger(&app.Doc{Steps: []app.StepResult{step("exact"), off, failed}})
	if r := rows[0]; r.Touched != "× 0" || r.Proof != "nothing to do" || !r.On {
		t.Errorf("%+v", r)
	}
	if r := rows[1]; r.On || r.Touched != "" || r.Proof != "" || r.Gain != "" {
		t.Errorf("a step that is off shows numbers: %+v", r)
	}
	if r := rows[2]; r.Failed == "" {
		t.Errorf("%+v", r)
	}
}
