package ops_test

import (
	"context"
	"math"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/text"
	"fettle/ops"
)

// TestGradient holds derivatives to central differences of the same graph.
func TestGradient(t *testing.T) {
	for _, c := range []struct{ name, body string }{
		{"product and sum", "c = Add (a, b) y = Mul (c, a)"},
		{"quotient", "c = Exp (b) y = Div (a, c)"},
		{"functions", "c = Tanh (a) d = Sigmoid (b) e = Sub (c, d) f = Neg (e) y = Mul (f, f)"},
		{"used twice", "c = Mul (a, a) d = Exp (c) e = Sqrt (d) f = Log (d) g = Add (e, f) y = Mul (g, b)"},
		{"does not hang on b", "y = Mul (a, a)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			head := `<ir_version: 8, opset_import: ["" : 17, "ai.onnx.preview.training" : 1]> g (double[3] a, double[3] b) => (double[3] y, double[3] da, double[3] db) { `
			m, err := text.Parse(head + c.body + ` da, db = ai.onnx.preview.training.Gradient <xs = ["a", "b"], y = "y"> (a, b) }`)
			if err != nil {
				t.Fatal(err)
			}
			in := map[string]*model.Tensor{"a": doubles(0.5, 1.25, 0.75), "b": doubles(0.3, 0.7, 1.1)}
			out, err := ops.Evaluate(context.Background(), m, in)
			if err != nil {
				t.Fatal(err)
			}
			const h = 1e-5
			for k, name := range []string{"a", "b"} {
				for i := range 3 {
					at := func(d float64) float64 {
						moved := map[string]*model.Tensor{"a": in["a"], "b": in["b"]}
						x := in[name].Clone()
						x.SetFloat64(i, x.Float64At(i)+d)
						moved[name] = x
						o, err := ops.Evaluate(context.Background(), m, moved)
						if err != nil {
							t.Fatal(err)
						}
						sum := 0.0
						for j := range 3 {
							sum += o[0].Float64At(j)
						}
						return sum
					}
					want := (at(h) - at(-h)) / (2 * h)
					if got := out[1+k].Float64At(i); math.Abs(got-want) > 1e-6*math.Max(1, math.Abs(want)) {
						t.Errorf("d/d%s[%d] is %g, central differences say %g", name, i, got, want)
					}
				}
			}
		})
	}
}

// TestGradientRefuses names what has no rule.
func TestGradientRefuses(t *testing.T) {
	head := `<ir_version: 8, opset_import: ["" : 17, "ai.onnx.preview.training" : 1]> g (double[3] a, double[1] b) => (double[3] y, double[3] da) { `
	for _, body := range []string{"y = Add (a, b)", "y = Relu (a)"} {
		m, err := text.Parse(head + body + ` da = ai.onnx.preview.training.Gradient <xs = ["a"], y = "y"> (a) }`)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ops.Evaluate(context.Background(), m, map[string]*model.Tensor{"a": doubles(1, 2, 3), "b": doubles(1)})
		if !fail.Is(err, fail.Unsupported) {
			t.Errorf("%s: got %v, want unsupported", body, err)
		}
	}
}

func doubles(v ...float64) *model.Tensor { return model.FromSlice(model.Float64, v, len(v)) }
