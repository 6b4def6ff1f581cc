// Package rewrite owns the graph rules: each file is one pass, opens with what it does, under which conditions
// and how exact it is, and says for every place where it does not fire why.
//
// It knows graphs and constants; it needs no data, runs no model and owns no order: the order of passes and its
// reasons are in optimizer/catalog. Start reading at any file; they do not depend on each other.
package rewrite

import (
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

// fettle is the domain of fused operators.
const fettle = "fettle"

// standard reports whether n is operator op of ONNX itself.
func standard(n *model.Node, op string) bool {
	return n != nil && n.Op == op && (n.Domain == "" || n.Domain == "ai.onnx")
}

func fused(n *model.Node, op string) bool { return n != nil && n.Op == op && n.Domain == fettle }

// input is the name of input i, "" where it is absent.
func input(n *model.Node, i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

// withAttr is attrs with a set.
func withAttr(attrs []model.Attr, a model.Attr) []model.Attr {
	out := make([]model.Attr, 0, len(attrs)+1)
	for _, b := range attrs {
		if b.Name != a.Name {
			out = append(out, b)
		}
	}
	return append(out, a)
}

// sameDims reports whether two types surely have the same shape: equal numbers, or the same symbol.
func sameDims(a, b model.Type) bool {
	if !a.Ranked || !b.Ranked || len(a.Shape) != len(b.Shape) {
		return false
	}
	for i := range a.Shape {
		if a.Shape[i] != b.Shape[i] || !a.Shape[i].Known() && a.Shape[i].Sym == "" {
			return false
		}
	}
	return true
}

// fuse finishes a fused node: its function, the domain and the versions that the file needs.
func fuse(n *model.Node, p *model.Patch) string {
	d, err := ops.Lookup(fettle, n.Op, 0)
	if err != nil {
		return err.Error()
	}
	if d.Expand == nil {
		return "operator fettle:" + n.Op + " has no expansion"
	}
	f, err := d.Expand(n)
	if err != nil {
		return err.Error()
	}
	// One operator has several expansions, one for each activation function and with or without residual or bias of a
	// product; the overload tells them apart (IR version 10).
	if f.Overload == "" {
		o := n.Str("activation", "none")
		switch {
		case n.Op == "Conv" && input(n, 3) != "":
			o += "_residual"
		case n.Op == "MatMul" && input(n, 2) != "":
			o += "_bias"
		}
		c := *f
		c.Overload, f = o, &c
	}
	n.Overload = f.Overload
	p.Add = append(p.Add, n)
	p.Functions = append(p.Functions, f)
	p.Opsets = append(p.Opsets, model.Opset{Domain: fettle, Version: 1})
	p.MinIR = optimizer.OverloadIR
	return ""
}

// forFunctions raises the versions of a file so that it may hold functions.
func forFunctions(m *model.Model) (*model.Model, error) {
	return optimizer.Upgrade(m, optimizer.FunctionOpset, optimizer.OverloadIR)
}
