package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/profiler/predict"
	"fettle/remote/board"
)

// Bound is what a board allows the model that Of names: the least times of its layers with the arithmetic, and what can be said of the limits.
type Bound struct {
	Of     string // hash of the model
	Target string // a board that was added, or one that is built in
	Goals  Goals  // that the answers are for
	*GoalVerdict
	Layers []LayerInfo // with their floors
	Told   *fail.Error // why there is nothing else
}

// GoalAnswer is what can be said of one limit.
type GoalAnswer = predict.Answer

// BoundNow is what a board allows the model after the last step; nil: not known.
func (d *Doc) BoundNow() *Bound {
	if d == nil || d.Bound == nil || d.Bound.Of != d.Model.Hash() {
		return nil
	}
	return d.Bound
}

// Answer is what was said of the limit of time, with the limit that holds now; nil: nothing.
func (b *Bound) Answer(limit float64) *GoalAnswer {
	if b == nil || b.GoalVerdict == nil || b.Goals.P99Ns == nil || *b.Goals.P99Ns != limit || len(b.Answers) == 0 {
		return nil
	}
	return &b.Answers[0]
}

// FindFloors says what a board allows the model at the cursor, from the board's facts alone; the board may be a built-in one.
func (s *Studio) FindFloors(name string) {
	d, ok := s.ready("find the floors")
	if !ok {
		return
	}
	if name == "" {
		name = LocalTarget
	}
	st := s.State()
	known := s.knownFacts(st, name)
	work := func(ctx context.Context, p task.Progress, a Asks) error {
		facts, err := known, error(nil)
		if facts == nil {
			facts, err = s.boards.TargetFacts(ctx, name, a)
		}
		if err != nil {
			return err
		}
		m := s.State().Doc // limits may have been typed meanwhile
		if m == nil || m.ID != d.ID {
			return nil
		}
		b, err := s.app.boundOf(ctx, d, m.Goals, name, facts, s.State().LastRun(d.Model.Hash()))
		if err != nil {
			return err
		}
		s.editDoc(d.ID, func(_ *State, d *Doc) { d.Bound = b })
		return nil
	}
	if known != nil { // nothing is asked of a board
		s.job("Find the floors", name, func(ctx context.Context, p task.Progress) error { return work(ctx, p, Asks{}) })
		return
	}
	s.boardJob("Find the floors", name, "", work)
}

// knownFacts are those of a board that was asked, else of one that is built in; nil: not known.
func (s *Studio) knownFacts(st *State, name string) *TargetFacts {
	if b := st.Board(name); b != nil {
		return b.Facts
	}
	if k, _, ok := board.FindKnown(name); ok {
		return &k.Facts
	}
	return nil
}

// boundOf holds a document's goals against a board. run is the last of the model, nil: none.
func (a *App) boundOf(ctx context.Context, d *Doc, g Goals, name string, facts *TargetFacts, run *Run) (*Bound, error) {
	in, err := Describe(d.Model)
	if err != nil {
		return nil, err
	}
	in.FileBytes = d.Info.FileBytes
	in.bound(predict.Board(*facts))
	b := &Bound{Of: d.Model.Hash(), Target: name, Goals: g, Layers: in.Layers}
	var l limits
	measured := 0.0
	if g.P99Ns != nil {
		l.ms = *g.P99Ns / 1e6
	}
	if g.Bytes != nil {
		l.bytes = float64(*g.Bytes)
	}
	if run != nil && run.Target == name {
		if v := cmpOr(run.Profile.Clean.P99Ns, run.Profile.Clean.P50Ns); v != nil {
			measured = *v
		}
	}
	b.GoalVerdict = a.judge(ctx, d.Model, in, name, facts, l, measured, 0)
	return b, nil
}

func cmpOr(list ...*float64) *float64 {
	i := slices.IndexFunc(list, func(v *float64) bool { return v != nil })
	if i < 0 {
		return nil
	}
	return list[i]
}

// floorsOnGoal finds the floors again where a limit of time was set and the board's facts are at hand.
func (s *Studio) floorsOnGoal(st *State) {
	d := st.Doc
	name := LocalTarget
	switch {
	case d.Bound != nil:
		name = d.Bound.Target
	case st.LastRun(d.Model.Hash()) != nil:
		name = st.LastRun(d.Model.Hash()).Target
	}
	facts := s.knownFacts(st, name)
	if facts == nil || d.Goals.P99Ns == nil || d.Busy {
		return
	}
	run := st.LastRun(d.Model.Hash())
	s.begin(st, "Find the floors", name, func(ctx context.Context, p task.Progress) error {
		b, err := s.app.boundOf(ctx, d, d.Goals, name, facts, run)
		if err == nil {
			s.editDoc(d.ID, func(_ *State, d *Doc) { d.Bound = b })
		}
		return err
	})
}

// Tread is what a layer takes with so many channels.
type Tread = predict.Tread

// Stairs are the staircases of the model that Of names, on a board with so many threads.
type Stairs struct {
	Of      string
	Target  string
	Threads int
	List    []Staircase
	Told    *fail.Error // why nothing is foretold
}

// StairsNow are the staircases of the model after the last step; nil: not asked.
func (d *Doc) StairsNow() *Stairs {
	if d == nil || d.Stairs == nil || d.Stairs.Of != d.Model.Hash() {
		return nil
	}
	return d.Stairs
}

// FindStairs foretells the staircases of all convolutions from what was learned of a board's kernels. What was measured on it stays.
func (s *Studio) FindStairs(name string) {
	d, ok := s.ready("draw the staircase")
	if !ok {
		return
	}
	if name == "" {
		name = LocalTarget
	}
	s.job("Foretell the staircases", name, func(ctx context.Context, p task.Progress) error {
		return s.stairs(ctx, d, name, s.State().Settings.Threads)
	})
}

func (s *Studio) stairs(ctx context.Context, d *Doc, name string, threads int) error {
	q := ProfileRequest{Model: d.Model, Name: d.Name, Target: name, Threads: max(threads, 1)}
	list, _, err := s.app.foretellStairs(ctx, &q, "")
	n := &Stairs{Of: d.Model.Hash(), Target: name, Threads: q.Threads, List: list}
	if err != nil {
		if !fail.Is(err, fail.NotFound) {
			return err
		}
		n.Told = fail.From(err)
	}
	s.editDoc(d.ID, func(_ *State, d *Doc) {
		if old := d.Stairs; old != nil && old.Of == n.Of && old.Target == n.Target && old.Threads == n.Threads {
			n.keepMeasured(old)
		}
		d.Stairs = n
	})
	return nil
}

// keepMeasured takes over the treads that were measured before. n is not published yet.
func (n *Stairs) keepMeasured(old *Stairs) {
	for i := range n.List {
		for k := range old.List {
			n.List[i].Keep(&old.List[k])
		}
	}
}

// MeasureStairs measures the treads of one convolution on a board, all in one network.
func (s *Studio) MeasureStairs(name string, node model.NodeID) {
	d, ok := s.ready("measure the staircase")
	if !ok {
		return
	}
	if name == "" {
		name = LocalTarget
	}
	threads := max(s.State().Settings.Threads, 1)
	s.boardJob("Measure the staircase", name, string(node), func(ctx context.Context, p task.Progress, a Asks) error {
		got, err := s.app.Staircases(ctx, ProfileRequest{Model: d.Model, Name: d.Name, Target: name, Threads: threads, Runs: probeRuns, Asks: a, Progress: p, Manner: Wait}, string(node), true)
		if err != nil {
			return err
		}
		if st := s.State().Doc; st == nil || st.ID != d.ID || st.Stairs == nil || st.Stairs.Of != d.Model.Hash() || st.Stairs.Target != name || st.Stairs.Threads != threads {
			if err := s.stairs(ctx, d, name, threads); err != nil {
				return err
			}
		}
		s.editDoc(d.ID, func(_ *State, d *Doc) {
			if d.Stairs == nil || d.Stairs.Target != name || d.Stairs.Threads != threads {
				return
			}
			n := *d.Stairs
			n.List = slices.Clone(n.List)
			for i := range n.List {
				if n.List[i].Node == got[0].Node {
					n.List[i] = got[0]
				}
			}
			d.Stairs = &n
		})
		return nil
	})
}

// learnFor is how long kernels are measured from the window; asking again goes on where it stopped.
const learnFor = time.Minute

// LearnKernels measures a board's kernels, from which times and staircases are foretold, and foretells those of the open model.
func (s *Studio) LearnKernels(name string) { s.learnKernels(name, learnFor) }

func (s *Studio) learnKernels(name string, budget time.Duration) {
	d, ok := s.ready("learn the board's kernels")
	if !ok {
		return
	}
	if name == "" {
		name = LocalTarget
	}
	threads := max(s.State().Settings.Threads, 1)
	s.boardJob("Learn the board's kernels", name, "", func(ctx context.Context, p task.Progress, a Asks) error {
		l, err := s.app.Learn(ctx, LearnRequest{ProfileRequest: ProfileRequest{Target: name, Threads: threads, Asks: a, Progress: p, Manner: Wait}, Budget: budget,
			Also: []*model.Model{d.Model}, Names: []string{d.Name}})
		if err != nil {
			return err
		}
		s.say("Learned %d rows of kernels on %s", l.Rows, name)
		return s.stairs(ctx, d, name, threads)
	})
}

// Audited is what a board computed of the model that Of names.
type Audited struct {
	Of string
	*Audit
}

// AuditNow is the audit of the model after the last step; nil: none.
func (d *Doc) AuditNow() *Audited {
	if d == nil || d.Audited == nil || d.Audited.Of != d.Model.Hash() {
		return nil
	}
	return d.Audited
}

// auditInputs is how many inputs an audit from the window runs.
const auditInputs = 3

// AuditBoard compares every value that leaves a step on a board with what this computer makes of it, on a few of the calibration pictures or, without
// any, on random inputs.
func (s *Studio) AuditBoard(name string) {
	d, ok := s.ready("audit")
	if !ok {
		return
	}
	if name == "" {
		name = LocalTarget
	}
	data := d.Data
	if strings.HasPrefix(data, "sample:") {
		data = ""
	}
	threads := s.State().Settings.Threads
	s.boardJob("Audit the board", name, fmt.Sprint(d.Name), func(ctx context.Context, p task.Progress, a Asks) error {
		got, err := s.app.Audit(ctx, AuditRequest{Model: d.Model, Name: d.Name, Target: name, Data: data, Inputs: auditInputs, Threads: threads, Asks: a, Progress: p, Manner: Wait})
		if err == nil {
			s.editDoc(d.ID, func(_ *State, d2 *Doc) { d2.Audited = &Audited{Of: d.Model.Hash(), Audit: got} })
		}
		return err
	})
}
