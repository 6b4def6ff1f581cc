package app

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/profiler/predict"
	"fettle/sample"
)

// A table grows over runs, also over those that were stopped, and predictions come from it or are refused.
func TestLearn(t *testing.T) {
	if testing.Short() {
		t.Skip("-short was asked for: nothing is measured")
	}
	a := open(t)
	ctx := t.Context()
	m, err := sample.Build("mobilenetv2")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Predict(ctx, m, "", 1, nil); !fail.Is(err, fail.NotFound) {
		t.Fatalf("without a table: %v", err)
	}
	// stopped in the middle, by the user: what was measured stays
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	q := LearnRequest{Budget: 10 * time.Minute}
	q.Progress = func(done, total int64, what string) {
		if l := a.latencyTable("", 1); l != nil && l.Probes >= 1 {
			cancel()
		}
	}
	if _, err := a.Learn(stop, q); !fail.Is(err, fail.Cancelled) {
		t.Fatalf("stopped: %v", err)
	}
	before := a.latencyTable("", 1)
	if before == nil || before.Probes < 1 || len(before.Points) < 20 {
		t.Fatalf("after the stop: %+v", before)
	}
	q.Progress, q.Budget = nil, leastBudget
	l, err := a.Learn(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	if l.Nets != before.Probes+l.Here || l.Here < 1 || len(l.Table.Points) <= len(before.Points) || l.Error <= 0 {
		t.Errorf("it did not go on: %+v, %d before", l, before.Probes)
	}
	for i := range before.Points {
		if before.Points[i].Ns != l.Table.Points[i].Ns {
			t.Fatalf("row %d was changed", i)
		}
	}
	// a network of the table is told; what it does not reach is refused with the layer
	g, err := predict.NewProbe(1, 0).Build()
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Predict(ctx, g, "", 1, nil)
	var e *fail.Error
	switch {
	case errors.As(err, &e) && e.Kind == fail.Unsupported && e.Where.Node != "":
	case err != nil:
		t.Fatal(err)
	case p.Ns <= 0 || p.Low > p.Ns || p.High < p.Ns || len(p.Layers) < 5:
		t.Errorf("%+v", p)
	}
	// another processor's table is not continued
	l.Table.CPU = "another"
	if err := a.keepTable("", l.Table); err != nil {
		t.Fatal(err)
	}
	if l, err = a.Learn(ctx, q); err != nil || l.Nets != l.Here {
		t.Errorf("a table of another processor was continued: %+v, %v", l, err)
	}
	// a damaged file is none
	if err := os.WriteFile(a.tablePath("", 1), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if a.latencyTable("", 1) != nil {
		t.Error("a damaged table was read")
	}
}
