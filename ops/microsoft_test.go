package ops

import (
	"math"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

func TestMicrosoft(t *testing.T) {
	gelu := func(x float64) float64 { return x * 0.5 * math.Erfc(-x/math.Sqrt2) }
	m := tensor(model.Float32, []int{2, 3}, 1, 2, 3, 4, 5, 6)
	for _, c := range []struct {
		op    string
		attrs map[string]any
		in    []*model.Tensor
		want  *model.Tensor
		tol   float64
	}{
		{"Gelu", nil, []*model.Tensor{vec(-1, 0, 2)}, vec(gelu(-1), 0, gelu(2)), 1e-6},
		{"FastGelu", nil, []*model.Tensor{vec(-1, 0, 2)}, vec(gelu(-1), 0, gelu(2)), 1e-3},
		{"FastGelu", nil, []*model.Tensor{tensor(model.Float32, []int{2, 2}, -2, 0, 1, 0), vec(1, 2)}, tensor(model.Float32, []int{2, 2}, gelu(-1), gelu(2), gelu(2), gelu(2)), 1e-3},
		{"BiasGelu", nil, []*model.Tensor{vec(-2, 0), vec(1, 2)}, vec(gelu(-1), gelu(2)), 1e-6},
		{"QuickGelu", map[string]any{"alpha": 1.0}, []*model.Tensor{vec(2)}, vec(2 / (1 + math.Exp(-2))), 1e-6},
		{"FusedMatMul", map[string]any{"alpha": 0.5, "transB": 1}, []*model.Tensor{m, m}, tensor(model.Float32, []int{2, 2}, 7, 16, 16, 38.5), 0},
		{"FusedMatMul", map[string]any{"transA": 1}, []*model.Tensor{m.Reshaped(1, 2, 3), m}, tensor(model.Float32, []int{1, 3, 3}, 17, 22, 27, 22, 29, 36, 27, 36, 45), 0},
	} {
		t.Run(c.op, func(t *testing.T) {
			out, err := apply(applied{op: c.op, domain: microsoft, attrs: c.attrs}, c.in...)
			if err != nil {
				t.Fatal(err)
			}
			near(t, out[0], c.want, c.tol)
		})
	}
	_, err := apply(applied{op: "FusedMatMul", domain: microsoft}, m, m)
	refused(t, err, fail.Invalid)
	_, err = apply(applied{op: "BiasGelu", domain: microsoft}, m, vec(1, 2))
	refused(t, err, fail.Invalid)
}
