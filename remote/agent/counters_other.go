//go:build !linux

package agent

import "fettle/remote/wire"

func countWork(runs int, _ func() error) (*wire.Counts, error) {
	return &wire.Counts{Absent: []string{"counters: only Linux has perf_event_open"}}, nil
}
