package app

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"fettle/history"
	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/profiler"
)

// Which model a run measures.
const (
	Original  = "original"
	Rewritten = "rewritten"
)

// defaultLaunches is how often a run from the window starts the program: the unit of replication.
const defaultLaunches = 3

// defaultRuns is how many inferences a launch has: enough for a p99 of a small network, and less than half a minute of a
// large one on a slow processor.
func defaultRuns(macs int64) int { return int(min(max(16e9/max(macs, 1), 40), 400)) }

// ProfileForm is what a user chooses before a run; zero numbers are the defaults.
type ProfileForm struct {
	Board    string // LocalTarget for this computer
	Which    string // Original or Rewritten
	Threads  int
	Runs     int // inferences a launch
	Launches int
	Count    bool // cycles, misses and energy by layer, where the board has the means
	Take     bool // the board from whoever measures on it; otherwise the run waits
}

// Profile measures the open model on a board, layer by layer. Samples are shown while they arrive.
func (s *Studio) Profile(f ProfileForm) {
	d, ok := s.ready("profile")
	if !ok {
		return
	}
	if f.Threads == 0 {
		f.Threads = s.State().Settings.Threads
	}
	if f.Board == "" {
		f.Board = LocalTarget
	}
	q := ProfileRequest{Model: d.Model, Name: d.Name, Target: f.Board, Threads: f.Threads, Runs: f.Runs, Launches: f.Launches, Again: Again, Count: f.Count}
	if q.Runs == 0 {
		q.Runs = defaultRuns(d.BaseInfo.MACs)
	}
	if q.Launches == 0 {
		q.Launches = defaultLaunches
	}
	run := Run{Target: f.Board, Hash: d.Model.Hash(), SHA256: d.SHA256, Which: f.Which, Label: runLabel(d), Partial: true, Started: time.Now()}
	if f.Which == Original {
		q.Model, run.Hash, run.SHA256, run.Label = d.Base, d.Base.Hash(), d.Revisions[0].Result.SHA256, Original
	}
	s.boardJob("Profile", f.Board, run.Label, func(ctx context.Context, p task.Progress, a Asks) error {
		run.ID = fmt.Sprintf("live-%d", run.Started.UnixNano())
		s.putRun(d.ID, run.ID, run)
		q.Asks, q.Progress = a, p
		q.Manner = Wait // the job says for whom, and can be stopped
		if f.Take {
			q.Manner = Take
		}
		q.Waiting = func(who string) { s.say("%s waits for %s", who, f.Board) }
		var live liveRun
		q.Live = func(l LiveSample) {
			if live.add(l) {
				c := run
				c.Live, c.Launch = slices.Clone(live.ns), l.Launch
				s.putRun(d.ID, run.ID, c)
			}
		}
		begin := time.Now()
		got, err := s.boards.Profile(ctx, q)
		if err == nil {
			s.editBoard(f.Board, func(b *Board) { b.First = b.First.profiled(time.Since(begin), got) })
		}
		if err != nil {
			s.dropRun(d.ID, run.ID)
			return err
		}
		done := run
		done.Profile, done.Partial, done.Live = got, false, nil
		if got.ID != "" {
			done.ID = got.ID
		}
		s.putRun(d.ID, run.ID, done)
		s.edit(func(st *State) { s.measured(st, d, &done) })
		return nil
	})
}

// runLabel says what of the document ran.
func runLabel(d *Doc) string {
	for i := len(d.Steps) - 1; i >= 0; i-- {
		if d.Steps[i].Enabled && d.Steps[i].Model != nil {
			return d.Steps[i].Pass
		}
	}
	return Original
}

// liveRun keeps the clean samples of a run under way and says when it is time to show them: a redraw costs time that
// the measurement on the same computer must not lose.
type liveRun struct {
	ns   []float64
	last time.Time
}

const liveEvery = 200 * time.Millisecond

func (l *liveRun) add(s LiveSample) bool {
	if s.Kind != "clean" {
		return false
	}
	l.ns = append(l.ns, float64(s.TotalNs))
	if t := time.Now(); t.Sub(l.last) > liveEvery {
		l.last = t
		return true
	}
	return false
}

// putRun adds a run to the open document, or replaces the one with this id.
func (s *Studio) putRun(doc int64, id string, r Run) {
	s.edit(func(st *State) {
		if st.Doc == nil || st.Doc.ID != doc {
			return
		}
		runs := slices.Clone(st.Runs)
		if i := slices.IndexFunc(runs, func(x *Run) bool { return x.ID == id }); i >= 0 {
			runs[i] = &r
		} else {
			runs = append(runs, &r)
		}
		st.Runs = runs
	})
}

func (s *Studio) dropRun(doc int64, id string) {
	s.edit(func(st *State) {
		if st.Doc != nil && st.Doc.ID == doc {
			st.Runs = slices.DeleteFunc(slices.Clone(st.Runs), func(r *Run) bool { return r.ID == id })
		}
	})
}

// measured keeps what the start screen shows of a run, and sets the first two runs side by side.
func (s *Studio) measured(st *State, d *Doc, r *Run) {
	c := s.app.recent(d.Path)
	c.Name, c.Bytes = d.Name, d.BaseInfo.FileBytes
	if st.Doc != nil && st.Doc.ID == d.ID {
		c.Bytes, c.Goals = st.Doc.Info.FileBytes, st.Doc.Goals
	}
	c.Target, c.P50Ns, c.Seal, c.Step = r.Target, r.Profile.Clean.P50Ns, r.Profile.Conditions.Seal, r.Label
	if r.Profile.Clean.P50Ns != nil {
		c.Past = append(slices.Clone(c.Past), *r.Profile.Clean.P50Ns)
		if n := len(c.Past); n > pastLimit {
			c.Past = c.Past[n-pastLimit:]
		}
	}
	s.keepRecent(st, c)
	if st.Doc == nil || st.Doc.ID != d.ID {
		return
	}
	var complete []*Run
	for _, x := range st.Runs {
		if x.Profile != nil && !x.Partial {
			complete = append(complete, x)
		}
	}
	if n := len(complete); n >= 2 && st.Compared == nil {
		s.compare(st, complete[n-2].ID, complete[n-1].ID)
	}
}

const pastLimit = 12

// CompareRuns puts two runs side by side: b against a.
func (s *Studio) CompareRuns(a, b string) {
	s.edit(func(st *State) {
		if err := s.compare(st, a, b); err != nil {
			s.notify(st, err)
		}
	})
}

func (s *Studio) compare(st *State, a, b string) error {
	x, y := st.Run(a), st.Run(b)
	st.CompareA, st.CompareB, st.Compared = a, b, nil
	if x == nil || y == nil || x.Profile == nil || y.Profile == nil {
		return fail.New(fail.NotFound, "a run is not there or not complete").Doing("compare runs").Try("choose two complete runs")
	}
	c, err := profiler.Compare(x.Profile, y.Profile)
	if err != nil {
		return fail.In(err, "compare runs", fail.Where{})
	}
	st.Compared = &Comparison{A: x, B: y, Result: c}
	return nil
}

// ExportRun writes a run: as "trace", the raw samples, or in one of ExportFormats in the language of the window.
func (s *Studio) ExportRun(id, format, path string) {
	st := s.State()
	r := st.Run(id)
	s.job("Export the run", filepath.Base(path), func(ctx context.Context, p task.Progress) error {
		if r == nil || r.Profile == nil {
			return fail.New(fail.NotFound, "the run is not there or not complete").Doing("export the run").Try("choose a complete run")
		}
		var err error
		switch format {
		case "json":
			err = s.app.WriteProfile(path, r.Profile)
		case "trace":
			var h *history.Store
			if h, err = s.app.history(); err == nil {
				var b []byte
				if b, err = h.Trace(ctx, id); err == nil {
					err = exportFile(path, b)
				}
			}
		default:
			err = s.app.ExportProfile(r.Profile, format, st.Settings.Language, path)
		}
		if err == nil {
			s.say("Saved %s", filepath.Base(path))
		}
		return fail.In(err, "export the run", fail.Where{File: path})
	})
}

// ExportCompared writes the comparison that is shown, in one of ExportFormats.
func (s *Studio) ExportCompared(format, path string) {
	st := s.State()
	s.job("Export the comparison", filepath.Base(path), func(ctx context.Context, p task.Progress) error {
		if st.Compared == nil {
			return fail.New(fail.NotFound, "no two runs are compared").Doing("export the comparison").Try("choose two complete runs")
		}
		err := s.app.ExportComparison(st.Compared.Result, format, st.Settings.Language, path)
		if err == nil {
			s.say("Saved %s", filepath.Base(path))
		}
		return err
	})
}

// ExportRoofline writes the layers of a run under the roof of its target, in the language of the window.
func (s *Studio) ExportRoofline(id, format, path string) {
	st := s.State()
	r := st.Run(id)
	s.job("Export the roofline", filepath.Base(path), func(context.Context, task.Progress) error {
		if r == nil || r.Profile == nil {
			return fail.New(fail.NotFound, "the run is not there or not complete").Doing("export the roofline").Try("choose a complete run")
		}
		err := s.app.ExportRoofline(r.Profile, format, st.Settings.Language, path)
		if err == nil {
			s.say("Saved %s", filepath.Base(path))
		}
		return err
	})
}

// ExportStairs writes the staircases that are shown: of one layer by its label, or "" for all.
func (s *Studio) ExportStairs(layer, format, path string) {
	st := s.State()
	n := st.Doc.StairsNow()
	s.job("Export the staircase", filepath.Base(path), func(context.Context, task.Progress) error {
		if n == nil {
			return fail.New(fail.NotFound, "no staircase is shown").Doing("export the staircase").Try("choose a board in Profile and look at its staircases first")
		}
		list := slices.DeleteFunc(slices.Clone(n.List), func(x Staircase) bool { return layer != "" && x.Label != layer })
		err := s.app.ExportStaircases(list, n.Target, format, st.Settings.Language, path)
		if err == nil {
			s.say("Saved %s", filepath.Base(path))
		}
		return err
	})
}

// keptRunsLimit is how many earlier runs of a model are shown with it.
const keptRunsLimit = 30

// keptRuns are the runs of a model that the history has, oldest first. A damaged one is left out and reported.
func (a *App) keptRuns(ctx context.Context, d *Doc) ([]*Run, error) {
	h, err := a.history()
	if err != nil {
		return nil, err
	}
	heads, err := h.List(ctx, history.Filter{Model: d.Name, Limit: keptRunsLimit})
	var out []*Run
	for _, head := range slices.Backward(heads) {
		if head.Damaged != nil {
			err = head.Damaged
			continue
		}
		p, getErr := h.Get(ctx, head.ID)
		if getErr != nil {
			err = getErr
			continue
		}
		r := &Run{ID: head.ID, Label: Rewritten, Which: Rewritten, Target: head.Target, SHA256: head.ModelSHA, Profile: p, Started: time.Unix(head.TakenUnix, 0)}
		if head.ModelSHA == d.SHA256 {
			r.Label, r.Which, r.Hash = Original, Original, d.Base.Hash()
		}
		out = append(out, r)
	}
	return out, err
}
