package deploy

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fettle/internal/chaos"
	"fettle/remote/bundle"
)

// lane is a link that carries so many bytes a second, from far away. Lanes that share a bucket share its rate, as connections over one
// cable do; those with buckets of their own are held back each. A lane that loses packets is held back by itself besides, as TCP holds itself
// back: by one window a round trip, which grows by a packet and is halved where one was lost. Time passes by the clock of a test's
// bubble, so what a lane does depends on its bytes alone, however busy the computer is.
type lane struct {
	io.ReadWriteCloser
	rate *bucket
	far  time.Duration // round trip
	loss float64       // of packets
	r    *rand.Rand    // which packets are lost

	window, sent int // packets: of a round trip, and of this one
	halve        bool
}

type bucket struct {
	mu   sync.Mutex
	rate float64
	free time.Time // when the next byte may go
}

func (b *bucket) wait(n int) {
	b.mu.Lock()
	if now := time.Now(); b.free.Before(now) {
		b.free = now
	}
	b.free = b.free.Add(time.Duration(float64(n) / b.rate * 1e9))
	at := b.free
	b.mu.Unlock()
	time.Sleep(time.Until(at))
}

const packet = 1460 // bytes

func (l *lane) Write(p []byte) (int, error) {
	l.rate.wait(len(p))
	for n := len(p); l.loss > 0 && n > 0; n -= packet {
		l.pass()
	}
	return l.ReadWriteCloser.Write(p)
}

// pass waits until the window has room for one more packet.
func (l *lane) pass() {
	if l.window = max(l.window, 2); l.sent >= l.window {
		time.Sleep(l.far)
		if l.window++; l.halve {
			l.window = max(l.window/2, 2)
		}
		l.sent, l.halve = 0, false
	}
	l.sent++
	l.halve = l.halve || l.r.Float64() < l.loss
}

func (l *lane) Read(p []byte) (int, error) {
	n, err := l.ReadWriteCloser.Read(p)
	time.Sleep(l.far)
	return n, err
}

// road is a store that is reached over lanes; each connection after the first gets what next gives.
func road(t *testing.T, first *lane, next func() *lane, cut int64) *Conn {
	t.Helper()
	home := memory(t)
	over := func(l *lane, cut int64) *Conn {
		c, _, end, err := served(t, home, func(k *chaos.Link) {
			l.ReadWriteCloser, k.Inner = k.Inner, l
			k.CutWrite = cut
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			end()
			time.Sleep(time.Second) // by the bubble's clock: what is under way arrives
		})
		return c
	}
	c := over(first, -1)
	if next != nil {
		c.again = func(ctx context.Context) (*session, error) { return over(next(), cut).session, nil }
	}
	return c
}

// load is n bytes in chunks of 128 KiB: noise, or the same few again and again.
func load(t *testing.T, n int, packs bool) *bundle.Bundle {
	t.Helper()
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{7})
	_, _ = r.Read(data) // it never fails
	var spans []bundle.Span
	for at := 0; at < n; at += 128 << 10 {
		if packs { // no chunk is another's
			for k := at + 64; k < min(at+128<<10, n); k++ {
				data[k] = data[at+k%64]
			}
		}
		spans = append(spans, bundle.Span{Offset: int64(at), Len: int64(min(128<<10, n-at))})
	}
	b, err := bundle.FromSpans("net", data, spans)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const slow = 2e6 // bytes a second

func TestStreams(t *testing.T) {
	b := load(t, 14<<20, false)
	for _, k := range []struct {
		name    string
		shared  bool
		near    bool
		alone   bool
		cut     int64
		streams [2]int
		within  float64 // of the time over one connection
	}{
		{"each held back", false, false, false, -1, [2]int{2, 4}, 0.65},
		{"one cable", true, false, false, -1, [2]int{1, 2}, 1.05},
		{"a near board", false, true, false, -1, [2]int{1, 1}, 1.05},
		{"no other connection", false, false, true, -1, [2]int{1, 1}, 1.05},
		{"the other one is cut", false, false, false, 1 << 20, [2]int{1, 1}, 1.05},
	} {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all := &bucket{rate: slow}
				far := 8 * time.Millisecond
				if k.near {
					far = 0
				}
				next := func() *lane {
					if k.shared {
						return &lane{rate: all, far: far}
					}
					return &lane{rate: &bucket{rate: slow}, far: far}
				}
				if k.alone {
					next = nil
				}
				c := road(t, &lane{rate: all, far: far}, next, k.cut)
				got, err := c.Push(t.Context(), b, nil)
				if err != nil {
					t.Fatal(err)
				}
				u := got.Upload
				if u == nil || u.Bytes != 14<<20 || u.Packed != 0 || got.Sent != u.Bytes {
					t.Fatalf("%+v", u)
				}
				held, of := u.Held()
				t.Logf("%.1f s over %d connections, round trip %v, %d of %d estimates held", u.Seconds, u.Streams, time.Duration(u.RoundNs), held, of)
				if u.Streams < k.streams[0] || u.Streams > k.streams[1] {
					t.Errorf("%d connections, want %v", u.Streams, k.streams)
				}
				if one := float64(14<<20) / slow; u.Seconds > k.within*one {
					t.Errorf("%.1f s, over one connection it takes %.1f", u.Seconds, one)
				}
				if again, err := c.Push(t.Context(), b, nil); err != nil || again.Sent != 0 || again.Upload != nil {
					t.Errorf("again: %d bytes, %v", again.Sent, err)
				}
			})
		})
	}
}

// A cable of 6 MB/s whose packets are lost: one connection holds itself back to a few hundred kilobytes a second.
func TestLossyLink(t *testing.T) {
	b := load(t, 24<<20, false)
	held, of := 0, 0
	for _, k := range []struct {
		loss    float64
		streams [2]int
		within  float64 // of the time over one connection
	}{
		{0, [2]int{1, 2}, 1.05},
		{0.01, [2]int{4, 4}, 0.45},
		{0.02, [2]int{4, 4}, 0.45},
		{0.03, [2]int{4, 4}, 0.45},
	} {
		t.Run(fmt.Sprintf("loss of %.0f %%", 100*k.loss), func(t *testing.T) {
			push := func(several bool) (u *Upload) {
				synctest.Test(t, func(t *testing.T) {
					cable, n := &bucket{rate: 6e6}, uint64(0)
					next := func() *lane {
						n++
						return &lane{rate: cable, far: 50 * time.Millisecond, loss: k.loss, r: rand.New(rand.NewPCG(n, 5))}
					}
					other := next
					if !several {
						other = nil
					}
					got, err := road(t, next(), other, -1).Push(t.Context(), b, nil)
					if err != nil {
						t.Fatal(err)
					}
					u = got.Upload
				})
				return u
			}
			one, u := push(false), push(true)
			h, n := u.Held()
			held, of = held+h, of+n
			t.Logf("%.1f s over %d connections, %.1f s over one; %d of %d estimates held", u.Seconds, u.Streams, one.Seconds, h, n)
			for _, e := range u.Estimates {
				t.Logf("  after %5.1f s: %5.1f to %5.1f s, it took %5.1f", e.After, e.Low, e.High, e.Took)
			}
			if u.Streams < k.streams[0] || u.Streams > k.streams[1] || u.Seconds > k.within*one.Seconds {
				t.Errorf("%d connections, want %v; %.1f s of %.1f, want at most %.2f of it", u.Streams, k.streams, u.Seconds, one.Seconds, k.within)
			}
		})
	}
	t.Logf("%d of %d estimates held", held, of)
	if held*20 < of*17 {
		t.Error("of twenty estimates seventeen have to hold")
	}
}

func TestPacked(t *testing.T) {
	for _, k := range []struct {
		name        string
		packs, fast bool
		old         bool
		want        bool
	}{
		{"it shrinks and the link is slow", true, false, false, true},
		{"it does not shrink", false, false, false, false},
		{"an agent of before", true, false, true, false},
	} {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := road(t, &lane{rate: &bucket{rate: slow}}, nil, -1)
				if k.old {
					c.session.hello.Zstd = false
				}
				got, err := c.Push(t.Context(), load(t, 6<<20, k.packs), nil)
				if err != nil {
					t.Fatal(err)
				}
				u := got.Upload
				t.Logf("%d bytes as %d, %d of them packed, in %.1f s", u.Bytes, u.Wire, u.Packed, u.Seconds)
				if (u.Packed > 0) != k.want || (u.Wire < u.Bytes/2) != k.want {
					t.Errorf("%+v", u)
				}
			})
		})
	}
}

// A cut in compressed chunks leaves nothing half there, and the next try sends the rest.
func TestCutPacked(t *testing.T) {
	b := load(t, 3<<20, true)
	resumed := 0
	for at := int64(1<<20 + 4000); at < 1<<20+60_000; at += 4000 {
		home := memory(t)
		push := func(cut int64) (Receipt, error) {
			c, _, end, err := served(t, home, func(k *chaos.Link) {
				k.Inner = &lane{ReadWriteCloser: k.Inner, rate: &bucket{rate: 2e7}}
				k.CutWrite = cut
			})
			if err != nil {
				t.Fatal(err)
			}
			defer end()
			return c.Push(t.Context(), b, nil)
		}
		_, err := push(at)
		if n, aerr := activeFile(home, b); aerr != nil || (n == 1) != (err == nil) {
			t.Errorf("cut at %d (%v): version %d, %v", at, err, n, aerr)
		}
		got, err := push(-1)
		if err != nil {
			t.Fatalf("after a cut at %d: %v", at, err)
		}
		if n, aerr := activeFile(home, b); aerr != nil || n != 1 {
			t.Errorf("after a cut at %d and a second try: version %d, %v", at, n, aerr)
		}
		if got.Sent < 3<<20 {
			resumed++
		}
	}
	if resumed == 0 {
		t.Error("no second try went on where the first stopped")
	}
}
