package chaos

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// logIt puts text into dir/name by a temporary file, and says what it did.
func logIt(t *testing.T, l *Log, dir, name, text string) {
	t.Helper()
	f, err := l.CreateTemp(dir, "t-*")
	if err == nil {
		_, err = f.Write([]byte(text))
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = l.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err == nil {
		err = l.SyncDir(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.Mark()
}

// seen are the different contents of name over all states: with a promise, and without.
func seen(l *Log, name string) (done, before []string) {
	l.States(0, func(s State) bool {
		text := "absent"
		if b, ok := s.Files[name]; ok {
			text = string(b)
		}
		to := &before
		if s.Done {
			to = &done
		}
		if !slices.Contains(*to, text) {
			*to = append(*to, text)
		}
		return true
	})
	slices.Sort(done)
	slices.Sort(before)
	return done, before
}

// TestStates knows all states of the usual way to replace a file, and of those that leave something out.
func TestStates(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := NewLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	logIt(t, l, dir, "f", "text")
	for _, c := range []struct {
		name         string
		leave        int // operation that is left out, -1: none
		done, before string
	}{
		{"all of it", -1, "text", "old text"},
		{"the file is not flushed", 2, " \\0\\0\\0\\0 te text", " \\0\\0\\0\\0 old te text"},
		{"renamed in place", 3, "text", " \\0\\0\\0\\0 old te text"},
		{"the folder is not flushed", 4, "old text", "old text"},
	} {
		log := l
		if c.leave >= 0 {
			log = l.Without(c.leave)
		}
		done, before := seen(log, "f")
		show := func(v []string) string { return strings.ReplaceAll(strings.Join(v, " "), "\x00", "\\0") }
		if show(done) != c.done || show(before) != c.before {
			t.Errorf("%s: %q with a promise, want %q; %q without, want %q", c.name, show(done), c.done, show(before), c.before)
		}
	}
}

// TestNewFolder loses what is in a folder that is not flushed into the one above.
func TestNewFolder(t *testing.T) {
	dir := t.TempDir()
	l, err := NewLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	sub := filepath.Join(dir, "a", "b")
	if err := l.MkdirAll(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	logIt(t, l, sub, "f", "x")
	if done, _ := seen(l, "a/b/f"); len(done) != 2 {
		t.Errorf("nothing above was flushed: %q", done)
	}
	if err := l.SyncDir(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if err := l.SyncDir(dir); err != nil {
		t.Fatal(err)
	}
	last := len(l.Ops())
	l.States(last, func(s State) bool {
		to := filepath.Join(t.TempDir(), "state")
		if err := s.Make(to); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(to, "a/b/f")); err != nil || string(b) != "x" {
			t.Errorf("all was flushed: %q, %v", b, err)
		}
		return true
	})
}
