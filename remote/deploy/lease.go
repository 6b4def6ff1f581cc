package deploy

import (
	"context"
	"os"
	"os/user"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/remote/board"
	"fettle/remote/wire"
)

// Lease is the right to measure on a board. Measurements of a Conn that has none take it for their own time; who holds one
// keeps others out between its measurements too.
type Lease struct {
	c     *Conn
	Epoch int64
}

// Manner says what to do where another desk measures.
type Manner int

// The manners of asking for a board.
const (
	Refuse Manner = iota // say who has it and since when
	Wait                 // until it is free, and let its holder know
	Take                 // at once: the measurement of the other ends without a result
)

// Holder is what others read of who measures: user and computer.
func Holder() string {
	name, host := "somebody", "a desk"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil && h != "" {
		host = h
	}
	return name + "@" + host
}

// leasePoll is how often a desk that waits looks.
const leasePoll = 400 * time.Millisecond

// Acquire gets the right to measure until Release, or until the connection ends. Busy says who has it and since when; with
// Wait the context bounds the wait.
func (c *Conn) Acquire(ctx context.Context, how Manner, progress task.Progress) (*Lease, error) {
	const what = "get the board"
	if c.now().hello.Protocol < 2 {
		return &Lease{c, 0}, nil // an agent of before: each measurement has its lock
	}
	ask := wire.LeaseAsk{Do: wire.LeaseAcquire, Holder: Holder()}
	if how == Take {
		ask.Do = wire.LeaseTake
	}
	for first := true; ; first = false {
		var l wire.Lease
		err := c.link().Do(ctx, wire.VerbLease, ask, &l)
		if err == nil {
			out := &Lease{c, l.Epoch}
			c.mu.Lock()
			c.lease = out
			c.mu.Unlock()
			return out, nil
		}
		if how != Wait || !fail.Is(err, fail.Busy) {
			return nil, c.because(err, what)
		}
		if first {
			// the holder hears of it after its measurement; a board that cannot say so is waited for all the same
			_ = c.link().Do(ctx, wire.VerbLease, wire.LeaseAsk{Do: wire.LeaseRequest, Holder: Holder()}, nil)
		}
		progress.Report(0, 0, "wait: "+fail.From(err).Why)
		select {
		case <-ctx.Done():
			return nil, c.because(fail.From(ctx.Err()), what)
		case <-time.After(leasePoll):
		}
	}
}

// Release gives the right back.
func (l *Lease) Release(ctx context.Context) error {
	if l.Epoch == 0 {
		return nil
	}
	l.c.mu.Lock()
	if l.c.lease == l {
		l.c.lease = nil
	}
	l.c.mu.Unlock()
	return l.c.because(l.c.link().Do(ctx, wire.VerbLease, wire.LeaseAsk{Do: wire.LeaseRelease, Epoch: l.Epoch}, nil), "give the board back")
}

// LookLease says who measures on the board, and who waits.
func (c *Conn) LookLease(ctx context.Context) (wire.Lease, error) {
	var l wire.Lease
	err := c.link().Do(ctx, wire.VerbLease, wire.LeaseAsk{Do: wire.LeaseLook}, &l)
	l.Holder, l.Asked = board.Printable(l.Holder), board.Printable(l.Asked)
	return l, c.because(err, "ask who measures")
}

// RequestLease lets the holder know that somebody waits.
func (c *Conn) RequestLease(ctx context.Context) error {
	return c.because(c.link().Do(ctx, wire.VerbLease, wire.LeaseAsk{Do: wire.LeaseRequest, Holder: Holder()}, nil), "ask for the board")
}

func (c *Conn) epoch() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease == nil {
		return 0
	}
	return c.lease.Epoch
}

// asked keeps who waits for the board.
func (c *Conn) asked(who string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = board.Printable(who)
}

// Waiting is who asked for the board during the last measurement, "" for nobody.
func (c *Conn) Waiting() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting
}
