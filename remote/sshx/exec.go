package sshx

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"fettle/internal/fail"
)

// Result is what a command said.
type Result struct {
	Stdout []byte
	Stderr string
	Exit   int
}

// outputLimit bounds what Run keeps of a command's output.
const outputLimit = 1 << 20

// least is how many bytes of an upload have to pass in one step's time: more than keepalives make.
const least = 4 << 10

// Run runs a command and collects its output. The words reach the command as they are. stdin may be nil. The step's
// time limit starts anew as long as stdin travels. A non-zero exit is not an error here.
func (c *Client) Run(ctx context.Context, stdin io.Reader, argv ...string) (Result, error) {
	line, err := Quote(argv...)
	if err != nil {
		return Result{}, err
	}
	late := watch(c.opt.Step, least, c.raw.uphill, func() {
		c.kill(fail.New(fail.Unreachable, "the board did not answer within %v", c.opt.Step).Try("see whether it is overloaded, then try again"))
	})
	defer late.stop()
	stop := context.AfterFunc(ctx, func() { c.kill(fail.From(ctx.Err())) })
	defer stop()
	var stdout, stderr limited
	err = c.ends(func() error {
		s, err := c.ssh.NewSession()
		if err != nil {
			return err
		}
		defer s.Close()
		s.Stdout, s.Stderr, s.Stdin = &stdout, &stderr, stdin
		return s.Run(line)
	})
	r := Result{Stdout: stdout.all(), Stderr: string(stderr.all())}
	var exit *ssh.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		r.Exit = exit.ExitStatus()
		if exit.Signal() != "" {
			r.Exit = -1
			r.Stderr += " (ended by signal " + exit.Signal() + ")"
		}
	case stdout.full() || stderr.full():
		return r, fail.New(fail.TooBig, "the command said more than %d bytes", outputLimit)
	default:
		return r, c.reason(err)
	}
	return r, nil
}

type limited struct {
	mu   sync.Mutex
	b    bytes.Buffer
	over bool
}

// Write keeps p within the limit.
func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len()+len(p) > outputLimit {
		l.over = true
		return 0, io.ErrShortBuffer
	}
	return l.b.Write(p)
}

func (l *limited) all() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

func (l *limited) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// Stream is a running command whose input and output are one connection.
type Stream struct {
	c      *Client
	s      *ssh.Session
	in     io.WriteCloser
	out    io.Reader
	stderr limited
	once   sync.Once
}

// Start runs a command and gives its input and output. Close ends the command.
func (c *Client) Start(ctx context.Context, argv ...string) (*Stream, error) {
	line, err := Quote(argv...)
	if err != nil {
		return nil, err
	}
	late := time.AfterFunc(c.opt.Step, func() {
		c.kill(fail.New(fail.Unreachable, "the board did not start a command within %v", c.opt.Step).Try("see whether it is overloaded, then try again"))
	})
	defer late.Stop()
	stop := context.AfterFunc(ctx, func() { c.kill(fail.From(ctx.Err())) })
	defer stop()
	st := &Stream{c: c}
	err = c.ends(func() error {
		s, err := c.ssh.NewSession()
		if err != nil {
			return err
		}
		st.s, s.Stderr = s, &st.stderr
		if st.in, err = s.StdinPipe(); err == nil {
			st.out, err = s.StdoutPipe()
		}
		if err == nil {
			err = s.Start(line)
		}
		if err != nil {
			s.Close()
		}
		return err
	})
	if err != nil {
		return nil, c.reason(err)
	}
	return st, nil
}

// Read gives what the command says.
func (s *Stream) Read(p []byte) (int, error) { return s.out.Read(p) }

// Write gives p to the command. Who writes bounds the time and calls Close.
func (s *Stream) Write(p []byte) (int, error) { return s.in.Write(p) }

// Stderr is what the command said on its standard error so far.
func (s *Stream) Stderr() string {
	s.stderr.mu.Lock()
	defer s.stderr.mu.Unlock()
	return s.stderr.b.String()
}

// closing is how long a command may take to end after its input was closed.
const closing = 3 * time.Second

// Close ends the command and waits for its end. A peer that does not say so in time loses the connection, as a reader
// must not wait for it.
func (s *Stream) Close() error {
	s.once.Do(func() {
		late := time.AfterFunc(closing, func() { s.c.kill(fail.New(fail.Unreachable, "the board did not end the command")) })
		_ = s.in.Close() // the connection may be gone
		_ = s.s.Close()
		_ = s.s.Wait() // how the command ended does not matter any more
		late.Stop()
	})
	return nil
}
