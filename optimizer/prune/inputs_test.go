package prune

import (
	"context"
	"math/rand/v2"
	"testing"

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

// TestTwoInputs: the inner channels of a model of ids and mask go by gradients and by weights, and training with a pull takes both inputs.
func TestTwoInputs(t *testing.T) {
	m, data := text(t), texts(64)
	for _, criterion := range []string{"l1", "obc", "fisher"} {
		p := New().(*pass)
		p.o.Criterion, p.o.Ratio, p.o.Samples, p.o.Slower = criterion, 0.5, 64, "keep"
		out, found, err := p.Apply(context.Background(), &optimizer.Env{Base: m, Data: data}, m)
		if err != nil {
			t.Fatalf("%s: %v", criterion, err)
		}
		if w := out.Graph.Init("up.w"); w.Shape[1] != 8 {
			t.Errorf("%s: the inner layer has %d channels, want 8: %v", criterion, w.Shape[1], found)
		}
	}
	p := NewShrink().(*shrink)
	p.o.Samples, p.o.Epochs, p.o.Strength, p.o.Batch = 64, 2, 0.1, 16
	if _, found, err := p.Apply(context.Background(), &optimizer.Env{Base: m, Data: data}, m); err != nil {
		t.Errorf("shrink: %v, %v", found, err)
	}
}
