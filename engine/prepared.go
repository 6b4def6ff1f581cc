package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/model"
)

// A prepared file holds what is dear to make when a model is compiled: packed weights and folded constants, at offsets
// from which they are mapped. It holds no addresses, no choice of kernels and no arena: opening it runs the lowering
// again on the model's structure, which is stored as ONNX without its large weights, and takes each packed tensor from
// the mapping instead of making it. So whatever stands in the file passes the same checks as a model from a stranger,
// and packed weights that were tampered with give wrong numbers, never an access outside of the mapping.
//
//	magic, version, length of meta, offset and length of data, SHA-256 of meta     64 bytes
//	meta: length of the table, table (JSON), model (ONNX), SHA-256 of each block of data
//	data: tensors, each at a multiple of 64 bytes with 64 bytes behind it
//
// Opening checks the hash of meta, that the file has exactly the length that it names, and sampled blocks of data.
// Damage elsewhere in the data (a bad disk) is found by Check, which hashes all of it. The bytes are flushed before the
// file gets its name, so a power cut leaves no file or a whole one. A file that somebody truncates while it is mapped ends
// the program, as with any mapped file: the folder of prepared files must belong to the user.
const (
	preparedMagic   = "FETTLEPL"
	preparedVersion = 5
	preparedHead    = 64
	preparedBlock   = 64 << 10 // bytes of data under one hash
	maxPreparedMeta = 16 << 20
	maxPreparedData = 1 << 40
	pageBytes       = 4096

	// keepInline is the size below which an initializer stays in the stored ONNX.
	keepInline = 4 << 10
	// hollowFrom is the size from which weights that only packing read are left out: well above what shape inference looks
	// at.
	hollowFrom = 64 << 10
)

// Key says what a prepared file was made from: the model's bytes and the program. Both are compared, never read.
type Key struct {
	Model string // "sha256:…", or what a file system says of a file that has not changed
	Build string // identity of the program: kernels of another build may pack otherwise
}

// preparedTable is the JSON part of meta.
type preparedTable struct {
	Key      Key             `json:"key"`
	Choices  string          `json:"choices"`         // Options as far as they decide about packing
	Nodes    []preparedNode  `json:"nodes,omitempty"` // none: what the reader says of the nodes is right
	Consts   []preparedConst `json:"consts"`
	Packs    []preparedPack  `json:"packs"`
	OnnxLen  int             `json:"onnx"`
	Packed   int64           `json:"packed"` // bytes of packed weights
	Arena    int64           `json:"arena"`
	Resident int64           `json:"resident"` // bytes of data: what running the plan may touch
}

// preparedNode restores what a reader of the stored ONNX does not know of a node.
type preparedNode struct {
	ID     model.NodeID   `json:"id"`
	Origin []model.NodeID `json:"origin,omitempty"` // where it is not the id itself
}

// preparedConst is an initializer or the result of a folded node. A hollow one has no bytes in the file: only packing read
// them.
type preparedConst struct {
	Name   string `json:"name"`
	DType  int32  `json:"dtype"`
	Shape  []int  `json:"shape"`
	Off    int64  `json:"off"`
	Len    int64  `json:"len"`
	Hollow bool   `json:"hollow,omitempty"`
	Folded bool   `json:"folded,omitempty"`
	Input  bool   `json:"input,omitempty"` // the stored ONNX declares it as an input, which the model does not
}

// preparedPack is one packed tensor, in the order in which the lowering asks for them.
type preparedPack struct {
	Kernel string `json:"kernel"`
	Off    int64  `json:"off"`
	Words  int    `json:"words"`
}

// choices names all of opt that decides what the plan packs and folds: everything but checks and limits, and threads where cores are alike.
func (opt *Options) choices() string {
	c := *opt
	c.Verify, c.Room = false, 0
	if !slices.ContainsFunc(c.Scores, func(s Score) bool { return s.Core != "" }) {
		c.Threads = 0 // else it says which cores' scores count
	}
	type fields cpu.Features                             // without String, which leaves out caches and cores
	return fmt.Sprintf("%+v %+v", fields(c.Features), c) // maps in the order of their keys
}

// PreparedName is the name of the prepared file for k and opt: equal for what is interchangeable, else different.
func PreparedName(k Key, opt Options) string {
	h := sha256.New()
	for _, s := range []string{k.Model, k.Build, opt.choices()} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil)[:16]) + ".fplan"
}

// recording is what a compilation notes for the prepared file.
type recording struct {
	packs   []recordedPack
	folded  []recordedFold
	stored  map[model.NodeID]bool  // nodes whose results are in folded
	used    map[*model.Tensor]bool // read while running, or by a row itself
	sources map[*model.Tensor]bool // read by packing
}

type recordedPack struct {
	kernel string
	words  []float32
}

type recordedFold struct {
	name string
	t    *model.Tensor
}

// use notes that running the plan, or making it, needs the bytes of t.
func (l *lowering) use(t *model.Tensor) {
	if l.rec != nil && t != nil {
		l.rec.used[t] = true
	}
}

// keep notes the results of a folded node. Only those whose types inference knows can be checked when they come back, so
// only they are kept; the others are folded again.
func (l *lowering) keep(n *model.Node, in, out []*model.Tensor) {
	if l.rec == nil {
		return
	}
	for i, o := range n.Outputs {
		if o == "" || out[i] == nil {
			continue
		}
		if !plainBytes(out[i]) || !matches(l.inf.Types[o], out[i]) {
			for _, t := range in {
				l.use(t)
			}
			for _, r := range model.Reads(n) {
				l.use(l.vals[r].data)
			}
			return
		}
	}
	for i, o := range n.Outputs {
		if o != "" && out[i] != nil {
			l.rec.folded = append(l.rec.folded, recordedFold{o, out[i]})
		}
	}
	l.rec.stored[n.ID] = true
}

// plainBytes reports whether t is nothing but its bytes.
func plainBytes(t *model.Tensor) bool {
	return t.DType != model.String && t.DType != model.Sequence && !t.None && t.DType.Bits() > 0
}

// matches reports whether t is exactly what inference says of the value.
func matches(want model.Type, t *model.Tensor) bool {
	dims, ok := want.Shape.Ints()
	return ok && want.Ranked && want.Kind == model.KindTensor && want.DType == t.DType && same(dims, t.Shape)
}

// preparedMeta is a decoded head.
type preparedMeta struct {
	table   preparedTable
	onnx    []byte
	hashes  []byte
	dataOff int64
	dataLen int64
}

// encode gives head and meta, padded to the page where data begins.
func (m *preparedMeta) encode() ([]byte, error) {
	table, err := json.Marshal(&m.table)
	if err != nil {
		return nil, fail.New(fail.Internal, "%v", err)
	}
	n := 4 + len(table) + len(m.onnx) + len(m.hashes)
	if n > maxPreparedMeta {
		return nil, fail.New(fail.Unsupported, "the model's structure has %d MB without its weights: are they in Constant nodes?", n>>20).Doing("prepare")
	}
	m.dataOff = int64(preparedHead+n+pageBytes-1) &^ (pageBytes - 1)
	out := make([]byte, m.dataOff)
	copy(out, preparedMagic)
	le := binary.LittleEndian
	le.PutUint32(out[8:], preparedVersion)
	le.PutUint32(out[12:], uint32(n))
	le.PutUint64(out[16:], uint64(m.dataOff))
	le.PutUint64(out[24:], uint64(m.dataLen))
	meta := out[preparedHead : preparedHead+n]
	le.PutUint32(meta, uint32(len(table)))
	copy(meta[4:], table)
	copy(meta[4+len(table):], m.onnx)
	copy(meta[4+len(table)+len(m.onnx):], m.hashes)
	sum := sha256.Sum256(meta)
	copy(out[32:], sum[:])
	return out, nil
}

// decodePrepared reads head and meta of a whole file in memory.
func decodePrepared(b []byte) (*preparedMeta, error) {
	bad := func(format string, args ...any) error {
		return fail.New(fail.Corrupt, format, args...).Doing("open a prepared plan").Try("remove it; it is made again")
	}
	if len(b) < preparedHead || string(b[:8]) != preparedMagic {
		return nil, bad("it is no prepared plan")
	}
	le := binary.LittleEndian
	if v := le.Uint32(b[8:]); v != preparedVersion {
		return nil, fail.New(fail.NotFound, "its version is %d, this program knows %d", v, preparedVersion).Doing("open a prepared plan")
	}
	n, off, size := int64(le.Uint32(b[12:])), le.Uint64(b[16:]), le.Uint64(b[24:])
	if n < 4 || n > maxPreparedMeta || off != uint64(preparedHead+n+pageBytes-1)&^(pageBytes-1) || size > maxPreparedData || uint64(len(b)) != off+size {
		return nil, bad("it has %d bytes, its head names %d and %d", len(b), off, size)
	}
	meta := b[preparedHead : preparedHead+n]
	if sum := sha256.Sum256(meta); string(sum[:]) != string(b[32:64]) {
		return nil, bad("the hash of its head is wrong")
	}
	t := int64(le.Uint32(meta))
	if t > n-4 {
		return nil, bad("its table has %d bytes of %d", t, n)
	}
	m := &preparedMeta{dataOff: int64(off), dataLen: int64(size)}
	if err := json.Unmarshal(meta[4:4+t], &m.table); err != nil {
		return nil, bad("its table cannot be read: %v", err)
	}
	rest := meta[4+t:]
	hashes := (m.dataLen + preparedBlock - 1) / preparedBlock * sha256.Size
	if m.table.OnnxLen < 0 || int64(m.table.OnnxLen)+hashes != int64(len(rest)) {
		return nil, bad("its model has %d bytes, its hashes %d of %d", m.table.OnnxLen, hashes, len(rest))
	}
	m.onnx, m.hashes = rest[:m.table.OnnxLen], rest[m.table.OnnxLen:]
	for _, p := range m.table.Packs {
		if p.Words < 0 || int64(p.Words) > m.dataLen/4 || !m.holds(p.Off, 4*int64(p.Words)) {
			return nil, bad("packed weights of %s lie outside of it", p.Kernel)
		}
	}
	for _, c := range m.table.Consts {
		count, err := model.Count(c.Shape)
		if err != nil {
			return nil, bad("%s: %v", c.Name, err)
		}
		t := model.Tensor{DType: model.DType(c.DType)}
		if c.DType < 0 || !plainBytes(&t) || int64(t.DType.Bytes(count)) != c.Len || !c.Hollow && !m.holds(c.Off, c.Len) || c.Len > maxPreparedData {
			return nil, bad("%s has %d bytes at %d for shape %v", c.Name, c.Len, c.Off, c.Shape)
		}
	}
	return m, nil
}

// holds reports whether a tensor lies in the data with its alignment and the readable bytes behind it.
func (m *preparedMeta) holds(off, n int64) bool {
	return off >= 0 && n >= 0 && off%align == 0 && off <= m.dataLen && n <= m.dataLen-off && align <= m.dataLen-off-n
}

// constants is the page where those tensors begin that steps read as they are, behind all packed ones.
func (m *preparedMeta) constants() int64 {
	first := m.dataLen
	for _, c := range m.table.Consts {
		if !c.Hollow && c.Len >= pageBytes {
			first = min(first, c.Off)
		}
	}
	return (first + pageBytes - 1) &^ (pageBytes - 1)
}

// checkBlock compares one block of data with its hash.
func (m *preparedMeta) checkBlock(data []byte, i int64) bool {
	from := i * preparedBlock
	sum := sha256.Sum256(data[from:min(from+preparedBlock, int64(len(data)))])
	return string(sum[:]) == string(m.hashes[i*sha256.Size:(i+1)*sha256.Size])
}
