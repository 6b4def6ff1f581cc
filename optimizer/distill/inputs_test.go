package distill

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// text is a model of texts: ids of words and a mask, an inner layer of its own for each word, the mean over the words that are there.
func text(t *testing.T) *model.Model {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	b := model.NewBuilder("text", 17)
	weight := func(name string, by float64, dims ...int) string {
		x := model.NewTensor(model.Float32, dims...)
		for i := range model.Data[float32](x) {
			model.Data[float32](x)[i] = float32(by * rng.NormFloat64())
		}
		return b.Const(name, x)
	}
	open := model.Shape{model.Sym("n"), model.Fixed(6)}
	ids, mask := b.Input("ids", model.Int64, open), b.Input("mask", model.Int64, open)
	x := b.Node("Gather", "embed", []string{weight("table", 1, 20, 8), ids})
	h := b.Node("Relu", "relu", []string{b.Node("Add", "up.add", []string{b.Node("MatMul", "up", []string{x, weight("up.w", 0.4, 8, 16)}), weight("up.b", 0.2, 16)})})
	x = b.Node("Add", "residual", []string{x, b.Node("MatMul", "down", []string{h, weight("down.w", 0.4, 16, 8)})})
	there := b.Node("Unsqueeze", "column", []string{b.Node("Cast", "there", []string{mask}, model.IntAttr("to", int64(model.Float32))), b.Const("axis2", model.Int64s(2))})
	sum := b.Node("ReduceSum", "sum", []string{b.Node("Mul", "kept", []string{x, there}), b.Const("axis", model.Int64s(1))}, model.IntAttr("keepdims", 0))
	n := b.Node("ReduceSum", "count", []string{there, b.Const("axis.n", model.Int64s(1))}, model.IntAttr("keepdims", 0))
	y := b.Node("Gemm", "head", []string{b.Node("Div", "mean", []string{sum, n}), weight("head.w", 1, 3, 8), weight("head.b", 0.1, 3)}, model.IntAttr("transB", 1))
	b.Output(y, model.Float32, model.Shape{model.Sym("n"), model.Fixed(3)})
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func texts(n int) items {
	rng := rand.New(rand.NewPCG(7, 8))
	var l items
	for range n {
		ids, mask := model.NewTensor(model.Int64, 1, 6), model.NewTensor(model.Int64, 1, 6)
		words := 1 + rng.IntN(6)
		for k := range words {
			ids.SetFloat64(k, float64(rng.IntN(20)))
			mask.SetFloat64(k, 1)
		}
		l = append(l, map[string]*model.Tensor{"ids": ids, "mask": mask})
	}
	return l
}

// TestTwoInputs: a model of texts comes closer to the original, with values computed again to the same bits; items without a mask are
// refused by its name.
func TestTwoInputs(t *testing.T) {
	base := text(t)
	w := base.Graph.Init("up.w").Clone()
	for i := range model.Data[float32](w) {
		model.Data[float32](w)[i] *= 0.3
	}
	m, err := base.Apply(&model.Patch{Inits: []*model.Init{{Name: "up.w", Tensor: w}}})
	if err != nil {
		t.Fatal(err)
	}
	data := texts(240)
	env := &optimizer.Env{Base: base, Data: data[:200], Seed: 4}
	out, found, err := options(nil).Apply(context.Background(), env, m)
	if err != nil {
		t.Fatal(err)
	}
	if before, after := apart(t, base, m, data[200:]), apart(t, base, out, data[200:]); !(after < 0.3*before) {
		t.Errorf("squared distance %.3g before, %.3g after: %s", before, after, found[0].Reason)
	}
	again, _, err := options(func(o *Options) { o.Memory = 0.02 }).Apply(context.Background(), env, m)
	if err != nil || again.Hash() != out.Hash() {
		t.Errorf("with values computed again the weights are others, %v", err)
	}
	if _, _, err := options(func(o *Options) { o.Memory = 0.001 }).Apply(context.Background(), env, m); !fail.Is(err, fail.Unsupported) {
		t.Errorf("a kilobyte for values: %v", err)
	}
	env.Data = items{{"ids": data[0]["ids"]}}
	if _, _, err := options(nil).Apply(context.Background(), env, m); !fail.Is(err, fail.Invalid) || !strings.Contains(err.Error(), "mask") {
		t.Errorf("without a mask: %v", err)
	}
	env.Data = data[:200]
	_, found, err = options(func(o *Options) { o.Blocks, o.Epochs = 1, 1 }).Apply(context.Background(), env, m)
	if err != nil || !strings.Contains(found[0].Reason, "all 2 inputs") {
		t.Errorf("block by block: %v, %v", found, err)
	}
}
