//go:build !linux

package app

import "time"

// threadClock is the time itself: no clock of a thread is asked for here.
func threadClock() time.Duration { return time.Duration(time.Now().UnixNano()) }
