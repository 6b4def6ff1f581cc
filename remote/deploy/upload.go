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
	firstBatch  = 1 << 20   // bytes in the first requests: enough to see how fast it goes
	leastBatch  = 256 << 10 // bytes in any other: a round trip costs less than they do
	batchTime   = 700 * time.Millisecond
	paceTime    = 5 * time.Second // over which the pace is taken
	mostStreams = 4
	worthwhile  = 3 * time.Second      // time left for which another connection is tried
	farAway     = 4 * time.Millisecond // round trip from which another connection can help: a near board fills its link with one
	gain        = 1.2                  // how much faster all must become with another connection, or with compression
	allOf       = 0.75                 // share of what connections could bring at most, from which they are taken to be held back each by itself
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
	flying  int64 // bytes of requests under way that were written
	done    int   // requests
	busy    int   // requests under way
	rates   []float64
	passed  []passed // since there are as many connections
	streams int
	full    bool // another connection brought nothing
	mark    struct {
		at      time.Time
		sent    int64   // bytes written
		rate    float64 // with fewer connections
		streams int     // of these
		done    int
	}
	pack packing
	out  Upload
}

// passed is how many bytes were written until when.
type passed struct {
	at    time.Time
	bytes int64
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
			for range u.another() {
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
	onWire, wrote, err := u.send(ctx, link, batch, put, packed, size, first)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.busy--
	u.flying -= wrote
	if err != nil {
		u.left = append(batch, u.left...)
		return err
	}
	u.sent += size
	u.done++
	u.out.Wire += onWire
	if packed {
		u.out.Packed += size
	}
	rate := float64(size) / time.Since(begin).Seconds()
	u.judge(batch, rate, packed)
	if !packed || u.pack.state != packTried {
		u.rates = append(u.rates, rate)
	}
	u.passed = append(u.passed, passed{time.Now(), u.sent + u.flying})
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
		most = min(max(int64(u.rates[n-1]*batchTime.Seconds()), leastBatch), sendAtOnce)
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

// pace is bytes a second of late, over all connections: what was written since a few seconds ago, or since there are as many. Until that
// is long enough, what requests reached.
func (u *uploading) pace() float64 {
	if n := len(u.passed); n > 1 {
		last := u.passed[n-1]
		at := slices.IndexFunc(u.passed, func(p passed) bool { return last.at.Sub(p.at) <= paceTime })
		if span := last.at.Sub(u.passed[at].at); span >= 2*batchTime {
			return max(float64(last.bytes-u.passed[at].bytes), 1) / span.Seconds()
		}
	}
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

// remain is the time left, as an interval that nine of ten uploads keep: from how much requests differ, never narrower than an eighth and less narrow over
// several connections, and down to what connections that are not tried yet could save.
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
	left := float64(u.total - u.sent - u.flying)
	middle := left / u.pace()
	// what is left is several requests, whose differences even out; how fast the link is changes slowly and does not
	requests := max(left/max(math.Exp(mean)*batchTime.Seconds(), leastBatch), 1)
	d := math.Max(1.645*math.Sqrt(square*(1/requests+2/float64(len(late)))), 0.1+0.03*float64(u.streams)) // neighbours are alike: they count as half as many
	low, high = middle*math.Exp(-d), middle*math.Exp(d)+0.05
	if u.streams > 1 { // at the end all wait for the last request of the slowest
		high += max(batchTime.Seconds(), leastBatch/math.Exp(mean))
	}
	if u.mayGrow() && middle > worthwhile.Seconds() { // other connections may make it as much faster
		low *= float64(u.streams) / mostStreams
	}
	return low, high, true
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

// another is how many more connections are to be tried now: the board is far, much is left, and the last ones helped. Where they brought what
// they could, each is held back by itself, as by loss, and all the others are tried at once; where they brought less, the link is nearly full.
func (u *uploading) another() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	now, more := u.sent+u.flying, 1
	if !u.mayGrow() || len(u.rates) < 2 || len(u.left) == 0 || float64(u.total-now)/u.pace() < worthwhile.Seconds() {
		return 0
	}
	rate := float64(now) / time.Since(u.begin).Seconds()
	if !u.mark.at.IsZero() { // have the last ones helped?
		passed := time.Since(u.mark.at).Seconds()
		if passed < 3*batchTime.Seconds() || u.done-u.mark.done < 2*u.streams { // a request more or less must not decide
			return 0
		}
		rate = float64(now-u.mark.sent) / passed
		times := rate / u.mark.rate
		if times < gain {
			u.full = true // they stay: they do no harm
			return 0
		}
		if times > allOf*float64(u.streams)/float64(u.mark.streams) {
			more = mostStreams - u.streams
		}
	}
	u.mark.at, u.mark.sent, u.mark.rate, u.mark.streams, u.mark.done = time.Now(), now, rate, u.streams, u.done
	u.streams += more
	u.rates, u.passed = u.rates[len(u.rates)-1:], nil // what requests took beside fewer says little now
	return more
}

// mayGrow reports whether more connections can be tried later on.
func (u *uploading) mayGrow() bool {
	return !u.full && u.streams < mostStreams && u.c.again != nil && u.out.RoundNs >= farAway.Nanoseconds() && u.c.now().hello.Protocol >= 3
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

// send is one request; it gives the bytes that travelled, and those of chunks that were written for it.
func (u *uploading) send(ctx context.Context, link *wire.Client, batch []int, head wire.Put, packed bool, size int64, report bool) (onWire, wrote int64, err error) {
	k, err := link.Call(ctx, wire.VerbPut, head)
	if err != nil {
		return 0, wrote, err
	}
	defer k.Close()
	out := &counted{k: k}
	var w io.Writer = out
	var enc *zstd.Encoder
	if packed {
		if enc, err = encoder(out); err != nil {
			return 0, wrote, fail.New(fail.Internal, "%v", err)
		}
		w = enc
	}
	for _, i := range batch {
		for p := u.b.Bytes(i); len(p) > 0; {
			n := min(len(p), 64<<10)
			if _, err := w.Write(p[:n]); err != nil {
				return 0, wrote, err
			}
			p = p[n:]
			wrote += int64(n)
			u.mu.Lock()
			u.flying += int64(n)
			now := u.sent
			u.mu.Unlock()
			if report {
				u.progress.Report(now+wrote, u.total, "send "+u.b.Name)
			}
		}
	}
	if enc != nil {
		if err := enc.Close(); err != nil {
			return 0, wrote, err
		}
	}
	if err := k.SendEnd(); err != nil {
		return 0, wrote, err
	}
	var stored wire.Stored
	if err := finish(k, &stored); err != nil {
		return 0, wrote, err
	}
	if stored.Bytes != size {
		return 0, wrote, fail.New(fail.Corrupt, "the agent stored %d of %d bytes", stored.Bytes, size)
	}
	return out.n, wrote, nil
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
