package quantize

import (
	"context"
	"math"
	"testing"

	"fettle/model"
	"fettle/model/text"
	"fettle/ops"
	"fettle/optimizer"
)

// TestUnfuse holds that taking activation functions and sums out of fused layers changes nothing, bit for bit up to rounding, that no function
// other than those of an integer store stays inside, and where sums are split no sum.
func TestUnfuse(t *testing.T) {
	m, err := text.Parse(`<ir_version: 10, opset_import: ["" : 17, "fettle" : 1]>
g (float[1, 4, 5, 5] x, float[3, 6] v) => (float[1, 4, 5, 5] y, float[3, 4] w)
<float[4, 4, 3, 3] k = random(1), float[4] b = random(2), float[6, 4] p = random(3)>
{
  a = fettle.Conv <pads = [1, 1, 1, 1], activation = "silu"> (x, k, b)
  c = fettle.Conv <pads = [1, 1, 1, 1], activation = "hardswish"> (a, k, b, x)
  d = fettle.Conv <pads = [1, 1, 1, 1], activation = "leakyrelu", alpha = 0.2> (c, k, b)
  e = fettle.Add <activation = "sigmoid"> (d, x)
  f = fettle.Conv <pads = [1, 1, 1, 1], activation = "relu"> (e, k, b, x)
  h = fettle.Conv <pads = [1, 1, 1, 1], activation = "clip", min = -0.5, max = 0.25> (f, k, b, x)
  i = fettle.Conv <pads = [1, 1, 1, 1]> (h, k, "", x)
  y = fettle.Conv <pads = [1, 1, 1, 1], activation = "relu"> (i, k, b)
  w = fettle.MatMul <activation = "gelu"> (v, p, b)
}`)
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]*model.Tensor{"x": model.NewTensor(model.Float32, 1, 4, 5, 5), "v": model.NewTensor(model.Float32, 3, 6)}
	for _, x := range in {
		for i, d := 0, model.Data[float32](x); i < len(d); i++ {
			d[i] = float32(math.Sin(float64(3 * i)))
		}
	}
	want, err := ops.Evaluate(context.Background(), m, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		o     Options
		inner int // convolutions with a sum
	}{{"joined", Options{}, 4}, {"split", Options{SplitSums: true}, 0}} {
		t.Run(c.name, func(t *testing.T) {
			u := unfuse(m, c.o)
			inner := 0
			for _, n := range u.Graph.Nodes {
				if act := n.Str("activation", "none"); n.Domain == fettle && act != "none" && act != "relu" && act != "clip" {
					t.Errorf("%s keeps %s", n.Op, act)
				}
				if n.Op == "Conv" && input(n, 3) != "" {
					inner++
				}
			}
			if inner != c.inner {
				t.Errorf("%d convolutions keep their sum, want %d", inner, c.inner)
			}
			if again := unfuse(u, c.o); again != u {
				t.Error("a model without such layers is another one")
			}
			got, err := ops.Evaluate(context.Background(), u, in)
			if err != nil {
				t.Fatal(err)
			}
			for o := range want {
				for i := range want[o].Len() {
					if a, b := want[o].Float64At(i), got[o].Float64At(i); math.Abs(a-b) > 1e-5*(1+math.Abs(a)) {
						t.Fatalf("output %d, element %d: %g, want %g", o, i, b, a)
					}
				}
			}
		})
	}
}

// TestFunctions holds which values around functions of one value are quantized: those before and behind, none within.
func TestFunctions(t *testing.T) {
	const head = `<ir_version: 10, opset_import: ["" : 17]>
g (float[3, 6] x) => (float[3, 4] y)
<float[6, 4] p = random(1), float[4, 4] q = random(2), float root = {1.4142135}, float one = {1.0}, float half = {0.5}, float[4] vector = random(3)>
{
  z = MatMul (x, p)
`
	for _, c := range []struct {
		name, body    string
		marked, float []string
	}{
		{"gelu", "a = Div (z, root)\n b = Erf (a)\n c = Add (b, one)\n d = Mul (z, c)\n e = Mul (d, half)\n y = MatMul (e, q)", []string{"x", "z", "e"}, []string{"a", "b", "c", "d"}},
		{"silu keeps its factor in bytes", "a = Sigmoid (z)\n e = Mul (z, a)\n y = MatMul (e, q)", []string{"e"}, nil},
		{"a vector is no number", "a = Div (z, vector)\n b = Erf (a)\n e = Mul (z, b)\n y = MatMul (e, q)", []string{"e"}, []string{"a", "b"}},
		{"read outside", "a = Div (z, root)\n b = Erf (a)\n e = Mul (z, b)\n f = MatMul (e, q)\n h = ReduceMax <keepdims = 1> (a)\n y = Mul (f, h)", []string{"e"}, []string{"a", "b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := text.Parse(head + " " + c.body + "\n}")
			if err != nil {
				t.Fatal(err)
			}
			s, err := selectNodes(&optimizer.Env{}, m, Options{Weights: "int8", Activations: "uint8"}, plan{})
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range c.marked {
				if !s.marked(v) {
					t.Errorf("%q stays float", v)
				}
			}
			for _, v := range c.float {
				if s.marked(v) {
					t.Errorf("%q is quantized", v)
				}
			}
		})
	}
}
