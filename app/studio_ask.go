package app

import (
	"context"

	"fettle/internal/fail"
)

// PasswordQuestion asks for a secret: a login's password, or the passphrase of a key file.
type PasswordQuestion struct {
	Board, User, Host string
	File              string // "" for a password
	Again             bool   // the one before was not right
}

// asks are the questions of a login: they appear in the window and wait for the user. password is the one that was typed
// into the form.
func (s *Studio) asks(board, password string) Asks {
	tries := 0
	return Asks{
		HostKey: func(ctx context.Context, q HostKeyQuestion) (bool, error) {
			a, err := s.ask(ctx, func(st *State) { st.HostKey = &q })
			return a.yes, err
		},
		Password: func(ctx context.Context, user, host string) (string, error) {
			tries++
			if tries == 1 && password != "" {
				return password, nil
			}
			if kept := s.secret(ctx, board); tries == 1 && kept != "" {
				return kept, nil
			}
			return s.askSecret(ctx, board, PasswordQuestion{Board: board, User: user, Host: host, Again: tries > 1})
		},
		Passphrase: func(ctx context.Context, file string) (string, error) {
			if kept := s.secret(ctx, file); kept != "" {
				return kept, nil
			}
			return s.askSecret(ctx, file, PasswordQuestion{Board: board, File: file})
		},
	}
}

// reply is the user's answer to the question that is shown.
type reply struct {
	yes  bool
	text string
}

// ask shows a question and waits for the answer. There is one question at a time: a second one waits for its turn.
func (s *Studio) ask(ctx context.Context, show func(*State)) (reply, error) {
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return reply{}, fail.From(ctx.Err())
	}
	answer := make(chan reply, 1)
	s.edit(func(st *State) {
		s.answer = answer
		show(st)
	})
	defer s.edit(func(st *State) {
		if s.answer == answer {
			s.answer, st.HostKey, st.Password = nil, nil, nil
		}
	})
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		return reply{}, fail.From(ctx.Err())
	}
}

func (s *Studio) askSecret(ctx context.Context, key string, q PasswordQuestion) (string, error) {
	a, err := s.ask(ctx, func(st *State) { st.Password = &q })
	if err != nil {
		return "", err
	}
	if !a.yes {
		return "", fail.New(fail.Cancelled, "no password was given")
	}
	s.edit(func(*State) { s.secrets[key] = a.text })
	return a.text, nil
}

// secret is what was typed before for a board or a key file, "" for nothing. Secrets live in memory only.
func (s *Studio) secret(ctx context.Context, key string) string {
	got := make(chan string, 1)
	s.edit(func(*State) { got <- s.secrets[key] })
	select {
	case v := <-got:
		return v
	case <-ctx.Done():
		return ""
	}
}

// AnswerHostKey accepts or refuses the host key that State.HostKey shows.
func (s *Studio) AnswerHostKey(accept bool) { s.reply(reply{yes: accept}) }

// AnswerPassword answers State.Password; ok is false where the user gave up.
func (s *Studio) AnswerPassword(text string, ok bool) { s.reply(reply{yes: ok, text: text}) }

func (s *Studio) reply(r reply) {
	s.edit(func(st *State) {
		st.HostKey, st.Password = nil, nil
		if s.answer != nil {
			s.answer <- r // buffered: one question, one answer
			s.answer = nil
		}
	})
}
