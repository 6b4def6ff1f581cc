package deploy

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/remote/bundle"
	"fettle/remote/wire"
)

// Upload says how chunks travelled.
type Upload struct {
	Bytes     int64      `json:"bytes"` // of chunks
	Wire      int64      `json:"wire"`  // of what was sent for them, after compression
	Seconds   float64    `json:"seconds"`
	RoundNs   int64      `json:"round_trip_ns"`
	Streams   int        `json:"streams"` // connections that were kept
	Packed    int64      `json:"packed"`  // bytes of chunks that travelled compressed
	Estimates []Estimate `json:"estimates,omitempty"`
}

// Estimate is what was said of the time left, and what came.
type Estimate struct {
	After float64 `json:"after_s"`
	Low   float64 `json:"low_s"`
	High  float64 `json:"high_s"`
	Took  float64 `json:"took_s"`
}

// Held counts the estimates that the truth lay in.
func (u *Upload) Held() (held, of int) {
	for _, e := range u.Estimates {
		if e.Took >= e.Low && e.Took <= e.High {
			held++
		}
	}
	return held, len(u.Estimates)
}

const (
	firstBatch  = 1 << 20 // bytes in the first requests: enough to see how fast it goes
	batchTime   = 700 * time.Millisecond
	mostStreams = 4
	worthwhile  = 3 * time.Second      // time left for which another connection is tried
	farAway     = 4 * time.Millisecond // round trip from which another connection can help: a near board fills its link with one
	gain        = 1.2                  // how much faster all must become with another connection, or with compression
	sampleSize  = 256 << 10
)

// uploading is one upload, over one connection at first.
type uploading struct {
	c        *Conn
	b        *bundle.Bundle
	signed   wire.Signed
	progress task.Progress
	begin    time.Time
	total    int64

	mu      sync.Mutex
	left    []int // chunks that nobody sends
	sent    int64 // bytes that the board has
	busy    int   // requests under way
	rates   []float64
	streams int
	full    bool // another connection brought nothing
	mark    struct {
		at   time.Time
		sent int64
		rate float64 // with one connection less
	}
	pack packing
	out  Upload
}

// packing is what is known of compression.
type packing struct {
	state int     // not known, tried, used, of no use
	raw   float64 // bytes a second without
}

const (
	packUnknown = iota
	packTried
	packUsed
	packUseless
)

// upload gives the board the missing chunks of b.
func (c *Conn) upload(ctx context.Context, b *bundle.Bundle, signed wire.Signed, missing []int, progress task.Progress) (Upload, error) {
	u := &uploading{c: c, b: b, signed: signed, progress: progress, begin: time.Now(), left: slices.Clone(missing), streams: 1}
	all := b.All()
	for _, i := range missing {
		u.total += all[i].Len
	}
	progress.Report(0, u.total, "send "+b.Name)
	if u.total > firstBatch {
		for range 3 { // the quickest: a desk that is busy is not a board that is far
			at := time.Now()
			if err := c.link().Do(ctx, wire.VerbHello, nil, &wire.Hello{}); err != nil {
				return u.out, err
			}
			if d := time.Since(at).Nanoseconds(); u.out.RoundNs == 0 || d < u.out.RoundNs {
				u.out.RoundNs = d
			}
		}
	}
	g := task.NewGroup(ctx)
	g.Go("upload", func(ctx context.Context) error {
		defer g.Cancel() // the others have nothing to do without it
		for {
			if err := u.work(ctx, c.link(), true); err != nil {
				return err
			}
			if u.over() {
				return nil
			}
			if u.another() {
				g.Go("upload beside", func(ctx context.Context) error { u.beside(ctx); return nil })
			}
			if u.idle() { // another connection has the rest under way, or gives it back
				select {
				case <-ctx.Done():
					return fail.From(ctx.Err())
				case <-time.After(5 * time.Millisecond):
				}
			}
		}
	})
	err := g.Wait()
	if u.over() {
		err = nil // the group was ended because all is there
	}
	u.out.Seconds, u.out.Bytes, u.out.Streams = time.Since(u.begin).Seconds(), u.sent, u.streams
	for i := range u.out.Estimates {
		u.out.Estimates[i].Took = u.out.Seconds - u.out.Estimates[i].After
	}
	return u.out, err
}

func (u *uploading) over() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sent == u.total
}

func (u *uploading) idle() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.left) == 0
}

// work sends one batch. What a cut left is given back, so that another connection or the next try sends it.
func (u *uploading) work(ctx context.Context, link *wire.Client, first bool) error {
	batch, put, size, packed := u.take()
	if len(batch) == 0 {
		return nil
	}
	begin := time.Now()
	onWire, err := u.send(ctx, link, batch, put, packed, size, first)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.busy--
	if err != nil {
		u.left = append(batch, u.left...)
		return err
	}
	u.sent += size
	u.out.Wire += onWire
	if packed {
		u.out.Packed += size
	}
	rate := float64(size) / time.Since(begin).Seconds()
	u.judge(batch, rate, packed)
	if !packed || u.pack.state != packTried {
		u.rates = append(u.rates, rate)
	}
	low, high, known := u.remain()
	what := "send " + u.b.Name
	if known && u.sent < u.total {
		u.out.Estimates = append(u.out.Estimates, Estimate{After: time.Since(u.begin).Seconds(), Low: low, High: high})
		what = fmt.Sprintf("%s, %.1f MB/s, %.0f to %.0f s left", what, u.pace()/1e6, low, math.Ceil(high))
	}
	u.progress.Report(u.sent, u.total, what)
	return nil
}

// take chooses the next batch: about as much as travels in batchTime.
func (u *uploading) take() (batch []int, put wire.Put, size int64, packed bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	most := int64(firstBatch)
	if n := len(u.rates); n > 0 {
		most = min(max(int64(u.rates[n-1]*batchTime.Seconds()), firstBatch), sendAtOnce)
	}
	all := u.b.All()
	n := 0
	for n < len(u.left) && (n == 0 || size+all[u.left[n]].Len <= most) {
		ch := all[u.left[n]]
		put.Chunks = append(put.Chunks, wire.Chunk{SHA256: string(ch.SHA256), Len: ch.Len})
		size += ch.Len
		n++
	}
	batch = slices.Clone(u.left[:n])
	u.left = u.left[n:]
	packed = u.pack.state == packTried || u.pack.state == packUsed
	put.Zstd = packed
	if n > 0 {
		u.busy++
	}
	return batch, put, size, packed
}

// pace is bytes a second of late, over all connections.
func (u *uploading) pace() float64 {
	n := len(u.rates)
	if n == 0 {
		return 0
	}
	sum := 0.0
	late := u.rates[max(0, n-6):]
	for _, v := range late {
		sum += 1 / v
	}
	return float64(len(late)) / sum * float64(max(u.busy+1, 1))
}

// remain is the time left, as an interval that nine of ten uploads keep: from how much requests differ, and never narrower than a tenth.
func (u *uploading) remain() (low, high float64, known bool) {
	if len(u.rates) < 2 {
		return 0, 0, false
	}
	late := slices.Clone(u.rates[max(0, len(u.rates)-8):])
	var mean, square float64
	for i, v := range late {
		late[i] = math.Log(v)
		mean += late[i] / float64(len(late))
	}
	for _, v := range late {
		square += (v - mean) * (v - mean) / float64(len(late)-1)
	}
	left := float64(u.total - u.sent)
	middle := left / u.pace()
	// what is left is several requests, whose differences even out; how fast the link is changes slowly and does not
	requests := max(left/(math.Exp(mean)*batchTime.Seconds()), 1)
	d := math.Max(1.645*math.Sqrt(square*(1/requests+1/float64(len(late)))), 0.1)
	return middle * math.Exp(-d), middle*math.Exp(d) + 0.05, true
}

// judge decides on compression by what it does: a sample must shrink, the desk must be faster than the link, and a whole request must gain.
func (u *uploading) judge(batch []int, rate float64, packed bool) {
	switch {
	case !u.c.now().hello.Zstd || u.pack.state == packUsed || u.pack.state == packUseless:
	case u.pack.state == packUnknown:
		u.pack.raw, u.pack.state = rate, packUseless
		if len(u.left) == 0 {
			return
		}
		if ratio, speed := shrink(u.b, u.left); speed > 1.5*rate && ratio*gain < 1 {
			u.pack.state = packTried
		}
	case packed && rate > gain*u.pack.raw:
		u.pack.state = packUsed
	case packed:
		u.pack.state = packUseless
	}
}

// shrink is how small a sample of the chunks becomes, and bytes a second of making it so.
func shrink(b *bundle.Bundle, chunks []int) (ratio, speed float64) {
	var sample []byte
	for _, i := range chunks {
		p := b.Bytes(i)
		sample = append(sample, p[:min(len(p), sampleSize-len(sample))]...)
		if len(sample) == sampleSize {
			break
		}
	}
	enc, err := encoder(nil)
	if err != nil || len(sample) == 0 {
		return 1, 0
	}
	begin := time.Now()
	out := enc.EncodeAll(sample, nil)
	return float64(len(out)) / float64(len(sample)), float64(len(sample)) / time.Since(begin).Seconds()
}

// encoder is a fast one whose window a small board can hold.
func encoder(w io.Writer) (*zstd.Encoder, error) {
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(wire.ZstdWindow))
}

// another reports whether one more connection is to be tried now: the board is far, much is left, and the last one helped.
func (u *uploading) another() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.sent
	rate := u.pace()
	if u.full || u.streams >= mostStreams || u.c.again == nil || len(u.rates) < 2 || len(u.left) == 0 || u.out.RoundNs < farAway.Nanoseconds() || u.c.now().hello.Protocol < 3 ||
		float64(u.total-now)/rate < worthwhile.Seconds() {
		return false
	}
	if !u.mark.at.IsZero() { // has the last one helped?
		passed := time.Since(u.mark.at).Seconds()
		if passed < 3*batchTime.Seconds() {
			return false
		}
		rate = float64(now-u.mark.sent) / passed
		if rate < gain*u.mark.rate {
			u.full = true // it stays: it does no harm
			return false
		}
	} else {
		rate = float64(now) / time.Since(u.begin).Seconds()
	}
	u.mark.at, u.mark.sent, u.mark.rate = time.Now(), now, rate
	u.streams++
	return true
}

// beside sends batches over a connection of its own until nothing is left. What goes wrong with it is no reason to give up: the first
// connection sends the rest.
func (u *uploading) beside(ctx context.Context) {
	s, err := u.c.again(ctx)
	if err == nil {
		defer s.close()
		var m wire.Missing // the board takes chunks from those who showed it the manifest
		err = s.wire.Do(ctx, wire.VerbOffer, u.signed, &m)
	}
	for err == nil && !u.idle() {
		err = u.work(ctx, s.wire, false)
	}
	if err != nil {
		u.mu.Lock()
		u.streams, u.full = u.streams-1, true
		u.mu.Unlock()
	}
}

// send is one request; it gives the bytes that travelled.
func (u *uploading) send(ctx context.Context, link *wire.Client, batch []int, head wire.Put, packed bool, size int64, report bool) (int64, error) {
	k, err := link.Call(ctx, wire.VerbPut, head)
	if err != nil {
		return 0, err
	}
	defer k.Close()
	out := &counted{k: k}
	var w io.Writer = out
	var enc *zstd.Encoder
	if packed {
		if enc, err = encoder(out); err != nil {
			return 0, fail.New(fail.Internal, "%v", err)
		}
		w = enc
	}
	var done int64
	for _, i := range batch {
		for p := u.b.Bytes(i); len(p) > 0; {
			n := min(len(p), 64<<10)
			if _, err := w.Write(p[:n]); err != nil {
				return 0, err
			}
			p = p[n:]
			done += int64(n)
			if report {
				u.mu.Lock()
				now := u.sent
				u.mu.Unlock()
				u.progress.Report(now+done, u.total, "send "+u.b.Name)
			}
		}
	}
	if enc != nil {
		if err := enc.Close(); err != nil {
			return 0, err
		}
	}
	if err := k.SendEnd(); err != nil {
		return 0, err
	}
	var stored wire.Stored
	if err := finish(k, &stored); err != nil {
		return 0, err
	}
	if stored.Bytes != size {
		return 0, fail.New(fail.Corrupt, "the agent stored %d of %d bytes", stored.Bytes, size)
	}
	return out.n, nil
}

// counted sends what is written to it and counts it.
type counted struct {
	k *wire.Call
	n int64
}

// Write sends p.
func (c *counted) Write(p []byte) (int, error) {
	if err := c.k.Send(p); err != nil {
		return 0, err
	}
	c.n += int64(len(p))
	return len(p), nil
}
