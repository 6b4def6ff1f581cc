//go:build unix

package agent

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"fettle/internal/cas"
	"fettle/internal/fail"
)

// lock keeps a second agent from doing the same at the same time. It ends with the process.
func (s *Store) lock(name string) (func(), error) {
	f, err := claim(filepath.Join(s.dir, name))
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// claim opens name for this process and those that inherit the file; fail.Busy where another has it. It ends with the last
// of them, however they end.
func claim(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, cas.Explain(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fail.New(fail.Busy, "another desk changes the deployments of this board").Try("try again in a moment")
		}
		return nil, cas.Explain(err)
	}
	return f, nil
}

// upSeconds counts since the board started, asleep or not: nobody sets that clock.
func upSeconds() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return int64(t.Sec)
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

// dup is the same lock once more: it ends when both are closed.
func dup(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, cas.Explain(err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
