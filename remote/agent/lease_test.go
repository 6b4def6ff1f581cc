package agent

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
)

// TestLease is two desks at one board: who is second hears who has it; who lost it is refused; numbers only grow.
func TestLease(t *testing.T) {
	s, err := OpenStore(filepath.Join(t.TempDir(), "store"), calm())
	if err != nil {
		t.Fatal(err)
	}
	a, b := &leases{store: s}, &leases{store: s}
	one, err := a.acquire("ada@desk\x1b[31m")
	if err != nil || one != 1 {
		t.Fatal(one, err)
	}
	if _, err := b.acquire("bob@desk"); !fail.Is(err, fail.Busy) || !strings.Contains(err.Error(), "ada@desk") || strings.Contains(err.Error(), "\x1b") || fail.From(err).Fix == "" {
		t.Errorf("the second desk hears %v", err)
	}
	if _, _, err := b.use(0, "bob@desk"); !fail.Is(err, fail.Busy) {
		t.Errorf("measuring without the lease: %v", err)
	}
	if l, err := b.look(); err != nil || !l.Held || l.Holder != "ada@desk[31m" || l.Epoch != 1 {
		t.Errorf("look: %+v, %v", l, err)
	}
	// ada measures under her lease; bob takes it: the lock is only his when hers is closed
	lock, _, err := a.use(one, "")
	if err != nil {
		t.Fatal(err)
	}
	g := task.NewGroup(context.Background())
	g.Go("holder", func(context.Context) error {
		for !a.over(one) {
		}
		a.mu.Lock()
		a.drop()
		a.mu.Unlock()
		return lock.Close()
	})
	two, err := b.take(t.Context(), "bob@desk")
	if err != nil || two <= one {
		t.Fatal(two, err)
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if _, _, err := a.use(one, ""); !fail.Is(err, fail.Busy) || !strings.Contains(err.Error(), "lease 1 of this board is over: bob@desk") {
		t.Errorf("the stale holder hears %v", err)
	}
	if err := b.release(two); err != nil {
		t.Error(err)
	}
	// after a cut a desk comes back under its number, unless somebody had the board meanwhile
	back := &leases{store: s}
	if lock, n, err := back.use(two, ""); err != nil || n != two {
		t.Errorf("coming back: %d, %v", n, err)
	} else {
		lock.Close()
	}
	if err := back.release(two); err != nil {
		t.Error(err)
	}
	if three, err := a.acquire("ada@desk"); err != nil || three != two+1 {
		t.Errorf("number %d after %d, %v", three, two, err)
	}
}

// plan is what one desk does in TestLeases.
type clash struct {
	inside   atomic.Int32
	overlaps atomic.Int32
	stale    atomic.Int32
	last     atomic.Int64
}

// TestLeases lets 6 desks acquire, take, measure, vanish and come back in random order: no two measure at once, numbers
// grow, and no command of a stale number is obeyed. A lease without its lock is the control: measurements overlap.
func TestLeases(t *testing.T) {
	steps := 120
	if os.Getenv("FETTLE_LONG") != "" {
		steps = 10_000
	}
	run := func(t *testing.T, locked bool) *clash {
		s, err := OpenStore(filepath.Join(t.TempDir(), "store"), calm())
		if err != nil {
			t.Fatal(err)
		}
		var c clash
		var wg sync.WaitGroup
		for desk := range 6 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				rng := rand.New(rand.NewPCG(7, uint64(desk)))
				l := &leases{store: s}
				var mine int64
				for range steps {
					switch rng.IntN(5) {
					case 0:
						if n, err := l.acquire("a"); err == nil {
							mine = n
						}
					case 1:
						if n, err := l.take(t.Context(), "b"); err == nil {
							mine = n
						}
					case 2: // the agent dies and starts again
						l.mu.Lock()
						l.drop()
						l.mu.Unlock()
						l = &leases{store: s}
					case 3:
						if err := l.release(mine); err != nil {
							t.Error(err)
						}
					case 4:
						if mine != 0 {
							measure(t, l, mine, &c, locked)
						}
					}
					if mine != 0 && l.over(mine) { // what the watch of an agent does
						l.mu.Lock()
						l.drop()
						l.mu.Unlock()
					}
				}
				l.mu.Lock()
				l.drop()
				l.mu.Unlock()
			}()
		}
		wg.Wait()
		return &c
	}
	if c := run(t, true); c.overlaps.Load() > 0 || c.stale.Load() > 0 || c.last.Load() < 20 {
		t.Errorf("%d overlaps, %d stale commands obeyed, %d leases", c.overlaps.Load(), c.stale.Load(), c.last.Load())
	}
	if c := run(t, false); c.overlaps.Load() == 0 && c.stale.Load() == 0 {
		t.Error("without the lock nothing went wrong, so the test is blind")
	}
}

func measure(t *testing.T, l *leases, epoch int64, c *clash, locked bool) {
	var lock *os.File
	if locked {
		var err error
		if lock, _, err = l.use(epoch, ""); err != nil {
			if !fail.Is(err, fail.Busy) {
				t.Error(err)
			}
			return
		}
		defer lock.Close()
		if epoch < c.last.Load() {
			c.stale.Add(1)
		}
	}
	if c.inside.Add(1) > 1 {
		c.overlaps.Add(1)
	}
	for old := c.last.Load(); epoch > old && !c.last.CompareAndSwap(old, epoch); old = c.last.Load() {
	}
	time.Sleep(100 * time.Microsecond) // the measurement
	c.inside.Add(-1)
}
