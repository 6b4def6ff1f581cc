package rewrite

import (
	"fmt"
	"math"

	"fettle/model"
	"fettle/optimizer"
)

// fuse-activation
//
//	Before:     z = Op(…); y = Act(z)                       Op: Conv Gemm MatMul Add, or one of them fused
//	After:      y = fettle.Op(…), activation = "act"        with Op's attributes
//	Conditions: z is read by nothing else and is no output; the limits of a Clip are constants; Op has no
//	            activation yet; float32.
//	Acts:       Relu; Clip; LeakyRelu; Sigmoid; HardSwish or z*HardSigmoid(z) with alpha 1/6 and beta 1/2;
//	            SiLU: z*Sigmoid(z); Gelu (exact) behind Gemm and MatMul.
//	Exactness:  rounding: the same formula, but a kernel need not round z in between.
//	Paper:      none; every inference engine does it.
//
// The fused node is saved with a function that is its expansion, so that any runtime can run the file; that
// needs opset 15 and IR version 10, to which older files are raised.

// FuseActivation are the options of fuse-activation.
type FuseActivation struct {
	Into []string `opt:"into" help:"operators that take an activation over: Conv, Gemm, MatMul, Add"`
}

// NewFuseActivation makes the pass with its defaults.
func NewFuseActivation() optimizer.Pass {
	o := &FuseActivation{Into: []string{"Conv", "Gemm", "MatMul", "Add"}}
	return &optimizer.RulePass{
		About: optimizer.Info{Name: "fuse-activation", Title: "Fuse activation functions", Exactness: optimizer.Rounding,
			Promise: "Applies the activation function while the layer's result is still in registers."},
		Opts:    o,
		Prepare: forFunctions,
		Rules: func() []optimizer.Rule {
			pattern := func(v *optimizer.View, n *model.Node) []*model.Node {
				a := matchActivation(v, n)
				if a == nil || !takes(a.into, o.Into) {
					return nil
				}
				return a.nodes
			}
			return []optimizer.Rule{{Name: "fuse-activation", Pattern: pattern, Check: checkActivation, Replace: fuseActivation}}
		},
	}
}

// activation is a matched activation function with the node before it.
type activation struct {
	kind            string
	alpha, min, max float32
	why             string // why its numbers cannot be used
	into            *model.Node
	value           string        // between into and the function
	nodes           []*model.Node // into first, the node that makes the result last
}

func takes(n *model.Node, into []string) bool {
	if n == nil || n.Domain != "" && n.Domain != "ai.onnx" && n.Domain != fettle {
		return false
	}
	for _, op := range into {
		if n.Op == op {
			return true
		}
	}
	return false
}

func matchActivation(v *optimizer.View, n *model.Node) *activation {
	if n.Domain != "" && n.Domain != "ai.onnx" && !isGelu(n) || len(n.Inputs) == 0 || len(n.Outputs) == 0 {
		return nil
	}
	a := &activation{value: n.Inputs[0], nodes: []*model.Node{n}, min: float32(math.Inf(-1)), max: float32(math.Inf(1))}
	switch n.Op {
	case "Relu":
		a.kind = "relu"
	case "LeakyRelu":
		a.kind, a.alpha = "leakyrelu", n.Float("alpha", 0.01)
	case "HardSwish":
		a.kind = "hardswish"
	case "Gelu":
		if !isGelu(n) {
			return nil
		}
		a.kind = "gelu"
	case "Sigmoid":
		if v.G.Output(n.Outputs[0]) == nil && len(gated(v, n)) > 0 {
			return nil // part of a SiLU, which is matched at the product
		}
		a.kind = "sigmoid"
	case "Clip":
		a.kind = "clip"
		a.limits(v, n)
	case "Mul":
		if !a.gate(v, n) {
			return nil
		}
	default:
		return nil
	}
	a.into = v.G.Producer(a.value)
	if a.into == nil {
		return nil
	}
	a.nodes = append([]*model.Node{a.into}, a.nodes...)
	return a
}

// isGelu reports whether n is the exact GELU, of ONNX or of ONNX Runtime.
func isGelu(n *model.Node) bool {
	return standard(n, "Gelu") && n.Str("approximate", "none") == "none" || n.Op == "Gelu" && n.Domain == microsoft
}

// limits reads the bounds of a Clip, attributes before opset 11 and inputs since.
func (a *activation) limits(v *optimizer.View, n *model.Node) {
	a.min, a.max = n.Float("min", a.min), n.Float("max", a.max)
	for i, to := range []*float32{&a.min, &a.max} {
		name := input(n, 1+i)
		if name == "" {
			continue
		}
		t := v.Const(name)
		if t == nil {
			a.why = v.NotConst("a limit of the Clip", name)
			return
		}
		if t.Len() != 1 || t.DType != model.Float32 {
			a.why = fmt.Sprintf("a limit of the Clip is %s%v", t.DType, t.Shape)
			return
		}
		*to = model.Data[float32](t)[0]
	}
}

// gate matches z*Sigmoid(z) and z*HardSigmoid(z), either way round.
func (a *activation) gate(v *optimizer.View, mul *model.Node) bool {
	if len(mul.Inputs) != 2 {
		return false
	}
	for side := range 2 {
		s, z := v.G.Producer(mul.Inputs[side]), mul.Inputs[1-side]
		if s == nil || len(s.Inputs) == 0 || s.Inputs[0] != z {
			continue
		}
		switch {
		case standard(s, "Sigmoid"):
			a.kind = "silu"
		case standard(s, "HardSigmoid"):
			a.kind = "hardswish"
			if al, be := s.Float("alpha", 0.2), s.Float("beta", 0.5); math.Abs(float64(al)-1.0/6) > 1e-6 || be != 0.5 {
				a.why = fmt.Sprintf("a HardSigmoid with alpha %g and beta %g is no HardSwish (1/6 and 0.5)", al, be)
			}
		default:
			continue
		}
		if why := v.OtherReader(s.Outputs[0], mul); why != "" && a.why == "" {
			a.why = why
		}
		a.value, a.nodes = z, []*model.Node{s, mul}
		return true
	}
	return false
}

// gated lists the products z*n(z).
func gated(v *optimizer.View, n *model.Node) []*model.Node {
	var out []*model.Node
	for _, u := range v.G.Users(n.Outputs[0]) {
		if standard(u, "Mul") && len(u.Inputs) == 2 && (u.Inputs[0] == n.Inputs[0] || u.Inputs[1] == n.Inputs[0]) {
			out = append(out, u)
		}
	}
	return out
}

func checkActivation(v *optimizer.View, nodes []*model.Node) string {
	a := matchActivation(v, nodes[len(nodes)-1])
	if a.why != "" {
		return a.why
	}
	if k := a.into.Str("activation", "none"); a.into.Domain == fettle && k != "none" {
		return "the layer has the activation function " + k + " already"
	}
	if a.into.Op == "Gemm" && a.kind == "leakyrelu" {
		return "alpha of a Gemm scales its product, so the slope of a LeakyRelu has no attribute"
	}
	if a.kind == "gelu" && a.into.Op != "Gemm" && a.into.Op != "MatMul" {
		return "GELU is part of linear layers alone"
	}
	if why := v.OtherReader(a.value, a.nodes[1:]...); why != "" {
		return why
	}
	if t := v.Type(a.value); t.DType != model.Float32 {
		return "the result is " + t.DType.String() + ", fused operators are float32"
	}
	return ""
}

func fuseActivation(v *optimizer.View, nodes []*model.Node) (*optimizer.Rewrite, string) {
	last := nodes[len(nodes)-1]
	a := matchActivation(v, last)
	n := rebuilt(v, a.into, nodes, last.Outputs[0])
	n.Domain = fettle
	n.Attrs = withAttr(n.Attrs, model.StrAttr("activation", a.kind))
	switch a.kind {
	case "leakyrelu":
		n.Attrs = withAttr(n.Attrs, model.FloatAttr("alpha", a.alpha))
	case "clip":
		// A file holds no infinities that every reader takes; the largest float bounds as well.
		n.Attrs = withAttr(n.Attrs, model.FloatAttr("min", max(a.min, -math.MaxFloat32)))
		n.Attrs = withAttr(n.Attrs, model.FloatAttr("max", min(a.max, math.MaxFloat32)))
	}
	rw := &optimizer.Rewrite{Patch: model.Patch{DropInits: v.Unread(nodes[1:]...)}}
	for _, d := range nodes {
		rw.Patch.Drop = append(rw.Patch.Drop, d.ID)
	}
	if why := fuse(n, &rw.Patch); why != "" {
		return nil, why
	}
	return rw, ""
}
