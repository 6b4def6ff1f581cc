package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"unsafe"

	"fettle/internal/fail"
	"fettle/internal/mapped"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/ops"
)

// sampledBlocks is how many blocks of data opening compares with their hashes.
const sampledBlocks = 2

// OpenPrepared makes the plan of a prepared file. fail.NotFound says that there is none for key and opt, fail.Corrupt that
// it is damaged; both mean that the model has to be compiled. The file stays mapped as long as the program runs; pages that
// nobody reads cost no memory.
func OpenPrepared(ctx context.Context, path string, key Key, opt Options) (*Plan, error) {
	b, err := mapPrepared(path)
	if err != nil {
		return nil, err
	}
	p, err := openPrepared(ctx, b, key, opt)
	if err != nil {
		_ = mapped.Free(b) // nothing refers to it
		return nil, fail.In(err, "open a prepared plan", fail.Where{File: path})
	}
	return p, nil
}

// CheckPrepared compares all data of a prepared file with its hashes.
func CheckPrepared(ctx context.Context, path string) error {
	b, err := mapPrepared(path)
	if err != nil {
		return err
	}
	defer func() { _ = mapped.Free(b) }()
	m, err := decodePrepared(b)
	if err != nil {
		return fail.In(err, "check a prepared plan", fail.Where{File: path})
	}
	data := b[m.dataOff:]
	for i := range int64(len(m.hashes) / sha256.Size) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !m.checkBlock(data, i) {
			return fail.New(fail.Corrupt, "block %d of %d KB differs from its hash", i, preparedBlock>>10).Doing("check a prepared plan").At(fail.Where{File: path}).Try("remove it; it is made again")
		}
	}
	return nil
}

func mapPrepared(path string) ([]byte, error) {
	where := fail.Where{File: path}
	f, err := mapped.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fail.New(fail.NotFound, "there is no prepared plan").At(where)
	}
	if err != nil {
		return nil, fail.New(fail.Denied, "%v", err).At(where)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() < preparedHead || st.Size() > maxPreparedData {
		return nil, fail.New(fail.Corrupt, "it is no prepared plan").At(where).Try("remove it; it is made again")
	}
	b, err := mapped.File(f, st.Size())
	if err != nil {
		return nil, fail.New(fail.TooBig, "cannot map %d bytes: %v", st.Size(), err).At(where)
	}
	return b, nil
}

// openPrepared makes the plan from the bytes of a file.
func openPrepared(ctx context.Context, b []byte, key Key, opt Options) (*Plan, error) {
	m, err := decodePrepared(b)
	if err != nil {
		return nil, err
	}
	if m.table.Key != key || m.table.Choices != opt.choices() {
		return nil, fail.New(fail.NotFound, "it was made for another model, processor, shape or program")
	}
	if !opt.Small && opt.Room > 0 && m.table.Packed > opt.Room {
		return nil, fail.New(fail.NotFound, "its weights have %d MB, there is room for %d", m.table.Packed>>20, opt.Room>>20)
	}
	data := b[m.dataOff:]
	if blocks := int64(len(m.hashes) / sha256.Size); blocks > 0 {
		for range sampledBlocks {
			if !m.checkBlock(data, rand.Int64N(blocks)) {
				return nil, fail.New(fail.Corrupt, "its data differ from their hash").Try("remove it; it is made again")
			}
		}
	}
	if from := m.constants(); from < int64(len(data)) {
		mapped.Scattered(data[from:]) // single rows are read
	}
	r := &replay{table: &m.table, data: data, folded: map[string]*model.Tensor{}}
	mod, err := r.model(m.onnx)
	if err != nil {
		return nil, err
	}
	p, err := compile(ctx, mod, opt, r)
	if err != nil {
		return nil, err
	}
	if r.next != len(m.table.Packs) {
		return nil, fail.New(fail.NotFound, "it has %d packed tensors, the plan %d", len(m.table.Packs), r.next)
	}
	return p, nil
}

// replay gives the lowering what a prepared file holds.
type replay struct {
	table  *preparedTable
	data   []byte
	folded map[string]*model.Tensor
	next   int // of the packed tensors
	hollow []byte
}

// model restores the model as it was compiled, but for the bytes of hollow weights.
func (r *replay) model(b []byte) (*model.Model, error) {
	m, err := onnx.Read(b, "", onnx.DefaultBudget())
	if err != nil {
		return nil, err
	}
	g := m.Graph.Shallow()
	if len(r.table.Nodes) > 0 && len(g.Nodes) != len(r.table.Nodes) {
		return nil, fail.New(fail.Corrupt, "its model has %d nodes, its table %d", len(g.Nodes), len(r.table.Nodes))
	}
	seen := map[model.NodeID]bool{}
	for i, t := range r.table.Nodes {
		n := g.Nodes[i] // ours alone: nobody else has seen this model
		if t.ID == "" || seen[t.ID] {
			return nil, fail.New(fail.Corrupt, "two nodes have the id %q", t.ID)
		}
		seen[t.ID] = true
		n.ID, n.Origin = t.ID, t.Origin
		if len(n.Origin) == 0 {
			n.Origin = []model.NodeID{n.ID}
		}
	}
	g.Inits = slices.Clone(g.Inits)
	place := map[string]bool{} // inputs whose values the file may hold
	for _, v := range g.Inputs {
		place[v.Name] = true
	}
	for _, in := range g.Inits {
		delete(place, in.Name)
	}
	drop := map[string]bool{}
	for _, c := range r.table.Consts {
		t, err := r.tensor(c)
		if err != nil {
			return nil, err
		}
		if c.Folded {
			r.folded[c.Name] = t
			continue
		}
		if !place[c.Name] {
			return nil, fail.New(fail.Corrupt, "its model has no place for %s", c.Name)
		}
		delete(place, c.Name)
		if c.Input {
			drop[c.Name] = true
		}
		g.Inits = append(g.Inits, &model.Init{Name: c.Name, Tensor: t})
	}
	g.Inputs = slices.DeleteFunc(slices.Clone(g.Inputs), func(v model.Value) bool { return drop[v.Name] })
	return m.WithGraph(g), nil // the reader checked the graph, and every name is still defined once
}

func (r *replay) tensor(c preparedConst) (*model.Tensor, error) {
	t := &model.Tensor{DType: model.DType(c.DType), Shape: c.Shape}
	if !c.Hollow {
		t.Raw = r.data[c.Off : c.Off+c.Len : c.Off+c.Len]
		return t, nil
	}
	// Nothing reads the bytes of a hollow tensor. Should a file lie about that, what is read is zero.
	if int64(len(r.hollow)) < c.Len {
		b, err := mapped.Zeros(int(c.Len))
		if err != nil {
			return nil, fail.New(fail.TooBig, "cannot map %d bytes: %v", c.Len, err)
		}
		r.hollow = b
	}
	t.Raw = r.hollow[:c.Len:c.Len]
	return t, nil
}

// pack is the next packed tensor, which must be what the lowering asks for.
func (r *replay) pack(kernel string, words int) ([]float32, error) {
	if r.next >= len(r.table.Packs) {
		return nil, fail.New(fail.NotFound, "it has only %d packed tensors", r.next)
	}
	p := r.table.Packs[r.next]
	r.next++
	if p.Kernel != kernel || p.Words != words {
		return nil, fail.New(fail.NotFound, "it holds %d words for %s, the plan wants %d for %s", p.Words, p.Kernel, words, kernel)
	}
	if words == 0 {
		return nil, nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&r.data[p.Off])), words), nil
}

// fold gives the stored results of a node, if there are any that fit what inference says of them.
func (r *replay) fold(n *model.Node, inf *ops.Inferred) ([]*model.Tensor, bool) {
	out := make([]*model.Tensor, len(n.Outputs))
	some := false
	for i, o := range n.Outputs {
		if o == "" {
			continue
		}
		t := r.folded[o]
		if t == nil || !matches(inf.Types[o], t) {
			return nil, false
		}
		out[i], some = t, true
	}
	return out, some
}

// mapped reports whether t lies in the file, aligned and with readable bytes behind it.
func (r *replay) mapped(t *model.Tensor) bool {
	if r == nil || len(t.Raw) == 0 || len(r.data) == 0 {
		return false
	}
	p, base := uintptr(unsafe.Pointer(&t.Raw[0])), uintptr(unsafe.Pointer(&r.data[0]))
	return p >= base && p+uintptr(len(t.Raw))+align <= base+uintptr(len(r.data)) && p%align == 0
}
