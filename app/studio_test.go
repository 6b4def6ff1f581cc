package app

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/model/onnx"
)

// studio starts a studio with an empty home folder.
func studio(t *testing.T) *Studio {
	t.Helper()
	a, err := Open(Options{Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s := a.NewStudio(context.Background())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// idle waits until everything that was asked for is done.
func idle(t *testing.T, s *Studio) *State {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		done := make(chan bool, 1)
		s.edit(func(st *State) { done <- len(st.Active()) == 0 }) // behind every command so far
		if <-done {
			again := make(chan *State, 1)
			s.edit(func(st *State) { again <- s.State() })
			if st := <-again; len(st.Active()) == 0 {
				return st
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("jobs do not end")
	return nil
}

func noErrors(t *testing.T, st *State) {
	t.Helper()
	for _, n := range st.Notices {
		if n.Err != nil {
			t.Fatal(n.Err)
		}
	}
}

func openSample(t *testing.T, s *Studio) *Doc {
	t.Helper()
	s.OpenSample("")
	st := idle(t, s)
	noErrors(t, st)
	if st.Doc == nil || st.Screen != "model" {
		t.Fatal("the sample is not shown")
	}
	return st.Doc
}

func saved(t *testing.T, m *model.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := onnx.Write(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// audit compares what each state of the ledger saves with what it saved when it was first seen.
func audit(t *testing.T, d *Doc, seen map[*Derived][]byte) string {
	t.Helper()
	for _, v := range d.Revisions {
		if v.Result == nil {
			continue
		}
		now := saved(t, v.Result.Model)
		if was, ok := seen[v.Result]; ok && !bytes.Equal(was, now) {
			return v.Label + " " + v.Subject + ": the bytes changed"
		}
		seen[v.Result] = now
	}
	if v := d.Revisions[d.Cursor]; v.Result == nil || d.Model != v.Result.Model {
		return "the model shown is not that of the cursor"
	}
	return ""
}

// TestRandomUndo: whatever is done, going back to a state of the ledger saves the bytes that it saved before, and the
// opened model is never written.
func TestRandomUndo(t *testing.T) {
	s := studio(t)
	base := saved(t, openSample(t, s).Base)
	passes := []string{"eliminate-dead", "fold-constants", "fold-batchnorm", "fuse-residual", "fuse-activation"}
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 7))
		d := openSample(t, s)
		seen := map[*Derived][]byte{}
		for step := range 25 {
			n := len(d.Ledger())
			switch k := r.IntN(9); {
			case k < 2:
				s.Undo()
			case k < 4:
				s.Redo()
			case k == 4 && n > 0:
				s.SetEnabled(r.IntN(n), r.IntN(2) == 0)
			case k == 5 && n > 0:
				s.RemoveStep(r.IntN(n))
			case k == 6 && n > 1:
				s.MoveStep(r.IntN(n-1), 1)
			case k == 7:
				s.GoTo(r.IntN(len(d.Revisions)))
			default:
				s.AddStep(passes[r.IntN(len(passes))], nil)
			}
			st := idle(t, s)
			noErrors(t, st)
			d = st.Doc
			if d.Busy {
				t.Fatalf("seed %d, step %d: still busy with no job", seed, step)
			}
			if problem := audit(t, d, seen); problem != "" {
				t.Fatalf("seed %d, step %d: %s", seed, step, problem)
			}
			if len(d.Steps) != len(d.Ledger()) {
				t.Fatalf("seed %d, step %d: %d results for %d entries", seed, step, len(d.Steps), len(d.Ledger()))
			}
		}
		for d.CanUndo() {
			s.Undo()
			d = idle(t, s).Doc
		}
		if !bytes.Equal(saved(t, d.Model), base) {
			t.Fatalf("seed %d: undoing everything does not give the opened model", seed)
		}
	}
}

// TestAuditSeesFaults plants the two faults that undo must not have; the audit of the test above has to see both.
func TestAuditSeesFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(d *Doc)
	}{
		{"a pass that writes in place", func(d *Doc) {
			for _, i := range d.Revisions[1].Result.Model.Graph.Inits {
				if raw := i.Tensor.Raw; d.Base.Graph.Init(i.Name) != i.Tensor && len(raw) > 0 {
					raw[0] ^= 1
					return
				}
			}
			t.Fatal("no new weight to write")
		}},
		{"a cursor that shows another state", func(d *Doc) { d.Model = d.Revisions[0].Result.Model }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := studio(t)
			openSample(t, s)
			s.AddStep("fold-batchnorm", nil)
			st := idle(t, s)
			noErrors(t, st)
			d := *st.Doc
			seen := map[*Derived][]byte{}
			if problem := audit(t, &d, seen); problem != "" {
				t.Fatal(problem)
			}
			c.fault(&d)
			if audit(t, &d, seen) == "" {
				t.Fatal("the fault was not seen")
			}
		})
	}
}

// TestDisabledStepsStay: an unticked step stays in the ledger and gives the model that it would have without it.
func TestDisabledStepsStay(t *testing.T) {
	s := studio(t)
	openSample(t, s)
	s.AddStep("fold-batchnorm", nil)
	folded := saved(t, idle(t, s).Doc.Model)
	s.AddStep("fuse-activation", nil)
	d := idle(t, s).Doc
	if a, _ := d.Steps[1].Places(); a == 0 || d.Steps[1].Model == nil {
		t.Fatal("nothing was fused")
	}
	s.SetEnabled(1, false)
	st := idle(t, s)
	noErrors(t, st)
	d = st.Doc
	if len(d.Steps) != 2 || d.Steps[1].Enabled || d.Steps[1].Model != nil {
		t.Fatalf("the ledger is %+v", d.Steps)
	}
	if !bytes.Equal(saved(t, d.Model), folded) {
		t.Error("the model is not that of the first step alone")
	}
	if n := len(d.Recipe().Steps); n != 1 {
		t.Errorf("the recipe has %d steps", n)
	}
	if d.Info.Nodes >= d.BaseInfo.Nodes || d.Steps[0].After.Nodes != d.Info.Nodes {
		t.Errorf("nodes: %d at first, %d after the step, %d now", d.BaseInfo.Nodes, d.Steps[0].After.Nodes, d.Info.Nodes)
	}
}

// TestFailingStep: a step that cannot run shows why in its row, keeps the model of the step before, and leaves the
// window usable.
func TestFailingStep(t *testing.T) {
	s := studio(t)
	openSample(t, s)
	s.ApplyStandard()
	good := idle(t, s).Doc
	s.AddStep("no-such-pass", nil)
	st := idle(t, s)
	last := st.Doc.Steps[len(st.Doc.Steps)-1]
	if last.Err == nil || !strings.Contains(last.Err.Error(), "no-such-pass") {
		t.Fatalf("the row says %v", last.Err)
	}
	if st.Doc.Model.Hash() != good.Model.Hash() || st.Doc.Busy {
		t.Error("the model of the steps that worked is not shown")
	}
	if len(st.Notices) == 0 {
		t.Error("the error was not shown")
	}
	s.Undo()
	if st := idle(t, s); st.Doc.Model.Hash() != good.Model.Hash() || len(st.Doc.Steps) != len(good.Steps) {
		t.Error("undo does not bring the ledger back")
	}
}

// TestCancelGoesBack: cancelling the work of a command goes back to the last state that is known.
func TestCancelGoesBack(t *testing.T) {
	s := studio(t)
	d := openSample(t, s)
	started := make(chan struct{})
	s.edit(func(st *State) {
		v := &Revision{Label: "Add", Subject: "slow", Entries: entries(s.app.StandardRecipe().Steps), Data: d.Data}
		doc := *st.Doc
		doc.Revisions = append(doc.Revisions[:1:1], v)
		doc.Cursor, doc.Busy = 1, true
		st.Doc = &doc
		s.applyJob = s.begin(st, "Apply rewrites", "slow", func(ctx context.Context, _ task.Progress) error {
			close(started)
			<-ctx.Done()
			s.editDoc(doc.ID, func(st *State, d *Doc) { s.derived(st, d, v, nil, fail.From(ctx.Err())) })
			return ctx.Err()
		})
	})
	<-started
	s.Save(filepath.Join(t.TempDir(), "x.onnx"))
	jobs := s.State().Active()
	if len(jobs) != 1 {
		t.Fatalf("%d jobs run", len(jobs))
	}
	s.CancelJob(jobs[0].ID)
	st := idle(t, s)
	if st.Doc.Cursor != 0 || st.Doc.Busy || st.Doc.Model != d.Base {
		t.Errorf("cursor %d, busy %v", st.Doc.Cursor, st.Doc.Busy)
	}
	if !st.Doc.CanRedo() {
		t.Error("redo cannot try it again")
	}
	if len(st.Notices) != 1 || st.Notices[0].Err.Kind != fail.Busy {
		t.Errorf("saving while it ran: %+v", st.Notices)
	}
	s.Redo()
	if st := idle(t, s); st.Doc.Busy || st.Doc.Info.Nodes >= d.BaseInfo.Nodes {
		t.Error("redo did not apply the rewrites")
	}
}

// TestFiles: saving without a change writes the very bytes that were opened; a recipe that is saved and loaded makes
// the same model; a file that is no model leaves the open one in place.
func TestFiles(t *testing.T) {
	s := studio(t)
	dir := t.TempDir()
	base := openSample(t, s)
	in, out, recipe := filepath.Join(dir, "in.onnx"), filepath.Join(dir, "out.onnx"), filepath.Join(dir, "r.toml")
	if err := os.WriteFile(in, saved(t, base.Base), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Open(in)
	idle(t, s)
	s.Save(out)
	st := idle(t, s)
	noErrors(t, st)
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, saved(t, base.Base)) {
		t.Errorf("the saved file differs (%v)", err)
	}
	if st.Doc.Unsaved() || st.Recent[0].Path != in || st.Recent[0].Name != "in" {
		t.Errorf("unsaved %v, recent %+v", st.Doc.Unsaved(), st.Recent[0])
	}
	s.ApplyStandard()
	st = idle(t, s)
	noErrors(t, st)
	want := st.Doc.Model.Hash()
	if !st.Doc.Unsaved() {
		t.Error("a rewritten model counts as saved")
	}
	s.SaveRecipe(recipe)
	idle(t, s)
	s.GoTo(0)
	s.LoadRecipe(recipe)
	st = idle(t, s)
	noErrors(t, st)
	if st.Doc.Model.Hash() != want {
		t.Error("the loaded recipe makes another model")
	}
	bad := filepath.Join(dir, "bad.onnx")
	if err := os.WriteFile(bad, []byte("no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Open(bad)
	st = idle(t, s)
	if st.Doc == nil || st.Doc.Name != "in" {
		t.Error("a file that is no model replaced the open one")
	}
	if n := len(st.Notices); n == 0 || st.Notices[n-1].Err == nil || st.Notices[n-1].Err.Where.File != bad {
		t.Errorf("notices %+v", st.Notices)
	}
}

// TestSettingsAndGoalsStay: they are there again after a restart.
func TestSettingsAndGoalsStay(t *testing.T) {
	home := t.TempDir()
	start := func() (*Studio, func()) {
		a, err := Open(Options{Home: home})
		if err != nil {
			t.Fatal(err)
		}
		s := a.NewStudio(context.Background())
		return s, func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	s, stop := start()
	openSample(t, s)
	limit := 30e6
	s.SetGoals(Goals{P99Ns: &limit})
	s.SetLanguage("zh")
	s.SetDark(false)
	idle(t, s)
	stop()
	s, stop = start()
	defer stop()
	st := idle(t, s)
	if st.Settings.Language != "zh" || st.Settings.Dark {
		t.Errorf("settings %+v", st.Settings)
	}
	if d := openSample(t, s); d.Goals.P99Ns == nil || *d.Goals.P99Ns != limit {
		t.Errorf("goals %+v", d.Goals)
	}
}

// TestCommandsWithoutModel: each says what is missing instead of failing.
func TestCommandsWithoutModel(t *testing.T) {
	for name, do := range map[string]func(s *Studio){
		"save":  func(s *Studio) { s.Save("x.onnx") },
		"add":   func(s *Studio) { s.AddStep("fold-batchnorm", nil) },
		"score": func(s *Studio) { s.Score("") },
	} {
		t.Run(name, func(t *testing.T) {
			s := studio(t)
			do(s)
			s.Undo()
			s.Redo()
			s.GoTo(3)
			st := idle(t, s)
			if len(st.Notices) != 1 || st.Notices[0].Err == nil || st.Notices[0].Err.Fix == "" {
				t.Errorf("notices %+v", st.Notices)
			}
		})
	}
}

// TestPanicInCommand: a bug in a command leaves the state of before and is shown.
func TestPanicInCommand(t *testing.T) {
	s := studio(t)
	s.Show("boards")
	s.edit(func(st *State) { st.Screen = "gone"; panic("bug") })
	st := idle(t, s)
	if st.Screen != "boards" || len(st.Notices) != 1 || st.Notices[0].Err.Kind != fail.Internal {
		t.Errorf("screen %s, notices %+v", st.Screen, st.Notices)
	}
}

// TestScoreCommand: the trained sample is right on most of its held-out pictures, before and after quantization, and the
// score belongs to the model it was measured on.
func TestScoreCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("-short was asked for: 512 pictures are not scored")
	}
	s := studio(t)
	openSample(t, s)
	s.Score("")
	st := idle(t, s)
	noErrors(t, st)
	r := st.Doc.Score()
	if r == nil || r.Score == nil || *r.Score < 0.9 {
		t.Fatalf("score %+v", r)
	}
	s.ApplyStandard()
	s.AddStep("quantize", nil)
	st = idle(t, s)
	noErrors(t, st)
	if st.Doc.Score() != nil {
		t.Error("a model that was not measured has a score")
	}
	s.Score("")
	st = idle(t, s)
	noErrors(t, st)
	if q := st.Doc.Score(); q == nil || q.Score == nil || *q.Score < *r.Score-0.05 || q.Agreement == nil {
		t.Errorf("after quantization %+v", q)
	}
	if st.Doc.Info.FileBytes*2 > st.Doc.BaseInfo.FileBytes {
		t.Errorf("%d bytes of %d are left", st.Doc.Info.FileBytes, st.Doc.BaseInfo.FileBytes)
	}
}

// TestBrokenSubscriber: a bug in who looks on does not end the document, and the log tells of it.
func TestBrokenSubscriber(t *testing.T) {
	s := studio(t)
	calls := 0
	s.Subscribe(func(*State) {
		if calls++; calls == 2 {
			panic("bug")
		}
	})
	s.Show("boards")
	s.Show("profile")
	st := idle(t, s)
	if st.Screen != "profile" || len(st.Log) == 0 || st.Log[0].Err == nil || st.Log[0].Err.Kind != fail.Internal {
		t.Errorf("screen %s, log %+v", st.Screen, st.Log)
	}
}
