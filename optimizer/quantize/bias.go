package quantize

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"fettle/model"
)

// meanRows is how many rows of a layer, over meanItems items, its means are taken of.
const meanRows, meanItems = 1 << 12, 64

// center moves the bias of a layer so that the mean of each output channel over the calibration rows is that of the float
// model: b += W·mean(x) - Ŵ·mean(x̂). It gives the reason where it leaves the layer as it is.
//
// Source: Nagel et al. 2019, arXiv:1906.04721, section 4.2, with means from data.
func (t *tuner) center(_ context.Context, p *placed, qs, fs *walk) (string, error) {
	n, fn := t.quant.Graph.Node(p.node), t.float.Graph.Node(p.node)
	weight := t.w.sel.view.Const(p.l.weight)
	bias, free := t.bias(n, p)
	if !free {
		return "it has no bias to correct", nil
	}
	x, fx := n.Inputs[0], fn.Inputs[0]
	if qs.have[0][x] == nil || fs.have[0][fx] == nil || qs.have[0][x].DType != model.Float32 {
		return "its input is a constant", nil
	}
	pt, why := newPatches(n, weight, qs.have[0][x].Shape)
	if why != "" {
		return why, nil
	}
	r := rand.New(rand.NewPCG(uint64(t.env.Seed), 0x9e3779b97f4a7c15))
	sumQ, sumF := make([]float64, pt.groups*pt.width), make([]float64, pt.groups*pt.width)
	rows, many := 0, len(t.items.all)-t.items.held
	buf := make([]float32, pt.width)
	for i := range qs.have {
		if t.items.isHeld(i) {
			continue
		}
		q, f := qs.have[i][x], fs.have[i][fx]
		for _, at := range spread(pt.count(q), (meanRows+many-1)/many, r) {
			rows++
			for g := range pt.groups {
				for _, s := range []struct {
					t   *model.Tensor
					sum []float64
				}{{q, sumQ[g*pt.width:]}, {f, sumF[g*pt.width:]}} {
					pt.row(buf, model.Data[float32](s.t), at, g)
					for k, v := range buf {
						s.sum[k] += float64(v)
					}
				}
			}
		}
	}
	if rows == 0 {
		return "there are no rows to look at", nil
	}
	l := &lot{p: p, o: t.o, weight: weight, node: n, width: pt.width, bias: bias, free: true, group: len(bias) / pt.groups}
	l.offset = make([]float64, len(bias))
	moved, most := 0.0, 0.0
	for c := range bias {
		at := c / l.group * pt.width
		near := l.near(c)
		for k, w := range l.weights(c) {
			l.offset[c] += (w*sumF[at+k] - near.w[k]*sumQ[at+k]) / float64(rows)
		}
		moved, most = math.Max(moved, math.Abs(l.offset[c])), math.Max(most, math.Abs(bias[c]))
	}
	t.note(p, fmt.Sprintf("bias moved %.2g of %.2g at most", moved, most))
	t.storeBias(l)
	return "", nil
}

// spread picks at most most of n places, one of each stretch, so that no part is left out.
func spread(n, most int, r *rand.Rand) []int {
	out := make([]int, min(most, n))
	for k := range out {
		out[k] = k
		if most < n {
			lo, hi := k*n/most, (k+1)*n/most
			out[k] = lo + r.IntN(hi-lo)
		}
	}
	return out
}
