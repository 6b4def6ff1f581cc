// Package wire owns what travels between the desk and the agent: frames with a length, a request number, a sequence
// number and a checksum, and calls made of them.
//
// A frame is 20 bytes of header and at most MaxPayload bytes. A stream ends with an end mark that carries the count
// and the SHA-256 of what was sent; without it a call was cut, never short. The package opens no socket: it works on
// any io.ReadWriteCloser. Start reading at Frame, then Client and Serve.
package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"sync"

	"fettle/internal/fail"
)

// Version is the version of what the calls mean; Oldest is the one of two releases before, which still works. Both sides say
// theirs with hello: a program talks with agents of two releases before it and of one after. 3 brought signatures and health
// rules, 2 the lease and measurements that outlive a connection.
const (
	Version = 3
	Oldest  = 1
)

// framing is the version of the frames themselves.
const framing = 1

// MaxPayload bounds one frame: the steps of a plan with many thousand layers fit.
const MaxPayload = 8 << 20

// piece is the size of raw data in one frame: small, so that on a slow link each frame still arrives within its limit.
const piece = 64 << 10

// Preamble is what an agent writes first, so that the greeting of a login shell before it is skipped.
const Preamble = "\x00\x01fettle-agent\x02\n"

// maxGreeting bounds what may come before the preamble.
const maxGreeting = 64 << 10

const (
	headerSize = 20
	magic      = 0xF771
)

// Type says what a frame is.
type Type uint8

// The types of frames.
const (
	TypeRequest Type = 1 + iota // desk: starts a call; JSON {verb, head}
	TypeItem                    // either: one JSON element of the stream
	TypeData                    // either: raw bytes of the stream
	TypeEnd                     // either: end mark of the stream; JSON {count, sha256} and from the agent the result
	TypeError                   // agent: ends the call; JSON of a typed error
	TypeCancel                  // desk: asks the agent to stop the call
	TypePing                    // agent: it is alive
	lastType
)

// Frame is one message.
type Frame struct {
	Type    Type
	Request uint32
	Seq     uint32 // counted from 0 in each call and direction
	Payload []byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Append encodes f behind dst.
//
//	offset 0 magic u16 | 2 version u8 | 3 type u8 | 4 request u32 | 8 sequence u32 | 12 length u32 | 16 crc32c u32
//
// Numbers are big-endian; the checksum covers header bytes 0 to 15 and the payload.
func Append(dst []byte, f Frame) []byte {
	at := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, magic)
	dst = append(dst, framing, byte(f.Type))
	dst = binary.BigEndian.AppendUint32(dst, f.Request)
	dst = binary.BigEndian.AppendUint32(dst, f.Seq)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(f.Payload)))
	sum := crc32.Update(crc32.Checksum(dst[at:], castagnoli), castagnoli, f.Payload)
	dst = binary.BigEndian.AppendUint32(dst, sum)
	return append(dst, f.Payload...)
}

// Read reads one frame. io.EOF: the stream ended between frames. fail.Corrupt: cut inside a frame, or not ours.
func Read(r io.Reader) (Frame, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return Frame{}, fail.New(fail.Corrupt, "the stream was cut inside the header of a message")
		}
		return Frame{}, err
	}
	if binary.BigEndian.Uint16(h[:]) != magic {
		return Frame{}, fail.New(fail.Corrupt, "what the other side says is not a Fettle message (% x)", h[:4])
	}
	if h[2] != framing {
		return Frame{}, fail.New(fail.Unsupported, "the other side sends frames of version %d, this one %d", h[2], framing).Try("use agent and desk of the same release")
	}
	f := Frame{Type: Type(h[3]), Request: binary.BigEndian.Uint32(h[4:]), Seq: binary.BigEndian.Uint32(h[8:])}
	n := binary.BigEndian.Uint32(h[12:])
	if f.Type == 0 || f.Type >= lastType {
		return Frame{}, fail.New(fail.Corrupt, "unknown message type %d", h[3])
	}
	if n > MaxPayload {
		return Frame{}, fail.New(fail.TooBig, "a message of %d bytes is over the limit of %d", n, MaxPayload)
	}
	// grown as bytes arrive: a header alone never costs its announced length
	var b bytes.Buffer
	if got, err := io.CopyN(&b, r, int64(n)); err != nil {
		if errors.Is(err, io.EOF) {
			return Frame{}, fail.New(fail.Corrupt, "a message was cut after %d of %d bytes", got, n)
		}
		return Frame{}, err
	}
	f.Payload = b.Bytes()
	sum := crc32.Update(crc32.Checksum(h[:16], castagnoli), castagnoli, f.Payload)
	if sum != binary.BigEndian.Uint32(h[16:]) {
		return Frame{}, fail.New(fail.Corrupt, "the checksum of a message is wrong")
	}
	return f, nil
}

// skipGreeting reads until the preamble has passed.
func skipGreeting(r io.Reader) error {
	want := []byte(Preamble)
	var last []byte
	var one [1]byte
	for n := 0; n < maxGreeting; n++ {
		if _, err := io.ReadFull(r, one[:]); err != nil {
			return fail.New(fail.Unreachable, "the agent ended before it said hello").Try("see whether the board can start it: fettle target doctor; it said: %s", printable(last))
		}
		if last = append(last, one[0]); len(last) > 256 {
			last = append(last[:0], last[128:]...)
		}
		if bytes.HasSuffix(last, want) {
			return nil
		}
	}
	return fail.New(fail.Corrupt, "the board said %d bytes that are not the agent's hello", maxGreeting)
}

// printable keeps what a terminal shows as it is: no control characters, and none that turn the direction of text.
func printable(b []byte) string {
	out := make([]rune, 0, len(b))
	for _, r := range string(b) {
		switch {
		case r < ' ', r >= 0x7f && r < 0xa0, r == 0xfffd:
			r = ' '
		case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f, r == 0x061c:
			continue
		}
		out = append(out, r)
	}
	return strings.TrimSpace(string(out))
}

// writer puts whole frames on a stream; several goroutines may use it.
type writer struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

func (w *writer) frame(f Frame) error {
	if len(f.Payload) > MaxPayload {
		return fail.New(fail.TooBig, "a message of %d bytes is over the limit of %d", len(f.Payload), MaxPayload)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = Append(w.buf[:0], f)
	_, err := w.w.Write(w.buf)
	return err
}
