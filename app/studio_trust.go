package app

import (
	"context"

	"fettle/internal/task"
)

// FixBoard mends one thing on a board that spoils measurements: deploy.Fixes. What was changed is written down, and shown with what undoes it.
func (s *Studio) FixBoard(board, fix string) {
	s.boardJob("Mend the board", board, fix, func(ctx context.Context, p task.Progress, a Asks) error {
		r, err := s.boards.FixTarget(ctx, board, fix, p, a)
		s.showFixes(board)
		if err != nil {
			return err
		}
		f, err := s.boards.TargetFacts(ctx, board, a)
		if err != nil {
			return err
		}
		s.editBoard(board, func(b *Board) { b.Facts = f })
		s.say("%s on %s: %s", r.Fix, board, r.After)
		return nil
	})
}

// showFixes reads the log of a board.
func (s *Studio) showFixes(board string) {
	log, err := s.boards.FixLog(board)
	if err == nil {
		s.editBoard(board, func(b *Board) { b.Fixes = log })
	}
}

// MeasureBoard asks a board what it is and how fast its memory and storage are.
func (s *Studio) MeasureBoard(board string) {
	s.boardJob("Measure memory and storage", board, "", func(ctx context.Context, p task.Progress, a Asks) error {
		f, err := s.boards.TargetFactsAndSpeed(ctx, board, a)
		if err == nil {
			s.editBoard(board, func(b *Board) { b.Facts = f })
		}
		return err
	})
}

// AskAccess asks a board who measures on it, whose deployments it takes and what it keeps running.
func (s *Studio) AskAccess(board string) {
	s.boardJob("Ask who uses the board", board, "", func(ctx context.Context, p task.Progress, a Asks) error {
		return s.access(ctx, board, a)
	})
}

func (s *Studio) access(ctx context.Context, board string, a Asks) error {
	l, err := s.boards.Lease(ctx, board, a)
	if err != nil {
		return err
	}
	keys, err := s.boards.Trust(ctx, board, "", false, a)
	if err != nil {
		return err
	}
	services, err := s.boards.Services(ctx, board, a)
	if err != nil {
		return err
	}
	own, err := s.boards.SigningKey()
	if err != nil {
		return err
	}
	s.editBoard(board, func(b *Board) {
		b.Access = &Access{Lease: *l, Keys: keys, Own: own, Services: services}
	})
	s.showFixes(board)
	return nil
}

// RequestBoard lets whoever measures on a board know that somebody waits.
func (s *Studio) RequestBoard(board string) {
	s.boardJob("Ask for the board", board, "", func(ctx context.Context, p task.Progress, a Asks) error {
		if err := s.boards.RequestLease(ctx, board, a); err != nil {
			return err
		}
		return s.access(ctx, board, a)
	})
}

// TakeBoard takes a board from whoever measures on it: that measurement ends without a result.
func (s *Studio) TakeBoard(board string) {
	s.boardJob("Take the board", board, "", func(ctx context.Context, p task.Progress, a Asks) error {
		if err := s.boards.TakeLease(ctx, board, a); err != nil {
			return err
		}
		return s.access(ctx, board, a)
	})
}

// noisePairs is how often the sample is measured against itself: as a quick comparison.
const noisePairs = 8

// MeasureNoise compares the built-in sample with itself on a board: smaller differences mean nothing there.
func (s *Studio) MeasureNoise(board string) {
	s.boardJob("Measure the noise", board, "", func(ctx context.Context, p task.Progress, a Asks) error {
		m, err := s.app.Sample("")
		if err != nil {
			return err
		}
		n, err := s.boards.MeasureNoise(ctx, ProfileRequest{Model: m, Name: "sample", Target: board, Threads: 1, Runs: 100, Launches: noisePairs, Asks: a, Progress: p, Manner: Wait})
		if err == nil {
			s.editBoard(board, func(b *Board) { b.Noise = n })
		}
		return err
	})
}

// TrustKey has a board take deployments of another signing key, or with drop no longer.
func (s *Studio) TrustKey(board, key string, drop bool) {
	s.boardJob("Change whose deployments the board takes", board, "", func(ctx context.Context, p task.Progress, a Asks) error {
		if _, err := s.boards.Trust(ctx, board, key, drop, a); err != nil {
			return err
		}
		return s.access(ctx, board, a)
	})
}

// KeepRunning starts the service of a deployment, or ends it.
func (s *Studio) KeepRunning(board, name string, on bool) {
	s.boardJob("Keep it running", board, name, func(ctx context.Context, p task.Progress, a Asks) error {
		var err error
		if on {
			_, _, err = s.boards.StartService(ctx, board, name, a)
		} else {
			err = s.boards.StopService(ctx, board, name, a)
		}
		if err != nil {
			return err
		}
		return s.access(ctx, board, a)
	})
}
