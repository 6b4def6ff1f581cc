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
	closed chan struct{}
	once   sync.Once
}

func (f *frozen) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
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

// TestHalfOpen freezes the connection of a measurement three times. The desk notices within three times the keepalive's interval (15 s with
// the default of 5), comes back to the same run, and its samples are exactly 1 to n. Without a keepalive it does not notice: the control.
func TestHalfOpen(t *testing.T) {
	const beat = 300 * time.Millisecond
	run := func(t *testing.T, keepalive time.Duration, freezes int, patience time.Duration) (n int, complete bool, worst time.Duration) {
		s := sshtest.Start(t, sshtest.Options{})
		spec, o := desk(t, s)
		var mu sync.Mutex
		var open []*atomic.Bool // an upload may have connections of its own
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
			return &frozen{Conn: c, on: on, closed: make(chan struct{})}, err
		}
		c, err := Dial(t.Context(), spec, o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		defer endJobs(t, s.Home)
		po := NewProfileOptions()
		po.Launches, po.Runs = 1, 3000
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var since time.Time
		froze := 0
		late := time.AfterFunc(time.Hour, cancel)
		tr, err := c.Profile(ctx, FromBundle(net(t, "net", 0)), po, func(x Sample) {
			late.Stop()
			if !since.IsZero() {
				worst, since = max(worst, time.Since(since)), time.Time{}
			}
			if x.Kind != wire.KindWarmup {
				n++
			}
			if x.Done != n {
				t.Errorf("sample %d came where %d was due", x.Done, n)
			}
			if froze < freezes && n == 300*(froze+1) {
				froze++
				mu.Lock()
				for _, on := range open {
					on.Store(true)
				}
				mu.Unlock()
				since = time.Now()
				late = time.AfterFunc(patience, cancel)
			}
		})
		late.Stop()
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
