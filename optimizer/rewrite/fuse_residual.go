package rewrite

import (
	"fettle/model"
	"fettle/optimizer"
)

// fuse-residual
//
//	Before:     z = Conv(x, W, b); y = Add(z, r)      Conv plain or fused without activation; Add plain or fused
//	After:      y = fettle.Conv(x, W, b, r)           with the activation of the Add
//	Conditions: z is read by nothing else and is no output; z and r have the same shape (no broadcast); float32;
//	            the Conv has no residual yet.
//	Exactness:  rounding: the sum is the same, but a kernel need not round z in between.
//	Paper:      none; oneDNN calls it the sum post-op.
//
// Where both sides are convolutions, the later one takes the sum over: the other is computed by then.

// NewFuseResidual makes the pass; it has no options.
func NewFuseResidual() optimizer.Pass {
	return &optimizer.RulePass{
		About: optimizer.Info{Name: "fuse-residual", Title: "Fuse residual additions", Exactness: optimizer.Rounding,
			Promise: "Adds the shortcut while the convolution's result is still in registers."},
		Prepare: forFunctions,
		Rules: func() []optimizer.Rule {
			return []optimizer.Rule{{Name: "fuse-residual", Pattern: residual, Check: checkResidual, Replace: fuseResidual}}
		},
	}
}

func isConv(n *model.Node) bool { return standard(n, "Conv") || fused(n, "Conv") }

func residual(v *optimizer.View, n *model.Node) []*model.Node {
	if !standard(n, "Add") && !fused(n, "Add") || len(n.Inputs) != 2 || n.Inputs[0] == n.Inputs[1] {
		return nil
	}
	a, b := v.G.Producer(n.Inputs[0]), v.G.Producer(n.Inputs[1])
	if !isConv(a) && !isConv(b) {
		return nil
	}
	conv := a
	switch {
	case !isConv(a):
		conv = b
	case isConv(b) && better(v, n, b, a):
		conv = b
	}
	return []*model.Node{conv, n}
}

// better reports whether b rather than a should take the sum: one that may, and of two the later one.
func better(v *optimizer.View, add, b, a *model.Node) bool {
	okA, okB := refuseConv(v, add, a) == "", refuseConv(v, add, b) == ""
	if okA != okB {
		return okB
	}
	return v.G.Position(b.ID) > v.G.Position(a.ID)
}

func refuseConv(v *optimizer.View, add, conv *model.Node) string {
	if k := conv.Str("activation", "none"); conv.Domain == fettle && k != "none" {
		return "the convolution applies " + k + " before the sum"
	}
	if input(conv, 3) != "" {
		return "the convolution has a residual input already"
	}
	return v.OtherReader(conv.Outputs[0], add)
}

func checkResidual(v *optimizer.View, nodes []*model.Node) string {
	conv, add := nodes[0], nodes[1]
	if why := refuseConv(v, add, conv); why != "" {
		return why
	}
	z, r := v.Type(conv.Outputs[0]), v.Type(otherInput(add, conv))
	if z.DType != model.Float32 || r.DType != model.Float32 {
		return "the values are not float32"
	}
	if !sameDims(z, r) {
		return "the shapes " + z.String() + " and " + r.String() + " are not surely the same: the sum may broadcast"
	}
	return ""
}

func otherInput(add, conv *model.Node) string {
	if add.Inputs[0] == conv.Outputs[0] {
		return add.Inputs[1]
	}
	return add.Inputs[0]
}

func fuseResidual(v *optimizer.View, nodes []*model.Node) (*optimizer.Rewrite, string) {
	conv, add := nodes[0], nodes[1]
	n := rebuilt(v, conv, nodes, add.Outputs[0])
	n.Domain = fettle
	n.Inputs = []string{conv.Inputs[0], conv.Inputs[1], input(conv, 2), otherInput(add, conv)}
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
