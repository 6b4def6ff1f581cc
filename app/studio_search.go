package app

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/optimizer/search"
)

// HuntForm is what a user chooses before a search; a limit of 0 is none, a drop below 0 likewise.
type HuntForm struct {
	P50Ms, P99Ms, MB float64
	MACs             float64 // share that stays
	Drop             float64 // points
	Optimizer        string  // of Optimizers
	Rollouts         int
	Minutes          float64
	Distil           float64 // minutes for each recipe
	Seed             int64
	Score            string // held-out data; "": the sample's own
}

// NewHuntForm has no limits and a budget that somebody may wait for.
func NewHuntForm() HuntForm {
	return HuntForm{Drop: -1, Optimizer: "exact", Rollouts: 24, Minutes: 10, Seed: 1}
}

// Optimizers are the ways to search, the exact one first.
func Optimizers() []string { return append([]string{"exact"}, search.Samplers()...) }

// Hunt is a search with what it found so far.
type Hunt struct {
	Form    HuntForm
	Dir     string
	Began   time.Time
	Running bool
	Result  *SearchResult     // nil: nothing was tried yet
	Recipes map[string]string // text of the recipe of each experiment
	Err     *fail.Error
}

// Goal writes the limits as the command line does.
func (f HuntForm) Goal() string {
	var l []string
	add := func(key string, v float64, unit string) {
		if v > 0 {
			l = append(l, fmt.Sprintf("%s<=%g%s", key, v, unit))
		}
	}
	add("ms", f.P50Ms, "")
	add("p99", f.P99Ms, "")
	add("size", f.MB, "MB")
	add("macs", f.MACs, "")
	if f.Drop >= 0 {
		l = append(l, fmt.Sprintf("drop<=%g", f.Drop))
	}
	return strings.Join(l, ",")
}

// Hunt searches for recipes that hold limits. What was tried lies in the home folder: a search that was stopped, or a program that was
// killed, goes on there.
func (s *Studio) Hunt(f HuntForm) {
	d, ok := s.ready("search")
	if !ok {
		return
	}
	if f.Score == "" && d.Sample && d.Trained {
		f.Score = SampleScore
	}
	why := ""
	switch {
	case f.Goal() == "":
		why = "no limit was given"
	case d.Data == "":
		why = "no calibration data was chosen"
	case f.Score == "":
		why = "no held-out data was chosen"
	}
	if why != "" {
		s.fail(fail.New(fail.Usage, "%s", why).Doing("search").Try("give at least one limit, a folder of typical inputs, and one of held-out inputs"))
		return
	}
	h := Hunt{Form: f, Dir: filepath.Join(s.app.home, "searches", d.Base.Hash()[:16]), Began: time.Now(), Running: true, Recipes: map[string]string{}}
	s.job("Search for recipes", f.Goal(), func(ctx context.Context, p task.Progress) error {
		if err := s.app.ensureHome(); err != nil {
			return err
		}
		show := func() {
			now := h
			now.Recipes = maps.Clone(h.Recipes)
			s.editDoc(d.ID, func(_ *State, d *Doc) { d.Hunt = &now })
		}
		show()
		take := func(r SearchResult) {
			h.Result = &r
			for _, l := range [][]Experiment{r.Front, r.Beaten} {
				for _, x := range l {
					if h.Recipes[x.Name] == "" {
						b, _ := readSmall(filepath.Join(h.Dir, x.Recipe), 1<<20) // the original has none
						h.Recipes[x.Name] = string(b)
					}
				}
			}
			show()
		}
		r, err := s.app.SearchModel(ctx, d.Base, SearchRequest{Goal: f.Goal(), Data: d.Data, Score: f.Score, Out: h.Dir, Distil: f.Distil, Optimizer: f.Optimizer,
			Rollouts: f.Rollouts, Seed: f.Seed, Budget: time.Duration(f.Minutes * float64(time.Minute)), Progress: p, Live: take})
		h.Running = false
		if err != nil {
			h.Err = fail.From(err)
			show()
			return err
		}
		take(*r)
		return nil
	})
}

// TryExperiment puts the recipe of an experiment into the ledger; undo brings the old one back.
func (s *Studio) TryExperiment(name string) {
	d, ok := s.ready("apply an experiment")
	if !ok {
		return
	}
	if d.Hunt == nil {
		s.fail(fail.New(fail.NotFound, "nothing was searched").Doing("apply an experiment"))
		return
	}
	if name == "original" {
		s.ledger("Apply an experiment", name, func(*Doc, []Entry) ([]Entry, error) { return nil, nil })
		return
	}
	file := filepath.Join(d.Hunt.Dir, name+".toml")
	if _, err := os.Stat(file); err != nil {
		s.fail(fail.New(fail.NotFound, "the search has no recipe called %q", name).Doing("apply an experiment"))
		return
	}
	r, err := s.app.ReadRecipe(file)
	if err != nil {
		s.fail(err)
		return
	}
	s.ledger("Apply an experiment", name, func(*Doc, []Entry) ([]Entry, error) { return entries(r.Steps), nil })
}
