package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"os"
	"path/filepath"
	"strings"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/sample"
	"fettle/score"
)

// samplePrefix marks the path of a built-in network, so that it can be opened again from the recent ones.
const samplePrefix = "sample:"

// Open reads a model and shows it. The document that was open is left as it was saved.
func (s *Studio) Open(path string) {
	if name, ok := strings.CutPrefix(path, samplePrefix); ok {
		s.OpenSample(name)
		return
	}
	s.job("Open a model", filepath.Base(path), func(ctx context.Context, p task.Progress) error {
		p.Report(0, 2, path)
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
		m, err := s.app.Load(ctx, path)
		if err != nil {
			return err
		}
		p.Report(1, 2, path)
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		return s.show(ctx, &Doc{Path: path, Name: name, Base: m, Trained: true})
	})
}

// OpenSample opens a built-in network; "" is the trained one, which comes with pictures to calibrate and score on.
func (s *Studio) OpenSample(name string) {
	if name == "" {
		name = sample.Name
	}
	s.job("Open a sample", name, func(ctx context.Context, p task.Progress) error {
		p.Report(0, 2, name)
		m, err := s.app.Sample(name)
		if err != nil {
			return err
		}
		p.Report(1, 2, name)
		d := &Doc{Path: samplePrefix + name, Name: name, Base: m, Sample: true}
		for _, n := range s.app.Samples() {
			if n.Name == name {
				d.Trained = n.Trained
			}
		}
		if d.Trained {
			d.Data = SampleCalibrate
		}
		return s.show(ctx, d)
	})
}

// show makes a read model the open document.
func (s *Studio) show(ctx context.Context, d *Doc) error {
	info, err := Describe(d.Base)
	if err != nil {
		return fail.In(err, "open "+d.Name, fail.Where{File: d.Path})
	}
	if info.FileBytes, d.SHA256, err = fileOf(d.Base); err != nil {
		return err
	}
	if st, err := os.Stat(d.Path); err == nil && !d.Sample {
		info.FileBytes = st.Size()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	d.BaseInfo, d.Info, d.Model, d.Saved = info, info, d.Base, d.Base.Hash()
	var fitted string
	if d.Hunt, fitted = s.app.huntBefore(d.Base, d.Data, s.State().Settings.Threads); d.Data == "" {
		d.Data = fitted
	}
	d.Class = s.app.classBefore(d.Base, d.Data, s.State().Settings.Threads)
	d.Scores = map[string]*score.Result{}
	first := &Revision{Label: "Opened", Data: d.Data, Result: &Derived{Model: d.Base, Info: info, SHA256: d.SHA256}}
	d.Revisions = []*Revision{first}
	kept := s.app.recent(d.Path)
	d.Goals, d.Kept = kept.Goals, s.app.readKept(d.Base.Hash())
	kept.Path, kept.Name, kept.Bytes = d.Path, d.Name, info.FileBytes
	recent, keepErr := s.app.remember(kept)
	runs, runsErr := s.app.keptRuns(ctx, d)
	s.edit(func(st *State) {
		s.stopApply()
		s.nextID++
		d.ID = s.nextID
		st.Doc, st.Screen = d, s.landing()
		st.Runs, st.Compared, st.CompareA, st.CompareB = runs, nil, "", ""
		st.Selection = Selection{}
		st.Recent = recent
		for _, err := range []error{keepErr, runsErr} { // a full disk must not stop anybody from looking at a model
			if err != nil {
				s.notify(st, err)
			}
		}
	})
	return nil
}

// Save writes the model after the last step.
func (s *Studio) Save(path string) {
	d, ok := s.ready("save the model")
	if !ok {
		return
	}
	s.job("Save the model", filepath.Base(path), func(ctx context.Context, p task.Progress) error {
		if err := s.app.Save(path, d.Model); err != nil {
			return err
		}
		hash, name := d.Model.Hash(), filepath.Base(path)
		s.editDoc(d.ID, func(_ *State, d *Doc) { d.Saved = hash })
		s.say("Saved %s", name)
		return nil
	})
}

// SaveRecipe writes the entries that are on as a recipe file.
func (s *Studio) SaveRecipe(path string) {
	d, ok := s.ready("save the recipe")
	if !ok {
		return
	}
	r := d.Recipe()
	s.job("Save the recipe", filepath.Base(path), func(context.Context, task.Progress) error {
		if err := s.app.WriteRecipe(path, r); err != nil {
			return err
		}
		s.say("Saved %s", filepath.Base(path))
		return nil
	})
}

// LoadRecipe replaces the ledger by a recipe file; undo brings the old one back.
func (s *Studio) LoadRecipe(path string) {
	if _, ok := s.ready("load a recipe"); !ok {
		return
	}
	s.job("Load a recipe", filepath.Base(path), func(context.Context, task.Progress) error {
		r, err := s.app.ReadRecipe(path)
		if err != nil {
			return err
		}
		s.ledger("Load a recipe", filepath.Base(path), func(d *Doc, _ []Entry) ([]Entry, error) {
			if want := "sha256:" + d.Base.Hash(); r.Model != "" && r.Model != want {
				return nil, fail.New(fail.Invalid, "the recipe was made for model %s, this is %s", r.Model, want).Doing("load a recipe").
					Try("take the line model = … out of the recipe to use it on another model")
			}
			return entries(r.Steps), nil
		})
		return nil
	})
}

// SetGoals sets the limits of the goal bar.
func (s *Studio) SetGoals(g Goals) {
	s.edit(func(st *State) {
		if st.Doc == nil {
			return
		}
		d := *st.Doc
		d.Goals = g
		st.Doc = &d
		r := s.app.recent(d.Path)
		r.Path, r.Name, r.Bytes, r.Goals = d.Path, d.Name, d.BaseInfo.FileBytes, g
		s.keepRecent(st, r)
		s.floorsOnGoal(st)
	})
}

// keepRecent writes what is known of a model for the start screen.
func (s *Studio) keepRecent(st *State, r Recent) {
	list, err := s.app.remember(r)
	if err != nil {
		s.notify(st, err)
		return
	}
	st.Recent = list
}

// Score judges the model after the last step on held-out data against the imported model: accuracy where the data has
// labels, agreement otherwise. "" is the sample's own pictures.
func (s *Studio) Score(data string) {
	d, ok := s.ready("measure the accuracy")
	if !ok {
		return
	}
	if data == "" {
		data = SampleScore
	}
	if data == SampleScore && !(d.Sample && d.Trained) {
		s.fail(fail.New(fail.NotFound, "no held-out data was chosen").Doing("measure the accuracy").Try("choose a folder of pictures, with one folder a class where labels are known"))
		return
	}
	s.job("Measure the accuracy", d.Name, func(ctx context.Context, p task.Progress) error {
		r, err := s.app.EvalModel(ctx, d.Model, d.Base, data, "", 0, p)
		if err != nil {
			return err
		}
		hash := d.Model.Hash()
		s.editDoc(d.ID, func(st *State, d *Doc) {
			scores := map[string]*score.Result{hash: r}
			for k, v := range d.Scores {
				if k != hash {
					scores[k] = v
				}
			}
			d.Scores = scores
			rec := s.app.recent(d.Path)
			if r.Score != nil && rec.Path != "" {
				rec.Score = r.Score
				s.keepRecent(st, rec)
			}
		})
		return nil
	})
}

// ready gives the open document where its model can be used: something is open and the ledger is applied.
func (s *Studio) ready(what string) (*Doc, bool) {
	d := s.State().Doc
	switch {
	case d == nil:
		s.fail(fail.New(fail.NotFound, "no model is open").Doing("%s", what).Try("open a model or a sample"))
	case d.Busy:
		s.fail(fail.New(fail.Busy, "the rewrites are still being applied").Doing("%s", what).Try("wait for the job to end, or cancel it"))
	default:
		return d, true
	}
	return nil, false
}

// editDoc changes a copy of the document if it is still the open one.
func (s *Studio) editDoc(id int64, f func(*State, *Doc)) {
	s.edit(func(st *State) {
		if st.Doc == nil || st.Doc.ID != id {
			return
		}
		d := *st.Doc
		f(st, &d)
		st.Doc = &d
	})
}

// fileOf is the size and the SHA-256 of the file that a model makes.
func fileOf(m *model.Model) (int64, string, error) {
	f := fileSum{sum: sha256.New()}
	if m.Source != nil && m.Source.Format == "onnx" {
		_, _ = f.Write(m.Source.Bytes) // never fails
	} else if err := onnx.Write(&f, m); err != nil {
		return 0, "", err
	}
	return f.n, hex.EncodeToString(f.sum.Sum(nil)), nil
}

type fileSum struct {
	n   int64
	sum hash.Hash
}

// Write counts and hashes.
func (f *fileSum) Write(b []byte) (int, error) {
	f.n += int64(len(b))
	return f.sum.Write(b)
}
