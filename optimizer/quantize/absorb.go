package quantize

import (
	"context"
	"fmt"
	"math"

	"fettle/model"
	"fettle/optimizer"
)

// absorb moves what the values of a channel lie above zero out of it.
//
//	Before:     y = B(relu(A(x)))                every value of a channel behind A is far above 0
//	After:      y = B'(relu(A'(x)))              b_A' = b_A - c, b_B' = b_B + W_B·c
//	Conditions: those of equalize; between A and B are only Relu and nodes f with f(x - c) = f(x) - c; B has no padding, as
//	            zeros beyond the border would lack the shift.
//	Formula:    c = mean - 3 standard deviations of the channel behind the Relu on calibration items, where that is above 0.
//	Exactness:  other values below c only; tried as int8 and kept where held-out outputs come closer.
//	Paper:      Nagel et al. 2019, arXiv:1906.04721, section 4.1.3, with means from data instead of normalisations.
func (e *equalize) absorb(ctx context.Context, env *optimizer.Env, m *model.Model, pairs []pair, before *trial) (*model.Model, []optimizer.Finding, error) {
	last := optimizer.Finding{Rule: "equalize", Label: "high biases", Outcome: optimizer.Nothing}
	var values []string
	var able []pair
	for _, p := range pairs {
		if v := p.rectified(m); v != "" {
			able, values = append(able, p), append(values, v)
		}
	}
	if len(able) == 0 {
		last.Reason = "no layer with a Relu and a bias feeds one without padding"
		return m, []optimizer.Finding{last}, nil
	}
	stats, err := channelStats(ctx, env, m, before.job, values)
	if err != nil {
		return nil, nil, err
	}
	ed := &edits{inits: map[string]*model.Tensor{}, nodes: map[model.NodeID]*model.Node{}}
	used, count, most := names(m), 0, 0.0
	for k, p := range able {
		c := make([]float64, len(stats[k]))
		any := false
		for i, s := range stats[k] {
			if over := s.mean - 3*s.deviation; over > 1e-3*s.mean {
				c[i], any = over, true
				count, most = count+1, math.Max(most, over/s.mean)
			}
		}
		if any {
			p.shift(m, ed, used, c)
		}
	}
	if count == 0 {
		last.Reason = fmt.Sprintf("no channel of %d layers lies far above zero", len(able))
		return m, []optimizer.Finding{last}, nil
	}
	out := ed.apply(m)
	after, err := tryInt8(ctx, env, out, e.o.Samples, before)
	if err != nil {
		return nil, nil, err
	}
	last.Reason = fmt.Sprintf("%d channels lie above zero by up to %.0f %% of their mean; as int8, outputs on %s: %s before, %s after",
		count, 100*most, before.job.where(), before.f, after.f)
	if last.Outcome = optimizer.Applied; !after.f.better(before.f) {
		last.Outcome, last.Reason = optimizer.Refused, last.Reason+": reverted"
		out = m
	}
	return out, []optimizer.Finding{last}, nil
}

// rectified is the value behind the Relu of a pair that can pass a shift on, or "".
func (p pair) rectified(m *model.Model) string {
	g := m.Graph
	if !is(p.a, "Conv", "ConvTranspose", "Gemm") || p.from.bias == "" || g.Init(p.from.bias) == nil || len(g.Users(p.from.bias)) > 1 {
		return ""
	}
	if b := input(p.b, 2); b != "" && (p.to.bias == "" || g.Init(b) == nil || len(g.Users(b)) > 1) || b == "" && is(p.b, "MatMul") && p.b.Domain != fettle {
		return ""
	}
	for _, pad := range p.b.Ints("pads") {
		if pad != 0 {
			return ""
		}
	}
	if auto := p.b.Str("auto_pad", "NOTSET"); auto != "NOTSET" && auto != "VALID" {
		return ""
	}
	at := ""
	if p.a.Domain == fettle && p.a.Str("activation", "none") == "relu" {
		at = p.a.Outputs[0]
	}
	for v := p.a.Outputs[0]; ; {
		u := g.Users(v)
		if len(u) != 1 {
			return ""
		}
		n := u[0]
		if n.ID == p.b.ID {
			return at
		}
		switch {
		case is(n, "Relu") && at == "":
			at = n.Outputs[0]
		case is(n, "MaxPool", "GlobalAveragePool", "GlobalMaxPool", "Identity", "Dropout", "Flatten", "Reshape", "Relu") && at != "":
		default: // an AveragePool may count padding, a LeakyRelu bends at zero
			return ""
		}
		v = n.Outputs[0]
	}
}

// shift moves c of each channel from the bias of a into that of b.
func (p pair) shift(m *model.Model, ed *edits, used map[string]bool, c []float64) {
	get := func(name string) []float32 {
		if ed.inits[name] == nil {
			ed.inits[name] = m.Graph.Init(name).Clone()
		}
		return model.Data[float32](ed.inits[name])
	}
	for i, x := range get(p.from.bias) {
		model.Data[float32](ed.inits[p.from.bias])[i] = float32(float64(x) - c[i])
	}
	w := m.Graph.Init(p.to.weight)
	outs := w.Shape[p.to.axis]
	sum := make([]float64, outs)
	to, inner := p.reader(w), stride(w, p.to.axis)
	for i, x := range model.Data[float32](w) {
		sum[i/inner%outs] += float64(x) * c[to(i)]
	}
	if p.to.bias != "" {
		for i, x := range get(p.to.bias) {
			model.Data[float32](ed.inits[p.to.bias])[i] = float32(float64(x) + sum[i])
		}
		return
	}
	bias := make([]float32, outs)
	for i, x := range sum {
		bias[i] = float32(x)
	}
	name := fresh(used, p.to.weight+"_bias")
	ed.add = append(ed.add, &model.Init{Name: name, Tensor: model.Float32s(bias, outs)})
	n := ed.node(p.b)
	for len(n.Inputs) < 3 {
		n.Inputs = append(n.Inputs, "")
	}
	n.Inputs[2] = name
}

type channelStat struct{ mean, deviation float64 }

// channelSums are number, sum and sum of squares of each channel, which are the second axis.
type channelSums [][3]float64

func (s *channelSums) add(t *model.Tensor) {
	channels, inner := t.Shape[1], stride(t, 1)
	if *s == nil {
		*s = make(channelSums, channels)
	}
	for e, x := range model.Data[float32](t) {
		c := &(*s)[e/inner%channels]
		c[0]++
		c[1] += float64(x)
		c[2] += float64(x) * float64(x)
	}
}

func (s channelSums) stats() []channelStat {
	var out []channelStat
	for _, c := range s {
		mean := c[1] / c[0]
		out = append(out, channelStat{mean, math.Sqrt(math.Max(c[2]/c[0]-mean*mean, 0))})
	}
	return out
}

// channelStats measures the channels of values on the items that do not judge.
func channelStats(ctx context.Context, env *optimizer.Env, m *model.Model, j *job, values []string) ([][]channelStat, error) {
	tapped, at := expose(m, j.sel, values)
	s, err := env.Open(ctx, tapped)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	sums := make([]channelSums, len(values))
	items := j.batch.part(false)
	if j.batch.held == 0 {
		items = j.batch.all
	}
	for i, in := range items {
		env.Progress.Report(int64(i), int64(len(items)), "measure channels")
		out, err := s.Run(ctx, in)
		if err != nil {
			return nil, err
		}
		for k, v := range values {
			sums[k].add(out[at[v]])
		}
	}
	out := make([][]channelStat, len(values))
	for k := range sums {
		out[k] = sums[k].stats()
	}
	return out, nil
}
