package engine

import (
	"fettle/kernels/quant"
	"fettle/model"
	"fettle/ops"
)

// maxChain is how many nodes a function of one 8-bit value may have.
const maxChain = 12

// matchFunction8 takes a chain of element-wise nodes that depends on one 8-bit tensor alone, as SiLU does: x * sigmoid(x) with
// quantized values between. Whatever it computes, it is a table of 256 bytes. The island covers the nodes that nothing else reads.
func matchFunction8(l *lowering, n *model.Node, isl *island) bool {
	f := function{l: l, inside: map[model.NodeID]bool{}}
	if !f.walk(n) || f.leaf == nil || f.depth < 2 || !l.tail(isl, false) {
		return false
	}
	e := edge{f.leaf.Inputs[0], grid{}}
	var ok bool
	if e.grid, ok = l.gridOf(f.leaf, l.inf.Types[e.value].DType); !ok || !same(l.dimsOf(e.value), l.dimsOf(n.Outputs[0])) || !l.agree(e.value, e.grid) {
		return false
	}
	isl.in, isl.dq = []edge{e}, f.leaves
	// From the last to the first: a node goes when all its readers have gone.
	gone := map[model.NodeID]bool{n.ID: true}
	for i := len(f.order) - 2; i >= 0; i-- {
		c := f.order[i]
		all := l.m.Graph.Output(c.Outputs[0]) == nil
		for _, u := range l.m.Graph.Users(c.Outputs[0]) {
			all = all && gone[u.ID]
		}
		if all {
			gone[c.ID] = true
			isl.nodes = append(isl.nodes, c)
		}
	}
	isl.chain = f.order
	return true
}

// function collects the nodes behind a value, in an order in which they can run.
type function struct {
	l      *lowering
	order  []*model.Node
	inside map[model.NodeID]bool
	leaf   *model.Node   // the DequantizeLinear that begins it
	leaves []*model.Node // all of them: they may be copies
	depth  int           // nodes that compute
}

func (f *function) walk(n *model.Node) bool {
	if f.inside[n.ID] {
		return true
	}
	f.inside[n.ID] = true
	if n.Domain != "" && n.Domain != "ai.onnx" || len(n.Outputs) != 1 || len(f.order) >= maxChain {
		return false
	}
	switch n.Op {
	case "DequantizeLinear", "QuantizeLinear":
		d := f.l.inf.Types[n.Outputs[0]].DType
		if n.Op == "DequantizeLinear" {
			d = f.l.inf.Types[n.Inputs[0]].DType
		}
		g, ok := f.l.gridOf(n, d)
		if !ok {
			return false
		}
		if n.Op == "DequantizeLinear" {
			p := f.l.m.Graph.Producer(n.Inputs[0])
			if !standard(p, "QuantizeLinear") || !f.within(p) {
				return f.begin(n, g)
			}
		}
	case "Mul", "Add", "Sub", "Div":
		f.depth++
	case "Sigmoid", "Tanh", "Relu", "HardSigmoid", "HardSwish", "Softplus", "Erf":
		f.depth++
	default:
		return false
	}
	args := n.Inputs
	if n.Op == "DequantizeLinear" || n.Op == "QuantizeLinear" {
		args = args[:1]
	}
	for _, in := range args {
		if t := f.l.known(in); t != nil {
			if t.Len() != 1 || t.DType != model.Float32 {
				return false
			}
			continue
		}
		p := f.l.m.Graph.Producer(in)
		if p == nil || !f.walk(p) {
			return false
		}
	}
	f.order = append(f.order, n)
	return true
}

// within reports whether the QuantizeLinear p belongs to the chain: what it rounds was computed from a dequantized value by nodes of the
// chain's kinds. The result of a layer begins a chain.
func (f *function) within(p *model.Node) bool {
	made := f.l.m.Graph.Producer(arg(p, 0))
	if made == nil || made.Domain != "" && made.Domain != "ai.onnx" {
		return false
	}
	switch made.Op {
	case "Sigmoid", "Tanh", "HardSigmoid", "Softplus", "Erf":
		return true
	}
	return false
}

func (f *function) begin(n *model.Node, g grid) bool {
	if f.leaf == nil {
		f.leaf = n
	}
	first, ok := f.l.gridOf(f.leaf, f.l.inf.Types[f.leaf.Inputs[0]].DType)
	f.leaves = append(f.leaves, n)
	return ok && n.Inputs[0] == f.leaf.Inputs[0] && g == first
}

// lowerFunction8 runs the chain on all 256 values with the reference kernels.
func lowerFunction8(l *lowering, isl *island) error {
	a, o := isl.in[0].grid, isl.out.grid
	x := model.NewTensor(model.Float32, 256)
	for q := range 256 {
		model.Data[float32](x)[q] = float32(q-int(a.zero8())) * a.scale
	}
	have := map[string]*model.Tensor{}
	for _, d := range isl.dq {
		have[d.Outputs[0]] = x
	}
	eval := &ops.Evaluator{Model: l.m}
	for _, n := range isl.chain {
		args := make([]*model.Tensor, len(n.Inputs))
		for i, in := range n.Inputs {
			if args[i] = have[in]; args[i] == nil && in != "" {
				args[i] = l.known(in)
			}
		}
		out, err := eval.Node(l.ctx, l.m, n, args, nil)
		if err != nil {
			return err
		}
		have[n.Outputs[0]] = out[0]
	}
	table := new(quant.Table)
	for q, v := range model.Data[float32](have[isl.node.Outputs[0]]) {
		table[q] = o.byte(v)
	}
	l.lookup(isl, table)
	return nil
}
