package rewrite

import (
	"fmt"
	"math"

	"fettle/model"
	"fettle/optimizer"
)

// fold-batchnorm
//
//	Before:     z = Op(x, W, b); y = BatchNormalization(z, gamma, beta, mean, var)     Op: Conv ConvTranspose Gemm
//	After:      y = Op(x, W', b')
//	Conditions: W, b and the statistics are constants that nobody else reads; z is read by nothing else and is
//	            no output; inference mode; float32.
//	Formula:    s = gamma / sqrt(var + epsilon);  W'[o] = W[o] * s[o];  b'[o] = (b[o] - mean[o]) * s[o] + beta[o]
//	Exactness:  rounding: computed in float64, rounded once.
//	Paper:      Jacob et al. 2018, arXiv:1712.05877, section 3.2.
//
// With before = true also the mirror image, for networks that normalise first:
//
//	Before:     z = BatchNormalization(x, …); y = Conv(z, W, b)
//	Conditions: the convolution pads nothing: border pixels would see the shift, which a pad of zeros does not have.
//	Formula:    W'[o,i] = W[o,i] * s[i];  b'[o] = b[o] + sum_i W[o,i] * (beta[i] - mean[i] * s[i])

// FoldBatchNorm are the options of fold-batchnorm.
type FoldBatchNorm struct {
	Before bool `opt:"before" help:"also fold a normalisation that stands before a convolution without padding"`
}

// NewFoldBatchNorm makes the pass with its defaults.
func NewFoldBatchNorm() optimizer.Pass {
	o := &FoldBatchNorm{Before: true}
	return &optimizer.RulePass{
		About: optimizer.Info{Name: "fold-batchnorm", Title: "Fold batch normalisation", Exactness: optimizer.Rounding,
			Promise: "Moves the scale and shift of a batch normalisation into the weights of its neighbour.",
			Paper:   "Jacob et al. 2018, arXiv:1712.05877", Undo: "the statistics of the normalisation, which training would need"},
		Opts: o,
		Rules: func() []optimizer.Rule {
			rules := []optimizer.Rule{{Name: "fold-batchnorm", Pattern: bnAfter, Check: checkBNAfter, Replace: foldAfter}}
			if o.Before {
				rules = append(rules, optimizer.Rule{Name: "fold-batchnorm-before", Pattern: bnBefore, Check: checkBNBefore, Replace: foldBefore})
			}
			return rules
		},
	}
}

func bnAfter(v *optimizer.View, n *model.Node) []*model.Node {
	if !standard(n, "BatchNormalization") || len(n.Inputs) < 5 {
		return nil
	}
	p := v.G.Producer(n.Inputs[0])
	if standard(p, "Conv") || standard(p, "ConvTranspose") || standard(p, "Gemm") {
		return []*model.Node{p, n}
	}
	return nil
}

func checkBNAfter(v *optimizer.View, nodes []*model.Node) string {
	p, bn := nodes[0], nodes[1]
	if why := v.OtherReader(bn.Inputs[0], bn); why != "" {
		return why
	}
	if why := checkBN(v, bn); why != "" {
		return why
	}
	return checkWeights(v, p)
}

// checkWeights tests that W and b of a layer are float32 constants of its own.
func checkWeights(v *optimizer.View, p *model.Node) string {
	for i, what := range []string{"weight", "bias"} {
		name := input(p, 1+i)
		if name == "" && i == 1 {
			continue
		}
		t := v.Const(name)
		if t == nil {
			return v.NotConst(what, name)
		}
		if t.DType != model.Float32 {
			return fmt.Sprintf("%s %q is %s, not float32", what, name, t.DType)
		}
		if why := v.Shared(what, name, p); why != "" {
			return why
		}
	}
	return ""
}

func checkBN(v *optimizer.View, bn *model.Node) string {
	if bn.Int("training_mode", 0) != 0 {
		return "the normalisation is in training mode: it uses the statistics of each batch"
	}
	for _, o := range bn.Outputs[1:] {
		if o != "" {
			return "the normalisation is in training mode: it gives statistics out"
		}
	}
	if bn.Int("spatial", 1) == 0 {
		return "the normalisation has statistics for each position (spatial = 0)"
	}
	n := -1
	for i, what := range []string{"scale", "shift", "mean", "variance"} {
		t := v.Const(bn.Inputs[1+i])
		if t == nil {
			return v.NotConst(what, bn.Inputs[1+i])
		}
		if t.DType != model.Float32 || t.Rank() != 1 || n >= 0 && t.Len() != n {
			return fmt.Sprintf("%s %q is %s%v, expected one float32 for each channel", what, bn.Inputs[1+i], t.DType, t.Shape)
		}
		n = t.Len()
	}
	return ""
}

// affine is what bn does to a channel: y = x*s + t, in float64.
func affine(v *optimizer.View, bn *model.Node) (s, t []float64, why string) {
	get := func(i int) []float32 { return model.Data[float32](v.Const(bn.Inputs[i])) }
	gamma, beta, mean, variance := get(1), get(2), get(3), get(4)
	eps := float64(bn.Float("epsilon", 1e-5))
	s, t = make([]float64, len(gamma)), make([]float64, len(gamma))
	for c := range gamma {
		s[c] = float64(gamma[c]) / math.Sqrt(float64(variance[c])+eps)
		t[c] = float64(beta[c]) - float64(mean[c])*s[c]
		if math.IsNaN(s[c]) || math.IsInf(s[c], 0) || math.IsNaN(t[c]) || math.IsInf(t[c], 0) {
			return nil, nil, fmt.Sprintf("channel %d has variance %g: its scale is not finite", c, variance[c])
		}
	}
	return s, t, ""
}

func foldAfter(v *optimizer.View, nodes []*model.Node) (*optimizer.Rewrite, string) {
	p, bn := nodes[0], nodes[1]
	s, t, why := affine(v, bn)
	if why != "" {
		return nil, why
	}
	w := v.Const(p.Inputs[1])
	channel, channels, why := outChannel(p, w)
	if why != "" {
		return nil, why
	}
	if channels != len(s) {
		return nil, fmt.Sprintf("%d channels, but %d statistics", channels, len(s))
	}
	w2 := model.NewTensor(model.Float32, w.Shape...)
	from, to := model.Data[float32](w), model.Data[float32](w2)
	for i, x := range from {
		to[i] = float32(float64(x) * s[channel(i)])
	}
	b2 := make([]float32, channels)
	var b []float32
	beta := 1.0
	if name := input(p, 2); name != "" {
		bt := v.Const(name)
		if b = model.Data[float32](bt); len(b) != channels && len(b) != 1 || bt.Rank() > 0 && bt.Shape[bt.Rank()-1] != len(b) {
			return nil, fmt.Sprintf("the bias has shape %v for %d channels", bt.Shape, channels)
		}
		if p.Op == "Gemm" {
			beta = float64(p.Float("beta", 1))
		}
	}
	for c := range b2 {
		x := 0.0
		if len(b) > 0 {
			x = float64(b[c%len(b)]) * beta
		}
		b2[c] = float32(x*s[c] + t[c])
	}
	n := rebuilt(v, p, nodes, bn.Outputs[0])
	if p.Op == "Gemm" {
		n.Attrs = withAttr(n.Attrs, model.FloatAttr("beta", 1))
	}
	return weighted(v, n, nodes, w2, b2), ""
}

// outChannel gives the output channel of element i of a weight, and their number.
//
//	Conv [M, C/g, …]: the first axis    ConvTranspose [C, M/g, …]: the second, offset by the group
//	Gemm [K, N] or with transB [N, K]
func outChannel(p *model.Node, w *model.Tensor) (func(int) int, int, string) {
	switch p.Op {
	case "Conv":
		if w.Rank() < 3 || w.Shape[0] == 0 {
			break
		}
		per := w.Len() / w.Shape[0]
		return func(i int) int { return i / per }, w.Shape[0], ""
	case "ConvTranspose":
		g := int(p.Int("group", 1))
		if w.Rank() < 3 || g < 1 || w.Shape[0]%g != 0 || w.Len() == 0 {
			break
		}
		mg, inner := w.Shape[1], w.Len()/w.Shape[0]/w.Shape[1]
		perGroup := w.Shape[0] / g
		return func(i int) int { return i/(mg*inner)/perGroup*mg + i/inner%mg }, mg * g, ""
	case "Gemm":
		if w.Rank() != 2 {
			break
		}
		if p.Int("transB", 0) != 0 {
			k := w.Shape[1]
			return func(i int) int { return i / k }, w.Shape[0], ""
		}
		n := w.Shape[1]
		return func(i int) int { return i % n }, n, ""
	}
	return nil, 0, fmt.Sprintf("the weight has shape %v", w.Shape)
}

// rebuilt is a copy of p that stands for nodes and makes out.
func rebuilt(v *optimizer.View, p *model.Node, nodes []*model.Node, out string) *model.Node {
	return &model.Node{ID: v.Fresh(nodes...), Name: p.Name, Op: p.Op, Domain: p.Domain, Inputs: append([]string(nil), p.Inputs...),
		Outputs: []string{out}, Attrs: p.Attrs, Origin: model.MergeOrigins(nodes...), Doc: p.Doc}
}

// weighted gives n new weights w and b under names of its own.
func weighted(v *optimizer.View, n *model.Node, nodes []*model.Node, w *model.Tensor, b []float32) *optimizer.Rewrite {
	wn, bn := string(n.ID)+".weight", string(n.ID)+".bias"
	n.Inputs = []string{n.Inputs[0], wn, bn}
	rw := &optimizer.Rewrite{Patch: model.Patch{Add: []*model.Node{n}, DropInits: v.Unread(nodes...),
		Inits: []*model.Init{{Name: wn, Tensor: w}, {Name: bn, Tensor: model.Float32s(b, len(b))}}}}
	for _, d := range nodes {
		rw.Patch.Drop = append(rw.Patch.Drop, d.ID)
	}
	for _, name := range rw.Patch.DropInits {
		rw.Gain.Bytes += int64(len(v.G.Init(name).Raw))
	}
	rw.Gain.Bytes -= int64(len(w.Raw) + 4*len(b))
	return rw
}

func bnBefore(v *optimizer.View, n *model.Node) []*model.Node {
	if !standard(n, "Conv") || len(n.Inputs) < 2 {
		return nil
	}
	if p := v.G.Producer(n.Inputs[0]); standard(p, "BatchNormalization") && len(p.Inputs) >= 5 && bnAfter(v, p) == nil {
		return []*model.Node{p, n}
	}
	return nil
}

func checkBNBefore(v *optimizer.View, nodes []*model.Node) string {
	bn, conv := nodes[0], nodes[1]
	if why := v.OtherReader(bn.Outputs[0], conv); why != "" {
		return why
	}
	if why := checkBN(v, bn); why != "" {
		return why
	}
	auto := conv.Str("auto_pad", "NOTSET")
	padded := auto == "SAME_UPPER" || auto == "SAME_LOWER"
	if auto == "NOTSET" {
		for _, p := range conv.Ints("pads") {
			padded = padded || p != 0
		}
	}
	if padded {
		return "the convolution pads with zeros, and border pixels would see the shift of the normalisation"
	}
	return checkWeights(v, conv)
}

func foldBefore(v *optimizer.View, nodes []*model.Node) (*optimizer.Rewrite, string) {
	bn, conv := nodes[0], nodes[1]
	s, t, why := affine(v, bn)
	if why != "" {
		return nil, why
	}
	w := v.Const(conv.Inputs[1])
	g := int(conv.Int("group", 1))
	if w.Rank() < 3 || w.Len() == 0 || g < 1 || w.Shape[0]%g != 0 || w.Shape[1]*g != len(s) {
		return nil, fmt.Sprintf("the weight has shape %v for %d channels", w.Shape, len(s))
	}
	m, cg := w.Shape[0], w.Shape[1]
	inner := w.Len() / m / cg
	w2 := model.NewTensor(model.Float32, w.Shape...)
	from, to := model.Data[float32](w), model.Data[float32](w2)
	b2 := make([]float32, m)
	var b []float32
	if name := input(conv, 2); name != "" {
		if b = model.Data[float32](v.Const(name)); len(b) != m {
			return nil, fmt.Sprintf("the bias has %d elements for %d channels", len(b), m)
		}
	}
	for o := range m {
		sum := 0.0
		if b != nil {
			sum = float64(b[o])
		}
		for i := range cg {
			c := o/(m/g)*cg + i
			for k := range inner {
				at := (o*cg+i)*inner + k
				to[at] = float32(float64(from[at]) * s[c])
				sum += float64(from[at]) * t[c]
			}
		}
		b2[o] = float32(sum)
	}
	n := rebuilt(v, conv, nodes, conv.Outputs[0])
	n.Inputs[0] = bn.Inputs[0]
	return weighted(v, n, nodes, w2, b2), ""
}
