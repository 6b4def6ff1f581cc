// Package sshx owns SSH: it is the only importer of golang.org/x/crypto/ssh. It dials a board, checks its host key,
// logs in, runs commands and opens streams, each step under an absolute deadline.
//
// A peer that is mute, drips bytes or never takes them ends in a typed error in time. No forwarding is offered and no
// channel that the server opens is accepted. Start reading at Dial.
package sshx

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/crypto/ssh"

	"fettle/internal/fail"
	"fettle/internal/task"
)

// Target is where to log in. ParseTarget makes one.
type Target struct {
	User     string
	Host     string   // name or address to dial
	Port     int      // 1 to 65535
	Alias    string   // name in ~/.ssh/config, "" if none
	Identity []string // private key files, tried in order
	OnlyThem bool     // of an ssh agent, use only the keys whose public half lies beside an Identity file
	Jump     []Target // hosts to go through, nearest to the desk first
}

// Addr is host:port.
func (t Target) Addr() string { return net.JoinHostPort(t.Host, strconv.Itoa(t.Port)) }

// String is user@host:port.
func (t Target) String() string { return t.User + "@" + t.Addr() }

// Options say how to log in. The zero value of a duration means its default.
type Options struct {
	Keys       *HostKeys // what is known of host keys; required
	Ask        AskHostKey
	Passphrase func(ctx context.Context, file string) (string, error)       // of an encrypted key file; nil: such files are skipped
	Password   func(ctx context.Context, user, host string) (string, error) // nil: passwords are not tried
	AgentSock  string                                                       // socket of an ssh agent, "" for none
	Dial       func(ctx context.Context, addr string) (net.Conn, error)     // nil: TCP
	Connect    time.Duration                                                // dial, handshake and login of one host together; 15 s
	Step       time.Duration                                                // one command of Run; 15 s
	Keepalive  time.Duration                                                // between questions to an idle server; 5 s
}

func (o Options) withDefaults() Options {
	fill := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	fill(&o.Connect, 15*time.Second)
	fill(&o.Step, 15*time.Second)
	fill(&o.Keepalive, 5*time.Second)
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	return o
}

// Client is one logged-in connection, with its hops.
type Client struct {
	Target Target
	opt    Options
	ssh    *ssh.Client
	conn   ssh.Conn // what ssh stands on
	raw    *counted
	via    *Client // hop before this one, nil for none
	group  *task.Group
	over   chan struct{} // closed when the connection ended
	mu     sync.Mutex
	dead   error // why the connection ended
}

// Dial logs in. An unknown host key is asked about with no connection open, so that a person may take all the time that
// comparing a fingerprint needs; then the host is dialled again and has to show the accepted key. Errors: Unreachable
// (no answer in time), Denied (host key or login refused), Invalid (a known_hosts or key file cannot be read).
func Dial(ctx context.Context, t Target, o Options) (*Client, error) {
	o = o.withDefaults()
	o.Passphrase = once(o.Passphrase)
	if o.Keys == nil {
		return nil, fail.New(fail.Internal, "sshx.Dial was called without host keys")
	}
	var via *Client
	for _, hop := range append(append([]Target(nil), t.Jump...), t) {
		c, err := dialOne(ctx, hop, o, via)
		var unknown *UnknownHostKey
		if errors.As(err, &unknown) && o.Ask != nil {
			if err = o.Keys.accept(ctx, unknown, o.Ask); err == nil {
				c, err = dialOne(ctx, hop, o, via)
			}
			err = fail.In(err, "check the host key", fail.Where{Board: hop.Addr()})
		}
		if err != nil {
			if via != nil {
				via.Close()
			}
			return nil, err
		}
		via = c
	}
	return via, nil
}

func dialOne(ctx context.Context, t Target, o Options, via *Client) (*Client, error) {
	where := fail.Where{Board: t.Addr()}
	algos, err := o.Keys.algorithms(t.Addr())
	if err != nil {
		return nil, fail.In(err, "check the host key", where)
	}
	step, cancel := context.WithCancel(ctx)
	defer cancel()
	clock := &deadline{limit: o.Connect, late: cancel}
	auth, err := methods(ctx, t, o, clock)
	if err != nil {
		return nil, fail.In(err, "log in", where)
	}
	defer auth.close()
	clock.start()
	defer clock.stop()
	plain, err := dialConn(step, t, o, via)
	if err != nil {
		return nil, unreachable(ctx, step, err, t, o)
	}
	conn := &counted{Conn: plain}
	// closing the connection is the only thing that ends every call of x/crypto/ssh
	stop := context.AfterFunc(step, func() { conn.Close() })
	check := &hostCheck{keys: o.Keys, addr: t.Addr()}
	cfg := &ssh.ClientConfig{User: t.User, Auth: auth.methods, HostKeyCallback: check.callback, HostKeyAlgorithms: algos,
		ClientVersion: "SSH-2.0-Fettle", BannerCallback: func(string) error { return nil }}
	cc, chans, reqs, err := ssh.NewClientConn(conn, t.Addr(), cfg)
	inTime := stop()
	if err != nil {
		conn.Close()
		if check.err != nil {
			return nil, fail.In(check.err, "check the host key", where)
		}
		if !inTime || step.Err() != nil {
			return nil, unreachable(ctx, step, err, t, o)
		}
		if algos != nil && strings.Contains(err.Error(), "no common algorithm for host key") {
			return nil, fail.New(fail.Denied, "the host key has changed: the board shows no key of a kind that is known of it").
				Try("if the board was installed anew, check its fingerprint there and remove the old line; else somebody may be listening in").Doing("check the host key").At(where)
		}
		return nil, fail.In(auth.explain(err, t), "log in", where)
	}
	if !inTime {
		conn.Close()
		return nil, unreachable(ctx, step, context.DeadlineExceeded, t, o)
	}
	c := &Client{Target: t, opt: o, conn: cc, raw: conn, via: via, group: task.NewGroup(context.Background()), over: make(chan struct{})} // Close ends it
	c.ssh = ssh.NewClient(cc, c.refuse(chans), reqs)
	c.group.Go("ssh keepalive", c.keepalive)
	return c, nil
}

func dialConn(ctx context.Context, t Target, o Options, via *Client) (net.Conn, error) {
	if via == nil {
		c, err := o.Dial(ctx, t.Addr())
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetWriteBuffer(sendBuffer) // a hint
		}
		return c, err
	}
	return via.ssh.DialContext(ctx, "tcp", t.Addr())
}

// unreachable says why a host did not answer.
func unreachable(user, step context.Context, err error, t Target, o Options) error {
	where := fail.Where{Board: t.Addr()}
	if user.Err() != nil {
		return fail.From(user.Err()).Doing("connect").At(where)
	}
	e := fail.New(fail.Unreachable, "%s", printable(err))
	var dns *net.DNSError
	switch {
	case step.Err() != nil:
		e = fail.New(fail.Unreachable, "no complete SSH answer within %v", o.Connect).Try("check that the board is on, that this is its SSH port, and that nothing between them holds the connection back")
	case errors.As(err, &dns):
		e = e.Try("check the name, or use the board's address")
	case errors.Is(err, syscall.ECONNREFUSED):
		e = e.Try("start the SSH server on the board, or name its port: ssh://user@host:port")
	default:
		e = e.Try("check that the board is on and in the same network")
	}
	return e.Doing("connect").At(where)
}

// refuse turns down every channel that the server opens. The returned queue is empty. The library closes the other one as soon as it processes no more
// packets, which is the first sign of it.
func (c *Client) refuse(in <-chan ssh.NewChannel) <-chan ssh.NewChannel {
	out := make(chan ssh.NewChannel)
	c.group.Go("refuse channels", func(context.Context) error {
		defer close(out)
		for ch := range in {
			// to the end of the connection, also when no answer goes out any more: a channel that nobody takes stops the whole connection, so
			// that not even closing it would end the calls under way
			_ = ch.Reject(ssh.Prohibited, "no channels are accepted")
		}
		c.kill(fail.New(fail.Unreachable, "the connection was cut").Try("connect again; what arrived is kept"))
		return nil
	})
	return out
}

// keepalive asks the server something at each interval and ends the connection if for two of them neither an answer
// nor anything else moves: behind an upload over a slow link the answer is late, and the board is not dead.
func (c *Client) keepalive(ctx context.Context) error {
	tick := time.NewTicker(c.opt.Keepalive)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		late := watch(2*c.opt.Keepalive, 1, c.raw.moved, func() {
			c.kill(fail.New(fail.Unreachable, "the board did not answer for %v", 3*c.opt.Keepalive).Try("check its power and network, then connect again; what arrived is kept"))
		})
		_, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil)
		late.stop()
		if err != nil {
			c.kill(fail.New(fail.Unreachable, "the connection was cut").Try("connect again; what arrived is kept"))
			return nil
		}
	}
}

// kill ends the connection with a reason; the first one stays.
func (c *Client) kill(err error) {
	c.mu.Lock()
	first := c.dead == nil
	if first {
		c.dead = err
		close(c.over)
	}
	c.mu.Unlock()
	c.raw.Close()
	if first {
		c.group.Go("drain", func(context.Context) error { drain(c.conn); return nil })
	}
}

// reason is why the connection ended, or err where it did not.
func (c *Client) reason(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead != nil {
		return c.dead
	}
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return fail.New(fail.Unreachable, "the connection was cut").Try("connect again; what arrived is kept")
	}
	return fail.New(fail.Unreachable, "%s", printable(err)).Try("connect again; what arrived is kept")
}

// grace is how long a call may take to notice that its connection ended.
const grace = 500 * time.Millisecond

// ends runs what waits for the board, and comes back soon after the connection ended even where x/crypto/ssh does not: a channel that is
// opened while the connection dies is waited for without end there. What such a call holds is then lost.
func (c *Client) ends(call func() error) error {
	select {
	case <-c.over:
		return net.ErrClosed // a call now would be such a one
	default:
	}
	done := make(chan error, 1)
	task.NewGroup(context.Background()).Go("ssh call", func(context.Context) error {
		done <- call()
		return nil
	})
	select {
	case err := <-done:
		return err
	case <-c.over:
	}
	select {
	case err := <-done:
		return err
	case <-time.After(grace):
		return net.ErrClosed
	}
}

// printable is what a server said in an error, in one line that is fit for a terminal.
func printable(err error) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case !unicode.IsPrint(r):
			return -1 // control and direction characters
		}
		return r
	}, err.Error())
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "…"
	}
	return s
}

// Close ends the connection and its hops and waits for its goroutines.
func (c *Client) Close() error {
	c.kill(fail.New(fail.Cancelled, "the connection was closed"))
	c.group.Cancel()
	err := c.group.Wait()
	if c.via != nil {
		if e := c.via.Close(); err == nil {
			err = e
		}
	}
	return err
}

// Quote makes one line of a POSIX shell that gives the words of argv exactly, whatever is in them. A NUL byte, which no
// command line can hold, is fail.Invalid.
func Quote(argv ...string) (string, error) {
	out := make([]string, len(argv))
	for i, a := range argv {
		if strings.ContainsRune(a, 0) {
			return "", fail.New(fail.Invalid, "a word of a command holds a NUL byte")
		}
		out[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(out, " "), nil
}

// Err says why the connection ended; nil while it lives.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}
