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

// lock keeps a second agent from changing deployments at the same time. It ends with the process.
func (s *Store) lock() (func(), error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, cas.Explain(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fail.New(fail.Busy, "somebody else changes the deployments of this board").Try("try again in a moment")
		}
		return nil, cas.Explain(err)
	}
	return func() { f.Close() }, nil
}
