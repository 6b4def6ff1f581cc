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

// manyRows is from how many rows on a product unpacks its weights in each run, panel by panel: its memory is that of the largest layer instead of
// that of all. Unpacking takes 1.7 ns a weight of 4 bits on a Zen 3, as long as 30 to 40 rows do. Fewer rows find the weights as floats.
const manyRows = 256

// lowerNBits lowers MatMulNBits. An order of channels of its own, zero points that are no bytes, and halves stay with the reference kernel.
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
	data := func() *nbits {
		w := w
		w.q, w.scales = b.data.Raw, model.Data[float32](scales.data)
		if zeros != nil {
			w.zeros = zeros.data.Raw
		}
		return &w
	}
	p.unpack = func() []float32 { return data().floats() }
	if rows >= manyRows && !l.opt.Fast && !l.opt.Half {
		l.use(b.data)
		l.use(scales.data)
		if zeros != nil {
			l.use(zeros.data)
		}
		p.fill = data().panel
	}
	return true, l.product(n, &p)
}

// floats are the weights [n, k].
func (w *nbits) floats() []float32 {
	per, mask := 8/w.bits, byte(1<<w.bits-1)
	out := make([]float32, w.n*w.k)
	for r := range w.n {
		for g := range w.blocks() {
			q, zero, scale := w.at(r, g)
			line := out[r*w.k+g*w.block : r*w.k+min(w.k, (g+1)*w.block)]
			for i := range line {
				line[i] = (float32(q[i/per]>>(i%per*w.bits)&mask) - zero) * scale
			}
		}
	}
	return out
}

func (w *nbits) blocks() int { return (w.k + w.block - 1) / w.block }

// at gives block g of row r: its bytes, zero point and scale.
func (w *nbits) at(r, g int) (q []byte, zero, scale float32) {
	blocks, blob := w.blocks(), w.block*w.bits/8
	per := 8 / w.bits
	zero = float32(int(1) << (w.bits - 1))
	if w.zeros != nil {
		zero = float32(w.zeros[r*((blocks*w.bits+7)/8)+g/per] >> (g % per * w.bits) & byte(1<<w.bits-1))
	}
	return w.q[(r*blocks+g)*blob:][:blob], zero, w.scales[r*blocks+g]
}

// panel writes columns of the transposed weights: k lines of len(dst)/k of them. Four columns go at once, as each line is another line of the cache.
func (w *nbits) panel(dst []float32, p int) {
	nr, per, mask := len(dst)/max(1, w.k), 8/w.bits, byte(1<<w.bits-1)
	n := min(nr, w.n-p*nr)
	if n < nr {
		clear(dst)
	}
	var table [4][256]float32
	for j := 0; j < n; j += 4 {
		cols := min(4, n-j)
		for g := range w.blocks() {
			var q [4][]byte
			for c := range cols {
				var zero, scale float32
				q[c], zero, scale = w.at(p*nr+j+c, g)
				for v := range 1 << w.bits {
					table[c][v] = (float32(v) - zero) * scale
				}
			}
			lines := dst[g*w.block*nr:]
			if cols == 4 && w.bits == 4 {
				w.fours(lines, nr, j, min(w.block, w.k-g*w.block), &q, &table)
				continue
			}
			for i := range min(w.block, w.k-g*w.block) {
				for c := range cols {
					lines[i*nr+j+c] = table[c][q[c][i/per]>>(i%per*w.bits)&mask]
				}
			}
		}
	}
}

// fours is the inner loop for four columns of 4 bits.
func (w *nbits) fours(lines []float32, nr, j, k int, q *[4][]byte, table *[4][256]float32) {
	q0, q1, q2, q3 := q[0], q[1], q[2], q[3]
	t0, t1, t2, t3 := &table[0], &table[1], &table[2], &table[3]
	for i := 0; i < k; i++ {
		by := uint(i&1) * 4
		to := lines[i*nr+j:][:4]
		to[0], to[1] = t0[q0[i>>1]>>by&15], t1[q1[i>>1]>>by&15]
		to[2], to[3] = t2[q2[i>>1]>>by&15], t3[q3[i>>1]>>by&15]
	}
}
