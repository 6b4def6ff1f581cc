package rewrite

import (
	"fmt"

	"fettle/model"
	"fettle/optimizer"
)

// fuse-bias
//
//	Before:     z = MatMul(x, W); y = Add(z, b), or Add(b, z)
//	After:      y = fettle.MatMul(x, W, b)
//	Conditions: b is a constant vector with a value for each column of W; z is read by nothing else and is no output;
//	            no activation function and no bias in MatMul yet; float32.
//	Exactness:  rounding: the sum is the same, but a kernel may begin with the bias.
//	Paper:      none; every inference engine does it.
//
// An activation function behind the sum, which fuse-activation may have taken into the Add, goes along.

// NewFuseBias makes the pass; it has no options.
func NewFuseBias() optimizer.Pass {
	return &optimizer.RulePass{
		About: optimizer.Info{Name: "fuse-bias", Title: "Fuse biases of products", Exactness: optimizer.Rounding,
			Promise: "Adds the bias of a matrix product while the result is still in registers."},
		Prepare: forFunctions,
		Rules: func() []optimizer.Rule {
			return []optimizer.Rule{{Name: "fuse-bias", Pattern: biased, Check: checkBias, Replace: fuseBias}}
		},
	}
}

func isMatMul(n *model.Node) bool { return standard(n, "MatMul") || fused(n, "MatMul") }

// biased matches a product and the sum with something that no node makes.
func biased(v *optimizer.View, n *model.Node) []*model.Node {
	if !standard(n, "Add") && !fused(n, "Add") || len(n.Inputs) != 2 || n.Inputs[0] == n.Inputs[1] {
		return nil
	}
	for side := range 2 {
		p := v.G.Producer(n.Inputs[side])
		if isMatMul(p) && v.G.Producer(n.Inputs[1-side]) == nil {
			return []*model.Node{p, n}
		}
	}
	return nil
}

func checkBias(v *optimizer.View, nodes []*model.Node) string {
	mul, add := nodes[0], nodes[1]
	if k := mul.Str("activation", "none"); mul.Domain == fettle && k != "none" {
		return "the product applies " + k + " before the sum"
	}
	if input(mul, 2) != "" {
		return "the product has a bias already"
	}
	name := otherInput(add, mul)
	b := v.Const(name)
	if b == nil {
		return v.NotConst("the bias", name)
	}
	z, w := v.Type(mul.Outputs[0]), v.Type(mul.Inputs[1])
	if z.DType != model.Float32 || b.DType != model.Float32 {
		return "the values are not float32"
	}
	if b.Rank() != 1 {
		return fmt.Sprintf("the summand has shape %v, a bias is a vector", b.Shape)
	}
	if !w.Ranked || len(w.Shape) < 2 {
		return "the shape of the second factor is not known to be a matrix"
	}
	if n := w.Shape[len(w.Shape)-1]; !n.Known() || n.N != b.Len() {
		return fmt.Sprintf("the summand has %d values for %s columns", b.Len(), n)
	}
	return v.OtherReader(mul.Outputs[0], add)
}

func fuseBias(v *optimizer.View, nodes []*model.Node) (*optimizer.Rewrite, string) {
	mul, add := nodes[0], nodes[1]
	n := rebuilt(v, mul, nodes, add.Outputs[0])
	n.Domain = fettle
	n.Inputs = []string{mul.Inputs[0], mul.Inputs[1], otherInput(add, mul)}
	if add.Domain == fettle {
		for _, a := range add.Attrs {
			n.Attrs = withAttr(n.Attrs, a)
		}
	}
	rw := &optimizer.Rewrite{}
	for _, d := range nodes {
		rw.Patch.Drop = append(rw.Patch.Drop, d.ID)
	}
	if why := fuse(n, &rw.Patch); why != "" {
		return nil, why
	}
	return rw, ""
}
