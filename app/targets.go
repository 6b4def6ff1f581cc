package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sort"

	"fettle/internal/fail"
	"fettle/remote/bundle"
)

// LocalTarget is the name of this computer, which is always a target.
const LocalTarget = "local"

// Target is a board that was added: where it is and how to log in. It holds no secret.
type Target struct {
	Name     string   `json:"name"`
	Address  string   `json:"address"` // ssh://user@host:port, or a Host of ~/.ssh/config
	Identity []string `json:"identity,omitempty"`
	Jump     string   `json:"jump,omitempty"`
	Used     int64    `json:"used_unix,omitempty"` // when it was last reached
}

// targetsFile is the form of the file in the home folder.
type targetsFile struct {
	Schema  int      `json:"schema"`
	Targets []Target `json:"targets"`
}

func (a *App) targetsPath() string { return filepath.Join(a.home, "targets.json") }

// Targets lists the boards that were added, by name. This computer is not in the list.
func (a *App) Targets() ([]Target, error) {
	b, err := os.ReadFile(a.targetsPath())
	if os.IsNotExist(err) {
		return nil, nil
	}
	where := fail.Where{File: a.targetsPath()}
	if err != nil {
		return nil, fail.New(fail.Denied, "%v", err).At(where).Doing("read targets")
	}
	var f targetsFile
	if len(b) > 1<<20 || json.Unmarshal(b, &f) != nil || f.Schema != 1 {
		return nil, fail.New(fail.Corrupt, "it is no list of targets of this version").At(where).Doing("read targets").
			Try("move the file away and add the boards again: fettle target add NAME ssh://user@host")
	}
	sort.Slice(f.Targets, func(i, j int) bool { return f.Targets[i].Name < f.Targets[j].Name })
	return f.Targets, nil
}

// target finds a board by name.
func (a *App) target(name string) (*Target, error) {
	list, err := a.Targets()
	if err != nil {
		return nil, err
	}
	known := LocalTarget
	for i := range list {
		if list[i].Name == name {
			return &list[i], nil
		}
		known += ", " + list[i].Name
	}
	return nil, fail.New(fail.NotFound, "there is no target %q", name).At(fail.Where{Board: name}).
		Try("known targets: %s; add one: fettle target add %s ssh://user@host", known, name)
}

// keepTarget adds or replaces a board.
func (a *App) keepTarget(t Target) error {
	return a.editTargets(func(list []Target) []Target {
		for i := range list {
			if list[i].Name == t.Name {
				list[i] = t
				return list
			}
		}
		return append(list, t)
	})
}

func (a *App) dropTarget(name string) error {
	return a.editTargets(func(list []Target) []Target {
		var keep []Target
		for _, t := range list {
			if t.Name != name {
				keep = append(keep, t)
			}
		}
		return keep
	})
}

func (a *App) editTargets(f func([]Target) []Target) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	list, err := a.Targets()
	if err != nil {
		return err
	}
	if err := a.ensureHome(); err != nil {
		return err
	}
	b, err := json.MarshalIndent(targetsFile{Schema: 1, Targets: f(list)}, "", " ")
	if err != nil {
		return fail.New(fail.Internal, "targets: %v", err)
	}
	return atomicWrite(a.targetsPath(), b)
}

// checkTargetName accepts what is safe as a word of a command and as a file's name.
func checkTargetName(name string) error {
	if name == LocalTarget {
		return fail.New(fail.Usage, "%q is this computer", name).Try("choose another name")
	}
	if err := bundle.CheckName(name); err != nil {
		return fail.New(fail.Usage, "%.80q cannot be a target's name", name).Try("use up to 64 letters, digits, dots, dashes and underscores")
	}
	return nil
}

// loadBoards is what the studio shows before anything was asked: this computer and the boards that were added.
func (a *App) loadBoards() []*Board {
	out := []*Board{{Name: LocalTarget, Local: true}}
	list, err := a.Targets()
	if err != nil {
		out[0].Err = fail.From(err)
	}
	for _, t := range list {
		out = append(out, &Board{Name: t.Name, Address: t.Address})
	}
	return out
}
