package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
)

// text is a small model of texts: ids of words and a mask, both whole numbers; one layer of attention that the mask closes; a mean over the
// words that are there.
func text(t testing.TB, words, wide, vocab int) *model.Model {
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
	open := model.Shape{model.Sym("n"), model.Fixed(words)}
	ids, mask := b.Input("ids", model.Int64, open), b.Input("mask", model.Int64, open)
	x := b.Node("Gather", "embed", []string{weight("table", 0.5, vocab, wide), ids})
	x = b.Node("Add", "place", []string{x, weight("places", 0.1, 1, words, wide)})
	there := b.Node("Cast", "there", []string{mask}, model.IntAttr("to", int64(model.Float32)))
	closed := b.Node("Mul", "closed", []string{b.Node("Sub", "gone", []string{b.Const("one", model.Scalar32(1)), there}), b.Const("far", model.Scalar32(-1e4))})
	closed = b.Node("Unsqueeze", "closed.row", []string{closed, b.Const("axis1", model.Int64s(1))})
	q, k, v := b.Node("MatMul", "q", []string{x, weight("q.w", 0.4, wide, wide)}), b.Node("MatMul", "k", []string{x, weight("k.w", 0.4, wide, wide)}), b.Node("MatMul", "v", []string{x, weight("v.w", 0.4, wide, wide)})
	s := b.Node("MatMul", "scores", []string{q, b.Node("Transpose", "kt", []string{k}, model.IntsAttr("perm", 0, 2, 1))})
	s = b.Node("Softmax", "softmax", []string{b.Node("Add", "masked", []string{s, closed})}, model.IntAttr("axis", -1))
	x = b.Node("Add", "residual", []string{x, b.Node("MatMul", "context", []string{s, v})})
	weights := b.Node("Unsqueeze", "there.column", []string{there, b.Const("axis2", model.Int64s(2))})
	sum := b.Node("ReduceSum", "sum", []string{b.Node("Mul", "kept", []string{x, weights}), b.Const("axis", model.Int64s(1))}, model.IntAttr("keepdims", 0))
	n := b.Node("ReduceSum", "count", []string{weights, b.Const("axis.n", model.Int64s(1))}, model.IntAttr("keepdims", 0))
	y := b.Node("Gemm", "head", []string{b.Node("Div", "mean", []string{sum, n}), weight("head.w", 0.5, 3, wide), weight("head.b", 0.1, 3)}, model.IntAttr("transB", 1))
	b.Output(y, model.Float32, model.Shape{model.Sym("n"), model.Fixed(3)})
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestTwoInputs holds a model of texts with ids and mask to the reference forward, and its gradients to central differences.
func TestTwoInputs(t *testing.T) {
	m := text(t, 5, 4, 11)
	tp, err := newTape[float64](m)
	if err != nil {
		t.Fatal(err)
	}
	in, err := InputsOf(m)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 9))
	var items [][]float32
	var want []float64
	const n = 3
	for range n {
		ids, mask := model.NewTensor(model.Int64, 1, 5), model.NewTensor(model.Int64, 1, 5)
		for k := range 5 {
			ids.SetFloat64(k, float64(rng.IntN(11)))
			mask.SetFloat64(k, pick(k < 2+rng.IntN(3), 1, 0))
		}
		ts := map[string]*model.Tensor{"ids": ids, "mask": mask}
		item, err := in.Item(ts)
		if err != nil {
			t.Fatal(err)
		}
		if back := in.Tensors(item); fmt.Sprint(model.Data[int64](back["ids"]), model.Data[int64](back["mask"])) != fmt.Sprint(model.Data[int64](ids), model.Data[int64](mask)) {
			t.Fatal("an item gives other tensors back")
		}
		items = append(items, item)
		out, err := ops.Evaluate(context.Background(), m, ts)
		if err != nil {
			t.Fatal(err)
		}
		for k := range 3 {
			want = append(want, out[0].Float64At(k))
		}
	}
	xs, err := tp.batch(items, in.Shapes())
	if err != nil {
		t.Fatal(err)
	}
	run := func() *array[float64] {
		y, err := tp.forward(xs...)
		if err != nil {
			t.Fatal(err)
		}
		return y
	}
	y := run()
	for i, v := range y.v {
		if math.Abs(v-want[i]) > 1e-5 {
			t.Fatalf("number %d is %g, the reference gives %g", i, v, want[i])
		}
	}
	labels := []int{0, 1, 2}
	_, _, dy, err := crossEntropy(y, labels)
	if err != nil {
		t.Fatal(err)
	}
	if err := tp.backward(map[string]*array[float64]{tp.output: dy}); err != nil {
		t.Fatal(err)
	}
	grads := map[string][]float64{}
	for _, p := range tp.params {
		if p.grad != nil {
			grads[p.name] = append([]float64(nil), p.grad.v...)
		}
	}
	for _, name := range []string{"table", "places", "q.w", "k.w", "v.w", "head.w", "head.b"} {
		p := tp.byName[name]
		for i := range p.v.v {
			const h = 1e-6
			old := p.v.v[i]
			p.v.v[i] = old + h
			up, _, _, _ := crossEntropy(run(), labels)
			p.v.v[i] = old - h
			down, _, _, _ := crossEntropy(run(), labels)
			p.v.v[i] = old
			if d := (up - down) / (2 * h); grads[name] == nil || math.Abs(grads[name][i]-d) > 1e-6+1e-5*math.Abs(d) {
				t.Fatalf("%s[%d]: gradient %v, central difference %g", name, i, grads[name], d)
			}
		}
	}
	for _, fixed := range []string{"one", "far"} {
		if tp.byName[fixed].learn {
			t.Errorf("%s belongs to the formula and is learned", fixed)
		}
	}
}

// TestJudgements holds operators on whole numbers of the data to the reference: what they choose is learned through.
func TestJudgements(t *testing.T) {
	type op struct{ name, logic string }
	var l []op
	for name := range judgements() {
		l = append(l, op{name: name})
	}
	for _, o := range append(l, op{name: "Not"}) {
		t.Run(o.name, func(t *testing.T) {
			b := model.NewBuilder("net", 17)
			shape := model.FixedShape(1, 4)
			x, i, j := b.Input("x", model.Float32, shape), b.Input("i", model.Int64, shape), b.Input("j", model.Int32, shape)
			w, v := model.Float32s([]float32{1, -2, 3, 0.5}, 4), model.Float32s([]float32{0.5, 4, -1, 2}, 4)
			ins := []string{i, b.Node("Cast", "long", []string{j}, model.IntAttr("to", int64(model.Int64)))}
			switch o.name {
			case "And", "Or", "Xor":
				for k := range ins {
					ins[k] = b.Node("Cast", fmt.Sprintf("bool%d", k), []string{ins[k]}, model.IntAttr("to", int64(model.Bool)))
				}
			case "Not":
				ins = []string{b.Node("Cast", "bool", []string{i}, model.IntAttr("to", int64(model.Bool)))}
			}
			c := b.Node(o.name, "judge", ins)
			y := b.Node("Where", "where", []string{c, b.Node("Mul", "a", []string{x, b.Const("w", w)}), b.Node("Add", "b", []string{x, b.Const("v", v)})})
			b.Output(y, model.Float32, nil)
			m, err := b.Model()
			if err != nil {
				t.Fatal(err)
			}
			ts := map[string]*model.Tensor{"x": model.Float32s([]float32{1, 2, 3, 4}, 1, 4), "i": model.NewTensor(model.Int64, 1, 4), "j": model.NewTensor(model.Int32, 1, 4)}
			for k, u := range []float64{0, 1, 2, 0} {
				ts["i"].SetFloat64(k, u)
				ts["j"].SetFloat64(k, []float64{0, 2, 1, 1}[k])
			}
			want, err := ops.Evaluate(context.Background(), m, ts)
			if err != nil {
				t.Fatal(err)
			}
			in, err := InputsOf(m)
			if err != nil {
				t.Fatal(err)
			}
			item, err := in.Item(ts)
			if err != nil {
				t.Fatal(err)
			}
			tp, err := newTape[float32](m)
			if err != nil {
				t.Fatal(err)
			}
			xs, err := tp.batch([][]float32{item}, in.Shapes())
			if err != nil {
				t.Fatal(err)
			}
			got, err := tp.forward(xs...)
			if err != nil {
				t.Fatal(err)
			}
			dy := like(got)
			for k := range got.v {
				dy.v[k] = 1
				if float64(got.v[k]) != want[0].Float64At(k) {
					t.Fatalf("%v, the reference gives %v", got.v, model.Data[float32](want[0]))
				}
			}
			if err := tp.backward(map[string]*array[float32]{tp.output: dy}); err != nil {
				t.Fatal(err)
			}
			for k, a := range []float32{1, 2, 3, 4} { // either the product or the sum is chosen
				gw, gv := tp.byName["w"].grad.v[k], tp.byName["v"].grad.v[k]
				product := want[0].Float64At(k) == float64(a*model.Data[float32](w)[k])
				if product && (gw != a || gv != 0) || !product && (gw != 0 || gv != 1) {
					t.Errorf("number %d: gradients %g and %g", k, gw, gv)
				}
			}
		})
	}
}

// TestItems refuses by the name of the input.
func TestItems(t *testing.T) {
	in, err := InputsOf(text(t, 3, 2, 5))
	if err != nil {
		t.Fatal(err)
	}
	ids := func(n int) *model.Tensor { return model.NewTensor(model.Int64, 1, n) }
	if _, err := in.Item(map[string]*model.Tensor{"ids": ids(3), "mask": ids(3)}); err != nil {
		t.Fatal(err)
	}
	large := ids(3)
	large.SetFloat64(1, 1<<25)
	for name, c := range map[string]struct {
		ts   map[string]*model.Tensor
		kind fail.Kind
	}{
		"no mask":       {map[string]*model.Tensor{"ids": ids(3)}, fail.Invalid},
		"another shape": {map[string]*model.Tensor{"ids": ids(3), "mask": ids(4)}, fail.Invalid},
		"too large":     {map[string]*model.Tensor{"ids": large, "mask": ids(3)}, fail.Unsupported},
		"floats":        {map[string]*model.Tensor{"ids": ids(3), "mask": model.NewTensor(model.Float32, 1, 3)}, fail.Unsupported},
	} {
		if _, err := in.Item(c.ts); !fail.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
