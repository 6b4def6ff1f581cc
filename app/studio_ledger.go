package app

import (
	"context"
	"maps"
	"slices"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/optimizer"
)

// revisionLimit is how many states of the ledger can be undone; each keeps its models, which share unchanged weights.
const revisionLimit = 200

// AddStep adds a pass at the end of the ledger.
func (s *Studio) AddStep(pass string, options map[string]any) {
	s.ledger("Add", pass, func(_ *Doc, l []Entry) ([]Entry, error) {
		return append(l, Entry{optimizer.RecipeStep{Pass: pass, Options: options}, true}), nil
	})
}

// SetOptions replaces the options of entry i by those that differ from the defaults.
func (s *Studio) SetOptions(i int, options map[string]any) {
	s.ledger("Change options", s.passAt(i), func(_ *Doc, l []Entry) ([]Entry, error) {
		if err := within(i, l); err != nil {
			return nil, err
		}
		l[i].Options = maps.Clone(options)
		return l, nil
	})
}

// SetEnabled switches entry i on or off; it stays in the ledger.
func (s *Studio) SetEnabled(i int, on bool) {
	label := "Switch off"
	if on {
		label = "Switch on"
	}
	s.ledger(label, s.passAt(i), func(_ *Doc, l []Entry) ([]Entry, error) {
		if err := within(i, l); err != nil {
			return nil, err
		}
		l[i].On = on
		return l, nil
	})
}

// RemoveStep takes entry i out of the ledger.
func (s *Studio) RemoveStep(i int) {
	s.ledger("Remove", s.passAt(i), func(_ *Doc, l []Entry) ([]Entry, error) {
		if err := within(i, l); err != nil {
			return nil, err
		}
		return slices.Delete(l, i, i+1), nil
	})
}

// MoveStep moves entry i by delta places.
func (s *Studio) MoveStep(i, delta int) {
	s.ledger("Move", s.passAt(i), func(_ *Doc, l []Entry) ([]Entry, error) {
		j := i + delta
		if err := within(i, l); err != nil {
			return nil, err
		}
		if j < 0 || j >= len(l) {
			return nil, fail.New(fail.Usage, "the entry is at the end of the ledger already").Doing("move a rewrite")
		}
		e := l[i]
		l = slices.Delete(l, i, i+1)
		return slices.Insert(l, j, e), nil
	})
}

// ApplyStandard puts the passes of the built-in recipe that the ledger lacks in front of it.
func (s *Studio) ApplyStandard() {
	s.ledger("Apply the standard rewrites", "", func(_ *Doc, l []Entry) ([]Entry, error) {
		have := map[string]bool{}
		for _, e := range l {
			have[e.Pass] = have[e.Pass] || e.On
		}
		var add []optimizer.RecipeStep
		for _, st := range s.app.StandardRecipe().Steps {
			if !have[st.Pass] {
				add = append(add, st)
			}
		}
		if len(add) == 0 {
			return nil, fail.New(fail.Usage, "all standard rewrites are in the ledger already").Doing("apply the standard rewrites")
		}
		return append(entries(add), l...), nil
	})
}

// SetData chooses the calibration data of passes that need some: a folder, SampleCalibrate, or "" for none.
func (s *Studio) SetData(dir string) {
	s.edit(func(st *State) {
		if st.Doc == nil || st.Doc.Data == dir {
			return
		}
		d := *st.Doc
		d.Data = dir
		st.Doc = &d
		for _, e := range d.Ledger() {
			if e.On && s.needsData(e.Pass) {
				s.newRevision(st, &Revision{Label: "Choose calibration data", Entries: d.Ledger(), Data: dir})
				return
			}
		}
	})
}

// Undo goes back one state of the ledger.
func (s *Studio) Undo() { s.move(-1) }

// Redo takes an undo back.
func (s *Studio) Redo() { s.move(1) }

// GoTo goes to a state of the ledger.
func (s *Studio) GoTo(version int) {
	s.edit(func(st *State) { s.goTo(st, version) })
}

func (s *Studio) move(by int) {
	s.edit(func(st *State) {
		if st.Doc != nil {
			s.goTo(st, st.Doc.Cursor+by)
		}
	})
}

func (s *Studio) goTo(st *State, version int) {
	if st.Doc == nil || version < 0 || version >= len(st.Doc.Revisions) || version == st.Doc.Cursor {
		return
	}
	s.stopApply()
	d := *st.Doc
	d.Cursor = version
	d.Data = d.Revisions[version].Data
	st.Doc = &d
	s.settle(st)
}

// ledger makes a new state of the ledger from a copy of the one at the cursor.
func (s *Studio) ledger(label, subject string, change func(d *Doc, l []Entry) ([]Entry, error)) {
	s.edit(func(st *State) {
		if st.Doc == nil {
			s.notify(st, fail.New(fail.NotFound, "no model is open").Doing("change the rewrites").Try("open a model or a sample"))
			return
		}
		l, err := change(st.Doc, slices.Clone(st.Doc.Ledger()))
		if err != nil {
			s.notify(st, err)
			return
		}
		s.newRevision(st, &Revision{Label: label, Subject: subject, Entries: l, Data: st.Doc.Data})
	})
}

// newRevision puts v behind the cursor, which drops what was undone, and applies it.
func (s *Studio) newRevision(st *State, v *Revision) {
	s.stopApply()
	d := *st.Doc
	d.Revisions = append(slices.Clone(d.Revisions[:d.Cursor+1]), v)
	if n := len(d.Revisions); n > revisionLimit {
		d.Revisions = append(d.Revisions[:1:1], d.Revisions[n-revisionLimit+1:]...) // the opened model stays reachable
	}
	d.Cursor = len(d.Revisions) - 1
	st.Doc = &d
	s.settle(st)
}

// settle shows what the version at the cursor made, and starts the job that makes it where it is not known.
func (s *Studio) settle(st *State) {
	d := *st.Doc
	st.Doc = &d
	v := d.Revisions[d.Cursor]
	if v.Result != nil {
		d.Busy = false
		d.take(v.Result)
		return
	}
	d.Busy = true
	d.Steps = s.pending(v)
	s.applyJob = s.begin(st, "Apply rewrites", v.Subject, func(ctx context.Context, p task.Progress) error {
		r, err := s.derive(ctx, &d, v, p)
		s.editDoc(d.ID, func(st *State, d *Doc) { s.derived(st, d, v, r, err) })
		return err
	})
}

// pending is the ledger before its steps ran.
func (s *Studio) pending(v *Revision) []StepResult {
	out := make([]StepResult, len(v.Entries))
	for i, e := range v.Entries {
		p := s.pass(e.Pass)
		out[i] = StepResult{Pass: e.Pass, Title: p.Title, Promise: p.Promise, Exactness: p.Exactness, Enabled: e.On, Options: e.Options}
	}
	return out
}

// derive runs a version's recipe on the imported model. A step that fails keeps the model of the step before: the
// ledger then shows where it stopped and why.
func (s *Studio) derive(ctx context.Context, d *Doc, v *Revision, p task.Progress) (*Derived, error) {
	r := v.Recipe()
	out, err := s.app.Optimize(ctx, d.Base, &r, OptimizeOptions{Data: v.Data, Progress: p})
	if fail.Is(err, fail.Cancelled) {
		return nil, err
	}
	res := &Derived{Steps: s.pending(v), Model: d.Base}
	var ran []optimizer.Step
	if out != nil {
		ran = out.Steps
	}
	size, sizeErr := optimizer.Measure(d.Base)
	if sizeErr != nil {
		return nil, sizeErr
	}
	next := 0
	for i := range res.Steps {
		st := &res.Steps[i]
		st.Before, st.After = size, size
		if !st.Enabled {
			continue
		}
		if next == len(ran) {
			if err != nil && next <= len(ran) {
				st.Err = fail.From(err)
			}
			next++
			continue
		}
		if next > len(ran) {
			continue
		}
		o := ran[next]
		next++
		if size, sizeErr = optimizer.Measure(o.Model); sizeErr != nil {
			return nil, sizeErr
		}
		st.Findings, st.Proof, st.Model, st.After = o.Findings, o.Proof, o.Model, size
		res.Model = o.Model
	}
	if err == nil && out.Model != nil {
		res.Model = out.Model
	}
	info, infoErr := Describe(res.Model)
	if infoErr != nil {
		return nil, infoErr
	}
	if info.FileBytes, res.SHA256, infoErr = fileOf(res.Model); infoErr != nil {
		return nil, infoErr
	}
	res.Info = info
	return res, err
}

// derived takes the result of a version, if that is still wanted. A cancelled one goes back to the last state that is
// known; redo would try it again.
func (s *Studio) derived(_ *State, d *Doc, v *Revision, r *Derived, err error) {
	at := slices.Index(d.Revisions, v)
	if at < 0 {
		return
	}
	if r == nil {
		if at != d.Cursor {
			return
		}
		for d.Cursor > 0 && d.Revisions[d.Cursor].Result == nil {
			d.Cursor--
		}
		if !fail.Is(err, fail.Cancelled) {
			d.Revisions = slices.Clone(d.Revisions[:d.Cursor+1]) // a failure would only repeat
		}
	} else {
		c := *v
		c.Result = r
		d.Revisions = slices.Clone(d.Revisions)
		d.Revisions[at] = &c
		if at != d.Cursor {
			return
		}
	}
	now := d.Revisions[d.Cursor]
	d.Busy, d.Data = false, now.Data
	d.take(now.Result)
}

// take shows what a revision made.
func (d *Doc) take(r *Derived) {
	d.Steps, d.Model, d.Info, d.SHA256 = r.Steps, r.Model, r.Info, r.SHA256
}

// stopApply cancels the job that computes a version nobody waits for.
func (s *Studio) stopApply() {
	if c := s.cancel[s.applyJob]; c != nil {
		c()
	}
	s.applyJob = 0
}

func (s *Studio) passAt(i int) string {
	if d := s.State().Doc; d != nil && i >= 0 && i < len(d.Ledger()) {
		return d.Ledger()[i].Pass
	}
	return ""
}

// pass describes a pass by name; an unknown one has its name for a title and fails when it is run.
func (s *Studio) pass(name string) PassInfo {
	for _, p := range s.passes {
		if p.Name == name {
			return p
		}
	}
	return PassInfo{Name: name, Title: name}
}

// Passes lists what can be added to the ledger.
func (s *Studio) Passes() []PassInfo { return s.passes }

func (s *Studio) needsData(pass string) bool { return s.pass(pass).NeedsData }

func entries(steps []optimizer.RecipeStep) []Entry {
	var out []Entry
	for _, st := range steps {
		out = append(out, Entry{st, true})
	}
	return out
}

func within(i int, l []Entry) error {
	if i < 0 || i >= len(l) {
		return fail.New(fail.NotFound, "the ledger has no entry %d", i+1).Doing("change the rewrites")
	}
	return nil
}
