// Package team is a group of persistent workers that run kernels together: they claim pieces of a stage and meet at a
// barrier after it. A session owns its team; no goroutine is made for a layer.
//
// The pieces of a stage are cut into as many runs as there are workers. A worker claims those of its own run first, so that the rows which
// it wrote in one layer are in its cache when it reads them in the next, and then what is left of the others'. Claiming instead of fixed shares, and a barrier that first spins and then parks, keep a busy neighbour on one
// processor from stopping the others (measured: fixed shares with a spinning barrier made a network 15 times slower).
package team

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"fettle/kernels/cpu"
)

// Task is work in stages. Pieces of a stage are independent of each other; a stage begins when the one before is complete.
type Task interface {
	Stages() int
	Pieces(stage int) int
	Piece(stage, piece, worker int)
}

// Team is a group of workers. The goroutine that calls Run is worker 0.
type Team struct {
	n       int32
	wait    time.Duration // before parking
	arrived atomic.Int32
	_       [56]byte
	claims  []claim       // by run of pieces
	until   []int         // ends of the runs in parts of until's last; nil: equal runs
	phase   atomic.Uint32 // counts barriers in steps of 2; bit 0: the job has been stopped
	parked  atomic.Int32

	mu   sync.Mutex
	cond *sync.Cond
	done sync.WaitGroup

	busy   atomic.Bool
	closed bool
	job    job
	failed atomic.Pointer[PanicError]
}

// claim counts the pieces of a run that are taken, alone on its line.
type claim struct {
	n atomic.Int32
	_ [60]byte
}

type job struct {
	ctx   context.Context
	tasks []Task
	ends  []time.Duration
	begin time.Time
}

// PanicError is a bug in a kernel: Run returns it instead of letting a worker end the program.
type PanicError struct {
	Value any
	Task  int
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("kernel %d panicked: %v", e.Task, e.Value) }

// New starts n-1 workers (n >= 1); Close ends them.
func New(n int) *Team {
	t := &Team{n: int32(max(1, n)), wait: patience, claims: make([]claim, max(1, n))}
	if n > runtime.GOMAXPROCS(0) {
		t.wait = crowded
	}
	t.cond = sync.NewCond(&t.mu)
	for w := 1; w < int(t.n); w++ {
		t.done.Add(1)
		go t.worker(w)
	}
	return t
}

// NewOn is New with a processor for each worker, for machines whose cores are unlike: worker w but the first stays on seats[w].CPU, and
// begins with a share of the pieces that goes by its speed. The first worker is the caller, who is not moved; a seat that the operating system refuses
// counts for the share only.
func NewOn(seats []cpu.Seat) *Team {
	t := &Team{n: int32(len(seats)), wait: patience, claims: make([]claim, len(seats))}
	t.cond = sync.NewCond(&t.mu)
	sum := 0
	for _, s := range seats {
		sum += max(1, s.Speed)
		t.until = append(t.until, sum)
	}
	for w := 1; w < len(seats); w++ {
		t.done.Add(1)
		go func() {
			runtime.LockOSThread() // as worker does: the thread ends with it, so nobody else runs there
			pin(seats[w].CPU)
			t.worker(w)
		}()
	}
	return t
}

// On runs f on a processor, for measurements, and waits for it; where the operating system refuses the processor, wherever it likes.
func On(processor int, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the thread ends with the goroutine
		pin(processor)
		f()
	}()
	<-done
}

// run is the first piece of a run of n pieces and the one behind its last.
func (t *Team) run(run, n int) (from, to int) {
	if t.until == nil {
		k := len(t.claims)
		return n * run / k, n * (run + 1) / k
	}
	sum := t.until[len(t.until)-1]
	if run > 0 {
		from = n * t.until[run-1] / sum
	}
	return from, n * t.until[run] / sum
}

// Size is the number of workers.
func (t *Team) Size() int { return int(t.n) }

// Close ends the workers and waits for them. No Run may be in progress or follow.
func (t *Team) Close() {
	if t.closed {
		return
	}
	t.closed = true
	if t.n > 1 {
		t.barrier(nil) // workers wake, see closed, and leave
	}
	t.done.Wait()
}

// Run executes the tasks in order and returns when all are complete, ctx is cancelled (its error), or a kernel panics.
// One Run at a time.
func (t *Team) Run(ctx context.Context, tasks ...Task) error { return t.RunTimed(ctx, nil, tasks...) }

// RunTimed is Run; ends, if not nil, gets the time from the beginning to the end of each task.
func (t *Team) RunTimed(ctx context.Context, ends []time.Duration, tasks ...Task) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !t.busy.CompareAndSwap(false, true) {
		return fmt.Errorf("team: Run while another Run is in progress")
	}
	defer t.busy.Store(false)
	if t.closed {
		return fmt.Errorf("team: Run after Close")
	}
	if len(tasks) == 0 {
		return nil
	}
	if ends != nil && len(ends) < len(tasks) {
		return fmt.Errorf("team: room for %d times of %d tasks", len(ends), len(tasks))
	}
	t.failed.Store(nil)
	t.job = job{ctx, tasks, ends, time.Now()}
	if t.n > 1 {
		t.barrier(nil) // wakes the workers
	}
	t.work(0)
	t.job = job{}
	if p := t.failed.Load(); p != nil {
		return p
	}
	return ctx.Err()
}

func (t *Team) worker(w int) {
	defer t.done.Done()
	runtime.LockOSThread()
	for {
		t.barrier(nil)
		if t.closed {
			return
		}
		t.work(w)
	}
}

// work runs a worker's share of the whole job.
func (t *Team) work(w int) {
	for i, task := range t.job.tasks {
		n := task.Stages()
		for s := range n {
			t.stage(i, task, s, w)
			last := s == n-1
			end := -1
			if last {
				end = i
			}
			if t.barrier(&end) {
				return
			}
		}
	}
}

// stage claims and runs pieces until none is left.
func (t *Team) stage(i int, task Task, s, w int) {
	defer func() {
		if v := recover(); v != nil {
			buf := make([]byte, 8<<10)
			t.failed.CompareAndSwap(nil, &PanicError{v, i, buf[:runtime.Stack(buf, false)]})
		}
	}()
	n := task.Pieces(s)
	if t.n == 1 {
		for p := range n {
			task.Piece(s, p, 0)
		}
		return
	}
	k := len(t.claims)
	for i := range k {
		run := (w + i) % k
		from, to := t.run(run, n)
		for {
			p := from + int(t.claims[run].n.Add(1)) - 1
			if p >= to {
				break
			}
			task.Piece(s, p, w)
		}
	}
}

// patience is how long a worker looks at the phase before it parks.
const patience = 100 * time.Microsecond

// crowded is the same where workers have to share processors: who spins keeps the one away that is waited for.
const crowded = 0

// glances is how often it looks between two looks at the clock.
const glances = 512

// barrier returns when all workers have called it, and tells whether the job must stop: the answer lies in the phase, so
// that all get the same. The last one to come does what must be done once: reset the counters, note the time if a task
// has ended (*end >= 0), look at the context.
func (t *Team) barrier(end *int) bool {
	if t.n == 1 {
		return t.settle(end)
	}
	ph := t.phase.Load()
	if t.arrived.Add(1) == t.n {
		stop := t.settle(end)
		next := ph&^1 + 2
		if stop {
			next |= 1
		}
		t.arrived.Store(0)
		for i := range t.claims {
			t.claims[i].n.Store(0)
		}
		t.phase.Store(next)
		if t.parked.Load() > 0 {
			t.mu.Lock()
			t.cond.Broadcast()
			t.mu.Unlock()
		}
		return stop
	}
	for begin := (time.Time{}); ; {
		for range glances {
			if now := t.phase.Load(); now != ph {
				return now&1 != 0
			}
		}
		if begin.IsZero() {
			begin = time.Now()
		} else if time.Since(begin) >= t.wait {
			break
		}
	}
	t.mu.Lock()
	t.parked.Add(1)
	for t.phase.Load() == ph {
		t.cond.Wait()
	}
	t.parked.Add(-1)
	now := t.phase.Load() // the next barrier needs this worker: it cannot have moved on
	t.mu.Unlock()
	return now&1 != 0
}

func (t *Team) settle(end *int) bool {
	if end == nil {
		return false
	}
	if *end >= 0 && t.job.ends != nil {
		t.job.ends[*end] = time.Since(t.job.begin)
	}
	return t.failed.Load() != nil || t.job.ctx.Err() != nil
}
