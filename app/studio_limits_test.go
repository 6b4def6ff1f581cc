package app

import (
	"context"
	"errors"
	"strings"
	"testing"

	"fettle/remote/deploy"
)

// onAgent is a studio over an App whose "this computer" is an agent of the test's own.
func onAgent(t *testing.T, a *App) *Studio {
	t.Helper()
	s := a.NewStudio(context.Background())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestTakenBoard: while another desk measures, who and since when is shown, a run waits and says for whom, and taking the board lets it begin.
func TestTakenBoard(t *testing.T) {
	a := open(t)
	s := onAgent(t, a)
	s.OpenSample("")
	idle(t, s)
	held, end, ended := make(chan bool), make(chan bool), make(chan error, 1)
	s.group.Go("other desk", func(ctx context.Context) error {
		ended <- a.measuring(ctx, ProfileRequest{Target: LocalTarget}, func(*deploy.Conn) error {
			close(held)
			<-end
			return nil
		})
		return nil
	})
	<-held
	defer func() {
		select {
		case <-end:
		default:
			close(end)
		}
	}()
	s.AskAccess(LocalTarget)
	st := until(t, s, "who measures", func(st *State) bool { return st.Board(LocalTarget).Access != nil && len(st.Active()) == 0 })
	if l := st.Board(LocalTarget).Access.Lease; !l.Held || l.Holder == "" {
		t.Fatalf("the lease is %+v", l)
	}
	s.Profile(ProfileForm{Runs: 5, Launches: 1})
	until(t, s, "a run that waits", func(st *State) bool {
		for _, j := range st.Active() {
			if j.Title == "Profile" && strings.HasPrefix(j.What, "wait: ") && strings.Contains(j.What, deploy.Holder()) {
				return true
			}
		}
		return false
	})
	s.TakeBoard(LocalTarget)
	st = until(t, s, "the run", func(st *State) bool { return len(st.Active()) == 0 })
	if len(st.Runs) != 1 || st.Runs[0].Profile == nil {
		t.Fatalf("%d runs, notices %v", len(st.Runs), st.Notices)
	}
	if l := st.Board(LocalTarget).Access.Lease; l.Epoch < 2 { // the run may hold it already
		t.Errorf("after the board was taken the lease is %+v", l)
	}
	close(end)
	if err := <-ended; err != nil { // it lost its right; it measured nothing, so nothing fails but the giving back
		t.Logf("the other desk: %v", err)
	}
}

// TestAuditedInTheStudio: a board with a wrong kernel is found out, and the first layer that differs leads to nodes of the imported model.
func TestAuditedInTheStudio(t *testing.T) {
	t.Setenv(alter, "layer2.0.conv")
	s := onAgent(t, open(t))
	s.OpenSample("")
	idle(t, s)
	s.AuditBoard(LocalTarget)
	d := idle(t, s).Doc
	n := d.AuditNow()
	if n == nil || n.First == nil || len(n.First.Origin) == 0 || d.Base.Graph.Node(d.Base.Graph.Nodes[0].ID) == nil {
		t.Fatalf("the audit says %+v", n)
	}
	if n.First.Name != "layer2.0.conv" || n.First.Verdict != AuditDiffers || n.First.Input < 0 || n.First.Input >= auditInputs {
		t.Errorf("first difference %+v", n.First)
	}
	s.ApplyStandard()
	if idle(t, s).Doc.AuditNow() != nil {
		t.Error("an audit of another model is shown")
	}
	s.Undo()
	if idle(t, s).Doc.AuditNow() == nil {
		t.Error("undo does not bring the audit back")
	}
}

// TestFirstProfileIsCounted: a profile that follows the adding of a board is the first, and only that one.
func TestFirstProfileIsCounted(t *testing.T) {
	s := studio(t)
	s.boards = &measuring{}
	s.OpenSample("")
	idle(t, s)
	s.AddBoard(AddBoardForm{Name: "lab", Address: "pi@lab"})
	b := idle(t, s).Board("lab")
	if b == nil || b.First == nil || b.First.AddNs <= 0 || b.First.ProfileNs != 0 {
		t.Fatalf("%+v", b)
	}
	s.Profile(ProfileForm{Board: "lab", Runs: 3, Launches: 1})
	f := idle(t, s).Board("lab").First
	if f.ProfileNs <= 0 || f.TotalNs < f.AddNs+f.ProfileNs || f.P50Ns == nil {
		t.Fatalf("%+v", f)
	}
	s.Profile(ProfileForm{Board: "lab", Runs: 3, Launches: 1})
	if g := idle(t, s).Board("lab").First; g != f {
		t.Errorf("the second profile changes the first: %+v", g)
	}
}

// TestKernelsAreLearned: without a table nothing is foretold and the reason is said; then every staircase is, what was measured stays, and a limit is judged by
// the kernels too.
func TestKernelsAreLearned(t *testing.T) {
	s := onAgent(t, open(t))
	s.OpenSample("")
	idle(t, s)
	s.FindStairs("")
	n := idle(t, s).Doc.StairsNow()
	if n == nil || n.Told == nil || len(n.List) < 4 || n.List[0].Treads[0].Ns != 0 {
		t.Fatalf("%+v", n)
	}
	s.MeasureStairs("", n.List[1].Node)
	n = idle(t, s).Doc.StairsNow()
	if n.List[1].Treads[0].Measured == nil || n.List[0].Treads[0].Measured != nil {
		t.Fatalf("measured: %+v", n.List[:2])
	}
	s.learnKernels("", leastBudget)
	st := idle(t, s)
	n = st.Doc.StairsNow()
	told := 0
	for _, x := range n.List {
		for _, k := range x.Treads {
			if k.Ns > 0 && k.Low <= k.Ns && k.Ns <= k.High {
				told++
			}
		}
	}
	if n.Told != nil || told == 0 || n.List[1].Treads[0].Measured == nil {
		var all error
		for _, x := range st.Notices {
			all = errors.Join(all, x.Err)
		}
		t.Fatalf("%d treads are foretold, %v; %v", told, n.Told, all)
	}
	limit := 1e12
	s.SetGoals(Goals{P99Ns: &limit})
	s.FindFloors("")
	b := idle(t, s).Doc.BoundNow()
	if a := b.Answer(limit); a == nil || b.Predicted == nil && b.Unpredicted == "" {
		t.Errorf("%+v", b.GoalVerdict)
	}
}
