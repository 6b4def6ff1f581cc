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

// TestMicrosoftByHand holds operators to small results reckoned by hand: those that ONNX Runtime has no kernel for on
// processors, and the refusals of the rest.
func TestMicrosoftByHand(t *testing.T) {
	ms := func(op string, a attrs) applied { return applied{op: op, domain: microsoft, attrs: a} }
	g := func(x float64) float64 { return x * 0.5 * math.Erfc(-x/math.Sqrt2) }
	i32 := func(v ...float64) *model.Tensor { return tensor(model.Int32, []int{len(v)}, v...) }
	u8 := func(dims []int, v ...float64) *model.Tensor { return tensor(model.Uint8, dims, v...) }
	one := func(v float64) *model.Tensor { return tensor(model.Float32, []int{}, v) }
	line := mat([]int{1, 2, 2}, 1, 2, 3, 4)
	runCases(t, []opCase{
		{name: "bias and residual", node: ms("BiasAdd", nil), in: list{line, vec(10, 20), line}, want: list{mat([]int{1, 2, 2}, 12, 24, 16, 28)}},
		{name: "bias of another length", node: ms("BiasAdd", nil), in: list{line, vec(1, 2, 3), line}, refuse: fail.Invalid},
		{name: "halves", node: ms("BiasSplitGelu", nil), in: list{line, vec(1, -1)}, want: list{mat([]int{1, 2, 1}, 2*g(1), 4*g(3))}},
		{name: "three channels", node: ms("BiasSplitGelu", nil), in: list{vec(1, 2, 3), vec(1, 2, 3)}, refuse: fail.Invalid},
		{name: "the bias decides", node: ms("BiasSoftmax", attrs{"axis": 1, "is_inner_broadcast": 0}), in: list{mat([]int{2, 2}, 0, 1, 3, 3), vec(1, 0)}, want: list{mat([]int{2, 2}, 0.5, 0.5, math.E/(1+math.E), 1/(1+math.E))}},
		{name: "over two dimensions", node: ms("BiasSoftmax", attrs{"axis": 1, "is_inner_broadcast": 0}), in: list{mat([]int{1, 2, 2}, 0, 0, 0, 0), vec(0, 0)}, want: list{mat([]int{1, 2, 2}, 0.25, 0.25, 0.25, 0.25)}},
		{name: "nothing drops", node: ms("BiasDropout", nil), in: list{line, vec(1, 1), line, one(0.5)}, want: list{mat([]int{1, 2, 2}, 3, 5, 7, 9), tensor(model.Bool, []int{1, 2, 2}, 1, 1, 1, 1)}},
		{name: "training", node: ms("BiasDropout", nil), in: list{line, vec(1, 1), nil, one(0.5), tensor(model.Bool, []int{}, 1)}, refuse: fail.Unsupported},
		{name: "an activation behind", node: ms("FusedMatMulActivation", attrs{"activation": "LeakyRelu", "activation_alpha": 0.5, "alpha": 2.0}), in: list{mat([]int{1, 2}, 1, 2), mat([]int{2, 2}, 1, -1, 1, -2)}, want: list{mat([]int{1, 2}, 6, -5)}},
		{name: "an unknown activation", node: ms("FusedMatMulActivation", attrs{"activation": "Sine"}), in: list{mat([]int{1, 1}, 1), mat([]int{1, 1}, 1)}, refuse: fail.Unsupported},
		{name: "channels last", node: ms("NhwcConv", nil), in: list{mat([]int{1, 1, 2, 2}, 1, 2, 3, 4), mat([]int{1, 2, 1, 1}, 10, 1), vec(100)}, want: list{mat([]int{1, 1, 2, 1}, 112, 134)}},
		{name: "weights for other channels", node: ms("NhwcConv", nil), in: list{mat([]int{1, 2, 1, 2}, 1, 2, 3, 4), mat([]int{1, 1, 1, 1}, 10)}, refuse: fail.Invalid},
		{name: "residual and clip", node: ms("NhwcFusedConv", attrs{"activation": "Clip", "activation_params": []float32{0, 5}}), in: list{mat([]int{1, 1, 2, 1}, 1, 2), mat([]int{1, 1, 1, 1}, 2), nil, mat([]int{1, 1, 2, 1}, -3, 4)}, want: list{mat([]int{1, 1, 2, 1}, 0, 5)}},
		{name: "rows of a table", node: ms("TorchEmbedding", nil), in: list{mat([]int{2, 2}, 1, 2, 3, 4), i64(1, 0, 1)}, want: list{mat([]int{3, 2}, 3, 4, 1, 2, 3, 4)}},
		{name: "a row that is not there", node: ms("TorchEmbedding", nil), in: list{mat([]int{2, 2}, 1, 2, 3, 4), i64(2)}, refuse: fail.Invalid},
		{name: "means of rows", node: ms("QLinearReduceMean", attrs{"axes": []int64{1}, "keepdims": 0}), in: list{u8([]int{1, 3}, 2, 4, 6), one(1), u8([]int{}, 2), one(1), u8([]int{}, 0)}, want: list{u8([]int{1}, 2)}},
		{name: "a step of one", node: ms("Range", nil), in: list{one(1), one(3)}, want: list{vec(1, 2)}},
		{name: "low bits first", node: ms("MatMulNBits", attrs{"K": 16, "N": 1, "bits": 4, "block_size": 16}), in: list{mat([]int{1, 16}, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), u8([]int{1, 1, 8}, 0x9a, 0x0f, 0, 0, 0, 0, 0, 0), vec(0.5)}, want: list{mat([]int{1, 1}, 0.5*(2+1+7))}},
		{name: "five bits", node: ms("MatMulNBits", attrs{"K": 16, "N": 1, "bits": 5, "block_size": 16}), in: list{counted(1, 16), u8([]int{1, 1, 10}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), vec(1)}, refuse: fail.Unsupported},
		{name: "blocks of 8", node: ms("MatMulNBits", attrs{"K": 16, "N": 1, "block_size": 8}), in: list{counted(1, 16), u8([]int{1, 2, 4}, 0, 0, 0, 0, 0, 0, 0, 0), vec(1, 1)}, refuse: fail.Invalid},
		{name: "too few scales", node: ms("MatMulNBits", attrs{"K": 32, "N": 1, "block_size": 16}), in: list{counted(1, 32), u8([]int{1, 2, 8}, make([]float64, 16)...), vec(1)}, refuse: fail.Invalid},
		{name: "a block that is not there", node: ms("MatMulNBits", attrs{"K": 16, "N": 1, "block_size": 16}), in: list{counted(1, 16), u8([]int{1, 1, 8}, make([]float64, 8)...), vec(1), nil, i32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)}, refuse: fail.Invalid},
		{name: "a mask of another shape", node: ms("Attention", attrs{"num_heads": 1}), in: list{line, counted(2, 6), counted(6), i32(1, 2, 3)}, refuse: fail.Invalid},
		{name: "heads that do not divide", node: ms("Attention", attrs{"num_heads": 4}), in: list{line, counted(2, 6), counted(6)}, refuse: fail.Invalid},
		{name: "turning by itself", node: ms("Attention", attrs{"num_heads": 1, "do_rotary": 1}), in: list{line, counted(2, 6), counted(6)}, refuse: fail.Unsupported},
		{name: "a past without values", node: ms("MultiHeadAttention", attrs{"num_heads": 1}), in: list{line, line, line, nil, nil, nil, counted(1, 1, 2, 2)}, refuse: fail.Invalid},
		{name: "a position without an angle", node: ms("RotaryEmbedding", nil), in: list{line, i64(3), mat([]int{2, 1}, 1, 1), mat([]int{2, 1}, 0, 0)}, refuse: fail.Invalid},
		{name: "a word that is not there", node: ms("EmbedLayerNormalization", nil), in: list{tensor(model.Int32, []int{1, 1}, 7), nil, counted(2, 2), counted(2, 2), nil, vec(1, 1), vec(0, 0)}, refuse: fail.Invalid},
		{name: "more tokens than the cache", node: ms("GroupQueryAttention", attrs{"num_heads": 1, "kv_num_heads": 1}), in: list{line, line, line, nil, nil, i32(4), tensor(model.Int32, []int{}, 2)}, refuse: fail.Invalid},
		{name: "no inverse", node: ms("Inverse", nil), in: list{mat([]int{2, 2}, 1, 2, 2, 4)}, refuse: fail.Invalid},
		{name: "root mean square", node: applied{op: "SimplifiedLayerNormalization", attrs: attrs{"epsilon": 0.0}}, in: list{mat([]int{1, 2}, 3, -4), vec(1, 2)}, want: list{mat([]int{1, 2}, 3/math.Sqrt(12.5), -8/math.Sqrt(12.5)), mat([]int{1, 1}, 1/math.Sqrt(12.5))}},
	})
}
