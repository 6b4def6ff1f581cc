// Package bundle owns the manifest of what is deployed: a model file as chunks, with its labels, preprocessing and
// notes.
//
// A model file is cut at its tensors, so that a changed layer sends one layer; put together again it is the same file
// byte for byte. The package knows neither disks nor connections. Start reading at FromBytes.
package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"fettle/internal/cas"
	"fettle/internal/fail"
)

// Limits of a manifest, which comes from the other side.
const (
	MaxChunk    = 1 << 20 // bytes of one chunk
	MinTensor   = 4 << 10 // smaller tensors stay in the structure's chunks
	maxChunks   = 1 << 17
	maxManifest = 16 << 20
)

// Chunk is a piece of a file, in order. Pieces of equal bytes are one chunk in the store.
type Chunk struct {
	SHA256 cas.Hash `json:"sha256"`
	Len    int64    `json:"len"`
}

// Manifest describes one deployable. Its own hash is that of its JSON.
type Manifest struct {
	Schema     int               `json:"schema"`
	Name       string            `json:"name"`
	SHA256     cas.Hash          `json:"sha256"` // of the whole model file
	Size       int64             `json:"size"`
	Chunks     []Chunk           `json:"chunks"`
	Labels     []string          `json:"labels,omitempty"`
	Preprocess string            `json:"preprocess,omitempty"` // as dataset formats it
	Meta       map[string]string `json:"meta,omitempty"`       // recipe, origin, versions
	Health     *Health           `json:"health,omitempty"`     // what it has to show on the board
}

// Span is a part of a file.
type Span struct{ Offset, Len int64 }

// Bundle is a manifest with the bytes it describes.
type Bundle struct {
	Manifest
	data  []byte
	spans []Span
	extra [][]byte // chunks of the samples
}

// FromBytes cuts an ONNX file at its tensors. data must not change while the bundle is in use. A file that is not ONNX
// is cut evenly. name becomes the deployment's name.
func FromBytes(name string, data []byte) (*Bundle, error) { return FromSpans(name, data, Spans(data)) }

// FromSpans cuts data at the given spans, which follow each other and cover it; longer ones than MaxChunk are cut
// again.
func FromSpans(name string, data []byte, spans []Span) (*Bundle, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	b := &Bundle{data: data}
	b.Schema, b.Name, b.Size = 1, name, int64(len(data))
	sum := sha256.Sum256(data)
	b.SHA256 = cas.Hash(hex.EncodeToString(sum[:]))
	var at int64
	for _, s := range spans {
		if s.Offset != at || s.Len <= 0 || s.Len > int64(len(data))-at {
			return nil, fail.New(fail.Internal, "chunk at %d of %d bytes does not follow %d", s.Offset, s.Len, at)
		}
		for s.Len > 0 {
			n := min(s.Len, MaxChunk)
			b.spans = append(b.spans, Span{s.Offset, n})
			b.Chunks = append(b.Chunks, Chunk{cas.Of(data[s.Offset : s.Offset+n]), n})
			s.Offset += n
			s.Len -= n
			at += n
		}
	}
	if at != int64(len(data)) {
		return nil, fail.New(fail.Internal, "chunks end at %d of %d bytes", at, len(data))
	}
	return b, b.Check()
}

// Bytes gives the bytes of chunk i of All.
func (b *Bundle) Bytes(i int) []byte {
	if i >= len(b.spans) {
		return b.extra[i-len(b.spans)]
	}
	s := b.spans[i]
	return b.data[s.Offset : s.Offset+s.Len]
}

// Hashes gives the chunks that m names.
func (m *Manifest) Hashes() map[cas.Hash]bool {
	out := make(map[cas.Hash]bool, len(m.Chunks))
	for _, c := range m.All() {
		out[c.SHA256] = true
	}
	return out
}

// CheckName accepts 1 to 64 letters, digits, dots, dashes and underscores that do not start with a dot or dash: safe as
// a folder's name everywhere.
func CheckName(name string) error {
	ok := name != "" && len(name) <= 64 && name[0] != '.' && name[0] != '-'
	for _, r := range name {
		ok = ok && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("._-", r))
	}
	if !ok {
		return fail.New(fail.Usage, "%.80q cannot be a deployment's name", name).Try("use up to 64 letters, digits, dots, dashes and underscores")
	}
	return nil
}

// Check refuses a manifest that contradicts itself.
func (m *Manifest) Check() error {
	bad := func(format string, args ...any) error {
		return fail.New(fail.Invalid, format, args...).Doing("read a manifest")
	}
	if m.Schema != 1 {
		return fail.New(fail.Unsupported, "its schema is %d, this program knows 1", m.Schema).Doing("read a manifest").Try("use agent and desk of the same release")
	}
	if err := CheckName(m.Name); err != nil {
		return err
	}
	if !m.SHA256.Valid() || m.Size <= 0 || len(m.Chunks) == 0 || len(m.Chunks) > maxChunks {
		return bad("its hash, size or number of chunks (%d) is wrong", len(m.Chunks))
	}
	var n int64
	for i, c := range m.Chunks {
		if !c.SHA256.Valid() || c.Len <= 0 || c.Len > MaxChunk {
			return bad("chunk %d has a wrong hash or length %d", i, c.Len)
		}
		n += c.Len
	}
	if n != m.Size {
		return bad("its chunks hold %d bytes, the file %d", n, m.Size)
	}
	if m.Health != nil {
		return m.Health.check()
	}
	return nil
}

// Encode gives the JSON and its hash. The same manifest always gives the same bytes.
func (m *Manifest) Encode() ([]byte, cas.Hash, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, "", fail.New(fail.Internal, "encode a manifest: %v", err)
	}
	return b, cas.Of(b), nil
}

// Decode reads and checks a manifest. Unknown fields are refused.
func Decode(b []byte) (*Manifest, error) {
	if len(b) > maxManifest {
		return nil, fail.New(fail.TooBig, "a manifest of %d bytes is over the limit of %d", len(b), maxManifest)
	}
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return nil, fail.New(fail.Invalid, "%v", err).Doing("read a manifest")
	}
	return &m, m.Check()
}

// Spans cuts an ONNX file: the bytes of each tensor of MinTensor or more are a span of their own. Bytes that are not
// ONNX give one span; the result always covers data.
func Spans(data []byte) []Span {
	var tensors []Span
	walk(data, 0, pathModel, 0, &tensors)
	var out []Span
	var at int64
	for _, t := range tensors {
		if t.Offset < at {
			continue
		}
		if t.Offset > at {
			out = append(out, Span{at, t.Offset - at})
		}
		out = append(out, t)
		at = t.Offset + t.Len
	}
	if n := int64(len(data)); at < n {
		out = append(out, Span{at, n - at})
	}
	return out
}

type level int

// Levels of an ONNX file on the way to a tensor's bytes.
const (
	pathModel level = iota
	pathGraph
	pathNode
	pathAttr
	pathTensor
)

// inner says which field of a message leads on. Numbers are those of onnx.proto.
func (l level) inner(num protowire.Number) (level, bool) {
	switch {
	case l == pathModel && num == 7:
		return pathGraph, true // graph
	case l == pathGraph && num == 5:
		return pathTensor, true // initializer
	case l == pathGraph && num == 1:
		return pathNode, true // node
	case l == pathNode && num == 5:
		return pathAttr, true // attribute
	case l == pathAttr && num == 5:
		return pathTensor, true // t
	case l == pathAttr && num == 6:
		return pathGraph, true // g
	}
	return 0, false
}

// walk collects the long byte fields of tensors in b, which starts at offset base. Whatever cannot be read ends the
// walk: the rest is one span then.
func walk(b []byte, base int64, at level, depth int, out *[]Span) {
	for pos := 0; pos < len(b) && depth < 32; {
		num, typ, n := protowire.ConsumeTag(b[pos:])
		if n < 0 {
			return
		}
		pos += n
		if typ != protowire.BytesType {
			n = protowire.ConsumeFieldValue(num, typ, b[pos:])
			if n < 0 {
				return
			}
			pos += n
			continue
		}
		v, n := protowire.ConsumeBytes(b[pos:])
		if n < 0 {
			return
		}
		start := base + int64(pos+n-len(v))
		if next, ok := at.inner(num); ok {
			walk(v, start, next, depth+1, out)
		} else if at == pathTensor && len(v) >= MinTensor && (num == 4 || num == 5 || num == 7 || num == 9 || num == 10 || num == 11) {
			*out = append(*out, Span{start, int64(len(v))}) // raw_data or a packed typed field
		}
		pos += n
	}
}
