package quantize

import (
	"fmt"
	"math"
	"slices"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

// selection says which nodes compute on integers and which values carry them.
type selection struct {
	layers map[model.NodeID]*layer
	group  map[string]string // value -> representative of the values that share a scale; absent: stays float
	found  []optimizer.Finding
	types  map[string]model.Type
	view   *optimizer.View
	within map[model.NodeID]bool // nodes of functions of one value: what is between them stays float
}

// layer is a node whose weight is stored in fewer bits.
type layer struct {
	node    *model.Node
	weight  string
	axis    int    // of the output channel
	reduced int    // axis that the sums run over
	bias    string // "" for none, or where it stays float
	as      string // the precision of its weights
}

// plan is what is decided for single layers: a precision that is not that of the options, or a reason to stay float.
type plan struct {
	as    map[model.NodeID]string
	float map[model.NodeID]string
}

func (p plan) precision(id model.NodeID, o Options) string {
	if as := p.as[id]; as != "" {
		return as
	}
	if o.Weights == "mixed" {
		return "int8"
	}
	return o.Weights
}

const fettle = "fettle"

func is(n *model.Node, names ...string) bool {
	if n.Domain != "" && n.Domain != "ai.onnx" && n.Domain != fettle {
		return false
	}
	for _, s := range names {
		if n.Op == s {
			return true
		}
	}
	return false
}

func input(n *model.Node, i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

// selectNodes walks the graph once in order. A value is marked when an integer layer reads or makes it; nodes
// that only move or compare elements pass the mark on and share the scale. plan says which layers differ from the options.
func selectNodes(env *optimizer.Env, m *model.Model, o Options, plan plan) (*selection, error) {
	inf, _, err := ops.Infer(m, nil)
	if err != nil {
		return nil, fail.In(err, "quantize", fail.Where{})
	}
	s := &selection{layers: map[model.NodeID]*layer{}, group: map[string]string{}, types: inf.Types, view: optimizer.NewView(m, "quantize"), within: map[model.NodeID]bool{}}
	values := o.static()
	for _, n := range m.Graph.Nodes {
		why, allowed := env.Scope.Allows(n)
		s.inside(n, allowed)
		switch {
		case is(n, "Conv", "ConvTranspose", "Gemm", "MatMul"):
			f := optimizer.Describe("quantize", n)
			as := plan.precision(n.ID, o)
			l, reason := s.layer(n, precisions[as])
			if !allowed {
				reason = why
			}
			if r := plan.float[n.ID]; r != "" {
				reason = r
			}
			if reason != "" {
				f.Outcome, f.Reason = optimizer.Refused, reason
				s.found = append(s.found, f)
				continue
			}
			f.Outcome = optimizer.Applied
			s.found = append(s.found, f)
			l.as = as
			s.layers[n.ID] = l
			if values {
				s.markLayer(m.Graph, n)
			}
		case !values || !allowed || s.within[n.ID]:
		case is(n, "Add", "Mul") && len(n.Inputs) == 2:
			s.sum(m.Graph, n)
		case is(n, "Relu", "Clip"):
			s.activation(m.Graph, n)
		case is(n, "GlobalAveragePool", "AveragePool", "LeakyRelu", "Sigmoid", "HardSwish", "Gelu"):
			if s.marked(n.Inputs[0]) && s.float(n.Outputs[0]) {
				s.mark(n.Outputs[0])
			}
		default:
			s.pass(n)
		}
	}
	for _, n := range m.Graph.Nodes {
		if s.layers[n.ID] != nil || !env.Scope.Named(n) || slices.ContainsFunc(s.found, func(f optimizer.Finding) bool { return slices.Contains(f.Nodes, n.ID) }) ||
			len(n.Outputs) > 0 && s.marked(n.Outputs[0]) {
			continue
		}
		f := optimizer.Describe("quantize", n)
		f.Outcome, f.Reason = optimizer.Refused, n.Op+" has no integer form here and stays float"
		s.found = append(s.found, f)
	}
	if err := s.strict(env, o, plan); err != nil {
		return nil, err
	}
	if len(s.found) == 0 {
		s.found = []optimizer.Finding{{Rule: "quantize", Outcome: optimizer.Nothing, Reason: "no convolution and no matrix product"}}
	}
	return s, nil
}

// inside names what multiplies weights in bodies of If, Loop and Scan, and recurrent layers: all of it stays float.
func (s *selection) inside(n *model.Node, allowed bool) {
	if !allowed {
		return
	}
	say := func(label, reason string) {
		f := optimizer.Describe("quantize", n)
		f.Label, f.Outcome, f.Reason = label, optimizer.Refused, reason
		s.found = append(s.found, f)
	}
	if is(n, "LSTM", "GRU", "RNN") {
		say(n.Label(), n.Op+" has no integer form here and stays float")
	}
	var walk func(g *model.Graph)
	walk = func(g *model.Graph) {
		for _, b := range g.Nodes {
			if is(b, "LSTM", "GRU", "RNN") || is(b, "Conv", "ConvTranspose", "Gemm", "MatMul") && (g.Init(input(b, 1)) != nil || s.view.Const(input(b, 1)) != nil) {
				say(b.Label(), fmt.Sprintf("%s lies in a body of %s %s and stays float", b.Op, n.Op, n.Label()))
			}
			each(b, walk)
		}
	}
	each(n, walk)
}

// each calls do for the bodies of a node.
func each(n *model.Node, do func(*model.Graph)) {
	for i := range n.Attrs {
		if n.Attrs[i].G != nil {
			do(n.Attrs[i].G)
		}
		for _, g := range n.Attrs[i].Graphs {
			do(g)
		}
	}
}

// strict refuses a model of which something in scope stays float for another reason than that somebody wished it.
func (s *selection) strict(env *optimizer.Env, o Options, p plan) error {
	if !o.Strict {
		return nil
	}
	var first *optimizer.Finding
	count := 0
	for i, f := range s.found {
		n := s.view.G.Node(f.Nodes[0])
		if _, allowed := env.Scope.Allows(n); f.Outcome == optimizer.Refused && allowed && p.float[n.ID] == "" {
			if count++; first == nil {
				first = &s.found[i]
			}
		}
	}
	if first == nil {
		return nil
	}
	return fail.New(fail.Unsupported, "%d nodes in scope stay float, the first because %s", count, first.Reason).At(fail.Where{Node: first.Label, Option: "strict"}).
		Try("exclude them by scope, or set strict = false")
}

// layer checks the weights of n.
func (s *selection) layer(n *model.Node, p precision) (*layer, string) {
	v := s.view
	l := &layer{node: n, weight: input(n, 1)}
	w := v.Const(l.weight)
	if d := v.G.Producer(l.weight); w == nil && d != nil && is(d, "DequantizeLinear") {
		return nil, "its weights are integers already"
	}
	if w == nil {
		return nil, v.NotConst("weight", l.weight)
	}
	if w.DType != model.Float32 {
		return nil, fmt.Sprintf("weight %q is %s, not float32", l.weight, w.DType)
	}
	if !s.float(n.Inputs[0]) || v.Const(n.Inputs[0]) != nil {
		return nil, "its input is no float32 value of the graph"
	}
	for i := range w.Len() {
		if x := w.Float64At(i); x-x != 0 {
			return nil, fmt.Sprintf("weight %q holds %v at element %d", l.weight, x, i)
		} else if !p.scaled && math.Abs(x) > p.most {
			return nil, fmt.Sprintf("weight %q holds %v at element %d, which is beyond %s", l.weight, x, i, p.dtype)
		}
	}
	switch {
	case is(n, "Conv") && w.Rank() >= 3:
	case is(n, "ConvTranspose") && w.Rank() >= 3 && n.Int("group", 1) == 1:
		l.axis = 1
	case is(n, "ConvTranspose"):
		return nil, "a grouped ConvTranspose has no axis of output channels"
	case is(n, "Gemm") && w.Rank() == 2:
		if n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1 || n.Int("transA", 0) != 0 {
			return nil, "a Gemm with alpha, beta or transA has no integer form"
		}
		if n.Int("transB", 0) == 0 {
			l.axis = 1
		}
	case is(n, "MatMul") && w.Rank() == 2:
		l.axis = 1
	default:
		return nil, fmt.Sprintf("the weight has shape %v", w.Shape)
	}
	l.reduced = 1 - l.axis
	if b := v.Const(input(n, 2)); b != nil && b.DType == model.Float32 && b.Rank() == 1 && b.Len() == w.Shape[l.axis] {
		l.bias = input(n, 2)
	}
	return l, ""
}

func (s *selection) float(value string) bool { return s.types[value].DType == model.Float32 }

func (s *selection) marked(value string) bool { _, ok := s.group[value]; return ok }

func (s *selection) mark(value string) {
	if !s.marked(value) {
		s.group[value] = value
	}
}

// markLayer marks input and output of a layer. A result that only a Relu or Clip reads stays in the
// accumulator: the range behind the function is the one that counts. The result of a matrix product that only
// float nodes read stays float: kernels give it out from the accumulator.
func (s *selection) markLayer(g *model.Graph, n *model.Node) {
	s.mark(n.Inputs[0])
	if is(n, "Conv") && n.Domain == fettle {
		if r := input(n, 3); r != "" && s.float(r) && s.view.Const(r) == nil {
			s.mark(r)
		}
	}
	s.markResult(g, n)
}

func (s *selection) markResult(g *model.Graph, n *model.Node) {
	y := n.Outputs[0]
	if !s.float(y) || s.deferred(g, y) {
		return
	}
	if len(g.Users(y)) > 0 && g.Output(y) == nil && g.Producer(y) != nil {
		if end, chain := s.function(g, y); end != "" && !gated(chain) && s.integerReader(g, end) {
			s.mark(y)
			s.mark(end)
			for _, c := range chain {
				s.within[c.ID] = true
			}
			return
		}
	}
	if is(n, "Gemm", "MatMul") && (g.Output(y) != nil || !s.integerReader(g, y)) {
		return
	}
	s.mark(y)
}

// deferred reports whether only a Relu or Clip reads y.
func (s *selection) deferred(g *model.Graph, y string) bool {
	u := g.Users(y)
	return len(u) == 1 && g.Output(y) == nil && is(u[0], "Relu", "Clip") && input(u[0], 0) == y && s.float(u[0].Outputs[0])
}

// integerReader reports whether a layer with constant weights reads y, perhaps behind a Relu or a reshape.
func (s *selection) integerReader(g *model.Graph, y string) bool {
	for _, u := range g.Users(y) {
		if is(u, "Conv", "ConvTranspose", "Gemm", "MatMul", "Add") {
			return true
		}
		if (is(u, "Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSwish", "Gelu") || s.moves(u)) && len(u.Outputs) > 0 && s.integerReader(g, u.Outputs[0]) {
			return true
		}
	}
	return false
}

// sum marks an Add or a Mul of two values where at least one comes from integer layers.
func (s *selection) sum(g *model.Graph, n *model.Node) {
	a, b := n.Inputs[0], n.Inputs[1]
	for _, x := range []string{a, b} {
		if x == "" || !s.float(x) || s.view.Const(x) != nil {
			return
		}
	}
	if !s.marked(a) && !s.marked(b) {
		return
	}
	s.mark(a)
	s.mark(b)
	s.markResult(g, n)
}

// activation marks the result of a function behind an integer layer.
func (s *selection) activation(g *model.Graph, n *model.Node) {
	x, y := n.Inputs[0], n.Outputs[0]
	p := g.Producer(x)
	behind := s.marked(x)
	if p != nil && s.deferred(g, x) {
		if s.layers[p.ID] != nil {
			behind = !is(p, "Gemm", "MatMul") || s.integerReader(g, y)
		} else if is(p, "Add") && len(p.Inputs) == 2 {
			behind = s.marked(p.Inputs[0]) && s.marked(p.Inputs[1])
		}
	}
	if behind && s.float(y) {
		s.mark(y)
	}
}

// moves reports whether n gives out elements of its first input unchanged, and perhaps zeros.
func (s *selection) moves(n *model.Node) bool {
	if n.Domain != "" && n.Domain != "ai.onnx" {
		return false
	}
	switch n.Op {
	case "MaxPool":
		return len(n.Outputs) == 1
	case "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Identity", "DepthToSpace", "SpaceToDepth":
		return true
	case "Pad":
		if n.Str("mode", "constant") != "constant" || input(n, 2) == "" {
			return true
		}
		v := s.view.Const(input(n, 2))
		return v != nil && v.Len() == 1 && v.Float64At(0) == 0
	case "Resize":
		return n.Str("mode", "nearest") == "nearest"
	}
	return false
}

// pass joins the values of nodes that move elements: they share one scale, so that integers pass unchanged.
func (s *selection) pass(n *model.Node) {
	var in []string
	switch {
	case s.moves(n) && len(n.Inputs) > 0:
		in = n.Inputs[:1]
	case is(n, "Concat") && n.Domain != fettle:
		in = n.Inputs
	default:
		return
	}
	any := false
	for _, x := range in {
		if !s.float(x) || s.view.Const(x) != nil {
			return
		}
		any = any || s.marked(x)
	}
	if !any || !s.float(n.Outputs[0]) {
		return
	}
	s.mark(n.Outputs[0])
	for _, x := range in {
		s.mark(x)
		s.join(x, n.Outputs[0])
	}
}

func (s *selection) find(v string) string {
	for s.group[v] != v {
		v = s.group[v]
	}
	return v
}

func (s *selection) join(a, b string) {
	if ra, rb := s.find(a), s.find(b); ra != rb {
		s.group[rb] = ra
	}
}

// unit lists the groups whose values all come from functions with results from 0 to 1.
func (s *selection) unit() map[string]bool {
	out := map[string]bool{}
	for v := range s.group {
		p := s.view.G.Producer(v)
		if p != nil && (s.moves(p) || is(p, "Concat")) {
			continue
		}
		g := s.find(v)
		one, seen := out[g]
		out[g] = (one || !seen) && p != nil && is(p, "Sigmoid", "HardSigmoid", "Softmax")
	}
	return out
}
