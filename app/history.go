package app

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"fettle/history"
	"fettle/internal/fail"
	"fettle/profiler"
)

// Profile is a summarised run.
type Profile = profiler.Profile

// ProfileLayer is one layer of a Profile.
type ProfileLayer = profiler.Layer

// ProfileComparison is two runs side by side.
type ProfileComparison = profiler.Comparison

// history opens the store on first use.
func (a *App) history() (*history.Store, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.store != nil {
		return a.store, nil
	}
	s, err := history.Open(filepath.Join(a.home, "history.db"))
	if err != nil {
		return nil, err
	}
	a.store = s
	return s, nil
}

// maxProfile bounds a profile file: a million samples and ten thousand layers fit.
const maxProfile = 64 << 20

// ReadProfile reads a profile: a JSON file, or the id of a run in the history.
func (a *App) ReadProfile(ctx context.Context, source string) (*Profile, error) {
	if _, err := os.Stat(source); err != nil && !strings.ContainsAny(source, "/.") {
		s, err := a.history()
		if err != nil {
			return nil, err
		}
		return s.Get(ctx, source)
	}
	b, err := readSmall(source, maxProfile)
	if err != nil {
		return nil, fail.In(err, "read profile", fail.Where{File: source})
	}
	var p Profile
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fail.New(fail.Invalid, "it is no profile: %v", err).At(fail.Where{File: source}).Doing("read profile").Try("give a file that fettle profile -o wrote")
	}
	if p.Schema != 1 || p.Clean.N == 0 || len(p.Layers) == 0 {
		return nil, fail.New(fail.Invalid, "it holds no measured run of schema 1").At(fail.Where{File: source}).Doing("read profile").Try("give a file that fettle profile -o wrote")
	}
	return &p, nil
}

// WriteProfile saves a profile as JSON in one step.
func (a *App) WriteProfile(path string, p *Profile) error {
	b, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return fail.New(fail.Internal, "profile: %v", err)
	}
	return exportFile(path, append(b, '\n'))
}

// Compare sets B against A.
func (a *App) Compare(p, q *Profile) (*ProfileComparison, error) { return profiler.Compare(p, q) }

// CompareRuns is Compare for two files or ids.
func (a *App) CompareRuns(ctx context.Context, x, y string) (*ProfileComparison, error) {
	p, err := a.ReadProfile(ctx, x)
	if err != nil {
		return nil, err
	}
	q, err := a.ReadProfile(ctx, y)
	if err != nil {
		return nil, err
	}
	return a.Compare(p, q)
}

// BaseName is a file's name without folder and ending, as a name for deployments and runs.
func BaseName(path string) string {
	b := filepath.Base(path)
	b = strings.TrimSuffix(b, filepath.Ext(b))
	out := []rune{}
	for _, r := range b {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', strings.ContainsRune("._-", r):
			out = append(out, r)
		default:
			out = append(out, '_')
		}
	}
	s := strings.TrimLeft(string(out), ".-")
	if len(s) > 64 {
		s = s[:64]
	}
	if s == "" {
		return "model"
	}
	return s
}
