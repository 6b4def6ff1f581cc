package quantize

import (
	"fmt"
	"math"

	"fettle/model"
)

// Activation functions other than Relu and Clip are functions of one integer: they read a quantized value and give out another, which a
// table of 256 bytes does exactly. So values before and behind them are quantized, and those within are not.

// unfuse takes activation functions that no integer store has out of the fused layers: what is before them needs a range of its own. With
// split_sums it takes sums out of convolutions, too: the convolution alone then ends in integers, as other engines need it.
func unfuse(m *model.Model, o Options) *model.Model {
	used := names(m)
	p := unfuser{used: used, sums: o.SplitSums}
	found := false
	for _, n := range m.Graph.Nodes {
		act := n.Str("activation", "none")
		stored := act == "none" || act == "relu" || act == "clip" // by integer kernels
		if n.Domain != fettle || (stored || !p.known(act)) && !(p.sum(n) && (stored || p.known(act))) {
			p.nodes = append(p.nodes, n)
			continue
		}
		found = true
		p.split(n, act)
	}
	if !found {
		return m
	}
	g := m.Graph
	inits := append(append([]*model.Init(nil), g.Inits...), p.inits...)
	return m.WithGraph(&model.Graph{Name: g.Name, Doc: g.Doc, Nodes: p.nodes, Inits: inits, Inputs: g.Inputs, Outputs: g.Outputs, Values: g.Values, Meta: g.Meta, Unknown: g.Unknown})
}

type unfuser struct {
	used  map[string]bool
	sums  bool // sums leave their convolutions
	nodes []*model.Node
	inits []*model.Init
	made  map[string]string // constants
}

// sum reports whether n is a convolution with a sum that is to leave it.
func (p *unfuser) sum(n *model.Node) bool { return p.sums && n.Op == "Conv" && input(n, 3) != "" }

func (p *unfuser) known(act string) bool {
	switch act {
	case "leakyrelu", "sigmoid", "hardswish", "silu", "gelu":
		return true
	}
	return false
}

func (p *unfuser) split(n *model.Node, act string) {
	y := n.Outputs[0]
	z := fresh(p.used, y+"_linear")
	c := *n
	c.Raw, c.Outputs, c.Attrs = nil, []string{z}, nil
	if p.sum(n) {
		c.Inputs = n.Inputs[:3:3]
	}
	for _, a := range n.Attrs {
		if a.Name != "activation" && a.Name != "min" && a.Name != "max" && (a.Name != "alpha" || n.Op == "Gemm") {
			c.Attrs = append(c.Attrs, a)
		}
	}
	if (n.Op == "Conv" || n.Op == "Gemm") && input(&c, 3) == "" || n.Op == "Add" || n.Op == "MatMul" && input(n, 2) == "" {
		c.Domain = "" // nothing of ours is left
	}
	p.nodes = append(p.nodes, &c)
	add := func(op, out string, in []string, attrs ...model.Attr) string {
		if out == "" {
			out = fresh(p.used, y+"_"+op)
		}
		p.nodes = append(p.nodes, &model.Node{ID: model.Derive("unfuse "+op+" "+out, n.ID), Name: fresh(p.used, n.Name+"_"+op), Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs, Origin: n.Origin})
		return out
	}
	if p.sum(n) {
		to := ""
		if act == "none" {
			to = y
		}
		z = add("Add", to, []string{z, n.Inputs[3]})
	}
	switch act {
	case "relu":
		add("Relu", y, []string{z})
	case "clip":
		lo, hi := n.Float("min", -math.MaxFloat32), n.Float("max", math.MaxFloat32)
		add("Clip", y, []string{z, p.number(fmt.Sprintf("at_least_%g", lo), lo), p.number(fmt.Sprintf("at_most_%g", hi), hi)})
	case "leakyrelu":
		add("LeakyRelu", y, []string{z}, model.FloatAttr("alpha", n.Float("alpha", 0.01)))
	case "sigmoid":
		add("Sigmoid", y, []string{z})
	case "hardswish":
		add("HardSwish", y, []string{z})
	case "silu":
		add("Mul", y, []string{z, add("Sigmoid", "", []string{z})})
	case "gelu":
		e := add("Erf", "", []string{add("Div", "", []string{z, p.number("root_of_2", math.Sqrt2)})})
		e = add("Add", "", []string{e, p.number("one", 1)})
		add("Mul", y, []string{add("Mul", "", []string{z, e}), p.number("half", 0.5)})
	}
}

func (p *unfuser) number(name string, v float32) string {
	if p.made == nil {
		p.made = map[string]string{}
	}
	if p.made[name] == "" {
		p.made[name] = fresh(p.used, name)
		p.inits = append(p.inits, &model.Init{Name: p.made[name], Tensor: model.Scalar32(v)})
	}
	return p.made[name]
}

// maxFunction is how many nodes a function of one value may have.
const maxFunction = 8

// function follows a chain of element-wise nodes that depends on x alone, such as a GELU written out, to the last value through which all
// of it goes. The end is "" where x is read otherwise too, or where the chain is one node.
func (s *selection) function(g *model.Graph, x string) (end string, nodes []*model.Node) {
	open := map[string]int{x: len(g.Users(x))} // values of the chain with readers that are not part of it yet
	inside := map[string]bool{x: true}
	var all []*model.Node
	for _, n := range g.Nodes[g.Position(g.Producer(x).ID)+1:] {
		if !readsAny(n, inside) {
			continue
		}
		if len(all) == maxFunction || !s.inFunction(n, inside) {
			break
		}
		for in := range inside {
			if open[in] > 0 && readsAny(n, map[string]bool{in: true}) {
				if open[in]--; open[in] == 0 {
					delete(open, in)
				}
			}
		}
		y := n.Outputs[0]
		all = append(all, n)
		if len(open) == 0 && len(all) > 1 {
			end, nodes = y, all[:len(all):len(all)]
		}
		if g.Output(y) != nil || len(g.Users(y)) == 0 {
			break
		}
		inside[y], open[y] = true, len(g.Users(y))
	}
	return end, nodes
}

func readsAny(n *model.Node, values map[string]bool) bool {
	for _, in := range model.Reads(n) {
		if values[in] {
			return true
		}
	}
	return false
}

// inFunction reports whether n computes a value of float32 from values inside and single numbers.
func (s *selection) inFunction(n *model.Node, inside map[string]bool) bool {
	if !is(n, "Mul", "Add", "Sub", "Div", "Erf", "Sigmoid", "Tanh", "HardSigmoid") || n.Domain == fettle || len(n.Outputs) != 1 || !s.float(n.Outputs[0]) {
		return false
	}
	for _, in := range n.Inputs {
		if inside[in] {
			continue
		}
		if t := s.view.Const(in); t == nil || t.Len() != 1 || t.DType != model.Float32 {
			return false
		}
	}
	return true
}

// gated reports whether a chain is x times one function of x: its factor is a value that other engines keep in bytes too.
func gated(nodes []*model.Node) bool { return len(nodes) == 2 && is(nodes[1], "Mul") }
