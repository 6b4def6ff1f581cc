package app

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"fettle/model"
	"fettle/sample"
)

// desk is an App on a home folder of its own, and a studio over it. leave closes both, as somebody who goes home.
func desk(t *testing.T, home string) (a *App, s *Studio, leave func()) {
	t.Helper()
	a, err := Open(Options{Home: home, Self: []string{os.Args[0], "agent"}, Own: true})
	if err != nil {
		t.Fatal(err)
	}
	s = a.NewStudio(context.Background())
	left := false
	leave = func() {
		if left {
			return
		}
		left = true
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(leave)
	return a, s, leave
}

// TestHuntGoesOnAnotherDay: a search that was left when the studio was closed shows what it had found when the model is opened again, and goes on behind
// it; one that went to its end says so. Times of another target are kept apart.
func TestHuntGoesOnAnotherDay(t *testing.T) {
	if testing.Short() {
		t.Skip("-short was asked for: nothing is searched")
	}
	home := t.TempDir()
	a, s, leave := desk(t, home)
	s.OpenSample("")
	idle(t, s)
	f := NewHuntForm()
	f.MACs, f.Optimizer, f.Rollouts, f.Seed = 0.7, "evolution", 40, 7
	s.Hunt(f)
	until(t, s, "the first roll-out", func(st *State) bool {
		h := st.Doc.Hunt
		return h != nil && h.Result != nil && len(h.Result.Rollouts) > 0
	})
	leave()
	m, err := a.Sample(sample.Name)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(a.huntDir(m.Hash(), ""), "evolution-7-001.json")
	kept, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}

	_, s, leave = desk(t, home)
	s.OpenSample("")
	idle(t, s)
	h := s.State().Doc.Hunt
	if h == nil || h.Running || h.Ended || h.Form.MACs != 0.7 || h.Form.Optimizer != "evolution" || h.Result == nil || len(h.Result.Rollouts) == 0 || h.Result.Untried != 40-len(h.Result.Rollouts) {
		t.Fatalf("the next day: %+v", h)
	}
	n := len(h.Result.Rollouts) + 1
	if h.Result.Verdict == "" || len(h.Result.Front) == 0 || h.Recipes["evolution-7-001"] == "" || h.Result.Rollouts[0].Reward >= 0 {
		t.Errorf("what was found: %+v, recipes %v", h.Result, h.Recipes)
	}
	f.Rollouts = n
	s.Hunt(f)
	until(t, s, "the end", func(st *State) bool { return st.Doc.Hunt.Ended && len(st.Active()) == 0 })
	if h = s.State().Doc.Hunt; len(h.Result.Rollouts) != n {
		t.Errorf("it went on to %+v", h.Result)
	}
	if now, err := os.Stat(file); err != nil || !now.ModTime().Equal(kept.ModTime()) {
		t.Error("what was tried before is tried again")
	}
	leave()

	a, s, _ = desk(t, home)
	s.OpenSample("")
	idle(t, s)
	if h = s.State().Doc.Hunt; h == nil || !h.Ended || len(h.Result.Rollouts) != n || h.Result.Untried != 0 {
		t.Errorf("the day after: %+v", h)
	}
	f.Target = "lab"
	if r := a.FoundBefore(m, f.request(SampleCalibrate, a.huntDir(m.Hash(), "lab"), 1)); r != nil {
		t.Errorf("times of this computer are taken for another target's: %+v", r)
	}
}

// TestHuntByTable: the limit is in a board's milliseconds. Its kernels were learned before, so the board is not asked, and the studio says how the times
// came about.
func TestHuntByTable(t *testing.T) {
	if testing.Short() {
		t.Skip("-short was asked for: nothing is learned and searched")
	}
	home := t.TempDir()
	a, s, _ := desk(t, home)
	m, err := a.Sample(sample.Name)
	if err != nil {
		t.Fatal(err)
	}
	q := LearnRequest{ProfileRequest: ProfileRequest{Target: LocalTarget, Threads: 1, Manner: Wait}, Budget: leastBudget, Floats: true, Also: []*model.Model{m}, Names: []string{sample.Name}}
	for { // a busy computer measures little in that time
		if _, err := a.Predict(t.Context(), m, LocalTarget, 1, nil); err == nil {
			break
		}
		if _, err := a.Learn(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	// The board cannot be reached: nothing listens there.
	if err := os.Rename(a.tablePath(LocalTarget, 1), a.tablePath("lab", 1)); err != nil {
		t.Fatal(err)
	}
	if err := a.keepTarget(Target{Name: "lab", Address: "ssh://nobody@127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	s.OpenSample("")
	idle(t, s)
	f := NewHuntForm()
	f.P50Ms, f.Target, f.Optimizer, f.Rollouts = 1e-6, "lab", "random", 2
	s.Hunt(f)
	until(t, s, "the end", func(st *State) bool { return st.Doc.Hunt != nil && !st.Doc.Hunt.Running && len(st.Active()) == 0 })
	h := s.State().Doc.Hunt
	if h.Err != nil || h.Result.Times != "predicted for lab by its table of kernels" {
		t.Fatalf("times: %q, %v", h.Result.Times, h.Err)
	}
	if h.Result.Verdict != "impossible" || h.Result.Binding == "" || h.Result.Floor.Ms <= 0 || h.Result.Floor.P99 != 0 {
		t.Errorf("a millionth of a millisecond: %s, %q, floor %+v", h.Result.Verdict, h.Result.Binding, h.Result.Floor)
	}
}
