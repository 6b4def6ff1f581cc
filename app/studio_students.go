package app

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
)

// StudentForm is what a user chooses before small networks learn.
type StudentForm struct {
	Minutes float64 // that each may learn
	Passes  int     // over the data at most; 0: as many as the time allows
	Ms      float64 // longest time of a run; 0: no bound
	Target  string  // whose predicted time counts; "": measured on this computer
	Score   string  // held-out data; "": the sample's own
	Seed    int64
}

// NewStudentForm has times that somebody may wait for.
func NewStudentForm() StudentForm { return StudentForm{Minutes: 1, Seed: 1} }

// Class are small networks that learn from the opened model, or did.
type Class struct {
	Form    StudentForm
	Dir     string
	Running bool
	Ended   bool            // all had their turn; else it goes on when it is asked for again
	Report  *StudentsReport // nil: none is done
	Err     *fail.Error
}

// FindStudents lets small networks learn from the opened model. Those that are done lie in the home folder: a search that was stopped, or a studio that was
// closed, goes on behind them.
func (s *Studio) FindStudents(f StudentForm) {
	d, ok := s.ready(findStudent)
	if !ok {
		return
	}
	if f.Score == "" && d.Sample && d.Trained {
		f.Score = SampleScore
	}
	if f.Target == LocalTarget {
		f.Target = ""
	}
	dir := s.app.classDir(d.Base.Hash(), f.Target)
	q := f.request(d.Data, dir, s.State().Settings.Threads)
	if err := q.check(); err != nil {
		s.fail(err)
		return
	}
	c := Class{Form: f, Dir: dir, Running: true}
	s.job("Find a student", f.Target, func(ctx context.Context, p task.Progress) error {
		if err := s.app.keepAsked(s.app.classDir(d.Base.Hash(), ""), keptClass{f, d.Data}); err != nil {
			return err
		}
		show := func() {
			now := c
			s.editDoc(d.ID, func(_ *State, d *Doc) { d.Class = &now })
		}
		c.Report, _ = s.app.StudentsBefore(d.Base, q)
		show()
		q.Progress, q.Live = p, func(r StudentsReport) {
			if c.Report == nil || len(r.Rows) > len(c.Report.Rows) { // what is there already is not taken out of sight
				c.Report = &r
				show()
			}
		}
		r, err := s.app.StudentsOf(ctx, d.Base, q)
		c.Running = false
		if err != nil {
			c.Err = fail.From(err)
			show()
			return err
		}
		c.Report, c.Ended = r, true
		show()
		return nil
	})
}

// request is the form as the search for students takes it.
func (f StudentForm) request(data, dir string, threads int) StudentsRequest {
	q := StudentsRequest{Data: data, Score: f.Score, Target: f.Target, Minutes: f.Minutes, Passes: f.Passes, Ms: f.Ms, Out: dir, Seed: f.Seed}
	if f.Target != "" {
		q.Threads = max(threads, 1)
	}
	return q
}

// TryStudent puts the recipe of a student into the ledger; undo brings the old one back.
func (s *Studio) TryStudent(name string) {
	const what = "apply a student"
	d, ok := s.ready(what)
	if !ok {
		return
	}
	if d.Class == nil || filepath.Base(name) != name {
		s.fail(fail.New(fail.NotFound, "no student is called %q", name).Doing(what))
		return
	}
	r, err := s.app.ReadRecipe(filepath.Join(d.Class.Dir, name+".toml"))
	if err != nil {
		s.fail(err)
		return
	}
	s.ledger("Apply a student", name, func(*Doc, []Entry) ([]Entry, error) { return entries(r.Steps), nil })
}

// keptClass is what students were looked for with.
type keptClass struct {
	Form StudentForm `json:"form"`
	Data string      `json:"data"`
}

// classDir has the students of a model.
func (a *App) classDir(hash, target string) string { return a.askedDir("students", hash, target) }

// keepAsked writes what a search was asked for into its folder.
func (a *App) keepAsked(dir string, v any) error {
	if err := a.ensureHome(); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail.New(fail.Denied, "%v", err).Doing("keep what was asked for")
	}
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fail.New(fail.Internal, "%v", err).Doing("keep what was asked for")
	}
	return atomicWrite(filepath.Join(dir, askedFile), b)
}

const askedFile = "asked.json"

// readAsked reads what keepAsked wrote; false: there is nothing, or what the search was fitted to is not there, or is other data than data where that is not "".
func readAsked(dir, data string, v any, of func() string) bool {
	b, err := readSmall(filepath.Join(dir, askedFile), 1<<20)
	if err != nil || json.Unmarshal(b, v) != nil || (data != "" && data != of()) {
		return false
	}
	_, err = os.Stat(of())
	return err == nil || of() == SampleCalibrate
}

// classBefore are the students of a model that an earlier session had, nil: none.
func (a *App) classBefore(m *model.Model, data string, threads int) *Class {
	var k keptClass
	if !readAsked(a.classDir(m.Hash(), ""), data, &k, func() string { return k.Data }) {
		return nil
	}
	c := &Class{Form: k.Form, Dir: a.classDir(m.Hash(), k.Form.Target)}
	missing := 0
	if c.Report, missing = a.StudentsBefore(m, k.Form.request(k.Data, c.Dir, threads)); c.Report == nil {
		return nil
	}
	c.Ended = missing == 0
	return c
}
