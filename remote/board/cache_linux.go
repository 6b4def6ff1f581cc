package board

import (
	"os"

	"golang.org/x/sys/unix"
)

// dropCache asks the kernel to forget what it keeps of a file in memory.
func dropCache(f *os.File) bool {
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) == nil
}
