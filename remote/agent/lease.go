package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/remote/board"
	"fettle/remote/wire"
)

// leaseIdle is how long a desk may hold the lease without a word: it may be gone without a trace.
const leaseIdle = 90 * time.Second

// leaseWatch is how often a holder looks whether the lease was taken from it.
const leaseWatch = 250 * time.Millisecond

// yieldWithin is how long a holder may take to let go after the lease was taken from it.
const yieldWithin = 5 * time.Second

// leases is the right to measure on a board, of one desk at a time. Who holds it has a lock on a file, which ends with the
// last process that has it: with the agent, or with a measurement that outlives its connection. The number of the holder is
// in another file. It grows with each and never goes back, so whoever lost the lease is known by a smaller one, also when
// it comes back after a cut.
//
//	measure.lock  locked by the holder
//	lease.lock    locked while lease.json changes
//	lease.json    who, since when, and who asks for it
type leases struct {
	store *Store
	mu    sync.Mutex
	held  *os.File // measure.lock, nil: not ours
	epoch int64    // of what is held
	idle  *time.Timer
}

type leaseFile struct {
	Epoch  int64  `json:"epoch"`
	Holder string `json:"holder"`
	Since  int64  `json:"since_unix"`
	Up     int64  `json:"up"` // seconds since the board started
	Asked  string `json:"asked,omitempty"`
}

func (l *leases) path() string { return filepath.Join(l.store.dir, "lease.json") }

func (l *leases) read() (leaseFile, error) {
	var f leaseFile
	b, err := os.ReadFile(l.path())
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, cas.Explain(err)
	}
	if json.Unmarshal(b, &f) != nil || f.Epoch < 0 {
		return f, fail.New(fail.Corrupt, "the file that says who measures cannot be read").Try("remove %s on the board", l.path())
	}
	return f, nil
}

// change writes what f makes of the file; no two processes do so at once.
func (l *leases) change(f func(*leaseFile) error) (leaseFile, error) {
	var lock *os.File
	for try := 0; ; try++ {
		var err error
		if lock, err = claim(filepath.Join(l.store.dir, "lease.lock")); err == nil {
			break
		}
		if try >= 200 || !fail.Is(err, fail.Busy) {
			return leaseFile{}, err
		}
		time.Sleep(5 * time.Millisecond) // others hold it for one small write
	}
	defer lock.Close()
	v, err := l.read()
	if err == nil {
		err = f(&v)
	}
	if err != nil {
		return v, err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return v, fail.New(fail.Internal, "%v", err)
	}
	return v, cas.WriteFile(l.store.disk, l.path(), b)
}

// look says who measures. The answer is true for now only.
func (l *leases) look() (wire.Lease, error) {
	f, err := l.read()
	if err != nil {
		return wire.Lease{}, err
	}
	out := wire.Lease{Epoch: f.Epoch, Holder: f.Holder, Since: f.Since, Asked: f.Asked, ForS: max(0, upSeconds()-f.Up)}
	l.mu.Lock()
	out.Held = l.held != nil
	l.mu.Unlock()
	if !out.Held {
		probe, err := claim(filepath.Join(l.store.dir, lockMeasure))
		if err == nil {
			probe.Close()
		}
		out.Held = fail.Is(err, fail.Busy)
	}
	return out, nil
}

// busy says who measures and since when.
func (l *leases) busy() error {
	f, err := l.look()
	if err != nil || f.Holder == "" {
		return fail.New(fail.Busy, "another desk measures on this board").Try("wait until it is done: two measurements at once would spoil both")
	}
	return fail.New(fail.Busy, "%s measures on this board, for %v so far", f.Holder, time.Duration(f.ForS)*time.Second).
		Try("wait until it is done (--wait), ask for the board, or take it (--take): two measurements at once would spoil both")
}

// stale is what a desk hears whose lease is over.
func (l *leases) stale(epoch int64) error {
	f, err := l.look()
	if err != nil {
		return err
	}
	return fail.New(fail.Busy, "lease %d of this board is over: %s has number %d, for %v so far", epoch, f.Holder, f.Epoch, time.Duration(f.ForS)*time.Second).
		Try("acquire the lease again; what was measured under the old one is not complete")
}

// acquire gives the lease to this agent's desk; fail.Busy where another has it. A desk that has it keeps its number.
func (l *leases) acquire(holder string) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil {
		if f, err := l.read(); err == nil && f.Epoch == l.epoch {
			return l.epoch, nil
		}
		l.drop()
	}
	lock, err := claim(filepath.Join(l.store.dir, lockMeasure))
	for try := 0; try < 3 && fail.Is(err, fail.Busy); try++ {
		time.Sleep(10 * time.Millisecond) // who only looks holds it for a moment
		lock, err = claim(filepath.Join(l.store.dir, lockMeasure))
	}
	if err != nil {
		if fail.Is(err, fail.Busy) {
			l.mu.Unlock()
			err = l.busy()
			l.mu.Lock()
		}
		return 0, err
	}
	f, err := l.change(func(f *leaseFile) error { *f = next(*f, holder); return nil })
	if err != nil {
		lock.Close()
		return 0, err
	}
	l.keep(lock, f.Epoch)
	return f.Epoch, nil
}

func next(f leaseFile, holder string) leaseFile {
	if holder = board.Printable(holder); holder == "" {
		holder = "somebody"
	}
	if r := []rune(holder); len(r) > 80 {
		holder = string(r[:80])
	}
	return leaseFile{Epoch: f.Epoch + 1, Holder: holder, Since: time.Now().Unix(), Up: upSeconds()}
}

// take makes the lease this desk's whoever has it: the new number is written, the holder sees it and stops, then the lock is
// free. Measurements of both never overlap.
func (l *leases) take(ctx context.Context, holder string) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil {
		return l.epoch, nil
	}
	f, err := l.change(func(f *leaseFile) error { *f = next(*f, holder); return nil })
	if err != nil {
		return 0, err
	}
	for end := time.Now().Add(yieldWithin); ; {
		lock, err := claim(filepath.Join(l.store.dir, lockMeasure))
		if err == nil {
			if now, rerr := l.read(); rerr != nil || now.Epoch != f.Epoch {
				lock.Close()
				return 0, fail.New(fail.Busy, "%s was faster", now.Holder).Try("try again")
			}
			l.keep(lock, f.Epoch)
			return f.Epoch, nil
		}
		if !fail.Is(err, fail.Busy) {
			return 0, err
		}
		if time.Now().After(end) {
			return 0, fail.New(fail.Busy, "the holder of the board does not let go of it within %v", yieldWithin).Try("see what hangs on the board: ps, and end it there")
		}
		select {
		case <-ctx.Done():
			return 0, fail.From(ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// keep holds the lock until it is dropped, idle for long, or taken by another; the caller has mu.
func (l *leases) keep(lock *os.File, epoch int64) {
	l.held, l.epoch = lock, epoch
	var look *time.Timer
	look = time.AfterFunc(leaseWatch, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		switch {
		case l.held != lock:
		case l.over(epoch):
			l.drop()
		default:
			look.Reset(leaseWatch)
		}
	})
	if l.idle != nil {
		l.idle.Stop()
	}
	l.idle = time.AfterFunc(leaseIdle, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.held == lock {
			l.drop()
		}
	})
}

// drop lets go; the caller has mu.
func (l *leases) drop() {
	if l.held != nil {
		l.held.Close()
		l.held = nil
	}
	if l.idle != nil {
		l.idle.Stop()
	}
}

// touch keeps the lease of a desk that is heard of.
func (l *leases) touch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil {
		l.idle.Reset(leaseIdle)
	}
}

// release lets go of the lease of this number.
func (l *leases) release(epoch int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil || l.epoch != epoch {
		return nil // it is over already
	}
	l.drop()
	return nil
}

// use gives the lock for one measurement under a lease, to be closed when it ends. Number 0 takes the lease for this
// measurement only. A number of a lease that is over is refused; after a cut its desk may come back to it.
func (l *leases) use(epoch int64, holder string) (*os.File, int64, error) {
	if epoch == 0 {
		if f, err := l.read(); err != nil {
			return nil, 0, err
		} else if l.mine(f.Epoch) {
			return nil, 0, fail.New(fail.Usage, "this desk holds lease %d and measures without it", f.Epoch)
		}
		var err error
		if epoch, err = l.acquire(holder); err != nil {
			return nil, 0, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		lock := l.held
		if l.idle != nil {
			l.idle.Stop()
		}
		l.held = nil // the measurement has it now
		return lock, epoch, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.read()
	if err != nil {
		return nil, 0, err
	}
	if f.Epoch != epoch {
		l.drop()
		l.mu.Unlock()
		defer l.mu.Lock()
		return nil, 0, l.stale(epoch)
	}
	if l.held == nil || l.epoch != epoch {
		lock, err := claim(filepath.Join(l.store.dir, lockMeasure))
		if err != nil {
			return nil, 0, err
		}
		l.keep(lock, epoch)
	}
	lock, err := dup(l.held)
	return lock, epoch, err
}

func (l *leases) mine(epoch int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held != nil && l.epoch == epoch
}

// over reports whether the lease of this number was taken by another.
func (l *leases) over(epoch int64) bool {
	f, err := l.read()
	return err == nil && f.Epoch != epoch
}

// lease answers a desk.
func (a *Agent) lease(ctx context.Context, q wire.LeaseAsk) (wire.Lease, error) {
	l := a.leases
	var err error
	switch q.Do {
	case wire.LeaseLook:
	case wire.LeaseAcquire:
		_, err = l.acquire(q.Holder)
	case wire.LeaseTake:
		_, err = l.take(ctx, q.Holder)
	case wire.LeaseRequest:
		_, err = l.change(func(f *leaseFile) error { f.Asked = next(*f, q.Holder).Holder; return nil })
	case wire.LeaseRelease:
		err = l.release(q.Epoch)
	default:
		err = fail.New(fail.Unsupported, "this agent does not know what %.40q of a lease is", q.Do)
	}
	if err != nil {
		return wire.Lease{}, err
	}
	return l.look()
}
