package app

import (
	"context"
	"slices"

	"fettle/internal/fail"
	"fettle/internal/task"
)

// AddBoardForm is what a user types to connect a board. The password is used once and never kept.
type AddBoardForm struct {
	Name     string
	Address  string // user@host, ssh://user@host:port, or a Host of ~/.ssh/config
	Identity string // key file; "": the agent's keys and the usual files
	Password string
	Jump     string
}

// AddBoard connects a board, asks about an unknown host key, installs the agent and keeps the board.
func (s *Studio) AddBoard(f AddBoardForm) {
	s.job("Connect a board", f.Name, func(ctx context.Context, p task.Progress) error {
		return notThere("connect a board")
	})
}

// AnswerHostKey accepts or refuses the host key that State.HostKey shows.
func (s *Studio) AnswerHostKey(accept bool) {
	s.edit(func(st *State) {
		st.HostKey = nil
		if s.answer != nil {
			s.answer <- accept // buffered: one question, one answer
			s.answer = nil
		}
	})
}

// askHostKey shows a host key and waits for the user.
func (s *Studio) askHostKey(ctx context.Context, q HostKeyQuestion) (bool, error) {
	answer := make(chan bool, 1)
	s.edit(func(st *State) {
		if s.answer != nil {
			answer <- false // one question at a time: a second board tries again
			return
		}
		s.answer, st.HostKey = answer, &q
	})
	select {
	case yes := <-answer:
		return yes, nil
	case <-ctx.Done():
		s.edit(func(st *State) {
			if s.answer == answer {
				s.answer, st.HostKey = nil, nil
			}
		})
		return false, fail.From(ctx.Err())
	}
}

// Connect asks a board what it is and how it is now.
func (s *Studio) Connect(name string) {
	s.job("Ask the board", name, func(ctx context.Context, p task.Progress) error {
		return notThere("ask the board")
	})
}

// ForgetBoard takes a board out of the list; removeAgent also removes the agent and its models from the board.
func (s *Studio) ForgetBoard(name string, removeAgent bool) {
	s.job("Forget the board", name, func(ctx context.Context, p task.Progress) error {
		return notThere("forget the board")
	})
}

// Deploy puts the model after the last step on a board under a name.
func (s *Studio) Deploy(board, name string) {
	s.job("Deploy", name, func(ctx context.Context, p task.Progress) error { return notThere("deploy") })
}

// Rollback makes the version before the current one current again.
func (s *Studio) Rollback(board, name string) {
	s.job("Roll back", name, func(ctx context.Context, p task.Progress) error { return notThere("roll back") })
}

// RefreshDeployments asks a board what is on it.
func (s *Studio) RefreshDeployments(board string) {
	s.job("Ask what is deployed", board, func(ctx context.Context, p task.Progress) error { return notThere("list deployments") })
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

func notThere(what string) error {
	return fail.New(fail.Unsupported, "this build has no boards yet").Doing("%s", what)
}
