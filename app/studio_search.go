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
	"fettle/model"
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
	Target           string // whose times count; "": this computer
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
	Ended   bool              // it went to its end; else it goes on where it was when it is asked for again
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
	if f.Target == LocalTarget {
		f.Target = ""
	}
	h := Hunt{Form: f, Dir: s.app.huntDir(d.Base.Hash(), f.Target), Began: time.Now(), Running: true, Recipes: map[string]string{}}
	q := f.request(d.Data, h.Dir, s.State().Settings.Threads)
	s.boardJob("Search for recipes", targetName(f.Target), f.Goal(), func(ctx context.Context, p task.Progress, a Asks) error {
		if err := s.app.keepHunt(d.Base.Hash(), keptHunt{f, d.Data, false}); err != nil {
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
			h.readRecipes()
			show()
		}
		q.Progress, q.Live, q.Asks = p, take, a
		r, err := s.app.SearchModel(ctx, d.Base, q)
		h.Running = false
		if err != nil {
			h.Err = fail.From(err)
			show()
			return err
		}
		h.Ended = r.Untried == 0
		take(*r)
		return s.app.keepHunt(d.Base.Hash(), keptHunt{f, d.Data, h.Ended})
	})
}

// request is the form as a search takes it.
func (f HuntForm) request(data, dir string, threads int) SearchRequest {
	q := SearchRequest{Goal: f.Goal(), Data: data, Score: f.Score, Out: dir, Distil: f.Distil, Optimizer: f.Optimizer, Rollouts: f.Rollouts, Seed: f.Seed,
		Target: f.Target, Budget: time.Duration(f.Minutes * float64(time.Minute))}
	if f.Target != "" { // runs in this program take one
		q.Threads = max(threads, 1)
	}
	return q
}

// readRecipes takes the texts of recipes that are not known yet.
func (h *Hunt) readRecipes() {
	for _, l := range [][]Experiment{h.Result.Front, h.Result.Beaten} {
		for _, x := range l {
			if h.Recipes[x.Name] == "" {
				b, _ := readSmall(filepath.Join(h.Dir, x.Recipe), 1<<20) // the original has none
				h.Recipes[x.Name] = string(b)
			}
		}
	}
}

// keptHunt is what a search was asked for, so that it goes on after the studio was closed.
type keptHunt struct {
	Form  HuntForm `json:"form"`
	Data  string   `json:"data"`
	Ended bool     `json:"ended"`
}

// askedDir has what was found of a model; what counts another target's times lies apart.
func (a *App) askedDir(of, hash, target string) string {
	dir := filepath.Join(a.home, of, hash[:min(len(hash), 16)])
	if target != "" {
		dir = filepath.Join(dir, "on-"+target)
	}
	return dir
}

// huntDir has what was tried of a model.
func (a *App) huntDir(hash, target string) string { return a.askedDir("searches", hash, target) }

func (a *App) keepHunt(hash string, k keptHunt) error { return a.keepAsked(a.huntDir(hash, ""), k) }

// huntBefore is the last search of a model with what it had found, nil: none. Data that a document has goes before those that the search had.
func (a *App) huntBefore(m *model.Model, data string, threads int) (h *Hunt, fitted string) {
	var k keptHunt
	if !readAsked(a.huntDir(m.Hash(), ""), data, &k, func() string { return k.Data }) || k.Form.Goal() == "" {
		return nil, ""
	}
	h = &Hunt{Form: k.Form, Dir: a.huntDir(m.Hash(), k.Form.Target), Ended: k.Ended, Recipes: map[string]string{}}
	if h.Result = a.FoundBefore(m, k.Form.request(k.Data, h.Dir, threads)); h.Result != nil {
		h.readRecipes()
	}
	return h, k.Data
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
