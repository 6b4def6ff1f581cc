package agent

import (
	"io"

	"github.com/klauspost/compress/zstd"

	"fettle/internal/fail"
	"fettle/remote/wire"
)

// put stores chunks. Compressed ones are unpacked as they come, in a window of bounded size; each chunk's hash is of its own bytes, so
// nothing that was unpacked wrongly is kept.
func (a *Agent) put(p wire.Put, r io.Reader) (wire.Stored, error) {
	if !p.Zstd {
		return a.store.Put(p.Chunks, r)
	}
	dec, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(wire.ZstdWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return wire.Stored{}, fail.New(fail.Corrupt, "the compressed chunks cannot be read: %v", err)
	}
	defer dec.Close()
	done, err := a.store.Put(p.Chunks, dec)
	if err != nil {
		return done, err
	}
	// the frame ends with the last chunk: more would be bytes of no chunk
	if n, err := io.Copy(io.Discard, io.LimitReader(dec, 1)); n > 0 || err != nil {
		return done, fail.New(fail.Corrupt, "compressed chunks do not end where they should")
	}
	return done, nil
}
