package app

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadClock is the processor time that the calling thread has used so far: while other work has the processor it stands still.
func threadClock() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return time.Duration(time.Now().UnixNano())
	}
	return time.Duration(t.Nano())
}
