package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/remote/board"
	"fettle/remote/bundle"
	"fettle/remote/wire"
)

// Receipt says what a deployment is and what of it travelled.
type Receipt struct {
	wire.Deployment
	Sent   int64   `json:"bytes_sent"`
	Upload *Upload `json:"upload,omitempty"` // nil: nothing had to be sent
}

// Push is Install without a shadow run.
func (c *Conn) Push(ctx context.Context, b *bundle.Bundle, progress task.Progress) (Receipt, error) {
	return c.Install(ctx, b, 0, progress)
}

// Install makes b the active version of its name on the board. Only chunks that the board does not have travel, so a
// changed layer sends one layer, and a push that was cut goes on where it stopped. Until the board has everything
// and has checked it, the version before stays active. progress counts bytes; it may be nil.
//
// A bundle with a health rule has to pass it first, and runs beside the version before for as long as shadow says. Failed
// names what was not met: then the version before is the active one.
//
// Errors: NoSpace (known before anything is sent where the board says how much is free), Unreachable, Corrupt, Busy.
func (c *Conn) Install(ctx context.Context, b *bundle.Bundle, shadow time.Duration, progress task.Progress) (Receipt, error) {
	what := "deploy " + b.Name
	signed, err := c.signed(b)
	if err != nil {
		return Receipt{}, err
	}
	if n := len(signed.Manifest); n > wire.MaxPayload-1024 {
		return Receipt{}, fail.New(fail.TooBig, "its manifest has %d bytes", n).Doing("%s", what)
	}
	if (b.Health != nil || shadow > 0) && c.now().hello.Protocol < 3 {
		return Receipt{}, c.because(fail.New(fail.Unsupported, "its agent (%s) knows no health rules", c.now().hello.Version).Try("let this program put its own agent there"), what)
	}
	var out Receipt
	for try := 0; ; try++ {
		err := c.vouched(ctx, signed.Manifest, func(v wire.Vouch) error {
			signed.Vouch = v
			up, err := c.send(ctx, b, signed, progress)
			if out.Sent += up.Bytes; up.Bytes > 0 {
				out.Upload = &up
			}
			switch {
			case err != nil:
				return err
			case b.Health != nil || shadow > 0:
				return c.try(ctx, wire.Install{Signed: signed, ShadowNS: shadow.Nanoseconds(), Holder: Holder()}, &out.Deployment, progress)
			case c.now().hello.Protocol < 3:
				return c.link().Do(ctx, wire.VerbCommit, rawJSON(signed.Manifest), &out.Deployment)
			}
			return c.link().Do(ctx, wire.VerbCommit, signed, &out.Deployment)
		})
		if err == nil {
			return out, nil
		}
		// the board's disk gave other bytes for a chunk, or another desk took it away: it is sent once more
		if try > 0 || !fail.Is(err, fail.Corrupt) && !fail.Is(err, fail.NotFound) {
			return Receipt{}, c.because(err, what)
		}
	}
}

// try has the board try a version and make it the active one.
func (c *Conn) try(ctx context.Context, q wire.Install, into *wire.Deployment, progress task.Progress) error {
	k, err := c.link().Call(ctx, wire.VerbInstall, q)
	if err != nil {
		return err
	}
	defer k.Close()
	if err := k.SendEnd(); err != nil {
		return err
	}
	for {
		_, b, err := k.Next()
		if errors.Is(err, io.EOF) {
			return k.Result(into)
		}
		if err != nil {
			return err
		}
		var t wire.Trying
		if json.Unmarshal(b, &t) == nil {
			progress.Report(t.Done, t.Total, board.Printable("try: "+t.State))
		}
	}
}

// rawJSON travels as it is.
type rawJSON []byte

// MarshalJSON gives the bytes.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

const (
	askAtOnce  = 20_000   // chunks in one question: 2 MB of JSON
	sendAtOnce = 16 << 20 // bytes in one request: what a cut may leave to be asked about again
)

// send gives the board what it lacks of b and says how it travelled.
func (c *Conn) send(ctx context.Context, b *bundle.Bundle, signed wire.Signed, progress task.Progress) (Upload, error) {
	missing, err := c.missing(ctx, b, signed)
	if err != nil || len(missing) == 0 {
		return Upload{}, err
	}
	return c.upload(ctx, b, signed, missing, progress)
}

// missing asks which chunks the board lacks; each once, though a file may hold it often. A board of since signatures is shown
// the signed manifest, and says what it lacks of it.
func (c *Conn) missing(ctx context.Context, b *bundle.Bundle, signed wire.Signed) ([]int, error) {
	if c.now().hello.Protocol >= 3 {
		var m wire.Missing
		if err := c.link().Do(ctx, wire.VerbOffer, signed, &m); err != nil {
			return nil, err
		}
		return positions(nil, m, nil, len(b.All()))
	}
	var first []int // the first place of each chunk
	seen := map[cas.Hash]bool{}
	for i, ch := range b.Chunks {
		if !seen[ch.SHA256] {
			seen[ch.SHA256] = true
			first = append(first, i)
		}
	}
	var out []int
	for at := 0; at < len(first); at += askAtOnce {
		part := first[at:min(at+askAtOnce, len(first))]
		var have wire.Have
		for _, i := range part {
			have.Chunks = append(have.Chunks, wire.Chunk{SHA256: string(b.Chunks[i].SHA256), Len: b.Chunks[i].Len})
		}
		var m wire.Missing
		err := c.link().Do(ctx, wire.VerbHave, have, &m)
		if err == nil {
			out, err = positions(out, m, part, len(part))
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// positions adds those of m to out, of n in all; part, if any, says where they lie in the bundle.
func positions(out []int, m wire.Missing, part []int, n int) ([]int, error) {
	last := -1
	for _, i := range m.Missing {
		if i <= last || i >= n {
			return nil, fail.New(fail.Corrupt, "the agent misses chunk %d of %d", i, n)
		}
		last = i
		if part != nil {
			i = part[i]
		}
		out = append(out, i)
	}
	return out, nil
}

// signed is a manifest with this user's signature, if there is a key: good to measure with.
func (c *Conn) signed(b *bundle.Bundle) (wire.Signed, error) {
	raw, _, err := b.Encode()
	s := wire.Signed{Manifest: raw}
	if err == nil && c.key != nil {
		s.Vouch = wire.Vouch(c.key.Sign(raw))
	}
	return s, err
}

// vouched signs words that change the board, under the next number that the board takes. Where another desk was faster, they are signed
// anew: the numbers keep old words out, not other desks.
func (c *Conn) vouched(ctx context.Context, words []byte, do func(wire.Vouch) error) error {
	for try := 0; ; try++ {
		v := c.vouch(words)
		err := do(v)
		if try == 5 || v.Number == 0 || !fail.Is(err, fail.Denied) || !c.overtaken(ctx, v.Number) {
			return err
		}
	}
}

func (c *Conn) vouch(words []byte) wire.Vouch {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch hello := c.session.hello; {
	case c.key == nil:
		return wire.Vouch{}
	case hello.Board == "": // an agent of before numbers
		return wire.Vouch(c.key.Sign(words))
	default:
		c.used = max(c.used, hello.Last) + 1
		return wire.Vouch(c.key.SignFor(hello.Board, c.used, words))
	}
}

// overtaken asks the board how far it has counted, and says whether number n was used by somebody else.
func (c *Conn) overtaken(ctx context.Context, n int64) bool {
	var h wire.Hello
	if c.link().Do(ctx, wire.VerbHello, nil, &h) != nil || h.Last < n || h.Last >= bundle.MaxNumber {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = max(c.used, h.Last)
	return true
}

// Trust has the board take manifests of another signing key, or no longer take them; this user's key has to be one that it
// trusts. Without a key it lists those that it trusts.
func (c *Conn) Trust(ctx context.Context, key string, drop bool) ([]string, error) {
	q := wire.Trust{Change: key, Drop: drop}
	var out wire.Trusted
	ask := func(v wire.Vouch) error {
		q.Vouch = v
		return c.link().Do(ctx, wire.VerbTrust, q, &out)
	}
	var err error
	switch {
	case key == "":
		err = ask(wire.Vouch{})
	case c.key == nil:
		err = fail.New(fail.Internal, "trust without a key of one's own")
	default:
		err = c.vouched(ctx, bundle.TrustWords(key, drop), ask)
	}
	return out.Keys, c.because(err, "change who is trusted")
}

// finish takes the result of a call that answers nothing else.
func finish(k *wire.Call, into any) error {
	for {
		_, _, err := k.Next()
		if errors.Is(err, io.EOF) {
			return k.Result(into)
		}
		if err != nil {
			return err
		}
	}
}

// Rollback returns to the version before the active one. NotFound: there is none. It is signed like a deployment.
func (c *Conn) Rollback(ctx context.Context, name string) (wire.Deployment, error) {
	var d wire.Deployment
	err := c.vouched(ctx, bundle.RollbackWords(name), func(v wire.Vouch) error {
		return c.link().Do(ctx, wire.VerbRollback, wire.Back{Named: wire.Named{Name: name}, Vouch: v}, &d)
	})
	return d, c.because(err, "roll back "+name)
}

// List gives the deployments of the board, by name. One that cannot be read says so in its State.
func (c *Conn) List(ctx context.Context) ([]wire.Deployment, error) {
	var out []wire.Deployment
	err := c.link().Do(ctx, wire.VerbList, nil, &out)
	return out, c.because(err, "list deployments")
}

// Remove takes one deployment with all its versions away and gives the bytes freed.
func (c *Conn) Remove(ctx context.Context, name string) (int64, error) {
	var f wire.Freed
	err := c.link().Do(ctx, wire.VerbRemove, wire.Named{Name: name}, &f)
	return f.Bytes, c.because(err, "remove "+name)
}
