package quantize

import (
	"fmt"
	"math"
	"slices"

	"fettle/model"
	"fettle/optimizer"
)

// Processors with AVX2 and without VNNI have an instruction that adds two products of an unsigned and a signed byte in 16 bits and
// saturates. ONNX Runtime multiplies with it there; other kernels of it, and this engine, are exact. A pair of weights is safe with every
// value where those of one sign add up to at most mostPair: 255*128 < 1<<15.
const mostPair = 128

// pairs are the places of weights that such kernels add first, along the sums of one output channel.
type pairs struct {
	places [][2]int // in the order of lot.at
}

// pairsOf gives the pairs of a layer: input channels change fastest in convolutions of static values, which run on pixels, and places of
// the window in ConvInteger, which runs on planes. Depthwise kernels widen first and have none.
func pairsOf(n *model.Node, shape []int, axis int, dynamic bool) pairs {
	var p pairs
	if is(n, "ConvTranspose") || is(n, "Conv") && shape[1] == 1 && n.Int("group", 1) > 1 {
		return p
	}
	width, taps := 1, 1
	for a, d := range shape {
		if a != axis {
			width *= d
		}
	}
	if is(n, "Conv") && !dynamic {
		for _, d := range shape[2:] {
			taps *= d
		}
	}
	channels := width / taps
	place := func(i int) int { return i%channels*taps + i/channels }
	for i := 0; i+1 < width; i += 2 {
		p.places = append(p.places, [2]int{place(i), place(i + 1)})
	}
	return p
}

// same is the larger of the sums of those of a and b above and below zero.
func same(a, b float64) float64 {
	return math.Max(math.Max(a, 0)+math.Max(b, 0), -math.Min(a, 0)-math.Min(b, 0))
}

// floor is the least scale of each channel with which every pair is safe, and not under other. Integers that are rounded to nearest
// keep to it: two halves that both round up have no sum that is whole.
func (p pairs) floor(w *model.Tensor, axis int, other []float64) []float64 {
	data := model.Data[float32](w)
	out := make([]float64, w.Shape[axis])
	copy(out, other)
	for c := range out {
		for _, k := range p.places {
			a, b := data[weightAt(w.Shape, axis, c, k[0])], data[weightAt(w.Shape, axis, c, k[1])]
			out[c] = math.Max(out[c], same(float64(a), float64(b))/mostPair*(1+1e-6))
		}
	}
	return out
}

// weightAt is the element of weight k of output channel c.
func weightAt(shape []int, axis, c, k int) int {
	if axis == 0 {
		n := 1
		for _, d := range shape[1:] {
			n *= d
		}
		return c*n + k
	}
	return k*shape[1] + c
}

// hold moves integers of a row that rounding brought above a safe sum back by a step, where the weight lies below them.
func (p pairs) hold(r *row) {
	for _, k := range p.places {
		for same(float64(r.q[k[0]]), float64(r.q[k[1]])) > mostPair {
			sign := int8(-1)
			if positive(r.q[k[0]], r.q[k[1]]) {
				sign = 1
			}
			at, over := -1, 0.0
			for _, i := range k {
				if above := -r.d[i] * float64(sign); r.q[i]*sign > 0 && (at < 0 || above > over) {
					at, over = i, above
				}
			}
			r.q[at] -= sign
			r.d[at] += float64(sign) * r.scale
		}
	}
}

// positive reports whether the sum above zero is the larger one.
func positive(a, b int8) bool { return max(int(a), 0)+max(int(b), 0) > -min(int(a), 0)-min(int(b), 0) }

// unsafe counts the pairs of the integers q that can saturate.
func (p pairs) unsafe(q *model.Tensor, axis int) (over, all int) {
	for c := range q.Shape[axis] {
		for _, k := range p.places {
			a, b := q.Int64At(weightAt(q.Shape, axis, c, k[0])), q.Int64At(weightAt(q.Shape, axis, c, k[1]))
			if same(float64(a), float64(b)) > mostPair {
				over++
			}
		}
	}
	return over, len(p.places) * q.Shape[axis]
}

// paired reports whether the sums of a layer may be made of pairs of bytes at all.
func (o Options) paired() bool {
	return o.Activations == "int8" || o.Activations == "uint8" || o.Activations == "dynamic"
}

// tellPairs says what pairs of the written integers do in 16 bits.
func (j *job) tellPairs(w *written, m *model.Model) {
	if !j.o.paired() {
		return
	}
	over, all, layers, most := 0, 0, 0, ""
	share := 0.0
	for _, p := range w.placed {
		q := m.Graph.Init(p.q)
		if q == nil || q.DType != model.Int8 {
			continue
		}
		n, of := pairsOf(p.l.node, q.Shape, p.l.axis, !j.o.static()).unsafe(q, p.l.axis)
		over, all = over+n, all+of
		if n == 0 {
			continue
		}
		layers++
		if s := float64(n) / float64(of); s > share {
			share, most = s, p.l.node.Label()
		}
	}
	switch {
	case over > 0:
		j.found = slices.Insert(j.found, 0, pairsFinding(fmt.Sprintf("%d of %d pairs of weights in %d layers, most in %s, can overflow 16 bits (|a|*255 + |b|*255 > 32767): ONNX Runtime saturates them "+
			"on x86 with AVX2 and no VNNI, and answers get worse there; reduce_range = \"auto\" avoids it", over, all, layers, most)))
	case all > 0:
		if wide := j.widened(w); wide != "" {
			j.found = slices.Insert(j.found, 0, pairsFinding(fmt.Sprintf("none of %d pairs of weights can overflow 16 bits: ONNX Runtime is exact on x86 without VNNI, too; for that %s", all, wide)))
		}
	}
}

// pairsFinding is a line of the ledger about them.
func pairsFinding(reason string) optimizer.Finding {
	return optimizer.Finding{Rule: "quantize", Label: "pairs of weights", Outcome: optimizer.Applied, Reason: reason}
}

// widened says how many channels paid for that with wider steps.
func (j *job) widened(w *written) string {
	n, all, most := 0, 0, 1.0
	for _, p := range w.placed {
		t := w.sel.view.Const(p.l.weight)
		_, full := QuantizeWeights(t, p.l.axis, j.o.PerChannel, nil)
		for c, s := range full {
			all++
			if r := float64(p.grid.scale[min(c, len(p.grid.scale)-1)] / s); r > 1.005 && s != 1 {
				n++
				most = math.Max(most, r)
			}
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("the steps of %d of %d channels are wider, up to %.2f times", n, all, most)
}
