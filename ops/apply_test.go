package ops

import (
	"context"
	"fmt"
	"math"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

// applied describes one node for a test: name or domain:name, opset, attributes by name, number of outputs.
type applied struct {
	op     string
	domain string
	opset  int
	attrs  map[string]any
	outs   int

	version int // of the domain where it has one; 0: 1
}

// apply runs one node. A nil tensor is an absent input.
func apply(a applied, in ...*model.Tensor) ([]*model.Tensor, error) {
	n := &model.Node{ID: "n", Op: a.op, Domain: a.domain}
	for i, t := range in {
		if t == nil {
			n.Inputs = append(n.Inputs, "")
		} else {
			n.Inputs = append(n.Inputs, fmt.Sprint("x", i))
		}
	}
	for i := range max(1, a.outs) {
		n.Outputs = append(n.Outputs, fmt.Sprint("y", i))
	}
	for name, v := range a.attrs {
		n.Attrs = append(n.Attrs, attrOf(name, v))
	}
	opset := a.opset
	if opset == 0 {
		opset = 21
	}
	m := &model.Model{IRVersion: 10, Opsets: []model.Opset{{Version: int64(opset)}}, Graph: &model.Graph{}}
	if a.domain != "" {
		m.Opsets = append(m.Opsets, model.Opset{Domain: a.domain, Version: int64(max(1, a.version))})
	}
	return (&Evaluator{Model: m}).Node(context.Background(), m, n, in, nil)
}

func attrOf(name string, v any) model.Attr {
	switch v := v.(type) {
	case int:
		return model.Attr{Name: name, Type: model.AttrInt, I: int64(v)}
	case model.DType:
		return model.Attr{Name: name, Type: model.AttrInt, I: int64(v)}
	case float64:
		return model.Attr{Name: name, Type: model.AttrFloat, F: float32(v)}
	case string:
		return model.Attr{Name: name, Type: model.AttrString, S: []byte(v)}
	case []int64:
		return model.Attr{Name: name, Type: model.AttrInts, Ints: v}
	case []float32:
		return model.Attr{Name: name, Type: model.AttrFloats, Floats: v}
	case []string:
		a := model.Attr{Name: name, Type: model.AttrStrings}
		for _, s := range v {
			a.Strings = append(a.Strings, []byte(s))
		}
		return a
	case *model.Tensor:
		return model.Attr{Name: name, Type: model.AttrTensor, T: v}
	case *model.Graph:
		return model.Attr{Name: name, Type: model.AttrGraph, G: v}
	}
	panic(fmt.Sprintf("no attribute of %T", v))
}

// tensor makes a tensor of any numeric dtype.
func tensor(d model.DType, dims []int, v ...float64) *model.Tensor {
	t := model.NewTensor(d, dims...)
	if len(v) != t.Len() {
		panic(fmt.Sprintf("%d values for %v", len(v), dims))
	}
	for i, x := range v {
		t.SetFloat64(i, x)
	}
	return t
}

func vec(v ...float64) *model.Tensor { return tensor(model.Float32, []int{len(v)}, v...) }

func values(t *model.Tensor) []float64 {
	out := make([]float64, t.Len())
	for i := range out {
		out[i] = t.Float64At(i)
	}
	return out
}

// near fails where got is not want: dtype, shape, and values within tol of the larger of 1 and the wanted magnitude.
func near(t *testing.T, got, want *model.Tensor, tol float64) {
	t.Helper()
	if got.DType != want.DType || fmt.Sprint(got.Shape) != fmt.Sprint(want.Shape) {
		t.Fatalf("got %s%v, want %s%v", got.DType, got.Shape, want.DType, want.Shape)
	}
	if got.DType == model.String {
		if fmt.Sprintf("%q", got.Strs) != fmt.Sprintf("%q", want.Strs) {
			t.Fatalf("got %q, want %q", got.Strs, want.Strs)
		}
		return
	}
	g, w := values(got), values(want)
	for i := range w {
		if g[i] == w[i] || g[i] != g[i] && w[i] != w[i] {
			continue
		}
		if !(math.Abs(g[i]-w[i]) <= tol*math.Max(1, math.Abs(w[i]))) {
			t.Fatalf("element %d is %g, want %g\ngot  %v\nwant %v", i, g[i], w[i], g, w)
		}
	}
}

// refused fails where err is not of the kind or does not name the node.
func refused(t *testing.T, err error, kind fail.Kind) {
	t.Helper()
	if !fail.Is(err, kind) {
		t.Fatalf("err is %v, want %v", err, kind)
	}
}
