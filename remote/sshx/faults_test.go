package sshx

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/internal/sshtest"
)

// peer is a bad server: each connection is given to f.
func peer(t *testing.T, f func(c net.Conn, stop <-chan struct{})) Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop); l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c, stop) }()
		}
	}()
	return Target{User: "pi", Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}
}

func secret(context.Context, string, string) (string, error) { return "x", nil }

// TestBadPeers dials servers that are none. Each must give a typed error in time and leave no goroutine behind.
func TestBadPeers(t *testing.T) {
	drip := func(b string) func(net.Conn, <-chan struct{}) {
		return func(c net.Conn, stop <-chan struct{}) {
			for i := 0; ; i++ {
				if _, err := c.Write([]byte{b[i%len(b)]}); err != nil {
					return
				}
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}
	}
	cases := []struct {
		name string
		f    func(net.Conn, <-chan struct{})
	}{
		{"mute", func(_ net.Conn, stop <-chan struct{}) { <-stop }},
		{"closes at once", func(net.Conn, <-chan struct{}) {}},
		{"drips a banner", drip("x")},
		{"drips lines before its banner", drip("hello\n")},
		{"drips after its banner", func(c net.Conn, stop <-chan struct{}) {
			_, _ = io.WriteString(c, "SSH-2.0-drip\r\n")
			drip("\x00")(c, stop)
		}},
		{"mute after its banner", func(c net.Conn, stop <-chan struct{}) {
			_, _ = io.WriteString(c, "SSH-2.0-mute\r\n")
			<-stop
		}},
		{"speaks HTTP", func(c net.Conn, _ <-chan struct{}) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }},
		{"endless banner", func(c net.Conn, _ <-chan struct{}) {
			for {
				if _, err := c.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}},
		{"a packet of 4 GB", func(c net.Conn, stop <-chan struct{}) {
			_, _ = io.WriteString(c, "SSH-2.0-big\r\n\xff\xff\xff\xff\x04")
			<-stop
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tg := peer(t, c.f)
			o := quick(newKeys(t))
			o.Ask, o.Password = accept, secret
			before, start := runtime.NumGoroutine(), time.Now()
			_, err := Dial(t.Context(), tg, o)
			if !fail.Is(err, fail.Unreachable) || fail.From(err).Fix == "" || fail.From(err).Where.Board == "" {
				t.Errorf("got %v", err)
			}
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("it took %v", d)
			}
			settle(t, before+1) // the peer's own
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		o := quick(newKeys(t))
		o.Password = secret
		if _, err := Dial(t.Context(), Target{User: "pi", Host: "127.0.0.1", Port: port}, o); !fail.Is(err, fail.Unreachable) || !strings.Contains(fail.From(err).Fix, "SSH server") {
			t.Errorf("got %v", err)
		}
	})
}

// settle waits until no more than want goroutines are left.
func settle(t *testing.T, want int) {
	t.Helper()
	for end := time.Now().Add(2 * time.Second); ; {
		n := runtime.NumGoroutine()
		if n <= want {
			return
		}
		if time.Now().After(end) {
			b := make([]byte, 1<<16)
			t.Errorf("%d goroutines are left of %d:\n%s", n, want, b[:runtime.Stack(b, true)])
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// pause is a connection that stops passing bytes in both ways, without an end, once on is closed.
type pause struct {
	net.Conn
	on     chan struct{}
	closed chan struct{}
}

func (p *pause) wait() error {
	select {
	case <-p.on:
		<-p.closed
		return net.ErrClosed
	default:
		return nil
	}
}

func (p *pause) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if werr := p.wait(); werr != nil {
		return 0, werr
	}
	return n, err
}

func (p *pause) Write(b []byte) (int, error) {
	if err := p.wait(); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

func (p *pause) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return p.Conn.Close()
}

// TestSilence is about a board that answers and then falls silent: every call must end with a typed error, and Close
// must release everything.
func TestSilence(t *testing.T) {
	calls := []struct {
		name string
		do   func(c *Client) error
	}{
		{"a command", func(c *Client) error { _, err := c.Run(context.Background(), nil, "sleep", "60"); return err }},
		{"an upload", func(c *Client) error {
			_, err := c.Run(context.Background(), io.LimitReader(zeros{}, 1<<30), "cat", "-")
			return err
		}},
		{"a stream", func(c *Client) error { _, err := c.Start(context.Background(), "cat"); return err }},
	}
	for _, call := range calls {
		t.Run(call.name, func(t *testing.T) {
			s := sshtest.Start(t, sshtest.Options{})
			before := runtime.NumGoroutine()
			on := make(chan struct{})
			o := quick(newKeys(t))
			o.Ask = accept
			o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
				var d net.Dialer
				c, err := d.DialContext(ctx, "tcp", addr)
				return &pause{c, on, make(chan struct{})}, err
			}
			c, err := Dial(t.Context(), target(s), o)
			if err != nil {
				t.Fatal(err)
			}
			close(on)
			start := time.Now()
			err = call.do(c)
			if !fail.Is(err, fail.Unreachable) || fail.From(err).Fix == "" {
				t.Errorf("got %v", err)
			}
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("it took %v", d)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			s.Cut()
			settle(t, before+2)
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestMuteAfterLogin is a server that takes the login and answers nothing more.
func TestMuteAfterLogin(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{Mute: true})
	o := quick(newKeys(t))
	o.Ask = accept
	c, err := Dial(t.Context(), target(s), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Run(t.Context(), nil, "true"); !fail.Is(err, fail.Unreachable) {
		t.Errorf("got %v", err)
	}
}

// TestCut cuts the connection at every 7th byte of a login and a command, in each direction.
func TestCut(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	keys := newKeys(t)
	o := quick(keys)
	o.Ask = accept
	var total [2]int64
	whole := func(dial func(context.Context, string) (net.Conn, error)) error {
		o.Dial = dial
		c, err := Dial(t.Context(), target(s), o)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Run(t.Context(), nil, "echo", "hello")
		return err
	}
	tcp := func(ctx context.Context, addr string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
	var count *counted
	if err := whole(func(ctx context.Context, addr string) (net.Conn, error) {
		c, err := tcp(ctx, addr)
		count = &counted{Conn: c}
		return count, err
	}); err != nil {
		t.Fatal(err)
	}
	total = [2]int64{count.read.Load(), count.wrote.Load()}
	step := int64(97)
	if testing.Short() {
		step = 499
	}
	for way, n := range total {
		for at := int64(0); at < n-200; at += step { // what is behind the command's end does not matter
			err := whole(func(ctx context.Context, addr string) (net.Conn, error) {
				c, err := tcp(ctx, addr)
				return &scissors{Conn: c, way: way, left: at}, err
			})
			if k := fail.KindOf(err); k != fail.Unreachable {
				t.Errorf("cut after %d of %d bytes (way %d): %v", at, n, way, err)
			}
		}
	}
}

// scissors ends a connection after some bytes: way 0 of what is read, 1 of what is written.
type scissors struct {
	net.Conn
	way  int
	left int64
}

var errCut = errors.New("cut")

func (s *scissors) Read(p []byte) (int, error) {
	if s.way == 0 {
		if s.left <= 0 {
			s.Close()
			return 0, errCut
		}
		p = p[:min(int64(len(p)), s.left)]
	}
	n, err := s.Conn.Read(p)
	if s.way == 0 {
		s.left -= int64(n)
	}
	return n, err
}

func (s *scissors) Write(p []byte) (int, error) {
	if s.way == 1 && int64(len(p)) > s.left {
		n, _ := s.Conn.Write(p[:max(0, s.left)])
		s.left = 0
		s.Close()
		return n, errCut
	}
	if s.way == 1 {
		s.left -= int64(len(p))
	}
	return s.Conn.Write(p)
}

// TestSlowLink uploads over a link that is slower than the keepalive's question: late is not dead.
func TestSlowLink(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{Wrap: func(c net.Conn) net.Conn {
		return &slow{c}
	}})
	o := quick(newKeys(t))
	o.Ask, o.Connect, o.Keepalive, o.Step = accept, 10*time.Second, 150*time.Millisecond, 500*time.Millisecond
	c, err := Dial(t.Context(), target(s), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	r, err := c.Run(t.Context(), io.LimitReader(zeros{}, 1<<20), "wc", "-c")
	if err != nil || strings.TrimSpace(string(r.Stdout)) != "1048576" {
		t.Errorf("after %v: %q, %v", time.Since(start), r.Stdout, err)
	}
}

// slow reads at most 16 KiB in 15 ms: a megabyte a second.
type slow struct{ net.Conn }

func (s *slow) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p[:min(len(p), 16<<10)])
	time.Sleep(time.Duration(n) * 15 * time.Millisecond / (16 << 10))
	return n, err
}
