package distill

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"fettle/model"
	"fettle/optimizer"
)

// TestStudent: every form has the ends of the model, is smaller, and learns what the model says.
func TestStudent(t *testing.T) {
	b := model.NewBuilder("teacher", 17)
	r := rand.New(rand.NewPCG(5, 5))
	w := func(name string, shape ...int) string {
		x := model.NewTensor(model.Float32, shape...)
		for i := range model.Data[float32](x) {
			model.Data[float32](x)[i] = float32(r.NormFloat64() * 0.3)
		}
		return b.Const(name, x)
	}
	x := b.Input("picture", model.Float32, model.Shape{model.Sym("n"), model.Fixed(2), model.Fixed(8), model.Fixed(8)})
	y := b.Node("Relu", "relu", []string{b.Node("Conv", "wide", []string{x, w("wide.w", 32, 2, 3, 3)}, model.IntsAttr("pads", 1, 1, 1, 1))})
	y = b.Node("Relu", "relu2", []string{b.Node("Conv", "wide2", []string{y, w("wide2.w", 16, 32, 3, 3)}, model.IntsAttr("pads", 1, 1, 1, 1))})
	y = b.Node("Flatten", "flat", []string{b.Node("GlobalAveragePool", "pool", []string{y})})
	y = b.Node("Gemm", "fc", []string{y, w("fc.w", 3, 16)}, model.IntAttr("transB", 1))
	b.Output(y, model.Float32, model.Shape{model.Sym("n"), model.Fixed(3)})
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	in, err := optimizer.RandomInputs(m, 48, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range in { // items that differ in more than noise
		for k := range model.Data[float32](x["picture"]) {
			model.Data[float32](x["picture"])[k] += float32(i%5) * float32(1-k/64*2)
		}
	}
	for _, form := range []string{"plain", "separable", "residual"} {
		t.Run(form, func(t *testing.T) {
			p := NewStudent().(*student)
			p.o.Form, p.o.Width = form, 4
			env := &optimizer.Env{Base: m, Data: items(in[:32]), Seed: 4}
			raw, found, err := p.Apply(context.Background(), env, m)
			if err != nil || found[0].Outcome != optimizer.Applied || found[0].Gain.Bytes <= 0 {
				t.Fatalf("%v, %v", found, err)
			}
			for _, n := range raw.Graph.Nodes {
				if len(n.Origin) != len(m.Graph.Nodes) {
					t.Fatalf("%s stands for %v, not for the whole model", n.ID, n.Origin)
				}
			}
			again, _, _ := p.Apply(context.Background(), env, m)
			if raw.Graph.Free()[0].Name != "picture" || raw.Graph.Outputs[0].Name != m.Graph.Outputs[0].Name || again.Hash() != raw.Hash() {
				t.Error("other ends, or the same seed gave other weights")
			}
			out, told, err := options(func(o *Options) { o.Features, o.Epochs, o.Rate = 0, 10, 0.05 }).Apply(context.Background(), env, raw)
			if err != nil {
				t.Fatal(err)
			}
			if before, after := apart(t, m, raw, in[32:]), apart(t, m, out, in[32:]); !(after < 0.85*before) {
				t.Errorf("squared distance %.3g before, %.3g after learning: %s", before, after, told[0].Reason)
			}
		})
	}
	sound := model.NewBuilder("sound", 17)
	sound.Output(sound.Node("Relu", "r", []string{sound.Input("x", model.Float32, model.FixedShape(1, 4))}), model.Float32, model.FixedShape(1, 4))
	odd, err := sound.Model()
	if err != nil {
		t.Fatal(err)
	}
	if out, found, err := NewStudent().Apply(context.Background(), &optimizer.Env{}, odd); err != nil || out != odd || !strings.Contains(found[0].Reason, "pictures") {
		t.Errorf("of sound: %v, %v", found, err)
	}
}
