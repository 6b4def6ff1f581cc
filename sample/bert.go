package sample

import (
	"fmt"
	"math"
	"math/rand/v2"

	"fettle/model"
)

// bertMini is the encoder of BERT-mini (4 layers, hidden 256, 4 heads, 128 tokens) as exporters write it: Gather, MatMul,
// Add, Reshape, Transpose, Softmax, LayerNormalization, and GELU by its erf formula.
func bertMini() (*model.Model, error) {
	const layers, hidden, heads, seq, vocab = 4, 256, 4, 128, 8192
	b := model.NewBuilder("bert-mini", opset).Meta("fettle.origin", "topology of a well-known network with seeded random weights: untrained")
	rng := rand.New(rand.NewPCG(20261124, 9))
	normal := func(name string, std float64, dims ...int) string {
		t := model.NewTensor(model.Float32, dims...)
		d := model.Data[float32](t)
		for i := range d {
			d[i] = float32(rng.NormFloat64() * std)
		}
		return b.Const(name, t)
	}
	ones := func(name string, n int) string {
		d := make([]float32, n)
		for i := range d {
			d[i] = 1
		}
		return b.Const(name, model.Float32s(d, n))
	}
	ids := b.Input("input_ids", model.Int64, model.FixedShape(1, seq))
	x := b.Node("Gather", "embeddings.word", []string{normal("embeddings.word.weight", 0.05, vocab, hidden), ids}, model.IntAttr("axis", 0))
	x = b.Node("Add", "embeddings.add", []string{x, normal("embeddings.position.weight", 0.05, 1, seq, hidden)})
	norm := func(name, x string) string {
		return b.Node("LayerNormalization", name, []string{x, ones(name+".weight", hidden), normal(name+".bias", 0.02, hidden)},
			model.IntAttr("axis", -1), model.FloatAttr("epsilon", 1e-12))
	}
	linear := func(name, x string, in, out int) string {
		y := b.Node("MatMul", name, []string{x, normal(name+".weight", math.Sqrt(1/float64(in)), in, out)})
		return b.Node("Add", name+".add", []string{y, normal(name+".bias", 0.02, out)})
	}
	x = norm("embeddings.norm", x)
	split := b.Const("heads.shape", model.Int64s(1, seq, heads, hidden/heads))
	join := b.Const("joined.shape", model.Int64s(1, seq, hidden))
	root := b.Const("attention.scale", model.Scalar32(float32(math.Sqrt(hidden/heads))))
	half, one, sqrt2 := b.Const("gelu.half", model.Scalar32(0.5)), b.Const("gelu.one", model.Scalar32(1)), b.Const("gelu.sqrt2", model.Scalar32(math.Sqrt2))
	for l := range layers {
		p := fmt.Sprintf("layer%d.", l)
		head := func(name string, perm ...int64) string {
			y := linear(p+"attention."+name, x, hidden, hidden)
			y = b.Node("Reshape", p+"attention."+name+".heads", []string{y, split})
			return b.Node("Transpose", p+"attention."+name+".transpose", []string{y}, model.IntsAttr("perm", perm...))
		}
		q, k, v := head("query", 0, 2, 1, 3), head("key", 0, 2, 3, 1), head("value", 0, 2, 1, 3)
		s := b.Node("MatMul", p+"attention.scores", []string{q, k})
		s = b.Node("Div", p+"attention.scale", []string{s, root})
		s = b.Node("Softmax", p+"attention.softmax", []string{s}, model.IntAttr("axis", -1))
		y := b.Node("MatMul", p+"attention.context", []string{s, v})
		y = b.Node("Transpose", p+"attention.transpose", []string{y}, model.IntsAttr("perm", 0, 2, 1, 3))
		y = b.Node("Reshape", p+"attention.join", []string{y, join})
		y = linear(p+"attention.output", y, hidden, hidden)
		x = norm(p+"attention.norm", b.Node("Add", p+"attention.residual", []string{x, y}))
		h := linear(p+"intermediate", x, hidden, 4*hidden)
		e := b.Node("Erf", p+"gelu.erf", []string{b.Node("Div", p+"gelu.div", []string{h, sqrt2})})
		g := b.Node("Mul", p+"gelu.mul", []string{h, b.Node("Add", p+"gelu.add", []string{e, one})})
		h = b.Node("Mul", p+"gelu.half", []string{g, half})
		y = linear(p+"output", h, 4*hidden, hidden)
		x = norm(p+"output.norm", b.Node("Add", p+"output.residual", []string{x, y}))
	}
	b.Output(x, model.Float32, model.FixedShape(1, seq, hidden))
	return b.Model()
}
