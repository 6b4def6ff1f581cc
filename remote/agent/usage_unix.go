//go:build unix

package agent

import (
	"os"
	"strconv"
	"strings"
	"syscall"

	"fettle/remote/wire"
)

// usage gives what the process cost so far.
func usage() wire.Block {
	var b wire.Block
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) == nil {
		b.Faults, b.Switches = int64(ru.Minflt)+int64(ru.Majflt), int64(ru.Nivcsw)
	}
	s, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return b
	}
	for _, l := range strings.Split(string(s), "\n") {
		k, v, _ := strings.Cut(l, ":")
		n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), " kB")), 10, 64)
		if err != nil {
			continue
		}
		switch k {
		case "VmRSS":
			b.RSS = n << 10
		case "VmHWM":
			b.RSSPeak = n << 10
		}
	}
	return b
}
