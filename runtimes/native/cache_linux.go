package native

import (
	"bufio"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// free is the space of the disk under dir that this user may take.
func free(dir string) int64 {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return 0
	}
	return int64(min(s.Bavail, math.MaxInt64/uint64(s.Bsize)) * uint64(s.Bsize))
}

// available is the memory that programs can still get, 0 where it is not known.
func available() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		if v, ok := strings.CutPrefix(in.Text(), "MemAvailable:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(v, "kB")), 10, 64)
			if err == nil {
				return kb << 10
			}
		}
	}
	return 0
}

// forgetCode drops this process's mappings of its program's read-only pages: much of what loading used is not used again, and
// what is comes back from the file. The weights come in while the first inference runs, so the peak is lower by
// some megabytes.
func forgetCode() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		// 00400000-00a1c000 r-xp 00000000 fe:00 1234  /usr/bin/fettle
		f := strings.Fields(line)
		if len(f) != 6 || f[5] != exe || len(f[1]) != 4 || f[1][1] != '-' || f[1][3] != 'p' {
			continue // anything that may have been written keeps its pages
		}
		lo, hi, ok := strings.Cut(f[0], "-")
		from, err1 := strconv.ParseUint(lo, 16, 64)
		to, err2 := strconv.ParseUint(hi, 16, 64)
		if !ok || err1 != nil || err2 != nil || to <= from || to > math.MaxUint>>1 {
			continue
		}
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, uintptr(from), uintptr(to-from), syscall.MADV_DONTNEED) // a hint
	}
}

func fileID(st fs.FileInfo) string {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return plainID(st)
	}
	changed := time.Unix(int64(s.Ctim.Sec), int64(s.Ctim.Nsec))
	if time.Since(changed) < 2*time.Second {
		return ""
	}
	return fmt.Sprintf("file %d %d %d %d %d", s.Dev, s.Ino, st.Size(), st.ModTime().UnixNano(), changed.UnixNano())
}
