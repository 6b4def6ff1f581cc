package quantize

import (
	"fmt"
	"math"
	"slices"

	"fettle/model"
	"fettle/model/packed"
)

// normalFloats are the 16 values of NF4, rising from -1 to 1: quantiles of the normal distribution in equal shares, eight above zero, seven below,
// and zero itself, divided by the largest. Shares end short of 1, where the quantile is infinite, by the mean of half a step of 15 and of 16 shares.
//
// Source: Dettmers et al. 2023, arXiv:2305.14314, section 3 and appendix E.
func normalFloats() []float32 {
	const end = 1 - (1./30+1./32)/2
	quantile := func(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }
	most := quantile(end)
	values := []float32{0}
	for _, side := range []struct {
		sign float64
		n    int
	}{{1, 8}, {-1, 7}} {
		for i := range side.n {
			p := end + (0.5-end)*float64(i)/float64(side.n)
			values = append(values, float32(side.sign*quantile(p)/most))
		}
	}
	slices.Sort(values)
	return values
}

// normal stores a weight as indices of NF4 values and the largest weight of each block along the sums, or of each output channel; false where that
// takes more bytes.
func (w *codebooks) normal(l *layer, t *model.Tensor) (x made, size, small int, ok bool) {
	g := newGrid(t, precision{lo: -1, hi: 1}, l.axis, l.reduced, w.o.Block, true, nil)
	if t.Len() < 64 || 4*len(g.scale)+t.Len()/2 >= len(t.Raw) {
		return x, 0, 0, false
	}
	values := normalFloats()
	index := model.NewTensor(model.Uint4, t.Shape...)
	at := make([]int, t.Len())
	for i, v := range model.Data[float32](t) {
		v /= g.scale[g.index(i)]
		k, _ := slices.BinarySearch(values, v)
		k = min(k, len(values)-1)
		if k > 0 && v-values[k-1] < values[k]-v {
			k--
		}
		at[i] = k
		index.SetInt64(i, int64(k))
	}
	shape := g.shape
	if g.block == 0 { // one number a channel lies along its axis
		shape = slices.Repeat([]int{1}, len(t.Shape))
		shape[g.axis] = g.length
	}
	scale := model.Float32s(g.scale, shape...)
	book := model.Float32s(values, len(values))
	if w.nf4 == "" {
		w.nf4 = w.constant("nf4_codebook", book)
		size = len(book.Raw) // one table for all layers
	}
	value, shared := w.scaled(l, w.gather(l, w.nf4, index, "_normal"), scale, g)
	x.value = value
	size += len(scale.Raw) + shared
	size, small = size+len(index.Raw), size+packed.Size(index.Raw)
	share := "an output channel"
	if g.block > 0 {
		share = fmt.Sprintf("%d weights along the sums", g.block)
	}
	x.reason = fmt.Sprintf("NF4 with one scale for %s, %.2f bits a weight by their frequencies; %d bytes, %d Huffman coded", share, entropy(at, len(values)), size, small)
	x.saved = int64(len(t.Raw) - size)
	return x, size, small, true
}

// scaled multiplies value by the scales of its blocks, which a Gather spreads along the axis of the sums. It gives the bytes of the numbers of the
// blocks where no layer before needed the same.
func (w *codebooks) scaled(l *layer, value string, scale *model.Tensor, g *grid) (out string, shared int) {
	sn := w.constant(l.weight+"_absmax", scale)
	if g.block > 0 {
		key := [2]int{g.length, g.block}
		if w.blocks[key] == "" {
			of := model.NewTensor(model.Int32, g.length)
			for i := range g.length {
				of.SetInt64(i, int64(i/g.block))
			}
			w.blocks[key] = w.constant(fmt.Sprintf("blocks_%d_of_%d", g.length, g.block), of)
			shared = len(of.Raw)
		}
		wide := fresh(w.used, l.weight+"_absmax_wide")
		w.node(l, "Gather", "spread", []string{sn, w.blocks[key]}, wide, model.IntAttr("axis", int64(g.axis)))
		sn = wide
	}
	out = fresh(w.used, l.weight+"_nf4")
	w.node(l, "Mul", "scale", []string{value, sn}, out)
	return out, shared
}

// constant adds an initializer.
func (w *codebooks) constant(name string, t *model.Tensor) string {
	name = fresh(w.used, name)
	w.ed.add = append(w.ed.add, &model.Init{Name: name, Tensor: t})
	return name
}
