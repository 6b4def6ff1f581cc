package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"

	"fettle/internal/fail"
)

// request is the payload of TypeRequest.
type request struct {
	Verb string          `json:"verb"`
	Head json.RawMessage `json:"head,omitempty"`
}

// mark is the payload of TypeEnd.
type mark struct {
	Count  uint32          `json:"count"`
	SHA256 string          `json:"sha256"`
	Result json.RawMessage `json:"result,omitempty"`
}

// failure is the payload of TypeError.
type failure struct {
	Kind  fail.Kind  `json:"kind"`
	What  string     `json:"what,omitempty"`
	Why   string     `json:"why"`
	Fix   string     `json:"fix,omitempty"`
	Where fail.Where `json:"where"`
}

// EncodeError is the text of a typed error, as it travels.
func EncodeError(err error) []byte { return encodeError(err) }

// DecodeError reads EncodeError's text; what cannot be read is fail.Corrupt.
func DecodeError(b []byte) error { return decodeError(b) }

func encodeError(err error) []byte {
	e := fail.From(err)
	b, jerr := json.Marshal(failure{e.Kind, clip(e.What), clip(e.Why), clip(e.Fix), e.Where})
	if jerr != nil || len(b) > MaxPayload {
		b, _ = json.Marshal(failure{Kind: e.Kind, Why: clip(e.Why)}) // strings always encode
	}
	return b
}

func clip(s string) string {
	if len(s) > 4096 {
		return s[:4096]
	}
	return s
}

func decodeError(b []byte) error {
	var f failure
	if err := json.Unmarshal(b, &f); err != nil || f.Why == "" {
		return fail.New(fail.Corrupt, "the agent reported an error that cannot be read")
	}
	known := false
	for _, k := range fail.Kinds() {
		known = known || k.Kind == f.Kind
	}
	if !known {
		f.Kind = fail.Failed
	}
	w := &f.Where
	for _, s := range []*string{&w.File, &w.Field, &w.Node, &w.Op, &w.Attr, &w.Tensor, &w.Board, &w.Option} {
		*s = printable([]byte(clip(*s)))
	}
	return &fail.Error{Kind: f.Kind, What: printable([]byte(f.What)), Why: printable([]byte(f.Why)), Fix: printable([]byte(f.Fix)), Where: f.Where}
}

// digest counts and hashes one direction of a call.
type digest struct {
	seq   uint32
	count uint32
	sum   hash.Hash
}

func newDigest() *digest { return &digest{sum: sha256.New()} }

func (d *digest) add(t Type, payload []byte) {
	d.sum.Write([]byte{byte(t)})
	d.sum.Write(payload)
	d.count++
}

func (d *digest) mark(result json.RawMessage) mark {
	return mark{d.count, hex.EncodeToString(d.sum.Sum(nil)), result}
}

// sender writes one direction of a call.
type sender struct {
	w   *writer
	id  uint32
	dig *digest
}

func (s *sender) send(t Type, payload []byte) error {
	f := Frame{t, s.id, s.dig.seq, payload}
	s.dig.seq++
	if t == TypeItem || t == TypeData {
		s.dig.add(t, payload)
	}
	return s.w.frame(f)
}

// item sends v as one element of the stream.
func (s *sender) item(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fail.New(fail.Internal, "encode a message: %v", err)
	}
	return s.send(TypeItem, b)
}

// data sends raw bytes, in as many frames as needed.
func (s *sender) data(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), piece)
		if err := s.send(TypeData, p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func (s *sender) end(result any) error {
	var raw json.RawMessage
	if result != nil {
		b, err := json.Marshal(result)
		if err != nil {
			return fail.New(fail.Internal, "encode a result: %v", err)
		}
		raw = b
	}
	b, err := json.Marshal(s.dig.mark(raw))
	if err != nil {
		return fail.New(fail.Internal, "encode an end mark: %v", err)
	}
	return s.send(TypeEnd, b)
}

// errDone says that a stream ended with its mark.
var errDone = errors.New("wire: end of stream")

// receiver checks one direction of a call.
type receiver struct {
	dig    *digest
	result json.RawMessage
	done   bool
}

// take checks f and gives its payload; errDone after a right end mark.
func (r *receiver) take(f Frame) ([]byte, error) {
	if r.done {
		return nil, fail.New(fail.Corrupt, "a message came after the end mark")
	}
	if f.Seq != r.dig.seq {
		return nil, fail.New(fail.Corrupt, "message %d came where %d was due", f.Seq, r.dig.seq)
	}
	r.dig.seq++
	switch f.Type {
	case TypeItem, TypeData:
		r.dig.add(f.Type, f.Payload)
		return f.Payload, nil
	case TypeEnd:
		var m mark
		if err := json.Unmarshal(f.Payload, &m); err != nil {
			return nil, fail.New(fail.Corrupt, "the end mark cannot be read")
		}
		if want := r.dig.mark(nil); m.Count != want.Count || m.SHA256 != want.SHA256 {
			return nil, fail.New(fail.Corrupt, "the end mark says %d messages with digest %.12s, %d with %.12s arrived", m.Count, m.SHA256, want.Count, want.SHA256)
		}
		r.done, r.result = true, m.Result
		return nil, errDone
	case TypeError:
		return nil, decodeError(f.Payload)
	}
	return nil, fail.New(fail.Corrupt, "message type %d has no place in a stream", f.Type)
}
