package chaos

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// These are the known-good and known-bad controls: a tool that makes faults has to be right itself.

// write puts text into dir/name by a temporary file, leaving steps out.
func write(d *Disk, dir, name, text string, sync, syncDir bool) error {
	f, err := d.CreateTemp(dir, "t-*")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write([]byte(text)); err != nil {
		return err
	}
	if sync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := d.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	if syncDir {
		return d.SyncDir(dir)
	}
	return nil
}

func TestDisk(t *testing.T) {
	cases := []struct {
		name          string
		sync, syncDir bool
		want          string
	}{
		{"all flushed", true, true, "new"},
		{"the file is not flushed", false, true, ""},
		{"the folder is not flushed", true, false, "old"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, "f")
			if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			d := NewDisk(-1)
			if err := write(d, dir, "f", "new", c.sync, c.syncDir); err != nil {
				t.Fatal(err)
			}
			if err := d.PowerCut(); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(name); err != nil || string(b) != c.want {
				t.Errorf("%q, %v; want %q", b, err, c.want)
			}
			if err := d.Remove(name); !errors.Is(err, ErrPower) {
				t.Errorf("a disk without power gives %v", err)
			}
		})
	}
	// each operation is one place to fail at
	for n := range 5 {
		d := NewDisk(n)
		if err := write(d, t.TempDir(), "f", "x", true, true); !errors.Is(err, ErrPower) || d.Ops() != n {
			t.Errorf("failing at %d: %v after %d", n, err, d.Ops())
		}
	}
	if err := write(NewDisk(5), t.TempDir(), "f", "x", true, true); err != nil {
		t.Errorf("behind the last operation: %v", err)
	}
	d := NewDisk(-1)
	d.Full = 3
	if err := write(d, t.TempDir(), "f", "four", true, true); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk gives %v", err)
	}
}

func TestLink(t *testing.T) {
	run := func(set func(*Link), out string) (string, error) {
		a, b := net.Pipe()
		l := NewLink(a)
		set(l)
		got := make(chan string, 1)
		go func() {
			all, _ := io.ReadAll(b)
			got <- string(all)
		}()
		_, err := l.Write([]byte(out))
		l.Close()
		return <-got, err
	}
	if s, err := run(func(*Link) {}, "hello"); s != "hello" || err != nil {
		t.Errorf("no fault: %q, %v", s, err)
	}
	if s, err := run(func(l *Link) { l.CutWrite = 2 }, "hello"); s != "he" || !errors.Is(err, ErrCut) {
		t.Errorf("cut: %q, %v", s, err)
	}
	if s, err := run(func(l *Link) { l.FlipWrite = 1 }, "hello"); s != "hdllo" || err != nil {
		t.Errorf("flip: %q, %v", s, err)
	}
	a, b := net.Pipe()
	l := NewLink(a)
	l.CutRead = 3
	go func() { _, _ = b.Write([]byte("hello")) }()
	if all, err := io.ReadAll(l); string(all) != "hel" || !errors.Is(err, ErrCut) {
		t.Errorf("cut on the way back: %q, %v", all, err)
	}
}
