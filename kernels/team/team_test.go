package team

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// ladder checks that a stage starts only after the one before is complete, and that every piece runs once.
type ladder struct {
	stages, pieces int
	count          [8]atomic.Int32
	bad            atomic.Int32
	hook           func(stage, piece int)
}

func (l *ladder) Stages() int          { return l.stages }
func (l *ladder) Pieces(stage int) int { return l.pieces + stage }
func (l *ladder) Piece(stage, piece, worker int) {
	if stage > 0 && int(l.count[stage-1].Load()) != l.pieces+stage-1 {
		l.bad.Add(1)
	}
	l.count[stage].Add(1)
	if l.hook != nil {
		l.hook(stage, piece)
	}
}

func TestRun(t *testing.T) {
	before := runtime.NumGoroutine()
	for n := 1; n <= 4; n++ {
		tm := New(n)
		for rep := range 50 {
			a, b := &ladder{stages: 3, pieces: 7}, &ladder{stages: 2, pieces: 0}
			ends := make([]time.Duration, 2)
			if err := tm.RunTimed(context.Background(), ends, a, b); err != nil {
				t.Fatal(err)
			}
			for s := range 3 {
				if int(a.count[s].Load()) != 7+s {
					t.Fatalf("%d workers, stage %d: %d pieces", n, s, a.count[s].Load())
				}
			}
			if a.bad.Load()+b.bad.Load() != 0 || b.count[1].Load() != 1 {
				t.Fatal("a stage began too early")
			}
			if ends[0] <= 0 || ends[1] < ends[0] {
				t.Fatal(ends)
			}
			if rep == 25 {
				time.Sleep(time.Millisecond) // let the workers park
			}
		}
		tm.Close()
		tm.Close()
		if tm.Run(context.Background()) == nil {
			t.Error("Run after Close")
		}
	}
	// A worker that has said goodbye may still be counted for a moment.
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("workers are left")
		}
	}
}

func TestCancelAndPanic(t *testing.T) {
	for n := 1; n <= 3; n++ {
		tm := New(n)
		ctx, cancel := context.WithCancel(context.Background())
		a := &ladder{stages: 3, pieces: 4, hook: func(s, p int) { cancel() }}
		b := &ladder{stages: 1, pieces: 4}
		if err := tm.Run(ctx, a, b); !errors.Is(err, context.Canceled) || b.count[0].Load() != 0 {
			t.Error(n, err, b.count[0].Load())
		}
		p := &ladder{stages: 3, pieces: 4, hook: func(s, p int) {
			if s == 1 {
				panic("boom")
			}
		}}
		var pe *PanicError
		if err := tm.Run(context.Background(), b, p); !errors.As(err, &pe) || pe.Value != "boom" || pe.Task != 1 || p.count[2].Load() != 0 {
			t.Error(n, err)
		}
		if err := tm.Run(context.Background(), &ladder{stages: 1, pieces: 3}); err != nil {
			t.Error("after a panic:", err)
		}
		tm.Close()
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	tm := New(2)
	defer tm.Close()
	tasks := []Task{&ladder{stages: 1, pieces: 5}, &ladder{stages: 1, pieces: 5}}
	if a := testing.AllocsPerRun(100, func() { _ = tm.Run(context.Background(), tasks...) }); a > 0 {
		t.Error(a, "allocations a run")
	}
}
