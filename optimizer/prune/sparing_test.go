package prune

import (
	"context"
	"testing"

	"fettle/model"
	"fettle/optimizer"
)

// padded is a narrow block whose channels are a part of those of a wider one: the shortcut adds channels of zeros, as ResNets of CIFAR do.
func padded(t *testing.T) *model.Model {
	n := newNet(3)
	x := n.Node("Relu", "relu0", []string{n.conv("stem", n.Input("x", model.Float32, model.FixedShape(1, 3, 8, 8)), 3, 4, 3)})
	n.Const("pads", model.Int64s(0, 6, 0, 0, 0, 6, 0, 0))
	past := n.Node("Pad", "pad", []string{x, "pads"})
	y := n.Node("Relu", "relu1", []string{n.conv("a", x, 4, 16, 3)})
	y = n.Node("Relu", "relu2", []string{n.Node("Add", "sum", []string{n.conv("b", y, 16, 16, 3), past})})
	f := n.Node("Flatten", "flatten", []string{n.Node("GlobalAveragePool", "pool", []string{y})})
	n.Output(n.Node("Gemm", "fc", []string{f, n.weight("fc.w", 5, 16), n.weight("fc.b", 5)}, model.IntAttr("transB", 1)), model.Float32, model.FixedShape(1, 5))
	m, err := n.Model()
	if err != nil {
		t.Fatal(err)
	}
	w := m.Graph.Init("stem.w") // the least of all: what goes first
	for i := range model.Data[float32](w) {
		model.Data[float32](w)[i] *= 1e-3
	}
	for c := range 16 {
		for i := range 144 {
			if c >= 6 && c < 10 {
				model.Data[float32](m.Graph.Init("b.w"))[c*144+i] *= 1e-3
			}
		}
	}
	return m
}

// TestNoLayerIsLeftEmpty: channels of a narrow layer that are a part of a sum's are not all taken, whatever chooses.
func TestNoLayerIsLeftEmpty(t *testing.T) {
	m := padded(t)
	in, err := optimizer.RandomInputs(m, 40, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		set  func(*Options)
	}{
		{"l1", func(o *Options) { o.Refit = "none" }},
		{"bn", func(o *Options) { o.Refit, o.Criterion = "none", "bn" }},
		{"obc", func(o *Options) { o.Criterion = "obc" }},
		{"damage", func(o *Options) { o.Allocation, o.MACs = "damage", 0.052 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := New().(*pass)
			p.o.Ratio, p.o.Sums, p.o.Samples = 0.75, true, 40
			c.set(&p.o)
			out, _, err := p.Apply(context.Background(), &optimizer.Env{Data: items(in), Seed: 1}, m)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range []string{"stem.w", "a.w", "b.w"} {
				if s := out.Graph.Init(w).Shape; s[0] == 0 || s[1] == 0 {
					t.Errorf("%s has shape %v", w, s)
				}
			}
			if out.Graph.Init("b.w").Shape[0] == 16 {
				t.Error("nothing was cut")
			}
		})
	}
}
