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
