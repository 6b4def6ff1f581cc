package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fettle/internal/fail"
	"fettle/optimizer"
	"fettle/optimizer/catalog"
)

// KeptRecipe is a point of the tree of experiments: a recipe under a name, with the one that it was made from. What was measured of its
// model is found by the hashes.
type KeptRecipe struct {
	ID     int    `json:"id"`
	Parent int    `json:"parent"` // 0: the opened model
	Name   string `json:"name"`
	Recipe string `json:"recipe"` // text
	Hash   string `json:"hash"`   // of the model that came out
	SHA256 string `json:"sha256"` // of its file
	Bytes  int64  `json:"bytes"`
	MACs   int64  `json:"macs"`
}

// KeepRecipe adds the ledger to the tree, as a child of the experiment that it came from.
func (s *Studio) KeepRecipe(name string) {
	if d, ok := s.ready("keep an experiment"); !ok || d == nil {
		return
	}
	s.tree("keep an experiment", func(d *Doc) error {
		r := d.Recipe()
		k := &KeptRecipe{ID: 1, Parent: d.At, Name: strings.TrimSpace(name), Recipe: string(r.Format()), Hash: d.Model.Hash(), SHA256: d.SHA256, Bytes: d.Info.FileBytes, MACs: d.Info.MACs}
		if k.Name == "" {
			return fail.New(fail.Usage, "the experiment has no name").Try("say in a few words what is different")
		}
		for _, x := range d.Kept {
			k.ID = max(k.ID, x.ID+1)
			if x.Recipe == k.Recipe && x.Parent == k.Parent {
				return fail.New(fail.Usage, "the same recipe is kept already, as %s", x.Name).Try("change a step first")
			}
		}
		d.Kept = append(slices.Clone(d.Kept), k)
		d.At = k.ID
		return nil
	})
}

// RenameKept gives an experiment another name.
func (s *Studio) RenameKept(id int, name string) {
	s.tree("rename an experiment", func(d *Doc) error {
		i := slices.IndexFunc(d.Kept, func(k *KeptRecipe) bool { return k.ID == id })
		if i < 0 || strings.TrimSpace(name) == "" {
			return fail.New(fail.Usage, "there is no such experiment, or no name")
		}
		k := *d.Kept[i]
		k.Name = strings.TrimSpace(name)
		d.Kept = slices.Clone(d.Kept)
		d.Kept[i] = &k
		return nil
	})
}

// ForgetKept takes an experiment out of the tree; those made from it hang on its parent then.
func (s *Studio) ForgetKept(id int) {
	s.tree("forget an experiment", func(d *Doc) error {
		i := slices.IndexFunc(d.Kept, func(k *KeptRecipe) bool { return k.ID == id })
		if i < 0 {
			return fail.New(fail.NotFound, "there is no such experiment")
		}
		parent := d.Kept[i].Parent
		var list []*KeptRecipe
		for _, k := range d.Kept {
			if k.ID == id {
				continue
			}
			if k.Parent == id {
				c := *k
				c.Parent = parent
				k = &c
			}
			list = append(list, k)
		}
		if d.Kept = list; d.At == id {
			d.At = parent
		}
		return nil
	})
}

// GoToKept puts the recipe of an experiment into the ledger, 0 that of the opened model: what is kept next is a branch from there.
func (s *Studio) GoToKept(id int) {
	d, ok := s.ready("go to an experiment")
	if !ok {
		return
	}
	var steps []optimizer.RecipeStep
	name := Original
	if id != 0 {
		i := slices.IndexFunc(d.Kept, func(k *KeptRecipe) bool { return k.ID == id })
		if i < 0 {
			s.fail(fail.New(fail.NotFound, "there is no such experiment").Doing("go to an experiment"))
			return
		}
		r, err := optimizer.ParseRecipe([]byte(d.Kept[i].Recipe), catalog.Passes())
		if err != nil {
			s.fail(err)
			return
		}
		steps, name = r.Steps, d.Kept[i].Name
	}
	s.ledger("Go to an experiment", name, func(*Doc, []Entry) ([]Entry, error) { return entries(steps), nil })
	s.editDoc(d.ID, func(_ *State, d *Doc) { d.At = id })
}

// tree changes the tree of the open document and writes it.
func (s *Studio) tree(what string, change func(d *Doc) error) {
	s.edit(func(st *State) {
		if st.Doc == nil {
			return
		}
		d := *st.Doc
		if err := change(&d); err != nil {
			s.notify(st, fail.In(err, what, fail.Where{}))
			return
		}
		st.Doc = &d
		if err := s.app.writeKept(d.Base.Hash(), d.Kept); err != nil {
			s.notify(st, err)
		}
	})
}

func (a *App) keptFile(hash string) string {
	return filepath.Join(a.home, "experiments", hash[:min(len(hash), 32)]+".json")
}

func (a *App) writeKept(hash string, l []*KeptRecipe) error {
	if err := a.ensureHome(); err != nil {
		return err
	}
	file := a.keptFile(hash)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fail.New(fail.Denied, "%v", err).Doing("keep an experiment")
	}
	b, err := json.MarshalIndent(l, "", " ")
	if err != nil {
		return fail.New(fail.Internal, "%v", err).Doing("keep an experiment")
	}
	return atomicWrite(file, b)
}

// readKept reads the tree of a model; one that cannot be read is as if it were not there.
func (a *App) readKept(hash string) []*KeptRecipe {
	b, err := readSmall(a.keptFile(hash), 8<<20)
	var l []*KeptRecipe
	if err != nil || json.Unmarshal(b, &l) != nil {
		return nil
	}
	return slices.DeleteFunc(l, func(k *KeptRecipe) bool { return k == nil })
}

// RecipeLine is a line of two recipes side by side: of both, of the first alone (-) or of the second alone (+).
type RecipeLine struct {
	Mark byte // ' ', '-' or '+'
	Text string
}

// DiffRecipes compares the texts of two recipes line by line.
func DiffRecipes(a, b string) []RecipeLine {
	x, y := lines(a), lines(b)
	// longest common subsequence, from the end
	l := make([][]int, len(x)+1)
	for i := range l {
		l[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				l[i][j] = l[i+1][j+1] + 1
			} else {
				l[i][j] = max(l[i+1][j], l[i][j+1])
			}
		}
	}
	var out []RecipeLine
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			out = append(out, RecipeLine{' ', x[i]})
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && l[i+1][j] >= l[i][j+1]:
			out = append(out, RecipeLine{'-', x[i]})
			i++
		default:
			out = append(out, RecipeLine{'+', y[j]})
			j++
		}
	}
	return out
}

func lines(s string) []string {
	if s = strings.TrimSpace(s); s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

// SHA is the SHA-256 of the file that a revision's model makes, "" while it is not known.
func (v *Revision) SHA() string {
	if v.Result == nil {
		return ""
	}
	return v.Result.SHA256
}
