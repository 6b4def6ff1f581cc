package team

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"fettle/kernels/cpu"
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

// spin is work of a known length: additions that depend on each other.
type spin struct{ pieces, adds int }

func (s spin) Stages() int    { return 1 }
func (s spin) Pieces(int) int { return s.pieces }
func (s spin) Piece(_, _, w int) {
	x := uint64(w)
	for range s.adds / s.pieces {
		x = x*3 + 1
	}
	sink[w%len(sink)].Store(x)
}

var sink [8]atomic.Uint64

// BenchmarkBarrier shows from what length of work two workers are faster than one: 64 steps of it, done by one worker and shared by two.
// The bounds of engine/alone.go follow from it.
func BenchmarkBarrier(b *testing.B) {
	for _, adds := range []int{250, 500, 1000, 2000, 4000, 8000} {
		for workers := 1; workers <= 2; workers++ {
			b.Run(fmt.Sprintf("adds=%d/workers=%d", adds, workers), func(b *testing.B) {
				tasks := make([]Task, 64)
				for i := range tasks {
					tasks[i] = spin{pieces: 2 * workers, adds: adds}
				}
				crew := New(workers)
				defer crew.Close()
				best := time.Hour // the best run: the machine may be shared
				for b.Loop() {
					begin := time.Now()
					if err := crew.Run(context.Background(), tasks...); err != nil {
						b.Fatal(err)
					}
					best = min(best, time.Since(begin))
				}
				b.ReportMetric(float64(best.Nanoseconds())/64, "best-ns/step")
			})
		}
	}
}

// TestSeats: every piece is done once whatever the speeds are, and each worker's own run goes by its speed.
func TestSeats(t *testing.T) {
	seats := []cpu.Seat{{CPU: 0, Speed: 6}, {CPU: 1, Speed: 3}, {CPU: 100000, Speed: 1}} // the last does not exist
	crew := NewOn(seats)
	defer crew.Close()
	for _, n := range []int{0, 1, 2, 10, 1000} {
		end := 0
		for w, want := range []int{n * 6 / 10, n * 9 / 10, n} {
			from, to := crew.run(w, n)
			if from != end || to != want {
				t.Errorf("%d pieces, worker %d: %d to %d, want %d to %d", n, w, from, to, end, want)
			}
			end = to
		}
		done := make([]atomic.Int32, n)
		if err := crew.Run(context.Background(), each{n, func(p int) { done[p].Add(1) }}); err != nil {
			t.Fatal(err)
		}
		for p := range done {
			if done[p].Load() != 1 {
				t.Fatalf("%d pieces: piece %d was done %d times", n, p, done[p].Load())
			}
		}
	}
}

type each struct {
	n int
	f func(int)
}

func (e each) Stages() int       { return 1 }
func (e each) Pieces(int) int    { return e.n }
func (e each) Piece(_, p, _ int) { e.f(p) }
