package app

import (
	"context"
	"slices"
	"strings"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
)

// AddBoardForm is what a user types to connect a board. The password is used for logging in and never written.
type AddBoardForm struct {
	Name     string
	Address  string // user@host, ssh://user@host:port, or a Host of ~/.ssh/config
	Identity string // key file; "": the agent's keys and the usual files
	Password string
	Jump     string

	InstallKey bool // put a key on the board, so that the password is not needed again
	Measure    bool // measure the built-in sample at once
}

// AddBoard connects a board, asks about an unknown host key, puts the agent there and keeps the board.
func (s *Studio) AddBoard(f AddBoardForm) {
	if f.Name == "" {
		f.Name = boardName(f.Address)
	}
	s.job("Connect a board", f.Name, func(ctx context.Context, p task.Progress) error {
		t := Target{Name: f.Name, Address: f.Address, Jump: f.Jump}
		if f.Identity != "" {
			t.Identity = []string{f.Identity}
		}
		p.Report(0, 0, f.Address)
		begin := time.Now()
		first, err := s.addBoard(ctx, t, f, p)
		if first == nil {
			return err
		}
		facts := first.Facts
		if first.begin.IsZero() {
			first.begin, first.AddNs = begin, time.Since(begin).Nanoseconds()
		}
		s.edit(func(st *State) {
			list := slices.DeleteFunc(slices.Clone(st.Boards), func(b *Board) bool { return b.Name == f.Name })
			st.Boards = append(list, &Board{Name: f.Name, Address: f.Address, Facts: facts, Connected: true, First: first})
			if f.Password != "" && s.secrets[f.Name] == "" { // a corrected one is there already
				s.secrets[f.Name] = f.Password
			}
		})
		if err == nil && first.ProfileNs > 0 {
			s.say("Connected %s: the first profile came after %.0f s", f.Name, float64(first.TotalNs)/1e9)
		} else if err == nil {
			s.say("Connected %s", f.Name)
		}
		return err
	})
}

// addBoard gives nil where the board was not added; it stays added where a later step failed.
func (s *Studio) addBoard(ctx context.Context, t Target, f AddBoardForm, p task.Progress) (*First, error) {
	asks := s.asks(f.Name, f.Password)
	if f.InstallKey || f.Measure {
		return s.boards.AddBoard(ctx, t, FirstOptions{InstallKey: f.InstallKey, Profile: f.Measure, Progress: p}, asks)
	}
	facts, err := s.boards.AddTarget(ctx, t, asks)
	if err != nil {
		return nil, err
	}
	return &First{Facts: facts}, nil
}

// boardName makes a name of an address: pi@lab-pi4.local gives lab-pi4.
func boardName(address string) string {
	host := strings.TrimPrefix(address, "ssh://")
	if _, after, ok := strings.Cut(host, "@"); ok {
		host = after
	}
	host, _, _ = strings.Cut(host, ":")
	if strings.Trim(host, "0123456789.") != "" { // a number address stays whole
		host, _, _ = strings.Cut(host, ".")
	}
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, host)
}

// Connect asks a board what it is and how it is now.
func (s *Studio) Connect(name string) {
	s.boardJob("Ask the board", name, "", func(ctx context.Context, p task.Progress, a Asks) error {
		f, err := s.boards.TargetFacts(ctx, name, a)
		if err != nil {
			return err
		}
		s.editBoard(name, func(b *Board) { b.Facts = f })
		return nil
	})
}

// ForgetBoard takes a board out of the list; removeAgent first takes the agent and its models off the board.
func (s *Studio) ForgetBoard(name string, removeAgent bool) {
	s.boardJob("Forget the board", name, "", func(ctx context.Context, p task.Progress, a Asks) error {
		if err := s.boards.ForgetTarget(ctx, name, removeAgent, a); err != nil {
			return err
		}
		s.edit(func(st *State) {
			if name != LocalTarget {
				st.Boards = slices.DeleteFunc(slices.Clone(st.Boards), func(b *Board) bool { return b.Name == name })
			}
			st.Deploys = slices.DeleteFunc(slices.Clone(st.Deploys), func(d Deployment) bool { return d.Target == name })
			delete(s.secrets, name)
		})
		s.say("Forgot %s", name)
		return nil
	})
}

// Deploy puts the model after the last step on a board under a name.
func (s *Studio) Deploy(board, name string) { s.DeployAs(board, name, DeployForm{}) }

// DeployForm says what a deployment has to show before it counts, and whether it is kept running.
type DeployForm struct {
	Shadow   time.Duration // beside the version before; 0: not
	MinAgree float64       // with the version before, in the shadow run
	Service  bool
}

// DeployAs is Deploy with a trial.
func (s *Studio) DeployAs(board, name string, f DeployForm) {
	d, ok := s.ready("deploy")
	if !ok {
		return
	}
	if name == "" {
		name = BaseName(d.Name + ".onnx")
	}
	s.boardJob("Deploy", board, name, func(ctx context.Context, p task.Progress, a Asks) error {
		got, err := s.boards.Deploy(ctx, DeployRequest{Model: d.Model, Target: board, Name: name, Progress: p, Asks: a, Service: f.Service,
			Health: HealthRule{Shadow: f.Shadow, MinAgree: f.MinAgree}})
		if err != nil {
			return err
		}
		if err := s.listDeployments(ctx, board, a, got); err != nil {
			return err
		}
		s.say("%s is on %s", name, board)
		return nil
	})
}

// Rollback makes the version before the current one current again.
func (s *Studio) Rollback(board, name string) {
	s.boardJob("Roll back", board, name, func(ctx context.Context, p task.Progress, a Asks) error {
		if _, err := s.boards.Rollback(ctx, board, name, a); err != nil {
			return err
		}
		if err := s.listDeployments(ctx, board, a, nil); err != nil {
			return err
		}
		s.say("%s on %s is back at the version before", name, board)
		return nil
	})
}

// RemoveDeployment takes a deployment with all its versions off a board.
func (s *Studio) RemoveDeployment(board, name string) {
	s.boardJob("Remove the deployment", board, name, func(ctx context.Context, p task.Progress, a Asks) error {
		if _, err := s.boards.RemoveDeployment(ctx, board, name, a); err != nil {
			return err
		}
		return s.listDeployments(ctx, board, a, nil)
	})
}

// RefreshDeployments asks a board what is on it.
func (s *Studio) RefreshDeployments(board string) {
	s.boardJob("Ask what is deployed", board, "", func(ctx context.Context, p task.Progress, a Asks) error {
		return s.listDeployments(ctx, board, a, nil)
	})
}

// listDeployments replaces what is known of a board's deployments; sent, if any, is the one that was just deployed and
// knows how many bytes travelled.
func (s *Studio) listDeployments(ctx context.Context, board string, a Asks, sent *Deployment) error {
	list, err := s.boards.Deployments(ctx, board, a)
	if err != nil {
		return err
	}
	for i := range list {
		if sent != nil && list[i].Name == sent.Name {
			list[i].Sent = sent.Sent
		}
	}
	s.edit(func(st *State) {
		keep := slices.DeleteFunc(slices.Clone(st.Deploys), func(d Deployment) bool { return d.Target == board })
		st.Deploys = append(keep, list...)
	})
	return nil
}

// boardJob is a job that talks to a board: the board is shown as busy, then as connected or with the error.
func (s *Studio) boardJob(title, board, detail string, work func(ctx context.Context, p task.Progress, a Asks) error) {
	if detail == "" {
		detail = board
	} else {
		detail += " → " + board
	}
	s.job(title, detail, func(ctx context.Context, p task.Progress) error {
		s.editBoard(board, func(b *Board) { b.Busy = true })
		err := work(ctx, p, s.asks(board, ""))
		s.editBoard(board, func(b *Board) {
			b.Busy = false
			switch {
			case err == nil:
				b.Connected, b.Err = true, nil
			case fail.Is(err, fail.Unreachable) || fail.Is(err, fail.Denied):
				b.Connected, b.Err = false, fail.From(err)
			}
		})
		return err
	})
}

// editBoard changes a copy of a board.
func (s *Studio) editBoard(name string, f func(*Board)) {
	s.edit(func(st *State) {
		i := slices.IndexFunc(st.Boards, func(b *Board) bool { return b.Name == name })
		if i < 0 {
			return
		}
		b := *st.Boards[i]
		f(&b)
		st.Boards = slices.Clone(st.Boards)
		st.Boards[i] = &b
	})
}
