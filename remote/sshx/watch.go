package sshx

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// sendBuffer keeps what the kernel holds for a board small: a question about its life waits behind these bytes.
const sendBuffer = 128 << 10

// counted is a connection that counts the bytes which pass.
type counted struct {
	net.Conn
	read, wrote atomic.Int64
}

// Read counts what came.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// Write counts what the kernel took.
func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.wrote.Add(int64(n))
	return n, err
}

func (c *counted) moved() int64 { return c.read.Load() + c.wrote.Load() }

// uphill grows with an upload. Answers to a server that asks without end do not count: they are no longer than its questions.
func (c *counted) uphill() int64 { return c.wrote.Load() - c.read.Load() }

// watchdog calls late when a step has passed in which a count grew by less than least.
type watchdog struct {
	step  time.Duration
	least int64
	count func() int64
	late  func()

	mu    sync.Mutex
	timer *time.Timer
	last  int64
	ended bool
}

func watch(step time.Duration, least int64, count func() int64, late func()) *watchdog {
	w := &watchdog{step: step, least: least, count: count, late: late, last: count()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(step, w.look)
	return w
}

func (w *watchdog) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	now := w.count()
	if now-w.last >= w.least {
		w.last = now
		w.timer.Reset(w.step)
		return
	}
	w.ended = true
	w.late()
}

func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.timer.Stop()
}

// deadline ends a login that takes too long. It stands still while a person is asked something.
type deadline struct {
	limit time.Duration
	late  func()

	mu    sync.Mutex
	timer *time.Timer
}

func (d *deadline) start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer = time.AfterFunc(d.limit, d.late)
}

func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
}
