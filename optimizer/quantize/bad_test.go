package quantize

import (
	"context"
	"math"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// broken has a value that is constant, a channel without weights, a product whose weights are computed, and a Softmax.
const broken = `g (float[1, 3, 4, 4] x) => (float[1, 4] y)
<float[4, 3, 1, 1] w = {0.5, -0.4, 0.2, 0.0, 0.0, 0.0, 0.1, 0.3, -0.2, 0.7, 0.1, 0.1}, float[4] b = {0.1, 0.0, -0.1, 0.2},
 float[4, 4] v = random(3), float[4] zero = {0.0, 0.0, 0.0, 0.0}, float minus = {-1.0}>
{
  [conv] a = Conv (x, w, b)
  [relu] c = Relu (a)
  [gap] d = GlobalAveragePool (c)
  [flat] e = Flatten (d)
  [nothing] e0 = Mul (e, zero)
  [dead] f = Gemm (e0, v, b)
  [pair] g0 = MatMul (f, v)
  [outer] h = Gemm <transA = 1> (g0, g0)
  [mean] k = ReduceMean <axes = [0], keepdims = 1> (h)
  [soft] s = Softmax (k)
  y = Add (s, f)
}`

// TestBadInput: what cannot be quantized is named, skipped or refused; nothing becomes NaN, and nothing stays float silently.
func TestBadInput(t *testing.T) {
	m := parse(t, broken)
	in, err := optimizer.RandomInputs(m, 8, 3)
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(x *model.Tensor) *model.Tensor) items {
		var out items
		for _, it := range in {
			out = append(out, map[string]*model.Tensor{"x": f(it["x"].Clone())})
		}
		return out
	}
	constant := func(v float32) items {
		return change(func(x *model.Tensor) *model.Tensor {
			for i := range model.Data[float32](x) {
				model.Data[float32](x)[i] = v
			}
			return x
		})
	}
	for _, c := range []struct {
		name    string
		data    optimizer.Data
		options map[string]any
		scope   optimizer.Scope
		kind    fail.Kind // "" for a model that is made
		says    string    // in the error or in a finding
	}{
		{"no data", nil, nil, optimizer.Scope{}, fail.Usage, "calibration data"},
		{"an empty folder", items{}, nil, optimizer.Scope{}, fail.Usage, "calibration data"},
		{"no data for gptq", nil, map[string]any{"activations": "none", "rounding": "gptq"}, optimizer.Scope{}, fail.Usage, "gptq"},
		{"a wrong shape", change(func(*model.Tensor) *model.Tensor { return model.NewTensor(model.Float32, 1, 2, 4, 4) }), nil, optimizer.Scope{}, fail.Invalid, ""},
		{"another type", change(func(*model.Tensor) *model.Tensor { return model.NewTensor(model.Int64, 1, 3, 4, 4) }), nil, optimizer.Scope{}, fail.Invalid, ""},
		{"NaN in an input", constant(float32(math.NaN())), nil, optimizer.Scope{}, fail.Invalid, "data holds NaN"},
		{"infinite values", constant(float32(math.Inf(1))), nil, optimizer.Scope{}, fail.Invalid, "take item 0"},
		{"constant values are named", constant(.25), nil, optimizer.Scope{}, "", "x (0.25)"},
		{"nothing but zeros is named", constant(0), nil, optimizer.Scope{}, "", "x (0)"},
		{"changing values are not", items(in), nil, optimizer.Scope{}, "", "the same number in all calibration data, which their steps are made for; other inputs would saturate: e0 (0)"},
		{"constant values, entropy", constant(.25), map[string]any{"calibration": "entropy"}, optimizer.Scope{}, "", ""},
		{"constant values, percentile", constant(0), map[string]any{"calibration": "percentile"}, optimizer.Scope{}, "", ""},
		{"constant values, int16", constant(0), map[string]any{"activations": "int16"}, optimizer.Scope{}, "", ""},
		{"constant values, gptq", constant(.25), map[string]any{"rounding": "gptq"}, optimizer.Scope{}, "", ""},
		{"zero channels, int4 gptq", items(in), map[string]any{"weights": "int4", "activations": "none", "rounding": "gptq"}, optimizer.Scope{}, "", "conv (1 of 4)"},
		{"weights that are computed are named", items(in), nil, optimizer.Scope{}, "", "weight \"g0\""},
		{"and refused where nothing may stay float", items(in), map[string]any{"strict": true}, optimizer.Scope{}, fail.Unsupported, "outer"},
		{"unless they are out of scope", items(in), map[string]any{"strict": true}, optimizer.Scope{Exclude: []string{"outer"}}, "", "excluded by outer"},
		{"an operator without integers in scope is named", items(in), nil, optimizer.Scope{Include: []string{"conv", "soft"}}, "", "Softmax has no integer form"},
		{"and refused", items(in), map[string]any{"strict": true}, optimizer.Scope{Include: []string{"conv", "soft"}}, fail.Unsupported, "soft"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := New()
			decode(t, p, c.options)
			env := &optimizer.Env{Data: c.data}
			if !c.scope.Empty() {
				if env.Scope, err = c.scope.Compile(); err != nil {
					t.Fatal(err)
				}
			}
			out, found, err := p.Apply(context.Background(), env, m)
			if c.kind != "" {
				if !fail.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("%v, want %s with %q", err, c.kind, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			log := ""
			for _, f := range found {
				log += f.Label + ": " + string(f.Outcome) + " " + f.Reason + "\n"
			}
			if !strings.Contains(log, c.says) {
				t.Errorf("no finding says %q:\n%s", c.says, log)
			}
			for _, i := range out.Graph.Inits {
				if strings.HasSuffix(i.Name, "_scale") || i.Tensor.DType == model.Float32 {
					for e := range i.Tensor.Len() {
						if v := i.Tensor.Float64At(e); v-v != 0 {
							t.Errorf("%s holds %v", i.Name, v)
						}
					}
				}
			}
			got, err := outputs(context.Background(), &optimizer.Env{}, out, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, y := range got {
				for e := range y[0].Len() {
					if v := y[0].Float64At(e); v-v != 0 {
						t.Fatalf("the output holds %v", v)
					}
				}
			}
		})
	}
}
