package deploy

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"fettle/internal/chaos"
	"fettle/remote/bundle"
)

// lane is a link that carries so many bytes a second, from far away. Lanes that share a bucket share its rate, as connections over one
// cable do; those with buckets of their own are held back each, as by loss.
type lane struct {
	io.ReadWriteCloser
	rate *bucket
	far  time.Duration
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

func (l *lane) Write(p []byte) (int, error) {
	l.rate.wait(len(p))
	return l.ReadWriteCloser.Write(p)
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
		t.Cleanup(end)
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
		{"each held back", false, false, false, -1, [2]int{2, 4}, 0.85},
		{"one cable", true, false, false, -1, [2]int{1, 2}, 1.35},
		{"a near board", false, true, false, -1, [2]int{1, 1}, 1.35},
		{"no other connection", false, false, true, -1, [2]int{1, 1}, 1.35},
		{"the other one is cut", false, false, false, 1 << 20, [2]int{1, 1}, 1.35},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
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
			want := k.streams
			if k.near && u.RoundNs > farAway.Nanoseconds() {
				want[1] = 4 // a busy computer takes it for far, and each of its connections has a rate of its own
			}
			if u.Streams < want[0] || u.Streams > want[1] {
				t.Errorf("%d connections at a round trip of %v, want %v", u.Streams, time.Duration(u.RoundNs), want)
			}
			if one := float64(14<<20) / slow; u.Seconds > k.within*one {
				t.Errorf("%.1f s, over one connection it takes %.1f", u.Seconds, one)
			}
			if again, err := c.Push(t.Context(), b, nil); err != nil || again.Sent != 0 || again.Upload != nil {
				t.Errorf("again: %d bytes, %v", again.Sent, err)
			}
		})
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
			t.Parallel()
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
