package engine

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"unsafe"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/model/onnx"
)

// WritePrepared saves what p needs to be made again without packing as path: flushed, then renamed, so that a power cut
// leaves the file before or the whole new one. fail.Unsupported says that the model cannot be stored that way.
func (p *Plan) WritePrepared(ctx context.Context, path string, key Key) error {
	if p.rec == nil {
		return fail.New(fail.Usage, "the plan came from a prepared file").Doing("prepare")
	}
	w := &preparedWriter{p: p}
	w.meta.table = preparedTable{Key: key, Choices: p.Options.choices(), Packed: p.PackBytes, Arena: int64(p.ArenaBytes)}
	for _, r := range p.rec.packs {
		w.meta.table.Packs = append(w.meta.table.Packs, preparedPack{r.kernel, w.place(floatBytes(r.words)), len(r.words)})
	}
	slim := w.inits()
	for _, f := range p.rec.folded {
		w.constant(preparedConst{Name: f.name, Folded: true}, f.t, w.hollow(f.name, f.t))
	}
	w.meta.dataLen, w.meta.table.Resident = w.size, w.size
	var b bytes.Buffer
	if err := onnx.Write(&b, slim); err != nil {
		return fail.In(err, "prepare", fail.Where{})
	}
	w.meta.onnx, w.meta.table.OnnxLen = b.Bytes(), b.Len()
	if err := w.nodes(); err != nil {
		return err
	}
	if err := w.hash(ctx); err != nil {
		return err
	}
	head, err := w.meta.encode()
	if err != nil {
		return err
	}
	return w.save(path, head)
}

// nodes notes the ids and origins of the nodes where a reader would give them others.
func (w *preparedWriter) nodes() error {
	read, err := onnx.Read(w.meta.onnx, "", onnx.DefaultBudget())
	if err != nil {
		return fail.In(err, "prepare", fail.Where{})
	}
	differ := false
	for i, n := range w.p.Model.Graph.Nodes {
		r := read.Graph.Nodes[i]
		differ = differ || r.ID != n.ID || !slices.Equal(r.Origin, n.Origin)
		pn := preparedNode{ID: n.ID}
		if len(n.Origin) != 1 || n.Origin[0] != n.ID {
			pn.Origin = n.Origin
		}
		w.meta.table.Nodes = append(w.meta.table.Nodes, pn)
	}
	if !differ {
		w.meta.table.Nodes = nil
	}
	return nil
}

// preparedWriter collects the tensors of a file.
type preparedWriter struct {
	p     *Plan
	meta  preparedMeta
	parts [][]byte // each is followed by zeros up to the next multiple of 64 that leaves 64
	size  int64
}

func floatBytes(v []float32) []byte {
	if len(v) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}

// place gives b the next offset.
func (w *preparedWriter) place(b []byte) int64 {
	off := w.size
	w.parts = append(w.parts, b)
	w.size += int64(padded(len(b)))
	return off
}

func (w *preparedWriter) constant(c preparedConst, t *model.Tensor, hollow bool) {
	c.DType, c.Shape, c.Len, c.Hollow = int32(t.DType), append([]int{}, t.Shape...), int64(len(t.Raw)), hollow
	if !hollow {
		c.Off = w.place(t.Raw)
	}
	w.meta.table.Consts = append(w.meta.table.Consts, c)
}

// hollow reports whether only packing, or folding whose result is stored, read the value.
func (w *preparedWriter) hollow(name string, t *model.Tensor) bool {
	r := w.p.rec
	if len(t.Raw) < hollowFrom || r.used[t] || w.p.Model.Graph.Output(name) != nil {
		return false
	}
	for _, u := range w.p.Model.Graph.Users(name) {
		if !r.stored[u.ID] && !r.sources[t] {
			return false
		}
	}
	return true
}

// inits takes the large initializers out of the model: the stored one declares them as inputs.
func (w *preparedWriter) inits() *model.Model {
	g := w.p.Model.Graph.Shallow()
	g.Inits, g.Inputs = nil, append([]model.Value(nil), g.Inputs...)
	for _, in := range w.p.Model.Graph.Inits {
		if len(in.Tensor.Raw) < keepInline || !plainBytes(in.Tensor) {
			g.Inits = append(g.Inits, in)
			continue
		}
		c := preparedConst{Name: in.Name, Input: w.p.Model.Graph.Input(in.Name) == nil}
		if c.Input {
			g.Inputs = append(g.Inputs, model.Value{Name: in.Name, Type: model.TypeOf(in.Tensor)})
		}
		w.constant(c, in.Tensor, w.hollow(in.Name, in.Tensor))
	}
	return w.p.Model.WithGraph(g)
}

// hash computes the hashes of all blocks, with as many goroutines as the plan has threads.
func (w *preparedWriter) hash(ctx context.Context) error {
	blocks := (w.size + preparedBlock - 1) / preparedBlock
	w.meta.hashes = make([]byte, blocks*sha256.Size)
	g := task.NewGroup(ctx)
	var next atomic.Int64
	for range w.p.Options.Threads {
		g.Go("hash weights", func(ctx context.Context) error {
			for {
				i := next.Add(1) - 1
				if i >= blocks {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				h := sha256.New()
				w.span(i*preparedBlock, min((i+1)*preparedBlock, w.size), func(b []byte) error { h.Write(b); return nil })
				h.Sum(w.meta.hashes[i*sha256.Size : i*sha256.Size : (i+1)*sha256.Size])
			}
		})
	}
	return g.Wait()
}

// span gives the bytes of data from one offset to another, piece by piece.
func (w *preparedWriter) span(from, to int64, f func([]byte) error) error {
	var zeros [2 * align]byte
	at := int64(0)
	for _, p := range w.parts {
		for _, b := range [][]byte{p, zeros[:padded(len(p))-len(p)]} {
			lo, hi := max(from, at), min(to, at+int64(len(b)))
			if lo < hi {
				if err := f(b[lo-at : hi-at]); err != nil {
					return err
				}
			}
			at += int64(len(b))
		}
		if at >= to {
			return nil
		}
	}
	return nil
}

func (w *preparedWriter) save(path string, head []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".fplan-*")
	if err != nil {
		return fail.In(cas.Explain(err), "prepare", fail.Where{File: path})
	}
	defer os.Remove(f.Name())
	out := bufio.NewWriterSize(f, 1<<20)
	_, err = out.Write(head)
	if err == nil {
		err = w.span(0, w.size, func(b []byte) error {
			_, err := out.Write(b)
			return err
		})
	}
	if err == nil {
		err = out.Flush()
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
	if err != nil {
		return fail.In(cas.Explain(err), "prepare", fail.Where{File: path})
	}
	return nil
}
