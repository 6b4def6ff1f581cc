package quantize

import (
	"fmt"

	"fettle/model"
	"fettle/optimizer"
)

// toNBits spells matrix products by integers of few bits as MatMulNBits of ONNX Runtime, whose kernels read them packed.
//
//	B [N, blocks, block·bits/8] uint8, the lower bits first, q + 2^(bits-1)    scales [N·blocks]    zero points likewise packed
//
// Weights with one scale a channel get the blocks that take the fewest bytes, with that scale in each of them.
func toNBits(m *model.Model) (*model.Model, []optimizer.Finding, error) {
	g := m.Graph
	s := &nbits{g: g, used: names(m)}
	var patches []*model.Patch
	var found []optimizer.Finding
	for _, n := range g.Nodes {
		if !is(n, "Gemm", "MatMul") {
			continue
		}
		d := g.Producer(input(n, 1))
		if d == nil || !is(d, "DequantizeLinear") || g.Init(d.Inputs[0]) == nil {
			continue
		}
		p, why := s.spell(n, d)
		if why != "" {
			f := optimizer.Describe("matmulnbits", n)
			f.Outcome, f.Reason = optimizer.Refused, why
			found = append(found, f)
			continue
		}
		patches = append(patches, p)
	}
	if len(patches) == 0 {
		return m, append(found, optimizer.Finding{Rule: "matmulnbits", Label: "export", Outcome: optimizer.Nothing, Reason: "no matrix product by integers that stand in blocks or channels"}), nil
	}
	out, err := m.Apply(patches...)
	if err != nil {
		return nil, nil, err
	}
	found = append(found, optimizer.Finding{Rule: "matmulnbits", Label: "export", Outcome: optimizer.Applied,
		Reason: fmt.Sprintf("%d matrix products became MatMulNBits, which ONNX Runtime and Fettle run, other engines do not", len(patches))})
	return sweepDead(out), found, nil
}

type nbits struct {
	g    *model.Graph
	used map[string]bool
}

// spell gives the patch for product n by what d dequantizes, or why there is none.
func (s *nbits) spell(n, d *model.Node) (*model.Patch, string) {
	q, scale := s.g.Init(d.Inputs[0]), s.g.Init(d.Inputs[1])
	var zero *model.Tensor
	if z := input(d, 2); z != "" {
		if zero = s.g.Init(z); zero == nil {
			return nil, "its zero is no constant"
		}
	}
	switch {
	case q.DType != model.Int4 && q.DType != model.Int8:
		return nil, fmt.Sprintf("its weights are %s", q.DType)
	case scale == nil || scale.DType != model.Float32 || q.Rank() != 2:
		return nil, "its scales are no float32 constants"
	case is(n, "Gemm") && (n.Int("transA", 0) != 0 || n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1):
		return nil, "a Gemm with alpha, beta or transA has no such form"
	case n.Domain == fettle && n.Str("activation", "none") != "none":
		return nil, "its activation function has no place in MatMulNBits"
	case n.Domain == fettle && input(n, 3) != "":
		return nil, "a sum is added to its output"
	}
	at := 0 // axis of the sums
	if is(n, "Gemm") && n.Int("transB", 0) == 1 {
		at = 1
	}
	if dq := d.Inputs[0]; zero != nil && zero.Len() != scale.Len() {
		return nil, fmt.Sprintf("%q has other numbers of zeros and scales", dq)
	}
	bias := input(n, 2)
	if bias != "" {
		if b := s.g.Init(bias); b == nil || b.Rank() != 1 || b.Len() != q.Shape[1-at] {
			return nil, "its bias is no vector of constants"
		}
	}
	w := &nbitsWeight{q: q, scale: scale, zero: zero, at: at, k: q.Shape[at], n: q.Shape[1-at], from: int(d.Int("block_size", 0)), axis: int(d.Int("axis", 1))}
	if w.axis < 0 {
		w.axis += 2
	}
	if w.from > 0 && w.axis != at {
		return nil, "its blocks lie along the outputs"
	}
	if w.from == 0 && scale.Len() > 1 && w.axis == at {
		return nil, "its scales belong to inputs"
	}
	w.fit()
	p := &model.Patch{Drop: []model.NodeID{n.ID}, Opsets: []model.Opset{{Domain: microsoft, Version: 1}}}
	b, sc, z := w.pack()
	names := []string{fresh(s.used, d.Inputs[0]+"_nbits"), fresh(s.used, d.Inputs[1]+"_nbits")}
	p.Inits = []*model.Init{{Name: names[0], Tensor: b}, {Name: names[1], Tensor: sc}}
	in := []string{n.Inputs[0], names[0], names[1]}
	if z != nil {
		zn := fresh(s.used, d.Inputs[0]+"_nbits_zero")
		p.Inits = append(p.Inits, &model.Init{Name: zn, Tensor: z})
		in = append(in, zn)
	}
	if bias != "" {
		for len(in) < 5 {
			in = append(in, "")
		}
		in = append(in, bias)
	}
	p.Add = []*model.Node{{ID: model.Derive("nbits", n.ID), Name: n.Name, Op: "MatMulNBits", Domain: microsoft, Inputs: in, Outputs: n.Outputs[:1], Origin: n.Origin,
		Attrs: []model.Attr{model.IntAttr("K", int64(w.k)), model.IntAttr("N", int64(w.n)), model.IntAttr("bits", int64(w.bits)), model.IntAttr("block_size", int64(w.block))}}}
	return p, ""
}

// nbitsWeight is a matrix of integers with its scales as DequantizeLinear reads them.
type nbitsWeight struct {
	q, scale, zero *model.Tensor
	at, axis       int // of the sums, of the scales
	k, n           int
	from           int // block of the scales, 0: one for each channel or for all

	bits, block, blocks int
}

// fit chooses bits and blocks: the bits that hold all integers, the block of the scales or that with the fewest bytes.
func (w *nbitsWeight) fit() {
	w.bits = 4
	if w.q.DType == model.Int8 {
		w.bits = 8
	} else {
		narrow := true
		for i := range w.q.Len() {
			v := w.q.Int64At(i)
			narrow = narrow && v >= -2 && v <= 1
		}
		for i := 0; w.zero != nil && i < w.zero.Len(); i++ {
			v := w.zero.Int64At(i)
			narrow = narrow && v >= -2 && v <= 1
		}
		if narrow {
			w.bits = 2
		}
	}
	if w.block = w.from; w.block == 0 {
		least := 0
		for block := 16; block <= 256; block *= 2 {
			blocks := (w.k + block - 1) / block
			if size := blocks * (block*w.bits/8 + 4); least == 0 || size < least {
				least, w.block = size, block
			}
		}
	}
	w.blocks = (w.k + w.block - 1) / w.block
}

// index is the scale of input k and output n.
func (w *nbitsWeight) index(k, n int) int {
	switch {
	case w.scale.Len() == 1:
		return 0
	case w.from == 0:
		return n
	case w.at == 0:
		return k/w.from*w.n + n
	}
	return n*w.blocks + k/w.from
}

// pack gives weights, scales and zeros; no zeros where all are in the middle.
func (w *nbitsWeight) pack() (b, scale, zero *model.Tensor) {
	per, half := 8/w.bits, int64(1)<<(w.bits-1)
	row := w.block * w.bits / 8
	b = model.NewTensor(model.Uint8, w.n, w.blocks, row)
	scale = model.NewTensor(model.Float32, w.n*w.blocks)
	zeroRow := (w.blocks*w.bits + 7) / 8
	zeros := model.NewTensor(model.Uint8, w.n*zeroRow)
	moved := false
	put := func(to []byte, i int, v int64) { to[i/per] |= byte(v+half) << (i % per * w.bits) }
	for n := range w.n {
		for blk := range w.blocks {
			at := w.index(min(blk*w.block, w.k-1), n)
			scale.SetFloat64(n*w.blocks+blk, w.scale.Float64At(at))
			z := int64(0)
			if w.zero != nil {
				z = w.zero.Int64At(at)
				moved = moved || z != 0
			}
			put(zeros.Raw[n*zeroRow:], blk, z)
			for i := range w.block {
				k := blk*w.block + i
				v := z // beyond the end: nothing
				if k < w.k {
					e := k*w.n + n
					if w.at == 1 {
						e = n*w.k + k
					}
					v = w.q.Int64At(e)
				}
				put(b.Raw[(n*w.blocks+blk)*row:], i, v)
			}
		}
	}
	if moved {
		zero = zeros
	}
	return b, scale, zero
}
