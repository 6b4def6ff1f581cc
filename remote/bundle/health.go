package bundle

import (
	"crypto/sha256"
	"encoding/hex"

	"fettle/internal/cas"
	"fettle/internal/fail"
)

// Limits of a health rule, which comes from the other side.
const (
	maxSamples = 64
	maxBlob    = 256 << 20
	maxRounds  = 100_000
)

// Health is what a version has to show on the board before it becomes the active one, and what it is taken back for.
type Health struct {
	Samples []Sample `json:"samples"`
	// Tolerance: an output is right where |got - want| <= Tolerance * the largest |want| of it. Integers are equal.
	Tolerance float64 `json:"tolerance"`
	MaxP99Ns  int64   `json:"max_p99_ns,omitempty"` // 0: any
	Runs      int     `json:"runs,omitempty"`       // inferences for the p99
	MinAgree  float64 `json:"min_agree,omitempty"`  // least share of shadow inferences with the same largest output as the version before
	Threads   int     `json:"threads,omitempty"`
	// Shapes of inputs with open dimensions, as the samples have them.
	Shapes map[string][]int `json:"shapes,omitempty"`
}

// Sample is an input with what the host computed for it.
type Sample struct {
	Inputs  []Blob `json:"inputs"`
	Outputs []Blob `json:"outputs"`
}

// Blob is a tensor (an ONNX TensorProto) in chunks.
type Blob struct {
	Name   string   `json:"name"`
	SHA256 cas.Hash `json:"sha256"`
	Len    int64    `json:"len"`
	Chunks []Chunk  `json:"chunks"`
}

// Tensor is one that becomes a Blob.
type Tensor struct {
	Name string
	Data []byte
}

// SetHealth adds a rule to the bundle; samples are pairs of inputs and outputs.
func (b *Bundle) SetHealth(rule Health, samples [][2][]Tensor) error {
	rule.Samples = nil
	b.extra = nil
	blobs := func(in []Tensor) []Blob {
		var out []Blob
		for _, t := range in {
			sum := sha256.Sum256(t.Data)
			blob := Blob{Name: t.Name, SHA256: cas.Hash(hex.EncodeToString(sum[:])), Len: int64(len(t.Data))}
			for at := 0; at < len(t.Data); at += MaxChunk {
				part := t.Data[at:min(at+MaxChunk, len(t.Data))]
				blob.Chunks = append(blob.Chunks, Chunk{cas.Of(part), int64(len(part))})
				b.extra = append(b.extra, part)
			}
			out = append(out, blob)
		}
		return out
	}
	for _, s := range samples {
		rule.Samples = append(rule.Samples, Sample{Inputs: blobs(s[0]), Outputs: blobs(s[1])})
	}
	b.Health = &rule
	return b.Check()
}

// All lists every chunk that the manifest names: of the file, then of the samples.
func (m *Manifest) All() []Chunk {
	if m.Health == nil {
		return m.Chunks
	}
	out := append([]Chunk(nil), m.Chunks...)
	for _, b := range m.Health.blobs() {
		out = append(out, b.Chunks...)
	}
	return out
}

func (h *Health) blobs() []Blob {
	var out []Blob
	for _, s := range h.Samples {
		out = append(append(out, s.Inputs...), s.Outputs...)
	}
	return out
}

func (h *Health) check() error {
	bad := func(format string, args ...any) error {
		return fail.New(fail.Invalid, format, args...).Doing("read a manifest").At(fail.Where{Field: "health"})
	}
	if len(h.Samples) == 0 || len(h.Samples) > maxSamples || !(h.Tolerance >= 0 && h.Tolerance <= 1) || h.MaxP99Ns < 0 || h.Runs < 0 || h.Runs > maxRounds ||
		!(h.MinAgree >= 0 && h.MinAgree <= 1) || h.Threads < 0 || h.Threads > 64 {
		return bad("the rule has %d samples, tolerance %g, p99 %d ns of %d runs, agreement %g, %d threads", len(h.Samples), h.Tolerance, h.MaxP99Ns, h.Runs, h.MinAgree, h.Threads)
	}
	var all int64
	for _, b := range h.blobs() {
		var n int64
		for _, c := range b.Chunks {
			if !c.SHA256.Valid() || c.Len <= 0 || c.Len > MaxChunk {
				return bad("a chunk of %.80q has a wrong hash or length %d", b.Name, c.Len)
			}
			n += c.Len
		}
		if all += n; n != b.Len || n == 0 || all > maxBlob || !b.SHA256.Valid() {
			return bad("tensor %.80q has %d bytes in its chunks, %d announced", b.Name, n, b.Len)
		}
	}
	for i, s := range h.Samples {
		if len(s.Inputs) == 0 || len(s.Outputs) == 0 {
			return bad("sample %d has no inputs or no outputs", i)
		}
	}
	return nil
}
