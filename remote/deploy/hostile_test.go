package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	stdnet "net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/remote/board"
	"fettle/remote/wire"
)

// turn is what a hostile agent does instead of an answer to a request.
type turn func(rw io.ReadWriteCloser, f wire.Frame)

func frame(t wire.Type, id, seq uint32, payload string) []byte {
	return wire.Append(nil, wire.Frame{Type: t, Request: id, Seq: seq, Payload: []byte(payload)})
}

// ending is a right end mark of an answer without elements.
func ending(result any) string {
	raw, _ := json.Marshal(result) // plain structures
	sum := sha256.Sum256(nil)
	return fmt.Sprintf(`{"count":0,"sha256":"%s","result":%s}`, hex.EncodeToString(sum[:]), raw)
}

func endless(rw io.Writer, b []byte) {
	for {
		if _, err := rw.Write(b); err != nil {
			return
		}
	}
}

// turns are the ways to misbehave. Each ends or is ended by the desk, which closes the connection.
func turns() map[string]turn {
	out := map[string]turn{
		"closes":       func(rw io.ReadWriteCloser, _ wire.Frame) { rw.Close() },
		"mute":         func(rw io.ReadWriteCloser, _ wire.Frame) { _, _ = io.Copy(io.Discard, rw) },
		"garbage":      func(rw io.ReadWriteCloser, _ wire.Frame) { endless(rw, []byte("\x1b[2Jgarbage \u202e")) },
		"zeros":        func(rw io.ReadWriteCloser, _ wire.Frame) { endless(rw, make([]byte, 4096)) },
		"pings only":   func(rw io.ReadWriteCloser, f wire.Frame) { slowly(rw, frame(wire.TypePing, 0, 0, "")) },
		"drips a byte": func(rw io.ReadWriteCloser, f wire.Frame) { slowly(rw, []byte{0xf7}) },
		"header of 4 GB": func(rw io.ReadWriteCloser, f wire.Frame) {
			b := frame(wire.TypeEnd, f.Request, 0, "")
			b[12], b[13], b[14], b[15] = 0xff, 0xff, 0xff, 0xff
			_, _ = rw.Write(b)
			endless(rw, make([]byte, 1<<16))
		},
		"header of 8 MB and then nothing": func(rw io.ReadWriteCloser, f wire.Frame) {
			b := frame(wire.TypeEnd, f.Request, 0, "")
			b[13] = 0x7f
			_, _ = rw.Write(b)
			_, _ = io.Copy(io.Discard, rw)
		},
		"wrong checksum": func(rw io.ReadWriteCloser, f wire.Frame) {
			b := frame(wire.TypeEnd, f.Request, 0, ending(nil))
			b[18] ^= 1
			_, _ = rw.Write(b)
		},
		"wrong number": func(rw io.ReadWriteCloser, f wire.Frame) {
			_, _ = rw.Write(frame(wire.TypeEnd, f.Request, 7, ending(nil)))
		},
		"another version": func(rw io.ReadWriteCloser, f wire.Frame) {
			b := frame(wire.TypeEnd, f.Request, 0, ending(nil))
			b[2] = 9
			_, _ = rw.Write(b)
		},
		"unknown type": func(rw io.ReadWriteCloser, f wire.Frame) {
			b := frame(wire.TypeEnd, f.Request, 0, ending(nil))
			b[3] = 200
			_, _ = rw.Write(b)
		},
		"a request instead": func(rw io.ReadWriteCloser, f wire.Frame) {
			_, _ = rw.Write(frame(wire.TypeRequest, f.Request, 0, "{}"))
		},
		"wrong digest": func(rw io.ReadWriteCloser, f wire.Frame) {
			_, _ = rw.Write(frame(wire.TypeEnd, f.Request, 0, `{"count":0,"sha256":"00"}`))
		},
		"negative count": func(rw io.ReadWriteCloser, f wire.Frame) {
			_, _ = rw.Write(frame(wire.TypeEnd, f.Request, 0, `{"count":-1,"sha256":"00"}`))
		},
		"end without JSON": func(rw io.ReadWriteCloser, f wire.Frame) {
			_, _ = rw.Write(frame(wire.TypeEnd, f.Request, 0, "not json"))
		},
		"deep JSON": func(rw io.ReadWriteCloser, f wire.Frame) {
			_, _ = rw.Write(frame(wire.TypeEnd, f.Request, 0, ending(nil)[:20]+strings.Repeat("[", 1<<20)))
		},
		"result of another kind": func(rw io.ReadWriteCloser, f wire.Frame) {
			_, _ = rw.Write(frame(wire.TypeEnd, f.Request, 0, ending("\x1b]0;x\x07")))
		},
		"endless elements": func(rw io.ReadWriteCloser, f wire.Frame) {
			for seq := uint32(0); ; seq++ {
				if _, err := rw.Write(frame(wire.TypeItem, f.Request, seq, `{"seq":0}`)); err != nil {
					return
				}
			}
		},
		"an error with escapes": func(rw io.ReadWriteCloser, f wire.Frame) {
			_, _ = rw.Write(frame(wire.TypeError, f.Request, 0, `{"kind":"failed","why":"\u001b[31mred\u202e \u0007","fix":"\u001b]52;c;x\u0007","where":{"Node":"\u001b[2Jn\u2066"}}`))
		},
		"an error of no kind": func(rw io.ReadWriteCloser, f wire.Frame) {
			_, _ = rw.Write(frame(wire.TypeError, f.Request, 0, `{"kind":"\u001bnone","why":"x"}`))
		},
		"an empty error": func(rw io.ReadWriteCloser, f wire.Frame) { _, _ = rw.Write(frame(wire.TypeError, f.Request, 0, `{}`)) },
	}
	whole := frame(wire.TypeEnd, 1, 0, ending(nil))
	for _, n := range []int{1, 3, 7, 11, 15, 19, 20, 21, len(whole) - 1} {
		out[fmt.Sprintf("cut after %d bytes", n)] = func(rw io.ReadWriteCloser, f wire.Frame) {
			b := frame(wire.TypeEnd, f.Request, 0, ending(nil))
			_, _ = rw.Write(b[:n])
			rw.Close()
		}
	}
	return out
}

func slowly(rw io.Writer, b []byte) {
	for {
		if _, err := rw.Write(b); err != nil {
			return
		}
		time.Sleep(30 * time.Millisecond)
	}
}

// hostileAgent answers rightly until a request of the verb comes, and then does its turn.
func hostileAgent(rw io.ReadWriteCloser, verb string, do turn) {
	defer rw.Close()
	if verb == "" {
		do(rw, wire.Frame{})
		return
	}
	if _, err := io.WriteString(rw, wire.Preamble); err != nil {
		return
	}
	verbs := map[uint32]string{}
	for {
		f, err := wire.Read(rw)
		if err != nil {
			return
		}
		if f.Type == wire.TypeRequest {
			var q struct{ Verb string }
			_ = json.Unmarshal(f.Payload, &q) // it is ours
			verbs[f.Request] = q.Verb
			if q.Verb == verb {
				do(rw, f)
				return
			}
		}
		if f.Type != wire.TypeEnd {
			continue
		}
		var result any
		switch verbs[f.Request] {
		case wire.VerbHello:
			result = wire.Hello{Protocol: wire.Version, Oldest: wire.Oldest}
		case wire.VerbFacts:
			result = board.Facts{}
		case wire.VerbList:
			result = []wire.Deployment{{Name: "net", SHA256: strings.Repeat("0", 64)}}
		case wire.VerbOffer:
			result = wire.Missing{Missing: []int{}}
		}
		if _, err := rw.Write(frame(wire.TypeEnd, f.Request, 0, ending(result))); err != nil {
			return
		}
	}
}

// TestHostileAgents is a table of agents that misbehave, each way at each point of the protocol: a typed error in time, words
// fit for a terminal, no goroutine left and little memory.
func TestHostileAgents(t *testing.T) {
	lim := wire.Limits{Hello: 400 * time.Millisecond, Idle: 400 * time.Millisecond, Write: 400 * time.Millisecond, Quick: 600 * time.Millisecond}
	b := net(t, "net", 0)
	po := NewProfileOptions()
	po.Launches, po.Runs = 1, 2
	points := []struct {
		verb string
		do   func(ctx context.Context, c *Conn) error
	}{
		{"", nil}, {wire.VerbHello, nil},
		{wire.VerbFacts, func(ctx context.Context, c *Conn) error { _, err := c.Facts(ctx); return err }},
		{wire.VerbList, func(ctx context.Context, c *Conn) error { _, err := c.List(ctx); return err }},
		{wire.VerbOffer, func(ctx context.Context, c *Conn) error { _, err := c.Push(ctx, b, nil); return err }},
		{wire.VerbCommit, func(ctx context.Context, c *Conn) error { _, err := c.Push(ctx, b, nil); return err }},
		{wire.VerbRun, func(ctx context.Context, c *Conn) error {
			_, err := c.Run(ctx, Deployed("net"), How{}, nil)
			return err
		}},
		{wire.VerbProfile, func(ctx context.Context, c *Conn) error {
			_, err := c.Profile(ctx, Deployed("net"), po, nil)
			return err
		}},
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	routines := runtime.NumGoroutine()
	var mu sync.Mutex
	n, slowest, peak := 0, time.Duration(0), uint64(0)
	var wg sync.WaitGroup
	room := make(chan struct{}, 16)
	for _, p := range points {
		for name, do := range turns() {
			if name == "result of another kind" && (p.verb == wire.VerbProfile || p.verb == wire.VerbRun) {
				continue // no result is looked at there before the samples are
			}
			wg.Add(1)
			room <- struct{}{}
			go func() {
				defer func() { <-room; wg.Done() }()
				desk, far := stdnet.Pipe()
				g := task.NewGroup(context.Background())
				g.Go("agent", func(context.Context) error { hostileAgent(far, p.verb, do); return nil })
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				start := time.Now()
				s, err := attachIn(ctx, desk, "", lim)
				if err == nil && p.do != nil {
					c := &Conn{name: "bar", session: s}
					err = p.do(ctx, c)
					c.Close()
				} else if err == nil {
					s.close()
				}
				took := time.Since(start)
				far.Close()
				_ = g.Wait() // it has no errors
				where := fmt.Sprintf("%q at %q", name, p.verb)
				if err == nil || fail.KindOf(err) == fail.Internal || ctx.Err() != nil {
					t.Errorf("%s: %v (%s)", where, err, fail.KindOf(err))
				} else if strings.ContainsAny(err.Error(), "\x1b\x07\u202e") {
					t.Errorf("%s: %q is not fit for a terminal", where, err)
				}
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				mu.Lock()
				n++
				slowest, peak = max(slowest, took), max(peak, m.HeapInuse)
				mu.Unlock()
			}()
		}
	}
	wg.Wait()
	for end := time.Now().Add(3 * time.Second); runtime.NumGoroutine() > routines+2 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if left := runtime.NumGoroutine(); left > routines+2 {
		t.Errorf("%d goroutines are left of %d", left, routines)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
		t.Errorf("%d MiB stay on the heap", grown>>20)
	}
	if n < 60 || slowest > 20*time.Second {
		t.Errorf("%d agents, the slowest took %v", n, slowest)
	}
	t.Logf("%d agents, the slowest took %v, heap in use at most %d MiB", n, slowest, peak>>20)
}
