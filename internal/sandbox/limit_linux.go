package sandbox

import "golang.org/x/sys/unix"

// limitMemory bounds the private writable memory of a child. Go reserves address space that it never touches, so the
// limit is on data, not on addresses. A system that refuses it leaves the child without the limit.
func limitMemory(pid int, bytes int64) {
	_ = unix.Prlimit(pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: uint64(bytes), Max: uint64(bytes)}, nil)
}
