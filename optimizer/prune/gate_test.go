package prune

import (
	"math/rand/v2"
	"strings"
	"testing"

	"fettle/model"
)

// TestOwnGateIsNoSum: channels that are multiplied by what was computed of themselves are inner ones of a block; a sum with another layer's are not.
func TestOwnGateIsNoSum(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 3))
	for _, c := range []struct {
		name  string
		gate  func(b *model.Builder, x, other string) string
		joint bool
	}{
		{"SiLU", func(b *model.Builder, x, _ string) string {
			return b.Node("Mul", "silu", []string{x, b.Node("Sigmoid", "sigmoid", []string{x})})
		}, false},
		{"GELU spelled out", func(b *model.Builder, x, _ string) string {
			erf := b.Node("Erf", "erf", []string{b.Node("Div", "in", []string{x, b.Const("root2", model.Float32s([]float32{1.4142135}))})})
			return b.Node("Mul", "gelu", []string{x, b.Node("Add", "one", []string{erf, b.Const("1", model.Float32s([]float32{1}))})})
		}, false},
		{"sum of two layers", func(b *model.Builder, x, other string) string { return b.Node("Add", "sum", []string{x, other}) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := model.NewBuilder("gates", 17)
			weight := func(name string, dims ...int) string {
				w := model.NewTensor(model.Float32, dims...)
				for i := range model.Data[float32](w) {
					model.Data[float32](w)[i] = float32(r.NormFloat64())
				}
				return b.Const(name, w)
			}
			in := b.Input("x", model.Float32, model.FixedShape(1, 5, 4))
			up, other := b.Node("MatMul", "up", []string{in, weight("up.w", 4, 8)}), ""
			if c.joint {
				other = b.Node("MatMul", "other", []string{in, weight("other.w", 4, 8)})
			}
			b.Output(b.Node("MatMul", "down", []string{c.gate(b, up, other), weight("down.w", 8, 3)}), model.Float32, model.FixedShape(1, 5, 3))
			m, err := b.Model()
			if err != nil {
				t.Fatal(err)
			}
			groups, err := Groups(m)
			if err != nil {
				t.Fatal(err)
			}
			g := groups[0]
			if (g.Joint != "") != c.joint || g.Channels != 8 || len(g.Locked) > 0 || strings.Join(g.Readers, " ") != "down" {
				t.Errorf("the group of up: %s", g)
			}
		})
	}
}
