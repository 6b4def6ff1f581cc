package agent

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Limits of every process of the agent. What a model needs is bounded by the memory limit of its run.
const (
	maxOpenFiles = 1024
	maxFileSize  = 16 << 30
)

// guards is what a process of the agent has given up, and what it could not, with the reason.
type guards struct {
	Have   []string
	Absent []string
}

// places are the folders that a process may use after it is confined.
type places struct {
	write []string // and read
	read  []string // nil: everything may be read
}

// confine gives up for good what this process does not need: new rights, files beyond its places, TCP, core dumps. Where
// the kernel has no such thing it goes on without, and says so.
func confine(p places) guards { return confineBy(p, allThreads) }

// apply makes a system call that changes a thread.
type apply func(trap, a1, a2, a3, a4, a5, a6 uintptr) error

func allThreads(trap, a1, a2, a3, a4, a5, a6 uintptr) error {
	_, _, e := syscall.AllThreadsSyscall6(trap, a1, a2, a3, a4, a5, a6)
	if e == syscall.ENOTSUP {
		return errors.New("this build links C, whose threads Go does not know")
	}
	return asError(e)
}

func thisThread(trap, a1, a2, a3, a4, a5, a6 uintptr) error {
	_, _, e := syscall.Syscall6(trap, a1, a2, a3, a4, a5, a6)
	return asError(e)
}

func asError(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

func confineBy(p places, do apply) guards {
	var g guards
	note := func(name string, err error) {
		if err == nil {
			g.Have = append(g.Have, name)
		} else {
			g.Absent = append(g.Absent, fmt.Sprintf("%s: %v", name, err))
		}
	}
	var err error
	for _, l := range []struct {
		what  int
		limit uint64
	}{{unix.RLIMIT_CORE, 0}, {unix.RLIMIT_NOFILE, maxOpenFiles}, {unix.RLIMIT_FSIZE, maxFileSize}} {
		var now unix.Rlimit
		if e := unix.Getrlimit(l.what, &now); e != nil {
			err = e
			continue
		}
		if e := unix.Setrlimit(l.what, &unix.Rlimit{Cur: min(now.Cur, l.limit), Max: min(now.Max, l.limit)}); e != nil {
			err = e
		}
	}
	note("resource limits", err)
	err = do(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	note("no_new_privs", err)
	if err != nil {
		g.Absent = append(g.Absent, "landlock: it needs no_new_privs")
		return g
	}
	abi, err := landlock(p, do)
	note(fmt.Sprintf("landlock %d", abi), err)
	return g
}

const (
	fsWrite = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO |
		unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	fsRead = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_EXECUTE
)

// landlock gives the version of Landlock that the kernel has.
func landlock(p places, do apply) (int, error) {
	version, _, e := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0, fmt.Errorf("the kernel has none: %v", e)
	}
	abi := int(version)
	attr := unix.LandlockRulesetAttr{Handled_access_fs: fsWrite}
	if abi >= 2 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	write := attr.Handled_access_fs | fsRead
	if p.read != nil {
		attr.Handled_access_fs |= fsRead
	}
	size := unsafe.Sizeof(attr.Handled_access_fs)
	if abi >= 4 {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		size = unsafe.Offsetof(attr.Handled_access_net) + unsafe.Sizeof(attr.Handled_access_net)
	}
	fd, _, e := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if e != 0 {
		return abi, e
	}
	defer unix.Close(int(fd))
	for _, dir := range p.write {
		if err := allow(int(fd), dir, write&attr.Handled_access_fs, true); err != nil {
			return abi, err
		}
	}
	for _, dir := range p.read {
		if err := allow(int(fd), dir, fsRead, false); err != nil {
			return abi, err
		}
	}
	if err := allow(int(fd), "/dev/null", unix.LANDLOCK_ACCESS_FS_WRITE_FILE|fsRead&attr.Handled_access_fs&^unix.LANDLOCK_ACCESS_FS_READ_DIR&^unix.LANDLOCK_ACCESS_FS_EXECUTE, false); err != nil {
		return abi, err
	}
	return abi, do(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0, 0, 0, 0)
}

// allow lets dir be used. A place that is not there is none, unless it must be.
func allow(ruleset int, dir string, access uint64, must bool) error {
	fd, err := unix.Open(filepath.Clean(dir), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		if must {
			return fmt.Errorf("%s: %w", dir, err)
		}
		return nil
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR { // what only folders have is refused for files
		access &= unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	// the kernel's structure is packed: 8 bytes of rights, 4 of the descriptor
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, e := syscall.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	runtime.KeepAlive(&rule)
	if e != 0 {
		return fmt.Errorf("%s: %v", dir, e)
	}
	return nil
}
