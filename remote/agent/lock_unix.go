//go:build unix

package agent

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"fettle/internal/cas"
	"fettle/internal/fail"
)

// lock keeps a second agent from doing the same at the same time. It ends with the process.
func (s *Store) lock(name string) (func(), error) {
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, cas.Explain(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			if name == lockMeasure {
				return nil, fail.New(fail.Busy, "another desk measures on this board").Try("wait until it is done: two measurements at once would spoil both")
			}
			return nil, fail.New(fail.Busy, "another desk changes the deployments of this board").Try("try again in a moment")
		}
		return nil, cas.Explain(err)
	}
	return func() { f.Close() }, nil
}

// ours refuses a folder that is not this user's alone to write.
func ours(dir string) error {
	st, err := os.Lstat(dir)
	if err != nil {
		return cas.Explain(err)
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !st.IsDir() || !ok || int(sys.Uid) != os.Geteuid() || st.Mode().Perm()&0o022 != 0 {
		return fail.New(fail.Denied, "the folder is a link, belongs to another user, or may be written by others").Try("remove it on the board, or let the user own it with mode 0700")
	}
	return nil
}
