//go:build unix

package mapped

import (
	"os"
	"syscall"
)

const nonBlock = syscall.O_NONBLOCK

func mapFile(f *os.File, n int) ([]byte, error) {
	return syscall.Mmap(int(f.Fd()), 0, n, syscall.PROT_READ, syscall.MAP_PRIVATE)
}

func mapZeros(n int) ([]byte, error) {
	return syscall.Mmap(-1, 0, n, syscall.PROT_READ, syscall.MAP_PRIVATE|syscall.MAP_ANON)
}

func unmap(b []byte) error { return syscall.Munmap(b) }

// Links is the number of names that the file has, 0 where the system does not say.
func Links(st os.FileInfo) uint64 {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return uint64(sys.Nlink)
	}
	return 0
}
