package app

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fettle/internal/fail"
	"fettle/remote/discover"
	"fettle/remote/sshx"
)

// FromTargets is the source of a board that was added and that nothing else names.
const FromTargets = "added before"

// FoundBoard is a board that may be meant.
type FoundBoard struct {
	discover.Found
	Added string `json:"added,omitempty"`     // the name under which it was added already
	Used  int64  `json:"used_unix,omitempty"` // when it was last reached
}

// Discover looks for boards: those of the user's SSH files, and for as long as listen says those that answer in the local
// network. The notes say what could not be read.
func (a *App) Discover(ctx context.Context, listen time.Duration) ([]FoundBoard, []string) {
	o := discover.Options{MDNS: listen, Known: []string{filepath.Join(a.home, "known_hosts")}}
	if h, err := os.UserHomeDir(); err == nil {
		o.SSHDir, o.Home = filepath.Join(h, ".ssh"), h
	}
	all, notes := discover.Look(ctx, o)
	added, err := a.Targets()
	if err != nil {
		notes = append(notes, err.Error())
	}
	out := []FoundBoard{}
	for _, f := range all {
		b := FoundBoard{Found: f}
		for _, t := range added {
			if host := hostOf(t.Address); strings.EqualFold(host, f.Address) || strings.EqualFold(host, f.Detail) {
				b.Added, b.Used = t.Name, t.Used
			}
		}
		out = append(out, b)
	}
	for _, t := range added { // those that no file and no answer names
		if !slices.ContainsFunc(out, func(b FoundBoard) bool { return b.Added == t.Name }) {
			out = append(out, FoundBoard{Found: discover.Found{Address: hostOf(t.Address), Name: t.Name, Sources: []string{FromTargets}}, Added: t.Name, Used: t.Used})
		}
	}
	slices.SortStableFunc(out, func(a, b FoundBoard) int { return cmp.Compare(b.Used, a.Used) }) // last used first
	return out, notes
}

// hostOf is host or host:port of a target's address.
func hostOf(address string) string {
	h := strings.TrimSuffix(strings.TrimPrefix(address, "ssh://"), "/")
	if _, after, ok := strings.Cut(h, "@"); ok {
		h = after
	}
	return strings.TrimSuffix(h, ":22")
}

// InstallKey lets this user log in to a target by key from now on: the target's own key file if it has one, else one of
// Fettle's, which is made. It gives the file.
func (a *App) InstallKey(ctx context.Context, name string, asks Asks) (string, error) {
	t, err := a.target(name)
	if err != nil {
		return "", err
	}
	file := filepath.Join(a.home, "login.key")
	if len(t.Identity) > 0 {
		file = t.Identity[0]
	}
	public, err := sshx.UserKey(file)
	if err != nil {
		return "", fail.In(err, "install a key", fail.Where{Board: name})
	}
	c, err := a.dial(ctx, *t, asks, nil)
	if err != nil {
		return "", err
	}
	_, err = c.Allow(ctx, public)
	if cerr := c.Close(); err == nil && cerr != nil && !fail.Is(cerr, fail.Cancelled) {
		err = cerr
	}
	if err != nil {
		return "", err
	}
	t.Identity = []string{file}
	return file, a.keepTarget(*t)
}
