package train

import (
	"math"
	"math/rand/v2"
	"testing"

	"fettle/model"
)

// TestRoundedWeights: weights that are rounded on the way are learned, and the loops for single steps give what the plain ones give.
func TestRoundedWeights(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	random := func(scale float64, shape ...int) *model.Tensor {
		x := model.NewTensor(model.Float32, shape...)
		for i := range model.Data[float32](x) {
			model.Data[float32](x)[i] = float32(rng.NormFloat64() * scale)
		}
		return x
	}
	b := model.NewBuilder("net", 21)
	x := b.Input("x", model.Float32, model.Shape{model.Sym("n"), model.Fixed(4), model.Fixed(6), model.Fixed(6)})
	z := model.NewTensor(model.Uint8)
	z.SetInt64(0, 100)
	s, zero := b.Const("s", model.Float32s([]float32{0.013}, 1).Reshaped()), b.Const("z", z)
	x = b.Node("DequantizeLinear", "xd", []string{b.Node("QuantizeLinear", "xq", []string{x, s, zero}), s, zero})
	sw, zw := model.Float32s([]float32{0.1, 0.2, 0.15, 0.08}, 4), model.NewTensor(model.Int4, 4)
	scales, zeros := b.Const("sw", sw), b.Const("zw", zw)
	w := b.Node("QuantizeLinear", "wq", []string{b.Const("w", random(0.4, 4, 4, 3, 3)), scales, zeros}, model.IntAttr("axis", 0))
	w = b.Node("DequantizeLinear", "wd", []string{w, scales, zeros}, model.IntAttr("axis", 0))
	y := b.Node("Conv", "c", []string{x, w, b.Const("b", random(0.1, 4))}, model.IntsAttr("pads", 1, 1, 1, 1))
	b.Output(b.Node("Flatten", "f", []string{b.Node("GlobalAveragePool", "g", []string{b.Node("Relu", "r", []string{y})})}), model.Float32, model.Shape{model.Sym("n"), model.Fixed(4)})
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	fast, err := newTape[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := newTape[float64](m)
	if err != nil {
		t.Fatal(err)
	}
	x32, x64 := newArray[float32](3, 4, 6, 6), newArray[float64](3, 4, 6, 6)
	for i := range x32.v {
		x32.v[i] = float32(rng.NormFloat64() * 1.5)
		x64.v[i] = float64(x32.v[i])
	}
	labels := []int{1, 3, 0}
	y32, err := fast.forward(x32)
	if err != nil {
		t.Fatal(err)
	}
	y64, err := plain.forward(x64)
	if err != nil {
		t.Fatal(err)
	}
	for i := range y64.v {
		if math.Abs(y64.v[i]-float64(y32.v[i])) > 1e-4 {
			t.Errorf("output %d: %g, %g", i, y32.v[i], y64.v[i])
		}
	}
	_, _, d32, _ := crossEntropy(y32, labels)
	_, _, d64, _ := crossEntropy(y64, labels)
	if err := fast.backward(map[string]*array[float32]{fast.output: d32}); err != nil {
		t.Fatal(err)
	}
	if err := plain.backward(map[string]*array[float64]{plain.output: d64}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"s", "sw", "w", "b"} {
		p, q := plain.byName[name], fast.byName[name]
		if p == nil || p.grad == nil || q.grad == nil {
			t.Fatalf("%s is not learned", name)
		}
		most, worst := 0.0, 0.0
		for i, v := range p.grad.v {
			most, worst = math.Max(most, math.Abs(v)), math.Max(worst, math.Abs(v-float64(q.grad.v[i])))
		}
		if most == 0 || worst > 2e-3*most {
			t.Errorf("the gradient of %s is off by %g of %g", name, worst, most)
		}
	}
	if _, err := fast.forward(newArray[float32](2, 4, 6, 6)); err != nil { // constants of another batch must not bring the integers back
		t.Fatal(err)
	}
	if fast.consts[fast.g.Node("wd").Outputs[0]] != nil {
		t.Error("the rounded weights became constants")
	}
}
