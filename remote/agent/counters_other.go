//go:build !linux

package agent

import (
	"context"

	"fettle/remote/wire"
	"fettle/runtimes"
)

func countSteps(context.Context, runtimes.Session, int) (map[string][]float64, error) {
	return nil, nil
}

func countCost(context.Context, runtimes.Session, int) (*wire.CountCost, error) {
	return nil, nil
}

func countWork(runs int, _ func() error) (*wire.Counts, error) {
	return &wire.Counts{Absent: []string{"counters: only Linux has perf_event_open"}}, nil
}
