package app

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fettle/internal/fail"
	"fettle/sample"
)

// TestSearchGoesOn: a search that ends in the middle, with a record half written, goes on to the same points and rewards as one that was not
// disturbed; what was tried before is not tried again. Nobody in the front is beaten.
func TestSearchGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("-short was asked for: nothing is searched")
	}
	a := open(t)
	base, err := a.Sample(sample.Name)
	if err != nil {
		t.Fatal(err)
	}
	q := SearchRequest{Goal: "macs<=0.7", Data: SampleCalibrate, Score: SampleScore, Optimizer: "evolution", Rollouts: 3, Seed: 5, Budget: 1 << 40, Out: t.TempDir()}
	whole, err := a.SearchModel(context.Background(), base, q)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole.Rollouts) != 3 || whole.Tried != 3 {
		t.Fatalf("%d roll-outs, %d tried", len(whole.Rollouts), whole.Tried)
	}
	for i, x := range whole.Front {
		for j, y := range whole.Front {
			if i != j && x.Ms <= y.Ms && x.Bytes <= y.Bytes && x.Drop <= y.Drop {
				t.Errorf("%s of the front is beaten by %s", y.Name, x.Name)
			}
		}
	}
	for i := 1; i < 3; i++ {
		if r := whole.Rollouts; r[i].Best < r[i-1].Best || r[i].Best < r[i].Reward || slices.Equal(r[i].Point, r[i-1].Point) {
			t.Errorf("roll-outs %+v", r)
		}
	}

	q.Out = t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	q.Live = func(r SearchResult) {
		if len(r.Rollouts) == 1 {
			cancel()
		}
	}
	if _, err := a.SearchModel(ctx, base, q); !fail.Is(err, fail.Cancelled) {
		t.Fatalf("a search that was stopped: %v", err)
	}
	kept, err := os.Stat(filepath.Join(q.Out, whole.Rollouts[0].Name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(q.Out, whole.Rollouts[1].Name+".json"), []byte(`{"name": "evo`), 0o600); err != nil {
		t.Fatal(err)
	}
	q.Live = nil
	again, err := a.SearchModel(context.Background(), base, q)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range again.Rollouts {
		if w := whole.Rollouts[i]; !slices.Equal(r.Point, w.Point) || r.Reward != w.Reward {
			t.Errorf("roll-out %d: %+v, undisturbed %+v", i, r, w)
		}
	}
	if now, err := os.Stat(filepath.Join(q.Out, whole.Rollouts[0].Name+".json")); err != nil || !now.ModTime().Equal(kept.ModTime()) {
		t.Error("what was tried is tried again")
	}
}
