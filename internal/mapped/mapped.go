// Package mapped maps files into memory, read only, on every system that the programs are built for. It knows nothing of what the
// bytes mean. Start at File.
package mapped

import "os"

// File maps the first size bytes of f; f may be closed afterwards. Where a system has no mapping the bytes are read instead. A file that is
// truncated while it is mapped ends the program on reading.
func File(f *os.File, size int64) ([]byte, error) {
	if size <= 0 || size != int64(int(size)) {
		return nil, os.ErrInvalid
	}
	return mapFile(f, int(size))
}

// Zeros returns n bytes that read as zero and take no memory until somebody writes their page, which nobody may.
func Zeros(n int) ([]byte, error) {
	if n <= 0 {
		return nil, os.ErrInvalid
	}
	return mapZeros(n)
}

// Free gives back what File or Zeros returned, whole: nothing may refer to it any more.
func Free(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	return unmap(b)
}

// Scattered hints that b is read here and there, so that reading ahead is in vain.
func Scattered(b []byte) {
	if len(b) > 0 {
		scattered(b)
	}
}

// Open opens path for reading and does not wait where it is a pipe that nobody writes.
func Open(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDONLY|nonBlock, 0) }

// OpenIn is Open for a name below root.
func OpenIn(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|nonBlock, 0)
}
