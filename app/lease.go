package app

import (
	"context"
	"time"

	"fettle/internal/fail"
	"fettle/remote/deploy"
	"fettle/remote/wire"
)

// LeaseInfo says who measures on a board and who waits.
type LeaseInfo = wire.Lease

// Manner says what to do where another desk measures on a board.
type Manner = deploy.Manner

// The manners.
const (
	Refuse = deploy.Refuse
	Wait   = deploy.Wait
	Take   = deploy.Take
)

// Lease says who measures on a target.
func (a *App) Lease(ctx context.Context, target string, asks Asks) (l *LeaseInfo, err error) {
	err = a.with(ctx, target, asks, nil, func(c *deploy.Conn) error {
		got, err := c.LookLease(ctx)
		l = &got
		return err
	})
	return l, err
}

// RequestLease lets whoever measures on a target know that somebody waits.
func (a *App) RequestLease(ctx context.Context, target string, asks Asks) error {
	return a.with(ctx, target, asks, nil, func(c *deploy.Conn) error { return c.RequestLease(ctx) })
}

// TakeLease takes a target from whoever measures on it, whose measurement ends without a result, and leaves it free.
func (a *App) TakeLease(ctx context.Context, target string, asks Asks) error {
	return a.measuring(ctx, ProfileRequest{Target: target, Asks: asks, Manner: Take}, func(*deploy.Conn) error { return nil })
}

// measuring runs f on a connection that has the right to measure all the while.
func (a *App) measuring(ctx context.Context, q ProfileRequest, f func(c *deploy.Conn) error) error {
	return a.with(ctx, q.Target, q.Asks, q.Progress, func(c *deploy.Conn) error {
		lease, err := c.Acquire(ctx, q.Manner, q.Progress)
		if err != nil {
			return err
		}
		err = f(c)
		if who := c.Waiting(); who != "" && q.Waiting != nil {
			q.Waiting(who)
		}
		// given back also where the user stopped the run; where it cannot be, the connection's end does it
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if rerr := lease.Release(ctx); err == nil && rerr != nil && !fail.Is(rerr, fail.Unreachable) {
			err = rerr
		}
		return err
	})
}
