// Package later owns the slow work of views: it runs off the toolkit's goroutine, and only the newest result comes back.
//
// It knows no widget and no model; how a result reaches the toolkit's goroutine is given to it. Start reading at Latest.
package later

import (
	"context"
	"sync"

	"fettle/internal/fail"
	"fettle/internal/task"
)

// Latest runs one piece of work at a time for one purpose: a new one stops the one before.
type Latest struct {
	post  func(func())
	group *task.Group

	mu     sync.Mutex
	seq    int64
	cancel context.CancelFunc
	idle   sync.WaitGroup
}

// New makes a Latest whose results come back through post.
func New(post func(func())) *Latest {
	return &Latest{post: post, group: task.NewGroup(context.Background())}
}

// Run starts work on a goroutine of its own. done gets its error on the toolkit's goroutine, unless a newer Run or Close
// came in between. A panic of work arrives as an error.
func (l *Latest) Run(name string, work func(ctx context.Context) error, done func(err error)) {
	ctx, cancel := context.WithCancel(l.group.Context())
	l.mu.Lock()
	l.seq++
	seq := l.seq
	if l.cancel != nil {
		l.cancel()
	}
	l.cancel = cancel
	l.mu.Unlock()
	l.idle.Add(1)
	l.group.Go(name, func(context.Context) error {
		defer l.idle.Done()
		err := task.Safely(name, func() error { return work(ctx) })
		cancel()
		if fail.Is(err, fail.Cancelled) || !l.newest(seq) {
			return nil
		}
		l.post(func() {
			if l.newest(seq) {
				done(err)
			}
		})
		return nil
	})
}

func (l *Latest) newest(seq int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq == seq
}

// Wait returns when nothing runs: for tests.
func (l *Latest) Wait() { l.idle.Wait() }

// Close stops what runs; nothing comes back afterwards.
func (l *Latest) Close() {
	l.mu.Lock()
	l.seq++
	l.mu.Unlock()
	l.group.Cancel()
}
