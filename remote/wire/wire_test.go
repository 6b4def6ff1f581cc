package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"fettle/internal/chaos"
	"fettle/internal/fail"
	"fettle/internal/task"
)

// moment keeps silence short in tests.
func moment() Limits {
	return Limits{Hello: 500 * time.Millisecond, Idle: 500 * time.Millisecond, Write: 500 * time.Millisecond}
}

// serve runs a server on one end of a pipe until the test ends and gives the other end.
func serve(t *testing.T, h Handler) net.Conn {
	t.Helper()
	desk, board := net.Pipe()
	g := task.NewGroup(context.Background())
	g.Go("serve", func(ctx context.Context) error { return Serve(ctx, board, h) })
	t.Cleanup(func() {
		desk.Close()
		board.Close()
		_ = g.Wait() // a cut connection is what many of these tests are about
	})
	return desk
}

// echo answers "echo" with what it read, "items" with n items, and "fail", "panic" and "wait" with what they say.
func echo(ctx context.Context, r *Request) (any, error) {
	switch r.Verb {
	case "echo":
		b, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		if err := r.Data(b); err != nil {
			return nil, err
		}
		return len(b), nil
	case "items":
		var n int
		if err := r.Head(&n); err != nil {
			return nil, err
		}
		for i := range n {
			if err := r.Item(i); err != nil {
				return nil, err
			}
		}
		return n, nil
	case "fail":
		return nil, fail.New(fail.NoSpace, "the disk is full").Try("free space").At(fail.Where{File: "/x"})
	case "panic":
		panic("a bug")
	case "wait":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, fail.New(fail.Unsupported, "no %s", r.Verb)
}

func client(t *testing.T, rw io.ReadWriteCloser) *Client {
	t.Helper()
	c, err := NewClient(t.Context(), rw, moment())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends data to a verb and gives the data, items and result that come back.
func ask(ctx context.Context, c *Client, verb string, head any, data []byte) (back []byte, items []int, result int, err error) {
	k, err := c.Call(ctx, verb, head)
	if err != nil {
		return nil, nil, 0, err
	}
	defer k.Close()
	if err := k.Send(data); err != nil {
		return nil, nil, 0, err
	}
	if err := k.SendEnd(); err != nil {
		return nil, nil, 0, err
	}
	for {
		t, b, err := k.Next()
		switch {
		case errors.Is(err, io.EOF):
			err = k.Result(&result)
			return back, items, result, err
		case err != nil:
			return back, items, 0, err
		case t == TypeData:
			back = append(back, b...)
		default:
			var n int
			if err := json.Unmarshal(b, &n); err != nil {
				return nil, nil, 0, err
			}
			items = append(items, n)
		}
	}
}

func TestCalls(t *testing.T) {
	c := client(t, serve(t, echo))
	big := bytes.Repeat([]byte("fettle "), 100_000)
	if back, _, n, err := ask(t.Context(), c, "echo", nil, big); err != nil || n != len(big) || !bytes.Equal(back, big) {
		t.Errorf("echo of %d bytes gives %d, %v", len(big), len(back), err)
	}
	if _, items, n, err := ask(t.Context(), c, "items", 1000, nil); err != nil || n != 1000 || len(items) != 1000 || items[999] != 999 {
		t.Errorf("items: %d, %v", len(items), err)
	}
	_, _, _, err := ask(t.Context(), c, "fail", nil, nil)
	if e := fail.From(err); e.Kind != fail.NoSpace || e.Fix != "free space" || e.Where.File != "/x" {
		t.Errorf("a typed error arrives as %+v", e)
	}
	if _, _, _, err := ask(t.Context(), c, "panic", nil, nil); !fail.Is(err, fail.Internal) || !strings.Contains(err.Error(), "a bug") {
		t.Errorf("a panic arrives as %v", err)
	}
	if _, _, _, err := ask(t.Context(), c, "none", nil, nil); !fail.Is(err, fail.Unsupported) {
		t.Errorf("an unknown verb arrives as %v", err)
	}
	if err := c.Do(t.Context(), "items", 3, nil); err != nil {
		t.Error(err)
	}
}

func TestCallsAtOnce(t *testing.T) {
	c := client(t, serve(t, echo))
	g := task.NewGroup(t.Context())
	for i := range 10 {
		g.Go("call", func(ctx context.Context) error {
			for k := range 20 {
				text := []byte(strings.Repeat(fmt.Sprint(i, k), 500))
				back, _, _, err := ask(ctx, c, "echo", nil, text)
				if err != nil || !bytes.Equal(back, text) {
					return fmt.Errorf("call %d.%d: %d bytes, %w", i, k, len(back), err)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func TestCancel(t *testing.T) {
	c := client(t, serve(t, echo))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, _, _, err := ask(ctx, c, "wait", nil, nil); !fail.Is(err, fail.Cancelled) {
		t.Errorf("got %v", err)
	}
	if _, _, n, err := ask(t.Context(), c, "items", 2, nil); err != nil || n != 2 {
		t.Errorf("after a cancelled call: %v", err)
	}
}

// TestCutAtEveryByte cuts the link at each byte in each direction: the answer is whole or the error is typed; a short
// answer never passes for a whole one.
func TestCutAtEveryByte(t *testing.T) {
	run := func(cut func(*chaos.Link)) (*chaos.Link, []int, error) {
		link := chaos.NewLink(serve(t, echo))
		cut(link)
		c, err := NewClient(t.Context(), link, moment())
		if err != nil {
			return link, nil, err
		}
		defer c.Close()
		_, items, _, err := ask(t.Context(), c, "items", 5, []byte("some bytes"))
		return link, items, err
	}
	link, _, err := run(func(*chaos.Link) {})
	if err != nil {
		t.Fatal(err)
	}
	wrote, read := link.Counts()
	if wrote < 100 || read < 200 {
		t.Fatalf("only %d and %d bytes passed", wrote, read)
	}
	check := func(way string, at, all int64, items []int, err error) {
		t.Helper()
		if err == nil && len(items) == 5 && at >= all-60 {
			return // the end mark of the desk's own stream, which this verb does not wait for
		}
		if k := fail.KindOf(err); k != fail.Unreachable && k != fail.Corrupt || fail.From(err).Why == "" {
			t.Errorf("%s cut after %d of %d bytes: %d items, %v", way, at, all, len(items), err)
		}
	}
	for at := range wrote {
		_, items, err := run(func(l *chaos.Link) { l.CutWrite = at })
		check("to the board", at, wrote, items, err)
	}
	for at := range read {
		_, items, err := run(func(l *chaos.Link) { l.CutRead = at })
		check("to the desk", at, read, items, err)
	}
}

// TestFlippedBits flips a bit of each byte that the desk sends: the board never does something else.
func TestFlippedBits(t *testing.T) {
	const frames = 200
	for at := range int64(frames) {
		link := chaos.NewLink(serve(t, echo))
		link.FlipWrite = at
		c, err := NewClient(t.Context(), link, moment())
		if err != nil {
			t.Fatal(err)
		}
		_, items, _, err := ask(t.Context(), c, "items", 5, []byte("some bytes"))
		if wrote, _ := link.Counts(); err == nil && at < wrote && len(items) != 5 {
			t.Errorf("a bit flipped in byte %d of %d: %v", at, wrote, items)
		}
		c.Close()
	}
}

// TestBadPeers speaks with agents that are none.
func TestBadPeers(t *testing.T) {
	frame := func(f Frame) string { return string(Append(nil, f)) }
	huge := []byte(frame(Frame{Type: TypeItem, Request: 1}))
	huge[12] = 0xff // a length of 4 GB
	ended := newDigest()
	mark, _ := json.Marshal(ended.mark(nil))
	cases := []struct {
		name string
		says string // after the preamble
		pre  string // instead of the preamble
		want fail.Kind
	}{
		{"mute before hello", "", " ", fail.Unreachable},
		{"mute after hello", "", "", fail.Unreachable},
		{"a shell that complains", "", "sh: 1: agent: not found\n", fail.Unreachable},
		{"an endless greeting", "", strings.Repeat("Welcome! ", 10_000), fail.Corrupt},
		{"a greeting before hello", frame(Frame{Type: TypeEnd, Request: 1, Payload: mark}), "Welcome!\r\n\x00\x01fettle" + Preamble, ""},
		{"no frame", "something else entirely, and long enough", "", fail.Corrupt},
		{"another version", strings.Replace(frame(Frame{Type: TypeItem, Request: 1}), "\xf7\x71\x01", "\xf7\x71\x09", 1), "", fail.Unsupported},
		{"a frame of 4 GB", string(huge), "", fail.TooBig},
		{"an unknown type", frame(Frame{Type: 99, Request: 1}), "", fail.Corrupt},
		{"a wrong checksum", strings.Replace(frame(Frame{Type: TypeItem, Request: 1, Payload: []byte("1")}), "1", "2", 1) + "x", "", fail.Corrupt},
		{"a missing message", frame(Frame{Type: TypeItem, Request: 1, Seq: 1, Payload: []byte("1")}), "", fail.Corrupt},
		{"an end mark over nothing after an item", frame(Frame{Type: TypeItem, Request: 1, Payload: []byte("1")}) + frame(Frame{Type: TypeEnd, Request: 1, Seq: 1, Payload: mark}), "", fail.Corrupt},
		{"an end mark that is none", frame(Frame{Type: TypeEnd, Request: 1, Payload: []byte("{")}), "", fail.Corrupt},
		{"an error that is none", frame(Frame{Type: TypeError, Request: 1, Payload: []byte("[]")}), "", fail.Corrupt},
		{"an error of a kind that nobody knows", frame(Frame{Type: TypeError, Request: 1, Payload: []byte(`{"kind":"odd","why":"\u001b[2Jbad"}`)}), "", fail.Failed},
		{"a request from the board", frame(Frame{Type: TypeRequest, Request: 1}), "", fail.Corrupt},
		{"frames of calls that nobody made", frame(Frame{Type: TypeItem, Request: 7, Payload: []byte("1")}) + frame(Frame{Type: TypeEnd, Request: 1, Payload: mark}), "", ""},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			desk, peer := net.Pipe()
			before := runtime.NumGoroutine()
			g := task.NewGroup(t.Context())
			g.Go("peer", func(context.Context) error {
				pre := k.pre
				switch pre {
				case "":
					pre = Preamble
				case " ":
					pre = ""
				}
				if _, err := io.WriteString(peer, pre); err != nil {
					return nil
				}
				if strings.Contains(k.pre, "not found") {
					return peer.Close()
				}
				if k.says != "" { // once the desk asked
					if _, err := Read(peer); err != nil {
						return nil
					}
					if _, err := io.WriteString(peer, k.says); err != nil {
						return nil
					}
				}
				_, _ = io.Copy(io.Discard, peer)
				return nil
			})
			start := time.Now()
			c, err := NewClient(t.Context(), desk, moment())
			if err == nil {
				_, _, _, err = ask(t.Context(), c, "x", nil, nil)
				c.Close()
			}
			if fail.KindOf(err) != k.want {
				t.Errorf("got %v, want %q", err, k.want)
			}
			if err != nil && strings.ContainsRune(err.Error(), 0x1b) {
				t.Errorf("a control character of the board arrives: %q", err)
			}
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("it took %v", d)
			}
			peer.Close()
			_ = g.Wait()
			for end := time.Now().Add(time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%d goroutines are left of %d", runtime.NumGoroutine(), before)
				}
			}
		})
	}
}

// TestStall stops the link inside an upload, without an end: the desk must notice by itself.
func TestStall(t *testing.T) {
	link := chaos.NewLink(serve(t, echo))
	link.StallWrite = 300_000
	c, err := NewClient(t.Context(), link, moment())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	_, _, _, err = ask(t.Context(), c, "echo", nil, make([]byte, 1<<20))
	if !fail.Is(err, fail.Unreachable) || fail.From(err).Fix == "" || time.Since(start) > 2*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

// TestHostileDesk sends frames that no desk sends: the agent ends the connection with a typed error or refuses the call.
func TestHostileDesk(t *testing.T) {
	cases := []struct {
		name   string
		frames []Frame
	}{
		{"a request that is no JSON", []Frame{{Type: TypeRequest, Request: 1, Payload: []byte("{")}}},
		{"the same request twice", []Frame{{Type: TypeRequest, Request: 1, Payload: []byte(`{"verb":"wait"}`)}, {Type: TypeRequest, Request: 1, Payload: []byte(`{"verb":"wait"}`)}}},
		{"an error from the desk", []Frame{{Type: TypeRequest, Request: 1, Payload: []byte(`{"verb":"wait"}`)}, {Type: TypeError, Request: 1}}},
		{"data without a request", []Frame{{Type: TypeData, Request: 5, Payload: []byte("x")}, {Type: TypeEnd, Request: 5}}},
		{"data out of order", []Frame{{Type: TypeRequest, Request: 1, Payload: []byte(`{"verb":"echo"}`)}, {Type: TypeData, Request: 1, Seq: 9, Payload: []byte("x")}}},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			desk, board := net.Pipe()
			g := task.NewGroup(t.Context())
			g.Go("serve", func(ctx context.Context) error { return Serve(ctx, board, echo) })
			g.Go("read", func(context.Context) error { _, _ = io.Copy(io.Discard, desk); return nil })
			for _, f := range k.frames {
				_ = desk.SetWriteDeadline(time.Now().Add(time.Second))
				if _, err := desk.Write(Append(nil, f)); err != nil {
					break // the agent ended it
				}
			}
			desk.Close()
			if err := g.Wait(); err != nil && fail.KindOf(err) == fail.Internal {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("more calls than are allowed", func(t *testing.T) {
		c := client(t, serve(t, echo))
		var calls []*Call
		for range maxOpen {
			k, err := c.Call(t.Context(), "wait", nil)
			if err != nil {
				t.Fatal(err)
			}
			calls = append(calls, k)
		}
		if _, _, _, err := ask(t.Context(), c, "items", 1, nil); !fail.Is(err, fail.Busy) {
			t.Errorf("got %v", err)
		}
		for _, k := range calls {
			k.Close()
		}
	})
}

// FuzzRead reads any bytes as frames: no panic, no more memory than came, and what is read is written the same.
func FuzzRead(f *testing.F) {
	f.Add(Append(nil, Frame{Type: TypeRequest, Request: 1, Payload: []byte(`{"verb":"hello"}`)}))
	f.Add(Append(Append(nil, Frame{Type: TypeItem, Request: 2, Seq: 3, Payload: []byte("1")}), Frame{Type: TypePing}))
	f.Add([]byte("\xf7\x71\x01\x02\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		for {
			at := len(b) - r.Len()
			fr, err := Read(r)
			if err != nil {
				if !errors.Is(err, io.EOF) && fail.KindOf(err) == fail.Internal {
					t.Errorf("got %v", err)
				}
				return
			}
			if got := Append(nil, fr); !bytes.Equal(got, b[at:len(b)-r.Len()]) {
				t.Errorf("% x is written as % x", b[at:len(b)-r.Len()], got)
			}
		}
	})
}

// FuzzClient lets a peer say anything after its hello.
func FuzzClient(f *testing.F) {
	f.Add([]byte(Preamble + string(Append(nil, Frame{Type: TypeItem, Request: 1, Payload: []byte("1")}))))
	f.Add([]byte("hello" + Preamble + "x"))
	f.Add([]byte(Preamble + string(Append(nil, Frame{Type: TypeError, Request: 1, Payload: []byte(`{"kind":"busy","why":"x"}`)}))))
	f.Fuzz(func(t *testing.T, b []byte) {
		desk, peer := net.Pipe()
		g := task.NewGroup(context.Background())
		g.Go("say", func(context.Context) error { _, _ = peer.Write(b); return peer.Close() })
		g.Go("listen", func(context.Context) error { _, _ = io.Copy(io.Discard, peer); return nil })
		c, err := NewClient(context.Background(), desk, moment())
		if err == nil {
			err = c.Do(context.Background(), "x", nil, nil)
			c.Close()
		}
		if fail.KindOf(err) == fail.Internal {
			t.Errorf("got %v", err)
		}
		desk.Close()
		peer.Close()
		_ = g.Wait()
	})
}
