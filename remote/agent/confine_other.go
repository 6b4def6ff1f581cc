//go:build !linux

package agent

import "runtime"

type guards struct {
	Have   []string
	Absent []string
}

type places struct{ write, read []string }

func confine(places) guards {
	return guards{Absent: []string{"landlock: " + runtime.GOOS + " has none"}}
}
