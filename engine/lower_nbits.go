package engine

import (
	"fettle/kernels/gemm"
	"fettle/model"
)

// nbits are weights [n, k] as integers of 2, 4 or 8 bits in blocks along k, each block with a scale and a zero point.
type nbits struct {
	k, n, bits, block int
	q, zeros          []byte
	scales            []float32
}

// lowerNBits lowers MatMulNBits: its weights become floats when they are packed, so that a run costs what one in floats costs. An order of
// channels of its own, zero points that are no bytes, and halves stay with the reference kernel.
func lowerNBits(l *lowering, n *model.Node) (bool, error) {
	a, b, scales := l.in(n, 0), l.in(n, 1), l.in(n, 2)
	dims := l.outDims(n, 0)
	if !a.f32() || dims == nil || len(a.dims) == 0 || b == nil || b.data == nil || scales == nil || scales.data == nil || scales.data.DType != model.Float32 || l.in(n, 4) != nil {
		return false, nil
	}
	w := nbits{k: int(n.Int("K", 0)), n: int(n.Int("N", 0)), bits: int(n.Int("bits", 4)), block: int(n.Int("block_size", 0))}
	if w.bits != 2 && w.bits != 4 && w.bits != 8 || w.block < 16 || w.k < 1 || w.n < 1 || n.Int("weight_prepacked", 0) != 0 || a.dims[len(a.dims)-1] != w.k {
		return false, nil
	}
	rows, err := model.Count(a.dims[:len(a.dims)-1])
	if err != nil || rows == 0 {
		return false, nil
	}
	zeros := l.in(n, 3)
	if zeros != nil && (zeros.data == nil || zeros.data.DType != model.Uint8) {
		return false, nil
	}
	p := product{a: a, b: b, alpha: 1, beta: 1, dims: dims, aAt: []int{0}, bAt: []int{0}, shape: gemm.Shape{M: rows, N: w.n, K: w.k, TransB: true}}
	if c := l.in(n, 5); c != nil {
		if c.data == nil || c.typ.DType != model.Float32 {
			return false, nil
		}
		l.use(c.data)
		p.bias = columns(c.data, w.n, 1)
	}
	p.unpack = func() []float32 {
		w.q, w.scales = b.data.Raw, model.Data[float32](scales.data)
		if zeros != nil {
			w.zeros = zeros.data.Raw
		}
		return w.floats()
	}
	return true, l.product(n, &p)
}

// floats are the weights [n, k].
func (w *nbits) floats() []float32 {
	blocks := (w.k + w.block - 1) / w.block
	blob, zeroRow := w.block*w.bits/8, (blocks*w.bits+7)/8
	per, mask := 8/w.bits, byte(1<<w.bits-1)
	out := make([]float32, w.n*w.k)
	for r := range w.n {
		for g := range blocks {
			zero := float32(int(1) << (w.bits - 1))
			if w.zeros != nil {
				zero = float32(w.zeros[r*zeroRow+g/per] >> (g % per * w.bits) & mask)
			}
			scale, q := w.scales[r*blocks+g], w.q[(r*blocks+g)*blob:][:blob]
			line := out[r*w.k+g*w.block : r*w.k+min(w.k, (g+1)*w.block)]
			for i := range line {
				line[i] = (float32(q[i/per]>>(i%per*w.bits)&mask) - zero) * scale
			}
		}
	}
	return out
}
