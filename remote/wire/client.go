package wire

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
)

// Limits bound how long the other side may be silent. They are absolute: a peer that drips bytes gains nothing, only
// whole messages count.
type Limits struct {
	Hello time.Duration // until the preamble has come
	Idle  time.Duration // between two messages while a call is open
	Write time.Duration // for one message to be taken
	Quick time.Duration // for a whole call that needs no work of the board, however alive it says to be
}

// DefaultLimits keep every answer within 20 s.
func DefaultLimits() Limits {
	return Limits{Hello: 15 * time.Second, Idle: 15 * time.Second, Write: 15 * time.Second, Quick: 20 * time.Second}
}

// Client is the desk's side of a connection. Several goroutines may make calls.
type Client struct {
	rw     io.ReadWriteCloser
	w      *writer
	lim    Limits
	group  *task.Group
	mu     sync.Mutex
	next   uint32
	calls  map[uint32]*Call
	err    error // why the connection ended
	closed bool
}

// NewClient waits for the agent's preamble and starts reading. The client owns rw from now on.
func NewClient(ctx context.Context, rw io.ReadWriteCloser, lim Limits) (*Client, error) {
	late := time.AfterFunc(lim.Hello, func() { rw.Close() })
	stop := context.AfterFunc(ctx, func() { rw.Close() })
	err := skipGreeting(rw)
	inTime := late.Stop()
	if !stop() && ctx.Err() != nil {
		rw.Close()
		return nil, fail.From(ctx.Err()).Doing("reach the agent")
	}
	if err != nil {
		rw.Close()
		if !inTime {
			return nil, fail.New(fail.Unreachable, "the agent said nothing for %v", lim.Hello).Doing("reach the agent").Try("see whether the board hangs or is overloaded")
		}
		return nil, fail.From(err).Doing("reach the agent")
	}
	c := &Client{rw: rw, w: &writer{w: rw}, lim: lim, calls: map[uint32]*Call{}}
	c.group = task.NewGroup(context.Background()) // Close ends it
	c.group.Go("read from the agent", func(context.Context) error { c.read(); return nil })
	return c, nil
}

// read hands frames to their calls until the stream ends.
func (c *Client) read() {
	for {
		f, err := Read(c.rw)
		if err != nil {
			if errors.Is(err, io.EOF) || fail.KindOf(err) == fail.Internal {
				err = fail.New(fail.Unreachable, "the connection to the agent was cut").Try("connect again: what arrived is kept, a run is interrupted")
			}
			c.end(err)
			return
		}
		c.mu.Lock()
		call := c.calls[f.Request]
		if f.Type == TypePing {
			for _, k := range c.calls {
				k.alive()
			}
		}
		c.mu.Unlock()
		if call == nil || f.Type == TypePing {
			continue // an answer to a call that was given up
		}
		call.alive()
		select {
		case call.in <- f:
		case <-call.gone:
		}
	}
}

// end closes the connection with a reason; the first one stays.
func (c *Client) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	if !c.closed {
		c.closed = true
		c.rw.Close()
	}
	for id, call := range c.calls {
		delete(c.calls, id)
		call.cut()
	}
}

// Close ends the connection and waits for its goroutine.
func (c *Client) Close() error {
	c.end(fail.New(fail.Cancelled, "the connection was closed"))
	return c.group.Wait()
}

func (c *Client) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Call is one request and its two streams. One goroutine sends and one receives.
type Call struct {
	c    *Client
	ctx  context.Context
	in   chan Frame
	gone chan struct{} // the call is over; nobody reads in
	lost chan struct{} // the connection ended
	once sync.Once
	cutO sync.Once
	out  sender
	recv receiver
	idle *time.Timer
	stop func() bool
}

// Call starts verb with head as its argument. The context bounds the whole call.
func (c *Client) Call(ctx context.Context, verb string, head any) (*Call, error) {
	raw, err := json.Marshal(head)
	if err != nil {
		return nil, fail.New(fail.Internal, "encode a request: %v", err)
	}
	b, err := json.Marshal(request{verb, raw})
	if err != nil {
		return nil, fail.New(fail.Internal, "encode a request: %v", err)
	}
	c.mu.Lock()
	if c.closed {
		defer c.mu.Unlock()
		return nil, c.err
	}
	c.next++
	k := &Call{c: c, ctx: ctx, in: make(chan Frame, 16), gone: make(chan struct{}), lost: make(chan struct{}),
		out: sender{c.w, c.next, newDigest()}, recv: receiver{dig: newDigest()}}
	k.idle = time.AfterFunc(c.lim.Idle, func() {
		select {
		case <-k.gone:
			return // it ended while the timer was set anew
		default:
		}
		c.end(fail.New(fail.Unreachable, "the agent said nothing for %v", c.lim.Idle).Try("see whether the board hangs, and connect again"))
	})
	c.calls[c.next] = k
	c.mu.Unlock()
	if err := k.write(func() error { return k.out.send(TypeRequest, b) }); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

// write bounds the time of one message.
func (k *Call) write(f func() error) error {
	if err := k.ctx.Err(); err != nil {
		return fail.From(err)
	}
	t := time.AfterFunc(k.c.lim.Write, func() {
		k.c.end(fail.New(fail.Unreachable, "the board took nothing for %v", k.c.lim.Write).Try("see whether the board hangs, and connect again: what arrived is kept"))
	})
	defer t.Stop()
	stop := context.AfterFunc(k.ctx, func() { k.c.end(fail.From(k.ctx.Err())) })
	defer stop()
	if err := f(); err != nil {
		if e := k.early(); e != nil {
			return e // the agent said why before it stopped listening
		}
		k.c.end(fail.New(fail.Unreachable, "the connection to the agent was cut").Try("connect again: what arrived is kept"))
		return k.c.reason()
	}
	return nil
}

// early looks for an error that the agent already sent.
func (k *Call) early() error {
	for {
		select {
		case f := <-k.in:
			if f.Type == TypeError {
				return k.told(decodeError(f.Payload))
			}
		default:
			return nil
		}
	}
}

func (k *Call) alive() { k.idle.Reset(k.c.lim.Idle) }
func (k *Call) cut()   { k.cutO.Do(func() { close(k.lost) }) }

// Send sends raw bytes of the request's stream.
func (k *Call) Send(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), piece) // each has its own time limit, so slow links are not taken for dead ones
		if err := k.write(func() error { return k.out.data(p[:n]) }); err != nil {
			return err
		}
		k.alive() // progress of ours counts: the agent is silent while it takes data
		p = p[n:]
	}
	return nil
}

// SendEnd ends the request's stream with its mark.
func (k *Call) SendEnd() error { return k.write(func() error { return k.out.end(nil) }) }

// Next gives the next element of the answer. io.EOF: it is complete, its end mark was right; Result holds the rest.
func (k *Call) Next() (Type, []byte, error) {
	var f Frame
	select {
	case f = <-k.in:
	default:
		select {
		case f = <-k.in:
		case <-k.ctx.Done():
			k.cancel()
			return 0, nil, fail.From(k.ctx.Err())
		case <-k.lost:
			select {
			case f = <-k.in: // it came before the end
			default:
				return 0, nil, k.c.reason()
			}
		}
	}
	p, err := k.recv.take(f)
	if errors.Is(err, errDone) {
		k.Close()
		return 0, nil, io.EOF
	}
	if err != nil {
		k.Close()
		return 0, nil, k.told(err)
	}
	return f.Type, p, nil
}

// told is what an error of the agent means here. An agent that lost this side stops what it does and may still say so: nobody asked
// for that.
func (k *Call) told(err error) error {
	e := fail.From(err)
	if e != nil && e.Kind == fail.Cancelled && e.Why == fail.From(context.Canceled).Why && k.ctx.Err() == nil {
		return fail.New(fail.Unreachable, "the connection to the agent was cut").Try("connect again: what arrived is kept, a run is interrupted")
	}
	return err
}

// Result decodes the result that came with the end mark.
func (k *Call) Result(into any) error {
	if !k.recv.done {
		return fail.New(fail.Internal, "the result of a call was asked for before its end")
	}
	if into == nil || len(k.recv.result) == 0 {
		return nil
	}
	if err := json.Unmarshal(k.recv.result, into); err != nil {
		return fail.New(fail.Corrupt, "the agent's answer cannot be read: %v", err)
	}
	return nil
}

// cancel asks the agent to stop; the connection stays.
func (k *Call) cancel() {
	t := time.AfterFunc(time.Second, func() { k.c.end(fail.New(fail.Cancelled, "stopped on request")) })
	_ = k.out.w.frame(Frame{Type: TypeCancel, Request: k.out.id}) // a dead connection needs no cancelling
	t.Stop()
	k.Close()
}

// Close forgets the call. It may be called often.
func (k *Call) Close() {
	k.once.Do(func() {
		k.idle.Stop()
		close(k.gone)
		k.c.mu.Lock()
		delete(k.c.calls, k.out.id)
		k.c.mu.Unlock()
	})
}

// quick are calls that only ask.
func quick(verb string) bool {
	switch verb {
	case VerbHello, VerbFacts, VerbList, VerbTrust:
		return true
	}
	return false
}

// maxElements bounds those of an answer that nobody reads.
const maxElements = 4096

// Do makes a call without streams and decodes its result. An answer with very many elements is refused: it might have no end.
func (c *Client) Do(ctx context.Context, verb string, head, into any) error {
	if quick(verb) && c.lim.Quick > 0 {
		late := time.AfterFunc(c.lim.Quick, func() {
			c.end(fail.New(fail.Unreachable, "the agent did not answer within %v", c.lim.Quick).Try("see whether the board hangs, and connect again"))
		})
		defer late.Stop()
	}
	k, err := c.Call(ctx, verb, head)
	if err != nil {
		return err
	}
	defer k.Close()
	if err := k.SendEnd(); err != nil {
		return err
	}
	for range maxElements {
		_, _, err := k.Next()
		switch {
		case errors.Is(err, io.EOF):
			return k.Result(into)
		case err != nil:
			return err
		}
	}
	err = fail.New(fail.Corrupt, "the agent sends elements without an end where it has to answer %s", verb)
	c.end(err)
	return err
}
