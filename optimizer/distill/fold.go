package distill

import (
	"math"

	"fettle/model"
	"fettle/optimizer"
)

// pair is a convolution with the normalisation behind it. A normalisation with fixed statistics is a factor and a shift for
// each channel, so the two are trained as one convolution with a bias: y = conv(x, s*W) + t.
type pair struct {
	conv, norm   *model.Node
	weight, bias string // of the folded convolution
}

// smallest scale that weights are divided by when they are taken apart again; below it the scale becomes 1.
const smallest = 1e-3

// fold is m with each such pair as one convolution, and the pairs to unfold by.
func fold(m *model.Model) (*model.Model, []*pair, error) {
	v := optimizer.NewView(m, "distill")
	var pairs []*pair
	drop := map[model.NodeID]bool{}
	nodes := map[model.NodeID]*model.Node{}
	inits := map[string]*model.Tensor{}
	var add []*model.Init
	for _, bn := range m.Graph.Nodes {
		if bn.Op != "BatchNormalization" || bn.Domain != "" || len(bn.Inputs) < 5 || bn.Int("training_mode", 0) != 0 || len(bn.Outputs) != 1 {
			continue
		}
		c := m.Graph.Producer(bn.Inputs[0])
		if c == nil || c.Op != "Conv" || c.Domain != "" || v.OtherReader(bn.Inputs[0], bn) != "" {
			continue
		}
		own := true
		for _, name := range append(append([]string(nil), c.Inputs[1:]...), bn.Inputs[1:]...) {
			t := m.Graph.Init(name)
			own = own && t != nil && t.DType == model.Float32 && (v.Shared("", name, c) == "" || v.Shared("", name, bn) == "")
		}
		if !own {
			continue
		}
		p := &pair{conv: c, norm: bn, weight: c.Inputs[1], bias: string(c.ID) + ".folded_bias"}
		w := m.Graph.Init(p.weight).Clone()
		s, t := p.affine(m)
		d, each := model.Data[float32](w), w.Len()/w.Shape[0]
		for i := range d {
			d[i] = float32(float64(d[i]) * s[i/each])
		}
		b := model.NewTensor(model.Float32, w.Shape[0])
		for i := range t {
			model.Data[float32](b)[i] = float32(t[i])
		}
		inits[p.weight] = w
		add = append(add, &model.Init{Name: p.bias, Tensor: b})
		n := *c
		n.Raw, n.Inputs, n.Outputs = nil, []string{c.Inputs[0], p.weight, p.bias}, bn.Outputs
		nodes[c.ID] = &n
		drop[bn.ID] = true
		pairs = append(pairs, p)
	}
	g := &model.Graph{Name: m.Graph.Name, Inputs: m.Graph.Inputs, Outputs: m.Graph.Outputs, Values: m.Graph.Values}
	for _, n := range m.Graph.Nodes {
		if c := nodes[n.ID]; c != nil {
			n = c
		}
		if !drop[n.ID] {
			g.Nodes = append(g.Nodes, n)
		}
	}
	read := map[string]bool{}
	for _, n := range g.Nodes {
		for _, r := range model.Reads(n) {
			read[r] = true
		}
	}
	for _, in := range m.Graph.Inits {
		if t := inits[in.Name]; t != nil {
			in = &model.Init{Name: in.Name, Tensor: t}
		}
		if read[in.Name] || m.Graph.Input(in.Name) != nil {
			g.Inits = append(g.Inits, in)
		}
	}
	g.Inits = append(g.Inits, add...)
	return m.WithGraph(g), pairs, g.Check(nil)
}

// affine is what the pair does to a channel of the plain convolution: y*s + t.
func (p *pair) affine(m *model.Model) (s, t []float64) {
	get := func(i int) []float32 { return model.Data[float32](m.Graph.Init(p.norm.Inputs[i])) }
	gamma, beta, mean, variance := get(1), get(2), get(3), get(4)
	eps := float64(p.norm.Float("epsilon", 1e-5))
	s, t = make([]float64, len(gamma)), make([]float64, len(gamma))
	for c := range gamma {
		s[c] = float64(gamma[c]) / math.Sqrt(float64(variance[c])+eps)
		t[c] = float64(beta[c]) - float64(mean[c])*s[c]
		if len(p.conv.Inputs) > 2 && p.conv.Inputs[2] != "" {
			t[c] += float64(model.Data[float32](m.Graph.Init(p.conv.Inputs[2]))[c]) * s[c]
		}
	}
	return s, t
}

// unfold writes the weights of the trained twin back into the form of m: weights divided by the scale, the rest in the shift.
func unfold(m, twin *model.Model, pairs []*pair) (*model.Model, error) {
	p := &model.Patch{}
	set := map[string]bool{}
	put := func(name string, t *model.Tensor) {
		p.Inits = append(p.Inits, &model.Init{Name: name, Tensor: t})
		set[name] = true
	}
	for _, q := range pairs {
		s, t := q.affine(m)
		gamma, beta := m.Graph.Init(q.norm.Inputs[1]).Clone(), m.Graph.Init(q.norm.Inputs[2]).Clone()
		variance := model.Data[float32](m.Graph.Init(q.norm.Inputs[4]))
		mean := model.Data[float32](m.Graph.Init(q.norm.Inputs[3]))
		eps := float64(q.norm.Float("epsilon", 1e-5))
		bias := model.Data[float32](twin.Graph.Init(q.bias))
		w := twin.Graph.Init(q.weight).Clone()
		d, each := model.Data[float32](w), w.Len()/w.Shape[0]
		for c := range s {
			shift := t[c] - float64(model.Data[float32](beta)[c]) // what the mean and the bias of the convolution add
			if math.Abs(s[c]) < smallest {
				root := math.Sqrt(float64(variance[c]) + eps)
				model.Data[float32](gamma)[c] = float32(root)
				s[c], shift = 1, -float64(mean[c])
				if len(q.conv.Inputs) > 2 && q.conv.Inputs[2] != "" {
					shift += float64(model.Data[float32](m.Graph.Init(q.conv.Inputs[2]))[c])
				}
			}
			model.Data[float32](beta)[c] = float32(float64(bias[c]) - shift)
			for i := range d[c*each : (c+1)*each] {
				d[c*each+i] = float32(float64(d[c*each+i]) / s[c])
			}
		}
		put(q.weight, w)
		put(q.norm.Inputs[1], gamma)
		put(q.norm.Inputs[2], beta)
	}
	for _, in := range twin.Graph.Inits {
		if !set[in.Name] && m.Graph.Init(in.Name) != nil && in.Tensor.DType == model.Float32 {
			put(in.Name, in.Tensor)
		}
	}
	return m.Apply(p)
}
