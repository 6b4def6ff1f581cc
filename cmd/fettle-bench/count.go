package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"

	"fettle/engine"
)

// event is a line that scripts/arm/count.c writes whenever the clock is asked: when, and what had been executed by then.
type event struct{ ns, insns, pairs, mults int64 }

// printCounts runs once, behind a first run that nothing counts, and prints the instructions of each step in the order of the plan: all, those that LDP and STP instead of LD1
// and ST1 of several registers would add, and vector multiplies. The clock is asked at the end of every step, and the
// counter of the emulator writes down what had been executed at that time; getppid tells it when to begin and to end.
func printCounts(ctx context.Context, s *engine.Session, file string) error {
	ns := make([]int64, len(s.Plan.Steps))
	if err := s.Exec(ctx, ns); err != nil {
		return err
	}
	syscall.Getppid()
	err := s.Exec(ctx, ns)
	syscall.Getppid()
	if err != nil {
		return err
	}
	l, err := readEvents(file)
	if err != nil {
		return err
	}
	before, at := l[0], l[0].ns
	for i, st := range s.Plan.Steps {
		at += ns[i]
		now := nearest(l, at)
		fmt.Printf("%9d %8d %9d  %-10d %-18s %-34s %s\n", now.insns-before.insns, now.pairs-before.pairs, now.mults-before.mults, st.MACs, st.Op, st.Kernel, strings.ReplaceAll(st.Name, " ", ""))
		before = now
	}
	last := l[len(l)-1]
	fmt.Printf("%9d %8d %9d  in all\n", last.insns-l[0].insns, last.pairs-l[0].pairs, last.mults-l[0].mults)
	return nil
}

func readEvents(file string) ([]event, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var l []event
	for line := range strings.Lines(string(b)) {
		var e event
		if _, err := fmt.Sscan(line, &e.ns, &e.insns, &e.pairs, &e.mults); err != nil {
			return nil, err
		}
		l = append(l, e)
	}
	if len(l) < 2 {
		return nil, fmt.Errorf("%s: %d events: the program must run in an emulator with the plugin of scripts/arm/count.c", file, len(l))
	}
	return l, nil
}

// nearest is the event closest to a time.
func nearest(l []event, at int64) event {
	best := l[0]
	for _, e := range l {
		if max(e.ns-at, at-e.ns) < max(best.ns-at, at-best.ns) {
			best = e
		}
	}
	return best
}
