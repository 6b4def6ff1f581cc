package chaos

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// ErrPower is what every operation says after the power went.
var ErrPower = errors.New("chaos: no power")

// Disk is a folder that loses power before its n-th operation: what was not flushed is lost then. A file's bytes
// survive by File.Sync, a name by SyncDir of its folder (the strict reading of POSIX).
//
// It counts writes, flushes, renames, removals and folder flushes. FailAt < 0: never. Full > 0 limits the bytes that
// can be written, then ENOSPC.
type Disk struct {
	FailAt    int
	Full      int64
	FullWrite int // the n-th write, counted from 1, and those after it find no room; 0: never

	mu      sync.Mutex
	ops     int
	dead    bool
	written int64
	writes  int
	content map[string][]byte // by path: what a power cut leaves of the bytes written there
	pending []rename
}

type rename struct {
	from, to string
	old      []byte // bytes that `to` had before, durable; nil: it was not there
	had      bool
}

// NewDisk loses power before operation failAt, counted from 0.
func NewDisk(failAt int) *Disk { return &Disk{FailAt: failAt, content: map[string][]byte{}} }

// Ops counts the operations so far.
func (d *Disk) Ops() int { d.mu.Lock(); defer d.mu.Unlock(); return d.ops }

// Writes counts the writes so far.
func (d *Disk) Writes() int { d.mu.Lock(); defer d.mu.Unlock(); return d.writes }

// step counts one operation; the caller holds the lock.
func (d *Disk) step() error {
	if d.dead {
		return ErrPower
	}
	if d.FailAt >= 0 && d.ops >= d.FailAt {
		d.dead = true
		return ErrPower
	}
	d.ops++
	return nil
}

// PowerCut puts the folder into the state that a power cut leaves: renames whose folder was not flushed are undone,
// bytes that were not flushed are gone.
func (d *Disk) PowerCut() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	for i := len(d.pending) - 1; i >= 0; i-- {
		r := d.pending[i]
		if _, err := os.Lstat(r.to); err == nil {
			if err := os.Rename(r.to, r.from); err != nil {
				return err
			}
			d.content[r.from] = d.content[r.to]
		}
		delete(d.content, r.to)
		if r.had {
			if err := os.WriteFile(r.to, r.old, 0o600); err != nil {
				return err
			}
		}
	}
	d.pending = nil
	for name, b := range d.content {
		if _, err := os.Lstat(name); err != nil {
			continue
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// CreateTemp makes a file whose bytes are lost unless flushed.
func (d *Disk) CreateTemp(dir, pattern string) (*DiskFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	d.content[f.Name()] = nil
	return &DiskFile{d, f}, nil
}

// Rename moves a file; the new name is lost unless its folder is flushed.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	old, had := d.content[to]
	if !had {
		if b, err := os.ReadFile(to); err == nil {
			old, had = b, true
		}
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d.content[to] = d.content[from]
	delete(d.content, from)
	d.pending = append(d.pending, rename{from, to, old, had})
	return nil
}

// Remove deletes a file at once.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	delete(d.content, name)
	return os.Remove(name)
}

// MkdirAll makes folders; they are durable at once.
func (d *Disk) MkdirAll(dir string, perm fs.FileMode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return ErrPower
	}
	return os.MkdirAll(dir, perm)
}

// SyncDir makes the renames into dir durable.
func (d *Disk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	keep := d.pending[:0]
	for _, r := range d.pending {
		if filepath.Dir(r.to) != dir {
			keep = append(keep, r)
		}
	}
	d.pending = keep
	return nil
}

// DiskFile is a file on a Disk.
type DiskFile struct {
	d *Disk
	f *os.File
}

// Name is the path.
func (f *DiskFile) Name() string { return f.f.Name() }

// Write writes bytes that a power cut loses.
func (f *DiskFile) Write(p []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step(); err != nil {
		return 0, err
	}
	f.d.writes++
	if f.d.FullWrite > 0 && f.d.writes >= f.d.FullWrite {
		return 0, fmt.Errorf("write %s: %w", f.f.Name(), syscall.ENOSPC)
	}
	if f.d.Full > 0 && f.d.written+int64(len(p)) > f.d.Full {
		return 0, fmt.Errorf("write %s: %w", f.f.Name(), syscall.ENOSPC)
	}
	f.d.written += int64(len(p))
	return f.f.Write(p)
}

// Sync makes the bytes durable.
func (f *DiskFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step(); err != nil {
		return err
	}
	b, err := os.ReadFile(f.f.Name())
	if err == nil {
		f.d.content[f.f.Name()] = b
	}
	return err
}

// Close closes the file.
func (f *DiskFile) Close() error { return f.f.Close() }
