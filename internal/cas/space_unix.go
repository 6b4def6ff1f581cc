//go:build linux || darwin

package cas

import "golang.org/x/sys/unix"

// Free gives the bytes that a user may still write to the disk of dir; ok is false where that is not known.
func Free(dir string) (n int64, ok bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Bsize <= 0 {
		return 0, false
	}
	return int64(uint64(st.Bavail) * uint64(st.Bsize)), true
}
