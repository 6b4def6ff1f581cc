package rewrite

import (
	"fmt"
	"slices"
	"sort"

	"fettle/model"
	"fettle/optimizer"
)

// fuse-layernorm
//
//	Before:     d = Sub(x, ReduceMean(x)); s = Sqrt(Add(ReduceMean(d*d), eps)); y = Add(Mul(Div(d, s), g), b)
//	            d*d as Pow or Mul; the factors and summands either way round; b may be absent
//	After:      y = LayerNormalization(x, g, b), with epsilon
//	Conditions: both means are over the same last dimensions and keep them; g and b are constants of the shape of these dimensions;
//	            eps is one number; nothing else reads the values in between and none is an output; float32.
//	Exactness:  rounding.
//	Paper:      Ba et al. 2016, arXiv:1607.06450.
//
// The operator came with opset 17, to which older files are raised.

const layerNormOpset, layerNormIR = 17, 8

// NewFuseLayerNorm makes the pass; it has no options.
func NewFuseLayerNorm() optimizer.Pass {
	return &optimizer.RulePass{
		About: optimizer.Info{Name: "fuse-layernorm", Title: "Fuse layer normalisations", Exactness: optimizer.Rounding,
			Promise: "Makes one node of a layer normalisation that is spelled out as seven to nine."},
		Prepare: func(m *model.Model) (*model.Model, error) {
			return optimizer.Upgrade(m, layerNormOpset, layerNormIR)
		},
		Rules: func() []optimizer.Rule {
			return []optimizer.Rule{{Name: "fuse-layernorm", Check: checkLayerNorm, Replace: fuseLayerNorm,
				Pattern: func(v *optimizer.View, n *model.Node) []*model.Node {
					if l := matchLayerNorm(v, n); l != nil {
						return l.nodes
					}
					return nil
				}}}
		},
	}
}

// layerNorm is a layer normalisation that is spelled out.
type layerNorm struct {
	x, scale, shift string
	eps             *model.Tensor
	means           []*model.Node
	nodes           []*model.Node
}

// operands gives the input of n that a node of operator op makes, and the other one.
func operands(v *optimizer.View, n *model.Node, op string) (*model.Node, string) {
	if len(n.Inputs) == 2 {
		for side := range 2 {
			if p := v.G.Producer(n.Inputs[side]); standard(p, op) {
				return p, n.Inputs[1-side]
			}
		}
	}
	return nil, ""
}

func matchLayerNorm(v *optimizer.View, n *model.Node) *layerNorm {
	l := &layerNorm{}
	take := func(n *model.Node) *model.Node {
		if !slices.ContainsFunc(l.nodes, func(o *model.Node) bool { return o.ID == n.ID }) {
			l.nodes = append(l.nodes, n)
		}
		return n
	}
	mul := n
	switch {
	case standard(n, "Add"):
		if mul, l.shift = operands(v, n, "Mul"); mul == nil {
			return nil
		}
		take(n)
	case standard(n, "Mul"):
		for _, u := range v.G.Users(n.Outputs[0]) {
			if standard(u, "Add") && matchLayerNorm(v, u) != nil {
				return nil // matched at the sum
			}
		}
	default:
		return nil
	}
	var div *model.Node
	if div, l.scale = operands(v, mul, "Div"); div == nil || len(div.Inputs) != 2 {
		return nil
	}
	sub, root := v.G.Producer(div.Inputs[0]), v.G.Producer(div.Inputs[1])
	if !standard(sub, "Sub") || !standard(root, "Sqrt") || len(sub.Inputs) != 2 {
		return nil
	}
	sum := v.G.Producer(root.Inputs[0])
	if !standard(sum, "Add") {
		return nil
	}
	variance, eps := operands(v, sum, "ReduceMean")
	if variance == nil {
		return nil
	}
	square := v.G.Producer(variance.Inputs[0])
	if square == nil || len(square.Inputs) != 2 {
		return nil
	}
	d := square.Inputs[0]
	switch {
	case standard(square, "Mul") && square.Inputs[1] == d:
	case standard(square, "Pow"):
		if two := v.Const(square.Inputs[1]); two == nil || two.Len() != 1 || two.Float64At(0) != 2 {
			return nil
		}
	default:
		return nil
	}
	l.x = sub.Inputs[0]
	// Some exporters subtract the mean twice.
	other := v.G.Producer(d)
	if !standard(other, "Sub") || other.ID != sub.ID && !slices.Equal(other.Inputs, sub.Inputs) {
		return nil
	}
	mean := v.G.Producer(sub.Inputs[1])
	if !standard(mean, "ReduceMean") || mean.Inputs[0] != l.x {
		return nil
	}
	l.eps, l.means = v.Const(eps), []*model.Node{mean, variance}
	for _, n := range []*model.Node{mul, div, sub, other, root, sum, variance, square, mean} {
		take(n)
	}
	sort.Slice(l.nodes, func(i, j int) bool { return v.G.Position(l.nodes[i].ID) < v.G.Position(l.nodes[j].ID) })
	return l
}

// axesOf are the dimensions of a ReduceMean over a value of rank r, ascending; false where they are not known.
func axesOf(v *optimizer.View, n *model.Node, r int) ([]int, bool) {
	axes := n.Ints("axes")
	if name := input(n, 1); name != "" {
		t := v.Const(name)
		if t == nil || t.DType != model.Int64 {
			return nil, false
		}
		axes = model.Data[int64](t)
	}
	if len(axes) == 0 {
		return nil, false
	}
	out := make([]int, len(axes))
	for i, a := range axes {
		if out[i] = int(a); out[i] < 0 {
			out[i] += r
		}
	}
	sort.Ints(out)
	return out, true
}

func checkLayerNorm(v *optimizer.View, nodes []*model.Node) string {
	last := nodes[len(nodes)-1]
	l := matchLayerNorm(v, last)
	x := v.Type(l.x)
	if x.DType != model.Float32 || !x.Ranked {
		return "the value " + l.x + " is " + x.String() + ", a float32 tensor of known rank is needed"
	}
	first := len(x.Shape)
	for i, m := range l.means {
		axes, ok := axesOf(v, m, len(x.Shape))
		if !ok || m.Int("keepdims", 1) != 1 {
			return "the mean " + m.Label() + " is not over constant dimensions that it keeps"
		}
		for k, a := range axes {
			if a != len(x.Shape)-len(axes)+k {
				return fmt.Sprintf("the mean %s is over dimensions %v, not over the last ones", m.Label(), axes)
			}
		}
		if i > 0 && axes[0] != first {
			return "the mean and the variance are over different dimensions"
		}
		first = axes[0]
	}
	if l.eps == nil || l.eps.Len() != 1 || l.eps.DType != model.Float32 {
		return "epsilon is not a constant number"
	}
	for _, p := range []struct{ what, name string }{{"the scale", l.scale}, {"the shift", l.shift}} {
		if p.name == "" {
			continue
		}
		t := v.Const(p.name)
		if t == nil {
			return v.NotConst(p.what, p.name)
		}
		if want, ok := x.Shape[first:].Ints(); !ok || !slices.Equal(t.Shape, want) || t.DType != model.Float32 {
			return fmt.Sprintf("%s is %s%v, not float32%s", p.what, t.DType, t.Shape, x.Shape[first:])
		}
	}
	for _, n := range nodes[:len(nodes)-1] {
		if why := v.OtherReader(n.Outputs[0], nodes...); why != "" {
			return why
		}
	}
	return ""
}

func fuseLayerNorm(v *optimizer.View, nodes []*model.Node) (*optimizer.Rewrite, string) {
	last := nodes[len(nodes)-1]
	l := matchLayerNorm(v, last)
	axes, _ := axesOf(v, l.means[0], len(v.Type(l.x).Shape))
	n := &model.Node{ID: v.Fresh(nodes...), Name: last.Name, Op: "LayerNormalization", Inputs: []string{l.x, l.scale}, Outputs: []string{last.Outputs[0]},
		Attrs:  []model.Attr{model.IntAttr("axis", int64(-len(axes))), model.FloatAttr("epsilon", float32(l.eps.Float64At(0)))},
		Origin: model.MergeOrigins(nodes...)}
	if l.shift != "" {
		n.Inputs = append(n.Inputs, l.shift)
	}
	rw := &optimizer.Rewrite{Patch: model.Patch{Add: []*model.Node{n}}}
	for _, name := range v.Unread(nodes...) {
		if name != l.scale && name != l.shift {
			rw.Patch.DropInits = append(rw.Patch.DropInits, name)
		}
	}
	for _, d := range nodes {
		rw.Patch.Drop = append(rw.Patch.Drop, d.ID)
	}
	return rw, ""
}
