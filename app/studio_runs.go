package app

import (
	"context"

	"fettle/internal/fail"
	"fettle/internal/task"
)

// Which model a run measures.
const (
	Original  = "original"
	Rewritten = "rewritten"
)

// ProfileForm is what a user chooses before a run; zero numbers are the defaults.
type ProfileForm struct {
	Board    string // LocalTarget for this computer
	Which    string // Original or Rewritten
	Threads  int
	Runs     int // inferences a launch
	Launches int
}

// Profile measures the open model on a board, layer by layer. Samples are shown while they arrive.
func (s *Studio) Profile(f ProfileForm) {
	if _, ok := s.ready("profile"); !ok {
		return
	}
	s.job("Profile", f.Board, func(ctx context.Context, p task.Progress) error {
		return fail.New(fail.Unsupported, "this build cannot profile yet")
	})
}

// CompareRuns puts two runs side by side; a is the older one.
func (s *Studio) CompareRuns(a, b string) {
	s.edit(func(st *State) { st.CompareA, st.CompareB = a, b })
}

// ExportRun writes a run as json, csv, trace or html.
func (s *Studio) ExportRun(id, format, path string) {
	s.job("Export the run", path, func(ctx context.Context, p task.Progress) error {
		return fail.New(fail.Unsupported, "this build cannot export yet")
	})
}

// keptRuns are the runs of a model that the history has.
func (a *App) keptRuns(string) []*Run { return nil }
