package onnx

import (
	"bufio"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	pw "google.golang.org/protobuf/encoding/protowire"

	"fettle/internal/fail"
	"fettle/model"
)

// maxMessage is the largest protocol buffer message that other readers take.
const maxMessage = 1<<31 - 1

// WriteFile saves m at path: into a temporary file beside it, flushed, then renamed, so that a crash leaves the old file or
// the new one. A model of more than 2 GB is refused: its weights would need a file of their own.
//
// A device or a pipe is written to as it is: renaming would put a file in its place.
func WriteFile(path string, m *model.Model) error {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() && !st.IsDir() {
		return writeThrough(path, m)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".fettle-*")
	if err != nil {
		return fail.New(fail.Denied, "cannot write in %s: %v", filepath.Dir(path), err).Try("choose another folder")
	}
	defer os.Remove(f.Name())
	w := bufio.NewWriterSize(f, 1<<20)
	err = Write(w, m)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil && fail.Is(err, fail.Internal) {
		err = fail.New(fail.Denied, "cannot write %s: %v", path, err).Try("check the free space")
	}
	return err
}

func writeThrough(path string, m *model.Model) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fail.New(fail.Denied, "cannot write %s: %v", path, err).Try("choose another file")
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err = Write(w, m); err == nil {
		err = w.Flush()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// Write writes m: the very bytes it was read from where it was not changed, else every message anew, with nodes, tensors and
// fields that did not change as they stood in the file.
func Write(w io.Writer, m *model.Model) error {
	if m.Source != nil && m.Source.Format == "onnx" {
		_, err := w.Write(m.Source.Bytes)
		return err
	}
	e := &encoder{w: w}
	size := e.sizeOf(func(s *encoder) { s.model(m) })
	if e.err != nil {
		return e.err // found while counting, before a byte was written
	}
	if size > maxMessage {
		return fail.New(fail.Unsupported, "the model has %d bytes; ONNX files of more than 2 GB need their weights in a second file", size)
	}
	e.model(m)
	return e.err
}

// encoder writes messages to w, or only counts when w is nil. Lengths come before contents, so every message is walked
// twice, once to count; tensor bytes are never copied.
type encoder struct {
	w   io.Writer
	n   int64
	err error
	buf []byte
}

func (e *encoder) put(b []byte) {
	e.n += int64(len(b))
	if e.w != nil && e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

func (e *encoder) sizeOf(f func(*encoder)) int64 {
	c := &encoder{buf: e.buf[:0:0]}
	f(c)
	if e.err == nil {
		e.err = c.err
	}
	return c.n
}

func (e *encoder) tag(num pw.Number, t pw.Type) { e.put(pw.AppendTag(e.buf[:0], num, t)) }

func (e *encoder) varint(num pw.Number, v uint64) {
	e.tag(num, pw.VarintType)
	e.put(pw.AppendVarint(nil, v))
}

// int writes an integer field unless it is zero.
func (e *encoder) int(num pw.Number, v int64) {
	if v != 0 {
		e.varint(num, uint64(v))
	}
}

func (e *encoder) bytes(num pw.Number, b []byte) {
	e.tag(num, pw.BytesType)
	e.put(pw.AppendVarint(nil, uint64(len(b))))
	e.put(b)
}

// str writes a text field unless it is empty.
func (e *encoder) str(num pw.Number, s string) {
	if s != "" {
		e.bytes(num, []byte(s))
	}
}

func (e *encoder) message(num pw.Number, f func(*encoder)) {
	e.tag(num, pw.BytesType)
	e.put(pw.AppendVarint(nil, uint64(e.sizeOf(f))))
	f(e)
}

func (e *encoder) float(num pw.Number, v float32) {
	e.tag(num, pw.Fixed32Type)
	e.put(pw.AppendFixed32(nil, math.Float32bits(v)))
}

func (e *encoder) unknown(fields [][]byte) {
	for _, f := range fields {
		e.put(f)
	}
}

func (e *encoder) model(m *model.Model) {
	e.int(1, m.IRVersion)
	e.str(2, m.Producer)
	e.str(3, m.ProducerVer)
	e.str(4, m.Domain)
	e.int(5, m.ModelVer)
	e.str(6, m.Doc)
	e.message(7, func(e *encoder) { e.graph(m.Graph) })
	for _, o := range m.Opsets {
		e.message(8, func(e *encoder) { e.opset(o) })
	}
	e.entries(14, m.Metadata)
	for _, f := range m.Functions {
		e.message(25, func(e *encoder) { e.function(f) })
	}
	e.unknown(m.Unknown)
}

func (e *encoder) opset(o model.Opset) {
	e.bytes(1, []byte(o.Domain))
	e.varint(2, uint64(o.Version))
}

func (e *encoder) entries(num pw.Number, kvs []model.KV) {
	for _, kv := range kvs {
		e.message(num, func(e *encoder) {
			e.str(1, kv.Key)
			e.str(2, kv.Value)
		})
	}
}

func (e *encoder) graph(g *model.Graph) {
	names := make(map[string]int, len(g.Nodes))
	for _, n := range g.Nodes {
		names[n.Name]++
	}
	for _, n := range g.Nodes {
		e.message(1, func(e *encoder) {
			e.node(n)
			e.origin(n, names[n.Name] > 1)
		})
	}
	e.str(2, g.Name)
	for _, in := range g.Inits {
		e.message(5, func(e *encoder) { e.init(in) })
	}
	e.str(10, g.Doc)
	for i, vs := range [][]model.Value{g.Inputs, g.Outputs, g.Values} {
		for _, v := range vs {
			e.message(pw.Number(11+i), func(e *encoder) { e.value(v) })
		}
	}
	e.entries(16, g.Meta)
	e.unknown(g.Unknown)
}

func (e *encoder) node(n *model.Node) {
	if n.Raw != nil {
		e.put(n.Raw)
		return
	}
	for _, s := range n.Inputs {
		e.bytes(1, []byte(s))
	}
	for _, s := range n.Outputs {
		e.bytes(2, []byte(s))
	}
	e.str(3, n.Name)
	e.str(4, n.Op)
	for i := range n.Attrs {
		e.message(5, func(e *encoder) { e.attr(&n.Attrs[i]) })
	}
	e.str(6, n.Doc)
	e.str(7, n.Domain)
	e.str(8, n.Overload)
	for _, f := range n.Unknown {
		if key, _ := metadataEntry(f); key != originKey {
			e.put(f)
		}
	}
}

func (e *encoder) attr(a *model.Attr) {
	if a.Raw != nil {
		e.put(a.Raw)
		return
	}
	if what := absent(a); what != "" && e.err == nil {
		e.err = fail.New(fail.Invalid, "has no %s", what).At(fail.Where{Attr: a.Name}).Try("set a value, or remove the attribute")
	}
	if e.err != nil {
		return
	}
	e.str(1, a.Name)
	if a.Ref == "" {
		switch a.Type {
		case model.AttrFloat:
			e.float(2, a.F)
		case model.AttrInt:
			e.varint(3, uint64(a.I))
		case model.AttrString:
			e.bytes(4, a.S)
		case model.AttrTensor:
			e.message(5, func(e *encoder) { e.tensor("", a.T) })
		case model.AttrGraph:
			e.message(6, func(e *encoder) { e.graph(a.G) })
		}
	}
	for _, f := range a.Floats {
		e.float(7, f)
	}
	for _, v := range a.Ints {
		e.varint(8, uint64(v))
	}
	for _, s := range a.Strings {
		e.bytes(9, s)
	}
	for _, t := range a.Tensors {
		e.message(10, func(e *encoder) { e.tensor("", t) })
	}
	for _, g := range a.Graphs {
		e.message(11, func(e *encoder) { e.graph(g) })
	}
	e.str(13, a.Doc)
	if a.TP != nil {
		e.message(14, func(e *encoder) { e.typ(*a.TP) })
	}
	e.varint(20, uint64(a.Type))
	e.str(21, a.Ref)
}

// absent names what an attribute should hold and does not: a value, or one of a list.
func absent(a *model.Attr) string {
	if a.Ref == "" && a.Type == model.AttrTensor && a.T == nil || slices.Contains(a.Tensors, nil) {
		return "tensor"
	}
	if a.Ref == "" && a.Type == model.AttrGraph && a.G == nil || slices.Contains(a.Graphs, nil) {
		return "graph"
	}
	return ""
}

func (e *encoder) init(in *model.Init) {
	if in.Raw != nil && in.External == nil {
		e.put(in.Raw)
		return
	}
	if in.Tensor == nil {
		if e.err == nil {
			e.err = fail.New(fail.Invalid, "the initializer has no value").At(fail.Where{Tensor: in.Name})
		}
		return
	}
	e.tensor(in.Name, in.Tensor)
}

func (e *encoder) tensor(name string, t *model.Tensor) {
	for _, d := range t.Shape {
		e.varint(1, uint64(d))
	}
	e.varint(2, uint64(t.DType))
	if t.DType == model.String {
		for _, s := range t.Strs {
			e.bytes(6, []byte(s))
		}
	}
	e.str(8, name)
	if t.DType != model.String {
		e.bytes(9, t.Raw)
	}
}

func (e *encoder) value(v model.Value) {
	if v.Raw != nil {
		e.put(v.Raw)
		return
	}
	e.str(1, v.Name)
	if v.Type.Kind != model.KindTensor || v.Type.DType != model.Undefined || v.Type.Ranked {
		e.message(2, func(e *encoder) { e.typ(v.Type) })
	}
	e.str(3, v.Doc)
}

func (e *encoder) typ(t model.Type) {
	elem := func(num pw.Number) {
		e.message(num, func(e *encoder) {
			if t.Elem != nil {
				e.message(1, func(e *encoder) { e.typ(*t.Elem) })
			}
		})
	}
	switch t.Kind {
	case model.KindTensor:
		e.message(1, func(e *encoder) { e.tensorType(t) })
	case model.KindSparse:
		e.message(8, func(e *encoder) { e.tensorType(t) })
	case model.KindSequence:
		elem(4)
	case model.KindOptional:
		elem(9)
	case model.KindMap:
		e.message(5, func(e *encoder) {
			e.varint(1, uint64(t.Key))
			if t.Elem != nil {
				e.message(2, func(e *encoder) { e.typ(*t.Elem) })
			}
		})
	case model.KindOpaque:
		e.put(t.Raw)
	}
}

func (e *encoder) tensorType(t model.Type) {
	e.varint(1, uint64(t.DType))
	if !t.Ranked {
		return
	}
	e.message(2, func(e *encoder) {
		for _, d := range t.Shape {
			e.message(1, func(e *encoder) {
				if d.Known() {
					e.varint(1, uint64(d.N))
				} else {
					e.str(2, d.Sym)
				}
			})
		}
	})
}

func (e *encoder) function(f *model.Function) {
	if f.Raw != nil {
		e.put(f.Raw)
		return
	}
	e.str(1, f.Name)
	for i, list := range [][]string{f.Inputs, f.Outputs, f.Attrs} {
		for _, s := range list {
			e.bytes(pw.Number(4+i), []byte(s))
		}
	}
	for _, n := range f.Nodes {
		e.message(7, func(e *encoder) { e.node(n) })
	}
	e.str(8, f.Doc)
	for _, o := range f.Opsets {
		e.message(9, func(e *encoder) { e.opset(o) })
	}
	e.str(10, f.Domain)
	for i := range f.Defaults {
		e.message(11, func(e *encoder) { e.attr(&f.Defaults[i]) })
	}
	e.str(13, f.Overload)
}
