// Package task owns the goroutines of Fettle: a Group waits for everything it started, turns a panic
// into a typed error and cancels the rest; Progress carries done, total and a word to whoever shows it.
//
// It knows nothing of windows or terminals. Start reading at Group.
package task

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"fettle/internal/fail"
)

// Group runs named goroutines that share a context and waits for all of them.
type Group struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	err    error
}

// NewGroup makes a group under ctx; the first error cancels Context.
func NewGroup(ctx context.Context) *Group {
	ctx, cancel := context.WithCancel(ctx)
	return &Group{ctx: ctx, cancel: cancel}
}

// Context is cancelled when the parent is, when a goroutine fails, or when Wait returns.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs f in its own goroutine. The first error or panic cancels the group.
func (g *Group) Go(name string, f func(ctx context.Context) error) {
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		if err := Safely(name, func() error { return f(g.ctx) }); err != nil {
			g.mu.Lock()
			if g.err == nil {
				g.err = err
			}
			g.mu.Unlock()
			g.cancel()
		}
	}()
}

// Cancel asks all goroutines to stop.
func (g *Group) Cancel() { g.cancel() }

// Wait blocks until every goroutine has returned and gives the first error.
func (g *Group) Wait() error {
	g.wg.Wait()
	g.cancel()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// Safely runs f and turns a panic into a fail.Internal with the stack as its cause.
func Safely(name string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &fail.Error{Kind: fail.Internal, What: name, Why: fmt.Sprint("a bug stopped this job: ", r),
				Fix: "please report it with the steps that led here", Err: &Panic{Value: r, Stack: debug.Stack()}}
		}
	}()
	return f()
}

// Panic is the cause of an Internal error that came from a recovered panic.
type Panic struct {
	Value any
	Stack []byte
}

// Error prints the value and the stack.
func (p *Panic) Error() string { return fmt.Sprintf("panic: %v\n%s", p.Value, p.Stack) }

// Progress is told how far a job is: done of total units (total 0: not known) and what it is at.
// A nil Progress is allowed everywhere; use Report.
type Progress func(done, total int64, what string)

// Report calls p if it is there.
func (p Progress) Report(done, total int64, what string) {
	if p != nil {
		p(done, total, what)
	}
}
