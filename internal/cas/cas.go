// Package cas owns a content-addressed store in one folder: a chunk is found by the SHA-256 of its bytes.
//
// A chunk is written to a temporary name, checked, flushed to the disk and renamed into place: after a power cut it is
// there whole or not at all. Sync then makes the names of many chunks last at once. Every read checks the hash again, so
// bad storage never gives wrong bytes. The store knows nothing of what the chunks mean. Start reading at Store.
package cas

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"fettle/internal/fail"
)

// Hash is the SHA-256 of a chunk, in lower-case hex.
type Hash string

// Of hashes b.
func Of(b []byte) Hash {
	s := sha256.Sum256(b)
	return Hash(hex.EncodeToString(s[:]))
}

// Valid reports whether h is 64 lower-case hex digits: safe as a file name.
func (h Hash) Valid() bool {
	if len(h) != 64 {
		return false
	}
	for _, c := range h {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// FS is what the store needs of a disk. OS is the real one; tests put a failing disk in its place.
type FS interface {
	// CreateTemp makes a new file in dir that nobody else can open.
	CreateTemp(dir, pattern string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	MkdirAll(dir string, perm fs.FileMode) error
	// SyncDir flushes a folder, so that names in it survive a power cut.
	SyncDir(dir string) error
}

// File is an open file that is being written.
type File interface {
	io.Writer
	Name() string
	Sync() error
	Close() error
}

// OS is the computer's own file system.
type OS struct{}

// CreateTemp makes a file with mode 0600.
func (OS) CreateTemp(dir, pattern string) (File, error) { return os.CreateTemp(dir, pattern) }

// Rename replaces to by from in one step.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove deletes a file.
func (OS) Remove(name string) error { return os.Remove(name) }

// MkdirAll makes dir and its parents.
func (OS) MkdirAll(dir string, perm fs.FileMode) error { return os.MkdirAll(dir, perm) }

// SyncDir flushes a folder. File systems that cannot do it say EINVAL, which is no loss: they have no such order.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}

// Store is a folder of chunks. Several goroutines may use it.
type Store struct {
	dir string
	fs  FS
}

// Open uses the folder dir, making it with mode 0700. disk is OS{} outside tests.
func Open(dir string, disk FS) (*Store, error) {
	s := &Store{dir: dir, fs: disk}
	if err := MakeDir(disk, s.temp()); err != nil {
		return nil, explain(err).Doing("open the store").At(fail.Where{File: dir})
	}
	return s, nil
}

func (s *Store) temp() string         { return filepath.Join(s.dir, "tmp") }
func (s *Store) path(h Hash) string   { return filepath.Join(s.dir, string(h[:2]), string(h)) }
func (s *Store) folder(h Hash) string { return filepath.Join(s.dir, string(h[:2])) }
func badHash(h Hash) *fail.Error      { return fail.New(fail.Invalid, "%.80q is not a SHA-256", string(h)) }

// Has reports whether the chunk of this hash and length is there. Its bytes are checked when they are read.
func (s *Store) Has(h Hash, n int64) bool {
	if !h.Valid() {
		return false
	}
	st, err := os.Lstat(s.path(h))
	return err == nil && st.Mode().IsRegular() && st.Size() == n
}

// Put stores n bytes of r under h. Until Sync a power cut may lose the chunk, never cut it. fail.Corrupt: the bytes are
// not those of h; nothing is stored then.
func (s *Store) Put(h Hash, n int64, r io.Reader) (err error) {
	if !h.Valid() {
		return badHash(h)
	}
	if err := s.fs.MkdirAll(s.folder(h), 0o700); err != nil {
		return explain(err)
	}
	f, err := s.fs.CreateTemp(s.temp(), "chunk-*")
	if err != nil {
		return explain(err)
	}
	name := f.Name()
	defer func() {
		if err != nil {
			_ = s.fs.Remove(name) // a left-over is found by GC
		}
	}()
	sum := sha256.New()
	got, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(r, n))
	if err == nil && got < n {
		err = fail.New(fail.Corrupt, "chunk %.12s is cut after %d of %d bytes", h, got, n)
	}
	if err == nil && hex.EncodeToString(sum.Sum(nil)) != string(h) {
		err = fail.New(fail.Corrupt, "chunk %.12s arrived with other bytes", h).Try("send it again")
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = s.fs.Rename(name, s.path(h))
	}
	if err != nil {
		return explain(err)
	}
	return nil
}

// Sync makes chunks last: whoever relies on them calls it first. Folders that nothing was renamed into cost little.
func (s *Store) Sync(chunks map[Hash]bool) error {
	folders := map[string]bool{s.dir: true}
	for h := range chunks {
		folders[s.folder(h)] = true
	}
	for _, dir := range slices.Sorted(maps.Keys(folders)) {
		if err := s.fs.SyncDir(dir); err != nil {
			return explain(err)
		}
	}
	return nil
}

// Read appends the chunk to dst after checking its hash. fail.NotFound: it is not there. fail.Corrupt: the disk gave
// other bytes; the chunk is removed, so that it is sent again.
func (s *Store) Read(dst []byte, h Hash, n int64) ([]byte, error) {
	if !h.Valid() {
		return dst, badHash(h)
	}
	f, err := os.Open(s.path(h))
	if err != nil {
		return dst, explain(err)
	}
	defer f.Close()
	start := len(dst)
	buf := bytes.NewBuffer(dst)
	if _, err := buf.ReadFrom(io.LimitReader(f, n+1)); err != nil {
		return dst, explain(err)
	}
	out := buf.Bytes()
	if int64(len(out)-start) != n || Of(out[start:]) != h {
		_ = s.fs.Remove(s.path(h)) // best effort: a chunk that stays is refused again
		return dst, fail.New(fail.Corrupt, "the disk gave other bytes than were stored for chunk %.12s", h).Try("deploy again: only this chunk is sent; check the board's storage")
	}
	return out, nil
}

// GC removes temporary files, and chunks that keep does not name, when they are older than age: younger ones may belong
// to a deployment that is under way. It gives the bytes freed.
func (s *Store) GC(keep map[Hash]bool, age time.Duration) (int64, error) {
	var freed int64
	err := filepath.WalkDir(s.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return nil // gone meanwhile
		}
		// a board whose clock was set back has files of the future: they are not kept for ever
		if age > 0 && time.Since(st.ModTime()).Abs() < age || filepath.Dir(p) != s.temp() && keep[Hash(d.Name())] {
			return nil
		}
		if err := s.fs.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		freed += st.Size()
		return nil
	})
	if err != nil {
		return freed, explain(err)
	}
	return freed, nil
}

// WriteFile replaces name by b in one step that survives a power cut: temporary file, flush, rename, flush of the folder.
func WriteFile(disk FS, name string, b []byte) error {
	dir := filepath.Dir(name)
	if err := MakeDir(disk, dir); err != nil {
		return explain(err)
	}
	f, err := disk.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return explain(err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = disk.Rename(f.Name(), name)
	}
	if err != nil {
		_ = disk.Remove(f.Name())
		return explain(err)
	}
	if err := disk.SyncDir(dir); err != nil {
		return explain(err)
	}
	return nil
}

// MakeDir makes dir with mode 0700, and whatever folders above it are missing. A new folder has to last itself before what is in it can, so the one above each
// new one is flushed; where it may not be opened for that, nothing can be done.
func MakeDir(disk FS, dir string) error {
	var above []string // nearest first
	for p := filepath.Clean(dir); ; p = filepath.Dir(p) {
		if _, err := os.Lstat(p); err == nil || p == filepath.Dir(p) {
			break
		}
		above = append(above, filepath.Dir(p))
	}
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, p := range slices.Backward(above) {
		if err := disk.SyncDir(p); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// explain names the cause of a failed write in words that say what to do.
func explain(err error) *fail.Error {
	var e *fail.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fail.New(fail.NoSpace, "the disk is full: %v", err).Try("free space on it, for example with fettle deployments --remove, and deploy again; what arrived is kept")
	case errors.Is(err, syscall.EROFS):
		return fail.New(fail.Denied, "the disk is read-only: %v", err).Try("mount it for writing, or point XDG_DATA_HOME of the board's user elsewhere")
	case errors.Is(err, fs.ErrPermission):
		return fail.New(fail.Denied, "%v", err).Try("check the owner and mode of the folder")
	case errors.Is(err, fs.ErrNotExist):
		return fail.New(fail.NotFound, "%v", err)
	}
	return fail.New(fail.Internal, "%v", err)
}

// Explain turns an error of the disk into a typed one.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	return explain(err)
}
