package ops

import (
	"context"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

// TestExpansions: a fused node gives what its function of standard operators gives, for every operator, activation
// function and opset that functions may have.
func TestExpansions(t *testing.T) {
	x, w := counted(1, 2, 4, 4), mat([]int{2, 2, 3, 3}, counting(36, 0.25, -4)...)
	x.SetFloat64(5, -9)
	conv := attrs{"pads": []int64{1, 1, 1, 1}, "strides": []int64{2, 2}}
	layers := []struct {
		name, op string
		attrs    attrs
		in       list
	}{
		{"convolution", "Conv", conv, list{x, w, vec(1, -60)}},
		{"convolution without bias and with a residual", "Conv", conv, list{x, w, nil, mat([]int{1, 2, 2, 2}, counting(8, 3, -12)...)}},
		{"linear layer", "Gemm", attrs{"alpha": 0.5, "transB": 1}, list{mat([]int{2, 3}, counting(6, 1, -3)...), mat([]int{2, 3}, 1, -1, 2, 0, 3, -2), vec(1, 2)}},
		{"product", "MatMul", nil, list{mat([]int{2, 3}, counting(6, 1, -3)...), mat([]int{3, 2}, 1, -1, 2, 0, 3, -2)}},
		{"product with a bias", "MatMul", nil, list{mat([]int{2, 3}, counting(6, 1, -3)...), mat([]int{3, 2}, 1, -1, 2, 0, 3, -2), vec(1, -2)}},
		{"sum that widens", "Add", nil, list{mat([]int{2, 1}, 3, -4), vec(1, -2, 8)}},
	}
	for _, l := range layers {
		acts := []string{"none", "relu", "clip", "leakyrelu", "sigmoid", "hardswish", "silu"}
		if l.op == "Gemm" || l.op == "MatMul" {
			acts = append(acts, "gelu")
		}
		for _, act := range acts {
			t.Run(l.name+"/"+act, func(t *testing.T) {
				a := attrs{"activation": act, "min": -1.0, "max": 2.5}
				for k, v := range l.attrs {
					a[k] = v
				}
				if l.op != "Gemm" && act == "leakyrelu" {
					a["alpha"] = 0.2
				}
				got, err := apply(applied{op: l.op, domain: fusedDomain, attrs: a}, l.in...)
				if l.op == "Gemm" && act == "leakyrelu" {
					refused(t, err, fail.Invalid)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, opset := range []int64{15, 17, 21} {
					near(t, expanded(t, l.op, opset, a, l.in), got[0], 1e-6)
				}
			})
		}
	}
}

func counting(n int, step, from float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = from + step*float64(i)
	}
	return v
}

// expanded runs the function of a node instead of the node.
func expanded(t *testing.T, op string, opset int64, a attrs, in list) *model.Tensor {
	t.Helper()
	d, err := Lookup(fusedDomain, op, 1)
	if err != nil {
		t.Fatal(err)
	}
	n := &model.Node{ID: "n", Op: op, Domain: fusedDomain, Outputs: []string{"y"}}
	for i, x := range in {
		name := ""
		if x != nil {
			name = d.In[i].Name
		}
		n.Inputs = append(n.Inputs, name)
	}
	for k, v := range a {
		n.Attrs = append(n.Attrs, attrOf(k, v))
	}
	f, err := d.Expand(n)
	if err != nil {
		t.Fatal(err)
	}
	// Under another domain, where no fused operator answers before the function does.
	f.Domain, n.Domain = "test", "test"
	m := &model.Model{IRVersion: 10, Opsets: []model.Opset{{Version: opset}, {Domain: "test", Version: 1}}, Functions: []*model.Function{f}, Graph: &model.Graph{}}
	out, err := (&Evaluator{Model: m}).Node(context.Background(), m, n, in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func TestFusedRefuses(t *testing.T) {
	x, w := counted(1, 2, 4, 4), counted(2, 2, 3, 3)
	for _, c := range []struct {
		name string
		node applied
		in   list
		why  string
	}{
		{"unknown function", applied{op: "Conv", attrs: attrs{"activation": "gelu"}}, list{x, w}, "allowed: none"},
		{"residual of another shape", applied{op: "Conv"}, list{x, w, nil, counted(1, 2, 1, 1)}, "the residual has shape"},
		{"bias of a product of another size", applied{op: "MatMul"}, list{counted(2, 3), counted(3, 2), vec(1)}, "the bias has shape"},
		{"bias of a product that is a matrix", applied{op: "MatMul"}, list{counted(2, 3), counted(3, 2), counted(2, 2)}, "the bias has shape"},
		{"bias of another size", applied{op: "Conv"}, list{x, w, vec(1)}, "bias"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.node.domain = fusedDomain
			_, err := apply(c.node, c.in...)
			refused(t, err, fail.Invalid)
			if !strings.Contains(err.Error(), c.why) {
				t.Fatalf("got %v, want ...%s", err, c.why)
			}
		})
	}
}
