package wire

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
)

// maxOpen bounds the calls that one desk may have open.
const maxOpen = 16

// beat is how often the agent says that it is alive while a call is open.
const beat = 3 * time.Second

// Request is a call as the agent sees it.
type Request struct {
	Verb string
	head json.RawMessage
	in   chan Frame
	ctx  context.Context
	stop context.CancelFunc
	recv receiver
	out  sender
	rest []byte
	off  atomic.Bool
}

// CalledOff reports whether the desk asked to stop this call: its context also ends where the connection was cut.
func (r *Request) CalledOff() bool { return r.off.Load() }

// Done is closed when the call is over: called off, or its connection cut.
func (r *Request) Done() <-chan struct{} { return r.ctx.Done() }

// Head decodes the argument.
func (r *Request) Head(into any) error {
	if err := json.Unmarshal(r.head, into); err != nil {
		return fail.New(fail.Invalid, "the argument of %s cannot be read: %v", r.Verb, err)
	}
	return nil
}

// Read gives the raw bytes of the request's stream; io.EOF after its end mark.
func (r *Request) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.recv.done {
			return 0, io.EOF
		}
		select {
		case f := <-r.in:
			b, err := r.recv.take(f)
			if errors.Is(err, errDone) {
				return 0, io.EOF
			}
			if err != nil {
				return 0, err
			}
			r.rest = b
		case <-r.ctx.Done():
			return 0, fail.From(r.ctx.Err())
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Item sends one element of the answer.
func (r *Request) Item(v any) error {
	if err := r.ctx.Err(); err != nil {
		return fail.From(err)
	}
	return r.out.item(v)
}

// Data sends raw bytes of the answer.
func (r *Request) Data(p []byte) error {
	if err := r.ctx.Err(); err != nil {
		return fail.From(err)
	}
	return r.out.data(p)
}

// Forward sends a payload as it came from another stream.
func (r *Request) Forward(t Type, p []byte) error {
	if err := r.ctx.Err(); err != nil {
		return fail.From(err)
	}
	return r.out.send(t, p)
}

// Handler does one call. What it returns is the result, sent with the end mark.
type Handler func(ctx context.Context, r *Request) (any, error)

// Serve writes the preamble and answers calls on rw until it ends. A panic of a handler becomes a typed error of its
// call.
func Serve(ctx context.Context, rw io.ReadWriteCloser, handle Handler) error {
	if _, err := io.WriteString(rw, Preamble); err != nil {
		return fail.New(fail.Unreachable, "nobody reads what the agent says: %v", err)
	}
	s := &server{w: &writer{w: rw}, open: map[uint32]*Request{}, handle: handle}
	g := task.NewGroup(ctx)
	ctx = g.Context()
	stop := context.AfterFunc(ctx, func() { rw.Close() })
	defer stop()
	g.Go("heartbeat", func(ctx context.Context) error {
		t := time.NewTicker(beat)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-t.C:
				if s.busy() {
					if err := s.w.frame(Frame{Type: TypePing}); err != nil {
						return fail.New(fail.Unreachable, "the desk is gone: %v", err)
					}
				}
			}
		}
	})
	err := s.read(ctx, g, rw)
	g.Cancel()
	if werr := g.Wait(); fail.KindOf(err) == fail.Internal {
		err = werr // the stream itself ended, in whatever words
	}
	if fail.Is(err, fail.Unreachable) {
		return nil // the desk went away: that is how a session ends
	}
	return err
}

type server struct {
	w      *writer
	handle Handler
	mu     sync.Mutex
	open   map[uint32]*Request
}

func (s *server) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open) > 0
}

func (s *server) get(id uint32) *Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[id]
}

func (s *server) read(ctx context.Context, g *task.Group, rw io.Reader) error {
	for {
		f, err := Read(rw)
		if err != nil {
			return err
		}
		r := s.get(f.Request)
		switch {
		case f.Type == TypeRequest && r == nil:
			if err := s.begin(ctx, g, f); err != nil {
				return err
			}
		case f.Type == TypeRequest:
			return fail.New(fail.Corrupt, "request %d is open already", f.Request)
		case r == nil: // the rest of a call that ended
		case f.Type == TypeCancel:
			r.off.Store(true)
			r.stop()
		case f.Type == TypeItem, f.Type == TypeData, f.Type == TypeEnd:
			select {
			case r.in <- f:
			case <-r.ctx.Done():
			}
		default:
			return fail.New(fail.Corrupt, "message type %d does not come from a desk", f.Type)
		}
	}
}

func (s *server) begin(ctx context.Context, g *task.Group, f Frame) error {
	out := sender{s.w, f.Request, newDigest()}
	var q request
	if err := json.Unmarshal(f.Payload, &q); err != nil {
		return out.send(TypeError, encodeError(fail.New(fail.Corrupt, "the request cannot be read")))
	}
	s.mu.Lock()
	n := len(s.open)
	if n >= maxOpen {
		s.mu.Unlock()
		return out.send(TypeError, encodeError(fail.New(fail.Busy, "%d requests are open", n)))
	}
	r := &Request{Verb: q.Verb, head: q.Head, in: make(chan Frame, 16), out: out}
	r.recv = receiver{dig: newDigest()}
	r.recv.dig.seq = 1 // the request itself was 0
	r.ctx, r.stop = context.WithCancel(ctx)
	s.open[f.Request] = r
	s.mu.Unlock()
	g.Go("answer "+q.Verb, func(context.Context) error {
		var result any
		err := task.Safely(q.Verb, func() (err error) { result, err = s.handle(r.ctx, r); return err })
		s.mu.Lock()
		delete(s.open, f.Request)
		s.mu.Unlock()
		r.stop()
		if err == nil {
			err = r.out.end(result)
		} else {
			err = r.out.send(TypeError, encodeError(err))
		}
		if err != nil {
			return fail.New(fail.Unreachable, "the desk is gone: %v", err)
		}
		return nil
	})
	return nil
}
