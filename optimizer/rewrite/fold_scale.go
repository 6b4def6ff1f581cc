package rewrite

import (
	"fmt"
	"math"

	"fettle/model"
	"fettle/optimizer"
)

// fold-scale
//
//	Before:     q = Linear(x, W, b); …; y = Mul(s, c) or Div(s, c)      s = q, or q moved, or a product with q
//	After:      q = Linear(x, c W, c b); …; y = s                       1/c where it was a division
//	            Linear: Gemm, MatMul or fettle.MatMul; moved: Reshape, Transpose, Squeeze, Unsqueeze, Flatten, Identity;
//	            a product: MatMul of two computed factors.
//	Conditions: c is one finite number, not 0; W and b are constants that nothing else reads; nothing else reads a value in between
//	            and none is an output; no activation function in between; a Gemm has alpha 1 and beta 1; float32.
//	Exactness:  rounding; none where c is a power of two, as with heads of 64.
//	Paper:      none; the scale is that of Vaswani et al. 2017, arXiv:1706.03762.
//
// It takes the scale of attention scores into the weights of the queries.

// NewFoldScale makes the pass; it has no options.
func NewFoldScale() optimizer.Pass {
	return &optimizer.RulePass{
		About: optimizer.Info{Name: "fold-scale", Title: "Fold scales into weights", Exactness: optimizer.Rounding,
			Promise: "Takes the constant scale behind a linear layer or behind attention scores into the weights."},
		Rules: func() []optimizer.Rule {
			return []optimizer.Rule{{Name: "fold-scale", Pattern: scaling, Check: checkScale, Replace: foldScale}}
		},
	}
}

func isLinear(n *model.Node) bool {
	return standard(n, "Gemm") || fused(n, "Gemm") || isMatMul(n)
}

// scaling matches a scale behind a linear layer, with the layer first.
func scaling(v *optimizer.View, n *model.Node) []*model.Node {
	if !standard(n, "Mul") && !standard(n, "Div") || len(n.Inputs) != 2 {
		return nil
	}
	_, at := factor(v, n)
	if at == "" {
		return nil
	}
	if chain := linearBefore(v, at, true); chain != nil {
		return append(chain, n)
	}
	return nil
}

// linearBefore is the chain from a linear layer with constant weights to the value, nil where there is none. A chain goes through one product
// of computed factors at most.
func linearBefore(v *optimizer.View, value string, product bool) []*model.Node {
	p := v.G.Producer(value)
	if p == nil || len(p.Inputs) == 0 {
		return nil
	}
	if isLinear(p) && len(p.Inputs) > 1 && v.Const(p.Inputs[1]) != nil {
		return []*model.Node{p}
	}
	if standard(p, "MatMul") && product {
		for _, in := range p.Inputs {
			if c := linearBefore(v, in, false); c != nil && chainFree(v, append(c, p)) == "" {
				return append(c, p)
			}
		}
		return nil
	}
	for _, op := range []string{"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity"} {
		if standard(p, op) {
			if c := linearBefore(v, p.Inputs[0], product); c != nil {
				return append(c, p)
			}
		}
	}
	return nil
}

// factor is what a Mul or Div by one number multiplies with, and the other operand; "" where it is something else.
func factor(v *optimizer.View, n *model.Node) (c float64, value string) {
	for side := range 2 {
		t := v.Const(n.Inputs[1-side])
		if t == nil || t.Len() != 1 || t.DType != model.Float32 || n.Op == "Div" && side == 1 {
			continue
		}
		if x := v.Type(n.Inputs[side]); !x.Ranked || t.Rank() > len(x.Shape) {
			continue
		}
		c = t.Float64At(0)
		if n.Op == "Div" {
			c = 1 / c
		}
		return c, n.Inputs[side]
	}
	return 0, ""
}

// chainFree says who else reads a value between the nodes of a chain, "" for nobody.
func chainFree(v *optimizer.View, chain []*model.Node) string {
	for i, n := range chain[:len(chain)-1] {
		if why := v.OtherReader(n.Outputs[0], chain[i+1]); why != "" {
			return why
		}
	}
	return ""
}

func checkScale(v *optimizer.View, nodes []*model.Node) string {
	lin, last := nodes[0], nodes[len(nodes)-1]
	c, _ := factor(v, last)
	if c == 0 || math.IsInf(c, 0) || math.IsNaN(c) {
		return fmt.Sprintf("the scale is %g", c)
	}
	if k := lin.Str("activation", "none"); lin.Domain == fettle && k != "none" {
		return "the layer applies " + k + " before the scale"
	}
	if lin.Op == "Gemm" && (lin.Float("alpha", 1) != 1 || lin.Float("beta", 1) != 1) {
		return "the Gemm has scales of its own"
	}
	for i, what := range []string{"", "weight", "bias"} {
		name := input(lin, i)
		if what == "" || name == "" {
			continue
		}
		t := v.Const(name)
		if t == nil {
			return v.NotConst(what, name)
		}
		if t.DType != model.Float32 {
			return fmt.Sprintf("%s %q is %s, not float32", what, name, t.DType)
		}
		if why := v.Shared(what, name, lin); why != "" {
			return why
		}
		for k := range t.Len() {
			if s := float32(t.Float64At(k) * c); math.IsInf(float64(s), 0) {
				return fmt.Sprintf("%s %q overflows with the scale %g", what, name, c)
			}
		}
	}
	return chainFree(v, nodes)
}

func foldScale(v *optimizer.View, nodes []*model.Node) (*optimizer.Rewrite, string) {
	lin, last := nodes[0], nodes[len(nodes)-1]
	c, _ := factor(v, last)
	rw := &optimizer.Rewrite{}
	// The layer takes the scale over, and the node before it the scale's result.
	before := nodes[len(nodes)-2]
	n := rebuilt(v, lin, []*model.Node{lin, last}, lin.Outputs[0])
	if before.ID == lin.ID {
		n.Outputs = []string{last.Outputs[0]}
	} else {
		b := rebuilt(v, before, []*model.Node{before, last}, last.Outputs[0])
		b.Origin = before.Origin
		if len(b.Origin) == 0 {
			b.Origin = model.MergeOrigins(before)
		}
		rw.Patch.Add = append(rw.Patch.Add, b)
		rw.Patch.Drop = append(rw.Patch.Drop, before.ID)
	}
	n.Overload = lin.Overload
	for i, what := range []string{"", ".weight", ".bias"} {
		if what == "" || input(lin, i) == "" {
			continue
		}
		old := v.Const(lin.Inputs[i])
		t := model.NewTensor(model.Float32, old.Shape...)
		for k, x := range model.Data[float32](old) {
			model.Data[float32](t)[k] = float32(float64(x) * c)
		}
		n.Inputs[i] = string(n.ID) + what
		rw.Patch.Inits = append(rw.Patch.Inits, &model.Init{Name: n.Inputs[i], Tensor: t})
	}
	rw.Patch.Add = append(rw.Patch.Add, n)
	rw.Patch.Drop = append(rw.Patch.Drop, lin.ID, last.ID)
	rw.Patch.DropInits = v.Unread(lin, last)
	return rw, ""
}
