package app

import (
	"context"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/remote/wire"
)

// fakeBoards answers as boards do, without one.
type fakeBoards struct {
	boardService
	key      string // fingerprint to ask about, "": known
	password string // wanted, "": none
	deployed []Deployment
	err      error
}

func (f *fakeBoards) login(ctx context.Context, a Asks) error {
	if f.err != nil {
		return f.err
	}
	if f.key != "" {
		ok, err := a.HostKey(ctx, HostKeyQuestion{Name: "lab", Fingerprint: f.key})
		if err != nil {
			return err
		}
		if !ok {
			return fail.New(fail.Denied, "the host key was refused")
		}
	}
	for try := 0; f.password != ""; try++ {
		p, err := a.Password(ctx, "pi", "lab")
		if err != nil {
			return err
		}
		if p == f.password {
			break
		}
		if try == 3 {
			return fail.New(fail.Denied, "wrong password")
		}
	}
	return nil
}

func (f *fakeBoards) AddTarget(ctx context.Context, t Target, a Asks) (*TargetFacts, error) {
	return &TargetFacts{SoC: "test"}, f.login(ctx, a)
}

func (f *fakeBoards) TargetFacts(ctx context.Context, _ string, a Asks) (*TargetFacts, error) {
	return &TargetFacts{SoC: "test"}, f.login(ctx, a)
}

func (f *fakeBoards) Deploy(ctx context.Context, q DeployRequest) (*Deployment, error) {
	d := Deployment{Target: q.Target, Deployment: wire.Deployment{Name: q.Name, Version: len(f.deployed) + 1, SHA256: q.Model.Hash()}, Sent: 17}
	f.deployed = append(f.deployed, d)
	return &d, f.login(ctx, q.Asks)
}

func (f *fakeBoards) Deployments(context.Context, string, Asks) ([]Deployment, error) {
	if len(f.deployed) == 0 {
		return nil, nil
	}
	d := f.deployed[len(f.deployed)-1]
	d.Sent = 0
	return []Deployment{d}, nil
}

// patience is for a computer on which much else runs: what never ends is found all the same.
const patience = 10 * time.Minute

// until waits for a state.
func until(t *testing.T, s *Studio, what string, is func(*State) bool) *State {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if st := s.State(); is(st) {
			return st
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatal("never: " + what)
	return nil
}

// TestHostKey: an unknown key is shown and nothing goes on before the answer; refusing keeps no board.
func TestHostKey(t *testing.T) {
	for _, accept := range []bool{true, false} {
		s := studio(t)
		s.boards = &fakeBoards{key: "SHA256:abc"}
		s.AddBoard(AddBoardForm{Address: "pi@lab.local"})
		st := until(t, s, "the question", func(st *State) bool { return st.HostKey != nil })
		if st.HostKey.Fingerprint != "SHA256:abc" || st.Board("lab") != nil {
			t.Fatalf("question %+v", st.HostKey)
		}
		s.AnswerHostKey(accept)
		st = idle(t, s)
		if got := st.Board("lab") != nil; got != accept || st.HostKey != nil {
			t.Errorf("accept %v: board there %v, question %v", accept, got, st.HostKey)
		}
	}
}

// TestPassword: a wrong password is asked for again, a right one is remembered until the program ends, and no state
// holds it.
func TestPassword(t *testing.T) {
	s := studio(t)
	s.boards = &fakeBoards{password: "secret"}
	s.AddBoard(AddBoardForm{Address: "pi@lab", Password: "wrong"})
	st := until(t, s, "the question", func(st *State) bool { return st.Password != nil })
	if !st.Password.Again || st.Password.User != "pi" {
		t.Errorf("question %+v", st.Password)
	}
	s.AnswerPassword("secret", true)
	idle(t, s)
	s.Connect("lab")
	st = idle(t, s)
	noErrors(t, st)
	if b := st.Board("lab"); b == nil || !b.Connected || b.Facts == nil {
		t.Errorf("board %+v", b)
	}
}

// TestCancelQuestion: cancelling the job takes the question away.
func TestCancelQuestion(t *testing.T) {
	s := studio(t)
	s.boards = &fakeBoards{key: "SHA256:abc"}
	s.AddBoard(AddBoardForm{Address: "pi@lab"})
	st := until(t, s, "the question", func(st *State) bool { return st.HostKey != nil })
	s.CancelJob(st.Active()[0].ID)
	if st = idle(t, s); st.HostKey != nil || len(st.Notices) != 0 {
		t.Errorf("question %v, notices %v", st.HostKey, st.Notices)
	}
}

// TestDeploy: what was deployed is listed with the bytes that travelled, and a board that does not answer shows why.
func TestDeploy(t *testing.T) {
	s := studio(t)
	f := &fakeBoards{}
	s.boards = f
	d := openSample(t, s)
	s.Deploy(LocalTarget, "")
	st := idle(t, s)
	noErrors(t, st)
	if len(st.Deploys) != 1 || st.Deploys[0].Sent != 17 || st.Deploys[0].SHA256 != d.Model.Hash() || !st.Board(LocalTarget).Connected {
		t.Errorf("deployments %+v, board %+v", st.Deploys, st.Board(LocalTarget))
	}
	f.err = fail.New(fail.Unreachable, "no answer")
	s.Connect(LocalTarget)
	st = idle(t, s)
	if b := st.Board(LocalTarget); b.Connected || b.Busy || b.Err == nil || len(st.Notices) == 0 {
		t.Errorf("board %+v", b)
	}
}

func TestBoardName(t *testing.T) {
	for address, want := range map[string]string{"pi@lab-pi4.local": "lab-pi4", "ssh://u@box:2222": "box", "pi@192.168.1.20": "192.168.1.20", "rock": "rock"} {
		if got := boardName(address); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}
