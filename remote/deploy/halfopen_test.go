//go:build unix

package deploy

import (
	"context"
	stdnet "net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fettle/internal/sshtest"
	"fettle/remote/wire"
)

// frozen is a connection through which nothing passes any more, in both ways and without an end, once on says so: a cable that
// was pulled, or a board without power.
type frozen struct {
	stdnet.Conn
	on     *atomic.Bool
	read   func(n int) // told of every byte before anybody sees it
	closed chan struct{}
	once   sync.Once
}

func (f *frozen) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	f.read(n)
	if f.on.Load() {
		<-f.closed
		return 0, stdnet.ErrClosed
	}
	return n, err
}

func (f *frozen) Write(p []byte) (int, error) {
	if f.on.Load() {
		return len(p), nil // the kernel takes it, and nobody gets it
	}
	return f.Conn.Write(p)
}

func (f *frozen) Close() error {
	f.once.Do(func() { close(f.closed) })
	if f.on.Load() {
		return nil // the board hears nothing of it
	}
	return f.Conn.Close()
}

// TestHalfOpen freezes the connection of a measurement three times, by what has come over it: a desk that is slow to look at samples
// may have all of them in its buffers by the time that it sees the first. The desk notices within three times the keepalive's interval (15 s with
// the default of 5), comes back to the same run, and its samples are exactly 1 to n. Without a keepalive it does not notice: the control.
func TestHalfOpen(t *testing.T) {
	const beat = 300 * time.Millisecond
	run := func(t *testing.T, keepalive time.Duration, freezes int, patience time.Duration) (n int, complete bool, worst time.Duration) {
		s := sshtest.Start(t, sshtest.Options{})
		spec, o := desk(t, s)
		const share = 64 << 10 // of about 1.2 MiB that 6000 samples take
		var mu sync.Mutex
		var open []*atomic.Bool // an upload may have connections of its own
		var since time.Time
		total, froze := 0, 0
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		late := time.AfterFunc(time.Hour, cancel)
		read := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			if total += n; froze == freezes || total < share*(froze+1) {
				return
			}
			froze++
			for _, on := range open {
				on.Store(true)
			}
			since = time.Now()
			late.Reset(patience)
		}
		o.SSH.Keepalive = keepalive
		o.SSH.Dial = func(ctx context.Context, addr string) (stdnet.Conn, error) {
			var d stdnet.Dialer
			c, err := d.DialContext(ctx, "tcp", addr)
			mu.Lock()
			defer mu.Unlock()
			on := &atomic.Bool{}
			open = append(open, on)
			t.Cleanup(func() {
				if c != nil {
					c.Close()
				}
			})
			return &frozen{Conn: c, on: on, read: read, closed: make(chan struct{})}, err
		}
		c, err := Dial(t.Context(), spec, o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		defer endJobs(t, s.Home)
		po := NewProfileOptions()
		po.Launches, po.Runs = 1, 3000
		tr, err := c.Profile(ctx, FromBundle(net(t, "net", 0)), po, func(x Sample) {
			if x.Kind != wire.KindWarmup {
				n++
			}
			if x.Done != n {
				t.Errorf("sample %d came where %d was due", x.Done, n)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(open) > 0 && !open[len(open)-1].Load() && !since.IsZero() { // over a new connection
				late.Stop()
				worst, since = max(worst, time.Since(since)), time.Time{}
			}
		})
		late.Stop()
		if froze != freezes {
			t.Errorf("%d freezes where %d were due: %d bytes came", froze, freezes, total)
		}
		return n, err == nil && tr.Complete(), worst
	}
	t.Run("noticed", func(t *testing.T) {
		n, complete, worst := run(t, beat, 3, 20*time.Second)
		if n != 6000 || !complete {
			t.Errorf("%d samples of 6000 came, complete %v", n, complete)
		}
		if worst > 3*beat+5*time.Second { // the rest is logging in again
			t.Errorf("samples went on after %v", worst)
		}
		t.Logf("three half-open connections; samples went on within %v", worst)
	})
	t.Run("control", func(t *testing.T) {
		if n, complete, _ := run(t, time.Hour, 1, 2500*time.Millisecond); complete || n >= 6000 {
			t.Errorf("without a keepalive the run went on: %d samples", n)
		}
	})
}
